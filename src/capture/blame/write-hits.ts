/**
 * A vCPU that stopped before a watched write: letting it write, and recording what it wrote.
 *
 * Source: QEMU's gdbstub, measured (7.2, 10.0): a write watchpoint stops a vCPU before the write and names where the watchpoint begins; resuming
 * hits it again. So the registers are read, the watchpoint is taken out, the vCPU steps, what it wrote is read, the watchpoint goes in again: two
 * round trips, those for its call chain included where that is known. More are taken where the write may lead to tables that are not watched yet:
 * they are looked at before the guest runs on.
 *
 * With several vCPUs: of those that come to watched writes together one is reported, and the others keep a note that they were about to; one
 * with that note does its write without a stop before it. session/write-stops.ts tells more. So each other vCPU that stands at a store takes
 * one step first, with everything in.
 */
import { type VirtAddr, virt } from "../../base/address.ts";
import type { MemoryRead, VirtSpan } from "../../base/memory.ts";
import { type RegisterDefinition, type Registers, registersOf } from "../../base/registers.ts";
import { mayStore } from "../../code/store-words.ts";
import type { Cpu, OutOfTheWay, Stop, Target } from "../../target/target.ts";
import type { ChainGuess, Chains } from "./chains.ts";
import type { CodeCache, IsMemory } from "./code-cache.ts";
import { doublewordOf, type Handled, type Hit, LastHits, u32 } from "./hit.ts";
import type { KnownRegisters } from "./known-registers.ts";
import type { LiveTables } from "./live-tables.ts";
import type { RangeWords } from "./range-words.ts";
import { type Stored, storesOf } from "./stores.ts";
import type { WatchedWord, Watchpoints } from "./watchpoints.ts";

const UNREADABLE: MemoryRead = { state: "unreadable", code: "read-failed" };

export interface WriteHitsParts {
  readonly target: Target;
  readonly general: readonly RegisterDefinition[];
  readonly known: KnownRegisters;
  readonly code: CodeCache;
  readonly isMemory: IsMemory;
  readonly chains: Chains;
  readonly watchpoints: Watchpoints;
  readonly ranges: RangeWords;
  /** Undefined while no tables are watched. */
  readonly tables: () => LiveTables | undefined;
}

export class WriteHits {
  readonly #target: Target;
  readonly #parts: WriteHitsParts;
  /** With several vCPUs a guest that is resumed in one write with the last request stops again, now and then, with a note left on one of them. */
  readonly #alone: boolean;
  /** vCPUs that did not get through a step: they wait for an interrupt, or are off. By index, with the pc. */
  readonly #asleep = new Map<number, VirtAddr>();
  readonly #last = new LastHits();
  /** What was written last is not known: its code was another by then. */
  #missed = false;

  constructor(parts: WriteHitsParts) {
    this.#target = parts.target;
    this.#parts = parts;
    this.#alone = parts.target.info.cpus.length === 1;
  }

