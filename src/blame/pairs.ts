/**
 * Writes to descriptors as changes: what was made invalid and then valid again is one change.
 *
 * Source: Arm ARM DDI 0487, D8.17 "Using break-before-make when updating translation table entries": write an invalid entry, invalidate the
 * TLBs, write the new one.
 */
import type { PhysAddr } from "../base/address.ts";
import type { Effect } from "./effect.ts";
import type { Replay } from "./replay.ts";

/**
 * `replaced`: valid → invalid → valid, by one vCPU, and nothing else wrote the doubleword in between. `direct`: valid → another valid one.
 * `made`: invalid → valid. `broken`: valid → invalid, and not made again by the same vCPU.
 */
export type DescriptorChangeKind = "replaced" | "direct" | "made" | "broken";

export interface DescriptorChange {
  readonly kind: DescriptorChangeKind;
  readonly address: PhysAddr;
  /** The first old descriptor and the last new one, as the hardware reads them. */
  readonly before: bigint;
  readonly after: bigint;
  /** What the write did, by index into the effects of the replay; of `replaced` the write that broke and the one that made. */
  readonly effects: readonly [number] | readonly [broke: number, made: number];
  /** Events of these, as indices in the record. */
  readonly events: readonly [number] | readonly [broke: number, made: number];
  /** Index of the vCPU that wrote. */
  readonly cpu: number;
}

interface Write {
  readonly index: number;
  readonly event: number;
  readonly seen: boolean;
  readonly cpu: number;
  readonly address: PhysAddr;
  readonly before: bigint;
  readonly after: bigint;
}

/** The changes of descriptors of live tables that were seen, in the order of their first events. */
export function descriptorChanges(replay: Replay): readonly DescriptorChange[] {
  const changes: DescriptorChange[] = [];
  const broken = new Map<bigint, Write>();
  for (const write of writesOf(replay)) {
    const pending = broken.get(write.address);
    broken.delete(write.address);
    const isMade = !isValid(write.before) && isValid(write.after);
    const joins = isMade && pending !== undefined && write.seen && pending.cpu === write.cpu;
    if (joins && pending.after === write.before) {
      changes.push(joined(pending, write));
      continue;
    }
    if (pending !== undefined) changes.push(alone("broken", pending));
    if (!write.seen) continue;
    if (isMade) changes.push(alone("made", write));
    else if (isValid(write.after)) changes.push(alone("direct", write));
    else if (isValid(write.before)) broken.set(write.address, write);
  }
  for (const write of broken.values()) changes.push(alone("broken", write));
  return changes.sort((a, b) => a.effects[0] - b.effects[0]);
}

export function isValid(descriptor: bigint): boolean {
  return (descriptor & 1n) === 1n;
}

/** One for each write, whatever the regimes it has effects in. */
function* writesOf({ effects, record }: Replay): Generator<Write> {
  let last: Effect | undefined;
  for (const [index, effect] of effects.entries()) {
    const { address, before, after, event, seen, kind } = effect;
    if (address === undefined || before === undefined || after === undefined || kind === "stage2") continue;
    const again = last?.event === event && last.address === address && last.seen === seen;
    last = effect;
    if (again) continue;
    yield { index, event, seen, cpu: record.events[event]?.cpu ?? 0, address, before, after };
  }
}

function alone(kind: DescriptorChangeKind, { index, event, ...write }: Write): DescriptorChange {
  const { address, before, after, cpu } = write;
  return { kind, address, before, after, effects: [index], events: [event], cpu };
}

function joined(broke: Write, made: Write): DescriptorChange {
  const { address, before, cpu } = broke;
  const events = [broke.event, made.event] as const;
  return { kind: "replaced", address, before, after: made.after, effects: [broke.index, made.index], events, cpu };
}
