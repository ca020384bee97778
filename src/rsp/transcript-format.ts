/**
 * Transcripts: a session with a stub as text that people read and `replay.ts` plays. docs/transcripts.md describes the format.
 *
 *   # ebscope transcript 1
 *   # 2026-01-31T12:00:00.000Z, ebscope 0.1.0, localhost:1234
 *   0.000123 > $qSupported:xmlRegisters=aarch64#20
 *   0.000456 < +$PacketSize=1000;qXfer:features:read+#cc
 *   5.000000 > interrupt
 *   5.100000 closed here
 *
 * The bytes of a direction are those of its lines one after the other, nothing between them: where a line is cut means nothing.
 * A byte that is no printable ASCII, or is a backslash, stands as `\xNN`. Bytes that do not start as a packet or an acknowledgement does
 * follow the word `raw`, so that no byte can be taken for a word; 0x03 is the word `interrupt`.
 *
 * A file is untrusted: its size, lines and pieces are bounded, and what is no line of a transcript is refused with its number.
 */
import { EbscopeError } from "../base/error.ts";
import { latin1, printable } from "../base/text.ts";
import type { Direction } from "./tap.ts";

export const TRANSCRIPT_VERSION = 1;
const HEADER = "# ebscope transcript ";
/** The first line of each file. */
export const TRANSCRIPT_HEADER = `${HEADER}${TRANSCRIPT_VERSION}`;

/** Largest file that is read, in bytes. */
export const MAX_TRANSCRIPT = 2 ** 30;
const MAX_LINES = 4_000_000;

/** How a recorded session ended. */
export type TranscriptEnd = { readonly by: "client" } | { readonly by: "stub"; readonly reason: string | undefined };

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const BACKSLASH = 0x5c;
const COMMENT = 0x23;
const LOWER_X = 0x78;
const INTERRUPT = Buffer.of(0x03);
const NOT_PLAIN = /[^\x20-\x5b\x5d-\x7e]/g;
const STARTS_A_PACKET = /^[$%+-]/;

/** Seconds with microseconds, of milliseconds. */
export function timeText(milliseconds: number): string {
  return (Math.max(milliseconds, 0) / 1000).toFixed(6);
}

/** Whether a packet stands in a transcript as it is. */
export function isPlain(packet: Uint8Array): boolean {
  for (let i = 0; i < packet.length; i++) {
    const byte = packet[i] as number;
    if (byte <= SPACE || byte > 0x7e || byte === BACKSLASH) return false;
  }
  return true;
}

