/**
 * Letting a guest run and telling what it stopped at: each arrival at a breakpoint and each watched write once, on however many vCPUs.
 *
 * What this rests on, seen on QEMU 7.2 and 10.0 (see target/qemu.ts too):
 * - vCPUs that reach a breakpoint together stop together, and one of them is reported. The others stand on it and hit it again as soon as they
 *   may run: nothing is to be done for them. So only a vCPU that was told of is stepped past a breakpoint, the others held.
 * - A stop may be told a second time when a second vCPU had its own while the first one was dealt with: the step past the breakpoint then
 *   ends without progress. With several vCPUs the pc is looked at after it.
 * - Watched writes are another matter: see write-stops.ts.
 * - While who writes is recorded (blame.ts), each stop is shown to that first: what it records nobody is told of, and the guest runs on. An
 *   instruction that has both a breakpoint and its interest is told of first, and recorded when the guest goes on from there.
 */
import { abortError, throwIfAborted } from "../base/abort.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { EbscopeError, type ErrorCode } from "../base/error.ts";
import type { MemoryRead } from "../base/memory.ts";
import { isGeneral, type RegisterDefinition, type Registers, registersOf } from "../base/registers.ts";
import type { BlameWatch } from "../capture/blame/blame-watch.ts";
import type { Handled } from "../capture/blame/hit.ts";
import { lookAtStop } from "../capture/stopped.ts";
import type { Breakpoint, Cpu, OutOfTheWay, Stop, Target } from "../target/target.ts";
import { type Arrival, pcOf, type Watch } from "./arrival.ts";
import { WriteStops } from "./write-stops.ts";

/** Stops in a row for reasons that nobody here knows, before the guest is given up. */
const MAX_STRAYS = 1_000;
const LOST: readonly ErrorCode[] = ["connection-lost", "guest-ended"];
/** B to itself, B.cond, CBZ and CBNZ with an offset of 0, TBZ and TBNZ: Arm ARM DDI 0487, C4.1 "Branches". */
const SELF_BRANCHES = [
  [0xffff_ffff, 0x1400_0000],
  [0xffff_ffe0, 0x5400_0000],
  [0x7eff_ffe0, 0x3400_0000],
  [0x7e07_ffe0, 0x3600_0000],
] as const;

interface Inserted {
  readonly trap: Breakpoint;
  users: number;
}

export class RunControl {
  readonly #target: Target;
  readonly #general: readonly RegisterDefinition[];
  readonly #pc: readonly RegisterDefinition[];
  readonly #writes: WriteStops;
  readonly #inserted = new Map<VirtAddr, Inserted>();
  /** vCPUs that stand where they were told of, by index: they have to get past it without being told of again. */
  readonly #passed = new Map<number, VirtAddr>();
  /** vCPUs whose step past a breakpoint ended where it began. */
  readonly #stuck = new Map<number, VirtAddr>();
  /** What records who writes. */
  #blame: BlameWatch | undefined;
  /** Arrivals that came together with one that was told. */
  readonly #due: Arrival[] = [];
  #running = false;
  #epoch = 0;
  /** A resuming whose answers have not all come. */
  #going: Promise<void> | undefined;

  constructor(target: Target) {
    this.#target = target;
    const { registers } = target.info;
    this.#general = registers.filter(({ name }) => isGeneral(name));
    this.#pc = registers.filter(({ name }) => name === "pc");
    this.#writes = new WriteStops(target, this.#general);
  }

  get running(): boolean {
    return this.#running;
  }

  /** Another number each time the guest has moved. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The addresses with a breakpoint. */
  get breakpoints(): readonly VirtAddr[] {
    return [...this.#inserted.keys()];
  }

  get isArmed(): boolean {
    return this.#inserted.size > 0 || this.#writes.isArmed || this.#blame !== undefined;
  }

  /** A breakpoint in the halted guest; several users of an address share one. */
  async insert(address: VirtAddr): Promise<AsyncDisposable> {
    this.mustStand();
    const held = this.#inserted.get(address) ?? { trap: await this.#target.insertBreakpoint(address), users: 0 };
    this.#inserted.set(address, held);
    held.users++;
    return { [Symbol.asyncDispose]: () => this.#release(address, held) };
  }

  async #release(address: VirtAddr, held: Inserted): Promise<void> {
    if (--held.users > 0) return;
    this.#inserted.delete(address);
    await this.#takeOut(held.trap);
  }

  /** From a guest that is lost nothing has to be taken out. */
  async #takeOut(trap: AsyncDisposable): Promise<void> {
    try {
      await this.#halted();
      await trap[Symbol.asyncDispose]();
    } catch (error) {
      if (!(error instanceof EbscopeError) || !LOST.includes(error.code)) throw error;
    }
  }

