/**
 * Contenders in turns on one guest, since a stub serves one client at a time and the machine is never quiet: each round all of them have a
 * short turn, and what is compared is what stood side by side in a round. A ratio is the median of the rounds' ratios.
 */

/** How many times as long as the others the first turn is. What is measured is what lasts: by then everything that runs often is compiled. */
export const WARM_UP = 5;

export interface Contender {
  readonly name: string;
  /** One turn; returns what each repetition took, in milliseconds. The first turn of all warms up: it may be longer. */
  turn(warmUp: boolean): Promise<readonly number[]>;
}

export interface Result {
  readonly name: string;
  /** The median of each round, in milliseconds. */
  readonly rounds: readonly number[];
  /** Of all repetitions. */
  readonly median: number;
  readonly least: number;
}

/** Each contender's turns: a round to warm up, which does not count, and `rounds` that do, each starting with another contender. */
export async function race(contenders: readonly Contender[], rounds: number): Promise<readonly Result[]> {
  for (const contender of contenders) await contender.turn(true);
  const times: number[][][] = contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const which = (i + round) % contenders.length;
      times[which]?.push([...(await (contenders[which] as Contender).turn(false))]);
    }
  }
  return contenders.map(({ name }, i) => {
    const all = (times[i] ?? []).flat();
    return { name, rounds: (times[i] ?? []).map(median), median: median(all), least: Math.min(...all) };
  });
}

/** How many times as long `a` takes as `b`. */
export function ratio(a: Result, b: Result): number {
  return median(a.rounds.map((time, i) => time / (b.rounds[i] ?? Number.NaN)));
}

export function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

/** What each of `repeats` took, in milliseconds. */
export async function timed(repeats: number, work: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times;
}
