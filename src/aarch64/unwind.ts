/**
 * Backtraces by frame pointers.
 *
 * Source: AAPCS64 (IHI 0055), "The Frame Pointer": x29 points to a frame record of two doublewords, the caller's x29 and the return
 * address; the chain ends with x29 = 0, and records lie at ever higher addresses, as the stack grows down. "General-purpose
 * Registers": x30 holds the return address until the function stores it. Clang for Windows (and so for UEFI) stores some records the other
 * way round, return address first: they are taken for that only when the usual order makes no sense and this one does.
 *
 * Nothing of a stack can be believed: it is guest memory, and a function need not keep frames. Each frame says how it was found and how
 * far it can be trusted; the first one that cannot be ends the trace.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import type { MemoryRead, VirtMemory } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { isCall, returnAddressPlace, savesFrame, savesLink, startsFunction } from "./call-words.ts";
import { type Context, contextOf } from "./context.ts";

/** `swapped-record`: the return address stands first in the record. */
export type FrameSource = "pc" | "exception-link" | "link-register" | "frame-record" | "swapped-record";

/**
 * `sure`: the code stands there, or follows a call in executable memory. `likely`: nothing speaks against it. `doubtful`: something does.
 * `broken`: it cannot be a frame; always the last one.
 */
export type FrameTrust = "sure" | "likely" | "doubtful" | "broken";

export interface Frame {
  /** Where the function goes on, without pointer authentication. */
  readonly pc: VirtAddr;
  /** The call in this function, which symbols and lines are looked up by: pc - 4. Undefined for the innermost frame. */
  readonly call: VirtAddr | undefined;
  /** x29 while this function runs. */
  readonly fp: VirtAddr | undefined;
  /** Where the frame record with `pc` lies. */
  readonly record: VirtAddr | undefined;
  readonly source: FrameSource;
  readonly trust: FrameTrust;
  /** Why it is not sure. */
  readonly doubts: readonly string[];
}

export type TraceEndReason = "end-of-chain" | "no-registers" | "frame-pointer" | "unreadable" | "broken" | "limit";

export interface Backtrace {
  /** Innermost first. */
  readonly frames: readonly Frame[];
  readonly end: { readonly reason: TraceEndReason; readonly text: string };
}

export interface UnwindOptions {
  /** 1 … 256, which is the default. */
  readonly maxFrames?: number;
  /** Whether code can run at the address; null when that cannot be told. Everything is null when left out. */
  readonly executable?: (address: VirtAddr) => boolean | null;
  /**
   * How many bits of a virtual address translate (64 - TnSZ), for taking pointer authentication codes off; by the address (without
   * a code in bit 55) when the two halves differ. Left out: addresses are taken as they are.
   */
  readonly addressBits?: number | ((address: VirtAddr) => number);
  /** The function that an address lies in, when symbols tell. Tells a fresh x30 from one left over from a call. */
  readonly functionOf?: (address: VirtAddr) => VirtAddr | undefined;
  /** Where to start instead of where the registers say. */
  readonly from?: Context;
}

export const MAX_FRAMES = 256;
/** A record further from the one before belongs to another stack, or is none. */
const MAX_FRAME_BYTES = 1n << 20n;
const RECORD_BYTES = 16;
/** How far to look for what the innermost function does with x30. */
const SCAN_WORDS = 64;
/** How far a function's store of x30 is looked for, from its start and back from within it. */
const PROLOGUE_WORDS = 16;
const SEARCH_BYTES = 0x2000n;

/**
 * The call chain of a vCPU. `memory` is virtual memory as the code saw it. At an exception vector's entry the chain starts at ELR_ELx, with
 * the stack pointer that SPSR_ELx names. Never rejects but for the machine being lost.
 */
export async function unwind(
  registers: Registers,
  memory: VirtMemory,
  options: UnwindOptions = {},
): Promise<Backtrace> {
  const context = options.from ?? contextOf(registers);
  if (context === undefined) return { frames: [], end: { reason: "no-registers", text: "no AArch64 pc is known" } };
  return new Unwinder(memory, options, context).run();
}

/** Takes a pointer authentication code off: Arm ARM, shared pseudocode Strip(): bits above the address become bit 55. */
export function stripPointer(address: bigint, bits: number): VirtAddr {
  if (!Number.isInteger(bits) || bits < 16 || bits > 55) return virt(address);
  const low = (1n << BigInt(bits)) - 1n;
  return virt((address >> 55n) & 1n ? address | ~low : address & low);
}

