/**
 * A live guest behind QEMU's gdbstub.
 *
 * Source: "Debugging with GDB", appendix E; QEMU's docs/system/gdb.rst for `qqemu.*` and `Qqemu.*`; behaviour measured on QEMU 7.2
 * and 10.0 where it differs:
 * - What is asked on attaching, and in which order: see negotiate.ts.
 * - Guest memory is read through the stub or around it: see memory/guest-memory.ts.
 * - Breakpoints match a virtual address on every vCPU at every exception level. Resuming on one hits it again at once.
 * - A write watchpoint stops before the write, and names where the watchpoint begins, not what is written to.
 * - Closing the connection leaves the machine paused with the breakpoints in; `D` removes them and lets it run.
 */

import { delay, throwIfAborted } from "../base/abort.ts";
import type { VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRange, MemoryRead, PhysMemory, VirtSpan } from "../base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../base/registers.ts";
import { Connection, type ConnectionOptions } from "../rsp/connection.ts";
import type { StopReply } from "../rsp/reply.ts";
import type { DueStop } from "../rsp/stops.ts";
import { type Tap, tapped } from "../rsp/tap.ts";
import { connectTransport, type StubAddress, type Transport } from "../rsp/transport.ts";
import type { MemoryChannel, MemoryChoice } from "./memory/channel.ts";
import { type ChannelRequest, chooseChannel } from "./memory/choose.ts";
import { GuestMemory } from "./memory/guest-memory.ts";
import { RspMemory } from "./memory/rsp-memory.ts";
import { readVirtual } from "./memory/virtual-reads.ts";
import { describe, greet, type Machine, monitor } from "./negotiate.ts";
import { RegisterBatch } from "./register-batch.ts";
import { SelectedCpu } from "./selected-cpu.ts";
import type {
  Breakpoint,
  Cpu,
  OutOfTheWay,
  SteppedAside,
  Stop,
  Target,
  TargetInfo,
  WatchKind,
  Watchpoint,
} from "./target.ts";
import { Traps } from "./traps.ts";

export interface AttachOptions extends ConnectionOptions {
  readonly connectTimeoutMs?: number;
  /** For how long a refused connection is tried again: for a stub that was just started. Default 0. */
  readonly connectRetryMs?: number;
  /** How long the stub may take from the first request until all is known that is asked on attaching. Default 30 s. */
  readonly attachMs?: number;
  readonly signal?: AbortSignal;
  /** Told of every byte of the session (`attachQemu` only). */
  readonly taps?: readonly Tap[];
  /** How guest memory is read. Default `auto`; with taps `rsp`, as they hear of nothing else. */
  readonly memory?: MemoryChoice;
  /** The process that was launched with the stub. */
  readonly pid?: number;
}

/** Connects to a stub and learns what it offers. The guest is halted when this returns. */
export async function attachQemu(address: StubAddress, options: AttachOptions = {}): Promise<Target> {
  const memory = { choice: memoryChoice(options), address, pid: options.pid, signal: options.signal };
  const transport = await connectTransport(address, {
    ...(options.connectTimeoutMs !== undefined && { timeoutMs: options.connectTimeoutMs }),
    ...(options.connectRetryMs !== undefined && { retryMs: options.connectRetryMs }),
    ...(options.signal !== undefined && { signal: options.signal }),
  });
  return open(tapped(transport, options.taps ?? []), options, memory);
}

/** As `attachQemu`, over a connected transport. Where it leads is not known: guest memory comes through the stub. */
export async function openQemu(transport: Transport, options: AttachOptions = {}): Promise<Target> {
  return open(transport, options, { choice: memoryChoice(options), address: undefined, signal: options.signal });
}

function memoryChoice({ memory = "auto", taps = [] }: AttachOptions): MemoryChoice {
  if (taps.length === 0) return memory;
  if (memory === "auto" || memory === "rsp") return "rsp";
  const next = "Leave --memory out: what is recorded is read through the stub.";
  throw new EbscopeError("usage", `Cannot record a session that does not read through the stub (--memory ${memory})`, {
    next,
  });
}

