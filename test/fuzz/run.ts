/** Has inputs of every kind read, each from a seed of its own, and keeps what they cost. */
import { Random } from "../support/random.ts";
import { IMAGE_KINDS } from "./images.ts";
import type { Bench, Kind, Verdict } from "./kind.ts";
import { SYMBOL_KINDS } from "./symbol-files.ts";
import { TABLE_KINDS } from "./tables.ts";

export const KINDS: readonly Kind[] = [...IMAGE_KINDS, ...TABLE_KINDS, ...SYMBOL_KINDS];

/** A cost, and the seed of the input that had it. */
export interface Most {
  readonly value: number;
  readonly seed: number;
}

export interface KindReport {
  readonly name: string;
  readonly inputs: number;
  readonly outcomes: ReadonlyMap<string, number>;
  /** In milliseconds. */
  readonly slowest: Most;
  /** Growth of heap, buffers and resident set over one input, in bytes, garbage included. */
  readonly growth: Most;
  readonly imageBytes: Most;
  /** Whatever was thrown, with its seed; the first twenty. */
  readonly errors: readonly string[];
  readonly uncaught: number;
}

const MAX_ERRORS = 20;

class Costs {
  readonly #name: string;
  readonly #outcomes = new Map<string, number>();
  readonly #errors: string[] = [];
  readonly #most = { slowest: { value: 0, seed: 0 }, growth: { value: 0, seed: 0 }, imageBytes: { value: 0, seed: 0 } };
  #inputs = 0;
  #uncaught = 0;

  constructor(name: string) {
    this.#name = name;
  }

  async add(bench: Bench, seed: number): Promise<void> {
    const before = memoryNow();
    const started = performance.now();
    const verdict = await this.#verdict(bench, seed);
    this.#note("slowest", performance.now() - started, seed);
    this.#note("growth", memoryNow() - before, seed);
    this.#note("imageBytes", verdict.imageBytes ?? 0, seed);
    this.#inputs++;
    for (const outcome of verdict.outcomes) this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  async #verdict(bench: Bench, seed: number): Promise<Verdict> {
    try {
      return await bench.run(new Random(seed));
    } catch (error) {
      this.#uncaught++;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (this.#errors.length < MAX_ERRORS) this.#errors.push(`${this.#name}, seed ${seed}: ${text}`);
      return { outcomes: [] };
    }
  }

  #note(what: "slowest" | "growth" | "imageBytes", value: number, seed: number): void {
    if (value > this.#most[what].value) this.#most[what] = { value, seed };
  }

  report(): KindReport {
    const [name, inputs, outcomes, errors] = [this.#name, this.#inputs, this.#outcomes, this.#errors];
    return { name, inputs, outcomes, ...this.#most, errors, uncaught: this.#uncaught };
  }
}

function memoryNow(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** `inputs` inputs of all kinds: seeds from `seed` on. The same ones for the same numbers. */
export async function* fuzz(inputs: number, seed: number, kinds: readonly Kind[] = KINDS): AsyncGenerator<KindReport> {
  const shares = kinds.reduce((sum, { share }) => sum + share, 0);
  for (const kind of kinds) yield await fuzzKind(kind, Math.ceil((inputs * kind.share) / shares), seed);
}

/** `count` inputs of one kind: one, from the seed that a report names, tries an input again. */
export async function fuzzKind(kind: Kind, count: number, seed: number): Promise<KindReport> {
  const bench = kind.open();
  const costs = new Costs(kind.name);
  try {
    for (let i = 0; i < count; i++) await costs.add(bench, seed + i);
  } finally {
    bench.close?.();
  }
  return costs.report();
}
