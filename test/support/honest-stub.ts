/**
 * A stub in memory that does what it should, for tests that put something between it and the client: damage, delays. What it tells is
 * a function of what it is asked, so that an answer can be held against its question. It shares no code with what it tests.
 *
 * It has the manners of one of two:
 * - `gdbserver` (gdbserver/remote-utils.cc, `putpkt_binary_1` and `getpkt`): after a packet it takes every byte but `+` for a demand to
 *   send it again; between packets whatever is no `$` is dropped; inside one a `$` is data; a wrong checksum is answered with `-`.
 * - `qemu` (gdbstub.c, `gdb_read_byte`): `-` sends the last packet again, `+` and `$` end that; other bytes before a `$` are dropped; a
 *   checksum that is no hex drops the packet without a word; while the guest runs every byte stops it.
 */
import { Random } from "./random.ts";

export type Manners = "gdbserver" | "qemu";

export interface HonestStubOptions {
  readonly manners: Manners;
  /** Told each piece that goes out, latin1. */
  readonly send: (bytes: string) => void;
  /** The guest has been let go for the `count`th time. */
  readonly onResume?: (count: number) => void;
  /** A running guest was asked to stop; without it, it does so at once. */
  readonly onInterrupt?: () => void;
  /** Changes everything that is told. */
  readonly seed?: number;
}

/** Bytes of the register `number`, as hex digits: little-endian, 8 of them. */
export function registerValue(number: number, seed = 0): string {
  return (
    mixed(number + 0x5000, seed)
      .toString(16)
      .padStart(8, "0") + mixed(number, ~seed).toString(16).padStart(8, "0")
  );
}

/** The byte of memory at an address. */
export function memoryByte(address: number, seed = 0): number {
  return mixed(address, seed) & 0xff;
}

export function memoryBytes(address: number, length: number, seed = 0): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => memoryByte(address + i, seed)));
}

function mixed(value: number, seed: number): number {
  return new Random(Math.imul(value, 0x9e37_79b1) ^ seed).next();
}

/** The document that qXfer hands out. */
export const DOCUMENT = `<?xml version="1.0"?><target>${Array.from({ length: 3 }, (_, i) => `<reg name="r${i * 37}#$}*"/>`).join("")}</target>`;
/** What `qRcmd` prints, a packet a line. */
export const PRINTED: readonly string[] = ["one\n", "3c#3c\n", "three\n"];
export const SUPPORTED = "PacketSize=1000;QStartNoAckMode+;qXfer:features:read+;swbreak+;vContSupported+";
/** As many stand in the answer to `g`. */
export const REGISTER_COUNT = 8;

