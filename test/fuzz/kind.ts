/** What is fuzzed: inputs of one kind, each made and judged from one seed. */
import type { FakeMemory } from "../support/fake-memory.ts";
import type { Random } from "../support/random.ts";

export interface Kind {
  readonly name: string;
  /** How many of a thousand inputs are of this kind. */
  readonly share: number;
  /** What must come up in many inputs: damage after which nothing is ever read, or nothing ever refused, shows nothing. */
  readonly outcomes: readonly string[];
  readonly open: () => Bench;
}

/** Where inputs of a kind are tried. */
export interface Bench {
  /** Makes an input, has it read and judges the answer; throws, or rejects, for one that is not handled as it should be. */
  readonly run: (random: Random) => Promise<Verdict>;
  readonly close?: () => void;
}

export interface Verdict {
  readonly outcomes: readonly string[];
  /** Most bytes that were read of one image. */
  readonly imageBytes?: number;
}

/** Controls, direction marks, lone surrogates: what must not reach a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

export function mustBePrintable(texts: readonly (string | undefined)[]): void {
  const text = texts.find((each) => each !== undefined && UNPRINTABLE.test(each));
  if (text !== undefined) throw new Error(`not printable: ${JSON.stringify(text)}`);
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** A structure in memory that may be damaged. */
export interface Place {
  readonly at: bigint;
  readonly size: number;
}

const ODD = [0, 1, 0x28, 0x7f, 0x80, 0xfe, 0xff];
const WORDS = [0n, 1n, 0xfffn, 0xffff_ffffn, 1n << 32n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n];

/**
 * Damages up to six places, runs, and puts everything back: bytes by random and odd ones, words by the edges of what a word may be and by
 * addresses of other structures, so that pointers lead back and overlap.
 */
export async function damaged<T>(
  memory: FakeMemory,
  random: Random,
  places: readonly Place[],
  run: () => Promise<T>,
): Promise<T> {
  const undo: (() => void)[] = [];
  for (let i = random.between(1, 6); i > 0; i--) {
    const { at, size } = random.pick(places);
    const first = at + BigInt(random.below(size));
    if (random.chance(0.25)) undo.push(set(memory, first & ~7n, wordBytes(random, places)));
    else
      undo.push(
        set(
          memory,
          first,
          Uint8Array.from({ length: random.pick([1, 1, 2, 4, 8]) }, () =>
            random.chance(0.5) ? random.pick(ODD) : random.below(256),
          ),
        ),
      );
  }
  try {
    return await run();
  } finally {
    for (const each of undo.reverse()) each();
  }
}

function wordBytes(random: Random, places: readonly Place[]): Uint8Array {
  const other = random.pick(places);
  const word = random.chance(0.5) ? random.pick(WORDS) : other.at + BigInt(random.below(other.size) & ~7);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, word, true);
  return bytes;
}

/** Writes bytes; what it returns puts the old ones back. */
function set(memory: FakeMemory, at: bigint, bytes: Uint8Array): () => void {
  const old = bytes.map((_, i) => {
    const place = at + BigInt(i);
    return memory.bytes(place & ~0xfffn)[Number(place & 0xfffn)] ?? 0;
  });
  memory.write(at, bytes);
  return () => memory.write(at, old);
}

/** Bytes read by `run` alone. */
export async function counted<T>(
  memory: FakeMemory,
  run: () => Promise<T>,
): Promise<{ readonly value: T; readonly bytes: number }> {
  const before = memory.batches.length;
  const value = await run();
  const spans = memory.batches.slice(before).flat();
  return { value, bytes: spans.reduce((sum, { length }) => sum + length, 0) };
}