interface Candidate {
  readonly pc: VirtAddr;
  readonly trust: FrameTrust;
  readonly doubts: readonly string[];
  /** Whether the word before is a call; null when it cannot be read. */
  readonly call: boolean | null;
}

class Unwinder {
  readonly #memory: VirtMemory;
  readonly #options: UnwindOptions;
  readonly #context: Context;
  readonly #frames: Frame[] = [];
  /** Why the next record may be another function's than that of the frame before it. */
  #gap: string | undefined;

  constructor(memory: VirtMemory, options: UnwindOptions, context: Context) {
    this.#memory = memory;
    this.#options = options;
    this.#context = context;
  }

  async run(): Promise<Backtrace> {
    const limit = Math.min(Math.max(Math.trunc(this.#options.maxFrames ?? MAX_FRAMES) || MAX_FRAMES, 1), MAX_FRAMES);
    const { pc, fp } = this.#context;
    const runs = this.#runsAt(pc);
    const doubts = runs ? [] : [`no code can run at ${hex(pc)}`];
    const source = this.#context.exception ? "exception-link" : "pc";
    if (!runs && this.#returnedTo(pc)) doubts.push("x30 is the same: code returned to it, and which cannot be told");
    this.#frames.push({ pc, call: undefined, fp, record: undefined, source, trust: "sure", doubts });
    let end = await this.#linkRegister(runs);
    let [at, floor, chained] = [fp, this.#context.sp, false];
    while (end === undefined) {
      if (at === undefined) end = ended("no-registers", "x29 is not known");
      else if (this.#frames.length >= limit) end = ended("limit", `more than ${limit} frames`);
      else {
        const next = await this.#record(at, floor, chained);
        end = next.end;
        [at, floor, chained] = [next.fp, virt(at + 1n), true];
      }
    }
    return { frames: this.#frames.slice(0, limit), end };
  }

  /** Whether the pc is what x30 says: a return, not a call, went there. */
  #returnedTo(pc: VirtAddr): boolean {
    return this.#context.lr !== undefined && this.#strip(this.#context.lr) === pc;
  }

  #runsAt(pc: VirtAddr): boolean {
    return pc % 4n === 0n && this.#options.executable?.(pc) !== false && pc !== 0n;
  }

  /** The innermost function's caller as x30 has it, when its return address is not in a record yet. */
  async #linkRegister(runs: boolean): Promise<Backtrace["end"] | undefined> {
    const { pc, lr, fp } = this.#context;
    if (lr === undefined || (!runs && this.#returnedTo(pc))) return undefined;
    // A branch gone wrong has changed nothing but x30: the function it was to call has no record.
    // Code that a function has just returned to finds its own address in x30.
    const place = !runs ? "x30" : this.#returnedTo(pc) ? "record" : await this.#returnPlace(pc, lr);
    if (place === "record") {
      this.#gap = gapText(await this.#keepsFrame(virt(pc + 4n)));
      return undefined;
    }
    if (lr === 0n && (fp === undefined || fp === 0n)) return ended("end-of-chain", "x30 and x29 are 0");
    const candidate = await this.#judge(lr);
    // The function that x30 returns from had set up its frame, and went wrong later.
    if (!runs && (await this.#isRecorded(candidate.pc, fp))) return undefined;
    if (place === "x30") {
      this.#push(candidate, fp, undefined, "link-register");
      this.#gap = gapText(await this.#keepsFrame(candidate.pc));
    } else if (candidate.call === true && !(await this.#isRecorded(candidate.pc, fp))) {
      const doubts = ["x30 may be left over from a call that this function made"];
      this.#push({ ...candidate, trust: "doubtful", doubts }, fp, undefined, "link-register");
    }
    return this.#frames.at(-1)?.trust === "broken" ? ended("broken", "x30 holds no return address") : undefined;
  }

  /** Whether the record at x29 has the same return address. */
  async #isRecorded(pc: VirtAddr, fp: VirtAddr | undefined): Promise<boolean> {
    const [read] = fp === undefined ? [] : await this.#memory.read([{ address: fp, length: RECORD_BYTES }]);
    return read?.state === "present" && doublewords(read.bytes).some((word) => this.#strip(word) === pc);
  }

  async #returnPlace(pc: VirtAddr, lr: VirtAddr): Promise<"x30" | "record" | "unknown"> {
    const functionOf = this.#options.functionOf;
    const here = functionOf?.(pc);
    const there = functionOf?.(virt(this.#strip(lr) - 4n));
    const [code] = await this.#memory.read([{ address: pc, length: wordsToPageEnd(pc) * 4 }]);
    const place = returnAddressPlace(code === undefined ? [] : wordsOf(code));
    if (place !== "unknown" || here === undefined || there === undefined) return place;
    return here === there ? "record" : "x30";
  }

  /** The frame that the record at `at` gives, pushed, and the x29 of its function. */
  async #record(
    at: VirtAddr,
    floor: VirtAddr | undefined,
    chained: boolean,
  ): Promise<{ fp?: VirtAddr; end?: Backtrace["end"] }> {
    const wrong = framePointerFault(at, floor, chained);
    if (wrong !== undefined) return { end: wrong };
    const [read] = await this.#memory.read([{ address: at, length: RECORD_BYTES }]);
    if (read?.state !== "present") return { end: ended("unreadable", `the record at ${hex(at)}: ${read?.code}`) };
    const [first, second] = doublewords(read.bytes);
    if (second === 0n) return { end: ended("end-of-chain", `the record at ${hex(at)} has the return address 0`) };
    const usual = await this.#judge(second);
    if (first === 0n && usual.call === false && (await this.#startsFunction(usual.pc)))
      return {
        end: ended("end-of-chain", `the record at ${hex(at)} leads to the start of a function: the stack begins`),
      };
    if (usual.call !== true || usual.trust === "broken" || !isNext(first, at)) {
      const swapped = await this.#judge(first);
      if (this.#believable(swapped) && isNext(second, at) && (swapped.call === true || usual.trust === "broken")) {
        this.#push(swapped, virt(second), at, "swapped-record");
        return { fp: virt(second) };
      }
    }
    const nowhere = usual.call !== true && !isNext(first, at);
    this.#push(nowhere ? unbelievable(usual, first) : usual, virt(first), at, "frame-record");
    if (!nowhere && usual.trust !== "broken") return { fp: virt(first) };
    return { end: ended("broken", `what lies at ${hex(at)} is no frame record`) };
  }

  /**
   * Whether a function starts at an address. Code that changes stacks enters a function on the new one with x30 still holding what it
   * branched through: the function's own address.
   */
  async #startsFunction(pc: VirtAddr): Promise<boolean> {
    const [read] = await this.#memory.read([{ address: pc, length: 4 }]);
    return read !== undefined && startsFunction(wordsOf(read)[0] ?? 0);
  }

  /** A return address in executable memory behind a call, as far as can be told. */
  #believable({ pc, trust, call }: Candidate): boolean {
    return trust !== "broken" && (call === true || (call === null && this.#options.executable?.(pc) === true));
  }

  #push({ pc, trust, doubts }: Candidate, fp: VirtAddr | undefined, record: VirtAddr | undefined, source: FrameSource) {
    const gap = this.#gap;
    this.#gap = undefined;
    const call = virt(pc - 4n);
    if (gap === undefined) this.#frames.push({ pc, call, fp, record, source, trust, doubts });
    else this.#frames.push({ pc, call, fp, record, source, trust: lesser(trust), doubts: [gap, ...doubts] });
  }

  /**
   * Whether the function that an address lies in keeps a frame record, by its first instructions or, without symbols, by the nearest store
   * of x30 before the address: a function that calls others has one, as a rule. Undefined when neither is found.
   */
  async #keepsFrame(pc: VirtAddr): Promise<boolean | undefined> {
    const start = this.#options.functionOf?.(virt(pc - 4n));
    const known = start === undefined ? undefined : keepsFrame(await this.#words(start, PROLOGUE_WORDS));
    if (known !== undefined) return known;
    for (let end = pc - 4n; pc - end < SEARCH_BYTES; ) {
      const from = end & ~0xfffn;
      const words = await this.#words(virt(from), Number(end - from) >> 2);
      if (words.length === 0) return undefined;
      const save = words.findLast(savesLink);
      if (save !== undefined) return savesFrame(save);
      end = from;
    }
    return undefined;
  }

  async #words(address: VirtAddr, count: number): Promise<readonly number[]> {
    if (count <= 0) return [];
    const [read] = await this.#memory.read([{ address, length: count * 4 }]);
    return read === undefined ? [] : wordsOf(read);
  }

  /** How far a return address can be believed. */
  async #judge(raw: bigint): Promise<Candidate> {
    const pc = this.#strip(raw);
    const executable = this.#options.executable?.(pc) ?? null;
    const no = (why: string): Candidate => ({ pc, trust: "broken", doubts: [why], call: null });
    if (pc % 4n !== 0n) return no("the return address is not aligned to 4 bytes");
    if (pc < 4n) return no("the return address is 0");
    if (executable === false) return no("the return address is not executable");
    const [before] = await this.#memory.read([{ address: virt(pc - 4n), length: 4 }]);
    if (before?.state !== "present")
      return { ...no(`the code at the return address: ${before?.code}`), trust: "likely" };
    const call = isCall(wordsOf(before)[0] ?? 0);
    if (!call) return { pc, trust: "doubtful", doubts: ["the word before the return address is no call"], call };
    if (executable) return { pc, trust: "sure", doubts: [], call };
    return { pc, trust: "likely", doubts: ["whether the return address is executable cannot be told"], call };
  }

  #strip(address: bigint): VirtAddr {
    const bits = this.#options.addressBits;
    if (bits === undefined) return virt(address);
    return stripPointer(address, typeof bits === "number" ? bits : bits(virt(address)));
  }
}

function gapText(keepsFrame: boolean | undefined): string | undefined {
  if (keepsFrame === true) return undefined;
  return keepsFrame === undefined
    ? "whether the function before it keeps a frame record is not known: its caller may be missing"
    : "the function before it keeps no frame record: its caller is missing";
}

/** What one cannot be surer of than that no frame is missing before it. */
function lesser(trust: FrameTrust): FrameTrust {
  return trust === "sure" ? "likely" : trust;
}

/** What the first instructions of a function say. */
function keepsFrame(words: readonly number[]): boolean | undefined {
  const save = words.find(savesLink);
  return save === undefined ? undefined : savesFrame(save);
}

function ended(reason: TraceEndReason, text: string): Backtrace["end"] {
  return { reason, text };
}

function unbelievable(candidate: Candidate, next: bigint): Candidate {
  const doubts = [...candidate.doubts, `${hex(next)} cannot be the frame pointer before`];
  return { ...candidate, trust: "broken", doubts };
}

/** Why no record can lie at `at`. `floor`: the lowest address it may have, the stack pointer at first. */
function framePointerFault(at: VirtAddr, floor: VirtAddr | undefined, chained: boolean): Backtrace["end"] | undefined {
  if (at === 0n) return ended("end-of-chain", "the frame pointer is 0");
  if (at % 8n !== 0n) return ended("frame-pointer", `the frame pointer ${hex(at)} is not aligned to 8 bytes`);
  if (at + BigInt(RECORD_BYTES) > 1n << 64n)
    return ended("frame-pointer", `the frame pointer ${hex(at)} is past the end`);
  if (floor === undefined) return undefined;
  if (at < floor) return ended("frame-pointer", `the frame pointer ${hex(at)} lies ${below(chained)}`);
  if (at - floor > MAX_FRAME_BYTES) return ended("frame-pointer", `the frame pointer ${hex(at)} lies on another stack`);
  return undefined;
}

function below(chained: boolean): string {
  return chained ? "no higher than the one before: a loop, or another stack" : "below the stack pointer";
}

/** Whether `fp` can follow the record at `at`, or end the chain. */
function isNext(fp: bigint, at: bigint): boolean {
  return fp === 0n || (fp % 8n === 0n && fp > at && fp - at <= MAX_FRAME_BYTES);
}

/** Words from `pc` on that lie in its page, at most SCAN_WORDS. */
function wordsToPageEnd(pc: bigint): number {
  return Math.min(SCAN_WORDS, (4096 - Number(pc & 0xfffn)) >> 2);
}

function wordsOf(read: MemoryRead): number[] {
  if (read.state !== "present") return [];
  const view = new DataView(read.bytes.buffer, read.bytes.byteOffset, read.bytes.length);
  return Array.from({ length: read.bytes.length >> 2 }, (_, i) => view.getUint32(i * 4, true));
}

function doublewords(bytes: Uint8Array): readonly [bigint, bigint] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_BYTES);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}
