/** A session with a real stub, for the conformance suite: the client under test, the guest's symbols, and the bytes that came. */
import type { Command, Reply } from "../../../src/rsp/command.ts";
import type { BreakpointType } from "../../../src/rsp/commands/breakpoints.ts";
import {
  askSupported,
  Connection,
  connectTransport,
  DEFAULT_FEATURES,
  haltReason,
  insertBreakpoint,
  listThreads,
  parseStubAddress,
  type RegisterValue,
  RspClient,
  readMemory,
  readObject,
  readRegister,
  readRegisters,
  removeBreakpoint,
  resumePayload,
  type SignalStop,
  type StopReply,
  type ThreadId,
  type Transport,
  vContPayload,
  writeMemory,
} from "../../../src/rsp/index.ts";
import { readTargetDescription, type TargetDescription } from "../../../src/target/target-xml.ts";
import { sleep } from "../live.ts";
import { type Program, START_SECOND } from "./guest.ts";
import { programFor, type RunningStub, type StubKind } from "./stubs.ts";

/** A stop has to come within this time. */
const STOP_MS = 5000;

/** What passes a transport, as latin1 text. */
class Tap implements Transport {
  received = "";
  readonly #inner: Transport;
  readonly #together: boolean;
  #unsent: Uint8Array[] = [];

  /** `together`: what is written in one turn goes out in one piece. */
  constructor(inner: Transport, together: boolean) {
    this.#inner = inner;
    this.#together = together;
  }