  /** Records the write, and lets the guest run on, if it may. */
  async handle({ cpu, address }: Extract<Stop, { kind: "watchpoint" }>, mayRun: boolean): Promise<Handled> {
    if (this.#missed) await this.#late(cpu);
    await this.settleOthers(cpu);
    const out = this.#parts.watchpoints.trapAt(address);
    const outcome = out === undefined ? await this.#late(cpu) : await this.#hit(cpu, out, mayRun && this.#alone);
    if (outcome !== "runs" && mayRun) await this.#target.resume();
    return outcome === "stuck" ? "stuck" : "ran";
  }

  /** A stop before a load or store that is no watched write: what there is to say of it. */
  async standing(cpu: Cpu): Promise<Hit> {
    const { chains, code, general } = this.#parts;
    const [[row = []], guess] = await Promise.all([this.#target.readRegisters([cpu], general), chains.guess(cpu)]);
    const registers = registersOf(general, row);
    const pc = virt(registers.get("pc") ?? 0n);
    return {
      cpu,
      registers,
      pc,
      word: await code.fetchWord(cpu, pc),
      stack: await chains.whole(cpu, registers, guess),
    };
  }

  /** Of a watchpoint that is not there any more: what was written is found by comparing. */
  async #late(cpu: Cpu, by?: Hit): Promise<"stuck"> {
    this.#missed = false;
    await this.#parts.tables()?.compareAll(cpu, by);
    await this.#parts.ranges.compare(cpu, by);
    return "stuck";
  }

  /** `runs`: the guest runs again, which it does only if it may. `stuck`: the vCPU has not got any further. */
  async #hit(cpu: Cpu, out: OutOfTheWay, mayRun: boolean): Promise<"runs" | "halted" | "stuck"> {
    // What the registers tell is worked out while the vCPU takes its step.
    const [look, { stop, putBack }] = await Promise.all([this.#lookAt(cpu), this.#target.stepAside(cpu, out)]);
    if (stop.kind === "watchpoint") {
      await putBack();
      // Another of ours lies there too.
      return out === "everything" ? this.#late(cpu) : this.#hit(cpu, "everything", mayRun);
    }
    const { row, registers, pc, word, written, spans, chain, guess, leaves } = look;
    const isSure = !this.#last.isAgain(cpu, row) && stop.kind === "breakpoint";
    if (mayRun && isSure && chain !== undefined && leaves) {
      const [, after] = await Promise.all([putBack(), this.#readBack(cpu, spans), this.#target.resume()]);
      this.#missed = !this.#record({ cpu, registers, pc, word, stack: chain.index }, written, after);
      return "runs";
    }
    await putBack();
    // A stop of another vCPU may have ended the step before it was done: the write is told of again.
    if (!(this.#alone && isSure) && (await this.#pcOf(cpu)) === pc) return "stuck";
    await this.#look(cpu, registers, pc, guess);
    return "halted";
  }

  /** What there is to know of a write before it is done. `chain`: undefined where it has to be looked at; `leaves`: no table comes or goes by it. */
  async #lookAt(cpu: Cpu) {
    const { chains, code, general } = this.#parts;
    const [[row = []], guess] = await Promise.all([this.#target.readRegisters([cpu], general), chains.guess(cpu)]);
    const registers = registersOf(general, row);
    const pc = virt(registers.get("pc") ?? 0n);
    const word = code.wordAt(pc);
    const { stored, written } = this.#writes(cpu, word, registers);
    const chain = written.length === 0 ? undefined : chains.known(registers, guess);
    const leaves = this.#parts.tables()?.leavesTables(written, stored?.values) ?? true;
    return { row, registers, pc, word, written, spans: this.#spansOf(cpu, written, pc), chain, guess, leaves };
  }

  /** What an instruction stores to: undefined where that is not known; and what of it is watched. */
  #writes(cpu: Cpu, word: number | undefined, registers: Registers): { stored?: Stored; written: WatchedWord[] } {
    const stored = word === undefined ? undefined : storesOf(word, registers, this.#parts.known.zeroBlock(cpu.index));
    if (stored === undefined) return { written: [] };
    return { stored, written: this.#parts.watchpoints.watched(stored.doublewords) };
  }

  /** Where to read what doublewords hold that were written, and the instruction; undefined for a device, which is not asked. */
  #spansOf(cpu: Cpu, written: readonly WatchedWord[], pc: VirtAddr): readonly (VirtSpan | undefined)[] {
    return spansOf(written, pc).map((span) =>
      this.#parts.isMemory(cpu, virt(span.address & ~0xfffn)) ? span : undefined,
    );
  }

  async #readBack(cpu: Cpu, spans: readonly (VirtSpan | undefined)[]): Promise<readonly MemoryRead[]> {
    const reads = await this.#target.readVirtual(
      cpu,
      spans.filter((span) => span !== undefined),
    );
    let at = 0;
    return spans.map((span) => (span === undefined ? UNREADABLE : (reads[at++] ?? UNREADABLE)));
  }

  async #pcOf(cpu: Cpu): Promise<bigint | undefined> {
    const [row = []] = await this.#target.readRegisters([cpu], this.#parts.general);
    return registersOf(this.#parts.general, row).get("pc");
  }

  /** A write whose code, call chain or consequences have to be looked at first. */
  async #look(cpu: Cpu, registers: Registers, pc: VirtAddr, guess: ChainGuess): Promise<void> {
    const { chains, code } = this.#parts;
    const stack = await chains.whole(cpu, registers, guess);
    // Once more if the code was another when it was read.
    for (const isLast of [false, true]) {
      const word = await code.fetchWord(cpu, pc);
      const hit = { cpu, registers, pc, word, stack };
      const { stored, written } = this.#writes(cpu, word, registers);
      if (
        written.length > 0 &&
        this.#record(hit, written, await this.#readBack(cpu, this.#spansOf(cpu, written, pc)))
      ) {
        await this.#parts.tables()?.settle(cpu);
        return;
      }
      code.forget(pc);
      // One of which it is not known where it stores to may have written whatever is different; any other has not.
      if (isLast) await this.#late(cpu, stored === undefined ? hit : undefined);
    }
  }

  /**
   * `after`: what the doublewords hold now, and the instruction as it is in memory now. False when that is another one: it was not this one that
   * wrote.
   */
  #record(hit: Hit, written: readonly WatchedWord[], after: readonly MemoryRead[]): boolean {
    const now = after[written.length];
    if (now?.state === "present" && hit.word !== undefined && u32(now.bytes) !== hit.word) {
      this.#parts.code.forget(hit.pc);
      return false;
    }
    for (const [i, { virtual, table, inRange }] of written.entries()) {
      const value = doublewordOf(after[i]);
      if (table !== undefined) this.#parts.tables()?.written(hit, table, value);
      if (inRange) this.#parts.ranges.written(hit, virtual, value);
    }
    return true;
  }

  /**
   * The writes that other vCPUs were about to do when one was told of, for whatever reason; none of them has a note of one afterwards. Due at each
   * stop before anything moves.
   */
  async settleOthers(told: Cpu): Promise<void> {
    const others = this.#target.info.cpus.filter(({ index }) => index !== told.index);
    if (others.length === 0 || this.#parts.watchpoints.count === 0) return;
    const rows = await this.#target.readRegisters(others, this.#parts.general);
    for (const [i, cpu] of others.entries()) {
      const registers = registersOf(this.#parts.general, rows[i] ?? []);
      const pc = registers.get("pc");
      if (pc === undefined || this.#asleep.get(cpu.index) === pc) continue;
      const word = await this.#parts.code.fetchWord(cpu, virt(pc));
      if (word !== undefined && mayStore(word)) await this.#settle(cpu, virt(pc), registers);
    }
  }

  async #settle(cpu: Cpu, pc: VirtAddr, registers: Registers): Promise<void> {
    const stop = await this.#target.step(cpu, "nothing");
    if (stop.kind === "interrupt") this.#asleep.set(cpu.index, pc);
    else this.#asleep.delete(cpu.index);
    if (stop.kind !== "watchpoint") return;
    const out = this.#parts.watchpoints.trapAt(stop.address);
    if ((await this.#pcOf(cpu)) === pc && out !== undefined) await this.#hit(cpu, out, false);
    else await this.#look(cpu, registers, pc, { spans: [], reads: [] });
  }
}

/** The doublewords that were written, and the instruction. */
function spansOf(written: readonly WatchedWord[], pc: VirtAddr): VirtSpan[] {
  return [...written.map(({ virtual }) => ({ address: virtual, length: 8 })), { address: pc, length: 4 }];
}
