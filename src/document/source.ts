/** Documents that people write, as text, and what may be wrong in them. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { EbscopeError } from "../base/error.ts";
import { systemReason } from "../base/system-error.ts";
import { plural, printable } from "../base/text.ts";

export interface Source {
  /** What it is called in messages: the path as the user gave it. */
  readonly name: string;
  readonly text: string;
}

/** Both count from 1, columns in UTF-16 units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Something to mend in a document. */
export interface Problem extends Position {
  /** What is wrong, without a full stop. */
  readonly message: string;
  /** What to do about it: a sentence. */
  readonly cure: string;
}

export const MAX_DOCUMENT_BYTES = 1 << 20;

/** Problems that are told of one document. */
const MAX_TOLD = 20;
const MAX_TEXT = 400;

/** Raises `bad-document`: the first line says how many problems there are, each other line is `NAME:LINE:COLUMN: message. cure`. */
export function raise(source: Pick<Source, "name">, problems: readonly Problem[]): never {
  const name = printable(source.name);
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  const told = sorted.slice(0, MAX_TOLD).map((problem) => `${name}:${problemText(problem)}`);
  const rest = problems.length > MAX_TOLD ? [`${name}: and ${problems.length - MAX_TOLD} more`] : [];
  const title = `Cannot use ${name}: ${plural(problems.length, "mistake")}`;
  throw new EbscopeError("bad-document", [title, ...told, ...rest].join("\n"));
}

function problemText({ line, column, message, cure }: Problem): string {
  return `${line}:${column}: ${printable(message, MAX_TEXT)}. ${printable(cure, MAX_TEXT)}`;
}

/** Reads a document's file: UTF-8, at most 1 MiB. `path` is its name in messages too. */
export async function readSource(path: string): Promise<Source> {
  const bytes = await readBounded(path);
  if (bytes.length > MAX_DOCUMENT_BYTES) throw unreadable(path, "it is larger than 1 MiB", { next: TEXT_NEEDED });
  try {
    return { name: path, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (cause) {
    throw unreadable(path, "it is no UTF-8 text", { cause, next: TEXT_NEEDED });
  }
}

const TEXT_NEEDED = "Give a text in YAML or JSON, as people write it.";

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    // A pipe without a writer must not keep us waiting.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw unreadable(path, "it is no file", {});
    const buffer = Buffer.alloc(MAX_DOCUMENT_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      ({ bytesRead: read } = await file.read(buffer, length));
    }
    return buffer.subarray(0, length);
  } catch (cause) {
    if (cause instanceof EbscopeError) throw cause;
    throw unreadable(path, systemReason(cause), { cause });
  }
}

function unreadable(path: string, why: string, options: { readonly cause?: unknown; readonly next?: string }) {
  return new EbscopeError("file-unreadable", `Cannot read ${printable(path)}: ${why}`, options);
}
