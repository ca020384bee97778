/**
 * A transcript as a replay needs it: which request was answered with which bytes.
 *
 * Source: "Debugging with GDB", appendix E, E.1 Overview and E.11 Packet Acknowledgment. A stub handles packets one after the other. While
 * it acknowledges them, each `+` or `-` of its own begins the answer to the next request, and everything until the one after it belongs
 * there: console output, the reply, a stop that came much later. Once it does not (QStartNoAckMode, or a recording without any),
 * the next packet that is no output ends the answer. What comes before the first answer nobody asked for: QEMU's stop reply on connect.
 *
 * Terms: an epoch lasts from one request that lets the guest run to the next. In it the guest stands still, so that the order of
 * questions may change; across its end it may not. A part of an answer waits for a byte of the client's: an interrupt (0x03) that
 * stops the guest, or a `-` that asks for a packet again.
 */
import { latin1 } from "../base/text.ts";
import { type PieceKind, Splitter } from "./splitter.ts";
import type { Direction } from "./tap.ts";
import { notATranscript, readTranscript, type TranscriptEnd } from "./transcript-format.ts";

/** What a later part of an answer waits for. */
export type Trigger = "interrupt" | "nak";

export interface AnswerPart {
  /** Undefined for the first part: the request itself. */
  readonly trigger: Trigger | undefined;
  readonly pieces: Uint8Array[];
}

export interface RecordedRequest {
  /** Line of the transcript. */
  readonly line: number;
  /** As on the wire, between `$` and `#`. */
  readonly payload: Uint8Array;
  readonly parts: AnswerPart[];
  /** `none`: silence was the answer. `cut`: the recording ends before there is a whole one. */
  answer: "whole" | "none" | "cut";
}

export interface Epoch {
  readonly requests: RecordedRequest[];
  /** The request that ends it; undefined in the last one. */
  resume: RecordedRequest | undefined;
}

export interface RecordedSession {
  readonly path: string;
  /** Sent by the stub before it was asked anything. */
  readonly greeting: readonly Uint8Array[];
  /** At least one; only the last has no resume. */
  readonly epochs: readonly Epoch[];
  /** Undefined when the recording was cut. */
  readonly end: TranscriptEnd | undefined;
}

/** Packets, runs of acknowledgements and the like in one transcript. */
const MAX_PIECES = 4_000_000;
/** Requests after which the guest runs, is gone, or is another one: `c s C S bc bs k D R`, vCont, vRun, vAttach, vKill. */
const RESUMES = /^(?:[csCSkDR]|b[cs]$|vCont;|vRun|vAttach|vKill)/;
const ACK = Uint8Array.of(0x2b);
const NAK = Uint8Array.of(0x2d);
const OK = "$OK#9a";

export function resumesGuest(payload: Uint8Array): boolean {
  return RESUMES.test(latin1(payload.subarray(0, 8)));
}

/** Reads a transcript. Throws `not-a-transcript`; one that was cut has no end. `path` is for messages. */
export function readSession(file: Buffer, path: string): RecordedSession {
  const reader = new SessionReader(path);
  const end = readTranscript(file, path, (direction, bytes, line) => reader.take(direction, bytes, line));
  return reader.finish(end);
}

/** A piece that the stub sent, and how much the client had sent by then. */
interface Received {
  readonly kind: PieceKind;
  readonly bytes: Uint8Array;
  readonly requests: number;
  readonly triggers: number;
}

class SessionReader {
  readonly #path: string;
  readonly #splitters: Readonly<Record<Direction, Splitter>> = { sent: new Splitter(), received: new Splitter() };
  readonly #epochs: Epoch[] = [{ requests: [], resume: undefined }];
  /** Requests in the order in which they were sent. */
  readonly #sent: RecordedRequest[] = [];
  readonly #received: Received[] = [];
  /** What the client sent besides requests, and the request before it. */
  readonly #triggers: { readonly trigger: Trigger; readonly request: RecordedRequest | undefined }[] = [];
  #pieces = 0;

