/**
 * Watched writes: from the stop in front of a write to the write that is done, with what was there before and after.
 *
 * A stop at a watchpoint comes before the write, and again for ever unless the watchpoint is taken out for a step. So the registers and the
 * watched memory are read, everything of ours is taken out, the vCPU steps, and the memory is read again: two round trips.
 *
 * With several vCPUs QEMU (accel/tcg, seen on 7.2 and 10.0) needs care. Of vCPUs that come to a watched write together one is reported, and
 * the others keep a note that they were about to. A vCPU with that note does its write without stopping before it, and is told of afterwards, a
 * few instructions late; if the watchpoint was removed in between, the note points to what was freed, the address that is told is any
 * number, and hits are lost. So before anything is removed, each other vCPU that stands at a load or store takes one step with everything in:
 * one with the note does its write and is told of, right behind it; one without it is told of before its write, if it is watched; in any
 * case the note is gone.
 */
import type { VirtAddr } from "../base/address.ts";
import type { MemoryRead } from "../base/memory.ts";
import { type RegisterDefinition, type Registers, registersOf } from "../base/registers.ts";
import type { Cpu, Stop, Target } from "../target/target.ts";
import { type Arrival, pcOf, type Watch } from "./arrival.ts";

type WatchStop = Extract<Stop, { kind: "watchpoint" }>;

const UNKNOWN: MemoryRead = { state: "unreadable", code: "read-failed" };
const DEVICE: MemoryRead = { state: "absent", code: "outside-memory" };

export class WriteStops {
  readonly #target: Target;
  readonly #general: readonly RegisterDefinition[];
  readonly #watches = new Set<Watch>();
  /** vCPUs that did not get through a step: they wait for an interrupt, or are off. By index, with the pc. */
  readonly #asleep = new Map<number, bigint>();

  constructor(target: Target, general: readonly RegisterDefinition[]) {
    this.#target = target;
    this.#general = general;
  }

  get isArmed(): boolean {
    return this.#watches.size > 0;
  }

  async add(watch: Watch): Promise<AsyncDisposable> {
    const trap = await this.#target.insertWatchpoint(watch.address, watch.length);
    this.#watches.add(watch);
    return {
      [Symbol.asyncDispose]: async () => {
        this.#watches.delete(watch);
        await trap[Symbol.asyncDispose]();
      },
    };
  }

  /** Lets a vCPU do the write that it was stopped before. Other watched ranges that it changes in doing so were written to as well. */
  async finish({ cpu, address }: WatchStop): Promise<Arrival[]> {
    const told = this.#watchAt(address);
    // Told late, of a watchpoint that is not there any more: the write is done.
    if (told === undefined) return [await this.#late(cpu)];
    let after: Promise<Contents> | undefined;
    const [[row], before] = await Promise.all([
      this.#target.readRegisters([cpu], this.#general),
      this.#contents(cpu),
      this.#target.step(cpu, "everything", () => {
        after = this.#contents(cpu);
        return after;
      }),
    ]);
    return this.#writes(cpu, registersOf(this.#general, row ?? []), told, before, (await after) ?? new Map());
  }

  #writes(cpu: Cpu, general: Registers, told: Watch, before: Contents, after: Contents): Arrival[] {
    const others = [...this.#watches].filter(
      (watch) => watch !== told && !isSame(watch, told) && isChanged(before.get(watch), after.get(watch)),
    );
    return [told, ...others].map((watch) =>
      arrival(cpu, general, { watch, before: before.get(watch) ?? UNKNOWN, after: after.get(watch) ?? UNKNOWN }),
    );
  }

  async #late(cpu: Cpu): Promise<Arrival> {
    const [row] = await this.#target.readRegisters([cpu], this.#general);
    const general = registersOf(this.#general, row ?? []);
    const [only] = this.#watches.size === 1 ? this.#watches : [];
    if (only === undefined) return { reason: "watchpoint", cpu, pc: pcOf(general), general };
    const after = (await this.#contents(cpu)).get(only) ?? UNKNOWN;
    return arrival(cpu, general, { watch: only, before: UNKNOWN, after });
  }

  /** The writes that other vCPUs were about to do when one was told of; none of them has a note of one afterwards. */
  async settleOthers(told: Cpu): Promise<Arrival[]> {
    const others = this.#target.info.cpus.filter(({ index }) => index !== told.index);
    if (this.#watches.size === 0 || others.length === 0) return [];
    const rows = await this.#target.readRegisters(others, this.#general);
    const found: Arrival[] = [];
    for (const [i, cpu] of others.entries()) {
      const general = registersOf(this.#general, rows[i] ?? []);
      const pc = pcOf(general);
      if (pc === undefined || this.#asleep.get(cpu.index) === pc || !(await this.#mayWrite(cpu, pc))) continue;
      found.push(...(await this.#settle(cpu, pc, general)));
    }
    return found;
  }

  async #settle(cpu: Cpu, pc: VirtAddr, general: Registers): Promise<Arrival[]> {
    const [before, stop] = await Promise.all([this.#contents(cpu), this.#target.step(cpu, "nothing")]);
    if (stop.kind === "interrupt") this.#asleep.set(cpu.index, pc);
    else this.#asleep.delete(cpu.index);
    if (stop.kind !== "watchpoint") return [];
    const [row] = await this.#target.readRegisters([cpu], this.#general);
    if (pcOf(registersOf(this.#general, row ?? [])) === pc) return this.finish(stop);
    const told = this.#watchAt(stop.address);
    return told === undefined
      ? [await this.#late(cpu)]
      : this.#writes(cpu, general, told, before, await this.#contents(cpu));
  }

  /** Loads and stores: bits 27 and 25 are 0b1x0 (Arm ARM DDI 0487, C4.1). */
  async #mayWrite(cpu: Cpu, pc: VirtAddr): Promise<boolean> {
    const [read] = await this.#target.readVirtual(cpu, [{ address: pc, length: 4 }]);
    if (read?.state !== "present") return false;
    return (((read.bytes[3] as number) << 24) & 0x0a00_0000) === 0x0800_0000;
  }

  #watchAt(address: bigint): Watch | undefined {
    return [...this.#watches].find((each) => each.address === address);
  }

  /** What each watched range holds: one batch. */
  async #contents(cpu: Cpu): Promise<Contents> {
    const watches = [...this.#watches];
    const readable = watches.filter((watch) => watch.readable);
    const reads = await this.#target.readVirtual(cpu, readable);
    return new Map(
      watches.map((watch) => [watch, watch.readable ? (reads[readable.indexOf(watch)] ?? UNKNOWN) : DEVICE]),
    );
  }
}

type Contents = ReadonlyMap<Watch, MemoryRead>;

function isChanged(before: MemoryRead | undefined, after: MemoryRead | undefined): boolean {
  if (before?.state !== "present" || after?.state !== "present") return false;
  return Buffer.compare(before.bytes, after.bytes) !== 0;
}

function arrival(cpu: Cpu, general: Registers, written: NonNullable<Arrival["written"]>): Arrival {
  return { reason: "watchpoint", cpu, pc: pcOf(general), general, written };
}

function isSame(a: Watch, b: Watch): boolean {
  return a.address === b.address && a.length === b.length;
}
