/** Proposed for test/aarch64/: runs of leaves at the edges of their 32-bit halves. */
import { describe, expect, it } from "vitest";
import { LeafDecoder, RUN_SIZE } from "../../src/aarch64/leaf-runs.ts";

const FORMAT = { granuleBits: 12, addressForm: "48", firstBlockLevel: 1 } as const;
const PART = { pageNumber: 1, first: 0, count: 512 };
const END = 2 ** 36;

/** [entry, length, first output page] of each run in a page of descriptors. */
function runsOf(descriptors: readonly bigint[], outputEnd = END): number[][] {
  const page = BigUint64Array.from({ length: 512 }, (_, i) => descriptors[i] ?? 0n);
  const runs = new LeafDecoder(FORMAT, outputEnd).runs(new Uint32Array(page.buffer), PART, 0);
  return Array.from({ length: runs.length / RUN_SIZE }, (_, i) => runs.slice(i * RUN_SIZE, i * RUN_SIZE + 3));
}

const leaf = (page: number): bigint => (BigInt(page) << 12n) | 0x703n;
const row = (first: number, count: number): bigint[] => Array.from({ length: count }, (_, i) => leaf(first + i));

describe("runs of leaves", () => {
  it("end at 4 GiB, where the lower half of an address starts again from 0", () => {
    expect(runsOf(row(0xffffe, 4))).toEqual([
      [0, 2, 0xffffe],
      [2, 2, 0x100000],
    ]);
  });

  it("are two where the upper half stays as it is and the lower one starts again: the address goes down", () => {
    expect(runsOf([...row(0xffffe, 2), ...row(0, 2)])).toEqual([
      [0, 2, 0xffffe],
      [2, 2, 0],
    ]);
  });

  it("go on over 2 GiB", () => {
    expect(runsOf(row(0x7fff0, 512))).toEqual([[0, 512, 0x7fff0]]);
  });

  it("end where the attributes change, and where a descriptor is no page", () => {
    expect(runsOf([leaf(7), leaf(8) | 0x80n, leaf(9) | 0x80n, leaf(10) & ~2n, leaf(11)])).toEqual([
      [0, 1, 7],
      [1, 2, 8],
      [4, 1, 11],
    ]);
  });

  it("end where addresses are wider than they may be", () => {
    expect(runsOf(row(0xffffe, 2), 0xfffff)).toEqual([[0, 1, 0xffffe]]);
    expect(runsOf(row(0xffffe, 2), 0xffffe)).toEqual([]);
  });
});
