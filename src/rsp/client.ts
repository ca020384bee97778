/**
 * A client of any stub, ready to use: connects, learns what the stub can do, and takes the quickest way of acknowledging it allows.
 *
 * Source: "Debugging with GDB", appendix E: General Query Packets (qSupported), Packet Acknowledgment (QStartNoAckMode), Reverse
 * Execution. How stubs differ is told in docs/rsp.md.
 *
 * Quirks: QEMU offers no QStartNoAckMode; in system emulation it can be pipelined all the same (see link.ts), and is known by its own
 * `qqemu.Supported`, which lists the physical memory mode there. In user emulation it reads one byte behind each answer and answers again
 * when that is no `+`, so it is spoken to as the manual says. A QEMU that does not replay ends at `bc` and `bs`, so these go only to a stub
 * that offers them. gdbserver has no current thread before `?` or `Hg`: it refuses registers and memory until then, and 13.1 ends (a failed
 * assertion) when target.xml is read; so `?` is asked here. On x86 it describes no registers to whoever did not say `xmlRegisters=i386`.
 */
import { EbscopeError } from "../base/error.ts";
import type { Command, Reply } from "./command.ts";
import { haltReason, type ResumeRequest, resumePayload, type VContAction, vContPayload } from "./commands/execution.ts";
import { qemuSupported } from "./commands/qemu.ts";
import { askSupported, hasFeature, type StubFeatures } from "./commands/queries.ts";
import type { ThreadId } from "./commands/thread-id.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import type { AckMode } from "./link.ts";
import type { StopReply } from "./reply.ts";
import { connectTransport, parseStubAddress, type StubAddress, type Transport } from "./transport.ts";

export interface ClientOptions extends ConnectionOptions {
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What qSupported tells the stub of us, such as `multiprocess+` or `xmlRegisters=aarch64`. Default: `DEFAULT_FEATURES`. */
  readonly features?: readonly string[];
}

/** QEMU emulates a whole machine, or one process (`qemu-aarch64 -g`). */
export type QemuKind = "system" | "user";

/** Thread ids without processes; stops that tell which kind of breakpoint was hit; target descriptions. */
export const DEFAULT_FEATURES: readonly string[] = ["swbreak+", "hwbreak+", "vContSupported+", "xmlRegisters=i386"];
/** What a stub takes that does not say: as GDB has it. */
const DEFAULT_PACKET_SIZE = 400;

/** What the stub told of itself at the start. */
type Learned = Pick<RspClient, "features" | "initialStop" | "qemu">;

export class RspClient implements AsyncDisposable {
  /** The conversation itself, for whoever wants to batch or to send packets of their own. */
  readonly connection: Connection;
  /** What qSupported was answered with. */
  readonly features: StubFeatures;
  /** Why the target stood still when we came (`?`); undefined when the stub does not say. */
  readonly initialStop: StopReply | undefined;
  /** Which QEMU this is; undefined for another stub. */
  readonly qemu: QemuKind | undefined;

  private constructor(connection: Connection, learned: Learned) {
    this.connection = connection;
    this.features = learned.features;
    this.initialStop = learned.initialStop;
    this.qemu = learned.qemu;
  }

