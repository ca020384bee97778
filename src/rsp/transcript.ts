/** Writes a session as a transcript while it runs; transcript-format.ts describes the text. */
import { printable } from "../base/text.ts";
import type { RecordFile } from "./record-file.ts";
import { Splitter } from "./splitter.ts";
import type { Direction, Tap, TapEnd } from "./tap.ts";
import { bytesText, endText, isPlain, TRANSCRIPT_HEADER, timeText } from "./transcript-format.ts";

/** What is worth knowing about a session besides its bytes; each stands in a comment. */
export interface TranscriptAbout {
  /** The program and its version. */
  readonly createdBy: string;
  /** The stub's address, for people. */
  readonly address: string;
  /** What the program was asked to do. */
  readonly options?: string;
}

export class TranscriptTap implements Tap {
  readonly #file: RecordFile;
  readonly #started = performance.now();
  readonly #splitters: Readonly<Record<Direction, Splitter>> = { sent: new Splitter(), received: new Splitter() };
  /** Writes the head of the transcript; the file is closed when the session ends. */
  constructor(file: RecordFile, about: TranscriptAbout) {
    this.#file = file;
    this.#line(TRANSCRIPT_HEADER);
    this.#comment(`${new Date().toISOString()}, ${about.createdBy}, ${about.address}`);
    if (about.options !== undefined) this.#comment(about.options);
    this.#comment("seconds > sent, < received; memory and registers of the guest stand here as they were read");
  }

  bytes(direction: Direction, borrowed: Uint8Array, time: number): void {
    if (this.#file.closed) return;
    const start = this.#lineStart(direction, time);
    // A single + goes with the packet after it, which is what it mostly belongs to.
    let ack = "";
    this.#splitters[direction].push(new Uint8Array(borrowed), (kind, piece) => {
      const packet = kind === "packet" || kind === "notification";
      if (ack !== "" && !packet) this.#line(`${start}${ack}`);
      const waits = kind === "acks" && piece.length === 1;
      if (!waits) this.#piece(packet ? `${start}${ack}` : start, packet, piece);
      ack = waits ? "+" : "";
    });
    if (ack !== "") this.#line(`${start}${ack}`);
  }

  ended(end: TapEnd, time: number): void {
    for (const direction of ["sent", "received"] as const) {
      const rest = this.#splitters[direction].rest();
      if (rest.length > 0) this.#line(`${this.#lineStart(direction, time)}${bytesText(rest)}`);
    }
    const told = end.by === "client" ? end : { by: end.by, reason: end.cause && reasonOf(end.cause) };
    this.#line(`${timeText(time - this.#started)} ${endText(told)}`);
    this.#file.close();
  }

  #lineStart(direction: Direction, time: number): string {
    return `${timeText(time - this.#started)} ${direction === "sent" ? ">" : "<"} `;
  }

  #piece(start: string, packet: boolean, piece: Uint8Array): void {
    if (!packet || !isPlain(piece)) {
      this.#line(start + bytesText(piece));
      return;
    }
    // Memory on its way, mostly: nothing to be done to it.
    this.#file.append(Buffer.from(start, "latin1"));
    this.#file.append(piece);
    this.#file.append(NEWLINE);
  }

  #comment(text: string): void {
    this.#line(
      `# ${printable(text, 1000)
        .replace(/[^\x20-\x7e]/g, "?")
        .trimEnd()}`,
    );
  }

  #line(text: string): void {
    this.#file.append(Buffer.from(`${text}\n`, "latin1"));
  }
}

const NEWLINE = Uint8Array.of(0x0a);

function reasonOf(cause: NodeJS.ErrnoException): string {
  return cause.code ?? cause.message;
}
