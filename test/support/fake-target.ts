/**
 * A guest that a test writes down: the places its vCPUs come by, in order, with the registers there and what it does on the way. It runs
 * from place to place and stops where somebody has put a breakpoint, so that what it does cannot depend on who watches.
 */
import { phys, type VirtAddr, virt } from "../../src/base/address.ts";
import { EbscopeError } from "../../src/base/error.ts";
import type { MemoryRange, MemoryRead, VirtSpan } from "../../src/base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../../src/base/registers.ts";
import type {
  Breakpoint,
  Cpu,
  OutOfTheWay,
  SteppedAside,
  Stop,
  Target,
  TargetInfo,
  Watchpoint,
} from "../../src/target/target.ts";
import type { FakeMemory } from "./fake-memory.ts";
import { RANGES } from "./firmware.ts";

export interface Visit {
  readonly pc: bigint;
  /** 0 unless given. */
  readonly cpu?: number;
  /** Registers that are not as they were. */
  readonly registers?: Readonly<Record<string, bigint>>;
  /** What has happened to memory by then. */
  readonly does?: (memory: FakeMemory) => void;
  /** The instruction at this place writes a word: when it is executed, which is when the vCPU goes on from here. */
  readonly writes?: FakeWrite | readonly FakeWrite[];
  /** The instruction at this place writes registers, when it is executed. */
  readonly sets?: Readonly<Record<string, bigint>>;
  /** Another vCPU comes somewhere at the same time; no stop is told for it. */
  readonly together?: Visit;
}

export interface FakeWrite {
  readonly address: bigint;
  readonly word: bigint;
}

interface Pending {
  readonly writes: readonly FakeWrite[];
  readonly sets: Readonly<Record<string, bigint>>;
}

