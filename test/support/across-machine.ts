/** Captures of small machines that tests move about: one image, tables that a test writes, RAM of any size. */
import { phys } from "../../src/base/address.ts";
import type { MemoryRead } from "../../src/base/memory.ts";
import type { RegisterRead } from "../../src/base/registers.ts";
import { type Study, studyCapture } from "../../src/diagnose/study.ts";
import type { AcrossFinding, AcrossSide } from "../../src/diff/across/side.ts";
import type { MemoryDescriptor } from "../../src/efi/memory-map.ts";
import type { Capture, Point, PointKind } from "../../src/snapshot/model.ts";
import { RecordingMemory } from "../../src/snapshot/page-memory.ts";
import type { FakeMemory } from "./fake-memory.ts";
import { BOOT_SERVICES, buildFirmware, SYSTEM_TABLE, writeWords } from "./firmware.ts";
import { tcrEl1 } from "./regimes.ts";

const ROOT = 0x4000_0000n;
const LEVEL_1 = 0x4000_1000n;
const LEVEL_2 = 0x4000_2000n;
const LEVEL_3 = 0x4000_3000n;
export const READ_ONLY = 1n << 7n;
export const EXECUTE_NEVER = 3n << 53n;
/** Page, inner shareable, accessed, attribute 0. */
const PAGE = 0x703n;

export interface MachineOptions {
  /** In the first 2 MiB of RAM. */
  readonly imageBase?: bigint;
  /** Of `.text`, which starts at 0x1000. */
  readonly textSize?: number;
  /** Of RAM, from 0x4000_0000 on. */
  readonly ramSize?: bigint;
  readonly registers?: Readonly<Record<string, bigint>>;
  /** Done to the tables before all points. */
  readonly edit?: (memory: FakeMemory) => void;
  /** Done to them between `before` and `after`. */
  readonly call?: (memory: FakeMemory) => void;
  /** [first page, pages, type] */
  readonly memoryMap?: readonly (readonly [start: bigint, pages: bigint, type: string])[];
  readonly kinds?: readonly PointKind[];
  readonly qemuVersion?: string;
  readonly findings?: readonly AcrossFinding[];
}

export const IMAGE_BASE = 0x4010_0000n;
const IMAGE_SIZE = 0x4000n;

/** Writes the descriptor of a page of the first 2 MiB: mapped one to one with these bits. */
export function mapPage(memory: FakeMemory, address: bigint, bits: bigint): void {
  writeWords(memory, LEVEL_3 + ((address >> 12n) & 511n) * 8n, [address | PAGE | bits]);
}

export function unmapPage(memory: FakeMemory, address: bigint): void {
  writeWords(memory, LEVEL_3 + ((address >> 12n) & 511n) * 8n, [0n]);
}

/** Writes a 2 MiB block of the GiB at 0x4000_0000. */
export function mapBlock(memory: FakeMemory, address: bigint, bits: bigint): void {
  writeWords(memory, LEVEL_2 + ((address >> 21n) & 511n) * 8n, [address | 0x701n | bits]);
}

export function unmapBlock(memory: FakeMemory, address: bigint): void {
  writeWords(memory, LEVEL_2 + ((address >> 21n) & 511n) * 8n, [0n]);
}

/** A page table page that cannot be read. */
export function loseTable(memory: FakeMemory): void {
  memory.makeUnreadable(LEVEL_3);
}

function build(options: MachineOptions): FakeMemory {
  const base = options.imageBase ?? IMAGE_BASE;
  const textSize = options.textSize ?? 0x2000;
  const { memory } = buildFirmware([
    {
      ...{ base, size: Number(IMAGE_SIZE), codeType: 3, peOffset: 0x80, entryPoint: 0x1000 },
      sections: [
        [".text", 0x1000, textSize],
        [".data", 0x3000, 0x1000],
      ],
      codeView: { signature: "NB10", path: "/build/Core.dll" },
    },
  ]);
  writeWords(memory, ROOT, [LEVEL_1 | 3n]);
  writeWords(memory, LEVEL_1 + 8n, [LEVEL_2 | 3n]);
  const end = ROOT + (options.ramSize ?? 0x0800_0000n);
  for (let at = ROOT + 0x20_0000n; at < end; at += 0x20_0000n) mapBlock(memory, at, EXECUTE_NEVER);
  writeWords(memory, LEVEL_2, [LEVEL_3 | 3n]);
  for (let at = ROOT; at < ROOT + 0x20_0000n; at += 0x1000n) {
    const offset = at - base;
    const text = offset >= 0x1000n && offset < 0x3000n;
    mapPage(memory, at, text ? READ_ONLY : EXECUTE_NEVER);
  }
  options.edit?.(memory);
  return memory;
}

