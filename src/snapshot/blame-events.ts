/** The events of a record of writes as columns, and back. */
import { virt } from "../base/address.ts";
import { BLAME_KINDS, type BlameEvent, type BlameKind } from "./blame.ts";
import type { Column, Columns } from "./columns.ts";

/** What an event has of what it may be without. */
const PC = 1;
const WORD = 2;
const OLD = 4;
const NEW = 8;
const STACK = 16;
const PARTS = PC | WORD | OLD | NEW | STACK;

/** Of a row in all columns. */
export const EVENT_BYTES = 50;

/** In the order of the file. */
function eventColumns(columns: Columns, rows: number) {
  return {
    kind: columns.next(rows, 1),
    parts: columns.next(rows, 1),
    cpu: columns.next(rows, 2),
    stop: columns.next(rows, 6),
    word: columns.next(rows, 4),
    stack: columns.next(rows, 4),
    pc: columns.next(rows, 8),
    address: columns.next(rows, 8),
    old: columns.next(rows, 8),
    new: columns.next(rows, 8),
  };
}

export function writeEvents(columns: Columns, events: readonly BlameEvent[]): void {
  const to = eventColumns(columns, events.length);
  for (const [row, event] of events.entries()) {
    to.kind.set(row, BLAME_KINDS.indexOf(event.kind));
    to.cpu.set(row, event.cpu);
    to.stop.set(row, event.stop);
    to.address.setWord(row, event.address);
    to.parts.set(row, partsOf(event));
    // Where nothing is, zeros stay.
    if (event.word !== undefined) to.word.set(row, event.word);
    if (event.stack !== undefined) to.stack.set(row, event.stack);
    setWord(to.pc, row, event.pc);
    setWord(to.old, row, event.old);
    setWord(to.new, row, event.new);
  }
}

function partsOf(event: BlameEvent): number {
  return (
    (event.pc === undefined ? 0 : PC) |
    (event.word === undefined ? 0 : WORD) |
    (event.old === undefined ? 0 : OLD) |
    (event.new === undefined ? 0 : NEW) |
    (event.stack === undefined ? 0 : STACK)
  );
}

function setWord(column: Column, row: number, value: bigint | undefined): void {
  if (value !== undefined) column.setWord(row, value);
}

/** How many there are of what events refer to by index. */
export interface Referred {
  readonly cpus: number;
  readonly points: number;
  readonly notes: number;
  readonly stacks: number;
  readonly contents: number;
}

/** Throws what `wrong` makes of the first event that cannot be. */
export function readEvents(
  columns: Columns,
  rows: number,
  referred: Referred,
  wrong: (why: string) => Error,
): BlameEvent[] {
  const from = eventColumns(columns, rows);
  const { cpus, stacks } = referred;
  const events: BlameEvent[] = [];
  for (let row = 0; row < rows; row++) {
    const parts = from.parts.get(row);
    const kind = BLAME_KINDS[from.kind.get(row)];
    if (kind === undefined || parts > PARTS) throw wrong("has an event of no known kind");
    const event: BlameEvent = {
      kind,
      stop: from.stop.get(row),
      cpu: from.cpu.get(row),
      pc: (parts & PC) === 0 ? undefined : virt(from.pc.getWord(row)),
      word: (parts & WORD) === 0 ? undefined : from.word.get(row),
      address: from.address.getWord(row),
      old: (parts & OLD) === 0 ? undefined : from.old.getWord(row),
      new: (parts & NEW) === 0 ? undefined : from.new.getWord(row),
      stack: (parts & STACK) === 0 ? undefined : from.stack.get(row),
    };
    if (event.cpu >= cpus) throw wrong("refers to a vCPU that is not there");
    if (event.stack !== undefined && event.stack >= stacks) throw wrong("refers to a stack that is not there");
    const reference = referenceOf(event, kind, referred);
    if (reference !== undefined && reference.index >= reference.count) {
      throw wrong(`refers to a ${reference.what} that is not there`);
    }
    events.push(event);
  }
  return events;
}

/** What an event refers to by a number that elsewhere is an address or a word; undefined when it does not. */
function referenceOf(event: BlameEvent, kind: BlameKind, { points, notes, contents }: Referred) {
  if (kind === "point") return { what: "point", index: event.address, count: points };
  if (kind === "lapse") return { what: "note", index: event.address, count: notes };
  if (kind === "table-found") return { what: "table", index: event.new ?? -1n, count: contents };
  return undefined;
}
