/** Table pages as words, read once each from whatever holds the pages. */
import { type PhysAddr, phys } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource } from "../base/memory.ts";

/** Why a table cannot be looked into. */
export interface MissingTable {
  readonly missing: ErrorCode;
}

/** The 1,024 words of a table page (low half first), or why there are none. */
export type TablePage = Uint32Array | MissingTable;

export class TablePages {
  readonly #source: PageSource;
  readonly #pages = new Map<number, TablePage>();

  constructor(source: PageSource) {
    this.#source = source;
  }

  /** The table page with this page number (physical address / 4096). */
  get(pageNumber: number): TablePage {
    const known = this.#pages.get(pageNumber);
    if (known !== undefined) return known;
    const page = tablePage(this.#source.page(pageAddress(pageNumber)));
    this.#pages.set(pageNumber, page);
    return page;
  }
}

export function isMissing(page: TablePage): page is MissingTable {
  return !(page instanceof Uint32Array);
}

export function tablePage(read: MemoryRead | undefined): TablePage {
  if (read === undefined) return { missing: "not-captured" };
  if (read.state !== "present") return { missing: read.code };
  if (read.bytes.length !== 4096) return { missing: "read-failed" };
  const { buffer, byteOffset } = byteOffsetIsAligned(read.bytes) ? read.bytes : read.bytes.slice();
  return new Uint32Array(buffer, byteOffset, 1024);
}

function byteOffsetIsAligned(bytes: Uint8Array): boolean {
  return bytes.byteOffset % 4 === 0;
}

export function pageAddress(pageNumber: number): PhysAddr {
  return phys(BigInt(pageNumber) << 12n);
}

export function pageNumberOf(address: bigint): number {
  return Number(address >> 12n);
}
