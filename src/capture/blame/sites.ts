/** The instructions in images that write the System registers which decide how a machine translates and what it may do. */

import { type Regime, regimeKey } from "../../aarch64/regime-model.ts";
import { isControlRegister } from "../../aarch64/registers/control-writes.ts";
import { isMaintenance } from "../../aarch64/registers/maintenance.ts";
import { mapRegime } from "../../aarch64/walk.ts";
import { PAGE_SIZE, phys, type VirtAddr, virt } from "../../base/address.ts";
import type { PageSource, PhysMemory } from "../../base/memory.ts";
import { findSystemWrites, type SystemWord } from "../../code/system-words.ts";
import type { WatchedSite } from "../../snapshot/blame.ts";

/** Where code may be: virtual addresses. */
export interface CodeExtent {
  readonly base: bigint;
  /** In bytes. */
  readonly size: bigint;
}

export interface SitesFound {
  readonly sites: readonly WatchedSite[];
  /** Pages that were looked at, and that could not be. */
  readonly pages: number;
  readonly unread: number;
  /** Whether there is more than is looked at. */
  readonly cut: boolean;
}

/** Most pages that are looked at (256 MiB), and most instructions that a breakpoint is put at. */
const MAX_PAGES = 65_536;
const MAX_SITES = 4_096;
const PAGES_AT_ONCE = 4_096;
const PAGE = BigInt(PAGE_SIZE);

/** Looks through what a regime lets execute of some images. `maintenance`: for TLBI, DC and IC too. */
export async function findSites(
  memory: PhysMemory,
  regimes: readonly Regime[],
  tables: PageSource,
  extents: readonly CodeExtent[],
  maintenance: boolean,
): Promise<SitesFound> {
  const pages = executablePages(regimes, tables, extents);
  const sites = new Map<VirtAddr, WatchedSite>();
  const wanted = ({ kind, encoding }: SystemWord): boolean =>
    kind === "msr" ? isControlRegister(encoding) : maintenance && kind === "sys" && isMaintenance(encoding);
  let unread = 0;
  for (let at = 0; at < pages.length; at += PAGES_AT_ONCE) {
    const batch = pages.slice(at, at + PAGES_AT_ONCE);
    const reads = await memory.read(batch.map(({ physical }) => ({ address: physical, length: PAGE_SIZE })));
    for (const [i, { virtual }] of batch.entries()) {
      const read = reads[i];
      if (read?.state !== "present") {
        unread++;
        continue;
      }
      const words = wordsOf(read.bytes);
      for (const index of findSystemWrites(words, wanted)) {
        const address = virt(virtual + BigInt(4 * index));
        if (sites.size < MAX_SITES) sites.set(address, { address, word: words[index] as number });
      }
    }
  }
  return {
    sites: [...sites.values()],
    pages: pages.length,
    unread,
    cut: pages.length >= MAX_PAGES || sites.size >= MAX_SITES,
  };
}

interface CodePage {
  readonly virtual: VirtAddr;
  readonly physical: ReturnType<typeof phys>;
}

function executablePages(
  regimes: readonly Regime[],
  tables: PageSource,
  extents: readonly CodeExtent[],
): readonly CodePage[] {
  const found = new Map<bigint, CodePage>();
  const code = joined(extents);
  for (const regime of new Map(regimes.map((each) => [regimeKey(each), each])).values()) {
    if (regime.name === "stage2") continue;
    for (const { start, pages, output, attributes } of mapRegime(regime, tables).runs) {
      if (attributes.execute === false) continue;
      const [first, end] = [BigInt(start) << 12n, BigInt(start + pages) << 12n];
      for (const { base, size } of code) {
        const from = base > first ? base & ~(PAGE - 1n) : first;
        const to = base + size < end ? base + size : end;
        for (let at = from; at < to && found.size < MAX_PAGES; at += PAGE) {
          found.set(at, { virtual: virt(at), physical: phys((BigInt(output) << 12n) + (at - first)) });
        }
      }
    }
  }
  return [...found.values()];
}

/** The same addresses, each once: images may be listed again and again, one within another. */
function joined(extents: readonly CodeExtent[]): CodeExtent[] {
  const found: { base: bigint; size: bigint }[] = [];
  for (const { base, size } of [...extents].sort((a, b) => (a.base < b.base ? -1 : 1))) {
    const last = found.at(-1);
    if (last === undefined || base > last.base + last.size) found.push({ base, size });
    else if (base + size > last.base + last.size) last.size = base + size - last.base;
  }
  return found;
}

/** Instructions are little-endian whatever data is. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, bytes.length >> 2);
}
