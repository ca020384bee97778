/**
 * Reading the call chain of a vCPU at a stop without a round trip of its own: the same code calls the same code again and again, so the stack is
 * asked for where it was the last time, together with the registers. What a guess does not hold is read afterwards.
 *
 * Source: AAPCS64 6.4.6: x29 leads to a frame record of two doublewords, the x29 before and the return address.
 */
import { type VirtAddr, virt } from "../../base/address.ts";
import type { MemoryRead, VirtSpan } from "../../base/memory.ts";
import type { Registers } from "../../base/registers.ts";
import type { StackSample } from "../../snapshot/blame.ts";
import type { Cpu, Target } from "../../target/target.ts";
import type { IsMemory } from "./code-cache.ts";

/** Frames that are followed. */
const MAX_FRAMES = 32;
/** A record further from the one before belongs to another stack, or is none. */
const MAX_FRAME_BYTES = 1n << 20n;
const RECORD = 16n;
/** Records no further apart are read as one span. */
const GAP = 768n;
/** Read beyond a record that is missing: the ones after it are near. */
const AHEAD = 512;

export interface Frames {
  readonly sample: StackSample;
  /** The first record that was not at hand; undefined when the chain has come to its end. */
  readonly missing: VirtAddr | undefined;
}

export class StackReader {
  readonly #target: Target;
  readonly #isMemory: IsMemory;
  /** Where the records of the last chain lay, by vCPU. */
  readonly #guesses = new Map<number, readonly VirtSpan[]>();

  constructor(target: Target, isMemory: IsMemory) {
    this.#target = target;
    this.#isMemory = isMemory;
  }

  /** Where the records will be, if the vCPU is where it was. */
  guess(cpu: Cpu): readonly VirtSpan[] {
    return (this.#guesses.get(cpu.index) ?? []).filter((span) => this.#isRead(cpu, span));
  }

  #isRead(cpu: Cpu, { address, length }: VirtSpan): boolean {
    const end = address + BigInt(length);
    for (let page = address & ~0xfffn; page < end; page += 0x1000n) {
      if (page >> 64n !== 0n || !this.#isMemory(cpu, virt(page))) return false;
    }
    return true;
  }

  /** Follows the chain as far as it is at hand. */
  follow(registers: Registers, pieces: readonly StackPiece[]): Frames {
    const [sp, fp] = [registers.get("sp") ?? 0n, registers.get("x29") ?? 0n];
    const words: bigint[] = [];
    let missing: VirtAddr | undefined;
    for (let at = fp, floor = sp, frames = 0; frames < MAX_FRAMES && isRecord(at, floor); frames++) {
      const record = recordIn(pieces, at);
      if (record === "unreadable") break;
      if (record === undefined) {
        missing = virt(at);
        break;
      }
      words.push(at, record.next, at + 8n, record.link);
      if (record.link === 0n) break;
      floor = at + 1n;
      at = record.next;
    }
    const sample = { sp, fp, lr: registers.get("x30") ?? 0n, cpsr: registers.get("cpsr") ?? 0n, words };
    return { sample, missing };
  }

  /** Remembers where a whole chain lay. */
  learn(cpu: Cpu, { words }: StackSample): void {
    const spans: { start: bigint; end: bigint }[] = [];
    for (let i = 0; i < words.length; i += 4) {
      const at = words[i] as bigint;
      const last = spans.at(-1);
      if (last !== undefined && at - last.end <= GAP) last.end = at + RECORD;
      else spans.push({ start: at, end: at + RECORD });
    }
    this.#guesses.set(
      cpu.index,
      spans.map(({ start, end }) => ({ address: virt(start), length: Number(end - start) })),
    );
  }

  /** Reads what is missing, record after record; the guest is halted. */
  async complete(cpu: Cpu, registers: Registers, pieces: readonly StackPiece[]): Promise<StackSample> {
    const all = [...pieces];
    for (let i = 0; i < MAX_FRAMES; i++) {
      const { sample, missing } = this.follow(registers, all);
      if (missing === undefined) return sample;
      // Beyond the end of a stack there may be nothing: the record alone is asked for as well.
      const spans = [
        { address: missing, length: AHEAD },
        { address: missing, length: Number(RECORD) },
      ].filter((span) => this.#isRead(cpu, span));
      const reads = await this.#target.readVirtual(cpu, spans);
      const read = reads.find(({ state }) => state === "present");
      all.push({ address: missing, read: read ?? { state: "unreadable", code: "read-failed" } });
    }
    return this.follow(registers, all).sample;
  }
}

/** A stretch of the stack that was asked for. */
export interface StackPiece {
  readonly address: VirtAddr;
  readonly read: MemoryRead;
}

/** Whether a record can lie at `at`: above where the one before lay, or at the stack pointer. */
function isRecord(at: bigint, floor: bigint): boolean {
  return at !== 0n && at % 8n === 0n && at >= floor && at - floor <= MAX_FRAME_BYTES;
}

/** "unreadable": it was asked for in vain. */
function recordIn(
  pieces: readonly StackPiece[],
  at: bigint,
): { readonly next: bigint; readonly link: bigint } | "unreadable" | undefined {
  let asked = false;
  for (const { address, read } of pieces) {
    if (at < address) continue;
    if (read.state !== "present") {
      asked ||= at === address;
      continue;
    }
    const offset = Number(at - address);
    if (offset + 16 > read.bytes.length) continue;
    const view = new DataView(read.bytes.buffer, read.bytes.byteOffset);
    return { next: view.getBigUint64(offset, true), link: view.getBigUint64(offset + 8, true) };
  }
  return asked ? "unreadable" : undefined;
}
