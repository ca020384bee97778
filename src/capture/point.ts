/** Taking one point of a capture: every register of every vCPU, the tables of every live regime, and what the decoders will ask for. */

import { type CollectOptions, collectTables } from "../aarch64/collect.ts";
import { currentRegimeName, liveRegimes, readRegime } from "../aarch64/regime.ts";
import { type Regime, type RegimeName, regimeKey } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { PAGE_SIZE, type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";
import { asEbscopeError, type EbscopeError } from "../base/error.ts";
import type { MemoryRange, PhysMemory, PhysSpan } from "../base/memory.ts";
import { type RegisterRead, type Registers, registersOf } from "../base/registers.ts";
import { readFirmwareMemoryMap } from "../efi/firmware-map.ts";
import type { ImageExtent } from "../efi/image-headers.ts";
import { readLoadedImages } from "../efi/images.ts";
import { readStructure } from "../efi/memory.ts";
import type { MemoryMapPlace } from "../efi/memory-map.ts";
import { readSystemTable } from "../efi/system-table.ts";
import { type EfiTables, readEfiTables } from "../efi/tables.ts";
import { MAX_FOUND_IMAGES } from "../snapshot/meta.ts";
import type { EfiRoots, FoundImage, Point, PointKind } from "../snapshot/model.ts";
import { PageLog, pagesOfSpan, RecordingMemory } from "../snapshot/page-memory.ts";
import type { Target } from "../target/target.ts";
import { type LiveCpu, recordCallChain } from "./call-chain.ts";
import { searchImages, standingImages } from "./found-images.ts";

export interface PointRequest extends CollectOptions {
  readonly id: string;
  readonly kind: PointKind;
  /** The vCPU that the point is about; default: the one that stopped. */
  readonly cpu?: number;
  /** Where UEFI's tables are; without it nothing of UEFI is read. */
  readonly efi?: EfiRoots | undefined;
  /** The regimes whose tables are read, in use or not. Default: those in use on each vCPU. */
  readonly regimes?: readonly RegimeName[] | undefined;
  /** Read the list of loaded images too. Needs `efi`. */
  readonly images?: boolean;
  /** UEFI's tables as an earlier point found them: they are read where they were. */
  readonly tables?: EfiTables | undefined;
  /** Where the memory map lies that its caller of ExitBootServices had. */
  readonly memoryMap?: MemoryMapPlace | undefined;
  /** What earlier points know of images: of the firmware's list, where this one does not read it, and of others. */
  readonly listed?: readonly ImageExtent[] | undefined;
  readonly found?: readonly FoundImage[] | undefined;
  /** Pages that this point will probably need, from a point before it: they are read in the same batch as the registers. */
  readonly expect?: ReadonlySet<PhysAddr> | undefined;
}

/** What points need to know of points before. */
export interface PointFindings {
  readonly tables?: EfiTables | undefined;
  /** The firmware's images; undefined when their list was not read. */
  readonly listed?: readonly ImageExtent[] | undefined;
  readonly images: readonly FoundImage[];
}

/** The point, and what ended it early if something did: then the point is what had been read until then. */
export interface TakenPoint extends PointFindings {
  readonly point: Point | undefined;
  readonly lost: EbscopeError | undefined;
  /** The pages that the next point will probably need too: all but those of the firmware's images. */
  readonly needed: ReadonlySet<PhysAddr>;
}

/** Points at which the memory attributes table is kept: around the exit, where the firmware fills it in. */
const WITH_ATTRIBUTES: ReadonlySet<PointKind> = new Set(["before", "after", "now"]);
/** Points at which images are searched for. Elsewhere the guest is about to go on, or has just been looked through. */
const WITH_SEARCH: ReadonlySet<PointKind> = new Set(["before", "fault", "later", "now"]);

/** Takes a point of a halted guest. Does not throw when the guest is lost: what was read is returned with the reason. */
export async function takePoint(target: Target, request: PointRequest): Promise<TakenPoint> {
  const time = new Date().toISOString();
  const memory = new RecordingMemory(target.memory);
  const needed = new PageLog(memory);
  let registers: RegisterRead[][] = [];
  let memoryRanges: readonly MemoryRange[] = [];
  let lost: EbscopeError | undefined;
  let findings: PointFindings = { images: [] };
  try {
    // All in one pipelined batch.
    [registers, memoryRanges] = await Promise.all([
      target.readRegisters(target.info.cpus, target.info.registers),
      target.memoryRanges(),
      memory.readAhead([
        ...(request.expect ?? []),
        ...descriptorPages(request.memoryMap).map(({ address }) => address),
      ]),
    ]);
    findings = await recordMemory(memory, needed, target, registers, request);
  } catch (error) {
    lost = asEbscopeError(error);
  }
  if (registers.length === 0) return { point: undefined, lost, needed: needed.pages, ...findings };
  const cpu = request.cpu ?? target.stoppedCpu.index;
  const { id, kind } = request;
  const { images } = findings;
  const point = { id, kind, time, cpu, registers, memoryRanges, images, pages: memory.pages, complete: !lost };
  return { point, lost, needed: needed.pages, ...findings };
}

async function recordMemory(
  memory: RecordingMemory,
  needed: PhysMemory,
  target: Target,
  rows: readonly (readonly RegisterRead[])[],
  request: PointRequest,
): Promise<PointFindings> {
  const vcpus = rows.map((row) => liveCpu(registersOf(target.info.registers, row)));
  const cpu = vcpus[request.cpu ?? target.stoppedCpu.index];
  // Side by side, so that their round trips are shared.
  const [calls, tables, list] = await Promise.all([
    recordTables(memory, needed, vcpus, request).then(() => (cpu ? recordCallChain(memory, needed, cpu) : [])),
    request.efi === undefined ? undefined : recordEfi(needed, request.efi, request),
    request.efi === undefined || !request.images ? undefined : recordImages(memory, request.efi, request),
    memory.read(descriptorPages(request.memoryMap)),
  ]);
  const listed = list ?? request.listed;
  if (cpu === undefined) return { tables, listed, images: [] };
  const look = { cpu, tables: memory, record: needed, listed: listed ?? [], known: request.found ?? [] };
  const standing = await standingImages(look);
  if (!WITH_SEARCH.has(request.kind)) return { tables, listed, images: standing };
  const found = await searchImages(target.memory, look, calls, standing);
  return { tables, listed, images: [...standing, ...found].slice(0, MAX_FOUND_IMAGES) };
}

function liveCpu(registers: Registers): LiveCpu {
  return { registers, regimes: liveRegimes(registers) };
}

/** UEFI's tables, and the memory attributes table that they lead to: 16 bytes in front of descriptors (efi/memory-map.ts). */
async function recordEfi(memory: PhysMemory, efi: EfiRoots, request: PointRequest): Promise<EfiTables> {
  const tables = await readEfiTables(memory, efi, request.tables);
  if (!WITH_ATTRIBUTES.has(request.kind)) return tables;
  const attributes = tables.configuration?.find(({ name }) => name === "EFI_MEMORY_ATTRIBUTES_TABLE_GUID");
  const header = attributes && (await readStructure(memory, attributes.address, 16));
  if (attributes === undefined || header === undefined) return tables;
  const size = BigInt(header.u32(4)) * BigInt(header.u32(8));
  await memory.read(descriptorPages({ address: attributes.address + 16n, size }));
  return tables;
}

/** The most descriptors, and the largest, that a map can have to be believed (efi/memory-map.ts). */
const MAX_MAP_SIZE = 4096n * 256n;

/** The pages of descriptors, to be kept as they are: what is made of them can wait. None where they would be too many. */
function descriptorPages(map: Pick<MemoryMapPlace, "address" | "size"> | undefined): PhysSpan[] {
  if (map === undefined || map.size <= 0n || map.size > MAX_MAP_SIZE) return [];
  const pages = pagesOfSpan({ address: phys(map.address), length: Number(map.size) });
  return pages.map((address) => ({ address, length: PAGE_SIZE }));
}

async function recordTables(
  memory: RecordingMemory,
  needed: PhysMemory,
  vcpus: readonly LiveCpu[],
  request: PointRequest,
): Promise<void> {
  const wanted = vcpus.flatMap((cpu) => regimesOf(cpu, request));
  const regimes = new Map(wanted.map((regime) => [regimeKey(regime), regime]));
  const collect = async (regime: Regime): Promise<void> => {
    const gaps = await collectTables(needed, regime, request);
    for (const { pa, code } of gaps) if (pa !== undefined) memory.noteMissing(pa, code);
  };
  // Side by side; then those that find their tables through stage 2, whose tables are at hand by then.
  const all = [...regimes.values()];
  await Promise.all(all.filter(({ behind }) => behind === undefined).map(collect));
  await Promise.all(all.filter(({ behind }) => behind !== undefined).map(collect));
  await needed.read(vcpus.flatMap((cpu) => codeAndStack(cpu, memory)));
}

function regimesOf({ registers, regimes }: LiveCpu, request: PointRequest): readonly Regime[] {
  if (request.regimes === undefined) return regimes;
  return request.regimes.map((name) => regimes.find((each) => each.name === name) ?? readRegime(name, registers));
}

/** The pages where a vCPU executes, will return to and has its stack: what a look at a fault needs first. */
function codeAndStack({ registers, regimes }: LiveCpu, memory: RecordingMemory): PhysSpan[] {
  const name = currentRegimeName(registers);
  const regime = regimes.find((each) => each.name === name);
  if (regime === undefined) return [];
  const translator = new Translator(regime, memory);
  const addresses = ["pc", "x30", "sp", `ELR_EL${regime.exceptionLevel}`].map((each) => registers.get(each));
  return addresses.flatMap((address) => (address === undefined ? [] : physicalSpan(translator, virt(address))));
}

function physicalSpan(translator: Translator, address: VirtAddr): PhysSpan[] {
  const { result } = translator.translate(address);
  return result.mapped === true ? [{ address: result.pa, length: 1 }] : [];
}

/** Undefined when there is no system table any more. */
async function recordImages(
  memory: PhysMemory,
  efi: EfiRoots,
  { memoryMap }: PointRequest,
): Promise<readonly ImageExtent[] | undefined> {
  const table = await readSystemTable(memory, efi.systemTable);
  if (table === undefined) return undefined;
  const images = await readLoadedImages(memory, table);
  // Nobody was seen to ask for the map: the lists that the firmware makes it from are kept in its place.
  if (memoryMap === undefined) await readFirmwareMemoryMap(memory, images);
  return images;
}