  constructor(path: string) {
    this.#path = path;
  }

  take(direction: Direction, bytes: Uint8Array, line: number): void {
    this.#splitters[direction].push(bytes, (kind, piece) => {
      if (++this.#pieces > MAX_PIECES) throw notATranscript(this.#path, `it has more than ${MAX_PIECES} packets`);
      if (direction === "received") this.#stub(kind, piece);
      else this.#client(kind, piece, line);
    });
  }

  finish(end: TranscriptEnd | undefined): RecordedSession {
    const rest = this.#splitters.received.rest();
    if (rest.length > 0) this.#stub("other", rest);
    const greeting = this.#handOut();
    for (let i = this.#sent.length - 1; this.#sent[i]?.answer === "none"; i--) {
      (this.#sent[i] as RecordedRequest).answer = "cut";
    }
    return { path: this.#path, greeting, epochs: this.#epochs, end };
  }

  #stub(kind: PieceKind, bytes: Uint8Array): void {
    const [requests, triggers] = [this.#sent.length, this.#triggers.length];
    if (kind !== "acks" && kind !== "naks") {
      this.#received.push({ kind, bytes, requests, triggers });
      return;
    }
    const one = kind === "acks" ? ACK : NAK;
    this.#pieces += bytes.length - 1;
    if (this.#pieces > MAX_PIECES) throw notATranscript(this.#path, `it has more than ${MAX_PIECES} packets`);
    for (let i = 0; i < bytes.length; i++) this.#received.push({ kind, bytes: one, requests, triggers });
  }

  #client(kind: PieceKind, piece: Uint8Array, line: number): void {
    const request = this.#sent.at(-1);
    if (kind === "packet") this.#request(piece.subarray(1, -3), line);
    else if (kind === "interrupt") this.#triggers.push({ trigger: "interrupt", request });
    else if (kind === "naks") this.#triggers.push({ trigger: "nak", request });
  }

  #request(payload: Uint8Array, line: number): void {
    const request: RecordedRequest = { line, payload, parts: [{ trigger: undefined, pieces: [] }], answer: "none" };
    this.#sent.push(request);
    const epoch = this.#epochs.at(-1) as Epoch;
    if (resumesGuest(payload)) {
      epoch.resume = request;
      this.#epochs.push({ requests: [], resume: undefined });
    } else {
      epoch.requests.push(request);
    }
  }

  /** Gives each request what answered it; returns what nobody had asked for. */
  #handOut(): Uint8Array[] {
    const greeting: Uint8Array[] = [];
    let acknowledges = this.#received.some(({ kind }) => kind === "acks" || kind === "naks");
    let current = -1;
    let triggers = 0;
    for (const { kind, bytes, ...then } of this.#received) {
      for (; triggers < then.triggers; triggers++) this.#newPart(triggers);
      const begins = acknowledges
        ? kind === "acks" || kind === "naks"
        : kind === "packet" && this.#sent[current]?.answer !== "none";
      if (begins && current + 1 < then.requests) current++;
      const request = this.#sent[current];
      (request?.parts.at(-1)?.pieces ?? greeting).push(bytes);
      if (request === undefined || !endsAnswer(kind, bytes)) continue;
      request.answer = "whole";
      if (kind === "packet" && latin1(request.payload) === "QStartNoAckMode") acknowledges &&= latin1(bytes) !== OK;
    }
    for (; triggers < this.#triggers.length; triggers++) this.#newPart(triggers);
    return greeting;
  }

  #newPart(index: number): void {
    const { trigger, request } = this.#triggers[index] ?? {};
    request?.parts.push({ trigger, pieces: [] });
  }
}

/** A reply, which is any packet but console output (`O` and something else than `K`), or a refusal of the request as it came. */
function endsAnswer(kind: PieceKind, bytes: Uint8Array): boolean {
  if (kind === "naks") return true;
  return kind === "packet" && (bytes[1] !== 0x4f || latin1(bytes) === OK);
}
