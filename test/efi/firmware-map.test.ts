/** The memory map out of the lists of a made-up DXE core, sound and damaged. */
import { describe, expect, it, vi } from "vitest";
import { findFirmwareMap, readFirmwareMemoryMap } from "../../src/efi/firmware-map.ts";
import type { ImageDetails } from "../../src/efi/images.ts";
import type { MemoryMapRead } from "../../src/efi/memory-map.ts";
import type { FakeMemory } from "../support/fake-memory.ts";
import { Random } from "../support/random.ts";
import {
  BINS,
  buildLists,
  CORE,
  CORE_IMAGE,
  ENTRIES,
  FREE_ENTRIES,
  imageDetails,
  MAP,
  MAP_HEAD,
  type MapRow,
  OFFSETS,
  SPACE,
  SPACE_HEAD,
  SPACES,
  type SpaceRow,
  STATISTICS,
} from "./firmware-lists.ts";

vi.setConfig({ testTimeout: 120_000 });

const IMAGES: readonly ImageDetails[] = [CORE_IMAGE];
const RUN = 0x8000_0000_0000_0000n;

function rows(
  map: MemoryMapRead,
): readonly (readonly [start: bigint, pages: bigint, type: number, attribute: bigint])[] {
  if (map.state !== "read") throw new Error(`${map.state}: ${map.why}`);
  return map.descriptors.map(({ physicalStart, pages, type, attribute }) => [physicalStart, pages, type, attribute]);
}

async function whyNot(memory: FakeMemory): Promise<string> {
  const map = await readFirmwareMemoryMap(memory, IMAGES);
  return map.state === "read" ? "read" : `${map.state}: ${map.why}`;
}

/** What CoreGetMemoryMap would make of the lists of `buildLists`, by hand. */
const TOLD = [
  [0x0400_0000n, 0x4000n, 11, RUN | 1n],
  [0x0900_0000n, 1n, 0, 1n],
  [0x4000_0000n, 0x7700n, 7, 8n],
  [0x4770_0000n, 8n, 3, 8n],
  [0x4770_8000n, 0x1f8n, 4, 8n],
  [0x4790_0000n, 0x100n, 7, 8n],
  [0x47a0_0000n, 16n, 6, RUN | 8n],
  [0x47a1_0000n, 16n, 6, RUN | 15n],
  [0x47a2_0000n, 0x5e0n, 7, 8n],
];

describe("the firmware's lists", () => {
  it("are told as GetMemoryMap tells them: bins, runtime types, GCD ranges, no access bits", async () => {
    const map = await readFirmwareMemoryMap(buildLists(), IMAGES);
    expect(rows(map)).toEqual(TOLD);
    expect(map).toMatchObject({ state: "read", sorted: true, problems: [] });
  });

  it("merge neighbours that are equal, and those only", async () => {
    const equal = { ...(MAP[5] as MapRow), attribute: 8n };
    const map = await readFirmwareMemoryMap(buildLists({ map: MAP.with(5, equal) }), IMAGES);
    expect(rows(map).slice(-2)).toEqual([
      [0x47a0_0000n, 32n, 6, RUN | 8n],
      [0x47a2_0000n, 0x5e0n, 7, 8n],
    ]);
  });

  it("are found with known offsets too, in one batch and one for each further page", async () => {
    const memory = buildLists();
    const known = await findFirmwareMap(memory, IMAGES, OFFSETS);
    expect(rows(known.map)).toEqual(TOLD);
    expect(known.offsets).toEqual(OFFSETS);
    // The variables; the page of the map; the GCD entries, 1,000 bytes apart, on two pages.
    expect(memory.batches.map((spans) => spans.length)).toEqual([1, 1, 1, 1]);
    expect((await findFirmwareMap(buildLists(), IMAGES)).offsets).toEqual(OFFSETS);
  });

  it("at the wrong offsets are none", async () => {
    const { map } = await findFirmwareMap(buildLists(), IMAGES, { ...OFFSETS, gMemoryMap: 0x3110 });
    expect(map.state).toBe("invalid");
  });

  it("are taken with an entry on the core's own stack of entries, at the end and out of order", async () => {
    const [first, ...others] = MAP;
    const map = [...others, { ...(first as MapRow), at: CORE + 0x3800n }];
    expect(rows(await readFirmwareMemoryMap(buildLists({ map }), IMAGES))).toEqual(TOLD);
  });

  it("are not mistaken for the list of free entries", async () => {
    expect(rows(await readFirmwareMemoryMap(buildLists({ free: MAP.slice(3) }), IMAGES))).toEqual(TOLD);
    const empty = [{ type: 0, start: 0n, last: 0n }];
    expect(rows(await readFirmwareMemoryMap(buildLists({ free: empty }), IMAGES))).toEqual(TOLD);
  });

  it("are none where two could be the map", async () => {
    expect(await whyNot(buildLists({ free: MAP }))).toMatch(/^invalid: two lists/);
  });

  it("say what they lack without the GCD map and without the statistics", async () => {
    const map = await readFirmwareMemoryMap(buildLists({ space: undefined, bins: undefined }), IMAGES);
    const free = TOLD.slice(2).map((row) => (row[0] === 0x47a0_0000n ? [row[0], row[1], 7, 8n] : row));
    // Without the bin its free part is as free as what lies in front of it.
    expect(rows(map)).toEqual([...free.slice(0, 3), [0x4790_0000n, 0x110n, 7, 8n], ...free.slice(5)]);
    const problems = [/reserved and memory-mapped/, /runtime types/].map((text) => expect.stringMatching(text));
    expect(map).toMatchObject({ problems });
  });

  it("say where GCD ranges overlap the others, as the map of GetMemoryMap would have it", async () => {
    const [ram, rest] = SPACE.slice(5) as [SpaceRow, SpaceRow];
    const tail = { ...ram, space: 1, start: 0x47b0_0000n };
    const space = [...SPACE.slice(0, 5), { ...ram, last: 0x47af_ffffn }, tail, rest];
    const map = await readFirmwareMemoryMap(buildLists({ space }), IMAGES);
    expect(rows(map)).toContainEqual([0x47b0_0000n, 0x500n, 0, 8n]);
    expect(map).toMatchObject({ problems: ["the ranges at 0x47a20000 and 0x47b00000 overlap"] });
  });

  it("do not trust statistics with a bin of another size than it says", async () => {
    const memory = buildLists();
    memory.setWord(STATISTICS + 6n * 48n + 24n, 47n);
    const map = await readFirmwareMemoryMap(memory, IMAGES);
    expect(map.state === "read" && map.problems.length).toBe(1);
  });

  it("tell free memory in a bin of a type that is not special as free", async () => {
    const bins = BINS.map(([type, start, pages]) => [type === 6 ? 2 : type, start, pages] as const);
    const map = await readFirmwareMemoryMap(buildLists({ bins }), IMAGES);
    expect(rows(map).filter(([, , type]) => type === 6)).toEqual([[0x47a1_0000n, 16n, 6, RUN | 15n]]);
  });
});

