/**
 * What a recorded stub answers while its guest stands still: the questions of one epoch, in whatever order they come.
 *
 * The same session asks in another order than the recording when chains of requests share the connection, and asks twice what it had
 * asked once: what a chain has read already, another one need not ask for, and which is first depends on how the bytes came. So a
 * question is answered with the first answer to it that has not been given, then, if it only reads, with the last one again; memory may
 * also be asked for in other pieces than it was recorded in. What an answer depends on goes with the question: the thread that `H`
 * selected, and QEMU's physical memory mode. Nothing is answered that was not seen: a read of memory after a write is not put together.
 */
import { createHash } from "node:crypto";
import { bytesOfHex } from "../base/hex.ts";
import { latin1 } from "../base/text.ts";
import { encodePacket, PacketDecoder } from "./packet.ts";
import type { Epoch, RecordedRequest } from "./recorded-session.ts";

/** What the answers of a stub depend on besides the guest. */
export class StubContext {
  #thread = "";
  #memory = "";
  /** Requests so far that may have changed the machine. */
  changes = 0;

  /** A question with all that its answer depends on. */
  keyOf(payload: string): string {
    const asked = payload.length > 64 ? createHash("sha256").update(payload, "latin1").digest("base64") : payload;
    return `${this.#scopeOf(payload)} ${asked}`;
  }