  /** Connects to `host:port`, `unix:/path` and the like. The stub halts its target for that, if it ran. */
  static async connect(address: string | StubAddress, options: ClientOptions = {}): Promise<RspClient> {
    const parsed = typeof address === "string" ? parseStubAddress(address) : address;
    const transport = await connectTransport(parsed, {
      ...(options.connectTimeoutMs !== undefined && { timeoutMs: options.connectTimeoutMs }),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    return RspClient.open(transport, options);
  }

  /** As `connect`, over a connected transport. */
  static async open(transport: Transport, options: ClientOptions = {}): Promise<RspClient> {
    return RspClient.negotiate(new Connection(transport, options), options);
  }

  /** As `open`, over a connection on which nothing was said yet; closes it when that fails. */
  static async negotiate(connection: Connection, options: Pick<ClientOptions, "features"> = {}): Promise<RspClient> {
    try {
      return new RspClient(connection, await learn(connection, options.features ?? DEFAULT_FEATURES));
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get ackMode(): AckMode {
    return this.connection.ackMode;
  }

  /**
   * The longest read of memory (`m`), in bytes, whose answer fits a packet. Longer ones are refused by some stubs, and gdbserver 13 does not
   * survive them.
   */
  get longestRead(): number {
    return (this.features.packetSize ?? DEFAULT_PACKET_SIZE) >> 1;
  }

  /** Sends one command; resolves with what the stub made of it. Rejects when the session is over, or the target runs. */
  send<T>(command: Command<T>, options: { readonly deadlineMs?: number } = {}): Promise<Reply<T>> {
    return this.connection.send(command, options);
  }

  /** Sends many at once, pipelined; resolves with all replies, in order. */
  sendAll<T>(commands: readonly Command<T>[]): Promise<Reply<T>[]> {
    return this.connection.sendAll(commands);
  }

  /**
   * Lets the target run. Its stop, or that the stub refused, comes through `nextStop`. A step that names no thread moves the one that
   * stopped last, and no other where the stub can do that.
   */
  async resume(how: ResumeRequest | readonly VContAction[] = { kind: "continue" }): Promise<void> {
    await this.connection.resume("kind" in how ? this.#payload(how) : vContPayload(how));
  }

  #payload(request: ResumeRequest): string {
    const feature = REVERSE_FEATURES[request.kind];
    if (feature !== undefined && !hasFeature(this.features, feature)) {
      throw new EbscopeError("stub-unsupported", `Cannot run backwards: the stub does not offer ${feature}`);
    }
    return resumePayload(this.#withThread(request));
  }

  /** `vCont;s:ID` for a plain step: gdbserver 13 looks for the range of `s` in memory that it never set, and may run on. */
  #withThread(request: ResumeRequest): ResumeRequest {
    if (request.kind !== "step" || request.thread !== undefined || request.address !== undefined) return request;
    const thread = this.#stopped;
    return thread !== undefined && hasFeature(this.features, "vContSupported") ? { ...request, thread } : request;
  }

  /** The thread that stopped last, where the stub said so. */
  get #stopped(): ThreadId | undefined {
    const stop = this.connection.lastStop ?? this.initialStop;
    return stop?.kind === "signal" ? stop.threadId : undefined;
  }

  /** The next stop after a resume. Rejects with the signal's reason when it is aborted; the target then still runs. */
  nextStop(signal?: AbortSignal): Promise<StopReply> {
    return this.connection.nextStop(signal);
  }

  /** Asks a running target to stop (0x03); the stop comes through `nextStop`. */
  interrupt(): void {
    this.connection.interrupt();
  }

  /** Lets the target go (`D`) and closes. Raises `stub-refused` when the stub did not let it go; what closing does to it then is the stub's affair. */
  async detach(): Promise<void> {
    const process = this.#stopped?.process;
    try {
      await this.connection.detach(typeof process === "bigint" ? process : undefined);
    } finally {
      await this.connection.close();
    }
  }

  /** Ends the target (`k`) and closes. */
  kill(): Promise<void> {
    return this.connection.kill();
  }

  /** Closes without a word: what the stub then does with the target is its own affair (QEMU leaves it halted). */
  close(): Promise<void> {
    return this.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const REVERSE_FEATURES: Readonly<Partial<Record<ResumeRequest["kind"], string>>> = {
  "reverse-continue": "ReverseContinue",
  "reverse-step": "ReverseStep",
};

async function learn(connection: Connection, ours: readonly string[]): Promise<Learned> {
  const features = await askFeatures(connection, ours);
  connection.packetSize = features.packetSize ?? Number.POSITIVE_INFINITY;
  // While each packet is acknowledged, a stop that nobody asked for cannot be taken for the answer.
  const halt = await connection.send(haltReason());
  if (hasFeature(features, "QStartNoAckMode")) await connection.startNoAckMode();
  const qemu = await askQemu(connection);
  if (qemu === "system" && connection.ackMode === "strict") await connection.implyAcks();
  return { features, initialStop: halt.kind === "ok" ? halt.value : undefined, qemu };
}

async function askFeatures(connection: Connection, ours: readonly string[]): Promise<StubFeatures> {
  const reply = await connection.send(askSupported(ours));
  // A stub may know nothing of all this, and still do all that is needed.
  return reply.kind === "ok" ? reply.value : { all: new Map(), packetSize: undefined };
}

/** `qqemu.Supported` is answered by every QEMU and by no other stub; only a machine has physical memory. */
async function askQemu(connection: Connection): Promise<QemuKind | undefined> {
  const reply = await connection.send(qemuSupported());
  if (reply.kind !== "ok") return undefined;
  return reply.value.has("PhyMemMode") ? "system" : "user";
}
