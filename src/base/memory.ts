/**
 * The ports through which everything above sees a machine: physical and virtual memory (registers: see
 * registers.ts). A live guest, a capture file and a table built in a test all stand behind them.
 *
 * A read has three answers, never two. `absent`: there is no memory at the address, and we know that. `unreadable`: there
 * may be, but it could not be read, and `code` (of the error registry) says why. Neither is ever zero bytes.
 */
import type { PhysAddr, PhysRange, VirtAddr } from "./address.ts";
import type { ErrorCode } from "./error.ts";

export type MemoryRead =
  | { readonly state: "present"; readonly bytes: Uint8Array }
  | { readonly state: "absent"; readonly code: ErrorCode }
  | { readonly state: "unreadable"; readonly code: ErrorCode };

export type MissingRead = Exclude<MemoryRead, { state: "present" }>;

export interface PhysSpan {
  readonly address: PhysAddr;
  /** In bytes, at least 1. */
  readonly length: number;
}

/** Physical memory that answers many reads as one batch: a live guest, or pages in a file. */
export interface PhysMemory {
  /** One answer a span, in the order of the spans. Rejects only when the machine itself is lost. */
  read(spans: readonly PhysSpan[]): Promise<MemoryRead[]>;
}

/** Pages of 4 KiB that are at hand already, by physical address. */
export interface PageSource {
  /** The answer for the page at `page` (4 KiB aligned); undefined when nobody ever asked for it. */
  page(page: PhysAddr): MemoryRead | undefined;
}

export interface VirtSpan {
  readonly address: VirtAddr;
  readonly length: number;
}

/** Memory by virtual address, as the code running there would see it, less permissions. */
export interface VirtMemory {
  read(spans: readonly VirtSpan[]): Promise<MemoryRead[]>;
}

/** Kinds of memory in which reading has no side effects. */
export interface MemoryRange extends PhysRange {
  readonly kind: "ram" | "rom";
  readonly name: string;
}
