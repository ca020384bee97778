import { describe, expect, it } from "vitest";
import {
  attributeWords,
  descriptorAt,
  type MemoryMapPlace,
  type MemoryMapRead,
  readMemoryAttributes,
  readMemoryMap,
} from "../../src/efi/memory-map.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { mapBytes, type Row } from "./writers.ts";

const MAP = 0x4760_0018n;
/** As AAVMF 2022.11 has them, not in ascending order. */
const ROWS: readonly Row[] = [
  { type: 7, start: 0x4000_0000n, pages: 0x4000n },
  { type: 4, start: 0x4400_0000n, pages: 0x20n },
  { type: 5, start: 0x7c45_0000n, pages: 0x10n, attribute: 0x8000_0000_0000_000fn },
  { type: 3, start: 0x4773_b000n, pages: 0x37n, virtual: 0xffff_0000_4773_b000n },
  { type: 11, start: 0x400_0000n, pages: 0x4000n, attribute: 0x8000_0000_0000_0001n },
];

function place(rows: readonly Row[], step = 48, more: Partial<MemoryMapPlace> = {}): MemoryMapPlace {
  const size = BigInt(rows.length * step);
  return { address: MAP, size, descriptorSize: BigInt(step), descriptorVersion: 1, ...more };
}

async function read(rows: readonly Row[], step = 48, more: Partial<MemoryMapPlace> = {}): Promise<MemoryMapRead> {
  const memory = new FakeMemory();
  memory.write(MAP, mapBytes(rows, step));
  return readMemoryMap(memory, place(rows, step, more));
}

async function problems(rows: readonly Row[], more: Partial<MemoryMapPlace> = {}): Promise<readonly string[]> {
  const map = await read(rows, 48, more);
  if (map.state !== "read") throw new Error(map.why);
  return map.problems;
}

describe("a memory map", () => {
  it.each([40, 48, 56, 256])("has descriptors %i bytes apart, in the order of the firmware", async (step) => {
    const map = await read(ROWS, step);
    expect(map).toMatchObject({ state: "read", sorted: false, problems: [] });
    const descriptors = map.state === "read" ? map.descriptors : [];
    expect(descriptors.map((each) => [each.typeName, each.physicalStart, each.virtualStart, each.pages])).toEqual([
      ["EfiConventionalMemory", 0x4000_0000n, 0n, 0x4000n],
      ["EfiBootServicesData", 0x4400_0000n, 0n, 0x20n],
      ["EfiRuntimeServicesCode", 0x7c45_0000n, 0n, 0x10n],
      ["EfiBootServicesCode", 0x4773_b000n, 0xffff_0000_4773_b000n, 0x37n],
      ["EfiMemoryMappedIO", 0x400_0000n, 0n, 0x4000n],
    ]);
  });

  it("is read in one read, of its own bytes", async () => {
    const memory = new FakeMemory();
    memory.write(MAP, mapBytes(ROWS));
    await readMemoryMap(memory, place(ROWS));
    expect(memory.batches).toEqual([[{ address: MAP, length: 5 * 48 }]]);
  });

  it("tells whose an address is", async () => {
    const map = await read(ROWS);
    const at = (address: bigint) =>
      map.state === "read" ? descriptorAt(map.descriptors, address)?.typeName : undefined;
    expect([0x4773_b000n, 0x4777_1fffn, 0x4777_2000n, 0x4773_afffn].map(at)).toEqual([
      ...["EfiBootServicesCode", "EfiBootServicesCode", undefined, undefined],
    ]);
  });

  it("has types of OEMs and loaders by their ranges", async () => {
    const types = [16, 0x7000_0001, 0x8000_0002, 0xffff_ffff];
    const map = await read(types.map((type, i) => ({ type, start: BigInt(i) << 12n, pages: 1n })));
    expect(map.state === "read" && map.descriptors.map(({ typeName }) => typeName)).toEqual([
      ...["memory type 16", "OEM type 0x70000001", "OS loader type 0x80000002", "OS loader type 0xffffffff"],
    ]);
  });

  it("has attributes in words, and what has no word as a number", () => {
    expect(attributeWords(0xfn)).toEqual(["UC", "WC", "WT", "WB"]);
    expect(attributeWords(0x8000_0000_0000_f010n)).toEqual(["UCE", "WP", "RP", "XP", "NV", "RUNTIME"]);
    expect(attributeWords(0x4000_0000_000f_0000n)).toEqual([
      ...["MORE_RELIABLE", "RO", "SP", "CPU_CRYPTO", "ISA_VALID"],
    ]);
    expect(attributeWords(0x20_0028n)).toEqual(["WB", "0x200020"]);
    expect(attributeWords(0n)).toEqual([]);
  });
});

