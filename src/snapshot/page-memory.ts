/** Physical memory over recorded pages of 4 KiB. */
import { PAGE_SIZE, type PhysAddr, phys, physPage } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource, PhysMemory, PhysSpan } from "../base/memory.ts";

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
    if (page + BigInt(PAGE_SIZE) > 0xffff_ffff_ffff_ffffn) break;
  }
  return pages;
}

/** One span out of pages: present only when every page of it is. */
export function readFromPages(source: PageSource, span: PhysSpan): MemoryRead {
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

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    const wanted = new Set<PhysAddr>();
    for (const span of spans) {
      for (const page of pagesOfSpan(span)) if (!this.pages.has(page)) wanted.add(page);
    }
    const pages = [...wanted];
    const reads = await this.#memory.read(pages.map((address) => ({ address, length: PAGE_SIZE })));
    pages.forEach((page, i) => {
      this.pages.set(page, reads[i] as MemoryRead);
    });
    return spans.map((span) => readFromPages(this, span));
  }
}
