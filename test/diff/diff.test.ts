import { describe, expect, it } from "vitest";
import { phys } from "../../src/base/address.ts";
import type { MemoryRead } from "../../src/base/memory.ts";
import type { RegisterRead } from "../../src/base/registers.ts";
import { type Difference, defaultPoints, diffPoints, findPoint } from "../../src/diff/diff.ts";
import { capturedImages } from "../../src/diff/images.ts";
import type { Capture, Point, PointKind } from "../../src/snapshot/model.ts";
import { RecordingMemory } from "../../src/snapshot/page-memory.ts";
import type { FakeMemory } from "../support/fake-memory.ts";
import { BOOT_SERVICES, buildFirmware, type FakeImage, SYSTEM_TABLE, writeWords } from "../support/firmware.ts";
import { tcrEl1 } from "../support/regimes.ts";

const NAMES = ["x0", "cpsr", "SCTLR_EL1", "TCR_EL1", "MAIR_EL1", "TTBR0_EL1"];
const BEFORE = { x0: 1n, cpsr: 0x3c5n, SCTLR_EL1: 0x5n, TCR_EL1: tcrEl1(), MAIR_EL1: 0xffn, TTBR0_EL1: 0x4000_0000n };
/** A page of the image starts where va 0x4010_0000 leads. */
const IMAGE: FakeImage = {
  base: 0x4010_0000n,
  size: 0x2000,
  codeType: 5,
  peOffset: 0x80,
  sections: [[".text", 0x1000, 0x800]],
};
const LEVEL_3 = 0x4000_3000n;
const READ_ONLY = 1n << 7n;

function registers(values: Readonly<Record<string, bigint>>): RegisterRead[] {
  return NAMES.map((name) => {
    const bytes = new Uint8Array(8);
    const value = values[name];
    if (value === undefined) return { state: "unavailable" };
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return { state: "present", bytes };
  });
}

/** Firmware whose tables map 2 MiB at 0x4000_0000 page by page, one to one, read-only where the image is. */
function machine(): FakeMemory {
  const { memory } = buildFirmware([IMAGE]);
  writeWords(memory, 0x4000_0000n, [0x4000_1003n]);
  writeWords(memory, 0x4000_1008n, [0x4000_2003n]);
  writeWords(memory, 0x4000_2000n, [LEVEL_3 | 3n]);
  for (let i = 0n; i < 512n; i++) {
    const pa = 0x4000_0000n + i * 0x1000n;
    const inImage = pa >= IMAGE.base && pa < IMAGE.base + BigInt(IMAGE.size);
    writeWords(memory, LEVEL_3 + i * 8n, [pa | 0x703n | (inImage ? READ_ONLY : 0n)]);
  }
  return memory;
}

/** Everything that the fake memory has, as a point holds it. */
async function point(
  kind: PointKind,
  memory: FakeMemory,
  values: Readonly<Record<string, bigint>> = BEFORE,
): Promise<Point> {
  const recorded = new RecordingMemory(memory);
  for (let page = 0x4000_0000n; page < 0x4020_0000n; page += 0x1000n)
    await recorded.read([{ address: phys(page), length: 1 }]);
  for (let page = 0x47f0_0000n; page < 0x47f8_0000n; page += 0x1000n)
    await recorded.read([{ address: phys(page), length: 1 }]);
  const pages: ReadonlyMap<ReturnType<typeof phys>, MemoryRead> = new Map(
    [...recorded.pages].map(([page, read]) => [
      page,
      read.state === "present" ? { ...read, bytes: read.bytes.slice() } : read,
    ]),
  );
  const base = { time: "", cpu: 0, memoryRanges: [], images: [], complete: true };
  return { ...base, id: kind, kind, registers: [registers(values)], pages };
}

function capture(...points: readonly Point[]): Capture {
  return {
    ...{ createdAt: "", createdBy: "", qemuVersion: undefined, architecture: "aarch64", threads: ["1"] },
    registers: NAMES.map((name, number) => ({ name, stubName: name, number, bits: 64, feature: "" })),
    efi: { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES, exitBootServices: 0x4750_0000n },
    ...{ attempts: [], memoryMap: undefined, points, notes: [], symbols: undefined, partial: undefined },
  };
}

/** The difference that an edit of the machine makes. */
async function differenceOf(
  edit: (memory: FakeMemory) => void,
  values: Readonly<Record<string, bigint>> = BEFORE,
): Promise<Difference> {
  const memory = machine();
  const before = await point("before", memory);
  edit(memory);
  const after = await point("after", memory, values);
  const both = capture(before, after);
  return diffPoints(both, await capturedImages(both), before, after);
}

