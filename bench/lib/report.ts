/** What the benchmarks print: a table of contenders, and what the issue asks for beside what was seen. */
import { flags } from "./flags.ts";
import { type Result, ratio } from "./race.ts";

export function heading(what: string, repeats: number): void {
  console.log(
    `\n${what}\n  ${flags.rounds} rounds of ${repeats}, in turns; a ratio is the median of the rounds' ratios`,
  );
}

export interface Table {
  /** How a time is shown: milliseconds, or a rate of what one repetition does. */
  readonly show?: (milliseconds: number) => string;
  /** The contenders that the others are held against, by name: a column of ratios each. */
  readonly against: readonly string[];
}

export function printTable(results: readonly Result[], { show = inMilliseconds, against }: Table): void {
  const bases = against.map((name) => named(results, name));
  const rows = [
    ["", "median", "best", ...against.map((name) => `× ${name}`)],
    ...results.map((result) => [
      result.name,
      show(result.median),
      show(result.least),
      ...bases.map((base) => ratio(result, base).toFixed(2)),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  for (const row of rows) {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
    console.log(`  ${cells.join("   ")}`);
  }
}

export function named(results: readonly Result[], name: string): Result {
  const result = results.find((each) => each.name === name);
  if (result === undefined) throw new Error(`no contender is called ${name}`);
  return result;
}

/** One line: what is wanted of a ratio, and what it was. */
export function printGoal(
  what: string,
  seen: number,
  bound: { readonly least: number } | { readonly most: number },
): void {
  const [met, wanted] =
    "least" in bound ? [seen >= bound.least, `>= ${bound.least}`] : [seen <= bound.most, `<= ${bound.most}`];
  console.log(`  goal: ${what} ${wanted}: ${seen.toFixed(2)} ${met ? "(met)" : "(MISSED)"}`);
}

export function inMilliseconds(milliseconds: number): string {
  return `${milliseconds.toFixed(2)} ms`;
}

/** Megabytes (10^6) a second for so many bytes a repetition. */
export function inMegabytes(bytes: number): (milliseconds: number) => string {
  return (milliseconds) => `${(bytes / 1000 / milliseconds).toFixed(0)} MB/s`;
}

export function inRate(what: string, count: number): (milliseconds: number) => string {
  return (milliseconds) => `${((count / milliseconds) * 1000).toFixed(0)} ${what}/s`;
}
