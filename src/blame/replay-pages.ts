/** Memory as it was while the record was made: pages of captures with what was written to them since. Captured bytes are never changed. */

import { pageNumberOf } from "../aarch64/table-pages.ts";
import { PAGE_SIZE, type PhysAddr, physPage } from "../base/address.ts";
import type { MemoryRead, PageSource } from "../base/memory.ts";

interface HeldPage {
  read: MemoryRead;
  view: DataView | undefined;
  /** The bytes are a capture's, or were handed out: whoever writes takes a copy. Decoders keep what they made of bytes by their object. */
  shared: boolean;
}

export class ReplayPages implements PageSource {
  /** By number of the 4 KiB page. */
  readonly #pages = new Map<number, HeldPage>();

  page(page: PhysAddr): MemoryRead | undefined {
    const held = this.#pages.get(pageNumberOf(page));
    if (held !== undefined) held.shared = true;
    return held?.read;
  }

  /**
   * The same pages, as they are at any time: bytes that change under whoever keeps them. For who looks at a few words and keeps nothing that
   * it made of them.
   */
  get passing(): PageSource {
    return { page: (page) => this.#pages.get(pageNumberOf(page))?.read };
  }

  /** Whether a page holds these bytes. */
  holds(address: PhysAddr, read: MemoryRead): boolean {
    const held = this.#pages.get(pageNumberOf(address))?.read;
    if (held?.state !== "present" || read.state !== "present") return false;
    return held.bytes === read.bytes || Buffer.compare(held.bytes, read.bytes) === 0;
  }

  /** Puts a page in the place of what is held of it. */
  load(page: PhysAddr, read: MemoryRead): void {
    const whole = read.state === "present" && read.bytes.length === PAGE_SIZE;
    this.#pages.set(pageNumberOf(page), { read, view: whole ? viewOf(read.bytes) : undefined, shared: true });
  }

  /** The doubleword at a physical address that is aligned to 8; undefined when its page is not at hand. */
  word(address: PhysAddr): bigint | undefined {
    return this.#pages.get(pageNumberOf(address))?.view?.getBigUint64(Number(address & 0xfffn), true);
  }

  /** Writes a doubleword; of a page that is not at hand nothing is kept. */
  write(address: PhysAddr, value: bigint): void {
    const held = this.#pages.get(pageNumberOf(physPage(address)));
    if (held?.view === undefined || held.read.state !== "present") return;
    if (held.shared) {
      const bytes = new Uint8Array(held.read.bytes);
      held.read = { state: "present", bytes };
      held.view = viewOf(bytes);
      held.shared = false;
    }
    held.view.setBigUint64(Number(address & 0xfffn), value, true);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
