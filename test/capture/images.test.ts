/** Images that the firmware does not list, and what else a point has of UEFI: found while capturing, there again in the record. */
import { describe, expect, it } from "vitest";
import { phys } from "../../src/base/address.ts";
import type { PhysSpan } from "../../src/base/memory.ts";
import { readImageHeaders } from "../../src/efi/image-headers.ts";
import { readMemoryAttributes } from "../../src/efi/memory-map.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import { type Capture, type Point, pointPages } from "../../src/snapshot/model.ts";
import { pageMemory } from "../../src/snapshot/page-memory.ts";
import { mapBytes } from "../efi/writers.ts";
import type { FakeMemory } from "../support/fake-memory.ts";
import type { Visit } from "../support/fake-target.ts";
import { CONFIGURATION_TABLE, guidBytes, imageBytes, SYSTEM_TABLE, writeWords } from "../support/firmware.ts";
import {
  captureHandoff,
  DXE_CORE,
  EXIT_CALLER,
  exitBootServices,
  type HandoffOptions,
} from "../support/handoff-target.ts";
import { tcrEl1 } from "../support/regimes.ts";

/** Where EXIT_CALLER lies. */
const LOADER = { base: 0x4418_0000n, size: 0x10_0000 };
const OTHER = { base: 0x4500_0000n, size: 0x8000 };

function writeImage(memory: FakeMemory, { base, size }: { readonly base: bigint; readonly size: number }): void {
  const codeView = { signature: "RSDS", path: "/build/Loader.dll" } as const;
  const sections = [[".text", 0x1000, 0x4000]] as const;
  memory.write(base, imageBytes({ base, size, codeType: 1, peOffset: 0x80, sections, codeView }));
}

async function pointsOf(visits: readonly Visit[], prepare: HandoffOptions["prepare"]): Promise<Record<string, Point>> {
  const { capture, error } = await captureHandoff(visits, { ...(prepare !== undefined && { prepare }) });
  expect(error).toBeUndefined();
  const read = decodeCapture(encodeCapture(capture as Capture), "x.ebs");
  return Object.fromEntries(read.points.map((point) => [point.id, point]));
}

const found = ({ base, size }: typeof LOADER, physical = base) => ({ base, physical, size: BigInt(size) });

describe("an image that the firmware does not list", () => {
  it("is found around the caller of ExitBootServices, and its header is in the record", async () => {
    const points = await pointsOf(exitBootServices(7n), ({ memory }) => writeImage(memory, LOADER));
    for (const id of ["before", "after", "later"]) {
      expect(points[id]?.images, id).toEqual([found(LOADER)]);
      const [header] = await readImageHeaders(pageMemory(pointPages(points[id] as Point)), [
        { base: LOADER.base, size: BigInt(LOADER.size) },
      ]);
      expect(header?.buildName, id).toBe("Loader");
    }
  });

  it("is looked for at the point `after` no more than before: what is new there is found later", async () => {
    const [entry, back] = exitBootServices(7n) as [Visit, Visit];
    const appears: Visit = {
      ...back,
      does: (memory) => {
        back.does?.(memory);
        writeImage(memory, LOADER);
      },
    };
    const points = await pointsOf([entry, appears], undefined);
    expect(points.before?.images).toEqual([]);
    expect(points.after?.images).toEqual([]);
    expect(points.later?.images).toEqual([found(LOADER)]);
  });

  it("is not said to be there when its header has gone", async () => {
    const [entry, back] = exitBootServices(7n) as [Visit, Visit];
    const goes: Visit = {
      ...back,
      does: (memory) => {
        back.does?.(memory);
        memory.write(LOADER.base, new Uint8Array(0x200));
      },
    };
    const points = await pointsOf([entry, goes], ({ memory }) => writeImage(memory, LOADER));
    expect(points.before?.images).toEqual([found(LOADER)]);
    expect(points.after?.images).toEqual([]);
    expect(points.later?.images).toEqual([]);
  });

  it("is found where a vCPU executes after the call", async () => {
    const jump: Visit = { pc: OTHER.base + 0x1040n };
    const points = await pointsOf([...exitBootServices(7n), jump], ({ memory }) => writeImage(memory, OTHER));
    expect(points.before?.images).toEqual([]);
    expect(points.later?.images).toEqual([found(OTHER)]);
  });

  it("is none where the firmware lists one", async () => {
    const points = await pointsOf([...exitBootServices(7n), { pc: DXE_CORE.base + 0x1040n }], undefined);
    expect(Object.values(points).flatMap(({ images }) => images)).toEqual([]);
  });
});