  start(handlers: Parameters<Transport["start"]>[0]): void {
    this.#inner.start({
      data: (chunk) => {
        if (this.received.length < 1 << 22) this.received += Buffer.from(chunk).toString("latin1");
        handlers.data(chunk);
      },
      closed: handlers.closed,
    });
  }

  write(bytes: Uint8Array): void {
    if (!this.#together) {
      this.#inner.write(bytes);
      return;
    }
    this.#unsent.push(Uint8Array.from(bytes));
    setImmediate(() => {
      if (this.#unsent.length > 0) this.#inner.write(Buffer.concat(this.#unsent.splice(0)));
    });
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

export interface SessionOptions {
  /**
   * `negotiated`: what RspClient does. `strict`: it says what we support and asks why the target is halted, and acknowledges each packet.
   * `features`: it only says what we support. Default: negotiated.
   */
  readonly opening?: "negotiated" | "strict" | "features";
  readonly features?: readonly string[];
  readonly deadlineMs?: number;
  /** What is written in one turn of the event loop goes out in one piece. */
  readonly together?: boolean;
  /** Told what the guest prints through the stub. */
  readonly onOutput?: (hexText: string) => void;
}

/** A stub of its own, or one that goes on when the session ends. */
export async function openSession(kind: StubKind, options: SessionOptions = {}): Promise<Session> {
  const stub = await kind.start(programFor(kind));
  try {
    return await attach(kind, stub, options);
  } catch (error) {
    await stub[Symbol.asyncDispose]();
    throw new Error(`No session with ${kind.name}. It said: ${stub.output()}`, { cause: error });
  }
}

export async function attach(kind: StubKind, stub: RunningStub, options: SessionOptions = {}): Promise<Session> {
  const tap = new Tap(await connectTransport(parseStubAddress(stub.address)), options.together ?? false);
  const connection = new Connection(tap, {
    deadlineMs: options.deadlineMs ?? 5000,
    ...(options.onOutput !== undefined && { onOutput: options.onOutput }),
  });
  const features = options.features ?? DEFAULT_FEATURES;
  const opening = options.opening ?? "negotiated";
  if (opening === "negotiated") {
    return new Session(kind, stub, tap, connection, await RspClient.negotiate(connection, { features }));
  }
  const supported = await connection.send(askSupported(features));
  if (supported.kind === "ok") connection.packetSize = supported.value.packetSize ?? connection.packetSize;
  if (opening === "strict") await connection.send(haltReason());
  return new Session(kind, stub, tap, connection, undefined);
}

export class Session implements AsyncDisposable {
  readonly kind: StubKind;
  readonly stub: RunningStub;
  readonly program: Program;
  readonly connection: Connection;
  readonly #client: RspClient | undefined;
  readonly #tap: Tap;
  #description: TargetDescription | undefined;

  constructor(kind: StubKind, stub: RunningStub, tap: Tap, connection: Connection, client: RspClient | undefined) {
    this.kind = kind;
    this.stub = stub;
    this.program = programFor(kind);
    this.connection = connection;
    this.#client = client;
    this.#tap = tap;
  }

  /** The client that negotiated; there is none where nothing was negotiated. */
  get client(): RspClient {
    if (this.#client === undefined) throw new Error("this session was not negotiated");
    return this.#client;
  }

  /** Everything that came from the stub, as it was on the wire. */
  get received(): string {
    return this.#tap.received;
  }

  send = <T>(command: Command<T>): Promise<Reply<T>> => this.connection.send(command);

  /** The value of a reply that has to be one. */
  async ask<T>(command: Command<T>): Promise<T> {
    return okValue(await this.send(command));
  }

  /** Sends a packet as it is; its answer as text. */
  raw(payload: string, deadlineMs = 2000): Promise<string> {
    return this.connection.requestText(payload, { label: payload, expectsStop: true, deadlineMs });
  }

  at(symbol: string): bigint {
    return this.program.address(symbol);
  }

  async number(symbol: string): Promise<bigint> {
    return littleEndian(await this.ask(readMemory(this.at(symbol), 8)));
  }

  async set(symbol: string, value: bigint): Promise<void> {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    await this.ask(writeMemory(this.at(symbol), bytes));
  }

  /** The registers that the stub describes. */
  async description(): Promise<TargetDescription> {
    this.#description ??= await readTargetDescription(async (annex) => {
      const object = okValue(await readObject(this.send, "features", annex));
      return Buffer.from(object).toString();
    });
    return this.#description;
  }

  async registerNumber(name: string): Promise<number> {
    const found = (await this.description()).registers.find(({ stubName }) => stubName === name);
    if (found === undefined) throw new Error(`${this.kind.name} describes no ${name}`);
    return found.number;
  }

  /** A register by `p`, or by `g` where there is no `p`. */
  async register(name: string): Promise<bigint> {
    const number = await this.registerNumber(name);
    const one = await this.send(readRegister(number, 8));
    if (one.kind !== "unsupported") return presentNumber(okValue(one));
    return this.fromAll(number);
  }

  /** A register by its number, out of `g`. */
  async fromAll(number: number): Promise<bigint> {
    const { registers } = await this.description();
    const all = await this.ask(readRegisters(registers.map(({ bits }) => Math.ceil(bits / 8))));
    const at = registers.findIndex((register) => register.number === number);
    return presentNumber(all[at]);
  }

  pc(): Promise<bigint> {
    return this.register(this.program.architecture.pc);
  }

  threads(): Promise<readonly ThreadId[]> {
    return listThreads(this.send).then((reply) => okValue(reply));
  }

  breakpoint(symbol: string, type: BreakpointType = "software"): Parameters<typeof insertBreakpoint>[0] {
    return { type, address: this.at(symbol), kind: this.program.architecture.breakpointKind };
  }

  /** Resumes, and waits for the stop. */
  async resume(payload: string = resumePayload({ kind: "continue" })): Promise<StopReply> {
    await this.connection.resume(payload);
    return this.connection.nextStop(AbortSignal.timeout(STOP_MS));
  }

  /** One thread goes one instruction on; by default the first of the list. */
  async step(thread?: ThreadId): Promise<SignalStop> {
    const which = thread ?? (await this.threads())[0];
    if (which === undefined) throw new Error("the stub lists no thread");
    return signalStop(await this.resume(vContPayload([{ kind: "step", thread: which }])));
  }

  /** Lets the guest run to a symbol, with a breakpoint that is gone afterwards. */
  async runTo(symbol: string, type: BreakpointType = "software"): Promise<SignalStop> {
    const breakpoint = this.breakpoint(symbol, type);
    await this.ask(insertBreakpoint(breakpoint));
    const stop = await this.resume();
    await this.ask(removeBreakpoint(breakpoint));
    return signalStop(stop);
  }

  /** Starts the guest's second thread; halts when it is known to run. The first one stands at `tick` then. */
  async startSecondThread(): Promise<readonly ThreadId[]> {
    await this.runTo("tick");
    await this.set("orders", START_SECOND);
    for (let tries = 0; tries < 200; tries++) {
      await this.step();
      await this.runTo("tick");
      if ((await this.number("second_counter")) > 0n) return this.threads();
      if (tries > 10) await sleep(5);
    }
    throw new Error("the guest's second thread did not start");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
    await this.stub[Symbol.asyncDispose]();
  }
}

export function okValue<T>(reply: Reply<T>): T {
  if (reply.kind !== "ok") throw new Error(`the stub's answer is ${JSON.stringify(reply)}`);
  return reply.value;
}

export function signalStop(stop: StopReply): SignalStop {
  if (stop.kind !== "signal") throw new Error(`the stop is ${stop.kind}`);
  return stop;
}

export function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex") || "0"}`);
}

function presentNumber(value: RegisterValue | undefined): bigint {
  if (value?.state !== "present") throw new Error("the register has no value");
  return littleEndian(value.bytes);
}
