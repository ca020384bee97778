/** The sites and pages of a record of writes as columns, and back. Pages stand in the part `PAGE`; here are their indexes. */
import { type VirtAddr, virt } from "../base/address.ts";
import type { BlameRecord, WatchedSite } from "./blame.ts";
import type { Columns } from "./columns.ts";

/** Of a row in all columns. */
export const SITE_BYTES = 12;
export const CONTENTS_BYTES = 4;
export const CODE_BYTES = 12;

/** Puts a page into the part `PAGE`, unless it is there, and tells its index. */
export interface PageIndexes {
  indexOf(page: Uint8Array): number;
}

/** The page of an index; throws when there is none. */
export type PageAt = (index: number) => Uint8Array;

export function writeSites(columns: Columns, sites: readonly WatchedSite[]): void {
  const address = columns.next(sites.length, 8);
  const word = columns.next(sites.length, 4);
  for (const [row, site] of sites.entries()) {
    address.setWord(row, site.address);
    word.set(row, site.word);
  }
}

export function readSites(columns: Columns, rows: number): WatchedSite[] {
  const address = columns.next(rows, 8);
  const word = columns.next(rows, 4);
  return Array.from({ length: rows }, (_, row) => ({ address: virt(address.getWord(row)), word: word.get(row) }));
}

export function writeContents(columns: Columns, contents: readonly Uint8Array[], pages: PageIndexes): void {
  const index = columns.next(contents.length, 4);
  for (const [row, page] of contents.entries()) index.set(row, pages.indexOf(page));
}

export function readContents(columns: Columns, rows: number, pageAt: PageAt): Uint8Array[] {
  const index = columns.next(rows, 4);
  return Array.from({ length: rows }, (_, row) => pageAt(index.get(row)));
}

export function writeCode(columns: Columns, code: BlameRecord["code"], pages: PageIndexes): void {
  const address = columns.next(code.size, 8);
  const index = columns.next(code.size, 4);
  for (const [row, [at, page]] of [...code].entries()) {
    address.setWord(row, at);
    index.set(row, pages.indexOf(page));
  }
}

export function readCode(columns: Columns, rows: number, pageAt: PageAt): Map<VirtAddr, Uint8Array> {
  const address = columns.next(rows, 8);
  const index = columns.next(rows, 4);
  return new Map(Array.from({ length: rows }, (_, row) => [virt(address.getWord(row)), pageAt(index.get(row))]));
}
