/** `show FILE memmap` and the memory types of `diff`, on descriptors written by hand into a real capture. */
import { describe, expect, it } from "vitest";
import { EfiJson, MemoryMapJson } from "../../src/api/firmware.ts";
import { DiffJson } from "../../src/api/schemas.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { mapBytes, type Row } from "../efi/writers.ts";
import { changedPoint, FIXTURE, fixture, run, runJson, withBytes, withCapture } from "./run.ts";

/** Nothing of the fixture lies there. */
const MAP = 0x6000_0010n;
const RUNTIME = 1n << 63n;
/** Conventional memory, the DXE core's, the guest's own; in no order, as edk2 tells them. */
const ROWS: readonly Row[] = [
  { type: 7, start: 0x4800_0000n, pages: 0x3_4411n, attribute: 8n },
  { type: 3, start: 0x4773_b000n, pages: 55n, attribute: 8n },
  { type: 1, start: 0x7c41_1000n, pages: 31n, attribute: 8n },
  { type: 5, start: 0x7c44_0000n, pages: 128n, attribute: 8n | RUNTIME, virtual: 0x7c44_0000n },
  { type: 7, start: 0x4000_0000n, pages: 16384n, attribute: 0x8000_0000n | 8n },
  { type: 0x8000_0001, start: 0x900_0000n, pages: 1n, attribute: 1n },
];

const KEY = 0x29cn;
const CALLER = 0x7c41_2c20n;

function withMap(capture: Capture, bytes: Uint8Array, descriptorSize = 48n): Capture {
  const memoryMap = {
    address: MAP,
    size: BigInt(bytes.length),
    descriptorSize,
    descriptorVersion: 1,
    mapKey: KEY,
    caller: CALLER,
  };
  return changedPoint({ ...capture, memoryMap }, "before", (point) => withBytes(point, MAP, bytes));
}

async function attributesAddress(): Promise<bigint> {
  const { configuration } = await runJson(EfiJson, "show", FIXTURE, "efi", "--at", "before");
  const entry = configuration?.find(({ name }) => name === "EFI_MEMORY_ATTRIBUTES_TABLE_GUID");
  return BigInt(entry?.place.address ?? 0);
}

/** EFI_MEMORY_ATTRIBUTES_TABLE: Version, NumberOfEntries, DescriptorSize, Flags, then the descriptors. */
function attributesTable(rows: readonly Row[]): Uint8Array {
  const head = Buffer.alloc(16);
  [1, rows.length, 48, 0].forEach((word, i) => void head.writeUInt32LE(word, i * 4));
  return Buffer.concat([head, mapBytes(rows)]);
}

const CODE: Row = { type: 5, start: 0x7c45_0000n, pages: 16n, attribute: 0x2_0000n | RUNTIME };
const DATA: Row = { type: 5, start: 0x7c46_0000n, pages: 16n, attribute: 0x4000n | RUNTIME };

/** The fixture's memory attributes table stands below. */
const mapIn = (text: string): string => text.split("Memory attributes table")[0] ?? "";

const shown = (file: string, ...flags: string[]): Promise<MemoryMapJson> =>
  runJson(MemoryMapJson, "show", file, "memmap", ...flags);

