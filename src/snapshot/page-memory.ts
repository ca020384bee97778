/** Physical memory over recorded pages of 4 KiB. */
import { PAGE_SIZE, type PhysAddr, phys, physPage } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource, PhysMemory, PhysSpan } from "../base/memory.ts";

const TOP = 1n << 64n;
const NOT_CAPTURED: MemoryRead = { state: "unreadable", code: "not-captured" };

/** Memory that answers from pages at hand; what was never asked for while capturing is unreadable (`not-captured`). */
export function pageMemory(source: PageSource): PhysMemory {
  return { read: async (spans) => spans.map((span) => readFromPages(source, span)) };
}

function isPage({ address, length }: PhysSpan): boolean {
  return length === PAGE_SIZE && (address & 0xfffn) === 0n;
}

/** Pages that a span touches, ascending. */
export function pagesOfSpan(span: PhysSpan): PhysAddr[] {
  if (isPage(span)) return [span.address];
  const { address, length } = span;
  const pages: PhysAddr[] = [];
  const end = address + BigInt(length);
  for (let page = physPage(address); page < end; page = phys(page + BigInt(PAGE_SIZE))) {
    pages.push(page);
    if (page + BigInt(PAGE_SIZE) === TOP) break;
  }
  return pages;
}

/** One span out of pages: present only when every page of it is. Past the top of the address space there is nothing. A copy. */
export function readFromPages(source: PageSource, span: PhysSpan): MemoryRead {
  if (span.address + BigInt(span.length) > TOP) return { state: "absent", code: "outside-memory" };
  const bytes = new Uint8Array(span.length);
  for (const page of pagesOfSpan(span)) {
    const read = source.page(page) ?? NOT_CAPTURED;
    if (read.state !== "present") return read;
    const from = Number(page - span.address);
    const source_ = from < 0 ? read.bytes.subarray(-from) : read.bytes;
    bytes.set(source_.subarray(0, span.length - Math.max(from, 0)), Math.max(from, 0));
  }
  return { state: "present", bytes };
}

/** What was last recorded of a memory. */
const lastRecords = new WeakMap<PhysMemory, ReadonlyMap<PhysAddr, MemoryRead>>();

/**
 * Memory that keeps every page it reads: what decoders look at while capturing is what the capture holds. Reads whole pages, each
 * once; is its own page source.
 *
 * A page that is what the last record of the same memory has is kept as the same object: it takes no memory again, and what was
 * made of it (words, leaves, its place in a file) is known. Between two points most of a machine's tables stay as they are.
 */
export class RecordingMemory implements PhysMemory, PageSource {
  readonly pages = new Map<PhysAddr, MemoryRead>();
  readonly #memory: PhysMemory;
  readonly #earlier: ReadonlyMap<PhysAddr, MemoryRead> | undefined;
  /** Pages read ahead that nobody has asked for yet: no part of the record until then. */
  readonly #ahead = new Map<PhysAddr, MemoryRead>();

  constructor(memory: PhysMemory) {
    this.#memory = memory;
    this.#earlier = lastRecords.get(memory);
    lastRecords.set(memory, this.pages);
  }

  page(page: PhysAddr): MemoryRead | undefined {
    return this.pages.get(page);
  }

  /** Keeps why a page was not read, where nothing is known of it yet. */
  noteMissing(address: PhysAddr, code: ErrorCode): void {
    const page = physPage(address);
    if (!this.pages.has(page)) this.pages.set(page, { state: "unreadable", code });
  }

  /** As `page`, of the pages that were read ahead too. */
  pageAhead(page: PhysAddr): MemoryRead | undefined {
    return this.pages.get(page) ?? this.#ahead.get(page);
  }

  /** Reads pages that will probably be asked for, in one batch: a guess that is right saves a round trip. */
  async readAhead(pages: readonly PhysAddr[]): Promise<void> {
    const missing = pages.filter((page) => this.pageAhead(page) === undefined);
    if (missing.length > 0) await this.#readInto(this.#ahead, missing);
  }

  /** A whole page is answered with the kept page itself: what is made of one is known of the other. */
  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    const wanted = new Set<PhysAddr>();
    for (const span of spans) {
      for (const page of pagesOfSpan(span)) if (!this.#known(page)) wanted.add(page);
    }
    if (wanted.size > 0) await this.#readInto(this.pages, [...wanted]);
    return spans.map((span) => (isPage(span) ? this.pages.get(span.address) : undefined) ?? readFromPages(this, span));
  }

  #known(page: PhysAddr): boolean {
    if (this.pages.has(page)) return true;
    const ahead = this.#ahead.get(page);
    if (ahead === undefined) return false;
    this.pages.set(page, ahead);
    return true;
  }

  async #readInto(kept: Map<PhysAddr, MemoryRead>, pages: readonly PhysAddr[]): Promise<void> {
    const reads = await this.#memory.read(pages.map((address) => ({ address, length: PAGE_SIZE })));
    const known = pages.map((page, i) => this.#unchanged(page, reads[i] as MemoryRead));
    // The pages of a batch may lie in one allocation: the few that are new must not keep the others.
    const apart = known.some((read) => read !== undefined);
    pages.forEach((page, i) => {
      const read = reads[i] as MemoryRead;
      kept.set(page, known[i] ?? (apart ? ownRead(read) : read));
    });
  }

  /** The earlier read of the page, when it gave the same bytes. */
  #unchanged(page: PhysAddr, read: MemoryRead): MemoryRead | undefined {
    const earlier = this.#earlier?.get(page);
    if (earlier?.state !== "present" || read.state !== "present") return undefined;
    return Buffer.compare(earlier.bytes, read.bytes) === 0 ? earlier : undefined;
  }
}

/** The same in memory of its own. */
function ownRead(read: MemoryRead): MemoryRead {
  return read.state === "present" ? { ...read, bytes: new Uint8Array(read.bytes) } : read;
}

/** Passes reads on and keeps which pages they touched. */
export class PageLog implements PhysMemory {
  readonly pages = new Set<PhysAddr>();
  readonly #memory: PhysMemory;

  constructor(memory: PhysMemory) {
    this.#memory = memory;
  }

  read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    for (const span of spans) for (const page of pagesOfSpan(span)) this.pages.add(page);
    return this.#memory.read(spans);
  }
}
