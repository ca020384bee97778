import { describe, expect, it } from "vitest";
import { Random } from "../support/random.ts";
import type { WrittenSymbol } from "./elf-writer.ts";
import { elf } from "./files.ts";

const TEXT = { name: ".text", flags: 6, type: 8, address: 0x1000n, size: 0x1000n } as const;
const DATA = { name: ".data", flags: 3, type: 8, address: 0x3000n, size: 0x100n } as const;

async function tableOf(symbols: readonly WrittenSymbol[]) {
  return (await elf({ sections: [TEXT, DATA], symbols })).symbols;
}

/** `name+offset` of each address. */
async function lookups(
  symbols: readonly WrittenSymbol[],
  addresses: readonly bigint[],
): Promise<(string | undefined)[]> {
  const table = await tableOf(symbols);
  return addresses.map((address) => {
    const hit = table.lookup(address);
    return hit && `${hit.name}+${hit.offset}`;
  });
}

describe("the symbol at an address", () => {
  it("covers as much as its size says, and no more", async () => {
    const symbols = [{ name: "main", value: 0x1100n, size: 0x10n }];
    expect(await lookups(symbols, [0x10ffn, 0x1100n, 0x110fn, 0x1110n])).toEqual([
      undefined,
      "main+0",
      "main+15",
      undefined,
    ]);
  });

  it("without a size reaches to the next one and to the end of its section", async () => {
    const symbols = [
      { name: "entry", value: 0x1100n, type: 0 },
      { name: "next", value: 0x1200n, type: 0 },
      { name: "data", value: 0x3000n, type: 1, section: 2 },
    ];
    expect(await lookups(symbols, [0x11ffn, 0x1200n, 0x1fffn, 0x2000n, 0x2fffn, 0x30ffn, 0x3100n])).toEqual([
      "entry+255",
      "next+0",
      "next+3583",
      undefined,
      undefined,
      "data+255",
      undefined,
    ]);
  });

  it("is the function, not a label inside it", async () => {
    const symbols = [
      { name: "main", value: 0x1100n, size: 0x100n },
      { name: "retry", value: 0x1140n, type: 0 },
    ];
    expect(await lookups(symbols, [0x1140n, 0x1180n])).toEqual(["main+64", "main+128"]);
  });

  it("is the innermost of those that cover it, and the outer one again after it", async () => {
    const symbols = [
      { name: "outer", value: 0x1000n, size: 0x100n },
      { name: "inner", value: 0x1040n, size: 0x10n },
      { name: "second", value: 0x1060n, size: 0x10n },
    ];
    expect(await lookups(symbols, [0x1048n, 0x1055n, 0x1068n, 0x1080n, 0x1100n])).toEqual([
      "inner+8",
      "outer+85",
      "second+8",
      "outer+128",
      undefined,
    ]);
  });

  it("of several at its place is a function before data before a label, global before weak before local", async () => {
    const at = { value: 0x1000n, size: 4n };
    const ranked = [
      { name: "f_global", ...at, type: 2, binding: 1 },
      { name: "f_weak", ...at, type: 2, binding: 2 },
      { name: "f_local", ...at, type: 2, binding: 0 },
      { name: "d_global", ...at, type: 1, binding: 1 },
      { name: "l_global", ...at, type: 0, binding: 1 },
      { name: "l_local", ...at, type: 0, binding: 0 },
    ];
    for (let best = 0; best < ranked.length; best++) {
      const rest = ranked.slice(best);
      expect(await lookups(rest, [0x1000n])).toEqual([`${ranked[best]?.name}+0`]);
      expect(await lookups(rest.toReversed(), [0x1000n])).toEqual([`${ranked[best]?.name}+0`]);
    }
  });

  it("of equal ones has fewer leading underscores, then the lower name, in whatever order they come", async () => {
    const at = { value: 0x1000n, size: 4n };
    const names = ["__pi_memcpy", "memmove", "memcpy"].map((name) => ({ name, ...at }));
    expect(await lookups(names, [0x1000n])).toEqual(["memcpy+0"]);
    expect(await lookups(names.toReversed(), [0x1000n])).toEqual(["memcpy+0"]);
  });

  it("is the one that says its size when others at its place do not", async () => {
    const symbols = [
      { name: "_start", value: 0x1000n, type: 2 },
      { name: "boot", value: 0x1000n, size: 8n, type: 2, binding: 0 },
    ];
    expect(await lookups(symbols, [0x1000n, 0x1004n, 0x1010n])).toEqual(["boot+0", "boot+4", "_start+16"]);
  });
});

describe("symbols of a name", () => {
  it("are found by the whole name alone, each address once and ascending", async () => {
    const table = await tableOf([
      { name: "hidden", value: 0x1200n, binding: 0 },
      { name: "hidden", value: 0x1100n, binding: 0 },
      { name: "hidden", value: 0x1100n },
      { name: "hidden2", value: 0x1300n },
      { name: "unhidden", value: 0x1400n },
    ]);
    expect(table.find("hidden")).toEqual([0x1100n, 0x1200n]);
    expect([table.find("hid"), table.find(""), table.find("hidden\0"), table.find("Hidden")]).toEqual([[], [], [], []]);
  });
});

describe("any table", () => {
  /** What lookup should say, by looking at every symbol: the covering one that starts last. */
  function slowValue(symbols: readonly WrittenSymbol[], address: bigint): bigint | undefined {
    const covering = symbols.filter(({ value, size = 0n }) => value <= address && address < value + size);
    return covering.map(({ value }) => value).sort((a, b) => (a < b ? 1 : -1))[0];
  }

  it("gives the symbol that a look at all of them gives", async () => {
    const random = new Random(71);
    const wrong: string[] = [];
    let covered = 0;
    for (let round = 0; round < 200; round++) {
      const symbols = Array.from({ length: random.between(1, 40) }, (_, i) => ({
        name: `s${i}`,
        value: 0x1000n + BigInt(random.below(400)),
        size: BigInt(random.between(1, random.pick([4, 30, 300]))),
      }));
      const table = await tableOf(symbols);
      for (let address = 0xff0n; address < 0x1300n; address += 3n) {
        const expected = slowValue(symbols, address);
        if (expected !== undefined) covered++;
        if (table.lookup(address)?.value !== expected) wrong.push(`round ${round}: 0x${address.toString(16)}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(covered).toBeGreaterThan(20_000);
  });

  it.each([3000, 70_000])("is sorted by all 64 bits of its values: %i of them", async (length) => {
    const random = new Random(72);
    const values = Array.from({ length }, () => random.word() >> BigInt(random.pick([0, 16, 31, 32, 33, 48, 60])));
    const table = await tableOf(values.map((value, i) => ({ name: `s${i}`, value, size: 1n })));
    expect([...table].map(({ value }) => value)).toEqual(values.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
  });
});
