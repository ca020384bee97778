/** What a replay found, by event: for telling a record in its order. Units: indices of events. */
import type { Effect } from "./effect.ts";
import { type DescriptorChange, descriptorChanges } from "./pairs.ts";
import type { RegisterWrite, Replay } from "./replay.ts";

export class ByEvent {
  readonly changes: readonly DescriptorChange[];
  readonly #replay: Replay;
  /** Where the effects of each event begin in `#order`, which holds indices of effects by event, and where those of the last one end. */
  readonly #first: Uint32Array;
  readonly #order: Uint32Array;
  /** By event, one more than the index; 0: none. */
  readonly #change: Uint32Array;
  readonly #register: Uint32Array;

  constructor(replay: Replay) {
    this.#replay = replay;
    const { effects, registers, record } = replay;
    const count = record.events.length;
    this.#first = new Uint32Array(count + 2);
    for (const { event } of effects) increase(this.#first, Math.min(event, count) + 1);
    for (let i = 1; i < this.#first.length; i++) increase(this.#first, i, this.#first[i - 1]);
    const next = this.#first.slice();
    this.#order = new Uint32Array(effects.length);
    for (const [index, { event }] of effects.entries()) {
      this.#order[increase(next, Math.min(event, count))] = index;
    }
    this.#register = new Uint32Array(count);
    for (const [index, { event }] of registers.entries()) this.#register[event] = index + 1;
    this.changes = descriptorChanges(replay);
    this.#change = new Uint32Array(count);
    for (const [index, { events }] of this.changes.entries())
      for (const event of events) this.#change[event] = index + 1;
  }

  /** What an event did, and what was found at it that nobody was seen to do. */
  effects(event: number): readonly Effect[] {
    const [from = 0, to = 0] = [this.#first[event], this.#first[event + 1]];
    if (from === to) return NONE;
    return Array.from(this.#order.subarray(from, to), (index) => this.#replay.effects[index] as Effect);
  }

  /** The change of a descriptor that an event is, or is a part of. */
  change(event: number): DescriptorChange | undefined {
    return this.changes[(this.#change[event] ?? 0) - 1];
  }

  register(event: number): RegisterWrite | undefined {
    return this.#replay.registers[(this.#register[event] ?? 0) - 1];
  }
}

const NONE: readonly never[] = [];

/** Returns what was there before. */
function increase(numbers: Uint32Array, index: number, by = 1): number {
  const before = numbers[index] ?? 0;
  numbers[index] = before + by;
  return before;
}
