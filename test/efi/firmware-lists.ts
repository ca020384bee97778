/**
 * A DXE core with its lists in memory, written after edk2's MdeModulePkg/Core/Dxe (Mem/Imem.h, Gcd/Gcd.h, Mem/Page.c): rings of entries through
 * heads in .data, and the statistics of the memory types.
 */
import type { ImageDetails } from "../../src/efi/images.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { ascii } from "../support/firmware.ts";

export const CORE = 0x4770_0000n;
export const MAP_HEAD = CORE + 0x3108n;
export const SPACE_HEAD = CORE + 0x3210n;
export const IO_HEAD = CORE + 0x3220n;
export const FREE_HEAD = CORE + 0x3330n;
export const STATISTICS = CORE + 0x3400n;
export const OFFSETS = { gMemoryMap: 0x3108, mGcdMemorySpaceMap: 0x3210, mMemoryTypeStatistics: 0x3400 };
/** Where entries lie, 64 bytes apart; the others' 80 bytes apart, over page boundaries. */
export const ENTRIES = 0x4780_0040n;
export const SPACES = 0x4781_0000n;
export const IO_SPACES = 0x4782_0000n;
export const FREE_ENTRIES = 0x4783_0000n;

/** An image as readLoadedImages tells it. */
export function imageDetails(name: string, base: bigint, size: number, entryPoint = 0x1000): ImageDetails {
  const sections = [
    { name: ".text", offset: 0x1000, size: 0x2000, characteristics: 0x6000_0020 },
    { name: ".data", offset: 0x3000, size: 0x4000, characteristics: 0xc000_0040 },
  ];
  const codeView = { kind: "NB10", id: undefined, age: 0, path: `/build/${name}.dll` } as const;
  return {
    ...{ base, size: BigInt(size), name, nameFrom: "build path", buildPath: codeView.path, found: "list" },
    ...{ codeType: "EfiBootServicesCode", dataType: "EfiBootServicesData", runtime: false, sections },
    fileGuid: "d6a2cb7f-6a18-4e2f-b43b-9920a733700a",
    header: {
      ...{ format: "PE32+", machine: "AArch64", imageType: "EFI boot service driver", entryPoint, linkBase: base },
      ...{ size, sections, codeView, buildName: name, buildId: undefined, bootImage: undefined },
    },
  };
}

export const CORE_IMAGE = imageDetails("DxeCore", CORE, 0x8000);

export interface MapRow {
  readonly type: number;
  readonly start: bigint;
  /** The last byte. */
  readonly last: bigint;
  readonly attribute?: bigint;
  /** Where the entry lies. */
  readonly at?: bigint;
}

export interface SpaceRow {
  readonly space: number;
  readonly start: bigint;
  readonly last: bigint;
  readonly capabilities?: bigint;
  readonly attributes?: bigint;
}

/** 128 MiB of RAM: free, the core and the lists, free, a bin of runtime data with one used part. */
export const MAP: readonly MapRow[] = [
  { type: 7, start: 0x4000_0000n, last: 0x476f_ffffn },
  { type: 3, start: 0x4770_0000n, last: 0x4770_7fffn },
  { type: 4, start: 0x4770_8000n, last: 0x478f_ffffn },
  { type: 7, start: 0x4790_0000n, last: 0x479f_ffffn },
  { type: 7, start: 0x47a0_0000n, last: 0x47a0_ffffn },
  { type: 6, start: 0x47a1_0000n, last: 0x47a1_ffffn, attribute: 0x2_600fn },
  { type: 7, start: 0x47a2_0000n, last: 0x47ff_ffffn },
];

export const SPACE: readonly SpaceRow[] = [
  { space: 0, start: 0n, last: 0x3ff_ffffn },
  { space: 3, start: 0x400_0000n, last: 0x7ff_ffffn, capabilities: 0x8000_0000_0002_6001n, attributes: 1n << 63n },
  { space: 3, start: 0x800_0000n, last: 0x8ff_ffffn, capabilities: 1n, attributes: 1n },
  { space: 1, start: 0x900_0000n, last: 0x900_0fffn, capabilities: 1n },
  { space: 0, start: 0x900_1000n, last: 0x3fff_ffffn },
  { space: 2, start: 0x4000_0000n, last: 0x47ff_ffffn, capabilities: 8n },
  { space: 0, start: 0x4800_0000n, last: 0xfff_ffff_ffffn },
];

