/** Taking one point of a capture: every register of every vCPU, the tables of every live regime, and what the decoders will ask for. */

import { type CollectOptions, collectTables } from "../aarch64/collect.ts";
import { currentRegimeName, liveRegimes } from "../aarch64/regime.ts";
import { type Regime, regimeKey } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { type PhysAddr, type VirtAddr, virt } from "../base/address.ts";
import { asEbscopeError, type EbscopeError } from "../base/error.ts";
import type { MemoryRange, PhysMemory, PhysSpan } from "../base/memory.ts";
import { type RegisterRead, type Registers, registersOf } from "../base/registers.ts";
import { callChain, codeRegime } from "../code/index.ts";
import { readLoadedImages } from "../efi/images.ts";
import { readSystemTable } from "../efi/system-table.ts";
import { type EfiTables, readEfiTables } from "../efi/tables.ts";
import type { EfiRoots, Point, PointKind } from "../snapshot/model.ts";
import { PageLog, RecordingMemory } from "../snapshot/page-memory.ts";
import type { Target } from "../target/target.ts";

export interface PointRequest extends CollectOptions {
  readonly id: string;
  readonly kind: PointKind;
  /** The vCPU that the point is about; default: the one that stopped. */
  readonly cpu?: number;
  /** Where UEFI's tables are; without it nothing of UEFI is read. */
  readonly efi?: EfiRoots | undefined;
  /** Read the list of loaded images too. Needs `efi`. */
  readonly images?: boolean;
  /** UEFI's tables as an earlier point found them: they are read where they were. */
  readonly tables?: EfiTables | undefined;
  /** Follow the point's vCPU's call chain. */
  readonly chain?: boolean;
  /** Pages that this point will probably need, from a point before it: they are read in the same batch as the registers. */
  readonly expect?: ReadonlySet<PhysAddr> | undefined;
}

/** The point, and what ended it early if something did: then the point is what had been read until then. */
export interface TakenPoint {
  readonly point: Point | undefined;
  readonly lost: EbscopeError | undefined;
  /** The pages that the next point will probably need too: all but those of the images and of the call chain. */
  readonly needed: ReadonlySet<PhysAddr>;
  readonly tables: EfiTables | undefined;
}

/** Takes a point of a halted guest. Does not throw when the guest is lost: what was read is returned with the reason. */
export async function takePoint(target: Target, request: PointRequest): Promise<TakenPoint> {
  const time = new Date().toISOString();
  const memory = new RecordingMemory(target.memory);
  const needed = new PageLog(memory);
  let registers: RegisterRead[][] = [];
  let memoryRanges: readonly MemoryRange[] = [];
  let lost: EbscopeError | undefined;
  let tables: EfiTables | undefined;
  try {
    // All in one pipelined batch.
    [registers, memoryRanges] = await Promise.all([
      target.readRegisters(target.info.cpus, target.info.registers),
      target.memoryRanges(),
      memory.readAhead([...(request.expect ?? [])]),
    ]);
    tables = await recordMemory(memory, needed, target, registers, request);
  } catch (error) {
    lost = asEbscopeError(error);
  }
  if (registers.length === 0) return { point: undefined, lost, needed: needed.pages, tables };
  const cpu = request.cpu ?? target.stoppedCpu.index;
  const { id, kind } = request;
  const point = { id, kind, time, cpu, registers, memoryRanges, pages: memory.pages, complete: lost === undefined };
  return { point, lost, needed: needed.pages, tables };
}

async function recordMemory(
  memory: RecordingMemory,
  needed: PhysMemory,
  target: Target,
  rows: readonly (readonly RegisterRead[])[],
  request: PointRequest,
): Promise<EfiTables | undefined> {
  const vcpus = rows.map((row) => registersOf(target.info.registers, row));
  // Side by side, so that their round trips are shared.
  const [, tables] = await Promise.all([
    recordTables(memory, needed, vcpus, request),
    request.efi === undefined ? undefined : readEfiTables(needed, request.efi, request.tables),
    request.efi === undefined || !request.images ? undefined : recordImages(memory, request.efi),
  ]);
  if (request.chain) await recordCallChain(memory, vcpus[request.cpu ?? target.stoppedCpu.index]);
  return tables;
}

/** What it takes to follow the call chain again: the frames, and the code around them. */
async function recordCallChain(memory: RecordingMemory, registers: Registers | undefined): Promise<void> {
  const regime = registers && codeRegime(registers, liveRegimes(registers));
  if (regime !== undefined) await callChain(registers as Registers, regime, memory, memory);
}

async function recordTables(
  memory: RecordingMemory,
  needed: PhysMemory,
  vcpus: readonly Registers[],
  request: PointRequest,
): Promise<void> {
  const regimes = new Map(vcpus.flatMap(liveRegimes).map((regime) => [regimeKey(regime), regime]));
  const collect = async (regime: Regime): Promise<void> => {
    const gaps = await collectTables(needed, regime, request);
    for (const { pa, code } of gaps) if (pa !== undefined) memory.noteMissing(pa, code);
  };
  // Side by side; then those that find their tables through stage 2, whose tables are at hand by then.
  const all = [...regimes.values()];
  await Promise.all(all.filter(({ behind }) => behind === undefined).map(collect));
  await Promise.all(all.filter(({ behind }) => behind !== undefined).map(collect));
  await needed.read(vcpus.flatMap((registers) => codeAndStack(registers, memory)));
}

/** The pages where a vCPU executes, will return to and has its stack: what a look at a fault needs first. */
function codeAndStack(registers: Registers, memory: RecordingMemory): PhysSpan[] {
  const name = currentRegimeName(registers);
  const regime = liveRegimes(registers).find((each) => each.name === name);
  if (regime === undefined) return [];
  const translator = new Translator(regime, memory);
  const addresses = ["pc", "x30", "sp", `ELR_EL${regime.exceptionLevel}`].map((each) => registers.get(each));
  return addresses.flatMap((address) => (address === undefined ? [] : physicalSpan(translator, virt(address))));
}

function physicalSpan(translator: Translator, address: VirtAddr): PhysSpan[] {
  const { result } = translator.translate(address);
  return result.mapped === true ? [{ address: result.pa, length: 1 }] : [];
}

async function recordImages(memory: PhysMemory, efi: EfiRoots): Promise<void> {
  const table = await readSystemTable(memory, efi.systemTable);
  if (table !== undefined) await readLoadedImages(memory, table);
}
