/**
 * One of two captures that are compared across runs, with what was worked out of it. `Study` of diagnose is one; this room knows no more
 * of it than what stands here.
 */
import type { ImageDetails } from "../../efi/images.ts";
import type { MemoryDescriptor, MemoryMapRead } from "../../efi/memory-map.ts";
import type { EfiTables } from "../../efi/tables.ts";
import type { Capture } from "../../snapshot/model.ts";
import type { PointView } from "../point-view.ts";

/** What an address is called. */
export interface NamedPlace {
  /** `DxeCore+0x1234`; undefined when it lies in no image. */
  readonly image: string | undefined;
  readonly section: string | undefined;
  /** `CoreStall+0x10`, `gBS->Stall`, `the table gBS`. */
  readonly symbol: string | undefined;
  /** EFI_MEMORY_TYPE; null: the memory map does not have it; undefined: not known. */
  readonly memoryType: string | null | undefined;
}

export interface AcrossFinding {
  readonly rule: string;
  readonly severity: "error" | "warning" | "info";
  readonly title: string;
}

export interface AcrossMap {
  readonly point: string;
  readonly map: MemoryMapRead;
}

export interface AcrossSide {
  readonly capture: Capture;
  readonly images: readonly ImageDetails[];
  readonly names: { place(address: bigint, view?: PointView): NamedPlace };
  /** UEFI's tables by point id. */
  readonly tables: ReadonlyMap<string, EfiTables>;
  readonly memoryMap: AcrossMap | undefined;
  /** The memory attributes table at each point that has one. */
  readonly attributes: readonly AcrossMap[];
  readonly firmware: { readonly name: string } | undefined;
  readonly findings: readonly AcrossFinding[];
}

/** What belongs to either capture: `a` is the one named first. */
export interface Two<T> {
  readonly a: T;
  readonly b: T;
}

export function both<T, R>({ a, b }: Two<T>, of: (each: T) => R): Two<R> {
  return { a: of(a), b: of(b) };
}

/** The descriptors of a map that could be read; undefined for none. */
export function descriptorsIn(map: AcrossMap | undefined): readonly MemoryDescriptor[] | undefined {
  return map?.map.state === "read" ? map.map.descriptors : undefined;
}
