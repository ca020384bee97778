/**
 * Framing of the GDB Remote Serial Protocol: bytes in, frames out, no socket in sight.
 *
 * Source: "Debugging with GDB", appendix E "GDB Remote Serial Protocol", E.1 Overview. A packet is `$payload#hh` where hh is
 * the sum of the payload's bytes modulo 256 as it stands on the wire; `%payload#hh` is a notification. `+` and `-` acknowledge.
 * In a payload `}` escapes the next byte (xor 0x20), and `*` repeats the byte before it: the byte after `*` less 29 more times.
 *
 * Assumptions: everything that arrives is untrusted. A frame longer than the bound, a run without a byte before it or a wrong
 * checksum is a frame of its own kind, never an exception and never data; bytes between frames are reported as noise. A `$` never
 * stands in a payload (it is always escaped): where one does, the end of a packet was lost or a byte became a `$`. Nothing up to the
 * checksum is believed then, also not as a packet that starts there: its sum is right by chance too often (once in 256).
 */

const DOLLAR = 0x24;
const HASH = 0x23;
const PERCENT = 0x25;
const PLUS = 0x2b;
const MINUS = 0x2d;
const STAR = 0x2a;
const ESCAPE = 0x7d;

export type Frame =
  | { readonly kind: "packet"; readonly payload: Uint8Array }
  | { readonly kind: "notification"; readonly payload: Uint8Array }
  | { readonly kind: "ack" }
  | { readonly kind: "nak" }
  /** A frame that must not be believed. */
  | { readonly kind: "corrupt"; readonly why: "checksum" | "too-long" | "run-length" }
  /** Bytes outside any frame. */
  | { readonly kind: "noise"; readonly bytes: Uint8Array };

/** Longest frame accepted unless told otherwise, in bytes: eight times the largest reply of any QEMU so far. */
const DEFAULT_LIMIT = 1 << 20;

const SMALLEST_ROOM = 256;

const DIGITS = Buffer.from("0123456789abcdef");

/** Encodes one packet. A string payload holds one byte a character (latin1). */
export function encodePacket(payload: string | Uint8Array): Uint8Array {
  if (typeof payload === "string") return encodePlain(payload) ?? encodeBytes(Buffer.from(payload, "latin1"));
  return encodeBytes(payload);
}

/** Text without anything to escape, as nearly all requests are: in one pass. Undefined for other text. */
function encodePlain(text: string): Uint8Array | undefined {
  const packet = Buffer.allocUnsafe(text.length + 4);
  packet[0] = DOLLAR;
  let sum = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i);
    if (isSpecial(byte) || byte > 0xff) return undefined;
    sum += byte;
    packet[i + 1] = byte;
  }
  close(packet, sum);
  return packet;
}

function encodeBytes(raw: Uint8Array): Uint8Array {
  const body = needsEscape(raw) ? escaped(raw) : raw;
  const packet = Buffer.allocUnsafe(body.length + 4);
  packet[0] = DOLLAR;
  packet.set(body, 1);
  close(packet, checksum(body, 0, body.length));
  return packet;
}

/** Writes `#` and the checksum at the end of a packet. */
function close(packet: Uint8Array, sum: number): void {
  const end = packet.length;
  packet[end - 3] = HASH;
  packet[end - 2] = DIGITS[(sum >> 4) & 0xf] as number;
  packet[end - 1] = DIGITS[sum & 0xf] as number;
}

function needsEscape(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (isSpecial(bytes[i] as number)) return true;
  return false;
}

function isSpecial(byte: number): boolean {
  return byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === STAR;
}

function escaped(bytes: Uint8Array): Uint8Array {
  const out: number[] = [];
  for (const byte of bytes) {
    if (isSpecial(byte)) out.push(ESCAPE, byte ^ 0x20);
    else out.push(byte);
  }
  return Uint8Array.from(out);
}

/** From this length on a sum by words is quicker: a view of the words has its price. */
const WORTH_WORDS = 128;
/** Words of which no half of a sum of halves passes 16 bits. */
const WORDS_AT_ONCE = 64;
const HALVES = 0xff00ff;

