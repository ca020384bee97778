/** Memory whose writes are asked for by name: `gBS+0xe8`, `gBS+0xe8,16`, `0x40000000,0x1000`, `0x40000000..0x40001000`. */
import { type VirtAddr, virt } from "../../base/address.ts";
import { EbscopeError } from "../../base/error.ts";
import type { PhysMemory } from "../../base/memory.ts";
import { printable } from "../../base/text.ts";
import { readStructure } from "../../efi/memory.ts";
import type { WatchedRange } from "../../snapshot/blame.ts";
import type { EfiRoots } from "../../snapshot/model.ts";

export const RANGE_BASES = ["gST", "gBS", "gRT"] as const;
export type RangeBase = (typeof RANGE_BASES)[number];

/** A range before it is known where UEFI's tables are. */
export interface RangeRequest {
  /** As it was asked for. */
  readonly name: string;
  /** What `offset` counts from; undefined: from 0. */
  readonly base: RangeBase | undefined;
  readonly offset: bigint;
  /** In bytes. */
  readonly length: number;
}

/** The most bytes that one range may have: what it holds is read at each write. */
export const MAX_RANGE = 1 << 20;
/** A pointer. */
const DEFAULT_LENGTH = 8n;
const NUMBER = "0x[0-9a-fA-F]{1,16}|[0-9]{1,19}";
const FORM = new RegExp(`^(?:(gST|gBS|gRT)(?:\\+(${NUMBER}))?|(${NUMBER}))(?:,(${NUMBER})|\\.\\.(${NUMBER}))?$`);

/** Raises `usage`. */
export function parseRange(text: string): RangeRequest {
  const [, base, plus, start, length, end] = FORM.exec(text.replaceAll(" ", "")) ?? [];
  const name = printable(text, 60);
  if (base === undefined && start === undefined) throw unusable(name, "it names no place");
  const offset = BigInt(plus ?? start ?? 0);
  if (end !== undefined && base !== undefined) throw unusable(name, "`..` goes between two addresses");
  const size = end !== undefined ? BigInt(end) - offset : BigInt(length ?? DEFAULT_LENGTH);
  if (size <= 0n) throw unusable(name, "it has no bytes");
  if (size > BigInt(MAX_RANGE)) throw unusable(name, `it has more than ${MAX_RANGE} bytes`);
  if (offset >> 64n !== 0n || (base === undefined && (offset + size - 1n) >> 64n !== 0n)) {
    throw unusable(name, "it lies beyond the last address");
  }
  return { name, base: base as RangeBase | undefined, offset, length: Number(size) };
}

function unusable(name: string, why: string): EbscopeError {
  return new EbscopeError("usage", `Cannot watch writes to ${JSON.stringify(name)}: ${why}`, {
    next: "Give gST, gBS or gRT with an offset (gBS+0xe8), or an address; then, if it is not 8 bytes, a length or an end: gBS+0xe8,16 or 0x40000000..0x40001000.",
  });
}

const RUNTIME_SERVICES = 0x58n;

/** Where a range lies; `roots`: where UEFI's tables are, undefined where there are none. Raises `usage` when the table that it counts from is not there. Source: UEFI 2.10, 4.3.1, EFI_SYSTEM_TABLE. */
export async function placeRange(
  { name, base, offset, length }: RangeRequest,
  roots: EfiRoots | undefined,
  memory: PhysMemory,
): Promise<WatchedRange> {
  const from = base === undefined ? 0n : await tableAddress(base, roots, memory);
  if (from === undefined) throw unusable(name, `${base} could not be read`);
  if ((from + offset + BigInt(length) - 1n) >> 64n !== 0n) throw unusable(name, "it lies beyond the last address");
  return { name, address: virt(from + offset), length };
}

async function tableAddress(
  base: RangeBase,
  roots: EfiRoots | undefined,
  memory: PhysMemory,
): Promise<bigint | undefined> {
  if (roots === undefined) return undefined;
  if (base === "gST") return roots.systemTable;
  if (base === "gBS") return roots.bootServices;
  const pointer = await readStructure(memory, roots.systemTable + RUNTIME_SERVICES, 8);
  return pointer?.u64(0);
}

/** The address of a doubleword's first byte, and whether a range has any byte of it. */
export function touches({ address, length }: WatchedRange, doubleword: VirtAddr): boolean {
  return doubleword + 8n > address && doubleword < address + BigInt(length);
}
