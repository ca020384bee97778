/**
 * An event in a file: `<CRC-32 of the JSON, 8 hexadecimal digits> <JSON>` and a line feed, which JSON text of one line has nowhere else
 * (RFC 8259, section 7: control characters stand escaped in strings). `cut -c10- events-*.log | jq` reads it.
 */
import { crc32 } from "node:zlib";
import { type BridgeEvent, EVENT_KINDS } from "../../api/events.ts";
import type { LoggedEvent } from "../ports.ts";

/** The longest line, in bytes. */
export const MAX_LINE = 32 << 20;
const CRC_DIGITS = 8;
const JSON_START = CRC_DIGITS + 1;
const SPACE = 0x20;
const CLAIM = '{"seq":';
const SEQUENCE = /^\{"seq":([1-9]\d{0,15}),/;
/** Longer than `{"seq":9007199254740991,`. */
const SEQUENCE_BYTES = 32;
const KINDS: ReadonlySet<string> = new Set(EVENT_KINDS);

/** The line of an event, the line feed included. */
export function recordLine(json: string): Buffer {
  const length = Buffer.byteLength(json);
  const line = Buffer.allocUnsafe(JSON_START + length + 1);
  line.write(json, JSON_START);
  line.write(checksum(line.subarray(JSON_START, -1)), "latin1");
  line[CRC_DIGITS] = SPACE;
  line[line.length - 1] = 0x0a;
  return line;
}

/** The sequence number of a line without its line feed; undefined when the line is damaged. */
export function recordSequence(line: Buffer): number | undefined {
  if (line.length <= JSON_START || line[CRC_DIGITS] !== SPACE) return undefined;
  const json = line.subarray(JSON_START);
  if (line.toString("latin1", 0, CRC_DIGITS) !== checksum(json)) return undefined;
  const seq = Number(SEQUENCE.exec(json.toString("latin1", 0, SEQUENCE_BYTES))?.[1]);
  return Number.isSafeInteger(seq) ? seq : undefined;
}

/** The event of a line without its line feed; undefined when the line is damaged or holds something else. */
export function decodeRecord(line: Buffer): LoggedEvent | undefined {
  const seq = recordSequence(line);
  if (seq === undefined) return undefined;
  const json = line.toString("utf8", JSON_START);
  try {
    const event: unknown = JSON.parse(json);
    return isEvent(event, seq) ? { event, json } : undefined;
  } catch {
    return undefined;
  }
}

/** How many events a damaged line may have been, at least one: where a line feed is damaged two lines are one. */
export function claims(line: Buffer | undefined): number {
  let count = 0;
  for (let at = line?.indexOf(CLAIM) ?? -1; at >= 0; at = line?.indexOf(CLAIM, at + 1) ?? -1) count++;
  return Math.max(count, 1);
}

function checksum(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(CRC_DIGITS, "0");
}

/** The checksum says that a bridge wrote it; what readers rely on is looked at nevertheless, as anybody can reckon a checksum. */
function isEvent(value: unknown, seq: number): value is BridgeEvent {
  if (typeof value !== "object" || value === null) return false;
  const event = value as Partial<Record<keyof BridgeEvent, unknown>>;
  const names = [event.target, event.capture].every((name) => name === null || typeof name === "string");
  const data = typeof event.data === "object" && event.data !== null;
  return event.seq === seq && typeof event.time === "string" && KINDS.has(String(event.kind)) && names && data;
}