const GENERAL = [...Array.from({ length: 31 }, (_, i) => `x${i}`), "sp", "pc", "cpsr"];
const SYSTEM = ["SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "VBAR_EL1", "ELR_EL1", "SPSR_EL1"];
export const FAKE_REGISTERS: readonly RegisterDefinition[] = [...GENERAL, ...SYSTEM].map((name, number) => ({
  ...{ name, stubName: name, number },
  ...{ bits: name === "cpsr" ? 32 : 64, feature: "test" },
}));

const NOWHERE = 1n << 60n;
const START = { cpsr: 0x3c5n, sp: 0x4600_0000n, VBAR_EL1: 0x4740_0000n, ELR_EL1: 0x4740_0000n };

export class FakeTarget implements Target {
  readonly memory: FakeMemory;
  readonly info: TargetInfo;
  readonly memoryChannel = { kind: "rsp", name: "the stub", proven: true, refusals: [], note: undefined } as const;
  /** Addresses with a breakpoint. */
  readonly breakpoints = new Set<bigint>();
  /** At each place that the guest has come by: its pc, and the breakpoints that were in then. */
  readonly seen: { readonly pc: bigint; readonly breakpoints: ReadonlySet<bigint> }[] = [];
  /** Where there are watchpoints, and how long they are. */
  readonly watchpoints = new Map<bigint, number>();
  /** A guest that is resumed where it stands on a breakpoint stops there again, as with QEMU; without it that is a mistake of the test's. */
  hitsAgain = false;
  /** What was read by virtual address, unguarded. */
  readonly virtualReads: VirtSpan[] = [];
  stops = 0;
  /** Of each breakpoint: who wants it. */
  readonly #users = new Map<bigint, Set<symbol>>();
  /** Addresses where the stub takes no breakpoint. */
  readonly refuses = new Set<bigint>();
  takesWatchpoints = true;
  /** Where a virtual address leads; to the same physical one unless told. */
  physical: (address: bigint) => bigint | undefined = (address) => address;
  readonly #visits: Visit[];
  readonly #values: Map<string, bigint>[];
  /** Of each vCPU: what the instruction writes that it stands at. */
  readonly #pending = new Map<number, Pending>();
  #stopped: Cpu;
  #running = false;
  #stop: Stop | undefined;
  #lost: EbscopeError | undefined;
  #tellEnd: (reason: EbscopeError) => void = () => undefined;
  readonly ended = new Promise<EbscopeError>((resolve) => {
    this.#tellEnd = resolve;
  });
  readonly #waiters = new Set<(stop: Stop) => void>();
  /** How it was let go; undefined while it is held. */
  released: "running" | "halted" | undefined;

  constructor(
    memory: FakeMemory,
    visits: readonly Visit[],
    cpus = 1,
    registers: readonly RegisterDefinition[] = FAKE_REGISTERS,
  ) {
    this.memory = memory;
    this.#visits = [...visits];
    const all = Array.from({ length: cpus }, (_, index) => ({ index, thread: `0${index + 1}` }));
    this.#values = all.map(() => new Map<string, bigint>(Object.entries(START)));
    this.#stopped = all[0] as Cpu;
    this.info = {
      ...{ qemuVersion: undefined, architecture: "aarch64", registers, cpus: all },
      ...{ packetSize: 4096, wasRunning: true },
    };
  }

  /** Registers of all vCPUs, from now on. */
  setRegisters(values: Readonly<Record<string, bigint>>): void {
    for (const each of this.#values) for (const [name, value] of Object.entries(values)) each.set(name, value);
  }

  /** Places that the guest has not come by. */
  get left(): number {
    return this.#visits.length;
  }

  get running(): boolean {
    return this.#running;
  }

  /** The connection is gone: whoever waits is told, and nothing can be asked any more. */
  lose(error = new EbscopeError("connection-lost", "Cannot talk to the stub: the stub closed the connection")): void {
    this.#lost = error;
    this.#tellEnd(error);
  }

  /** Where the guest will come by when it runs the next time. */
  later(...visits: readonly Visit[]): void {
    this.#visits.push(...visits);
  }

  /** The guest runs on from place to place, by its next visits, until it stops. */
  goOn(...visits: readonly Visit[]): void {
    if (!this.#running) throw new Error("the guest stands still");
    this.#visits.push(...visits);
    this.#run();
    const stop = this.#waiters.size > 0 ? this.#takeStop() : undefined;
    if (stop !== undefined) for (const waiter of this.#waiters) waiter(stop);
  }

  get stoppedCpu(): Cpu {
    return this.#stopped;
  }

  memoryRanges(): Promise<readonly MemoryRange[]> {
    return Promise.resolve(RANGES);
  }

  async readRegisters(cpus: readonly Cpu[], definitions: readonly RegisterDefinition[]): Promise<RegisterRead[][]> {
    this.#mustBeHalted();
    return cpus.map(({ index }) => definitions.map((each) => this.#read(index, each)));
  }

  #mustBeThere(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  #read(cpu: number, { name, bits }: RegisterDefinition): RegisterRead {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, this.#values[cpu]?.get(name) ?? 0n, true);
    return { state: "present", bytes: bytes.subarray(0, bits / 8) };
  }

  async insertBreakpoint(address: VirtAddr): Promise<Breakpoint> {
    this.#mustBeHalted();
    if (this.refuses.has(address)) throw new EbscopeError("stub-refused", "Cannot insert a breakpoint: it says E28");
    this.breakpoints.add(address);
    const own = Symbol();
    const users = this.#users.get(address) ?? new Set();
    this.#users.set(address, users.add(own));
    return {
      address,
      [Symbol.asyncDispose]: async () => {
        this.#mustBeHalted();
        if (users.delete(own) && users.size === 0) this.breakpoints.delete(address);
      },
    };
  }

  async insertWatchpoint(address: VirtAddr, length: number): Promise<Watchpoint> {
    this.#mustBeHalted();
    if (this.refuses.has(address) || !this.takesWatchpoints)
      throw new EbscopeError("stub-refused", "Cannot insert a watchpoint: it says E28");
    this.watchpoints.set(address, length);
    return {
      ...{ address, length },
      [Symbol.asyncDispose]: async () => {
        this.#mustBeHalted();
        this.watchpoints.delete(address);
      },
    };
  }

  readVirtual(_cpu: Cpu, spans: readonly VirtSpan[]): Promise<MemoryRead[]> {
    this.#mustBeHalted();
    this.virtualReads.push(...spans);
    return this.memory.read(
      spans.map(({ address, length }) => ({ address: phys(this.physical(address) ?? NOWHERE), length })),
    );
  }

  async resume(): Promise<void> {
    this.#mustBeHalted();
    const here = this.#values[this.#stopped.index]?.get("pc");
    if (here !== undefined && this.breakpoints.has(here)) {
      if (!this.hitsAgain) throw new Error(`resumed on a breakpoint at ${here}`);
      this.#running = true;
      this.#stop = { kind: "breakpoint", cpu: this.#stopped };
      return;
    }
    const stop = this.#leave(this.#stopped, "nothing");
    if (stop === undefined) return this.#run();
    this.#running = true;
    this.#stop = stop;
  }

  async resumePast(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<void> {
    const { stop } = await this.stepAside(cpu, pc);
    await between?.();
    if (stop.kind !== "watchpoint") return this.#run();
    this.#running = true;
    this.#stop = stop;
  }

  async stepAside(cpu: Cpu, pc: OutOfTheWay): Promise<SteppedAside> {
    this.#mustBeHalted();
    this.#mustStandAt(cpu, pc);
    const stop = this.#leave(cpu, pc);
    const values = this.#values[cpu.index];
    if (stop === undefined) values?.set("pc", (values.get("pc") ?? 0n) + 4n);
    return { stop: stop ?? { kind: "breakpoint", cpu }, putBack: async () => undefined };
  }

  #mustStandAt(cpu: Cpu, pc: OutOfTheWay): void {
    if (typeof pc === "bigint" && (this.#values[cpu.index]?.get("pc") ?? 0n) !== pc)
      throw new Error(`vCPU ${cpu.index} does not stand at ${pc}`);
  }

  /** The vCPU executes where it stands; the stop that keeps it from that. */
  #leave(cpu: Cpu, out: OutOfTheWay): Stop | undefined {
    const pending = this.#pending.get(cpu.index);
    if (pending === undefined) return undefined;
    const addresses = out === "everything" ? [] : pending.writes.map(({ address }) => this.#watchedBy(address, out));
    const watched = addresses.find((address) => address !== undefined);
    if (watched !== undefined) return { kind: "watchpoint", cpu, address: watched };
    for (const { address, word } of pending.writes) this.memory.setWord(this.physical(address) ?? NOWHERE, word);
    for (const [name, value] of Object.entries(pending.sets)) this.#values[cpu.index]?.set(name, value);
    this.#pending.delete(cpu.index);
    return undefined;
  }

  #watchedBy(address: bigint, out: OutOfTheWay): bigint | undefined {
    const isOut = (start: bigint): boolean => typeof out === "object" && out.address === start;
    return [...this.watchpoints].find(
      ([start, length]) => address + 8n > start && address < start + BigInt(length) && !isOut(start),
    )?.[0];
  }

  #run(): void {
    this.#running = true;
    this.#stop = undefined;
    for (let visit = this.#visits.shift(); visit !== undefined; visit = this.#visits.shift()) {
      const cpu = this.info.cpus[visit.cpu ?? 0] as Cpu;
      this.#arrive(cpu, visit);
      const { together } = visit;
      if (together !== undefined) this.#arrive(this.info.cpus[together.cpu ?? 0] as Cpu, together);
      this.seen.push({ pc: visit.pc, breakpoints: new Set(this.breakpoints) });
      const stop = this.breakpoints.has(virt(visit.pc))
        ? ({ kind: "breakpoint", cpu } as const)
        : this.#leave(cpu, "nothing");
      if (stop === undefined) continue;
      this.#stopped = cpu;
      this.#stop = stop;
      return;
    }
  }

  async step(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<Stop> {
    this.#mustBeHalted();
    this.#mustStandAt(cpu, pc);
    this.#stopped = cpu;
    const stop = this.#leave(cpu, pc);
    const visit = stop === undefined ? this.#visits.shift() : undefined;
    if (visit !== undefined) this.#arrive(cpu, visit);
    await between?.();
    return stop ?? { kind: "breakpoint", cpu };
  }

  #arrive(cpu: Cpu, visit: Visit): void {
    visit.does?.(this.memory);
    for (const [name, value] of Object.entries(visit.registers ?? {})) this.#values[cpu.index]?.set(name, value);
    this.#values[cpu.index]?.set("pc", visit.pc);
    const { writes = [], sets = {} } = visit;
    if (visit.writes === undefined && visit.sets === undefined) return;
    this.#pending.set(cpu.index, { writes: [writes].flat(), sets });
  }

  waitForStop(signal?: AbortSignal): Promise<Stop> {
    const stop = this.#takeStop();
    if (stop !== undefined) return Promise.resolve(stop);
    return new Promise((resolve, reject) => {
      const waiter = (come: Stop): void => {
        this.#waiters.delete(waiter);
        resolve(come);
      };
      this.#waiters.add(waiter);
      void this.ended.then(reject);
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      if (signal?.aborted) abort();
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  #takeStop(): Stop | undefined {
    const stop = this.#stop;
    if (stop === undefined) return undefined;
    this.#stop = undefined;
    this.#running = false;
    this.stops++;
    return stop;
  }

  async interrupt(): Promise<Stop | undefined> {
    this.#mustBeThere();
    if (!this.#running) return undefined;
    this.#running = false;
    // It has stopped: that is for the one who waits.
    if (this.#stop !== undefined) return undefined;
    return { kind: "interrupt", cpu: this.#stopped };
  }

  async release(run: boolean): Promise<void> {
    this.breakpoints.clear();
    this.watchpoints.clear();
    this.released ??= run ? "running" : "halted";
    this.#tellEnd(new EbscopeError("connection-lost", "Cannot talk to the stub: the connection was closed here"));
  }

  #mustBeHalted(): void {
    this.#mustBeThere();
    if (this.#running) throw new Error("the guest runs");
  }
}
