/** What a call chain of a record is followed through: the doublewords of its stack and the pages of code that were kept. */
import { type VirtAddr, virt } from "../base/address.ts";
import type { MemoryRead, VirtMemory, VirtSpan } from "../base/memory.ts";
import type { BlameRecord, StackSample } from "./blame.ts";

const NOT_CAPTURED: MemoryRead = { state: "unreadable", code: "not-captured" };

/** The doublewords of a sample by address. */
export function stackWords(words: StackSample["words"]): ReadonlyMap<bigint, bigint> {
  const stack = new Map<bigint, bigint>();
  for (let i = 0; i + 1 < words.length; i += 2) stack.set(words[i] as bigint, words[i + 1] as bigint);
  return stack;
}

/** The frame record at an address: two doublewords. Undefined for anything else, and for what was not read. */
export function readRecord(stack: ReadonlyMap<bigint, bigint>, { address, length }: VirtSpan): MemoryRead | undefined {
  const [first, second] = [stack.get(address), stack.get(address + 8n)];
  if (length !== 16 || first === undefined || second === undefined) return undefined;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, first, true);
  view.setBigUint64(8, second, true);
  return { state: "present", bytes };
}

/** Virtual memory as far as the record has it for a sample. Code is looked at in words and in pages: what crosses one is not there. */
export function recordedMemory({ code }: Pick<BlameRecord, "code">, sample: StackSample): VirtMemory {
  const stack = stackWords(sample.words);
  return {
    read: (spans) => Promise.resolve(spans.map((span) => readRecord(stack, span) ?? readCode(code, span))),
  };
}

function readCode(code: ReadonlyMap<VirtAddr, Uint8Array>, { address, length }: VirtSpan): MemoryRead {
  const start = Number(address & 0xfffn);
  const page = code.get(virt(address - BigInt(start)));
  if (page === undefined || start + length > page.length) return NOT_CAPTURED;
  return { state: "present", bytes: page.subarray(start, start + length) };
}
