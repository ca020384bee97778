/** How much of a record of writes a file takes, and what is left of one that has more. */
import type { BlameEvent, BlameRecord, StackSample } from "./blame.ts";

export const MAX_EVENTS = 1 << 22;
export const MAX_STACKS = 1 << 16;
/** Numbers in `words` of one stack; and of all stacks, so that what is made of them fits into memory. */
export const MAX_STACK_WORDS = 512;
export const MAX_WORDS = 1 << 23;
export const MAX_SITES = 1 << 16;
export const MAX_CONTENTS = 1 << 16;
export const MAX_CODE_PAGES = 1 << 14;
export const MAX_RANGES = 64;
export const MAX_NOTES = 1024;

const MORE = "More was recorded than a capture file takes; left out:";

/**
 * The record, or what a file takes of it: the first of everything, events without what was left out, and a last note that says what was. A
 * lapse whose note had no room has that one.
 */
export function withinBounds(record: BlameRecord): BlameRecord {
  const { events, contents, sites, ranges, notes } = record;
  const stacks = boundedStacks(record.stacks);
  const left = [
    leftOut(events.length, MAX_EVENTS, "events"),
    stacks === record.stacks ? undefined : "stacks or parts of them",
    leftOut(contents.length, MAX_CONTENTS, "pages of tables"),
    leftOut(record.code.size, MAX_CODE_PAGES, "pages of code"),
    leftOut(sites.length, MAX_SITES, "breakpoints"),
    leftOut(ranges.length, MAX_RANGES, "ranges"),
    leftOut(notes.length, MAX_NOTES, "notes"),
  ].filter((each) => each !== undefined);
  if (left.length === 0) return record;
  const kept = notes.slice(0, MAX_NOTES - 1);
  const limits = { stacks: stacks.length, contents: Math.min(contents.length, MAX_CONTENTS), notes: kept.length };
  return {
    ...record,
    events: firstEvents(events).map((event) => boundedEvent(event, limits)),
    uncounted: record.uncounted + Math.max(events.length - MAX_EVENTS, 0),
    stacks,
    contents: contents.slice(0, MAX_CONTENTS),
    code: new Map([...record.code].slice(0, MAX_CODE_PAGES)),
    sites: sites.slice(0, MAX_SITES),
    ranges: ranges.slice(0, MAX_RANGES),
    notes: [...kept, `${MORE} ${left.join(", ")}.`],
  };
}

function leftOut(count: number, most: number, what: string): string | undefined {
  return count > most ? `${digits(count - most)} of ${digits(count)} ${what}` : undefined;
}

function digits(count: number): string {
  return count.toLocaleString("en-US");
}

/** Points and lapses go before writes: without them what is kept would say more than was seen. */
function firstEvents(events: readonly BlameEvent[]): readonly BlameEvent[] {
  if (events.length <= MAX_EVENTS) return events;
  const isWrite = ({ kind }: BlameEvent): boolean => kind !== "point" && kind !== "lapse";
  let excess = events.length - MAX_EVENTS;
  const keeps = events.findLastIndex((event) => isWrite(event) && --excess === 0);
  return events.filter((event, i) => i < keeps || !isWrite(event)).slice(0, MAX_EVENTS);
}

/** The same list when nothing was cut. */
function boundedStacks(stacks: readonly StackSample[]): readonly StackSample[] {
  let total = 0;
  let cut = stacks.length > MAX_STACKS;
  const kept = stacks.slice(0, MAX_STACKS).map((stack) => {
    // An address without its value says nothing.
    const length = Math.min(stack.words.length & ~1, MAX_STACK_WORDS, MAX_WORDS - total);
    total += length;
    if (stack.words.length === length) return stack;
    cut = true;
    return { ...stack, words: stack.words.slice(0, length) };
  });
  return cut ? kept : stacks;
}

interface Limits {
  readonly stacks: number;
  readonly contents: number;
  readonly notes: number;
}

function boundedEvent(event: BlameEvent, { stacks, contents, notes }: Limits): BlameEvent {
  if (event.stack !== undefined && event.stack >= stacks)
    return boundedEvent({ ...event, stack: undefined }, { stacks, contents, notes });
  if (event.kind === "lapse" && event.address > notes) return { ...event, address: BigInt(notes) };
  if (event.kind === "table-found" && (event.new ?? 0n) >= contents) return { ...event, new: undefined };
  return event;
}
