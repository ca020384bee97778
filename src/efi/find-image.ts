/**
 * Images that the firmware does not list: an OS loader's, a kernel that moved itself, the modules of SEC and PEI in flash. They are found
 * from an address where code runs, downwards, by the header in front of them.
 *
 * PE images begin on a page boundary (UEFI 2.10, 2.1.1: loaded on 4 KiB pages), kernels on a 64 KiB boundary at least (Linux,
 * booting.rst), and the header of a TE image stands inside a page (te.ts). The nearest header whose image reaches to the address is
 * taken: one in front of it may be embedded in another image's data. Guest data: at most 64 KiB is read, everything counted.
 */
import type { PhysMemory } from "../base/memory.ts";
import type { Structure } from "./bytes.ts";
import { type ImageExtent, readImageHeaders } from "./image-headers.ts";
import { type ImageDetails, identify } from "./images.ts";
import { readStructure, readStructures } from "./memory.ts";
import { DOS_HEADER_SIZE, MACHINE_AARCH64, parsePeHeader, peHeaderOffset, SHORT_PE_HEADER_SIZE } from "./pe.ts";
import { findTeHeader } from "./te.ts";

export type ImageSearch =
  | { readonly state: "found"; readonly image: ImageDetails }
  /** All that was to be looked at could be read: there is no image with a header within the bounds. */
  | { readonly state: "none" }
  | { readonly state: "unknown"; readonly why: string };

const PAGE = 4096n;
/** Pages that are read whole, for TE headers: 32 KiB. */
const WHOLE_PAGES = 8;
/** Every page of 16 MiB is looked at for `MZ`, then each 64 KiB boundary of 64 MiB: 2 bytes each, 10 KiB. */
const NEAR_PAGES = 4096;
const FAR_STEP = 0x1_0000n;
const FAR = 64n << 20n;
/** Places looked at in one batch. */
const BATCH = 512;
/** Headers with `MZ` that are looked into, 1 KiB each. */
const MAX_CANDIDATES = 8;
const MZ = 0x5a4d;

/** Looks for the image around an address, which is a physical one. */
export async function findImageAt(memory: PhysMemory, address: bigint): Promise<ImageSearch> {
  const search = new Search(memory, address);
  const extent = (await search.nearby()) ?? (await search.below());
  if (extent === undefined) return search.failure();
  const [image] = await readFoundImages(memory, [{ ...extent, physical: extent.base }]);
  return image === undefined
    ? { state: "unknown", why: "the header of the image could not be read" }
    : { state: "found", image };
}

/** Where an image was found: `base` is the address that it is known by, `physical` the one that it is read at. */
export interface FoundExtent extends ImageExtent {
  readonly physical: bigint;
}

/** What the headers of images say that were found before; those whose header cannot be read (any more) are left out. */
export async function readFoundImages(
  memory: PhysMemory,
  extents: readonly FoundExtent[],
): Promise<readonly ImageDetails[]> {
  const headers = await readImageHeaders(
    memory,
    extents.map(({ physical, size }) => ({ base: physical, size })),
  );
  return extents.flatMap(({ base, size }, i): ImageDetails[] => {
    const header = headers[i];
    if (header === undefined) return [];
    const types = { codeType: "unknown", dataType: "unknown", runtime: header.imageType === "EFI runtime driver" };
    return [{ base, size, ...types, found: "header", fileGuid: undefined, ...identify(header, undefined) }];
  });
}

class Search {
  readonly #memory: PhysMemory;
  readonly #address: bigint;
  readonly #page: bigint;
  #candidates = 0;
  #unread = 0;

  constructor(memory: PhysMemory, address: bigint) {
    this.#memory = memory;
    this.#address = address;
    this.#page = address & ~(PAGE - 1n);
  }

  failure(): ImageSearch {
    if (this.#candidates >= MAX_CANDIDATES) {
      return {
        state: "unknown",
        why: `none of the ${MAX_CANDIDATES} nearest things that begin like an image reaches to it`,
      };
    }
    if (this.#unread > 0) return { state: "unknown", why: `${this.#unread} places below it could not be read` };
    return { state: "none" };
  }

  /** The nearest pages, for headers of both kinds. */
  async nearby(): Promise<ImageExtent | undefined> {
    const places = this.#placesDown(this.#page, WHOLE_PAGES, PAGE);
    const pages = await this.#read(places, Number(PAGE));
    for (const [i, page] of pages.entries()) {
      if (page === undefined) continue;
      const base = places[i] as bigint;
      const found = this.#terse(base, page) ?? (page.u16(0) === MZ ? await this.#portable(base) : undefined);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Everything further down, for PE headers. */
  async below(): Promise<ImageExtent | undefined> {
    const near = this.#placesDown(this.#page - BigInt(WHOLE_PAGES) * PAGE, NEAR_PAGES - WHOLE_PAGES, PAGE);
    const bottom = this.#page - BigInt(NEAR_PAGES) * PAGE;
    const far = this.#placesDown(
      bottom & ~(FAR_STEP - 1n),
      Number((FAR - PAGE * BigInt(NEAR_PAGES)) / FAR_STEP),
      FAR_STEP,
    );
    const places = [...near, ...far];
    for (let i = 0; i < places.length; i += BATCH) {
      const found = await this.#firstOf(places.slice(i, i + BATCH));
      if (found !== undefined || this.#candidates >= MAX_CANDIDATES) return found;
    }
    return undefined;
  }

  #placesDown(from: bigint, count: number, step: bigint): bigint[] {
    if (from < 0n) return [];
    const length = Math.min(count, Number(from / step) + 1);
    return Array.from({ length }, (_, i) => from - BigInt(i) * step);
  }

  async #read(places: readonly bigint[], length: number): Promise<(Structure | undefined)[]> {
    const reads = await readStructures(
      this.#memory,
      places.map((address) => ({ address, length })),
    );
    this.#unread += reads.filter((read) => read === undefined).length;
    return reads;
  }

  async #firstOf(places: readonly bigint[]): Promise<ImageExtent | undefined> {
    const starts = await this.#read(places, 2);
    for (const [i, start] of starts.entries()) {
      const found = start?.u16(0) === MZ ? await this.#portable(places[i] as bigint) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #terse(base: bigint, page: Structure): ImageExtent | undefined {
    const header = findTeHeader(page);
    return header === undefined ? undefined : this.#reaching(base, header.sizeOfImage);
  }

  async #portable(base: bigint): Promise<ImageExtent | undefined> {
    if (this.#candidates++ >= MAX_CANDIDATES) return undefined;
    const dos = await readStructure(this.#memory, base, DOS_HEADER_SIZE);
    const offset = dos === undefined ? undefined : peHeaderOffset(dos);
    if (offset === undefined) return undefined;
    const bytes = await readStructure(this.#memory, base + BigInt(offset), SHORT_PE_HEADER_SIZE);
    const header = bytes === undefined ? undefined : parsePeHeader(bytes);
    const sound = header?.machine === MACHINE_AARCH64 && header.sections.length > 0 && offset < header.sizeOfImage;
    return sound ? this.#reaching(base, header.sizeOfImage) : undefined;
  }

  #reaching(base: bigint, size: number): ImageExtent | undefined {
    return this.#address < base + BigInt(size) ? { base, size: BigInt(size) } : undefined;
  }
}
