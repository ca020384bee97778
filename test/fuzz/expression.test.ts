/** 10,000 expressions, the same in each run: each comes to what it should, or is refused; none reaches further than its scope. */
import { describe, expect, it, vi } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { parseExpression, type Scope } from "../../src/plan/index.ts";
import { Random } from "../support/random.ts";
import { MACHINE, makeGarbage, makeTree, memoryAt, mutated, textOf, worthOf } from "./expression-maker.ts";

vi.setConfig({ testTimeout: 120_000 });

const SEED = Number(process.env.FUZZ_SEED ?? 20_260_107);
const MADE = 5_000;
const BROKEN = 5_000;
/** The language's bounds, as docs/plans.md has them. */
const MOST_PARTS = 512;
const MOST_READS = 64;

/** The machine as a scope that counts what it is asked; everything else about it is a trap. */
class CountingScope {
  asked = 0;
  reads = 0;
  readonly scope: Scope = new Proxy({} as Scope, {
    get: (_, name) => this.#methods[String(name) as keyof Scope] ?? fail(`the scope was asked for ${String(name)}`),
    set: (_, name) => fail(`the scope's ${String(name)} was set`),
  });
  readonly #methods: Required<Scope> = {
    register: (name) => this.#answer(MACHINE.registers.get(name)),
    field: (register, field) => this.#answer(MACHINE.fields.get(`${register}.${field}`)),
    place: async (name) => this.#answer(MACHINE.places.get(name)),
    memory: async (address, size) => {
      this.reads++;
      return this.#answer(memoryAt(address, size * 8) ?? undefined);
    },
  };

  #answer(value: bigint | undefined): bigint | undefined {
    this.asked++;
    return value;
  }
}

function fail(message: string): never {
  throw new Error(message);
}

/** The value, null when it is unknown, or the code of the refusal. Whatever else is thrown goes on. */
async function outcome(text: string, counting: CountingScope): Promise<bigint | null | string> {
  try {
    const value = await parseExpression(text).evaluate(counting.scope);
    return value.state === "known" ? value.value : null;
  } catch (error) {
    if (error instanceof EbscopeError) return error.code;
    throw error;
  }
}

describe(`${MADE} expressions made by the grammar`, () => {
  it("come to what a direct reading of their trees comes to", async () => {
    const random = new Random(SEED);
    const [wrong, kinds] = [[] as string[], { known: 0, unknown: 0, manyReads: 0 }];
    for (let i = 0; i < MADE; i++) {
      const tree = makeTree(random, random.between(0, 6));
      const [text, counting, reads] = [textOf(tree, random), new CountingScope(), { count: 0 }];
      const wanted = worthOf(tree, reads);
      if (reads.count > MOST_READS) kinds.manyReads++;
      else if ((await outcome(text, counting)) !== wanted || counting.reads !== reads.count) wrong.push(text);
      kinds[wanted === null ? "unknown" : "known"]++;
      expect(counting.asked).toBeLessThanOrEqual(MOST_PARTS);
    }
    expect(wrong).toEqual([]);
    expect(kinds.manyReads).toBeLessThan(MADE / 100);
    expect(Math.min(kinds.known, kinds.unknown)).toBeGreaterThan(MADE / 5);
  });
});

describe(`${BROKEN} texts that are broken, or none at all`, () => {
  it("are refused or come to something, within bounds, and change nothing around them", async () => {
    const random = new Random(SEED + 1);
    const before = [
      Reflect.ownKeys(globalThis),
      Reflect.ownKeys(Object.prototype),
      Reflect.ownKeys(Function.prototype),
    ];
    const counts = { refused: 0, known: 0, unknown: 0 };
    for (let i = 0; i < BROKEN; i++) {
      const text = i % 2 === 0 ? makeGarbage(random) : mutated(textOf(makeTree(random, 4), random), random);
      const counting = new CountingScope();
      const result = await outcome(text, counting);
      if (typeof result === "string") expect(result, text).toBe("bad-expression");
      if (typeof result === "bigint") expect(BigInt.asUintN(64, result), text).toBe(result);
      counts[typeof result === "string" ? "refused" : result === null ? "unknown" : "known"]++;
      expect(counting.reads, text).toBeLessThanOrEqual(MOST_READS);
      expect(counting.asked, text).toBeLessThanOrEqual(MOST_PARTS);
    }
    const after = [Reflect.ownKeys(globalThis), Reflect.ownKeys(Object.prototype), Reflect.ownKeys(Function.prototype)];
    expect(after).toEqual(before);
    expect(counts.refused).toBeGreaterThan(BROKEN / 2);
    expect(counts.known + counts.unknown).toBeGreaterThan(BROKEN / 20);
  });

  it("of the greatest length are read in as many steps as they have parts", async () => {
    const random = new Random(SEED + 2);
    for (let i = 0; i < 200; i++) {
      const piece = random.pick(["x0+", "(", "-", "u8[", "slt(1,", "x0&&", "!", "1<", "_", "a!", '"', " ", "0x0"]);
      const counting = new CountingScope();
      const result = await outcome(`${piece.repeat(Math.floor(4096 / piece.length) - 1)}1`, counting);
      expect(["bad-expression", "bigint", "object"]).toContain(typeof result === "string" ? result : typeof result);
      expect(counting.asked).toBeLessThanOrEqual(MOST_PARTS);
    }
  });
});