async function open(transport: Transport, options: AttachOptions, memory: ChannelRequest): Promise<Target> {
  const connection = new Connection(transport, options);
  const { attachMs = ATTACH_MS } = options;
  let leaving: Promise<void> | undefined;
  let late: EbscopeError | undefined;
  const onAbort = (): void => {
    leaving ??= leave(connection);
  };
  // Each answer has its own deadline; a stub that just keeps it could take hours with all of them.
  const timer = setTimeout(() => {
    late = new EbscopeError(
      "stub-silent",
      `Cannot attach: the stub did not answer everything within ${attachMs / 1000} s`,
    );
    onAbort();
  }, attachMs);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const target = await negotiate(connection, memory);
    throwIfAborted(options.signal);
    if (late === undefined) return target;
    // What it holds open besides the connection.
    await leaving;
    await target.release(false);
    throw late;
  } catch (error) {
    await (leaving ?? connection.close());
    if (options.signal?.aborted) throw new EbscopeError("interrupted", "Stopped on request while attaching");
    throw late ?? error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

const ATTACH_MS = 30_000;

/** How long an answer is waited for that may tell whether the guest ran. */
const LEAVE_MS = 500;

/** Leaves in the middle of the attaching: a guest that ran before we came is let go. */
async function leave(connection: Connection): Promise<void> {
  await atMost(LEAVE_MS, connection.drain());
  await atMost(LEAVE_MS, letGo(connection, connection.unsolicited.length > 0));
  await connection.close();
}

/** Resolves when `doing` is over, or after that time. */
async function atMost(milliseconds: number, doing: Promise<void>): Promise<void> {
  const over = new AbortController();
  await Promise.race([doing, delay(milliseconds, over.signal).catch(() => undefined)]);
  over.abort();
}

/** Closes the connection; a guest that is to run is let go first. Never throws. */
async function letGo(connection: Connection, run: boolean): Promise<void> {
  if (run) await connection.detach().catch(() => undefined);
  await connection.close();
}

async function negotiate(connection: Connection, memory: ChannelRequest): Promise<Target> {
  const greeting = await greet(connection);
  try {
    const target = new QemuTarget(connection, await describe(connection, greeting));
    await Promise.all([target.memoryRanges(), target.learnRegisters()]);
    await target.chooseMemory(memory);
    return target;
  } catch (error) {
    // The guest stands still only because we came; a stub we cannot use must not be left that way.
    if (greeting.wasRunning) await connection.detach().catch(() => undefined);
    throw error;
  }
}

class QemuTarget implements Target {
  readonly info: TargetInfo;
  readonly memory: PhysMemory;
  readonly #connection: Connection;
  readonly #guestMemory: GuestMemory;
  readonly #selected: SelectedCpu;
  readonly #registers: RegisterBatch;
  readonly #traps: Traps;
  readonly #foundPhysMode: boolean;
  #stoppedCpu: Cpu;
  /** A stop that a resume came upon in its first step, and that nobody was told yet. */
  #early: Stop | undefined;
  #released: Promise<void> | undefined;

  constructor(connection: Connection, { info, foundPhysMode, stop }: Machine) {
    this.#connection = connection;
    this.info = info;
    const stub = { packetSize: info.packetSize, foundPhysMode: foundPhysMode ? "1" : "0" };
    this.#guestMemory = new GuestMemory(new RspMemory(connection, stub), (command) => monitor(connection, command));
    this.#selected = new SelectedCpu(connection, info.qemuVersion !== undefined);
    this.#registers = new RegisterBatch(this.#selected);
    this.#traps = new Traps(connection, () => this.interrupt());
    this.#foundPhysMode = foundPhysMode;
    this.#stoppedCpu = info.cpus[0] as Cpu;
    if (stop !== undefined) this.#noteStop(stop);
    this.memory = {
      read: async (spans) => {
        this.#mustBeHeld();
        return this.#guestMemory.read(spans);
      },
    };
  }

  get memoryChannel(): MemoryChannel {
    return this.#guestMemory.channel;
  }

  async chooseMemory(request: ChannelRequest): Promise<void> {
    this.#guestMemory.use(await chooseChannel(request, this.#guestMemory.access));
    if (request.signal?.aborted) this.#guestMemory.close();
  }

  learnRegisters(): Promise<void> {
    return this.#registers.learn(this.#stoppedCpu, this.info.registers);
  }

  get ended(): Promise<EbscopeError> {
    return this.#connection.ended;
  }

  get stoppedCpu(): Cpu {
    return this.#stoppedCpu;
  }

  #noteStop(stop: StopReply): void {
    if (stop.kind !== "signal") return;
    const cpu = this.info.cpus.find((each) => each.thread === stop.thread);
    if (cpu !== undefined) this.#stoppedCpu = cpu;
  }

  memoryRanges(): Promise<readonly MemoryRange[]> {
    return this.#guestMemory.refresh();
  }

  readRegisters(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): Promise<RegisterRead[][]> {
    return this.#registers.read(cpus, registers);
  }

  async readVirtual(cpu: Cpu, spans: readonly VirtSpan[]): Promise<MemoryRead[]> {
    this.#mustBeHeld();
    return readVirtual(this.#selected, { cpu, packetSize: this.info.packetSize, physMode: this.#foundPhysMode }, spans);
  }

  async insertBreakpoint(address: VirtAddr): Promise<Breakpoint> {
    this.#mustBeHeld();
    return this.#traps.insertBreakpoint(address);
  }

  async insertWatchpoint(address: VirtAddr, length: number, kind: WatchKind = "write"): Promise<Watchpoint> {
    this.#mustBeHeld();
    return this.#traps.insertWatchpoint(address, length, kind);
  }

  async resume(): Promise<void> {
    this.#mustBeHeld();
    this.#early = undefined;
    await this.#connection.resume("c");
  }

  async resumePast(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<void> {
    const { stop, putBack } = await this.stepAside(cpu, pc);
    // One write: nothing may be waited for before the guest is resumed.
    const sent = [putBack(), between?.()];
    if (stop.kind === "watchpoint") this.#early = stop;
    else sent.push(this.#connection.resume("c"));
    await Promise.all(sent);
  }

  async step(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<Stop> {
    const { stop, putBack } = await this.stepAside(cpu, pc);
    await Promise.all([putBack(), between?.()]);
    return stop;
  }

  async stepAside(cpu: Cpu, pc: OutOfTheWay): Promise<SteppedAside> {
    this.#mustBeHeld();
    this.#early = undefined;
    const out = this.#traps.takeOut(pc);
    const [removed, stepped] = await Promise.allSettled([out.removed, this.#step(cpu)]);
    if (removed.status === "rejected") throw removed.reason;
    if (stepped.status === "fulfilled") return { stop: stepped.value, putBack: out.back };
    if (!this.#connection.running) await out.back().catch(() => undefined);
    throw stepped.reason;
  }

  /** One instruction, the other vCPUs held. One that waits (WFI) does not end by itself: it is interrupted. */
  async #step(cpu: Cpu): Promise<Stop> {
    await this.#connection.resume(`vCont;s:${cpu.thread}`);
    const stop = await this.#stopOfStep();
    if (stop.kind === "ended") throw new EbscopeError("guest-ended", `The guest ended: ${stop.why}`);
    return stop;
  }

  async #stopOfStep(): Promise<Stop> {
    try {
      return await this.#dueStop("Cannot step the guest: it did not stop");
    } catch (error) {
      if (this.#connection.closed || !(error instanceof EbscopeError) || error.code !== "stub-silent") throw error;
      const stop = await this.interrupt();
      if (stop === undefined) throw error;
      return stop;
    }
  }

  waitForStop(signal?: AbortSignal): Promise<Stop> {
    const early = this.#early;
    this.#early = undefined;
    return early === undefined ? this.#nextStop(signal, undefined) : Promise.resolve(early);
  }

  async #nextStop(signal: AbortSignal | undefined, due: DueStop | undefined): Promise<Stop> {
    const stop = await this.#connection.nextStop(signal, due);
    switch (stop.kind) {
      case "exited":
        return { kind: "ended", why: `it exited with status ${stop.status}` };
      case "terminated":
        return { kind: "ended", why: `it was ended by signal ${stop.signal}` };
      case "signal":
        this.#noteStop(stop);
        if (stop.watch !== undefined) {
          const { address, kind } = stop.watch;
          const stopped = { kind: "watchpoint", cpu: this.#stoppedCpu, address } as const;
          return kind === "access" ? { ...stopped, of: kind } : stopped;
        }
        return { kind: stop.signal === SIGTRAP ? "breakpoint" : "interrupt", cpu: this.#stoppedCpu };
      // Of other stubs: no vCPU comes or goes under QEMU.
      case "thread-exited":
      case "no-resumed":
        return { kind: "ended", why: "no thread of it is left to run" };
    }
  }

  async interrupt(): Promise<Stop | undefined> {
    if (!this.#connection.running) return undefined;
    const stopped = this.#dueStop("Cannot stop the guest: no answer to the interrupt");
    this.#connection.interrupt();
    return stopped;
  }

  /** The next stop, when the guest owes it at once. */
  #dueStop(failure: string): Promise<Stop> {
    const { deadlineMs } = this.#connection;
    const late = (): EbscopeError => new EbscopeError("stub-silent", `${failure} within ${deadlineMs / 1000} s`);
    return this.#nextStop(undefined, { withinMs: deadlineMs, late });
  }

  release(run: boolean): Promise<void> {
    this.#released ??= this.#release(run);
    return this.#released;
  }

  /** Whatever changes the machine would stay behind if it came during or after the release. */
  #mustBeHeld(): void {
    if (this.#released !== undefined) throw new EbscopeError("internal", "Cannot use the guest: it has been let go");
  }

  async #release(run: boolean): Promise<void> {
    try {
      await this.interrupt();
      await this.#traps.removeAll();
      // A batch in flight ends with the request that puts the memory mode back.
      await this.#connection.drain();
    } catch {
      // The stub is gone or does not answer: there is nothing left to put back.
    }
    this.#guestMemory.close();
    await letGo(this.#connection, run);
  }
}

/** In GDB's numbering. */
const SIGTRAP = 5;
