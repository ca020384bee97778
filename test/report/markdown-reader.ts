/**
 * Takes Markdown apart into what stands in code and what does not, after CommonMark 0.31: 4.5 "Fenced code blocks" (a line of three or more
 * backticks or tildes, indented by three spaces at most, no backtick in what follows backticks; closed by as many of the same or more and
 * nothing else) and 6.1 "Code spans" (a run of backticks up to the next run of the same length; no backslash counts inside, one before a
 * run outside makes its first backtick plain). List items are taken by their indentation: lines that are no fence are read line
 * by line, which is enough for spans that do not go over line ends.
 */

export interface MarkdownParts {
  /** The text outside code, line by line; a span stands there as `‹›`, a block as `‹block›`. */
  readonly outside: readonly string[];
  readonly spans: readonly string[];
  readonly blocks: readonly (readonly string[])[];
}

export function readMarkdown(markdown: string): MarkdownParts {
  const outside: string[] = [];
  const spans: string[] = [];
  const blocks: string[][] = [];
  let fence: string | undefined;
  for (const line of markdown.split(/\r\n|\n|\r/)) {
    if (fence !== undefined) {
      const close = /^ {0,3}(`+|~+)[ \t]*$/.exec(line)?.[1];
      if (close !== undefined && close[0] === fence[0] && close.length >= fence.length) fence = undefined;
      else blocks.at(-1)?.push(line);
      continue;
    }
    const opening = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})/.exec(line)?.[1];
    if (opening !== undefined) {
      fence = opening;
      blocks.push([]);
      outside.push("‹block›");
    } else outside.push(withoutSpans(line, spans));
  }
  if (fence !== undefined) throw new Error("a fence is left open");
  return { outside, spans, blocks };
}

function withoutSpans(line: string, spans: string[]): string {
  let kept = "";
  for (let at = 0; at < line.length; ) {
    const escaped = /^\\[!-/:-@[-`{-~]/.exec(line.slice(at))?.[0];
    const run = /^`+/.exec(line.slice(at))?.[0];
    if (escaped !== undefined || run === undefined) {
      kept += escaped ?? line[at];
      at += escaped?.length ?? 1;
      continue;
    }
    const from = at + run.length;
    const end = [...line.slice(from).matchAll(/`+/g)].find(([other]) => other.length === run.length);
    if (end === undefined) throw new Error(`a run of backticks is never closed: ${line.slice(at, at + 80)}`);
    spans.push(stripped(line.slice(from, from + end.index)));
    kept += "‹›";
    at = from + end.index + run.length;
  }
  return kept;
}

/** One space comes off each side where both are there and something else is too. */
function stripped(content: string): string {
  return /^ .* $/.test(content) && content.trim() !== "" ? content.slice(1, -1) : content;
}
