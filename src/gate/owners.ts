/**
 * Whose memory is mapped: by the images' sections, and by the memory map that ExitBootServices was called with.
 *
 * A page belongs to every image and section that it has a byte of. Images of the firmware's list lie at physical addresses (UEFI 2.10,
 * 2.3.6), so what is mapped is theirs wherever it is mapped; after the exit only under the tables that were in force before it, since an OS with its
 * own may have put anything there. Runtime images stay (7.2.1). Images that were found by their headers lie at virtual addresses.
 */

import type { RegimeName } from "../aarch64/regime-model.ts";
import { sameTables } from "../diagnose/rules/look.ts";
import type { Study } from "../diagnose/study.ts";
import { imageLabel } from "../diff/owners.ts";
import { PointView } from "../diff/point-view.ts";
import type { ImageDetails } from "../efi/images.ts";
import { descriptorEnd, type MemoryDescriptor } from "../efi/memory-map.ts";
import type { Budget } from "./budget.ts";

const PAGE = 0xfffn;

/** What it costs to make and sort one extent, in comparisons. */
const SORTING = 128;
/** What it costs to look at one that may be there. */
const LOOKING = 64;

export interface PageOwner {
  readonly image: string;
  /** null: no section, only headers or what lies between sections. */
  readonly section: string | null;
  readonly runtime: boolean;
}

/** Pages of one kind of owner and one memory type. */
export interface Span {
  readonly va: bigint;
  readonly size: bigint;
  readonly owners: readonly PageOwner[];
  /** EFI_MEMORY_TYPE; null for what is not in the map, undefined where the capture has no map. */
  readonly memoryType: string | null | undefined;
}

/** Whole pages of an image, or of one of its sections, at the addresses where a mapping shows them; `end` is not included. */
interface Extent {
  readonly start: bigint;
  readonly end: bigint;
  readonly image: ImageDetails;
  /** Undefined for the image as a whole. */
  readonly section: string | undefined;
}

export class Owners {
  readonly #images: readonly ImageDetails[];
  readonly #descriptors: readonly MemoryDescriptor[] | undefined;

  constructor(study: Study, view: PointView, regime: RegimeName) {
    const { memoryMap } = study;
    const kept = hasFirmwareTables(study, view, regime);
    this.#images = regime === "stage2" ? [] : study.images.filter((image) => isThere(image, view, kept));
    this.#descriptors = memoryMap?.map.state === "read" ? memoryMap.map.descriptors : undefined;
  }

  get images(): readonly ImageDetails[] {
    return this.#images;
  }

  /** Whether the capture has a memory map to tell types by. */
  get knowsTypes(): boolean {
    return this.#descriptors !== undefined;
  }

  /** Mapped pages from `va` on, which lead to `pa` and what follows, in parts of one owner and type each; `cuts`: addresses to part at, too. */
  *spans(va: bigint, size: bigint, pa: bigint, cuts: readonly bigint[], budget: Budget): Generator<Span> {
    const end = va + size;
    budget.spend(this.#images.length + (this.#descriptors?.length ?? 0));
    const extents = this.#touching(va, size, pa);
    const descriptors = this.#overlapping(pa, size);
    const inside = cuts.filter((cut) => cut > va && cut < end);
    budget.spend((extents.length + descriptors.length + inside.length) * SORTING + cuts.length);
    const ends = [
      ...inside,
      ...extents.flatMap((each) => [each.start, each.end]),
      ...descriptors.flatMap((each) => [each.physicalStart, descriptorEnd(each)]).map((edge) => edge - pa + va),
      end,
    ];
    const active = new Active(extents, budget);
    let start = va;
    for (const edge of [...new Set(ends)].sort(ascending)) {
      if (edge <= start || edge > end) continue;
      budget.spend(descriptors.length);
      const memoryType = this.#typeOf(descriptors, pa + (start - va));
      yield { va: start, size: edge - start, owners: active.ownersAt(start), memoryType };
      start = edge;
    }
  }

  #touching(va: bigint, size: bigint, pa: bigint): readonly Extent[] {
    return this.#images.flatMap((image) => {
      const start = image.found === "list" ? pa : va;
      const touches = (image.base & ~PAGE) < start + size && pageEnd(image.base + image.size) > start;
      return touches ? extentsOf(image, va - start) : [];
    });
  }

  #overlapping(pa: bigint, size: bigint): readonly MemoryDescriptor[] {
    return (this.#descriptors ?? []).filter((each) => each.physicalStart < pa + size && descriptorEnd(each) > pa);
  }

  #typeOf(descriptors: readonly MemoryDescriptor[], pa: bigint): string | null | undefined {
    if (this.#descriptors === undefined) return undefined;
    return descriptors.find((each) => each.physicalStart <= pa && descriptorEnd(each) > pa)?.typeName ?? null;
  }
}

function hasFirmwareTables(study: Study, view: PointView, regime: RegimeName): boolean {
  const [first] = study.capture.points;
  return first === undefined || sameTables(view, new PointView(study.capture, first, view.cpu), regime);
}

function isThere(image: ImageDetails, { point }: PointView, kept: boolean): boolean {
  if (image.found === "header")
    return point.images.some(({ base, size }) => base === image.base && size === image.size);
  return image.runtime || kept;
}

/** `shift`: what to add to the image's own addresses. */
function extentsOf(image: ImageDetails, shift: bigint): Extent[] {
  const own = { start: image.base & ~PAGE, end: pageEnd(image.base + image.size), image, section: undefined };
  const sections = image.sections
    .filter(({ size }) => size > 0)
    .map(({ name, offset, size }): Extent => {
      const start = image.base + BigInt(offset);
      const end = pageEnd(start + BigInt(size));
      return { start: start & ~PAGE, end: smaller(end, own.end), image, section: name };
    });
  return [own, ...sections].map((each) => ({ ...each, start: each.start + shift, end: each.end + shift }));
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function pageEnd(address: bigint): bigint {
  return (address + PAGE) & ~PAGE;
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}

/** The extents at ascending addresses. */
class Active {
  readonly #waiting: readonly Extent[];
  readonly #budget: Budget;
  #next = 0;
  #here: Extent[] = [];

  constructor(extents: readonly Extent[], budget: Budget) {
    this.#waiting = extents.toSorted((a, b) => ascending(a.start, b.start));
    this.#budget = budget;
  }

  ownersAt(address: bigint): PageOwner[] {
    for (let each = this.#waiting[this.#next]; each !== undefined && each.start <= address; ) {
      this.#here.push(each);
      each = this.#waiting[++this.#next];
    }
    this.#budget.spend(LOOKING * this.#here.length + 1);
    this.#here = this.#here.filter(({ end }) => end > address);
    const sectioned = new Set(this.#here.flatMap(({ image, section }) => (section === undefined ? [] : [image])));
    return this.#here.flatMap(({ image, section }) => {
      if (section === undefined && sectioned.has(image)) return [];
      return [{ image: imageLabel(image), section: section ?? null, runtime: image.runtime }];
    });
  }
}
