/**
 * A transcript as the other end of a connection: a stub without a machine. It answers what is asked as it was answered when the
 * session was recorded, damaged bytes included, and runs the guest as the recording did: up to the stop that came then, or, where the
 * client had to interrupt it, until the client does so again.
 *
 * Time plays no part: an answer comes in the next turn of the event loop, as it does from a socket. Who asks for something else than was
 * recorded is told `transcript-diverged`; a replay is never answered with a guess.
 */
import { readFile, stat } from "node:fs/promises";
import { EbscopeError } from "../base/error.ts";
import { systemReason } from "../base/system-error.ts";
import { latin1, printable } from "../base/text.ts";
import { RecordedAnswers, StubContext } from "./recorded-answers.ts";
import {
  type Epoch,
  type RecordedRequest,
  type RecordedSession,
  readSession,
  resumesGuest,
  type Trigger,
} from "./recorded-session.ts";
import { type PieceKind, Splitter } from "./splitter.ts";
import { MAX_TRANSCRIPT, notATranscript } from "./transcript-format.ts";
import type { Transport } from "./transport.ts";

/** Reads a transcript. Throws `file-unreadable` or `not-a-transcript`. */
export async function openReplay(path: string): Promise<Transport> {
  return new ReplayTransport(readSession(await readTranscriptFile(path), path));
}

async function readTranscriptFile(path: string): Promise<Buffer> {
  try {
    const about = await stat(path);
    // A pipe or a device has no size and may never end.
    if (!about.isFile() && !about.isDirectory()) throw notATranscript(path, "it is no regular file");
    if (about.size > MAX_TRANSCRIPT)
      throw notATranscript(path, "it is larger than any transcript that is read (1 GiB)");
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof EbscopeError) throw cause;
    throw new EbscopeError("file-unreadable", `Cannot read ${printable(path)}: ${systemReason(cause)}`, { cause });
  }
}

const DOLLAR = 0x24;

type Handlers = Parameters<Transport["start"]>[0];

export class ReplayTransport implements Transport {
  readonly #session: RecordedSession;
  readonly #splitter = new Splitter();
  readonly #recorded = new StubContext();
  readonly #client = new StubContext();
  #handlers: Handlers | undefined;
  #epoch = 0;
  #answers: RecordedAnswers;
  /** The newest request, and how many parts of its answer have gone out. */
  #newest: { readonly request: RecordedRequest; parts: number } | undefined;
  #outbox: Uint8Array[] = [];
  #scheduled = false;
  /** Set when the connection ends after what is in the outbox. */
  #ending: { readonly cause: Error | undefined } | undefined;
  #closed = false;

  constructor(session: RecordedSession) {
    this.#session = session;
    this.#answers = new RecordedAnswers(session.epochs[0] as Epoch, this.#recorded);
  }

  start(handlers: Handlers): void {
    this.#handlers = handlers;
    this.#send(this.#session.greeting);
    this.#endWhenOver();
  }

