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
  /** Nobody was seen to write what it held at the second point. */
  readonly unattributed: boolean;
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
    if (!watched.has(change.name)) return { change, by: undefined, unattributed: true };
    return attributed(change, writes.get(`${change.cpu} ${change.name}`) ?? [], replay.record);
  });
}

function attributed(change: RegisterChange, writes: readonly RegisterWrite[], record: BlameRecord): RegisterBlame {
  const authors = new AuthorList(record);
  for (const write of writes) if (write.seen && write.before !== write.after) authors.add(write.event, 0);
  const last = writes.at(-1);
  const explained = last?.seen === true && last.after === change.after;
  return { change, by: authors.list(), unattributed: !explained };
}
