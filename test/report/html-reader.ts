/**
 * A strict reader of HTML, for pages that must be plain: start tags with double-quoted attributes, end tags, text with numeric and five
 * named character references, `<!DOCTYPE html>`; `style` and `title` hold raw text. Anything else is refused: a page that a lenient
 * browser would have to guess about is wrong here. After the HTML standard, 13.2.5 "Tokenization".
 */

export interface Element {
  readonly tag: string;
  readonly attributes: readonly (readonly [name: string, value: string])[];
}

export interface Page {
  readonly elements: readonly Element[];
  /** Of all text, character references resolved. */
  readonly text: string;
  /** The content of each style element, as it stands there. */
  readonly styles: readonly string[];
}

const VOID = new Set(["meta"]);
const RAW = new Set(["style", "title"]);
const REFERENCES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"' };

export function readPage(html: string): Page {
  const elements: Element[] = [];
  const styles: string[] = [];
  const open: string[] = [];
  let text = "";
  const prefix = "<!DOCTYPE html>";
  if (!html.startsWith(prefix)) throw new Error("no doctype");
  for (let at = prefix.length; at < html.length; ) {
    const next = html.indexOf("<", at);
    const end = next < 0 ? html.length : next;
    text += resolved(html.slice(at, end));
    if (next < 0) break;
    const tag = /^<(\/?)([a-z][a-z0-9]*)((?: [a-z-]+(?:="[^"<>]*")?)*)>/.exec(html.slice(next, next + 4096));
    if (tag === null) throw new Error(`no tag at ${JSON.stringify(html.slice(next, next + 80))}`);
    const [whole, slash, name = "", rest = ""] = tag;
    at = next + whole.length;
    if (slash === "/") {
      if (rest !== "" || open.pop() !== name) throw new Error(`</${name}> closes nothing that is open`);
      continue;
    }
    elements.push({ tag: name, attributes: attributesOf(rest) });
    if (VOID.has(name)) continue;
    open.push(name);
    if (!RAW.has(name)) continue;
    const close = html.indexOf("</", at);
    const raw = html.slice(at, close);
    if (name === "style") styles.push(raw);
    else text += resolved(raw);
    at = close;
  }
  if (open.length > 0) throw new Error(`left open: ${open.join(" ")}`);
  return { elements, text, styles };
}

function attributesOf(rest: string): [string, string][] {
  return [...rest.matchAll(/ ([a-z-]+)(?:="([^"]*)")?/g)].map(([, name = "", value = ""]) => [name, value]);
}

/** No bare `&`: each begins a reference with its semicolon. */
function resolved(text: string): string {
  if (/>/.test(text)) throw new Error(`a bare > in ${JSON.stringify(text.slice(0, 80))}`);
  return text.replace(/&(?:([a-z]+);|#([0-9]+);)?/g, (whole, name?: string, number?: string) => {
    if (number !== undefined) return String.fromCodePoint(Number(number));
    const char = name === undefined ? undefined : REFERENCES[name];
    if (char === undefined) throw new Error(`${whole} is no reference`);
    return char;
  });
}
