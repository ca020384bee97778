/**
 * Notifications as WebSocket frames, made once for all connections: a server's frames are not masked (RFC 6455, 5.1), so that they are the same
 * bytes for everybody. Subscriptions are counted by connection, so those of many clients are mostly called the same.
 */
import type { LoggedEvent } from "../../bridge/ports.ts";

/** Frames that are kept for the readers that come to the same event a moment later. */
const MAX_KEPT = 256;
const MAX_BYTES = 4 << 20;

export class SharedFrames {
  readonly #kept = new Map<string, Buffer>();
  #bytes = 0;

  /** `Stream.event` of an event as it is. */
  of(subscription: string, { event, json }: LoggedEvent): Buffer {
    const key = `${subscription} ${event.seq}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    const made = textFrame(eventText(subscription, json));
    this.#keep(key, made);
    return made;
  }

  #keep(key: string, frame: Buffer): void {
    this.#kept.set(key, frame);
    this.#bytes += frame.length;
    for (const [oldest, { length }] of this.#kept) {
      // The latest stays however long it is: long ones are those that are worth sharing.
      if (oldest === key || (this.#kept.size <= MAX_KEPT && this.#bytes <= MAX_BYTES)) return;
      this.#kept.delete(oldest);
      this.#bytes -= length;
    }
  }
}

/** FIN and the opcode of text; a length of 7 bits, or 126 and 16 bits, or 127 and 64 bits (RFC 6455, 5.2). */
const TEXT = 0x81;

/** A whole message in one frame, as a server sends it. */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafeSlow(head + length);
  frame[0] = TEXT;
  if (head === 2) frame[1] = length;
  else frame[1] = head === 4 ? 126 : 127;
  if (head === 4) frame.writeUInt16BE(length, 2);
  if (head === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.write(text, head);
  return frame;
}

/** The notification with an event's JSON in it. A subscription's name needs no escapes. */
export function eventText(subscription: string, json: string): string {
  return `{"jsonrpc":"2.0","method":"Stream.event","params":{"subscription":"${subscription}","event":${json}}}`;
}

export function laggedText(subscription: string, from: number, to: number): string {
  return JSON.stringify({ jsonrpc: "2.0", method: "Stream.lagged", params: { subscription, from, to } });
}