/** What stands after `>` or `<` for bytes. */
export function bytesText(bytes: Uint8Array): string {
  if (bytes.length === 1 && bytes[0] === INTERRUPT[0]) return "interrupt";
  let text = latin1(bytes).replace(NOT_PLAIN, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
  // Editors and mail drop a space at the end of a line.
  if (text.endsWith(" ")) text = `${text.slice(0, -1)}\\x20`;
  return STARTS_A_PACKET.test(text) ? text : `raw ${text}`;
}

export function endText(end: TranscriptEnd): string {
  if (end.by === "client") return "closed here";
  const reason =
    end.reason === undefined
      ? ""
      : printable(end.reason, 80)
          .replace(/[^\x20-\x7e]/g, "?")
          .trim();
  return reason === "" ? "closed by the stub" : `closed by the stub: ${reason}`;
}

/** Told of each line's bytes: a view of the file where nothing was escaped. */
export type OnBytes = (direction: Direction, bytes: Uint8Array, line: number) => void;

/**
 * Reads a transcript; returns how the session ended, undefined when the file ends before it did (a last line without its newline is
 * left out: it may have been cut). Throws `not-a-transcript`. `path` is for messages.
 */
export function readTranscript(file: Buffer, path: string, onBytes: OnBytes): TranscriptEnd | undefined {
  let line = 0;
  let end: TranscriptEnd | undefined;
  for (let at = 0, next = 0; at < file.length; at = next) {
    const newline = file.indexOf(NEWLINE, at);
    next = newline + 1;
    if (++line === 1) checkHeader(file.subarray(0, newline < 0 ? file.length : newline), path);
    if (newline < 0) break;
    if (line > MAX_LINES) throw notATranscript(path, `it has more than ${MAX_LINES} lines`);
    const text = file.subarray(at, file[newline - 1] === RETURN ? newline - 1 : newline);
    if (text.length === 0 || text[0] === COMMENT) continue;
    const event = end === undefined ? readLine(text) : undefined;
    if (event === undefined) {
      throw notATranscript(path, `line ${line} is none of a transcript: ${JSON.stringify(excerpt(text))}`);
    }
    if (event.kind === "end") end = event.end;
    else onBytes(event.direction, event.bytes, line);
  }
  if (line === 0) throw notATranscript(path, "it is empty");
  return end;
}

function checkHeader(line: Buffer, path: string): void {
  const text = latin1(line.subarray(0, 100)).trimEnd();
  if (text === TRANSCRIPT_HEADER) return;
  const version = /^\d{1,9}$/.exec(text.slice(HEADER.length))?.[0];
  if (text.startsWith(HEADER) && version !== undefined) {
    throw notATranscript(
      path,
      `its format is version ${version}, and this ebscope reads version ${TRANSCRIPT_VERSION}`,
    );
  }
  throw notATranscript(path, `it starts with ${JSON.stringify(excerpt(line))}, not with "${TRANSCRIPT_HEADER}"`);
}

function excerpt(line: Buffer): string {
  return printable(latin1(line.subarray(0, 41)), 40);
}

type Line =
  | { readonly kind: "bytes"; readonly direction: Direction; readonly bytes: Uint8Array }
  | { readonly kind: "end"; readonly end: TranscriptEnd };

const LINE = /^\d{1,12}(?:\.\d{1,9})? (?:([<>]) |(?=closed ))/;
const END = /^closed (?:(here)|by the stub(?:: (.{1,400}))?)$/;

/** Undefined when it is no line of a transcript. */
function readLine(line: Buffer): Line | undefined {
  const [start, arrow] = LINE.exec(latin1(line.subarray(0, 32))) ?? [];
  if (start === undefined) return undefined;
  const content = line.subarray(start.length);
  if (arrow === undefined) return readEnd(content);
  const bytes = readBytes(content);
  return bytes && { kind: "bytes", direction: arrow === ">" ? "sent" : "received", bytes };
}

function readEnd(content: Buffer): Line | undefined {
  const [whole, here, reason] = END.exec(latin1(content.subarray(0, 500))) ?? [];
  if (whole === undefined) return undefined;
  return { kind: "end", end: here === undefined ? { by: "stub", reason } : { by: "client" } };
}

function readBytes(content: Buffer): Uint8Array | undefined {
  const start = latin1(content.subarray(0, 10));
  if (start === "interrupt") return INTERRUPT;
  if (start.startsWith("raw ")) return unescaped(content.subarray(4));
  return STARTS_A_PACKET.test(start) ? unescaped(content) : undefined;
}

/** Undefined when there is a byte that would have been escaped, or a broken escape. */
function unescaped(text: Buffer): Uint8Array | undefined {
  let escapes = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i] as number;
    if (byte < SPACE || byte > 0x7e) return undefined;
    if (byte === BACKSLASH) escapes++;
  }
  return escapes === 0 ? text : withoutEscapes(text, escapes);
}

function withoutEscapes(text: Buffer, escapes: number): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.max(text.length - 3 * escapes, 0));
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    let byte = text[i] as number;
    if (byte === BACKSLASH) {
      const digits = text[i + 1] === LOWER_X ? latin1(text.subarray(i + 2, i + 4)) : "";
      if (!/^[0-9a-f]{2}$/i.test(digits)) return undefined;
      byte = Number.parseInt(digits, 16);
      i += 3;
    }
    bytes[at++] = byte;
  }
  return bytes;
}

export function notATranscript(path: string, why: string): EbscopeError {
  return new EbscopeError("not-a-transcript", `Cannot replay ${printable(path)}: ${why}`);
}
