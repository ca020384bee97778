/** The changes of a difference with those who made them, by name. */
import type { Author } from "../../blame/index.ts";
import type { Difference } from "../../diff/diff.ts";
import type { MappingChange } from "../../diff/mappings.ts";
import type { RegisterChange } from "../../diff/registers.ts";
import type { Study } from "../study.ts";
import type { Writer } from "./writers.ts";

/** One instruction that was reached through one call chain, and what it did to a change. */
export interface NamedAuthor {
  /** Undefined: the record does not say which instruction it was. */
  readonly writer: Writer | undefined;
  /** Indices of its events in the record, in order. */
  readonly events: readonly number[];
  /** Bytes of the change that it changed last of all; 0 for registers. */
  readonly last: bigint;
}

export interface ChangeAuthors {
  /** In the order of their first writes; empty: it was watched, and nobody was seen. Undefined: nobody watched. */
  readonly by: readonly NamedAuthor[] | undefined;
  /** Whether nobody was seen to make it what it is, in whole or in part. */
  readonly isUnattributed: boolean;
  /** Bytes of a run that nobody was seen to change last; 0 for registers. */
  readonly unattributed: bigint;
}

export interface DifferenceAuthors {
  readonly mappings: ReadonlyMap<MappingChange, ChangeAuthors>;
  readonly registers: ReadonlyMap<RegisterChange, ChangeAuthors>;
  /** Why not all was seen, or is told, of what happened between the points. */
  readonly gaps: readonly string[];
}

/** Authors of one change that are told of: those that changed most of it last. */
const MAX_AUTHORS = 64;

const NOBODY_WATCHED: ChangeAuthors = { by: undefined, isUnattributed: false, unattributed: 0n };

/** Undefined for a capture without a record of writes. */
export async function authorsOf({ blame }: Study, difference: Difference): Promise<DifferenceAuthors | undefined> {
  if (blame === undefined) return undefined;
  const found = blame.attribution(difference);
  if (found === undefined) {
    return {
      mappings: new Map(difference.mappings.map((change) => [change, NOBODY_WATCHED])),
      registers: new Map(difference.registers.map((change) => [change, NOBODY_WATCHED])),
      gaps: [],
    };
  }
  const told = new Map<readonly Author[], readonly Author[]>();
  for (const { by } of [...found.mappings, ...found.registers]) if (by !== undefined) told.set(by, mostOf(by));
  await blame.writers.learn(firstEvents(told.values()));
  const named = (by: readonly Author[] | undefined): readonly NamedAuthor[] | undefined =>
    by &&
    told.get(by)?.map(({ events, lastPages }) => ({
      writer: blame.writers.of(events[0]?.event ?? -1),
      events: events.map(({ event }) => event),
      last: BigInt(lastPages) << 12n,
    }));
  return {
    mappings: new Map(
      found.mappings.map(({ change, by, unattributed }) => {
        if (by === undefined) return [change, NOBODY_WATCHED];
        return [change, { by: named(by), isUnattributed: unattributed > 0, unattributed: BigInt(unattributed) << 12n }];
      }),
    ),
    registers: new Map(
      found.registers.map(({ change, by, unattributed }) => {
        if (by === undefined) return [change, NOBODY_WATCHED];
        return [change, { by: named(by), isUnattributed: unattributed, unattributed: 0n }];
      }),
    ),
    gaps: [...blame.gapsBetween(difference.before.point, difference.after.point), ...found.notes],
  };
}

/** In their order. */
function mostOf(by: readonly Author[]): readonly Author[] {
  if (by.length <= MAX_AUTHORS) return by;
  const kept = new Set([...by].sort((a, b) => b.lastPages - a.lastPages).slice(0, MAX_AUTHORS));
  return by.filter((author) => kept.has(author));
}

function* firstEvents(lists: Iterable<readonly Author[]>): Generator<number> {
  for (const by of lists) for (const { events } of by) if (events[0] !== undefined) yield events[0].event;
}