describe("an image behind translation tables", () => {
  const ROOT = 0x4010_0000n;
  const PAGES = 0x4010_3000n;
  const VA = 0x8020_0000n;
  const ON = { SCTLR_EL1: 5n, TCR_EL1: tcrEl1(), MAIR_EL1: 0xffn, TTBR0_EL1: ROOT, VBAR_EL1: 0n };
  /** The kernel's own tables: its image page by page at VA, each page where `at` says, or not at all. */
  function map(memory: FakeMemory, at: (page: bigint) => bigint | undefined): void {
    memory.setWord(ROOT, 0x4010_1003n);
    memory.setWord(0x4010_1000n + 2n * 8n, 0x4010_2003n);
    memory.setWord(0x4010_2000n + 8n, PAGES | 3n);
    memory.bytes(PAGES);
    for (let page = 0n; page < BigInt(OTHER.size / 4096); page++) {
      const pa = at(page);
      if (pa !== undefined) memory.setWord(PAGES + page * 8n, pa | 0x703n);
    }
  }
  const jump: Visit = { pc: VA + 0x3040n, registers: ON };
  const contiguous = (page: bigint): bigint => OTHER.base + page * 0x1000n;

  async function later(at: (page: bigint) => bigint | undefined): Promise<Point["images"] | undefined> {
    const prepare: HandoffOptions["prepare"] = ({ memory }) => {
      writeImage(memory, OTHER);
      map(memory, at);
    };
    return (await pointsOf([...exitBootServices(7n), jump], prepare)).later?.images;
  }

  it("has its base where its pages lead to it", async () => {
    expect(await later(contiguous)).toEqual([{ base: VA, physical: OTHER.base, size: BigInt(OTHER.size) }]);
  });

  it("is found without its header mapped, or with something else at the header's address, as under Linux", async () => {
    const expected = [{ base: VA, physical: OTHER.base, size: BigInt(OTHER.size) }];
    expect(await later((page) => (page === 0n ? undefined : contiguous(page)))).toEqual(expected);
    expect(await later((page) => (page === 0n ? 0x4450_0000n : contiguous(page)))).toEqual(expected);
  });

  it("is none where the pages come from anywhere", async () => {
    expect(await later((page) => (page === 3n ? contiguous(3n) : 0x4450_0000n + page * 0x2000n))).toEqual([]);
  });
});

/** A search for an image looks at eight pages first, downwards. */
function beginsSearch(batch: readonly PhysSpan[]): boolean {
  const whole = batch.length === 8 && batch.every(({ length }) => length === 4096);
  return whole && batch.every(({ address }, i) => i === 0 || address < (batch[i - 1] as PhysSpan).address);
}

describe("looking for images", () => {
  it("is done four times a point at most", async () => {
    const outside = 0x4100_0000n;
    const chain: { readonly fp: bigint; readonly caller: bigint }[] = Array.from({ length: 12 }, (_, i) => ({
      fp: 0x4600_0900n + BigInt(i * 32),
      caller: outside + BigInt(i) * 0x10_0000n,
    }));
    const [entry, ...rest] = exitBootServices(7n) as [Visit, ...Visit[]];
    const start = { ...entry, registers: { ...entry.registers, x29: 0x4600_0900n } };
    const { capture, target } = await captureHandoff([start, ...rest], {
      prepare: ({ memory }) => {
        for (const [i, { fp, caller }] of chain.entries()) {
          writeWords(memory, fp, [i === chain.length - 1 ? 0n : fp + 32n, caller]);
          writeWords(memory, caller - 8n, [0x9400_0000_d503_201fn]);
        }
      },
    });
    expect(capture?.points.map(({ images }) => images)).toEqual([[], [], []]);
    // Before and later.
    expect(target.memory.batches.filter(beginsSearch).length).toBe(2 * 4);
  });
});

