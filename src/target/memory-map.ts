/**
 * What lies where in the guest's physical address space, from QEMU's `info mtree -f`: the flat view that a vCPU sees. Only RAM
 * and ROM are ever read; a read from a device register can have side effects.
 */
import { phys } from "../base/address.ts";
import type { MemoryRange } from "../base/memory.ts";

const RANGE = /^\s+([0-9a-f]{1,16})-([0-9a-f]{1,16}) \(prio -?\d+, (\w+)(?: [\w ]+)?\): (.*)$/;

const KINDS: ReadonlyMap<string, MemoryRange["kind"]> = new Map([
  ["ram", "ram"],
  ["rom", "rom"],
  ["romd", "rom"],
]);

/** The RAM and ROM ranges of the first vCPU's address space, ascending; empty when the text holds no such view. */
export function parseMemoryTree(text: string): readonly MemoryRange[] {
  for (const view of text.split(/^FlatView #\d+\s*$/m)) {
    if (/^\s*AS "cpu-memory-\d+"/m.test(view)) return viewRanges(view);
  }
  return [];
}

function viewRanges(view: string): readonly MemoryRange[] {
  const ranges: MemoryRange[] = [];
  for (const line of view.split("\n")) {
    const match = RANGE.exec(line.replace(/\r$/, ""));
    const kind = KINDS.get(match?.[3] ?? "");
    if (match === null || kind === undefined) continue;
    const start = BigInt(`0x${match[1]}`);
    const size = BigInt(`0x${match[2]}`) - start + 1n;
    if (size > 0n) ranges.push({ start: phys(start), size, kind, name: (match[4] ?? "").slice(0, 80) });
  }
  return ranges.sort((a, b) => (a.start < b.start ? -1 : 1));
}
