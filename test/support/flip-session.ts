/**
 * One session of a client with an honest stub over a line that damages one bit, and what came of it: each answer that the client accepts
 * is held against what the stub should have said. What is waited for is skipped.
 */
import { EbscopeError } from "../../src/base/error.ts";
import { Connection } from "../../src/rsp/connection.ts";
import type { StopReply } from "../../src/rsp/reply.ts";
import { settled } from "./fake-transport.ts";
import {
  DOCUMENT,
  HonestStub,
  type Manners,
  memoryBytes,
  PRINTED,
  REGISTER_COUNT,
  registerValue,
  SUPPORTED,
} from "./honest-stub.ts";
import { type Flip, MemoryLine } from "./memory-line.ts";
import { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface FlipCase {
  readonly manners: Manners;
  readonly mode: "strict" | "implied";
  readonly flip?: Flip;
  readonly seed?: number;
  /** Cuts what the stub sends into small pieces. */
  readonly cuts?: boolean;
}

export interface Outcome {
  /** Answers that were accepted and are right. */
  right: number;
  /** `E…` or the empty reply: the stub got another request than was sent, and refused it. */
  refused: number;
  /** Accepted, and not what the stub should have said. */
  readonly wrong: string[];
  /** The code of the error that ended it, or that a wait ended with. */
  readonly errors: string[];
  /** Bytes sent each way. */
  readonly bytes: MemoryLine["sent"];
}

const STOP_MS = 20_000;

export async function flipSession(time: VirtualTime, options: FlipCase): Promise<Outcome> {
  const { seed = 0 } = options;
  const line = new MemoryLine(options.flip);
  const stub = new HonestStub({ manners: options.manners, seed, send: (bytes) => line.put("to-client", bytes) });
  const client = new FlipClient(line, options);
  const conversation = client.converse().finally(() => client.connection.close());
  const cuts = options.cuts ? new Random(seed + 1) : undefined;
  await drive({ line, stub, cuts }, time, conversation);
  client.checkWritten(stub.written);
  return client.outcome;
}

interface World {
  readonly line: MemoryLine;
  readonly stub: HonestStub;
  readonly cuts: Random | undefined;
}

/** Delivers what is under way; when nothing is, lets the guest stop or time pass. */
async function drive(world: World, time: VirtualTime, session: Promise<void>): Promise<void> {
  let done = false;
  const ended = session.finally(() => {
    done = true;
  });
  for (let steps = 0; !done; steps++) {
    if (steps > 10_000) throw new Error("the session does not end");
    if (deliver(world)) await microtasks();
    else {
      await settled();
      if (!done && !deliver(world)) pass(world.stub, time);
    }
  }
  await ended;
}

/** Hands over what is under way; false when nothing is. */
function deliver({ line, stub, cuts }: World): boolean {
  const request = line.waiting["to-stub"].shift();
  if (request !== undefined) {
    stub.receive(request);
    return true;
  }
  const reply = line.waiting["to-client"].splice(0).join("");
  for (const piece of pieces(reply, cuts)) line.toClient(piece);
  return reply !== "";
}

/** Nobody has anything to say: the guest stops, or time passes. */
function pass(stub: HonestStub, time: VirtualTime): void {
  if (stub.running && stub.resumes % 2 === 1) stub.stop();
  else time.next();
}

/** Lets the client act on what it got; quicker than a turn of the event loop, and mostly enough. */
async function microtasks(): Promise<void> {
  for (let i = 0; i < 10; i++) await undefined;
}

function pieces(bytes: string, cuts: Random | undefined): string[] {
  if (cuts === undefined) return [bytes];
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = cuts.between(1, 40);
    parts.push(bytes.slice(at, at + length));
    at += length;
  }
  return parts;
}

class FlipClient {
  readonly connection: Connection;
  readonly outcome: Outcome;
  readonly #options: FlipCase;
  readonly #seed: number;
  readonly #writes = new Map<number, number>();

  constructor(line: MemoryLine, options: FlipCase) {
    this.#options = options;
    this.#seed = options.seed ?? 0;
    this.connection = new Connection(line, { deadlineMs: 5000, retransmitMs: 1000 });
    this.outcome = { right: 0, refused: 0, wrong: [], errors: [], bytes: line.sent };
  }

  async converse(): Promise<void> {
    try {
      await this.#introduce();
      await this.#reads(0x4000_0000 + (this.#seed % 1000) * 0x1238);
      await this.#describe();
      await this.#print();
      await this.#runs();
      await this.#reads(0xff00_0c30 + (this.#seed % 1000) * 0x40);
    } catch (error) {
      this.#failed(error);
    }
  }

