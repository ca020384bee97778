/**
 * Instructions as text, by capstone.
 *
 * Capstone is 3.6 MB of WebAssembly: it is loaded with the first instruction that is to be shown. It sees guest bytes: whatever it does with
 * them, the answer is text of bounded length. A word that it cannot decode, and every word when it cannot be loaded, is shown
 * as `.inst 0x…`, as assemblers take it.
 */
import type { CapstoneHandle } from "@alexaltea/capstone-js";
import { type VirtAddr, virt } from "../base/address.ts";
import type { VirtMemory } from "../base/memory.ts";
import { printable } from "../base/text.ts";
import type { CodeWord } from "./operation.ts";
import { type CodeGap, MAX_AROUND, wordsAround, wordsOf } from "./words.ts";

export interface Instruction extends CodeWord {
  /** `ldr`, or `.inst` for what cannot be decoded. */
  readonly mnemonic: string;
  /** `x8, [x0, #0xf8]`; branch targets as addresses. */
  readonly operands: string;
  readonly decoded: boolean;
}

/** The most instructions that one call turns into text. */
export const MAX_INSTRUCTIONS = 2 * MAX_AROUND + 1;

/** A disassembler of one word; undefined when it is none. */
export type WordReader = (word: CodeWord) => { readonly mnemonic: string; readonly operands: string } | undefined;

/** The bytes (little-endian words; a rest of 1 to 3 bytes is left out) as instructions, at most MAX_INSTRUCTIONS. */
export async function disassemble(bytes: Uint8Array, address: VirtAddr): Promise<readonly Instruction[]> {
  const part = bytes.subarray(0, MAX_INSTRUCTIONS * 4);
  return disassembleWords(wordsOf(address, { state: "present", bytes: part }));
}

/** Words as instructions, at most MAX_INSTRUCTIONS. `reader` stands for capstone in tests. */
export async function disassembleWords(
  words: readonly CodeWord[],
  reader: Promise<WordReader> = capstone(),
): Promise<readonly Instruction[]> {
  const read = await reader;
  return words.slice(0, MAX_INSTRUCTIONS).map(({ address, word }) => {
    const text = read({ address, word });
    if (text !== undefined) return { address, word, ...text, decoded: true };
    return { address, word, mnemonic: ".inst", operands: `0x${word.toString(16).padStart(8, "0")}`, decoded: false };
  });
}

export interface CodeListing {
  readonly instructions: readonly Instruction[];
  /** What could not be read of the range. */
  readonly gaps: readonly CodeGap[];
}

/** The instruction at `address`, so many before and so many after it (at most 1024 each); `address` is taken aligned to 4 bytes. */
export async function codeAround(
  memory: VirtMemory,
  address: VirtAddr,
  around: { readonly before: number; readonly after: number },
): Promise<CodeListing> {
  const { words, gaps } = await wordsAround(memory, address, around);
  return { instructions: words.length === 0 ? [] : await disassembleWords(words), gaps };
}

let loaded: Promise<WordReader> | undefined;

function capstone(): Promise<WordReader> {
  loaded ??= load().catch(() => () => undefined);
  return loaded;
}

async function load(): Promise<WordReader> {
  const { default: start } = await import("@alexaltea/capstone-js");
  const { Capstone, ARCH_ARM64, MODE_LITTLE_ENDIAN } = await start();
  const handle = new Capstone(ARCH_ARM64, MODE_LITTLE_ENDIAN);
  return (word) => readWord(handle, word);
}

function readWord(handle: CapstoneHandle, { address, word }: CodeWord): ReturnType<WordReader> {
  const bytes = [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24];
  try {
    const [first] = handle.disasm(bytes, virt(address), 1);
    if (first === undefined || first.mnemonic === "") return undefined;
    return { mnemonic: printable(first.mnemonic, 32), operands: printable(mended(first.op_str), 160) };
  } catch {
    // It throws for words that are no instructions; a trap in its own code ends the same way.
    return undefined;
  }
}

/** Capstone 5 prints MOV Wd, #0x80000000 as `#-0xffffffff80000000`: what is too large for a negative number is taken modulo 2^64. */
function mended(operands: string): string {
  return operands.replace(/#-(0x[89a-f][0-9a-f]{15})\b/g, (text, digits: string) => {
    const value = BigInt(digits);
    return value > 1n << 63n ? `#0x${BigInt.asUintN(64, -value).toString(16)}` : text;
  });
}