  #scopeOf(payload: string): string {
    if (READS_REGISTERS.test(payload)) return this.#thread;
    return READS_MEMORY.test(payload) ? this.memoryScope : "";
  }

  get memoryScope(): string {
    return this.#memory === "1" ? "physical" : this.#thread;
  }

  /** To be told of each request, after its key was asked for. */
  note(payload: string): void {
    const mode = /^Qqemu\.PhyMemMode:(.*)$/.exec(payload)?.[1];
    if (mode !== undefined) this.#memory = mode;
    else if (payload.startsWith("Hg")) this.#thread = payload;
    else if (changesMachine(payload)) this.changes++;
  }

  /** After the guest ran the stub selects a thread by itself: QEMU the one that it names with SIGTRAP. `stop`: its packet, if it is known. */
  resumed(stop: string): void {
    const thread = /^\$T05thread:([^;#]{1,40});/.exec(stop)?.[1];
    this.#thread = thread === undefined ? "" : `Hg${thread}`;
  }
}

const READS_REGISTERS = /^[pg]/;
const READS_MEMORY = /^[mx]/;
const SELECTS = /^Hg/;
const REPEATABLE = /^(?:[pgmx]|H|Qqemu\.PhyMemMode:)/;
const WRITES = /^(?:[MXPG]|qRcmd,)/;
/** Monitor commands in hex that only look: `info …`, `gva2gpa …`, `gpa2hva …`, `gpa2hpa …`. */
const LOOKS = /^qRcmd,(?:696e666f20|67766132677061|67706132687661|67706132687061)/;

function changesMachine(payload: string): boolean {
  return WRITES.test(payload) && !LOOKS.test(payload);
}

interface Question {
  readonly requests: RecordedRequest[];
  /** How many of them have been asked again. */
  given: number;
  /** How many changes there had been when it was last answered. */
  changes: number;
}

export class RecordedAnswers {
  readonly #questions = new Map<string, Question>();
  readonly #memory: RecordedMemory;
  /** Recorded requests that have not been asked again. Selections do not count: who knows what is selected need not ask. */
  #left = 0;

  /** `context` is that of the recording at the start of the epoch; it is moved on to its end. */
  constructor(epoch: Epoch, context: StubContext) {
    const changes = context.changes;
    const reads: MemoryQuestion[] = [];
    for (const request of epoch.requests) {
      const payload = latin1(request.payload);
      if (!SELECTS.test(payload)) this.#left++;
      const key = context.keyOf(payload);
      const question = this.#questions.get(key);
      if (question === undefined) this.#questions.set(key, { requests: [request], given: 0, changes: 0 });
      else question.requests.push(request);
      const span = spanOf(payload);
      if (span !== undefined) reads.push({ ...span, scope: context.memoryScope, request });
      context.note(payload);
    }
    this.#memory = new RecordedMemory(context.changes === changes ? reads : []);
  }

  /** Whether everything that was recorded has been asked again. */
  get exhausted(): boolean {
    return this.#left === 0;
  }

  /** The first line of what has not been asked again. */
  get nextLine(): number | undefined {
    const open = [...this.#questions.values()].flatMap(({ requests, given }) => requests[given]?.line ?? []);
    return open.length === 0 ? undefined : open.reduce((first, line) => Math.min(first, line));
  }

  /** The recorded request with the same payload; undefined when there is none. `context` is the client's. */
  find(payload: string, context: StubContext): RecordedRequest | undefined {
    const question = this.#questions.get(context.keyOf(payload));
    if (question === undefined) return undefined;
    const next = question.requests[question.given];
    if (next !== undefined) {
      question.given++;
      question.changes = context.changes;
      if (!SELECTS.test(payload)) this.#left--;
      return next;
    }
    const repeats = REPEATABLE.test(payload) && question.changes === context.changes;
    return repeats ? question.requests.at(-1) : undefined;
  }

  /** The answer to a read of memory that was recorded in other pieces; undefined when a byte of it was not. */
  readMemory(payload: string, context: StubContext): Uint8Array[] | undefined {
    const span = spanOf(payload);
    return span && this.#memory.read(span, context.memoryScope);
  }
}

interface Span {
  readonly address: bigint;
  readonly length: number;
}

interface MemoryQuestion extends Span {
  readonly scope: string;
  readonly request: RecordedRequest;
}

function spanOf(payload: string): Span | undefined {
  const [, address, length] = /^m([0-9a-f]{1,16}),([0-9a-f]{1,6})$/.exec(payload) ?? [];
  if (address === undefined || length === undefined) return undefined;
  return { address: BigInt(`0x${address}`), length: Number.parseInt(length, 16) };
}

interface MemoryPiece {
  readonly address: bigint;
  readonly end: bigint;
  readonly request: RecordedRequest;
}

/** Reads that overlap at one place are looked through this far. */
const MAX_OVERLAP = 64;

/** Memory that was read in one epoch, put together from its pieces. */
class RecordedMemory {
  readonly #reads: readonly MemoryQuestion[];
  /** By scope, sorted by address; made when it is first asked for. */
  #pieces: Map<string, MemoryPiece[]> | undefined;

  constructor(reads: readonly MemoryQuestion[]) {
    this.#reads = reads;
  }

  read({ address, length }: Span, scope: string): Uint8Array[] | undefined {
    this.#pieces ??= sorted(this.#reads);
    const pieces = this.#pieces.get(scope) ?? [];
    const bytes = Buffer.alloc(length);
    const end = address + BigInt(length);
    let acknowledged = false;
    for (let at = address; at < end; ) {
      const piece = pieceAt(pieces, at);
      const answer = piece && decodeAnswer(piece);
      if (piece === undefined || answer === undefined) return undefined;
      bytes.set(answer.bytes.subarray(Number(at - piece.address)).subarray(0, Number(end - at)), Number(at - address));
      acknowledged = answer.acknowledged;
      at = piece.end;
    }
    const packet = encodePacket(bytes.toString("hex"));
    return acknowledged ? [Buffer.from("+"), packet] : [packet];
  }
}

function sorted(reads: readonly MemoryQuestion[]): Map<string, MemoryPiece[]> {
  const pieces = new Map<string, MemoryPiece[]>();
  for (const { address, length, scope, request } of reads) {
    const piece = { address, end: address + BigInt(length), request };
    const list = pieces.get(scope);
    if (list === undefined) pieces.set(scope, [piece]);
    else list.push(piece);
  }
  for (const list of pieces.values()) list.sort((a, b) => (a.address < b.address ? -1 : Number(a.address > b.address)));
  return pieces;
}

/** A piece that holds the byte at an address, among those that start at it or before. */
function pieceAt(pieces: readonly MemoryPiece[], address: bigint): MemoryPiece | undefined {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle] as MemoryPiece).address <= address) low = middle + 1;
    else high = middle;
  }
  for (let i = low - 1; i >= Math.max(low - MAX_OVERLAP, 0); i--) {
    const piece = pieces[i] as MemoryPiece;
    if (piece.end > address && decodeAnswer(piece) !== undefined) return piece;
  }
  return undefined;
}

/** The bytes of a read that was answered whole and undamaged. */
function decodeAnswer({
  address,
  end,
  request,
}: MemoryPiece): { bytes: Uint8Array; acknowledged: boolean } | undefined {
  const [part, more] = request.parts;
  if (part === undefined || more !== undefined) return undefined;
  const frames = new PacketDecoder().push(Buffer.concat(part.pieces));
  const acknowledged = frames[0]?.kind === "ack";
  const [reply, ...others] = acknowledged ? frames.slice(1) : frames;
  if (reply?.kind !== "packet" || others.length > 0) return undefined;
  const bytes = bytesOfHex(latin1(reply.payload));
  return bytes?.length === Number(end - address) ? { bytes, acknowledged } : undefined;
}
