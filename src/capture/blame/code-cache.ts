/**
 * The code that a guest was seen to execute, page by page: the words that wrote, and what it takes to follow the call chains again.
 *
 * What is read by virtual address could be a device, whose registers may change when they are read: only pages that the tables lead to RAM or ROM are
 * asked for.
 */
import { unwind } from "../../aarch64/unwind.ts";
import { PAGE_SIZE, type VirtAddr, virt } from "../../base/address.ts";
import type { MemoryRead, VirtSpan } from "../../base/memory.ts";
import type { Registers } from "../../base/registers.ts";
import type { StackSample } from "../../snapshot/blame.ts";
import { readRecord, stackWords } from "../../snapshot/blame-memory.ts";
import type { Cpu, Target } from "../../target/target.ts";
import type { Recorder } from "./recorder.ts";

const UNREADABLE: MemoryRead = { state: "unreadable", code: "read-failed" };
const NOT_MEMORY: MemoryRead = { state: "absent", code: "outside-memory" };
/** Pages of code of one chain that are looked at. */
const MAX_FRAMES = 33;
/** Pages that are remembered, memory or not: a guest may have chains through more than that. */
const MAX_PAGES = 4_096;

export type IsMemory = (cpu: Cpu, page: VirtAddr) => boolean;

export class CodeCache {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #isMemory: IsMemory;
  readonly #pages = new Map<VirtAddr, MemoryRead>();

  constructor(target: Target, recorder: Recorder, isMemory: IsMemory) {
    this.#target = target;
    this.#recorder = recorder;
    this.#isMemory = isMemory;
  }

  /** The word at an address, if its page was read before. */
  wordAt(pc: VirtAddr): number | undefined {
    const read = this.#pages.get(pageOf(pc));
    if (read?.state !== "present" || pc % 4n !== 0n) return undefined;
    return new DataView(read.bytes.buffer, read.bytes.byteOffset).getUint32(Number(pc & 0xfffn), true);
  }

  /** What is known of the page is not so any more. */
  forget(pc: VirtAddr): void {
    this.#pages.delete(pageOf(pc));
  }

  /** As `wordAt`, reading the page where it must. */
  async fetchWord(cpu: Cpu, pc: VirtAddr): Promise<number | undefined> {
    await this.#fetch(cpu, [pageOf(pc)]);
    return this.wordAt(pc);
  }

  /** Reads and keeps the code that following a chain needs. */
  async learn(cpu: Cpu, registers: Registers, { words }: StackSample): Promise<void> {
    const stack = stackWords(words);
    const read = async (spans: readonly VirtSpan[]): Promise<MemoryRead[]> => {
      const found = spans.map((span) => readRecord(stack, span));
      const wanted = spans.filter((_, i) => found[i] === undefined).flatMap(pagesOf);
      await this.#fetch(cpu, wanted);
      return spans.map((span, i) => found[i] ?? this.#read(span));
    };
    await unwind(registers, { read }, { maxFrames: MAX_FRAMES });
  }

  #read(span: VirtSpan): MemoryRead {
    const [first, ...others] = pagesOf(span);
    // Code is looked at in words and in pages: what crosses one is not asked for.
    const read = first === undefined || others.length > 0 ? UNREADABLE : (this.#pages.get(first) ?? UNREADABLE);
    if (read.state !== "present") return read;
    const start = Number(span.address & 0xfffn);
    return { state: "present", bytes: read.bytes.subarray(start, start + span.length) };
  }

  async #fetch(cpu: Cpu, pages: readonly VirtAddr[]): Promise<void> {
    const missing = [...new Set(pages)].filter((page) => !this.#pages.has(page));
    if (this.#pages.size + missing.length > MAX_PAGES) {
      for (const page of this.#pages.keys()) if (!pages.includes(page)) this.#pages.delete(page);
    }
    const memory = missing.filter((page) => this.#isMemory(cpu, page));
    for (const page of missing) this.#pages.set(page, NOT_MEMORY);
    const reads = await this.#target.readVirtual(
      cpu,
      memory.map((address) => ({ address, length: PAGE_SIZE })),
    );
    memory.forEach((page, i) => {
      const read = reads[i] ?? UNREADABLE;
      this.#pages.set(page, read);
      if (read.state === "present") this.#recorder.addCode(page, read.bytes);
    });
  }
}

function pageOf(address: bigint): VirtAddr {
  return virt(address & ~0xfffn);
}

function pagesOf({ address, length }: VirtSpan): VirtAddr[] {
  const [first, last] = [pageOf(address), pageOf(address + BigInt(Math.max(length, 1) - 1))];
  return first === last ? [first] : [first, last];
}