/** The sum of the bytes modulo 256; a word at a time where there are many, since every byte that arrives goes through here. */
function checksum(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < WORTH_WORDS) return sumOfBytes(bytes, start, end) & 0xff;
  const first = start + (-(bytes.byteOffset + start) & 3);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + first, (end - first) >> 2);
  const after = first + 4 * words.length;
  return (sumOfBytes(bytes, start, first) + sumOfWords(words) + sumOfBytes(bytes, after, end)) & 0xff;
}

function sumOfBytes(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i++) sum += bytes[i] as number;
  return sum;
}

/** The sum of the bytes in the words: those at even and those at odd places, two of each at a time in the halves of a word. */
function sumOfWords(words: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < words.length; ) {
    const stop = Math.min(i + WORDS_AT_ONCE, words.length);
    let even = 0;
    let odd = 0;
    for (; i + 4 <= stop; i += 4) {
      const a = words[i] as number;
      const b = words[i + 1] as number;
      const c = words[i + 2] as number;
      const d = words[i + 3] as number;
      even = (even + (a & HALVES) + (b & HALVES) + (c & HALVES) + (d & HALVES)) | 0;
      odd = (odd + ((a >>> 8) & HALVES) + ((b >>> 8) & HALVES) + ((c >>> 8) & HALVES) + ((d >>> 8) & HALVES)) | 0;
    }
    for (; i < stop; i++) {
      const word = words[i] as number;
      even = (even + (word & HALVES)) | 0;
      odd = (odd + ((word >>> 8) & HALVES)) | 0;
    }
    sum += (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16);
  }
  return sum;
}

/** Turns bytes, cut anywhere, into frames. */
export class PacketDecoder {
  readonly #limit: number;
  /** Either a chunk as it arrived (borrowed: frames are views of it) or memory of our own, where a frame is put together. */
  #buffer: Buffer = Buffer.alloc(0);
  #borrowed = true;
  #start = 0;
  #end = 0;
  /** How far the search for the `#` of the frame at #start has come. */
  #scanned = 0;
  /** Inside an over-long frame: drop bytes until its `#hh`. */
  #skipping = false;

  constructor(limit: number = DEFAULT_LIMIT) {
    this.#limit = limit;
  }

  /** Whether a frame has begun that is not complete yet. */
  get midFrame(): boolean {
    return this.#skipping || this.#end > this.#start;
  }

  push(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let rest = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#start < this.#end) rest = this.#complete(rest, frames);
    if (rest.length > 0) {
      this.#borrow(rest);
      this.#decode(frames);
    }
    if (this.#borrowed && this.#start < this.#end) this.#makeRoom(0);
    return frames;
  }

  #decode(frames: Frame[]): void {
    for (;;) {
      const frame = this.#skipping ? this.#skip() : this.#next();
      if (frame === undefined) return;
      frames.push(frame);
    }
  }

  /** Adds to the frame that has begun what belongs to it, and no more; returns the rest of the chunk. */
  #complete(chunk: Buffer, frames: Frame[]): Buffer {
    const length = Math.min(this.#lacking(chunk), chunk.length);
    if (this.#end + length > this.#buffer.length) this.#makeRoom(length);
    chunk.copy(this.#buffer, this.#end, 0, length);
    this.#end += length;
    this.#decode(frames);
    return chunk.subarray(length);
  }

  /** Bytes of the chunk up to the end of the frame that has begun. */
  #lacking(chunk: Buffer): number {
    const seen = this.#scanned < this.#end ? this.#findHash(this.#scanned) : -1;
    if (seen >= 0) return seen + 3 - this.#end;
    const hash = chunk.indexOf(HASH);
    return hash < 0 ? chunk.length : hash + 3;
  }

  /** Frames are views of the chunk from here on. */
  #borrow(chunk: Buffer): void {
    this.#buffer = chunk;
    this.#borrowed = true;
    this.#start = 0;
    this.#scanned = 0;
    this.#end = chunk.length;
  }

