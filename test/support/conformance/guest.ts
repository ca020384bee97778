/** Builds the program that the conformance suite debugs (guest.c), and knows what is in it. Shares no code with src. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("guest.c", import.meta.url));
const HINT = "Run: bash scripts/setup test";

/** Where the program is to run: on a bare AArch64 machine, as an AArch64 process, as a process of this machine. */
export type Platform = "machine" | "aarch64-process" | "native-process";

export interface Program {
  readonly path: string;
  /** Of the functions and variables of guest.c, and of the label `mark`. */
  readonly address: (symbol: string) => bigint;
  /** Where its memory ends. */
  readonly end: bigint;
  readonly architecture: Architecture;
}

/** What the protocol and the manuals of the processor say of the registers of a program. */
export interface Architecture {
  readonly pc: string;
  readonly sp: string;
  /** The registers that hold known values at `mark`: KNOWN plus the number. */
  readonly known: readonly (readonly [name: string, number: number])[];
  /** A register that any function may change. */
  readonly free: string;
  /** Bytes of the smallest instruction: what a breakpoint's kind is. */
  readonly breakpointKind: number;
  /** How gdb names it. */
  readonly gdb: string;
}

const AARCH64: Architecture = {
  pc: "pc",
  sp: "sp",
  free: "x9",
  known: Array.from({ length: 31 }, (_, i) => [`x${i}`, i] as const),
  breakpointKind: 4,
  gdb: "aarch64",
};

/** "Intel 64 and IA-32 Architectures Software Developer's Manual", 2.1.5: register numbers in ModRM; 4 is the stack pointer. */
const X86_64: Architecture = {
  pc: "rip",
  sp: "rsp",
  free: "r10",
  known: ["rax", "rcx", "rdx", "rbx", "", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]
    .map((name, i) => [name, i] as const)
    .filter(([name]) => name !== ""),
  breakpointKind: 1,
  gdb: "i386:x86-64",
};

const NATIVE_IS_ARM = process.arch === "arm64";

const TARGETS: Readonly<Record<Platform, readonly string[]>> = {
  machine: ["--target=aarch64-none-elf", "-mgeneral-regs-only", "-mno-unaligned-access", "-Wl,-Ttext=0x40100000"],
  "aarch64-process": ["--target=aarch64-linux-gnu", "-mgeneral-regs-only"],
  "native-process": NATIVE_IS_ARM
    ? ["--target=aarch64-linux-gnu", "-mgeneral-regs-only"]
    : ["--target=x86_64-linux-gnu"],
};

const FLAGS = [
  ...["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-builtin", "-fno-stack-protector"],
  ...["-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-fno-pic", "-nostdlib", "-static", "-fuse-ld=lld"],
];

/** What is known of the program's memory and registers, from guest.c. */
export const TABLE_BYTES = 4 * 32768;
export const SCRATCH_BYTES = 4096;
export const KNOWN = 0xc0de_0000_feed_0000n;
export const START_SECOND = 1n;
export const END = 2n;
export const EXIT_STATUS = 42;
export const LAST_WORDS = "the guest ends\n";

/** The bytes of `table` from a place in it on. */
export function tableBytes(offset: number, length: number): Uint8Array {
  const first = offset & ~3;
  const words = new DataView(new ArrayBuffer(length + 8));
  for (let at = 0; at < length + 4; at += 4) {
    const word = (BigInt((first + at) / 4) * 2654435761n) & 0xffff_ffffn;
    words.setUint32(at, Number(word ^ 0x5aa5_5aa5n), true);
  }
  return new Uint8Array(words.buffer.slice(offset - first, offset - first + length));
}

/** A folder with the program in it, gone when the scope ends. */
export function buildGuest(platform: Platform): Program & Disposable {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-conformance-"));
  const path = join(folder, "guest");
  const map = join(folder, "guest.map");
  run("clang", [...FLAGS, ...TARGETS[platform], `-Wl,-Map=${map}`, SOURCE, "-o", path]);
  const { symbols, end } = readMap(readFileSync(map, "utf8"));
  return {
    path,
    end,
    architecture: platform === "native-process" && !NATIVE_IS_ARM ? X86_64 : AARCH64,
    address: (symbol) => {
      const address = symbols.get(symbol);
      if (address === undefined) throw new Error(`guest.c has no ${symbol}`);
      return address;
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot build the guest: ${error?.message ?? stderr}\n${HINT}`);
}

/** The linker's map, whose lines are `VMA LMA Size Align Name`. */
function readMap(map: string): { symbols: ReadonlyMap<string, bigint>; end: bigint } {
  const lines = [...map.matchAll(/^ *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ +([\w.]+)$/gm)].map(
    ([, address = "", size = "", name = ""]) => ({ name, address: BigInt(`0x${address}`), size: BigInt(`0x${size}`) }),
  );
  const ends = lines.filter(({ address }) => address > 0n).map(({ address, size }) => address + size);
  const symbols = new Map(lines.map(({ name, address }) => [name, address]));
  return { symbols, end: ends.sort((a, b) => Number(a - b)).at(-1) ?? 0n };
}
