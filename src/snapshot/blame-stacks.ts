/** The stacks of a record of writes as columns, and back. */
import type { StackSample } from "./blame.ts";
import { MAX_STACK_WORDS } from "./blame-bounds.ts";
import type { Columns } from "./columns.ts";

/** Of a row in all columns, without its words. */
export const STACK_BYTES = 34;
export const WORD_BYTES = 8;

function stackColumns(columns: Columns, rows: number) {
  return {
    sp: columns.next(rows, 8),
    fp: columns.next(rows, 8),
    lr: columns.next(rows, 8),
    cpsr: columns.next(rows, 8),
    count: columns.next(rows, 2),
  };
}

export function writeStacks(columns: Columns, stacks: readonly StackSample[]): void {
  const to = stackColumns(columns, stacks.length);
  const words = columns.next(countWords(stacks), 8);
  let at = 0;
  for (const [row, stack] of stacks.entries()) {
    for (const name of ["sp", "fp", "lr", "cpsr"] as const) to[name].setWord(row, stack[name]);
    to.count.set(row, stack.words.length);
    for (const word of stack.words) words.setWord(at++, word);
  }
}

export function countWords(stacks: readonly StackSample[]): number {
  return stacks.reduce((sum, stack) => sum + stack.words.length, 0);
}

/** Throws what `wrong` makes of stacks that do not fit their words. */
export function readStacks(
  columns: Columns,
  rows: number,
  wordCount: number,
  wrong: (why: string) => Error,
): StackSample[] {
  const from = stackColumns(columns, rows);
  const words = columns.next(wordCount, 8);
  let at = 0;
  const stacks: StackSample[] = [];
  for (let row = 0; row < rows; row++) {
    const count = from.count.get(row);
    if (count > MAX_STACK_WORDS || count % 2 !== 0 || at + count > wordCount) {
      throw wrong("has a stack that does not fit its words");
    }
    const own: bigint[] = [];
    for (const end = at + count; at < end; at++) own.push(words.getWord(at));
    stacks.push({
      sp: from.sp.getWord(row),
      fp: from.fp.getWord(row),
      lr: from.lr.getWord(row),
      cpsr: from.cpsr.getWord(row),
      words: own,
    });
  }
  if (at !== wordCount) throw wrong("has words of no stack");
  return stacks;
}