describe("the memory map", () => {
  it("has the descriptors that stand in memory, in their order", async () => {
    await withCapture(withMap(await fixture(), mapBytes(ROWS)), async (file) => {
      const { map } = await shown(file);
      expect(map).toMatchObject({
        source: "GetMemoryMap",
        point: "before",
        state: "read",
        sorted: false,
        problems: [],
      });
      expect(
        map?.descriptors.map(({ typeNumber, start, end, pages }) => [
          typeNumber,
          BigInt(start),
          BigInt(end),
          BigInt(pages),
        ]),
      ).toEqual(ROWS.map(({ type, start, pages }) => [type, start, start + pages * 4096n, pages]));
      expect(map?.descriptors.map(({ type }) => type)).toEqual([
        ...["EfiConventionalMemory", "EfiBootServicesCode", "EfiLoaderCode", "EfiRuntimeServicesCode"],
        ...["EfiConventionalMemory", "OS loader type 0x80000001"],
      ]);
      expect(map?.descriptors[3]).toMatchObject({ attributes: ["WB", "RUNTIME"], virtualStart: "0x7c440000" });
      expect(map?.descriptors[4]?.attributes).toEqual(["WB", "0x80000000"]);
      expect(map?.totals.map(({ type, descriptors, pages }) => [type, descriptors, Number(pages)])).toEqual([
        ["EfiConventionalMemory", 2, 0x3_4411 + 16384],
        ["EfiRuntimeServicesCode", 1, 128],
        ["EfiBootServicesCode", 1, 55],
        ["EfiLoaderCode", 1, 31],
        ["OS loader type 0x80000001", 1, 1],
      ]);
    });
  });

  it("says which call it is from: where that returned to, with which key", async () => {
    await withCapture(withMap(await fixture(), mapBytes(ROWS)), async (file) => {
      const call = (await shown(file)).map?.call;
      expect(call).toMatchObject({ mapKey: "0x29c", address: "0x60000010", descriptorSize: "0x30", size: "0x120" });
      expect(call?.returnedTo).toMatchObject({
        address: "0x7c412c20",
        image: "kernel+0x1c20",
        memoryType: "EfiLoaderCode",
      });
      expect(call?.service).toMatchObject({ symbol: "gBS->GetMemoryMap" });
      const text = await run("show", file, "memmap");
      expect(text).toMatch(
        /GetMemoryMap at 0x4774\w+ returned it to 0x7c412c20 \(kernel\+0x1c20, \.text\), with key 0x29c/,
      );
    });
  });

  it("is printed ascending, with ends that are not included", async () => {
    await withCapture(withMap(await fixture(), mapBytes(ROWS)), async (file) => {
      const rows = [...mapIn(await run("show", file, "memmap")).matchAll(/^ {2}(0x\w{16}) {2}(0x\w{16}) {2}(\d+)/gm)];
      expect(rows.map(([, start, end]) => [BigInt(start ?? 0), BigInt(end ?? 0)])).toEqual(
        [...ROWS]
          .sort((a, b) => (a.start < b.start ? -1 : 1))
          .map(({ start, pages }) => [start, start + pages * 4096n]),
      );
    });
  });

  it("that is damaged is shown with what is wrong with it", async () => {
    const rows = [...ROWS, { type: 0, start: 0x4773_c000n, pages: 1n << 60n }];
    await withCapture(withMap(await fixture(), mapBytes(rows)), async (file) => {
      const problems = (await shown(file)).map?.problems ?? [];
      expect(problems.length).toBeGreaterThan(1);
      const text = await run("show", file, "memmap");
      for (const problem of problems) expect(text).toContain(`! ${problem}`);
    });
  });

  it.each([
    ["whose descriptors are too small", 8n, "invalid"],
    ["whose memory was not captured", 48n, "unreadable"],
  ] as const)("%s is said to be not known", async (_, size, state) => {
    const whole = withMap(await fixture(), mapBytes(ROWS), size);
    const lost = state === "unreadable" ? { ...whole, points: (await fixture()).points } : whole;
    await withCapture(lost, async (file) => {
      expect((await shown(file)).map).toMatchObject({ state, sorted: null, descriptors: [], totals: [] });
      expect(await run("show", file, "memmap")).toContain("Memory map  not known: ");
    });
  });

  it("of more than 256 descriptors ends there, and goes on with --all", async () => {
    const rows = Array.from({ length: 400 }, (_, i): Row => ({ type: 7, start: BigInt(i) << 20n, pages: 1n }));
    await withCapture(withMap(await fixture(), mapBytes(rows)), async (file) => {
      const count = async (...flags: string[]): Promise<number> =>
        mapIn(await run("show", file, "memmap", ...flags)).match(/^ {2}0x\w{16} {2}0x/gm)?.length ?? 0;
      expect(await count()).toBe(256);
      expect(await run("show", file, "memmap")).toContain("… 144 descriptors more: --all");
      expect(await count("--all")).toBe(400);
    });
  });

  it("that a capture does not have is an error that says what to do, and so is one of another point", async () => {
    const without = { ...(await fixture()), memoryMap: undefined, efi: undefined };
    await withCapture(without, async (file) => {
      await expect(run("show", file, "memmap")).rejects.toMatchObject({
        code: "not-captured",
        next: expect.stringContaining("ebscope capture"),
      });
    });
    await withCapture(withMap(without, mapBytes(ROWS)), async (file) => {
      await expect(run("show", file, "memmap", "--at", "fault")).rejects.toMatchObject({
        next: "Leave out --at, or give before.",
      });
      await expect(run("show", file, "memmap", "--at", "never")).rejects.toMatchObject({ code: "no-such-point" });
    });
  });
});