/** `payload` in a frame, what has to be escaped escaped. */
export function packet(payload: string): string {
  const body = payload.replace(/[#$}*]/g, (char) => `}${String.fromCharCode(char.charCodeAt(0) ^ 0x20)}`);
  return `$${body}#${sumOf(body).toString(16).padStart(2, "0")}`;
}

function sumOf(body: string): number {
  let sum = 0;
  for (let i = 0; i < body.length; i++) sum += body.charCodeAt(i);
  return sum % 256;
}

export class HonestStub {
  /** What was written, by address. */
  readonly written = new Map<number, number>();
  readonly requests: string[] = [];
  /** Bytes but 0x03 that reached the running guest. */
  stray = "";
  running = false;
  resumes = 0;
  acks = true;
  readonly #options: HonestStubOptions;
  readonly #seed: number;
  #state: "idle" | "body" | "sum" = "idle";
  #raw = "";
  #told = "";
  /** gdbserver: packets that wait for the one before them to be acknowledged; the first of them has been sent. */
  #outgoing: string[] = [];
  /** QEMU: the last packet, until it is acknowledged. */
  #last: string | undefined;
  /** gdbserver notes a 0x03 that comes at the wrong time, and stops when the guest goes on. */
  #interrupted = false;
  #noAckNext = false;

  constructor(options: HonestStubOptions) {
    this.#options = options;
    this.#seed = options.seed ?? 0;
  }

  /** A part of a request has come. */
  get midRequest(): boolean {
    return this.#state !== "idle";
  }

  receive(bytes: string): void {
    for (const char of bytes) this.#byte(char);
  }

  /** The guest stops by itself, if it runs. */
  stop(signal = 5): void {
    if (!this.running) return;
    this.running = false;
    this.reply(this.stopText(signal));
  }

  stopText(signal: number): string {
    return `T${signal.toString(16).padStart(2, "0")}thread:${this.resumes.toString(16)};`;
  }

  /** Sends a packet, as this stub does. */
  reply(payload: string): void {
    const bytes = packet(payload);
    if (!this.acks) this.#options.send(bytes);
    else if (this.#options.manners === "gdbserver") {
      this.#outgoing.push(bytes);
      if (this.#outgoing.length === 1) this.#options.send(bytes);
    } else {
      this.#last = bytes;
      this.#options.send(bytes);
    }
  }

  #byte(char: string): void {
    if (this.#options.manners === "gdbserver") this.#gdbserverByte(char);
    else this.#qemuByte(char);
  }

  #gdbserverByte(char: string): void {
    const [waiting] = this.#outgoing;
    if (waiting !== undefined) {
      if (char === "\x03") this.#interrupted = true;
      if (char !== "+") this.#options.send(waiting);
      else {
        this.#outgoing.shift();
        if (this.#outgoing[0] !== undefined) this.#options.send(this.#outgoing[0]);
      }
    } else if (!this.running) this.#framed(char);
    else if (char === "\x03") this.#interrupt();
    else this.stray += char;
  }

  #qemuByte(char: string): void {
    if (this.#last !== undefined) {
      if (char === "-") this.#options.send(this.#last);
      if (char === "+" || char === "$") this.#last = undefined;
      if (char !== "$") return;
    }
    if (this.running) {
      if (char !== "\x03") this.stray += char;
      this.#interrupt();
    } else this.#framed(char);
  }

  #framed(char: string): void {
    switch (this.#state) {
      case "idle":
        if (char !== "$") return;
        this.#state = "body";
        this.#raw = "";
        return;
      case "body":
        if (char !== "#") this.#raw += char;
        else {
          this.#state = "sum";
          this.#told = "";
        }
        return;
      case "sum":
        this.#told += char;
        if (this.#told.length === 2) this.#end();
        return;
    }
  }

  #end(): void {
    this.#state = "idle";
    const hex = /^[0-9a-fA-F]{2}$/.test(this.#told);
    if (!hex && this.#options.manners === "qemu") return;
    if (!hex || Number.parseInt(this.#told, 16) !== sumOf(this.#raw)) {
      this.#options.send("-");
      return;
    }
    if (this.acks) this.#options.send("+");
    const request = this.#raw.replace(/\}(.)/gs, (_, escaped: string) =>
      String.fromCharCode(escaped.charCodeAt(0) ^ 0x20),
    );
    this.requests.push(request);
    this.#handle(request);
    if (this.#noAckNext) this.acks = false;
  }

  #handle(request: string): void {
    if (/^(c|vCont;[cs](:[0-9a-f]+)?)$/.test(request)) this.#resume();
    else if (request.startsWith("qRcmd,")) {
      for (const line of PRINTED) this.reply(`O${Buffer.from(line, "latin1").toString("hex")}`);
      this.reply("OK");
    } else this.reply(this.#answer(request));
  }

  #resume(): void {
    this.resumes++;
    this.running = true;
    this.#options.onResume?.(this.resumes);
    if (this.#interrupted) this.#interrupt();
    this.#interrupted = false;
  }

  #interrupt(): void {
    if (this.#options.onInterrupt === undefined) this.stop(2);
    else this.#options.onInterrupt();
  }

  #answer(request: string): string {
    if (/^qSupported(:|$)/.test(request)) return SUPPORTED;
    if (request === "?") return this.stopText(5);
    if (request === "g") {
      return Array.from({ length: REGISTER_COUNT }, (_, i) => registerValue(i, this.#seed)).join("");
    }
    if (request === "QStartNoAckMode") {
      this.#noAckNext = true;
      return "OK";
    }
    if (/^(Hg[0-9a-f]+|[Zz]0,[0-9a-f]+,4)$/.test(request)) return "OK";
    return this.#document(request) ?? this.#register(request) ?? this.#memory(request) ?? "";
  }

  #document(request: string): string | undefined {
    if (!request.startsWith("qXfer")) return undefined;
    const [, at, size] = /^qXfer:features:read:target\.xml:([0-9a-f]+),([0-9a-f]+)$/.exec(request) ?? [];
    if (at === undefined || size === undefined) return "E00";
    const start = Number.parseInt(at, 16);
    const end = start + Number.parseInt(size, 16);
    return (end < DOCUMENT.length ? "m" : "l") + DOCUMENT.slice(start, end);
  }

  #register(request: string): string | undefined {
    if (request[0] !== "p") return undefined;
    const number = /^p([0-9a-f]{1,4})$/.exec(request)?.[1];
    return number === undefined ? "E01" : registerValue(Number.parseInt(number, 16), this.#seed);
  }

  #memory(request: string): string | undefined {
    const [, letter, at = "", size = "", data] =
      /^([mxM])([0-9a-f]+),([0-9a-f]+)(?::([0-9a-f]*))?$/.exec(request) ?? [];
    if (letter === undefined) return /^[mxM]/.test(request) ? "E01" : undefined;
    const address = Number.parseInt(at, 16);
    const length = Number.parseInt(size, 16);
    if (letter === "M") return this.#write(address, length, data ?? "");
    if (length > 0x400) return "E02";
    const bytes = Buffer.from(Array.from({ length }, (_, i) => this.byteAt(address + i)));
    return letter === "m" ? bytes.toString("hex") : bytes.toString("latin1");
  }

  byteAt(address: number): number {
    return this.written.get(address) ?? memoryByte(address, this.#seed);
  }

  #write(address: number, length: number, data: string): string {
    const bytes = Buffer.from(data, "hex");
    if (data.length !== 2 * length || bytes.length !== length) return "E01";
    bytes.forEach((byte, i) => {
      this.written.set(address + i, byte);
    });
    return "OK";
  }
}
