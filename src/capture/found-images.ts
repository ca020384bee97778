/**
 * Images that the firmware does not list, at the places where a vCPU executes, has its vectors, and was called from: an OS loader that left
 * its list, a kernel, the firmware's own first phases.
 *
 * Assumed: an image lies in one piece of physical memory, as UEFI loads it and kernels map themselves. It is looked for in physical memory,
 * downwards from the page that the code is on, and its virtual base is reckoned from there. Pages all over the image are held against that:
 * where more than a fifth of those that are mapped lead elsewhere, it is not one piece, or the header is another's. Not each page, as
 * kernels do not keep all: Linux does not map its own header, and gives the address away.
 */
import { contextOf } from "../aarch64/context.ts";
import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { Translator } from "../aarch64/translate.ts";
import { type PhysAddr, type VirtAddr, virt } from "../base/address.ts";
import type { PageSource, PhysMemory } from "../base/memory.ts";
import { codeRegime } from "../code/index.ts";
import { findImageAt } from "../efi/find-image.ts";
import { type ImageExtent, readImageHeaders } from "../efi/image-headers.ts";
import type { FoundImage } from "../snapshot/model.ts";
import type { LiveCpu } from "./call-chain.ts";

/** Places of a point that are looked at, and searches; a search may look at thousands of places in memory. */
const MAX_PLACES = 8;
const MAX_SEARCHES = 4;
/** Pages of an image whose place is looked at. */
const MAX_PAGES = 32;

export interface ImageLook {
  /** The vCPU that the point is about. */
  readonly cpu: LiveCpu;
  /** The point's tables. */
  readonly tables: PageSource;
  /** Where headers are read for the point: they become part of it. */
  readonly record: PhysMemory;
  /** Images that the firmware lists. */
  readonly listed: readonly ImageExtent[];
  /** Found at points before. */
  readonly known: readonly FoundImage[];
}

/** Those of the known images whose headers still stand there and that a live regime maps there. No round trip where the point before had their headers too. */
export async function standingImages({ cpu, tables, record, known }: ImageLook): Promise<FoundImage[]> {
  if (known.length === 0) return [];
  const headers = await readImageHeaders(
    record,
    known.map(({ physical, size }) => ({ base: physical, size })),
  );
  const translators = cpu.regimes.map((regime) => new Translator(regime, tables));
  return known.filter((image, i) => {
    const stands = headers[i] !== undefined && BigInt(headers[i].size) === image.size;
    return stands && translators.some((translator) => isOnePiece(translator, image));
  });
}

/**
 * Looks for the images around `calls` (the call chain's places) and where the registers say that code is, where neither the firmware's
 * list nor `standing` has one. `memory` is the guest's: what a search reads is no part of the point, the headers that it finds are.
 */
export async function searchImages(
  memory: PhysMemory,
  look: ImageLook,
  calls: readonly VirtAddr[],
  standing: readonly FoundImage[],
): Promise<FoundImage[]> {
  const found: FoundImage[] = [];
  let searches = 0;
  for (const { address, translator } of places(look, calls)) {
    if (covers(look.listed, address) || covers([...standing, ...found], address)) continue;
    const { result } = translator.translate(address);
    if (result.mapped !== true) continue;
    if (searches++ === MAX_SEARCHES) break;
    const image = await imageAround(memory, address, result.pa);
    if (image !== undefined && isOnePiece(translator, image)) found.push(image);
  }
  await readImageHeaders(
    look.record,
    found.map(({ physical, size }) => ({ base: physical, size })),
  );
  return found;
}

interface Place {
  readonly address: VirtAddr;
  readonly translator: Translator;
}

/**
 * The pc, where the exception was taken, the vectors, the calls. Nothing of EL0 but the vectors above it: processes lie in pages from anywhere.
 */
function places({ cpu, tables }: ImageLook, calls: readonly VirtAddr[]): Place[] {
  const { registers, regimes } = cpu;
  const [current] = regimes;
  const level = currentExceptionLevel(registers);
  if (current === undefined || level === undefined) return [];
  const here = new Translator(current, tables);
  const codes = codeRegime(registers, regimes);
  const there = codes === undefined || contextOf(registers)?.level === 0 ? undefined : new Translator(codes, tables);
  const at = (name: string, translator: Translator | undefined): (Place | undefined)[] => {
    const value = registers.get(name);
    return [value === undefined || translator === undefined ? undefined : { address: virt(value), translator }];
  };
  const all = [
    ...at("pc", level === 0 ? undefined : here),
    ...at(`ELR_EL${level}`, there),
    ...at(`VBAR_EL${level === 0 ? 1 : level}`, here),
    ...calls.map((address) => there && { address, translator: there }),
  ].filter((place) => place !== undefined);
  return [...new Map(all.map((place) => [place.address, place])).values()].slice(0, MAX_PLACES);
}

function covers(extents: readonly ImageExtent[], address: bigint): boolean {
  return extents.some(({ base, size }) => address >= base && address < base + size);
}

async function imageAround(memory: PhysMemory, address: VirtAddr, physical: PhysAddr): Promise<FoundImage | undefined> {
  const search = await findImageAt(memory, physical);
  if (search.state !== "found") return undefined;
  const { base, size } = search.image;
  const offset = physical - base;
  return offset > address ? undefined : { base: address - offset, physical: base, size };
}

/** Whether an image is mapped where its base says, as far as some pages of it tell. */
function isOnePiece(translator: Translator, { base, physical, size }: FoundImage): boolean {
  const step = ((size / BigInt(MAX_PAGES)) & ~0xfffn) + 0x1000n;
  let [inPlace, elsewhere] = [0, 0];
  for (let offset = 0n; offset < size; offset += step) {
    const { result } = translator.translate(virt(base + offset));
    if (result.mapped !== true) continue;
    if (result.pa === physical + offset) inPlace++;
    else elsewhere++;
  }
  return inPlace > 0 && elsewhere * 4 <= inPlace;
}
