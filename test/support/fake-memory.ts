/** Physical memory made by a test, in pages of 4 KiB. Counts how it is read. */
import type { PhysAddr } from "../../src/base/address.ts";
import type { ErrorCode } from "../../src/base/error.ts";
import type { MemoryRead, PageSource, PhysMemory, PhysSpan } from "../../src/base/memory.ts";

const OUTSIDE: MemoryRead = { state: "absent", code: "outside-memory" };

export class FakeMemory implements PhysMemory, PageSource {
  /** By page address. What is not here lies outside memory. */
  readonly #pages = new Map<bigint, Uint8Array>();
  readonly #unreadable = new Map<bigint, ErrorCode>();
  /** The spans of each call of read(). */
  readonly batches: PhysSpan[][] = [];

  /** The bytes of a page, which is there from now on. */
  bytes(page: bigint): Uint8Array {
    const known = this.#pages.get(page);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(4096);
    this.#pages.set(page, bytes);
    return bytes;
  }

  makeUnreadable(page: bigint, code: ErrorCode = "read-failed"): void {
    this.#unreadable.set(page, code);
  }

  remove(page: bigint): void {
    this.#pages.delete(page);
  }

  /** Writes bytes at any address, over as many pages as it takes. */
  write(address: bigint, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = address + BigInt(done);
      const offset = Number(at & 0xfffn);
      const part = bytes.subarray(done, done + 4096 - offset);
      this.bytes(at - BigInt(offset)).set(part, offset);
      done += part.length;
    }
  }

  setWord(address: bigint, word: bigint): void {
    const page = this.bytes(address & ~0xfffn);
    new DataView(page.buffer).setBigUint64(Number(address & 0xfffn), word, true);
  }

  /** The aligned 64-bit word at an address; undefined when it cannot be read. */
  word(address: bigint): bigint | undefined {
    const page = address & ~0xfffn;
    const bytes = this.#unreadable.has(page) ? undefined : this.#pages.get(page);
    return bytes && new DataView(bytes.buffer).getBigUint64(Number(address & 0xfffn), true);
  }

  page(page: PhysAddr): MemoryRead {
    const code = this.#unreadable.get(page);
    if (code !== undefined) return { state: "unreadable", code };
    const bytes = this.#pages.get(page);
    return bytes === undefined ? OUTSIDE : { state: "present", bytes };
  }

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    this.batches.push([...spans]);
    return spans.map((span) => this.#readSpan(span));
  }

  #readSpan({ address, length }: PhysSpan): MemoryRead {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const read = this.page((at & ~0xfffn) as PhysAddr);
      if (read.state !== "present") return read;
      const part = read.bytes.subarray(Number(at & 0xfffn), Number(at & 0xfffn) + length - done);
      bytes.set(part, done);
      done += part.length;
    }
    return { state: "present", bytes };
  }

  get pagesRead(): bigint[] {
    return this.batches.flat().map(({ address }) => address);
  }

  get bytesRead(): number {
    return this.batches.flat().reduce((sum, { length }) => sum + length, 0);
  }
}