  checkWritten(written: ReadonlyMap<number, number>): void {
    for (const [address, byte] of written) {
      if (this.#writes.get(address) !== byte) this.outcome.wrong.push(`0x${address.toString(16)} was overwritten`);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof EbscopeError)) throw error;
    this.outcome.errors.push(error.code);
  }

  async #introduce(): Promise<void> {
    await this.#ask("qSupported:swbreak+", SUPPORTED);
    if (this.#options.mode === "implied") await this.connection.implyAcks();
    await this.#ask("?", "T05thread:0;", { expectsStop: true });
    await this.#ask("Hg1", "OK");
  }

  async #reads(address: number): Promise<void> {
    const seed = this.#seed;
    const registers = [0, 0x1d, 0x33, 0x3c].map((number) =>
      this.#ask(`p${number.toString(16)}`, registerValue(number, seed)),
    );
    const reads = [12, 31].map((length, i) => {
      const where = address + i * 0x1c3;
      return this.#ask(
        `m${where.toString(16)},${length.toString(16)}`,
        memoryBytes(where, length, seed).toString("hex"),
      );
    });
    await Promise.all([...registers, ...reads]);
    const binary = address + 0x9000;
    await this.#ask(`x${binary.toString(16)},18`, memoryBytes(binary, 0x18, seed).toString("latin1"), {
      anyBytes: true,
    });
    const all = Array.from({ length: REGISTER_COUNT }, (_, i) => registerValue(i, seed)).join("");
    await this.#ask("g", all);
    await this.#write(address + 0x5000);
  }

  async #write(address: number): Promise<void> {
    const bytes = memoryBytes(address, 8, ~this.#seed);
    bytes.forEach((byte, i) => {
      this.#writes.set(address + i, byte);
    });
    const written = await this.#ask(`M${address.toString(16)},8:${bytes.toString("hex")}`, "OK");
    const there = written ? bytes : memoryBytes(address, 8, this.#seed);
    await this.#ask(`m${address.toString(16)},8`, there.toString("hex"));
  }

  async #describe(): Promise<void> {
    const size = 0x30;
    for (let at = 0; at < DOCUMENT.length; at += size) {
      const kind = at + size < DOCUMENT.length ? "m" : "l";
      const request = `qXfer:features:read:target.xml:${at.toString(16)},${size.toString(16)}`;
      await this.#ask(request, kind + DOCUMENT.slice(at, at + size));
    }
  }

  async #print(): Promise<void> {
    const printed: string[] = [];
    const onOutput = (text: string): void => {
      const line = Buffer.from(text, "hex").toString("latin1");
      // A stub that did not get our acknowledgement sends a line again; nothing tells that from a line that was printed twice.
      if (this.#options.flip?.direction !== "to-stub" || printed.at(-1) !== line) printed.push(line);
    };
    await this.#ask("qRcmd,00", "OK", { onOutput });
    if (printed.join("") === PRINTED.join("")) this.outcome.right++;
    else this.outcome.wrong.push(`qRcmd printed ${JSON.stringify(printed)}`);
  }

  async #runs(): Promise<void> {
    await this.#ask("Z0,40c3d034,4", "OK");
    await this.connection.resume("c");
    await this.#stopped({ signal: 5, thread: "1" });
    await this.connection.resume("vCont;c");
    this.connection.interrupt();
    await this.#stopped({ signal: 2, thread: "2" });
    await this.#ask("z0,40c3d034,4", "OK");
  }

  async #stopped(due: Partial<StopReply & { kind: "signal" }>): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new EbscopeError("timed-out", "no stop")), STOP_MS);
    const stop = await this.connection.nextStop(late.signal).finally(() => clearTimeout(timer));
    if (stop.kind === "signal" && stop.signal === due.signal && stop.thread === due.thread) this.outcome.right++;
    else this.outcome.wrong.push(`a stop: ${JSON.stringify(stop)} for ${JSON.stringify(due)}`);
  }

  /** True when the answer is what is due. */
  async #ask(payload: string, due: string, options: object = {}): Promise<boolean> {
    const answer = await this.connection.requestText(payload, { label: payload, ...options });
    if (answer === due) this.outcome.right++;
    else if (answer === "" || /^E[0-9a-f]{2}$/.test(answer)) this.outcome.refused++;
    else this.outcome.wrong.push(`${payload}: ${JSON.stringify(answer)}`);
    return answer === due;
  }
}
