/** Where output goes: data to stdout, all else to stderr. */
import { once } from "node:events";
import { EbscopeError } from "../base/error.ts";
import { systemReason } from "../base/system-error.ts";
import { printable, printableJson } from "../base/text.ts";

/** Characters that go out at once. */
const PIECE = 1 << 16;

/** Text, or pieces of it. */
export type Output = string | Iterable<string>;

/** A line end is added where there is none. */
export function printData(text: Output): void {
  if (outputFailed) return;
  let pending = "";
  let last = "";
  for (const piece of typeof text === "string" ? [text] : text) {
    pending += piece;
    last = piece || last;
    if (pending.length < PIECE) continue;
    process.stdout.write(pending);
    pending = "";
  }
  process.stdout.write(last.endsWith("\n") ? pending : `${pending}\n`);
}

/** As printData for what may be larger than memory: waits where the reader of stdout is slower. */
export async function printStream(pieces: Iterable<string>): Promise<void> {
  let pending = "";
  let last = "";
  for (const piece of pieces) {
    if (outputFailed) return;
    pending += piece;
    last = piece || last;
    if (pending.length < PIECE) continue;
    await written(pending);
    pending = "";
  }
  if (!outputFailed) await written(last.endsWith("\n") ? pending : `${pending}\n`);
}

/** Resolves when more may be written. */
async function written(text: string): Promise<void> {
  if (process.stdout.write(text)) return;
  const over = new AbortController();
  const options = { signal: over.signal };
  try {
    await Promise.race([once(process.stdout, "drain", options), once(process.stdout, "close", options)]);
  } catch {
    // What failed is told by whoever listens for it.
  } finally {
    over.abort();
  }
}

/** As `JSON.stringify(value, null, 2)`, in pieces, as a list may be too long for one string; safe on a terminal and in the log of a CI job. */
export function* jsonText(value: unknown): Generator<string> {
  for (const piece of jsonPieces(value)) yield printableJson(piece);
}

/** The same for a list whose items are made one by one. */
export function* jsonListText(items: Iterable<unknown>): Generator<string> {
  for (const piece of jsonList(items, "")) yield printableJson(piece);
}

function* jsonPieces(value: unknown): Generator<string> {
  if (Array.isArray(value)) yield* jsonList(value, "");
  else if (isPlainObject(value)) yield* jsonObject(value);
  else yield JSON.stringify(value, null, 2);
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function* jsonObject(object: Readonly<Record<string, unknown>>): Generator<string> {
  let separator = "{";
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined) continue;
    yield `${separator}\n  ${JSON.stringify(key)}: `;
    if (Array.isArray(value)) yield* jsonList(value, "  ");
    else yield indented(value, "  ");
    separator = ",";
  }
  yield separator === "{" ? "{}" : "\n}";
}

function* jsonList(list: Iterable<unknown>, indent: string): Generator<string> {
  let separator = "[";
  for (const item of list) {
    yield `${separator}\n${indent}  ${indented(item, `${indent}  `)}`;
    separator = ",";
  }
  yield separator === "[" ? "[]" : `\n${indent}]`;
}

function indented(value: unknown, indent: string): string {
  return (JSON.stringify(value, null, 2) ?? "null").replaceAll("\n", `\n${indent}`);
}

/** A line of progress. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printError(error: EbscopeError): void {
  // The lines of this one are ebscope's own, each a place to go to: NAME:LINE:COLUMN.
  const lines = error.code === "bad-document" ? error.message.split("\n") : [error.message];
  process.stderr.write(`ebscope: ${lines.map((line) => `${printable(line, 1000)}\n`).join("")}`);
  process.stderr.write(`  → ${printable(error.next, 1000)} [${error.code}]\n`);
  if (error.code === "internal" && error.cause instanceof Error && process.env.EBSCOPE_DEBUG !== undefined) {
    process.stderr.write(`${error.cause.stack ?? ""}\n`);
  }
}

/** Told when stdout takes no more: undefined when its reader went away, else what failed. */
type OutputFailure = (error: EbscopeError | undefined) => void;

let outputFailed = false;
let onOutputFailure: OutputFailure = (error) => {
  if (error === undefined) process.exit(0);
  throw error;
};

/** A reader that went away (`ebscope show … | head`) is no failure. */
export function ignoreClosedPipes(): void {
  process.stdout.on("error", (cause: NodeJS.ErrnoException) => {
    if (outputFailed) return;
    outputFailed = true;
    const failure = new EbscopeError("file-unwritable", `Cannot write to stdout: ${systemReason(cause)}`, { cause });
    onOutputFailure(cause.code === "EPIPE" ? undefined : failure);
  });
  // Progress that nobody reads is no reason to end: a guest may be in our hands.
  process.stderr.on("error", () => undefined);
}

/** Has a failure of stdout told instead of ending the program; returns the way back. */
export function whenOutputFails(told: OutputFailure): () => void {
  const before = onOutputFailure;
  onOutputFailure = told;
  return () => {
    onOutputFailure = before;
  };
}
