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

/** An image and what to add to its own addresses for those where a mapping shows it. */
interface Shown {
  readonly image: ImageDetails;
  readonly shift: bigint;
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
    const images = this.#touching(va, size, pa);
    const descriptors = this.#overlapping(pa, size);
    const ends = [
      ...cuts,
      ...images.flatMap(({ image, shift }) => edgesOf(image).map((edge) => edge + shift)),
      ...descriptors.flatMap((each) => [each.physicalStart, descriptorEnd(each)]).map((edge) => edge - pa + va),
      end,
    ];
    const cost = images.reduce((sum, { image }) => sum + 1 + image.sections.length, descriptors.length + 1);
    let start = va;
    for (const edge of [...new Set(ends)].sort((a, b) => (a < b ? -1 : 1))) {
      if (edge <= start || edge > end) continue;
      budget.spend(cost);
      const memoryType = this.#typeOf(descriptors, pa + (start - va));
      yield { va: start, size: edge - start, owners: ownersOf(images, start), memoryType };
      start = edge;
    }
  }

  #touching(va: bigint, size: bigint, pa: bigint): readonly Shown[] {
    return this.#images.flatMap((image) => {
      const start = image.found === "list" ? pa : va;
      const touches = (image.base & ~PAGE) < start + size && pageEnd(image.base + image.size) > start;
      return touches ? [{ image, shift: va - start }] : [];
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

/** Where pages of the image, and of its sections, begin and end. */
function edgesOf(image: ImageDetails): bigint[] {
  const sections = image.sections.map(({ offset, size }) => [image.base + BigInt(offset), BigInt(size)] as const);
  return [[image.base, image.size] as const, ...sections].flatMap(([base, size]) => [
    base & ~PAGE,
    pageEnd(base),
    (base + size) & ~PAGE,
    pageEnd(base + size),
  ]);
}

function pageEnd(address: bigint): bigint {
  return (address + PAGE) & ~PAGE;
}

function ownersOf(images: readonly Shown[], va: bigint): PageOwner[] {
  return images.flatMap(({ image, shift }): PageOwner[] => {
    const page = va - shift;
    if ((image.base & ~PAGE) > page || pageEnd(image.base + image.size) <= page) return [];
    const named = { image: imageLabel(image), runtime: image.runtime };
    const sections = image.sections.filter(({ offset, size }) => {
      const start = image.base + BigInt(offset);
      return size > 0 && start < page + PAGE + 1n && start + BigInt(size) > page;
    });
    if (sections.length === 0) return [{ ...named, section: null }];
    return sections.map(({ name: section }) => ({ ...named, section }));
  });
}