describe("a list that is no memory map", () => {
  const wrong = (row: number, change: Partial<MapRow>): FakeMemory =>
    buildLists({ map: MAP.with(row, { ...(MAP[row] as MapRow), ...change }) });

  it("has a range twice, half a page, nothing, or an end before its start", async () => {
    const changes: readonly (readonly [number, Partial<MapRow>])[] = [
      [3, { start: 0x478f_f000n }],
      [3, { start: 0x4790_0800n }],
      [3, { last: 0x4790_07ffn }],
      [3, { last: 0x4790_0000n - 1n }],
      [3, { last: 0n }],
    ];
    for (const [row, change] of changes) expect(await whyNot(wrong(row, change))).toMatch(/^invalid: no list/);
  });

  it("says that the DXE core or its own entries lie in free memory, or in none", async () => {
    expect(await whyNot(wrong(1, { type: 7 }))).toMatch(/^invalid: no list/);
    expect(await whyNot(wrong(2, { type: 7 }))).toMatch(/^invalid: no list/);
    expect(await whyNot(buildLists({ map: MAP.toSpliced(1, 1) }))).toMatch(/^invalid: no list/);
  });

  it("leads back into itself, has an entry without a signature, or one that does not point back", async () => {
    const loop = buildLists();
    loop.setWord(ENTRIES + 4n * 64n + 8n, ENTRIES + 2n * 64n + 8n);
    expect(await whyNot(loop)).toMatch(/^invalid: .*does not point back/);
    expect(loop.bytesRead).toBeLessThan(100 << 10);
    const unsigned = buildLists();
    unsigned.setWord(ENTRIES + 2n * 64n, 0x7061_6d6en);
    expect(await whyNot(unsigned)).toMatch(/^invalid: .*no signature/);
    const head = buildLists();
    head.setWord(MAP_HEAD + 8n, ENTRIES + 8n);
    expect(await whyNot(head)).toMatch(/^invalid: .*its head/);
  });

  it("has an entry where no memory is", async () => {
    for (const link of [0x4700_0000_0000n, 0xffff_ffff_ffff_fff8n, 0n, 8n]) {
      const memory = buildLists();
      memory.setWord(ENTRIES + 4n * 64n + 8n, link);
      expect(await whyNot(memory)).toMatch(/^invalid: .*outside memory/);
    }
  });

  it("has 5,000 entries, or entries on more pages than are read", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => {
      const start = 0x5000_0000n + BigInt(i) * 0x2000n;
      return { type: 7, start, last: start + 0xfffn };
    });
    // As many as fit between the first entries and the GCD's.
    const far = (row: MapRow, i: number): MapRow => ({ ...row, at: 0x4784_0000n + BigInt(i * 64) });
    expect(await whyNot(buildLists({ map: [...MAP, ...many.map(far)] }))).toMatch(/^invalid: .*more than 4096 entries/);
    const fits = await readFirmwareMemoryMap(buildLists({ map: [...MAP, ...many.slice(0, 4089).map(far)] }), IMAGES);
    expect(rows(fits).length).toBe(TOLD.length + 4089);
    const apart = (row: MapRow, i: number): MapRow => ({ ...row, at: 0x5000_0000n + BigInt(i * 4096) });
    const scattered = buildLists({ map: [...MAP, ...many.slice(0, 600).map(apart)] });
    expect(await whyNot(scattered)).toMatch(/^invalid: .*more than 512 pages/);
    expect(scattered.bytesRead).toBeLessThanOrEqual(2 << 20);
  });

  it("is not looked for without one DXE core of edk2", async () => {
    const memory = buildLists();
    const found: ImageDetails = { ...CORE_IMAGE, found: "header" };
    for (const images of [[], [imageDetails("Other", CORE, 0x8000)], [found], [CORE_IMAGE, CORE_IMAGE]]) {
      expect(await readFirmwareMemoryMap(memory, images)).toMatchObject({ state: "invalid" });
    }
    expect(memory.batches).toEqual([]);
  });
});

