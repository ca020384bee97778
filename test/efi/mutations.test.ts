/** 20,000 damaged headers, tables and maps, the same in each run: nothing throws, nothing is read beyond measure, no answer is absurd. */
import { describe, expect, it, vi } from "vitest";
import { findImageAt } from "../../src/efi/find-image.ts";
import { type ImageHeader, readImageHeaders } from "../../src/efi/image-headers.ts";
import { readMemoryAttributes, readMemoryMap } from "../../src/efi/memory-map.ts";
import { compareTables, readEfiTables, tableServices } from "../../src/efi/tables.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import {
  BOOT_SERVICES,
  buildFirmware,
  CON_OUT,
  CONFIGURATION_TABLE,
  imageBytes,
  RUNTIME_SERVICES,
  SYSTEM_TABLE,
} from "../support/firmware.ts";
import { Random } from "../support/random.ts";
import { mapBytes, note, type Row, terseBytes } from "./writers.ts";

vi.setConfig({ testTimeout: 120_000 });

const ODD = [0, 1, 0x28, 0x7f, 0x80, 0xfe, 0xff];
/** C0 and C1 controls, direction marks: what must not reach a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

interface Place {
  readonly at: bigint;
  readonly size: number;
}

/** Damages up to six places, runs, and puts everything back. */
async function damaged(memory: FakeMemory, random: Random, places: readonly Place[], run: () => Promise<void>) {
  const undo: (() => void)[] = [];
  for (let i = random.between(1, 6); i > 0; i--) {
    const { at, size } = random.pick(places);
    const first = at + BigInt(random.below(size));
    for (let j = random.pick([1, 1, 2, 4, 8]); j > 0; j--) {
      const page = memory.bytes((first + BigInt(j)) & ~0xfffn);
      const offset = Number((first + BigInt(j)) & 0xfffn);
      const old = page[offset] as number;
      undo.push(() => void page.fill(old, offset, offset + 1));
      page[offset] = random.chance(0.5) ? random.pick(ODD) : random.below(256);
    }
  }
  memory.batches.length = 0;
  await run();
  for (const each of undo.reverse()) each();
}

