/** Physical memory over recorded pages of 4 KiB. */
import { PAGE_SIZE, type PhysAddr, phys, physPage } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource, PhysMemory, PhysSpan } from "../base/memory.ts";

const TOP = 1n << 64n;

/** Memory that answers from pages at hand; what was never asked for while capturing is unreadable (`not-captured`). */
export function pageMemory(source: PageSource): PhysMemory {
  return { read: async (spans) => spans.map((span) => readFromPages(source, span)) };
}

/** Pages that a span touches, ascending. */
export function pagesOfSpan({ address, length }: PhysSpan): PhysAddr[] {
  const pages: PhysAddr[] = [];
  const end = address + BigInt(length);
  for (let page = physPage(address); page < end; page = phys(page + BigInt(PAGE_SIZE))) {
    pages.push(page);
    if (page + BigInt(PAGE_SIZE) === TOP) break;
  }
  return pages;
}

/** One span out of pages: present only when every page of it is. Past the top of the address space there is nothing. */
export function readFromPages(source: PageSource, span: PhysSpan): MemoryRead {
  if (span.address + BigInt(span.length) > TOP) return { state: "absent", code: "outside-memory" };
  const bytes = new Uint8Array(span.length);
  for (const page of pagesOfSpan(span)) {
    const read = source.page(page) ?? { state: "unreadable", code: "not-captured" };
    if (read.state !== "present") return read;
    const from = Number(page - span.address);
    const source_ = from < 0 ? read.bytes.subarray(-from) : read.bytes;
    bytes.set(source_.subarray(0, span.length - Math.max(from, 0)), Math.max(from, 0));
  }
  return { state: "present", bytes };
}

/**
 * Memory that keeps every page it reads: what decoders look at while capturing is what the capture holds. Reads whole pages, each
 * once; is its own page source.
 */
export class RecordingMemory implements PhysMemory, PageSource {
  readonly pages = new Map<PhysAddr, MemoryRead>();
  readonly #memory: PhysMemory;
  /** Pages read ahead that nobody has asked for yet: no part of the record until then. */
  readonly #ahead = new Map<PhysAddr, MemoryRead>();

  constructor(memory: PhysMemory) {
    this.#memory = memory;
  }

  page(page: PhysAddr): MemoryRead | undefined {
    return this.pages.get(page);
  }

  /** Keeps why a page was not read, where nothing is known of it yet. */
  noteMissing(address: PhysAddr, code: ErrorCode): void {
    const page = physPage(address);
    if (!this.pages.has(page)) this.pages.set(page, { state: "unreadable", code });
  }

  /** Reads pages that will probably be asked for, in one batch: a guess that is right saves a round trip. */
  async readAhead(pages: readonly PhysAddr[]): Promise<void> {
    const reads = await this.#memory.read(pages.map((address) => ({ address, length: PAGE_SIZE })));
    pages.forEach((page, i) => {
      this.#ahead.set(page, reads[i] as MemoryRead);
    });
  }

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    const wanted = new Set<PhysAddr>();
    for (const span of spans) {
      for (const page of pagesOfSpan(span)) if (!this.#known(page)) wanted.add(page);
    }
    if (wanted.size > 0) await this.#fetch(wanted);
    return spans.map((span) => readFromPages(this, span));
  }

  #known(page: PhysAddr): boolean {
    if (this.pages.has(page)) return true;
    const ahead = this.#ahead.get(page);
    if (ahead === undefined) return false;
    this.pages.set(page, ahead);
    return true;
  }

  async #fetch(wanted: ReadonlySet<PhysAddr>): Promise<void> {
    const pages = [...wanted];
    const reads = await this.#memory.read(pages.map((address) => ({ address, length: PAGE_SIZE })));
    pages.forEach((page, i) => {
      this.pages.set(page, reads[i] as MemoryRead);
    });
  }
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
