/** Who changed a register between two points. */
import { CONTROL_REGISTERS } from "../aarch64/registers/index.ts";
import type { RegisterChange } from "../diff/registers.ts";
import type { BlameRecord } from "../snapshot/blame.ts";
import { type Author, AuthorList } from "./author.ts";
import type { RegisterWrite, Replay } from "./replay.ts";

export interface RegisterBlame {
  readonly change: RegisterChange;
  /** In the order of their first event; empty: it was watched, and nobody was seen. Undefined: nobody watched for it. */
  readonly by: readonly Author[] | undefined;
  /** Not all of the change was seen to be written: some of `unseenBits` are set. */
  readonly unattributed: boolean;
  /** The bits that differ between the points and that nobody was seen to change last. */
  readonly unseenBits: bigint;
}

/** Names of the registers that were watched for. */
function registersWatched({ record, registers }: Replay): ReadonlySet<string> {
  const seen = registers.filter((each) => each.seen).map(({ name }) => name);
  return new Set(record.sites.length === 0 ? seen : [...CONTROL_REGISTERS, ...seen]);
}

/** Attributes changes of registers to the writes that `between` lets pass. */
export function attributeRegisters(
  changes: readonly RegisterChange[],
  replay: Replay,
  between: (event: number) => boolean,
): RegisterBlame[] {
  const watched = registersWatched(replay);
  const writes = new Map<string, RegisterWrite[]>();
  for (const write of replay.registers.filter(({ event }) => between(event))) {
    const key = `${write.cpu} ${write.name}`;
    const known = writes.get(key);
    if (known === undefined) writes.set(key, [write]);
    else known.push(write);
  }
  return changes.map((change) => {
    if (!watched.has(change.name)) return { change, by: undefined, unattributed: true, unseenBits: allBits(change) };
    return attributed(change, writes.get(`${change.cpu} ${change.name}`) ?? [], replay.record);
  });
}

function attributed(change: RegisterChange, writes: readonly RegisterWrite[], record: BlameRecord): RegisterBlame {
  const authors = new AuthorList(record);
  for (const write of writes) if (write.seen && write.before !== write.after) authors.add(write.event, 0);
  const unseenBits = unseenOf(change, writes);
  return { change, by: authors.list(), unattributed: unseenBits !== 0n, unseenBits };
}

/** Back from what it held at the second point: a bit belongs to the last write that changed it. */
function unseenOf({ before, after }: RegisterChange, writes: readonly RegisterWrite[]): bigint {
  let left = allBits({ before, after });
  let unseen = 0n;
  let value = after;
  for (const write of [...writes].reverse()) {
    if (value === undefined || write.after === undefined || write.before === undefined) break;
    // What nobody wrote since is not what the write left there.
    unseen |= left & (value ^ write.after);
    left &= ~(value ^ write.after);
    const changed = left & (write.before ^ write.after);
    if (!write.seen) unseen |= changed;
    left &= ~changed;
    value = write.before;
  }
  return unseen | left;
}

/** The bits that differ; all of 64 where one of the values is not known. */
function allBits({ before, after }: Pick<RegisterChange, "before" | "after">): bigint {
  return before === undefined || after === undefined ? (1n << 64n) - 1n : before ^ after;
}
