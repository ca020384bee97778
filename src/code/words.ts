/** Instruction words out of virtual memory: around an address, page by page, and what could not be read. */
import { type VirtAddr, virt } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, VirtMemory, VirtSpan } from "../base/memory.ts";
import type { CodeWord } from "./operation.ts";

export interface CodeGap {
  readonly address: VirtAddr;
  /** In bytes. */
  readonly length: number;
  readonly state: "absent" | "unreadable";
  readonly code: ErrorCode;
}

export interface CodeRange {
  readonly words: readonly CodeWord[];
  /** Apart from `words`, in ascending order; next to each other with the same reason they are one. */
  readonly gaps: readonly CodeGap[];
}

/** The most words that are read at once, on either side. */
export const MAX_AROUND = 1024;
const TOP = 1n << 64n;

/** `before` words before the one at `address` and `after` behind it, as far as the address space reaches. Instructions are aligned: so is `address` here. */
export async function wordsAround(
  memory: VirtMemory,
  address: VirtAddr,
  { before, after }: { readonly before: number; readonly after: number },
): Promise<CodeRange> {
  const centre = address & ~3n;
  const start = maximum(0n, centre - BigInt(bounded(before) * 4));
  const end = minimum(TOP, centre + BigInt(bounded(after) * 4 + 4));
  const spans = pagesOf(start, end);
  const reads = await memory.read(spans);
  const words: CodeWord[] = [];
  const gaps: CodeGap[] = [];
  for (const [i, span] of spans.entries()) {
    const read = reads[i] ?? ({ state: "unreadable", code: "read-failed" } as const);
    if (read.state === "present") words.push(...wordsOf(span.address, read));
    else addGap(gaps, { ...span, ...read });
  }
  return { words, gaps };
}

function bounded(count: number): number {
  return Math.min(Math.max(Math.trunc(count) || 0, 0), MAX_AROUND);
}

function maximum(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function minimum(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function pagesOf(start: bigint, end: bigint): VirtSpan[] {
  const spans: VirtSpan[] = [];
  for (let at = start; at < end; ) {
    const next = minimum(end, (at & ~0xfffn) + 0x1000n);
    spans.push({ address: virt(at), length: Number(next - at) });
    at = next;
  }
  return spans;
}

function addGap(gaps: CodeGap[], gap: CodeGap): void {
  const last = gaps.at(-1);
  const joins =
    last?.code === gap.code && last.state === gap.state && last.address + BigInt(last.length) === gap.address;
  if (last !== undefined && joins) gaps[gaps.length - 1] = { ...last, length: last.length + gap.length };
  else gaps.push(gap);
}

/** Whole little-endian words; instructions are little-endian whatever the data is (Arm ARM B2.6.2). */
export function wordsOf(address: VirtAddr, { bytes }: MemoryRead & { state: "present" }): CodeWord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length >> 2 }, (_, i) => ({
    address: virt(address + BigInt(i * 4)),
    word: view.getUint32(i * 4, true),
  }));
}
