/**
 * What lies where in the guest's physical address space, from QEMU's `info mtree -f`: the flat view that a vCPU sees. Only RAM
 * and ROM are ever read; a read from a device register can have side effects.
 *
 * A line is `  START-END (prio N, KIND): NAME`; ` @OFFSET` follows where the range begins inside its region, ` KVM` where the accelerator has
 * it mapped. A KIND is `ram`, `rom` or `romd` (flash in read mode), with `nv-` before it for an NVDIMM.
 */
import { type PhysAddr, phys, rangeContains } from "../base/address.ts";
import type { MemoryRange } from "../base/memory.ts";

const RANGE = /^\s+([0-9a-f]{1,16})-([0-9a-f]{1,16}) \(prio -?\d+, (?:nv-)?(\w+)(?: [\w ]+)?\): (.*)$/;
const REGION = /^(.*?)(?: @([0-9a-f]{16}))?(?: KVM)?$/;

const KINDS: ReadonlyMap<string, MemoryRange["kind"]> = new Map([
  ["ram", "ram"],
  ["rom", "rom"],
  ["romd", "rom"],
]);

/** A range and where in the region of that name it begins. */
export interface TreeRange extends MemoryRange {
  readonly regionOffset: bigint;
}

/** The RAM and ROM ranges of the first vCPU's address space, ascending; empty when the text holds no such view. */
export function parseMemoryTree(text: string): readonly TreeRange[] {
  for (const view of text.split(/^FlatView #\d+[ \t\r]*$/m)) {
    if (/^[ \t]*AS "cpu-memory-\d+"/m.test(view)) return viewRanges(view);
  }
  return [];
}

function viewRanges(view: string): readonly TreeRange[] {
  const ranges: TreeRange[] = [];
  for (const line of view.split("\n")) {
    const match = RANGE.exec(line.replace(/\r$/, ""));
    const kind = KINDS.get(match?.[3] ?? "");
    if (match === null || kind === undefined) continue;
    const start = BigInt(`0x${match[1]}`);
    const size = BigInt(`0x${match[2]}`) - start + 1n;
    const [, name = "", offset = "0"] = REGION.exec(match[4] ?? "") ?? [];
    const regionOffset = BigInt(`0x${offset}`);
    if (size > 0n) ranges.push({ start: phys(start), size, kind, name: name.slice(0, 80), regionOffset });
  }
  return ranges.sort((a, b) => (a.start < b.start ? -1 : 1));
}

/** The range that holds all of the bytes; `ranges` ascend and do not overlap. */
export function rangeOf<T extends MemoryRange>(ranges: readonly T[], address: PhysAddr, length: number): T | undefined {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as T).start <= address) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low - 1];
  return range !== undefined && rangeContains(range, address, length) ? range : undefined;
}
