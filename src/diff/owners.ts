/** Whose memory a range is, and whether its change is what ExitBootServices is known to do. */
import type { Attributes } from "../aarch64/attributes.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import type { LoadedImage } from "../efi/images.ts";
import { sectionAt } from "../efi/images.ts";
import type { MappingChange } from "./mappings.ts";

/** The image and section a range lies in. `section` is null when the range covers several, or only headers. */
export interface Owner {
  readonly image: string;
  readonly section: string | null;
}

export interface Expected {
  readonly rule: string;
  readonly why: string;
}

/** The images that a range touches, and what of it lies in none. */
export interface Ownership {
  readonly images: readonly LoadedImage[];
  /** Whether every page of the range belongs to one of `images`. */
  readonly covered: boolean;
}

/** The images that a regime's addresses can be held against: none in stage 2, whose input is no virtual address. */
export function imagesIn(regime: RegimeName, images: readonly LoadedImage[]): readonly LoadedImage[] {
  return regime === "stage2" ? [] : images;
}

export function ownership(images: readonly LoadedImage[], va: bigint, size: bigint): Ownership {
  const end = va + size;
  const touching = images.filter((image) => image.base < end && image.base + image.size > va);
  let at = va;
  for (const image of touching) {
    if (image.base > at) break;
    at = maximum(at, pageEnd(image.base + image.size));
  }
  return { images: touching, covered: touching.length > 0 && at >= end };
}

function pageEnd(address: bigint): bigint {
  return (address + 0xfffn) & ~0xfffn;
}

function maximum(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** The single owner of a range; null when it has none or several. */
export function ownerOf(images: readonly LoadedImage[], va: bigint, size: bigint): Owner | null {
  const owned = ownership(images, va, size);
  const [image] = owned.images;
  if (image === undefined || owned.images.length > 1 || !owned.covered) return null;
  return { image: imageLabel(image), section: sectionOf(image, va, size) };
}

export function imageLabel(image: LoadedImage): string {
  return image.name ?? `image@0x${image.base.toString(16)}`;
}

function sectionOf(image: LoadedImage, va: bigint, size: bigint): string | null {
  const first = sectionAt(image, va);
  const end = image.base + BigInt((first?.offset ?? 0) + (first?.size ?? 0));
  return first !== undefined && va + size <= pageEnd(end) ? first.name : null;
}

/** Whether only privileged write and execute, and execute at EL0, may differ. */
function sameButForExecution(before: Attributes, after: Attributes): boolean {
  return (
    before.memory === after.memory &&
    before.fetch === after.fetch &&
    before.shareability === after.shareability &&
    before.accessFlag === after.accessFlag &&
    before.global === after.global &&
    before.el0?.read === after.el0?.read &&
    before.el0?.write === after.el0?.write
  );
}

/**
 * Why a change is the known effect of ExitBootServices; null when it is not known to be one. edk2's CPU driver takes the
 * protection off runtime images on ExitBootServices, since SetVirtualAddressMap will relocate them (DxeCore,
 * MemoryProtectionExitBootServicesCallback): all their pages become readable, writable and executable.
 */
export function expectedChange(change: MappingChange, images: readonly LoadedImage[]): Expected | null {
  const { before, after } = change;
  if (change.kind !== "changed" || before === null || after === null) return null;
  const access = after.attributes;
  if (!access.read || !access.write || !access.execute) return null;
  if (!sameButForExecution(before.attributes, access)) return null;
  const owned = ownership(images, change.va, change.size);
  if (!owned.covered || owned.images.some((image) => !image.runtime)) return null;
  return {
    rule: "runtime-image-unprotected",
    why: "the firmware makes runtime images writable and executable, as SetVirtualAddressMap will relocate them",
  };
}