describe("the memory attributes table", () => {
  it("is shown whole once, and by what is another in it then", async () => {
    const at = await attributesAddress();
    expect(at).toBeGreaterThan(0n);
    const before = changedPoint(await fixture(), "before", (point) =>
      withBytes(point, at, attributesTable([CODE, DATA])),
    );
    const capture = changedPoint(before, "after", (point) =>
      withBytes(point, at, attributesTable([CODE, { ...DATA, attribute: RUNTIME }, { ...DATA, start: 0x7c47_0000n }])),
    );
    await withCapture(capture, async (file) => {
      const { attributesTables, attributesChanges } = await shown(file);
      expect(
        attributesTables
          .filter(({ state }) => state === "read")
          .map(({ point, descriptors }) => [point, descriptors.length]),
      ).toEqual([
        ["before", 2],
        ["after", 3],
      ]);
      expect(attributesTables[0]?.descriptors.map(({ attributes }) => attributes)).toEqual([
        ["RO", "RUNTIME"],
        ["XP", "RUNTIME"],
      ]);
      expect(
        attributesChanges.map(({ from, to, before: old, after }) => [from, to, old?.attributes, after?.attributes]),
      ).toEqual([
        ["before", "after", ["XP", "RUNTIME"], ["RUNTIME"]],
        ["before", "after", undefined, ["XP", "RUNTIME"]],
      ]);
      const text = await run("show", file, "memmap");
      expect(text).toContain("at after: 2 descriptors another than at before");
      expect(text).toMatch(
        /0x000000007c460000 {2}64 KiB EfiRuntimeServicesCode XP RUNTIME → 64 KiB EfiRuntimeServicesCode RUNTIME/,
      );
      const alone = await shown(file, "--at", "after");
      expect(alone.attributesTables.map(({ point }) => point)).toEqual(["after"]);
    });
  });
});

describe("diff", () => {
  it("tells the memory type of what changed: one, several, or that it is not known", async () => {
    const runs = (await runJson(DiffJson, "diff", FIXTURE)).mappings;
    const [one, split, gone] = runs;
    if (one?.after == null || split?.after == null || gone?.after == null)
      throw new Error("the fixture has fewer runs");
    const rows: Row[] = [
      { type: 5, start: BigInt(one.after.pa), pages: BigInt(one.size) >> 12n },
      { type: 5, start: BigInt(split.after.pa), pages: 1n },
      { type: 6, start: BigInt(split.after.pa) + 4096n, pages: (BigInt(split.size) >> 12n) - 1n },
    ];
    await withCapture(withMap(await fixture(), mapBytes(rows)), async (file) => {
      const { mappings } = await runJson(DiffJson, "diff", file);
      expect(mappings.slice(0, 3).map(({ memoryType }) => memoryType)).toEqual([
        "EfiRuntimeServicesCode",
        "several",
        null,
      ]);
      expect(mappings.length).toBe(runs.length);
    });
  });

  it("has the fault, and the images whose mappings changed", async () => {
    const { fault, images, mappings } = await runJson(DiffJson, "diff", FIXTURE);
    expect(fault).toEqual(JSON.parse(await run("show", FIXTURE, "fault", "--json")));
    const owners = new Set(mappings.map(({ owner }) => owner?.image));
    expect(new Set(images.map(({ name }) => name))).toEqual(owners);
    expect(images.every(({ runtime }) => runtime)).toBe(true);
    const { points, ...rest } = await fixture();
    await withCapture({ ...rest, points: points.slice(0, 2) }, async (file) => {
      expect((await runJson(DiffJson, "diff", file)).fault).toBeNull();
    });
  });
});