  /** Moves what is held to memory of its own with room for `length` more bytes: the frame that it becomes may be kept. */
  #makeRoom(length: number): void {
    const held = this.#buffer.subarray(this.#start, this.#end);
    const next = Buffer.allocUnsafeSlow(Math.max((held.length + length) * 2, SMALLEST_ROOM));
    held.copy(next, 0);
    this.#buffer = next;
    this.#borrowed = false;
    this.#scanned = Math.max(this.#scanned - this.#start, 0);
    this.#end = held.length;
    this.#start = 0;
  }

  #next(): Frame | undefined {
    if (this.#start >= this.#end) return undefined;
    const first = this.#buffer[this.#start];
    switch (first) {
      case PLUS:
        this.#start++;
        return { kind: "ack" };
      case MINUS:
        this.#start++;
        return { kind: "nak" };
      case DOLLAR:
      case PERCENT:
        return this.#frame(first === DOLLAR ? "packet" : "notification");
      default:
        return this.#noise();
    }
  }

  #noise(): Frame {
    let end = this.#start;
    while (end < this.#end && !startsFrame(this.#buffer[end] as number)) end++;
    const bytes = new Uint8Array(this.#buffer.subarray(this.#start, end));
    this.#start = end;
    return { kind: "noise", bytes };
  }

  #frame(kind: "packet" | "notification"): Frame | undefined {
    const body = this.#start + 1;
    const hash = this.#findHash(Math.max(body, this.#scanned));
    if (hash < 0) {
      this.#scanned = this.#end;
      if (this.#end - body <= this.#limit) return undefined;
      this.#skipping = true;
      this.#start = this.#end;
      return { kind: "corrupt", why: "too-long" };
    }
    this.#scanned = hash;
    if (hash + 2 >= this.#end) return undefined;
    this.#start = hash + 3;
    this.#scanned = this.#start;
    if (hash - body > this.#limit) return { kind: "corrupt", why: "too-long" };
    const told = hexPair(this.#buffer[hash + 1] as number, this.#buffer[hash + 2] as number);
    const raw = this.#buffer.subarray(body, hash);
    if (told !== checksum(this.#buffer, body, hash) || raw.includes(DOLLAR))
      return { kind: "corrupt", why: "checksum" };
    return this.#payload(kind, raw);
  }

  #findHash(from: number): number {
    const filled = this.#borrowed ? this.#buffer : this.#buffer.subarray(0, this.#end);
    return filled.indexOf(HASH, from);
  }

  #payload(kind: "packet" | "notification", raw: Buffer): Frame {
    if (!raw.includes(STAR) && !raw.includes(ESCAPE)) {
      return { kind, payload: raw };
    }
    const payload = expand(raw, this.#limit);
    return payload === undefined ? { kind: "corrupt", why: "run-length" } : { kind, payload };
  }

  #skip(): Frame | undefined {
    const hash = this.#findHash(this.#start);
    if (hash < 0) {
      this.#start = this.#end;
      return undefined;
    }
    if (hash + 2 >= this.#end) {
      this.#start = hash;
      return undefined;
    }
    this.#start = hash + 3;
    this.#scanned = this.#start;
    this.#skipping = false;
    return this.#next();
  }
}

function startsFrame(byte: number): boolean {
  return byte === DOLLAR || byte === PERCENT || byte === PLUS || byte === MINUS;
}

/** The value of two hex digits, -1 when they are none. */
function hexPair(high: number, low: number): number {
  const h = hexDigit(high);
  const l = hexDigit(low);
  return h < 0 || l < 0 ? -1 : h * 16 + l;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Undoes escapes and run-length encoding; undefined when a run has no byte to repeat or the result passes the limit. */
function expand(raw: Uint8Array, limit: number): Uint8Array | undefined {
  const length = expandedLength(raw);
  if (length === undefined || length > limit) return undefined;
  const out = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i] as number;
    if (byte === ESCAPE) out[at++] = (raw[++i] as number) ^ 0x20;
    else if (byte === STAR) at = repeat(out, at, runLength(raw[++i]));
    else out[at++] = byte;
  }
  return out;
}

function expandedLength(raw: Uint8Array): number | undefined {
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i];
    if (byte === STAR) {
      const count = runLength(raw[++i]);
      if (length === 0 || count < 3) return undefined;
      length += count;
    } else {
      if (byte === ESCAPE && ++i === raw.length) return undefined;
      length++;
    }
  }
  return length;
}

function runLength(byte: number | undefined): number {
  return (byte ?? 0) - 29;
}

/** Repeats the byte before `at`; returns where the run ends. */
function repeat(out: Uint8Array, at: number, count: number): number {
  out.fill(out[at - 1] as number, at, at + count);
  return at + count;
}