describe("a map that cannot be read", () => {
  it("is unreadable, not absent: an entry, the first one, the variables", async () => {
    const further = buildLists({ map: MAP.with(6, { ...(MAP[6] as MapRow), at: 0x4784_0000n }) });
    further.makeUnreadable(0x4784_0000n);
    expect(await whyNot(further)).toMatch(/^unreadable: the entry at 0x47840000/);
    const first = buildLists();
    first.makeUnreadable(ENTRIES & ~0xfffn);
    expect(await whyNot(first)).toMatch(/^unreadable: /);
    const data = buildLists();
    data.makeUnreadable(CORE + 0x3000n, "not-captured");
    expect(await whyNot(data)).toMatch(/^unreadable: /);
  });

  it("lacks the GCD ranges and says so, where only their entries are unreadable", async () => {
    const memory = buildLists();
    memory.makeUnreadable(SPACES);
    const map = await readFirmwareMemoryMap(memory, IMAGES);
    expect(rows(map)).toEqual(TOLD.slice(2));
    expect(map.state === "read" && map.problems.length).toBe(1);
  });
});

const ODD = [0, 1, 0x28, 0x7f, 0x80, 0xfe, 0xff];

describe("20,000 damages of the lists", () => {
  const PLACES = [
    { at: MAP_HEAD, size: 16 },
    { at: SPACE_HEAD, size: 16 },
    { at: STATISTICS, size: 48 * 16 },
    { at: ENTRIES, size: 64 * MAP.length },
    { at: SPACES, size: 1000 * SPACE.length },
    { at: FREE_ENTRIES, size: 64 * 3 },
  ];
  const free = [{ type: 4, start: 0x4770_0000n, last: 0x478f_ffffn }, ...MAP.slice(3, 5)];

  /** A word for another place, a byte for another byte. */
  function damage(memory: FakeMemory, random: Random): void {
    for (let i = random.between(1, 4); i > 0; i--) {
      const { at, size } = random.pick(PLACES);
      const place = at + BigInt(random.below(size));
      if (random.chance(0.3)) {
        const other = random.pick(PLACES);
        memory.setWord(place & ~7n, other.at + BigInt(random.below(other.size) & ~7));
      } else {
        const byte = random.chance(0.5) ? random.pick(ODD) : random.below(256);
        memory.write(place, Uint8Array.of(byte));
      }
    }
    if (random.chance(0.05)) memory.makeUnreadable(random.pick([ENTRIES, SPACES, CORE + 0x3000n]) & ~0xfffn);
  }

  it("throw nothing, read no more than 2 MiB, and give a sound map or none", async () => {
    const random = new Random(11);
    const seen = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      const memory = buildLists({ free });
      damage(memory, random);
      const { map } = await findFirmwareMap(memory, IMAGES, random.chance(0.5) ? OFFSETS : undefined);
      seen.set(map.state, (seen.get(map.state) ?? 0) + 1);
      expect(memory.bytesRead).toBeLessThanOrEqual(2 << 20);
      if (map.state !== "read") continue;
      if (map.problems.length > 0) seen.set("problems", (seen.get("problems") ?? 0) + 1);
      let end = 0n;
      for (const { physicalStart, pages, type } of map.descriptors.filter(({ type }) => type > 0 && type < 11)) {
        // Damaged GCD ranges may lie over RAM; those of the list may not overlap.
        if (physicalStart < end || pages <= 0n) throw new Error(`case ${i}: type ${type} at ${physicalStart}`);
        end = physicalStart + pages * 4096n;
      }
      const core = map.descriptors.find(
        (each) => each.physicalStart <= CORE && CORE < each.physicalStart + each.pages * 4096n,
      );
      expect(core?.type, `case ${i}`).not.toBe(7);
      expect(core, `case ${i}`).toBeDefined();
    }
    for (const state of ["read", "invalid", "unreadable", "problems"])
      expect(seen.get(state), state).toBeGreaterThan(100);
  });
});