describe("the memory attributes table", () => {
  const GUID = "dcfa911d-26eb-469f-a220-38b7dc461220";
  const AT = 0x47e0_0ff8n;

  function withTable(header: readonly number[]): HandoffOptions["prepare"] {
    return ({ memory, seal }) => {
      memory.write(CONFIGURATION_TABLE + 48n, guidBytes(GUID));
      writeWords(memory, CONFIGURATION_TABLE + 64n, [AT]);
      writeWords(memory, SYSTEM_TABLE + 0x68n, [3n]);
      seal(SYSTEM_TABLE);
      memory.write(AT, Buffer.from(Uint32Array.from(header).buffer));
      memory.write(AT + 16n, mapBytes([{ type: 5, start: 0x4750_0000n, pages: 2n, attribute: 0x2_0000n }]));
    };
  }

  it("is in the record before and after the call", async () => {
    const points = await pointsOf(exitBootServices(7n), withTable([1, 1, 48, 0]));
    const read = (id: string) => readMemoryAttributes(pageMemory(pointPages(points[id] as Point)), AT);
    const attributes = { state: "read", descriptors: [{ physicalStart: 0x4750_0000n, attributes: ["RO"] }] };
    expect(await read("before")).toMatchObject(attributes);
    expect(await read("after")).toMatchObject(attributes);
    expect(await read("later")).toMatchObject({ state: "unreadable" });
  });

  it("is no more than 1 MiB, whatever it says", async () => {
    const points = await pointsOf(exitBootServices(7n), withTable([1, 0xffff_ffff, 0xffff_ffff, 0]));
    expect(points.before?.complete).toBe(true);
    expect(points.before?.pages.size).toBeLessThan(400);
  });
});

describe("the call chain", () => {
  const FRAMES = 9;
  const fp = (i: number): bigint => 0x4600_0900n + BigInt(i) * 0x40n;
  const caller = (i: number): bigint => EXIT_CALLER + BigInt(i + 1) * 0x1_0000n;
  const prepare: HandoffOptions["prepare"] = ({ memory }) => {
    for (let i = 0; i < FRAMES; i++) {
      writeWords(memory, fp(i), [i === FRAMES - 1 ? 0n : fp(i + 1), caller(i)]);
      writeWords(memory, caller(i) - 4n - 4n, [0x9400_0000_d503_201fn]);
    }
    memory.bytes(EXIT_CALLER & ~0xfffn);
  };
  const [entry, ...rest] = exitBootServices(7n) as [Visit, ...Visit[]];
  const visits = [{ ...entry, registers: { ...entry.registers, x29: fp(0) } }, ...rest];

  it("is in the record at each point", async () => {
    const points = await pointsOf(visits, prepare);
    for (const id of ["before", "after", "later"]) {
      for (let i = 0; i < FRAMES; i++)
        expect(points[id]?.pages.has(phys(caller(i) & ~0xfffn)), `${id} ${i}`).toBe(true);
    }
  });

  it("costs a batch for the code of all frames before the call, and none after it", async () => {
    const { target } = await captureHandoff(visits, prepare === undefined ? {} : { prepare });
    const pageBatches = (i: number): number[] =>
      target.memory.batches.flatMap((batch, at) =>
        !beginsSearch(batch) &&
        batch.some(({ address, length }) => length === 4096 && address === (caller(i) & ~0xfffn))
          ? [at]
          : [],
      );
    const all = Array.from({ length: FRAMES }, (_, i) => pageBatches(i));
    expect(new Set(all.map((batches) => batches.join())).size).toBe(1);
    expect(all[0]?.length).toBe(3);
  });
});
