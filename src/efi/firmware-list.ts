/**
 * Doubly linked lists of edk2's DXE core, followed through memory that may hold anything.
 *
 * Source: edk2, MdePkg/Include/Base.h (LIST_ENTRY {ForwardLink, BackLink}) and BaseLib/LinkedList.c: a ring through a head that belongs to no
 * entry. Entries of the DXE core's lists begin with a signature of 8 bytes (UINTN), the links follow it, and they point at links, not at
 * entries. Pointers are physical addresses too (see memory.ts).
 *
 * A list is taken only whole: each entry has its signature, and points back at the one it was reached from. So no list can
 * lead back into itself before its head: an entry has one BackLink. Entries come from pools and lie close together: whole pages are read, each
 * once, and both how many pages and how many entries is bounded.
 */
import { phys } from "../base/address.ts";
import type { MemoryRead, PhysMemory } from "../base/memory.ts";
import { Structure } from "./bytes.ts";

const PAGE = 4096n;
/** 2 MiB: 64 entries a page are usual, 8 are enough for the longest list. */
const MAX_PAGES = 512;
export const MAX_LIST_ENTRIES = 4096;
/** Of the links in an entry. */
const LINK_OFFSET = 8n;

/** Memory in whole pages, each read once; no more than 512 of them. */
export class PageReader {
  readonly #memory: PhysMemory;
  readonly #pages = new Map<bigint, MemoryRead>();

  constructor(memory: PhysMemory) {
    this.#memory = memory;
  }

  /** Whether no more pages may be read. */
  get exhausted(): boolean {
    return this.#pages.size >= MAX_PAGES;
  }

  /** Reads the pages of these spans that are not at hand, in one batch. */
  async fetch(spans: readonly { readonly address: bigint; readonly length: number }[]): Promise<void> {
    const missing = new Set<bigint>();
    for (const { address, length } of spans) {
      for (const page of pagesOf(address, length)) if (!this.#pages.has(page)) missing.add(page);
    }
    const wanted = [...missing].slice(0, MAX_PAGES - this.#pages.size);
    if (wanted.length === 0) return;
    const reads = await this.#memory.read(wanted.map((page) => ({ address: phys(page), length: Number(PAGE) })));
    wanted.forEach((page, i) => void this.#pages.set(page, reads[i] as MemoryRead));
  }

  /** Bytes whose pages were fetched; undefined when one of them could not be read or was never fetched. */
  at(address: bigint, length: number): Structure | undefined {
    const parts: Uint8Array[] = [];
    for (const page of pagesOf(address, length)) {
      const read = this.#pages.get(page);
      if (read?.state !== "present") return undefined;
      parts.push(read.bytes);
    }
    const [first = new Uint8Array()] = parts;
    const from = Number(address % PAGE);
    const bytes = parts.length === 1 ? first : Buffer.concat(parts);
    return bytes.length < from + length ? undefined : new Structure(bytes.subarray(from, from + length));
  }

  /** Whether it is known that there is no memory at one of the pages of a span. */
  isAbsent(address: bigint, length: number): boolean {
    const pages = pagesOf(address, length);
    return pages.length === 0 || pages.some((page) => this.#pages.get(page)?.state === "absent");
  }

  async read(address: bigint, length: number): Promise<Structure | undefined> {
    await this.fetch([{ address, length }]);
    return this.at(address, length);
  }
}

/** The pages of a span; none when it does not lie in the address space. */
function pagesOf(address: bigint, length: number): bigint[] {
  const end = address + BigInt(length);
  if (address < 0n || end > 1n << 64n) return [];
  const pages: bigint[] = [];
  for (let page = address - (address % PAGE); page < end; page += PAGE) pages.push(page);
  return pages;
}

/** The two pointers of a LIST_ENTRY, and where it stands. */
export interface ListHead {
  readonly address: bigint;
  readonly forward: bigint;
  readonly back: bigint;
}

export interface ListEntry {
  /** Where its signature stands. */
  readonly address: bigint;
  readonly bytes: Structure;
}

export type ListRead =
  | { readonly state: "whole"; readonly entries: readonly ListEntry[] }
  /** It is no list, or not at this moment: the firmware may stand in the middle of a change. */
  | { readonly state: "broken"; readonly why: string }
  | { readonly state: "unreadable"; readonly why: string };

export interface EntryLayout {
  readonly signature: bigint;
  /** In bytes. */
  readonly size: number;
}

/** A pair of pointers that may be those of a list with entries. */
export function isHead({ address, forward, back }: ListHead): boolean {
  return [forward, back].every((link) => link > PAGE && link % 8n === 0n && link !== address && link < 1n << 52n);
}

/** Where the entry begins that a link belongs to. */
export function entryOf(link: bigint): bigint {
  return link - LINK_OFFSET;
}

/** Follows a list from its head round to it. */
export async function readList(pages: PageReader, head: ListHead, layout: EntryLayout): Promise<ListRead> {
  const entries: ListEntry[] = [];
  let [link, from] = [head.forward, head.address];
  while (link !== head.address) {
    if (entries.length === MAX_LIST_ENTRIES) return broken(`more than ${MAX_LIST_ENTRIES} entries`);
    const address = entryOf(link);
    const bytes = await pages.read(address, layout.size);
    if (bytes === undefined) return unread(pages, address, layout.size);
    if (bytes.u64(0) !== layout.signature) return broken(`the entry at 0x${address.toString(16)} has no signature`);
    if (bytes.u64(16) !== from) return broken(`the entry at 0x${address.toString(16)} does not point back`);
    entries.push({ address, bytes });
    [link, from] = [bytes.u64(8), link];
  }
  return from === head.back ? { state: "whole", entries } : broken("its head does not point back at its last entry");
}

function broken(why: string): ListRead {
  return { state: "broken", why };
}

function unread(pages: PageReader, address: bigint, size: number): ListRead {
  const entry = `the entry at 0x${BigInt.asUintN(64, address).toString(16)}`;
  if (pages.isAbsent(address, size)) return broken(`${entry} lies outside memory`);
  if (pages.exhausted) return broken(`its entries lie on more than ${MAX_PAGES} pages`);
  return { state: "unreadable", why: `${entry} could not be read` };
}
