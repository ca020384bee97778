/** Transcripts as docs/transcripts.md describes them, read and written without the code under test. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TranscriptText {
  /** Latin1. */
  readonly sent: string;
  readonly received: string;
  /** Each line's time in seconds. */
  readonly times: readonly number[];
  /** The comment lines after the first, without their `# `. */
  readonly comments: readonly string[];
  /** `closed …`; undefined when there is no such line. */
  readonly end: string | undefined;
}

/** Throws at the first line that is not as the document says. */
export function readTranscriptText(text: string): TranscriptText {
  const lines = text.split("\n");
  if (lines.shift() !== "# ebscope transcript 1") throw new Error("the first line is wrong");
  if (lines.pop() !== "") throw new Error("the last line has no newline");
  const bytes = { ">": "", "<": "" };
  const times: number[] = [];
  const comments: string[] = [];
  let end: string | undefined;
  for (const line of lines) {
    if (/[^\x20-\x7e]/.test(line) || line.endsWith(" ")) throw new Error(`not plain: ${JSON.stringify(line)}`);
    if (line.startsWith("# ")) {
      comments.push(line.slice(2));
      continue;
    }
    const [, time, arrow, content = ""] = /^(\d+\.\d{6}) (?:([<>]) )?(.*)$/.exec(line) ?? [];
    if (time === undefined || end !== undefined) throw new Error(`not a line: ${line}`);
    times.push(Number(time));
    if (arrow === undefined) end = content;
    else bytes[arrow as ">" | "<"] += contentBytes(content);
  }
  return { sent: bytes[">"], received: bytes["<"], times, comments, end };
}

function contentBytes(content: string): string {
  if (content === "interrupt") return "\x03";
  if (!/^(?:[$%+-]|raw )/.test(content)) throw new Error(`begins as nothing: ${content}`);
  return content.replace(/^raw /, "").replace(/\\(.{0,3})/g, (_, digits: string) => {
    if (!/^x[0-9a-f]{2}$/.test(digits)) throw new Error(`a bad escape: ${content}`);
    return String.fromCharCode(Number.parseInt(digits.slice(1), 16));
  });
}

/** A transcript of these lines, each without its time: `> $?#3f`, `< +$S05#b8`, `closed here`. */
export function transcriptText(...lines: readonly string[]): string {
  return ["# ebscope transcript 1", ...lines.map((line, i) => `${(i / 1000).toFixed(6)} ${line}`), ""].join("\n");
}

/** A file of a folder that goes when the scope ends. */
export function temporaryFile(): { readonly path: string; readonly bytes: () => Buffer } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-record-"));
  const path = join(folder, "file");
  return { path, bytes: () => readFileSync(path), [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}
