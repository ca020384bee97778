/**
 * A capture as it is kept: what was read and how each read ended, never what it means. Decoding happens on the way out, so an old
 * capture gains from every decoder that is mended.
 */
import type { PhysAddr } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRange, MemoryRead, PageSource } from "../base/memory.ts";
import { type RegisterDefinition, type RegisterRead, type Registers, registersOf } from "../base/registers.ts";
import type { BlameRecord } from "./blame.ts";

/** An image that the firmware does not list, found by its header below an address where code runs. */
export interface FoundImage {
  /** The virtual address that its first byte would have as the rest of it is mapped; its header need not be mapped itself. */
  readonly base: bigint;
  readonly physical: bigint;
  /** In bytes, as its header says. */
  readonly size: bigint;
}

/**
 * `before`: at the entry of the ExitBootServices call that succeeded; `failed`: at the return of one that did not; `after`: at the
 * return of the one that did; `fault`: at an exception vector afterwards; `later`: no fault was seen in the time; `now`: any time.
 */
export const POINT_KINDS = ["before", "after", "failed", "fault", "later", "now"] as const;
export type PointKind = (typeof POINT_KINDS)[number];

export interface Point {
  /** Unique in the capture: its kind, or kind and number for earlier attempts (`before-1`, `failed-1`). */
  readonly id: string;
  readonly kind: PointKind;
  /** When it was taken, ISO 8601. */
  readonly time: string;
  /** Index of the vCPU that had stopped. */
  readonly cpu: number;
  /** A row a vCPU, in the order of `Capture.registers`. */
  readonly registers: readonly (readonly RegisterRead[])[];
  readonly memoryRanges: readonly MemoryRange[];
  /** How the read of each 4 KiB page ended that was asked for, by physical address. */
  readonly pages: ReadonlyMap<PhysAddr, MemoryRead>;
  /** Images beside the firmware's list whose headers stood there at this point; the headers are in `pages`. */
  readonly images: readonly FoundImage[];
  /** False when the guest or the stub was lost while this point was taken. */
  readonly complete: boolean;
}

/** The note of a capture that could not watch for faults after the call. */
export const FAULTS_NOT_WATCHED = "The stub does not offer the vector base register: faults are not watched for.";

/** One call of ExitBootServices. */
export interface ExitAttempt {
  readonly imageHandle: bigint;
  readonly mapKey: bigint;
  readonly returnAddress: bigint;
  /** EFI_STATUS; undefined when the call was not seen to return. */
  readonly status: bigint | undefined;
}

/** Where UEFI's tables were found before the exit. */
export interface EfiRoots {
  readonly systemTable: bigint;
  readonly bootServices: bigint;
  readonly exitBootServices: bigint;
}

/** The GetMemoryMap call that gave the map key which ExitBootServices was called with: what it had returned. */
export interface MemoryMapRecord {
  /** Where the caller had the map written. */
  readonly address: bigint;
  /** In bytes. */
  readonly size: bigint;
  /** In bytes. */
  readonly descriptorSize: bigint;
  readonly descriptorVersion: number;
  readonly mapKey: bigint;
  /** Where the call returned to. */
  readonly caller: bigint;
}

/** A symbol file that a capture was first shown with. */
export interface UsedSymbols {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** GNU build id, in hexadecimal digits; undefined when it has none. */
  readonly buildId: string | undefined;
  /** The image that it was used for; undefined when it fitted none. */
  readonly image: string | undefined;
}

export interface SymbolsRecord {
  /** The files and folders that were asked for. */
  readonly paths: readonly string[];
  readonly files: readonly UsedSymbols[];
}

export interface Partial {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface Capture {
  readonly createdAt: string;
  /** `ebscope 0.1.0` */
  readonly createdBy: string;
  readonly qemuVersion: string | undefined;
  readonly architecture: string;
  /** The stub's ids of the vCPUs, by index. */
  readonly threads: readonly string[];
  readonly registers: readonly RegisterDefinition[];
  readonly efi: EfiRoots | undefined;
  readonly attempts: readonly ExitAttempt[];
  /** Undefined when no GetMemoryMap was seen that gave the map key of the last call of ExitBootServices. */
  readonly memoryMap: MemoryMapRecord | undefined;
  readonly points: readonly Point[];
  /** Things worth knowing about how it was taken. */
  readonly notes: readonly string[];
  /** Where symbols came from; undefined when none were asked for. */
  readonly symbols: SymbolsRecord | undefined;
  /** What was seen to be written between its points; undefined when nobody watched. */
  readonly blame?: BlameRecord | undefined;
  /** Why the capture is not whole; undefined when it is. */
  readonly partial: Partial | undefined;
}

/** The registers of one vCPU at a point. */
export function pointRegisters(capture: Capture, point: Point, cpu: number = point.cpu): Registers {
  return registersOf(capture.registers, point.registers[cpu] ?? []);
}

/** The pages of a point, as a source for the walker. */
export function pointPages(point: Point): PageSource {
  return { page: (page) => point.pages.get(page) };
}
