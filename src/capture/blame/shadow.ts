/** The tables of a guest as they are known to be, kept up to date write by write. Pages are never changed in place: what was made of one stays true. */
import { PAGE_SIZE, type PhysAddr, phys, physPage } from "../../base/address.ts";
import type { MemoryRead, PageSource, PhysMemory } from "../../base/memory.ts";

const UNREADABLE: MemoryRead = { state: "unreadable", code: "read-failed" };

export class Shadow implements PageSource {
  readonly #pages = new Map<PhysAddr, MemoryRead>();

  page(page: PhysAddr): MemoryRead | undefined {
    return this.#pages.get(page);
  }

  /** All that are known. */
  get pages(): PhysAddr[] {
    return [...this.#pages.keys()];
  }

  set(page: PhysAddr, read: MemoryRead): void {
    this.#pages.set(page, read);
  }

  /** The page is none of a table any more: what is written to it is not followed. */
  drop(page: PhysAddr): void {
    this.#pages.delete(page);
  }

  /** The doubleword at a physical address; undefined where the page is not known. */
  word(address: PhysAddr): bigint | undefined {
    const read = this.#pages.get(physPage(address));
    if (read?.state !== "present") return undefined;
    return viewOf(read.bytes).getBigUint64(Number(address & 0xff8n), true);
  }

  /** Replaces a doubleword of a page that is known. */
  write(address: PhysAddr, value: bigint): void {
    const page = physPage(address);
    const read = this.#pages.get(page);
    if (read?.state !== "present") return;
    const bytes = new Uint8Array(read.bytes);
    viewOf(bytes).setBigUint64(Number(address & 0xff8n), value, true);
    this.#pages.set(page, { state: "present", bytes });
  }

  /** Reads pages that are not known yet, in one batch. */
  async fetch(memory: PhysMemory, pages: readonly PhysAddr[]): Promise<void> {
    const missing = pages.filter((page) => !this.#pages.has(page));
    if (missing.length === 0) return;
    const reads = await memory.read(missing.map((address) => ({ address, length: PAGE_SIZE })));
    missing.forEach((page, i) => {
      this.#pages.set(page, reads[i] ?? UNREADABLE);
    });
  }
}

/** The doublewords of a page that differ between two contents: addresses with both values. */
export function differences(
  page: PhysAddr,
  before: Uint8Array,
  after: Uint8Array,
): { readonly address: PhysAddr; readonly old: bigint; readonly now: bigint }[] {
  const [old, now] = [viewOf(before), viewOf(after)];
  const found: { address: PhysAddr; old: bigint; now: bigint }[] = [];
  for (let at = 0; at < PAGE_SIZE; at += 8) {
    const [a, b] = [old.getBigUint64(at, true), now.getBigUint64(at, true)];
    if (a !== b) found.push({ address: phys(page + BigInt(at)), old: a, now: b });
  }
  return found;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