describe("the difference of two points", () => {
  it("is nothing where nothing changed", async () => {
    const { registers: changed, mappings, tables, efi, coverage } = await differenceOf(() => undefined);
    expect({ changed, mappings, tables, efi, coverage }).toEqual({
      changed: [],
      mappings: [],
      tables: [],
      efi: [],
      coverage: [],
    });
  });

  it("has runtime images that lose their protection, with owner and reason", async () => {
    const { mappings, tables } = await differenceOf((memory) => {
      for (const i of [0x100n, 0x101n]) {
        const entry = LEVEL_3 + i * 8n;
        writeWords(memory, entry, [(memory.word(entry) as bigint) & ~READ_ONLY]);
      }
    });
    expect(mappings).toMatchObject([
      {
        ...{ kind: "changed", va: 0x4010_0000n, size: 0x2000n, regime: "EL1&0" },
        before: { attributes: { write: false } },
        after: { attributes: { write: true } },
        owner: { section: null },
        expected: { rule: "runtime-image-unprotected" },
      },
    ]);
    expect(tables).toEqual([{ regime: "EL1&0", pa: LEVEL_3, kind: "changed" }]);
  });

  it("has tables that come and go", async () => {
    const { tables, mappings } = await differenceOf((memory) => {
      writeWords(memory, 0x4000_2000n, [0x4000_4003n]);
      for (let i = 0n; i < 512n; i++)
        writeWords(memory, 0x4000_4000n + i * 8n, [memory.word(LEVEL_3 + i * 8n) as bigint]);
    });
    expect(tables).toEqual([
      { regime: "EL1&0", pa: 0x4000_2000n, kind: "changed" },
      { regime: "EL1&0", pa: LEVEL_3, kind: "removed" },
      { regime: "EL1&0", pa: 0x4000_4000n, kind: "added" },
    ]);
    expect(mappings).toEqual([]);
  });

  it("claims nothing of a table that could not be read on one side, and says so", async () => {
    const { mappings, coverage } = await differenceOf((memory) => memory.makeUnreadable(LEVEL_3));
    expect(mappings).toEqual([]);
    expect(coverage).toMatchObject([{ point: "after", regime: "EL1&0", pa: LEVEL_3, level: 3, code: "read-failed" }]);
  });

  it("has registers with the fields that changed, and those whose value is not known on a side", async () => {
    const { registers: changed } = await differenceOf(() => undefined, { ...BEFORE, SCTLR_EL1: 0x1n, x0: 2n });
    expect(changed.map(({ name, before, after }) => [name, before, after])).toEqual([
      ["x0", 1n, 2n],
      ["SCTLR_EL1", 5n, 1n],
    ]);
    expect(changed[1]?.fields).toMatchObject([{ name: "C", before: 1n, after: 0n }]);
    const { x0: _, ...without } = BEFORE;
    const unknown = (await differenceOf(() => undefined, without)).registers;
    expect(unknown).toMatchObject([{ name: "x0", before: 1n, after: undefined, fields: [] }]);
  });

  it("has UEFI's table fields, unknown where they could not be read", async () => {
    const cleared = await differenceOf((memory) => writeWords(memory, SYSTEM_TABLE + 0x60n, [0n]));
    expect(cleared.efi).toEqual([{ name: "SystemTable.BootServices", before: BOOT_SERVICES, after: 0n }]);
    const gone = await differenceOf((memory) => memory.remove(BOOT_SERVICES & ~0xfffn));
    expect(gone.efi.every(({ after }) => after === undefined)).toBe(true);
    expect(gone.efi.length).toBeGreaterThan(40);
  });

  it("is all of a map where translation goes off: what is not one to one", async () => {
    const { mappings } = await differenceOf(() => undefined, { ...BEFORE, SCTLR_EL1: 0n });
    const total = mappings.reduce((sum, { size }) => sum + size, 0n);
    expect(total).toBe(1n << 48n);
    expect(new Set(mappings.map(({ kind }) => kind))).toEqual(new Set(["added", "changed"]));
  });
});

describe("the points to compare", () => {
  const withIds = (...ids: readonly string[]): Capture => capture(...ids.map((id) => ({ id }) as Point));

  it.each([
    [
      ["before", "after", "later"],
      ["before", "after"],
    ],
    [
      ["before-1", "failed-1", "before", "after", "fault"],
      ["before", "after"],
    ],
    [
      ["before", "fault"],
      ["before", "fault"],
    ],
    [
      ["before-1", "failed-1", "before"],
      ["before-1", "before"],
    ],
    [
      ["before", "failed"],
      ["before", "failed"],
    ],
  ])("of %j are %j", (ids, wanted) => {
    expect(defaultPoints(withIds(...ids))).toEqual(wanted);
  });

  it("are none of a capture with one point or none", () => {
    expect(() => defaultPoints(withIds("now"))).toThrow("only the point now");
    expect(() => defaultPoints(withIds())).toThrow("has no point");
  });

  it("are found by their id, or those there are are named", () => {
    const whole = withIds("before", "after");
    expect(findPoint(whole, "after")).toBe(whole.points[1]);
    expect(() => findPoint(whole, "x\n")).toThrow('Cannot find the point "x\\\\x0a": the capture has before, after');
  });
});