  write(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#splitter.push(bytes, (kind, piece) => {
      if (this.#ending === undefined) this.#take(kind, piece);
    });
    this.#endWhenOver();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#outbox = [];
  }

  #take(kind: PieceKind, piece: Uint8Array): void {
    switch (kind) {
      case "packet":
        this.#request(piece.subarray(1, -3));
        return;
      case "interrupt":
        this.#trigger("interrupt");
        return;
      case "naks":
        this.#trigger("nak");
        return;
      case "acks":
      case "notification":
      case "other":
        return;
    }
  }

  #request(bytes: Uint8Array): void {
    const payload = latin1(bytes);
    if (resumesGuest(bytes)) {
      this.#resume(bytes);
      return;
    }
    const request = this.#answers.find(payload, this.#client);
    const memory = request === undefined ? this.#answers.readMemory(payload, this.#client) : undefined;
    this.#client.note(payload);
    if (request !== undefined) this.#answer(request);
    else if (memory !== undefined) this.#send(memory);
    else this.#diverged(payload);
  }

  #resume(bytes: Uint8Array): void {
    const resume = this.#session.epochs[this.#epoch]?.resume;
    if (resume === undefined || Buffer.compare(resume.payload, bytes) !== 0) {
      this.#diverged(latin1(bytes));
      return;
    }
    this.#epoch++;
    const stop = stopOf(resume);
    this.#recorded.resumed(stop);
    this.#client.resumed(stop);
    this.#answers = new RecordedAnswers(this.#session.epochs[this.#epoch] as Epoch, this.#recorded);
    this.#answer(resume);
  }

  #answer(request: RecordedRequest): void {
    this.#newest = { request, parts: 1 };
    this.#send(request.parts[0]?.pieces ?? []);
    this.#endWhenCut();
  }

  /** Gives the part of the answer that waited for this; ignores what nothing waited for, as a stub whose guest stands still does. */
  #trigger(trigger: Trigger): void {
    const newest = this.#newest;
    const part = newest?.request.parts[newest.parts];
    if (newest === undefined || part?.trigger !== trigger) return;
    newest.parts++;
    this.#send(part.pieces);
    this.#endWhenCut();
  }

  /** The answer breaks off where the recording ends, and so does the connection, unless it was the client who had enough. */
  #endWhenCut(): void {
    const { request, parts } = this.#newest ?? {};
    if (request?.answer !== "cut" || request.parts.length !== parts) return;
    if (this.#session.end === undefined) this.#end(this.#truncated());
    else if (this.#session.end.by === "stub") this.#end(endCause(this.#session.end.reason));
  }

  /** Where the stub hung up after its last answer, it does so again. */
  #endWhenOver(): void {
    const { end, epochs } = this.#session;
    if (end?.by !== "stub" || this.#epoch < epochs.length - 1 || !this.#answers.exhausted) return;
    if (this.#newest !== undefined && this.#newest.parts < this.#newest.request.parts.length) return;
    this.#end(endCause(end.reason));
  }

  #diverged(payload: string): void {
    const { path, epochs, end } = this.#session;
    const epoch = epochs[this.#epoch];
    if (end === undefined && epoch?.resume === undefined) {
      this.#end(this.#truncated());
      return;
    }
    const line = this.#answers.nextLine ?? epoch?.resume?.line;
    const where = line === undefined ? "it ends before" : `at line ${line} there is no`;
    const asked = JSON.stringify(printable(payload, 60));
    this.#end(
      new EbscopeError(
        "transcript-diverged",
        `Cannot replay ${printable(path)} any further: ${where} request ${asked}`,
      ),
    );
  }

  #truncated(): EbscopeError {
    return new EbscopeError(
      "transcript-truncated",
      `Cannot replay ${printable(this.#session.path)} any further: the recording ends before its session did`,
    );
  }

  #end(cause: Error | undefined): void {
    this.#ending ??= { cause };
    this.#schedule();
  }

  #send(pieces: readonly Uint8Array[]): void {
    if (pieces.length === 0) return;
    for (const piece of pieces) this.#outbox.push(piece);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const pieces = this.#outbox;
    this.#outbox = [];
    if (this.#closed) return;
    const ending = this.#ending;
    if (pieces.length > 0) this.#handlers?.data(Buffer.concat(pieces));
    if (ending === undefined || this.#closed) return;
    this.#closed = true;
    this.#handlers?.closed(ending.cause);
  }
}

function endCause(reason: string | undefined): Error | undefined {
  return reason === undefined ? undefined : Object.assign(new Error(reason), { code: reason });
}

/** The packet with which the guest's run ended; empty when the recording has none. */
function stopOf({ parts }: RecordedRequest): string {
  const pieces = parts.at(-1)?.pieces ?? [];
  return latin1(pieces.findLast((piece) => piece[0] === DOLLAR) ?? new Uint8Array());
}
