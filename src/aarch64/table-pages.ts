/**
 * Table pages as words, read once each from whatever holds the pages; behind stage 2, by intermediate physical addresses.
 *
 * Units: numbers of 4 KiB pages. Pages with the same bytes object give the same words object, so that what was decoded of a page
 * once can be found again (see leaf-runs.ts).
 */
import { type PhysAddr, phys } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource } from "../base/memory.ts";
import type { TranslationFault } from "./fault.ts";

/** Why a table cannot be looked into. */
export interface MissingTable {
  readonly missing: ErrorCode;
}

/** A table that the hardware cannot reach either: stage 2 does not let it. */
export interface FaultingTable {
  readonly fault: TranslationFault;
}

/** The 1,024 words of a table page (low half first), or why there are none. */
export type TablePage = Uint32Array | MissingTable | FaultingTable;

/** Where a table page is. */
export type TablePlace = { readonly page: number } | MissingTable | FaultingTable;

/** What the tables of a regime are read through. */
export interface TableReader {
  get(pageNumber: number): TablePage;
  /** The physical page behind a page number of the regime's tables: itself, unless stage 2 is in between. */
  locate(pageNumber: number): TablePlace;
}

/** Tables at physical addresses. */
export class PhysicalTables implements TableReader {
  readonly #source: PageSource;
  readonly #bigEndian: boolean;
  readonly #pages = new Map<number, TablePage>();

  constructor(source: PageSource, bigEndian: boolean) {
    this.#source = source;
    this.#bigEndian = bigEndian;
  }

  get(pageNumber: number): TablePage {
    const known = this.#pages.get(pageNumber);
    if (known !== undefined) return known;
    const page = tablePage(this.#source.page(pageAddress(pageNumber)), this.#bigEndian);
    this.#pages.set(pageNumber, page);
    return page;
  }

  locate(pageNumber: number): TablePlace {
    return { page: pageNumber };
  }
}

/** Tables at intermediate physical addresses, which `place` finds. */
export class IntermediateTables implements TableReader {
  readonly #tables: PhysicalTables;
  readonly #place: (pageNumber: number) => TablePlace;
  readonly #places = new Map<number, TablePlace>();

  constructor(tables: PhysicalTables, place: (pageNumber: number) => TablePlace) {
    this.#tables = tables;
    this.#place = place;
  }

  get(pageNumber: number): TablePage {
    const place = this.locate(pageNumber);
    return "page" in place ? this.#tables.get(place.page) : place;
  }

  locate(pageNumber: number): TablePlace {
    const known = this.#places.get(pageNumber);
    if (known !== undefined) return known;
    const place = this.#place(pageNumber);
    this.#places.set(pageNumber, place);
    return place;
  }
}

export function isWords(page: TablePage): page is Uint32Array {
  return page instanceof Uint32Array;
}

const wordsOf = { little: new WeakMap<Uint8Array, Uint32Array>(), big: new WeakMap<Uint8Array, Uint32Array>() };

export function tablePage(read: MemoryRead | undefined, bigEndian: boolean): Uint32Array | MissingTable {
  if (read === undefined) return { missing: "not-captured" };
  if (read.state !== "present") return { missing: read.code };
  if (read.bytes.length !== 4096) return { missing: "read-failed" };
  const known = bigEndian ? wordsOf.big : wordsOf.little;
  const words = known.get(read.bytes) ?? (bigEndian ? swapped(read.bytes) : asWords(read.bytes));
  known.set(read.bytes, words);
  return words;
}

function asWords(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, 1024);
}

/** Big-endian descriptors of 64 bits as little-endian ones. */
function swapped(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Uint32Array.from({ length: 1024 }, (_, i) => view.getUint32((i ^ 1) * 4, false));
}

export function pageAddress(pageNumber: number): PhysAddr {
  return phys(BigInt(pageNumber) << 12n);
}

export function pageNumberOf(address: bigint): number {
  return Number(address >> 12n);
}

/** A stretch of a table's entries that lies in one 4 KiB page. */
export interface TablePart {
  readonly pageNumber: number;
  /** Index of the first entry within the page. */
  readonly first: number;
  readonly count: number;
}

const PAGE_ENTRIES = 512;

/** A table of any size and place as parts, one a page. */
export function tableParts(address: PhysAddr, entries: number): TablePart[] {
  const parts: TablePart[] = [];
  let first = Number(address & 0xfffn) >> 3;
  for (let left = entries, pageNumber = pageNumberOf(address); left > 0; pageNumber++) {
    const count = Math.min(left, PAGE_ENTRIES - first);
    parts.push({ pageNumber, first, count });
    left -= count;
    first = 0;
  }
  return parts;
}
