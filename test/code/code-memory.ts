/** Virtual memory made by a test: words and doublewords at addresses, in pages of 4 KiB. */
import { type PhysAddr, type VirtAddr, virt } from "../../src/base/address.ts";
import type { MemoryRead, VirtMemory, VirtSpan } from "../../src/base/memory.ts";
import type { Registers } from "../../src/base/registers.ts";
import type { CodeWord } from "../../src/code/operation.ts";
import { FakeMemory } from "../support/fake-memory.ts";

export class CodeMemory implements VirtMemory {
  readonly pages = new FakeMemory();
  reads = 0;

  /** Instructions from `address` on. */
  code(address: bigint, words: readonly number[]): this {
    const bytes = Buffer.alloc(words.length * 4);
    for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, i * 4);
    this.pages.write(address, bytes);
    return this;
  }

  /** 64-bit words from `address` on. */
  data(address: bigint, ...words: readonly bigint[]): this {
    for (const [i, word] of words.entries()) this.pages.setWord(address + BigInt(i * 8), word);
    return this;
  }

  read(spans: readonly VirtSpan[]): Promise<MemoryRead[]> {
    this.reads += spans.length;
    return this.pages.read(spans.map(({ address, length }) => ({ address: address as bigint as PhysAddr, length })));
  }
}

export function codeWords(address: bigint, words: readonly number[]): CodeWord[] {
  return words.map((word, i) => ({ address: virt(address + BigInt(i * 4)), word }));
}

export function registersWith(values: Readonly<Record<string, bigint>>): Registers {
  return { get: (name) => values[name] };
}

export function inRange(start: bigint, end: bigint): (address: VirtAddr) => boolean {
  return (address) => address >= start && address < end;
}