  /** A watchpoint on writes in the halted guest. */
  async watch(watch: Watch): Promise<AsyncDisposable> {
    this.mustStand();
    if (this.#blame !== undefined) {
      throw new EbscopeError("target-busy", "Cannot stop at writes: who writes is being recorded", {
        next: "Give the range to blame({ ranges }) instead, or end that first.",
      });
    }
    const trap = await this.#writes.add(watch);
    return { [Symbol.asyncDispose]: () => this.#takeOut(trap) };
  }

  /** Raises `target-busy` where `record` cannot be had: of a watched write only one can be told. */
  mustBeUnwatched(): void {
    this.mustStand();
    if (this.#blame === undefined && !this.#writes.isArmed) return;
    const why = this.#blame === undefined ? "writes are watched already" : "that is being done already";
    throw new EbscopeError("target-busy", `Cannot record who writes: ${why}`, {
      next: "Remove the watchpoints, or end the other recording first.",
    });
  }

  /** Shows each stop to `blame` first, which has put into the halted guest what it needs; disposing takes that out. */
  record(blame: BlameWatch): AsyncDisposable {
    this.mustBeUnwatched();
    this.#blame = blame;
    const dispose = async (): Promise<void> => {
      if (this.#blame !== blame) return;
      try {
        await this.#takeOut({ [Symbol.asyncDispose]: () => blame.end() });
      } finally {
        this.#blame = undefined;
      }
    };
    return { [Symbol.asyncDispose]: dispose };
  }

  /** What is put in or taken out of a running guest halts it for that. */
  async #halted(): Promise<void> {
    if (this.#running) this.#due.push(...(await this.#interrupt()).filter(({ reason }) => reason !== "interrupt"));
  }

  /** Lets the guest run, if it stands, until something stops it; rejects with the signal's reason, the guest halted, when that comes first. */
  async next(signal?: AbortSignal): Promise<Arrival> {
    for (let strays = 0; strays <= MAX_STRAYS; strays++) {
      throwIfAborted(signal);
      const due = this.#due.shift();
      if (due !== undefined) return due;
      if (!this.#running) await this.resume();
      this.#due.push(...(await this.#wait(signal)));
    }
    throw new EbscopeError("protocol-error", "The guest stops again and again for reasons of its own");
  }

  /** Lets the halted guest run. One that has stops that were not told yet stays where it is. */
  async resume(): Promise<void> {
    this.mustStand();
    if (this.#due.length > 0) return;
    this.#epoch++;
    const standing = [...this.#passed].filter(([, pc]) => this.#inserted.has(pc));
    for (const [index, pc] of standing.slice(0, -1)) {
      this.#passed.delete(index);
      if (await this.#recordSite(this.#cpu(index), pc, false)) continue;
      const stop = await this.#target.step(this.#cpu(index), pc);
      if (stop.kind === "watchpoint" && (await this.#recorded(stop, false)) === undefined) {
        this.#due.push(...(await this.#arrivalsOf(stop)));
      }
      if (this.#due.length > 0) return;
    }
    this.#passed.clear();
    const last = standing.at(-1);
    if (last === undefined) await this.#target.resume();
    else await this.#past(...last);
    this.#running = true;
  }

  async #past(index: number, pc: VirtAddr): Promise<void> {
    const cpu = this.#cpu(index);
    if (await this.#recordSite(cpu, pc, true)) return;
    await this.#target.resumePast(cpu, pc, this.mayRepeat ? () => this.#noteProgress(cpu, pc) : undefined);
  }

  /**
   * Called before somebody else lets the halted guest run. Raises `target-busy` where breakpoints are in it: what it came to would be told to
   * nobody.
   */
  lend(): void {
    this.mustStand();
    if (this.isArmed || this.#due.length > 0) {
      throw new EbscopeError(
        "target-busy",
        "Cannot let the guest run until its firmware shows its tables: there are breakpoints in it",
        { next: "Find the places first, then set the breakpoints." },
      );
    }
    this.#epoch++;
    this.#passed.clear();
  }

  /** Whether a step past a breakpoint may end without progress, and the stop be told a second time. */
  get mayRepeat(): boolean {
    return this.#target.info.cpus.length > 1;
  }

  /** Right after a step past the breakpoint at `pc`: whether the vCPU is still there. */
  async #noteProgress(cpu: Cpu, pc: VirtAddr): Promise<void> {
    const [now, [word]] = await Promise.all([
      this.pcNow(cpu),
      this.#target.readVirtual(cpu, [{ address: pc, length: 4 }]),
    ]);
    if (now === pc && !branchesToItself(word)) this.#stuck.set(cpu.index, pc);
  }

  async pcNow(cpu: Cpu): Promise<VirtAddr | undefined> {
    const [row] = await this.#target.readRegisters([cpu], this.#pc);
    return pcOf(registersOf(this.#pc, row ?? []));
  }

  /** Whether this is an arrival that was told before. */
  #isToldAgain(cpu: Cpu, pc: VirtAddr): boolean {
    const stuck = this.#stuck.get(cpu.index);
    this.#stuck.delete(cpu.index);
    return stuck === pc;
  }

  /** For a trace: the next stop, with nothing read at it. Lets the guest run if it stands. */
  async nextStop(signal?: AbortSignal): Promise<Exclude<Stop, { kind: "ended" }>> {
    await this.#gone();
    if (!this.#running) await this.resume();
    const stop = await this.#awaitStop(signal);
    this.#stopped();
    if (stop.kind === "ended") throw ended(stop.why);
    return stop;
  }

  /**
   * For a trace: what `read` asks for goes out in one write with the step, and the guest runs on. Resolves with the answer as soon as it runs:
   * what else the stub has to say is awaited with the next stop, so that the caller and the guest work side by side.
   */
  async goOn<T>(cpu: Cpu, out: OutOfTheWay, read: () => Promise<T>, between?: () => Promise<unknown>): Promise<T> {
    this.#epoch++;
    this.#passed.clear();
    let resumed = (): void => undefined;
    const running = new Promise<void>((resolve) => {
      resumed = resolve;
    });
    const answered = read();
    this.#going = this.#target.resumePast(cpu, out, async () => {
      resumed();
      await between?.();
    });
    // Whoever waits for the next stop is told; until then nobody listens.
    this.#going.catch(resumed);
    this.#running = true;
    const [answer] = await Promise.all([answered, running]);
    return answer;
  }

  /** What resuming the guest came to. */
  async #gone(): Promise<void> {
    const going = this.#going;
    this.#going = undefined;
    await going;
  }

  /** For a trace: whether a vCPU that stands on a breakpoint was told of there. */
  setTold(cpu: Cpu, pc: VirtAddr | undefined): void {
    if (pc === undefined) this.#passed.delete(cpu.index);
    else this.#passed.set(cpu.index, pc);
  }

  /** Stops a running guest; empty when it stood. What it had come to just before is in the list. */
  async interrupt(): Promise<readonly Arrival[]> {
    const due = this.#due.splice(0);
    return this.#running ? [...due, ...(await this.#interrupt())] : due;
  }

  async #interrupt(): Promise<Arrival[]> {
    await this.#gone();
    const stop = (await this.#target.interrupt()) ?? (await this.#target.waitForStop());
    return this.#arrivals(stop);
  }

  /**
   * One instruction on a vCPU, the others held. One that stands on a breakpoint and was not told of it is told of it instead; a watched write
   * is told as such.
   */
  async step(cpu: Cpu): Promise<Arrival> {
    this.mustStand();
    const here = await this.#look(cpu);
    const from = pcOf(here);
    const onBreakpoint = from !== undefined && this.#inserted.has(from);
    if (onBreakpoint && this.#passed.get(cpu.index) !== from) {
      this.#passed.set(cpu.index, from);
      return { reason: "breakpoint", cpu, pc: from, general: here };
    }
    this.#epoch++;
    this.#passed.delete(cpu.index);
    if (from !== undefined && (await this.#recordSite(cpu, from, false))) return this.#stepped(cpu, "step");
    const stop = await this.#target.step(cpu, onBreakpoint ? from : "nothing");
    if (stop.kind === "ended") throw ended(stop.why);
    if (stop.kind === "watchpoint" && (await this.#recorded(stop, false)) !== undefined)
      return this.#stepped(cpu, "step");
    if (stop.kind === "watchpoint") return this.#firstOf(await this.#arrivalsOf(stop));
    return this.#stepped(cpu, stop.kind === "interrupt" ? "interrupt" : "step");
  }

  async #stepped(cpu: Cpu, reason: "step" | "interrupt"): Promise<Arrival> {
    const general = await this.#look(cpu);
    return { reason, cpu, pc: pcOf(general), general };
  }

  #firstOf([first, ...others]: readonly Arrival[]): Arrival {
    this.#due.push(...others);
    return first as Arrival;
  }

  /** Resolves with the arrivals of the next stop. Aborted: the guest is halted, what it had come to is kept, and it rejects. */
  async #wait(signal: AbortSignal | undefined): Promise<readonly Arrival[]> {
    for (let stuck = 0; stuck <= MAX_STRAYS; ) {
      const stop = await this.#awaitStop(signal);
      const mayRun = signal?.aborted !== true;
      const recorded = stop.kind === "ended" ? undefined : await this.#recorded(stop, mayRun);
      if (recorded === undefined) return this.#arrivalsOf(stop);
      stuck = recorded === "stuck" ? stuck + 1 : 0;
      if (mayRun) continue;
      this.#stopped();
      throw abortError(signal);
    }
    await this.#target.interrupt();
    this.#stopped();
    throw new EbscopeError(
      "protocol-error",
      "The guest stops again and again at a watched write, and never gets through it",
    );
  }

  /** What became of a stop that is of interest to nobody but who records writes: it is recorded, and the guest runs on, if it may. */
  async #recorded(stop: Exclude<Stop, { kind: "ended" }>, mayRun: boolean): Promise<Handled | undefined> {
    const blame = this.#blame;
    if (blame === undefined) return undefined;
    try {
      const handled = await blame.handle(stop, mayRun);
      if (handled !== undefined || stop.kind !== "breakpoint") return handled;
      const at = await lookAtStop(this.#target, stop.cpu);
      return this.#inserted.has(virt(at.pc)) ? undefined : await blame.handleSite(at, mayRun);
    } catch (error) {
      // Whether it runs again by now depends on how far that came.
      await this.#target.interrupt().catch(() => undefined);
      this.#stopped();
      throw error;
    }
  }

  /** At an instruction that is told of and recorded: whether it was, in place of a step past it. */
  async #recordSite(cpu: Cpu, pc: VirtAddr, mayRun: boolean): Promise<boolean> {
    if (this.#blame?.isSite(pc) !== true) return false;
    return (await this.#blame.handleSite(await lookAtStop(this.#target, cpu), mayRun)) !== undefined;
  }

  async #awaitStop(signal: AbortSignal | undefined): Promise<Stop> {
    try {
      return await this.#target.waitForStop(signal);
    } catch (error) {
      if (signal === undefined || !signal.aborted) throw error;
      await this.#halted();
      throw abortError(signal);
    }
  }

  #stopped(): void {
    this.#running = false;
    this.#epoch++;
  }

  /** Of a stop that was asked for, whatever it came to. */
  async #arrivals(stop: Stop): Promise<Arrival[]> {
    this.#stopped();
    if (stop.kind !== "ended" && (await this.#recorded(stop, false)) !== undefined)
      return [await this.#stepped(stop.cpu, "interrupt")];
    return this.#arrivalsOf(stop);
  }

  async #arrivalsOf(stop: Stop): Promise<Arrival[]> {
    this.#stopped();
    if (stop.kind === "ended") throw ended(stop.why);
    const others = await this.#writes.settleOthers(stop.cpu);
    if (stop.kind === "watchpoint") {
      this.#passed.delete(stop.cpu.index);
      // Told late: nothing is watched any more, as there was no room for more.
      if (this.#blame !== undefined) return others;
      return [...(await this.#writes.finish(stop)), ...others];
    }
    const general = await this.#look(stop.cpu);
    const pc = pcOf(general);
    const { cpu } = stop;
    if (stop.kind === "interrupt") return [{ reason: "interrupt", cpu, pc, general }, ...others];
    if (pc === undefined || !this.#inserted.has(pc)) return others;
    this.#passed.set(cpu.index, pc);
    return this.#isToldAgain(cpu, pc) ? others : [{ reason: "breakpoint", cpu, pc, general }, ...others];
  }

  async #look(cpu: Cpu): Promise<Registers> {
    const [row] = await this.#target.readRegisters([cpu], this.#general);
    return registersOf(this.#general, row ?? []);
  }

  #cpu(index: number): Cpu {
    return this.#target.info.cpus[index] as Cpu;
  }

  mustStand(): void {
    if (!this.#running) return;
    throw new EbscopeError("target-running", "Cannot do this while the guest runs", {
      next: "Stop it first: interrupt(), or await the next stop.",
    });
  }
}

function ended(why: string): EbscopeError {
  return new EbscopeError("guest-ended", `The guest ended: ${why}`);
}

export function branchesToItself(read: MemoryRead | undefined): boolean {
  if (read?.state !== "present") return false;
  const word = new DataView(read.bytes.buffer, read.bytes.byteOffset, 4).getUint32(0, true);
  return SELF_BRANCHES.some(([mask, value]) => (word & mask) >>> 0 === value);
}