describe("what is wrong with a memory map", () => {
  const page = (start: bigint, pages = 1n): Row => ({ type: 7, start, pages });

  it("is told beside its descriptors", async () => {
    expect(await problems([page(0x1000n, 4n), page(0x3000n), page(0x4000n, 2n)])).toEqual([
      "the ranges at 0x1000 and 0x3000 overlap, and 1 more",
    ]);
    expect(await problems([page(0x8000n), page(0x1000n, 8n)])).toEqual(["the ranges at 0x1000 and 0x8000 overlap"]);
    expect(await problems([page(0x1800n), page(0x4000n, 0n), page(0x5000n, 0n)])).toEqual([
      "the range at 0x1800 begins inside a page",
      "the range at 0x4000 has no pages, and 1 more",
    ]);
    expect(await problems([page((1n << 64n) - 0x1000n, 2n)])).toEqual([
      "the range at 0xfffffffffffff000 ends past the end of the address space",
    ]);
    expect(await problems([page(0x1000n)], { descriptorVersion: 2 })).toEqual(["the descriptor version is 2"]);
  });

  it("is nothing when ranges only touch, up to the last page there is", async () => {
    expect(await problems([page(0x1000n, 2n), page(0x3000n), page((1n << 64n) - 0x1000n)])).toEqual([]);
  });
});

describe("a place that holds no memory map", () => {
  it.each<[string, Partial<MemoryMapPlace>]>([
    ["descriptors of less than 40 bytes", { descriptorSize: 32n, size: 320n }],
    ["descriptors of no multiple of 8", { descriptorSize: 44n, size: 440n }],
    ["descriptors beyond measure", { descriptorSize: 264n, size: 264n }],
    ["no bytes", { size: 0n }],
    ["no whole descriptors", { size: 100n }],
    ["more than 4,096 descriptors", { size: 48n * 4097n }],
    ["no address", { address: 0n }],
    ["an address too far up", { address: (1n << 64n) - 48n }],
  ])("is told: %s", async (_, more) => {
    const memory = new FakeMemory();
    const map = await readMemoryMap(memory, place(ROWS, 48, more));
    expect(map.state).toBe("invalid");
    expect(memory.batches).toEqual([]);
  });

  it("is unreadable where it cannot be read whole", async () => {
    expect((await read(ROWS, 48, { size: 48n * 4096n })).state).toBe("unreadable");
  });
});

describe("the memory attributes table", () => {
  async function table(version: number, count: number, step: number, rows: readonly Row[]): Promise<MemoryMapRead> {
    const memory = new FakeMemory();
    const header = new Uint8Array(16);
    [version, count, step, 0].forEach((word, i) => void new DataView(header.buffer).setUint32(i * 4, word, true));
    memory.write(MAP, header);
    memory.write(MAP + 16n, mapBytes(rows, Math.max(step, 40)));
    return readMemoryAttributes(memory, MAP);
  }

  const PARTS: readonly Row[] = [
    { type: 5, start: 0x7c44_0000n, pages: 0x10n, attribute: 0x8000_0000_0000_4000n },
    { type: 5, start: 0x7c45_0000n, pages: 0x10n, attribute: 0x8000_0000_0002_0000n },
  ];

  it.each([1, 2])("of version %i says how parts of runtime images may be mapped", async (version) => {
    const read = await table(version, 2, 48, PARTS);
    expect(read.state === "read" && read.descriptors.map(({ attributes }) => attributes)).toEqual([
      ["XP", "RUNTIME"],
      ["RO", "RUNTIME"],
    ]);
    expect(read.state === "read" && read.problems).toEqual([]);
  });

  it("may be empty, and is invalid or unreadable as a map is", async () => {
    expect(await table(1, 0, 48, [])).toMatchObject({ state: "read", descriptors: [] });
    expect((await table(3, 2, 48, PARTS)).state).toBe("invalid");
    expect((await table(1, 2, 39, PARTS)).state).toBe("invalid");
    expect((await table(1, 0xffff_ffff, 48, PARTS)).state).toBe("invalid");
    expect((await table(1, 4096, 48, PARTS)).state).toBe("unreadable");
    expect((await readMemoryAttributes(new FakeMemory(), MAP)).state).toBe("unreadable");
  });
});
