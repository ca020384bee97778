/** The decoder against a second one, however the bytes are cut. */
import fc from "fast-check";
import { encodePacket, type Frame, PacketDecoder } from "../../../src/rsp/packet.ts";
import { type Count, type Fuzz, fuzz } from "./fuzz.ts";
import { decodeNaively } from "./naive-decoder.ts";
import { cutStreams } from "./streams.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const text = (data: Uint8Array): string => Buffer.from(data).toString("latin1");

function shown(frame: Frame): string {
  switch (frame.kind) {
    case "packet":
    case "notification":
      return `${frame.kind} ${text(frame.payload)}`;
    case "corrupt":
      return `corrupt ${frame.why}`;
    case "noise":
      return `noise ${text(frame.bytes)}`;
    case "ack":
    case "nak":
      return frame.kind;
  }
}

/** A line a frame; noise that was cut is put together. */
function decode(pieces: readonly string[], limit: number): string[] {
  const decoder = new PacketDecoder(limit);
  const lines: string[] = [];
  for (const piece of pieces) {
    for (const frame of decoder.push(bytes(piece))) {
      const last = lines.at(-1);
      if (frame.kind === "noise" && last?.startsWith("noise ")) lines[lines.length - 1] = last + text(frame.bytes);
      else lines.push(shown(frame));
    }
  }
  if (decoder.midFrame) throw new Error("it waits for more of a frame that has ended");
  return lines;
}

function sameAsNaive(
  [[whole, pieces], limit]: readonly [readonly [string, readonly string[]], number],
  count: Count,
): void {
  const due = decodeNaively(whole, limit);
  const lines = decode(pieces, limit);
  if (lines.length !== due.length || lines.some((line, i) => line !== due[i])) {
    throw new Error(`decoded ${JSON.stringify(lines)}, due is ${JSON.stringify(due)}`);
  }
  for (const line of lines) count(line.startsWith("corrupt") ? line : (line.split(" ")[0] ?? ""));
}

function comesBack(payload: Uint8Array, count: Count): void {
  const lines = decode([text(encodePacket(payload))], 1 << 20);
  if (lines.length !== 1 || lines[0] !== `packet ${text(payload)}`) throw new Error(`decoded ${JSON.stringify(lines)}`);
  count("packet");
}

export const FRAMING: readonly Fuzz[] = [
  fuzz(
    "frames as a second decoder reads them",
    300,
    fc.tuple(cutStreams, fc.constantFrom(4, 16, 100, 1 << 20)),
    sameAsNaive,
  ),
  fuzz("what was encoded", 50, fc.uint8Array({ maxLength: 100 }), comesBack),
];
