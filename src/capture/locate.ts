/**
 * Finding CoreExitBootServices in a guest, whenever we attach: looks for UEFI's system table in RAM, lets the guest run a little, looks
 * again, until the tables are there and can be trusted.
 *
 * The address that comes out is where a breakpoint goes, so it is validated, not assumed: signatures and CRCs hold, the pointer lies
 * in a loaded image, and the page is executable in the regime in force. A CRC of the boot services table that stays wrong is noted
 * but not refused when all the rest holds: drivers that hook a service do not always update it.
 */

import { collectTables } from "../aarch64/collect.ts";
import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { currentRegimeName, readRegime } from "../aarch64/regime.ts";
import { Translator } from "../aarch64/translate.ts";
import { abortError, delay, throwIfAborted } from "../base/abort.ts";
import { type PhysAddr, phys, rangeContains, virt } from "../base/address.ts";
import { bit } from "../base/bits.ts";
import { EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import type { MemoryRange } from "../base/memory.ts";
import { type Registers, registersOf } from "../base/registers.ts";
import { imageAt, imageOffsetText, type LoadedImage, readLoadedImages } from "../efi/images.ts";
import { readStructure } from "../efi/memory.ts";
import { findSystemTable, readBootServices, type SystemTable, serviceOffset } from "../efi/system-table.ts";
import type { EfiRoots } from "../snapshot/model.ts";
import { RecordingMemory } from "../snapshot/page-memory.ts";
import type { Target } from "../target/target.ts";

export interface LocateOptions {
  /** How long the guest may run before its firmware shows a system table. */
  readonly findTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told why it is not there yet, each time the reason changes. */
  readonly onWaiting?: (why: string) => void;
  /** Called each time before the guest is let run: what it throws ends the search, with the guest as it stands. */
  readonly beforeRunning?: () => void;
}

export interface Located {
  readonly roots: EfiRoots;
  /** Where gBS->GetMemoryMap points; undefined when no breakpoint may go there. */
  readonly getMemoryMap: bigint | undefined;
  /** The image and offset it lies in, for people. */
  readonly where: string;
  readonly notes: readonly string[];
  /** The pages that were looked at: the tables and the images as they are now. */
  readonly pages: ReadonlySet<PhysAddr>;
}

/**
 * How long the guest runs between two looks. Short whatever a look costs: between the first sight of the tables and the call a fast
 * boot takes about a second, and a call that is missed cannot be had again.
 */
const POLL_MS = 50;
/** Looks, from the first that saw it, for which a wrong CRC of the boot services table is taken for a table under construction. */
const CRC_PATIENCE = 40;
/** Looks for which tables without boot services may be those of the boot before, once the firmware was seen starting. */
const RESET_PATIENCE = 60;
const WRONG_CRC = "the CRC32 of the boot services table is wrong";
const DXE_CORE = "DxeCore";

/** The registers that a look needs: where a vCPU is, and what its regime depends on. */
const LOOKED_AT = /^(pc|cpsr|(SCTLR|TCR|TCR2|TTBR[01]|MAIR|HCR|VTCR|VTTBR|ID_AA64MMFR[0-3])_EL[123])$/;

type Look =
  | { readonly kind: "found"; readonly located: Located }
  | { readonly kind: "not-yet"; readonly why: string; readonly code?: "bad-boot-services" }
  /** The machine was reset: RAM still holds what the boot before left there. */
  | { readonly kind: "starting" }
  | { readonly kind: "left" };

/** Returns with the guest halted. */
export async function locateExitBootServices(target: Target, options: LocateOptions): Promise<Located> {
  const giveUpAt = Date.now() + options.findTimeoutMs;
  let told = "";
  let patience = 0;
  let wrongCrcs = 0;
  for (;;) {
    throwIfAborted(options.signal);
    const look = await lookOnce(target, wrongCrcs > CRC_PATIENCE);
    if (look.kind === "found") return look.located;
    patience = look.kind === "starting" ? RESET_PATIENCE : patience - 1;
    if (look.kind === "left" && patience < 0)
      throw new EbscopeError("already-exited", "Cannot see ExitBootServices: the guest has left boot services");
    if (look.kind === "not-yet" && look.why === WRONG_CRC) wrongCrcs++;
    const why = look.kind === "not-yet" ? look.why : "the machine was reset and its firmware starts";
    if (why !== told) options.onWaiting?.(why);
    told = why;
    if (Date.now() > giveUpAt) throw notFound(look, why, options.findTimeoutMs);
    options.beforeRunning?.();
    await runFor(target, POLL_MS, options.signal);
  }
}

function notFound(look: Look, why: string, timeoutMs: number): EbscopeError {
  const code = (look.kind === "not-yet" ? look.code : undefined) ?? "no-system-table";
  return new EbscopeError(code, `Cannot find ExitBootServices: after ${timeoutMs / 1000} s, ${why}`);
}

/** Lets the guest run for a while; it is halted again afterwards whatever happens. */
async function runFor(target: Target, milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await target.resume();
  const rested = new AbortController();
  const timer = delay(milliseconds, signal).then(
    () => rested.abort(),
    () => rested.abort(),
  );
  try {
    const stop = await target.waitForStop(rested.signal);
    if (stop.kind === "ended")
      throw new EbscopeError("guest-ended", `The guest ended before ExitBootServices: ${stop.why}`);
  } catch (error) {
    if (!rested.signal.aborted) throw error;
    const stop = await target.interrupt();
    if (stop?.kind === "ended")
      throw new EbscopeError("guest-ended", `The guest ended before ExitBootServices: ${stop.why}`);
  }
  await timer;
  if (signal?.aborted) throw abortError(signal);
}

async function lookOnce(target: Target, crcPatienceOver: boolean): Promise<Look> {
  const definitions = target.info.registers.filter(({ name }) => LOOKED_AT.test(name));
  const [rows, ranges] = await Promise.all([
    target.readRegisters(target.info.cpus, definitions),
    target.memoryRanges(),
  ]);
  const vcpus = rows.map((row) => registersOf(definitions, row));
  const search = await findSystemTable(target.memory, ranges);
  if (search.state === "none") {
    return runsKernel(vcpus) ? { kind: "left" } : { kind: "not-yet", why: "there is no UEFI system table in RAM" };
  }
  if (startsFromRom(vcpus, ranges)) return { kind: "starting" };
  if (search.state === "invalid") return { kind: "not-yet", why: search.why };
  return validate(target, vcpus, search.table, crcPatienceOver);
}

/** Firmware runs identity-mapped, low, and never at EL0; a kernel that has replaced it runs in the upper half (TTBR1). */
function runsKernel(vcpus: readonly Registers[]): boolean {
  return vcpus.some((registers) => bit(registers.get("pc") ?? 0n, 63) || currentExceptionLevel(registers) === 0);
}

/** After a reset the firmware runs from ROM until its DXE core, which writes the tables, runs from RAM. */
function startsFromRom(vcpus: readonly Registers[], ranges: readonly MemoryRange[]): boolean {
  const rom = ranges.filter(({ kind }) => kind === "rom");
  const inRom = (registers: Registers): boolean => {
    const pc = registers.get("pc");
    return pc !== undefined && rom.some((range) => rangeContains(range, phys(pc)));
  };
  return !runsKernel(vcpus) && vcpus.every(inRom);
}

async function validate(
  target: Target,
  vcpus: readonly Registers[],
  table: SystemTable,
  crcPatienceOver: boolean,
): Promise<Look> {
  const services = await readBootServices(target.memory, table);
  if (services.state === "left") return { kind: "left" };
  if (services.state === "invalid") return notTrusted(services.why);
  const address = services.exitBootServices;
  const notes: string[] = [];
  if (!services.crcValid) {
    if (!crcPatienceOver) return notTrusted(WRONG_CRC);
    notes.push("The CRC32 of the boot services table is wrong: somebody changed a service without updating it.");
  }
  const memory = new RecordingMemory(target.memory);
  const images = await readLoadedImages(memory, table);
  const image = imageAt(images, address);
  const doubt = await noCode(memory, vcpus, image, address);
  if (image === undefined || doubt !== undefined) {
    return notTrusted(`ExitBootServices points to ${hex(address)}, which ${doubt}`);
  }
  const where = imageOffsetText(image, address);
  if (image.name !== undefined && image.name !== DXE_CORE) {
    notes.push(`ExitBootServices points into ${where}, not into ${DXE_CORE}: it is hooked.`);
  }
  const map = await findGetMemoryMap(memory, vcpus, images, table);
  if (map.note !== undefined) notes.push(map.note);
  const roots = { systemTable: table.address, bootServices: table.bootServices, exitBootServices: address };
  const pages = new Set(memory.pages.keys());
  return { kind: "found", located: { roots, getMemoryMap: map.address, where, notes, pages } };
}

/** Why a breakpoint may not go to an address; undefined when it may. */
async function noCode(
  memory: RecordingMemory,
  vcpus: readonly Registers[],
  image: LoadedImage | undefined,
  address: bigint,
): Promise<string | undefined> {
  if (image === undefined) return "lies in no loaded image";
  return (await anyExecutes(memory, vcpus, address)) ? undefined : "is not executable";
}

/** Validated as ExitBootServices is; but a capture does without it. */
async function findGetMemoryMap(
  memory: RecordingMemory,
  vcpus: readonly Registers[],
  images: readonly LoadedImage[],
  { bootServices }: SystemTable,
): Promise<{ readonly address?: bigint; readonly note?: string }> {
  const place = bootServices + BigInt(serviceOffset("GetMemoryMap"));
  const address = (await readStructure(memory, place, 8))?.u64(0) ?? 0n;
  const odd = address % 4n === 0n ? undefined : "is no code address";
  const doubt = odd ?? (await noCode(memory, vcpus, imageAt(images, address), address));
  if (doubt === undefined) return { address };
  return { note: `GetMemoryMap points to ${hex(address)}, which ${doubt}: its calls are not watched.` };
}

function notTrusted(why: string): Look {
  return { kind: "not-yet", why, code: "bad-boot-services" };
}

/** Whether some vCPU's current regime maps the address executable. */
async function anyExecutes(memory: RecordingMemory, vcpus: readonly Registers[], address: bigint): Promise<boolean> {
  for (const registers of vcpus) {
    const regime = readRegime(currentRegimeName(registers), registers);
    await collectTables(memory, regime);
    const { result } = new Translator(regime, memory).translate(virt(address));
    if (result.mapped === true && result.attributes.execute !== false) return true;
  }
  return false;
}
