/** The memory that is watched on request: what its doublewords held last. */
import { type VirtAddr, virt } from "../../base/address.ts";
import type { WatchedRange } from "../../snapshot/blame.ts";
import type { Cpu, Target } from "../../target/target.ts";
import type { IsMemory } from "./code-cache.ts";
import { doublewordOf, type Hit } from "./hit.ts";
import { NOTHING, type Recorder } from "./recorder.ts";

export class RangeWords {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #words = new Map<VirtAddr, bigint>();

  readonly #isMemory: IsMemory;

  constructor(target: Target, recorder: Recorder, isMemory: IsMemory) {
    this.#isMemory = isMemory;
    this.#target = target;
    this.#recorder = recorder;
  }

  /** Learns what a range holds. */
  async add(cpu: Cpu, range: WatchedRange): Promise<void> {
    const words = doublewordsOf(range);
    const reads = await this.#target.readVirtual(
      cpu,
      words.map((address) => ({ address, length: 8 })),
    );
    for (const [i, address] of words.entries()) {
      const value = doublewordOf(reads[i]);
      if (value !== undefined) this.#words.set(address, value);
    }
  }

  /** A doubleword was stored to; undefined: what it holds now could not be read. */
  written({ cpu, pc, word, stack }: Hit, address: VirtAddr, value: bigint | undefined): void {
    const old = this.#words.get(address);
    this.#recorder.add({ kind: "memory", cpu: cpu.index, pc, word, address, old, new: value, stack });
    if (value !== undefined) this.#words.set(address, value);
  }

  /** Tells what differs from what was seen to be written; `by`: the instruction that must have done it. */
  async compare(cpu: Cpu, by?: Hit): Promise<void> {
    // What an address leads to may have changed.
    const words = [...this.#words].filter(([address]) => this.#isMemory(cpu, virt(address & ~0xfffn)));
    if (words.length === 0) return;
    const reads = await this.#target.readVirtual(
      cpu,
      words.map(([address]) => ({ address, length: 8 })),
    );
    for (const [i, [address, old]] of words.entries()) {
      const now = doublewordOf(reads[i]);
      if (now === undefined || now === old) continue;
      if (by !== undefined) this.written(by, address, now);
      else this.#recorder.add({ ...NOTHING, kind: "unseen-memory", cpu: cpu.index, address, old, new: now });
      this.#words.set(address, now);
    }
  }
}

/** The aligned doublewords that a range touches. */
export function doublewordsOf({ address, length }: WatchedRange): VirtAddr[] {
  const [first, end] = [address & ~7n, address + BigInt(length)];
  return Array.from({ length: Number((end - first + 7n) / 8n) }, (_, i) => virt(first + BigInt(8 * i)));
}