class Tally {
  readonly #counts = new Map<string, number>();

  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** Both outcomes must come up: otherwise the damage misses what it is for. */
  expectAll(...whats: readonly string[]): void {
    for (const what of whats) expect(this.#counts.get(what) ?? 0, what).toBeGreaterThan(50);
  }
}

describe("damaged images", () => {
  const PE = 0x1_0000n;
  const TE = 0x2_0000n;
  const SIZE = 0x8000;
  const sections = [
    [".text", 0x1000, 0x4000],
    [".note.gn", 0x6000, 0x100],
  ] as const;

  function imagesInMemory(): FakeMemory {
    const memory = new FakeMemory();
    const codeView = { signature: "RSDS", path: "/build/DxeCore.dll" } as const;
    const bytes = imageBytes({ base: PE, size: SIZE, codeType: 3, peOffset: 0x80, sections, codeView });
    bytes.set(note("GNU\0", 3, new Uint8Array(20).fill(7)), 0x6000);
    memory.write(PE, bytes);
    const parts = [[".text", 0x240, SIZE - 0x240]] as const;
    memory.write(TE, terseBytes({ size: SIZE, strippedSize: 0x188, sections: parts, path: "/build/PeiCore.dll" }));
    return memory;
  }

  const PLACES: readonly Place[] = [
    { at: PE, size: 64 },
    { at: PE + 0x80n, size: 24 + 240 + 80 },
    { at: PE + 0x6000n, size: 40 },
    { at: PE + BigInt(SIZE - 1024), size: 56 + 60 },
    { at: TE + 0x160n, size: 80 },
    { at: TE + BigInt(SIZE - 512), size: 80 },
  ];

  function check(header: ImageHeader | undefined): void {
    if (header === undefined) return;
    expect(header.sections.length).toBeLessThanOrEqual(96);
    const { codeView, buildName, buildId, machine, imageType } = header;
    const texts = [codeView?.path, codeView?.id, buildName, buildId, machine, imageType];
    const names = header.sections.map(({ name }) => name);
    expect([...texts, ...names].filter((text) => text !== undefined && UNPRINTABLE.test(text))).toEqual([]);
  }

  it("are read with 64 KiB an image at most: 8,000 damages, each read by list and by search", async () => {
    const memory = imagesInMemory();
    const random = new Random(5);
    const tally = new Tally();
    let most = 0;
    for (let i = 0; i < 8000; i++) {
      await damaged(memory, random, PLACES, async () => {
        for (const [kind, base] of [
          ["PE", PE],
          ["TE", TE],
        ] as const) {
          memory.batches.length = 0;
          const [header] = await readImageHeaders(memory, [{ base, size: BigInt(SIZE) }]);
          const inside = memory.batches
            .flat()
            .every((span) => span.address + BigInt(span.length) <= base + BigInt(SIZE));
          expect(inside).toBe(true);
          check(header);
          most = Math.max(most, memory.bytesRead);
          tally.add(`${kind} ${header === undefined ? "without a header" : header.format}`);
          tally.add(`${kind} ${header?.buildName ?? "without a name"}`);

          memory.batches.length = 0;
          const address = base + 0x2468n;
          const search = await findImageAt(memory, address);
          most = Math.max(most, memory.bytesRead);
          tally.add(`${kind} ${search.state}`);
          if (search.state !== "found") continue;
          const { image } = search;
          expect(image.base <= address && address < image.base + image.size).toBe(true);
          check(image.header);
        }
      });
    }
    expect(most).toBeLessThanOrEqual(64 << 10);
    tally.expectAll("PE PE32+", "PE without a header", "PE DxeCore", "PE without a name", "PE found", "PE unknown");
    tally.expectAll("TE TE", "TE without a header", "TE PeiCore", "TE without a name", "TE found", "TE unknown");
  });
});

describe("damaged tables", () => {
  const PLACES: readonly Place[] = [
    { at: SYSTEM_TABLE, size: 120 },
    { at: BOOT_SERVICES, size: 376 },
    { at: RUNTIME_SERVICES, size: 136 },
    { at: CON_OUT, size: 80 },
    { at: CONFIGURATION_TABLE, size: 48 },
  ];

  it("are read in three batches and 16 KiB: 6,000 damages, each compared with the sound ones", async () => {
    const { memory } = buildFirmware();
    const roots = { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES };
    const sound = await readEfiTables(memory, roots);
    const random = new Random(7);
    const tally = new Tally();
    for (let i = 0; i < 6000; i++) {
      await damaged(memory, random, PLACES, async () => {
        const known = random.chance(0.5) ? sound : undefined;
        const read = await readEfiTables(memory, roots, known);
        expect(memory.batches.length).toBeLessThanOrEqual(3);
        expect(memory.bytesRead).toBeLessThanOrEqual(16 << 10);
        for (const { state } of read.tables) tally.add(state);
        tally.add(read.configuration === undefined ? "no configuration" : "configuration");
        const names = tableServices(read);
        expect(names.size).toBeLessThanOrEqual(77);
        expect(names.has(0n)).toBe(false);
        for (const { kind } of compareTables(sound, read)) tally.add(kind);
      });
    }
    tally.expectAll("valid", "damaged", "unreadable", "configuration", "no configuration");
    tally.expectAll("changed", "added", "removed", "unknown");
  });
});

describe("damaged memory maps", () => {
  const MAP = 0x47a0_0010n;
  const ROWS: readonly Row[] = Array.from({ length: 60 }, (_, i) => ({
    ...{ type: i % 16, start: BigInt(i) << 20n, pages: 256n, attribute: 0x8000_0000_0000_000fn },
  }));

  it("are read in one read a table: 6,000 damages of a map and of a memory attributes table", async () => {
    const memory = new FakeMemory();
    const header = new Uint8Array(16);
    [1, ROWS.length, 48, 0].forEach((word, i) => void new DataView(header.buffer).setUint32(i * 4, word, true));
    memory.write(MAP, Buffer.concat([header, mapBytes(ROWS)]));
    const random = new Random(9);
    const tally = new Tally();
    const places = [
      { at: MAP, size: 12 },
      { at: MAP + 16n, size: 48 * ROWS.length },
    ];
    for (let i = 0; i < 6000; i++) {
      await damaged(memory, random, places, async () => {
        const table = await readMemoryAttributes(memory, MAP);
        expect(memory.batches.length).toBeLessThanOrEqual(2);
        tally.add(`table ${table.state}`);
        const sizes = { size: BigInt(48 * random.pick([60, 60, 59, 4096, 5000])), descriptorSize: 48n };
        const odd = random.chance(0.2) ? { descriptorSize: BigInt(random.below(300)) } : {};
        const map = await readMemoryMap(memory, { address: MAP + 16n, ...sizes, descriptorVersion: 1, ...odd });
        tally.add(`map ${map.state}`);
        if (map.state !== "read") return;
        tally.add(map.problems.length > 0 ? "with problems" : "without problems");
        expect(map.problems.length).toBeLessThanOrEqual(5);
        expect(map.descriptors.length).toBeLessThanOrEqual(4096);
      });
    }
    tally.expectAll("table read", "table invalid", "table unreadable", "map read", "map invalid", "map unreadable");
    tally.expectAll("with problems", "without problems");
  });
});