/** Bins {type, first byte, pages}: of loader code, which is not special, and of runtime data. */
export const BINS: readonly (readonly [type: number, start: bigint, pages: bigint])[] = [
  [1, 0x4790_0000n, 16n],
  [6, 0x47a0_0000n, 48n],
];

export interface World {
  readonly map?: readonly MapRow[];
  readonly space?: readonly SpaceRow[] | undefined;
  readonly free?: readonly MapRow[];
  readonly bins?: typeof BINS | undefined;
}

export function buildLists(world: World = {}): FakeMemory {
  const memory = new FakeMemory();
  for (let page = CORE; page < CORE + 0x8000n; page += 4096n) memory.bytes(page);
  const { map = MAP, free = [] } = world;
  writeRing(memory, MAP_HEAD, map.map(mapEntry(ENTRIES)));
  writeRing(memory, FREE_HEAD, free.map(mapEntry(FREE_ENTRIES)));
  const space = "space" in world ? world.space : SPACE;
  const io = [{ space: 0, start: 0n, last: 0xffffn }];
  if (space !== undefined) writeRing(memory, SPACE_HEAD, space.map(spaceEntry(SPACES)));
  writeRing(memory, IO_HEAD, io.map(spaceEntry(IO_SPACES)));
  const bins = "bins" in world ? world.bins : BINS;
  if (bins !== undefined) writeStatistics(memory, bins);
  return memory;
}

interface RingEntry {
  readonly at: bigint;
  readonly bytes: Uint8Array;
}

function entryBytes(signature: string, size: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(ascii(signature));
  write(new DataView(bytes.buffer));
  return bytes;
}

function mapEntry(first: bigint): (row: MapRow, i: number) => RingEntry {
  return ({ type, start, last, attribute = 8n, at }, i) => ({
    at: at ?? first + BigInt(i * 64),
    bytes: entryBytes("mmap", 64, (view) => {
      view.setUint8(24, 1);
      view.setUint32(28, type, true);
      view.setBigUint64(32, start, true);
      view.setBigUint64(40, last, true);
      view.setBigUint64(56, attribute, true);
    }),
  });
}

function spaceEntry(first: bigint): (row: SpaceRow, i: number) => RingEntry {
  return ({ space, start, last, capabilities = 0n, attributes = 0n }, i) => ({
    at: first + BigInt(i * 1000),
    bytes: entryBytes("gcdm", 80, (view) => {
      [start, last, capabilities, attributes].forEach((word, at) => void view.setBigUint64(24 + at * 8, word, true));
      view.setUint32(56, space, true);
    }),
  });
}

/** Links stand 8 bytes into an entry and point at links. */
function writeRing(memory: FakeMemory, head: bigint, entries: readonly RingEntry[]): void {
  for (const { at, bytes } of entries) memory.write(at, bytes);
  const links = [head, ...entries.map(({ at }) => at + 8n)];
  links.forEach((link, i) => {
    memory.setWord(link, links[(i + 1) % links.length] as bigint);
    memory.setWord(link + 8n, links.at(i - 1) as bigint);
  });
}

/** Special types of edk2, and those of them that are runtime types. */
const SPECIAL = [0, 5, 6, 9, 10, 13];
const RUNTIME = [5, 6, 13];

function writeStatistics(memory: FakeMemory, bins: typeof BINS): void {
  for (let type = 0; type <= 16; type++) {
    const at = STATISTICS + BigInt(type * 48);
    const [, start = 0n, pages = 0n] = bins.find(([of]) => of === type) ?? [];
    const last = pages === 0n ? 0xffff_ffff_ffffn : start + pages * 4096n - 1n;
    [start, last, 0n, pages, 16n].forEach((word, i) => void memory.setWord(at + BigInt(i * 8), word));
    memory.setWord(at + 40n, (SPECIAL.includes(type) ? 1n : 0n) | (RUNTIME.includes(type) ? 0x100n : 0n));
  }
}