const BEFORE = {
  ...{ x0: 1n, x19: 0n, x20: 0n, sp: 0x4018_0000n, pc: 0x4750_0000n, cpsr: 0x3c5n, VBAR_EL1: 0n, ID_DFR0_EL1: 1n },
  ...{ SCTLR_EL1: 5n, TCR_EL1: tcrEl1(), MAIR_EL1: 0xffn, TTBR0_EL1: ROOT },
};

function reads(values: Readonly<Record<string, bigint>>): RegisterRead[] {
  return Object.values(values).map((value) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return { state: "present", bytes };
  });
}

async function point(kind: PointKind, memory: FakeMemory, options: MachineOptions): Promise<Point> {
  const recorded = new RecordingMemory(memory);
  for (const [from, to] of [
    [ROOT, ROOT + 0x20_0000n],
    [0x47f0_0000n, 0x47f8_0000n],
  ] as const)
    for (let page = from; page < to; page += 0x1000n) await recorded.read([{ address: phys(page), length: 1 }]);
  const copy = (read: MemoryRead): MemoryRead =>
    read.state === "present" ? { ...read, bytes: read.bytes.slice() } : read;
  return {
    ...{ id: kind, kind, time: "", cpu: 0, images: [], complete: true },
    memoryRanges: [{ start: phys(ROOT), size: options.ramSize ?? 0x0800_0000n, kind: "ram", name: "ram" }],
    registers: [reads({ ...BEFORE, ...options.registers })],
    pages: new Map([...recorded.pages].map(([page, read]) => [page, copy(read)])),
  };
}

export async function captureOf(options: MachineOptions = {}): Promise<Capture> {
  const memory = build(options);
  const points: Point[] = [];
  for (const kind of options.kinds ?? (["before", "after"] as const)) {
    if (kind === "after") options.call?.(memory);
    points.push(await point(kind, memory, options));
  }
  const names = Object.keys({ ...BEFORE, ...options.registers });
  return {
    ...{ createdAt: "", createdBy: "", qemuVersion: options.qemuVersion, architecture: "aarch64", threads: ["1"] },
    registers: names.map((name, number) => ({ name, stubName: name, number, bits: 64, feature: "" })),
    efi: { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES, exitBootServices: 0x4750_0000n },
    ...{ attempts: [], memoryMap: undefined, points, notes: [], symbols: undefined, partial: undefined },
  };
}

function descriptor([physicalStart, pages, typeName]: readonly [bigint, bigint, string]): MemoryDescriptor {
  return { type: 0, typeName, physicalStart, virtualStart: 0n, pages, attribute: 8n, attributes: ["WB"] };
}

/** A capture of such a machine, studied. */
export async function sideOf(options: MachineOptions = {}): Promise<AcrossSide> {
  const study: Study = await studyCapture(await captureOf(options), "none");
  const findings = options.findings ?? [];
  if (options.memoryMap === undefined) return { ...study, findings };
  const descriptors = options.memoryMap.map(descriptor);
  const typeAt = (address: bigint): string | null =>
    options.memoryMap?.find(([start, pages]) => address >= start && address < start + pages * 4096n)?.[2] ?? null;
  const names: AcrossSide["names"] = {
    place: (address, view) => ({ ...study.names.place(address, view), memoryType: typeAt(address) }),
  };
  const map = { state: "read", descriptors, sorted: true, problems: [] } as const;
  return { ...study, names, memoryMap: { point: "before", map }, findings };
}
