/**
 * The call chain of a vCPU and, where its code cannot run, how it came there: what is recorded while the guest stands still, and worked
 * out again from the record.
 */
import { contextOf } from "../aarch64/context.ts";
import { regimeNameAt } from "../aarch64/regime.ts";
import type { Regime } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { type Backtrace, stripPointer, unwind } from "../aarch64/unwind.ts";
import { translatedMemory } from "../aarch64/virtual-memory.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { bit } from "../base/bits.ts";
import type { PageSource, PhysMemory, VirtMemory } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { type BranchTrace, traceBranch } from "./trace.ts";
import { wordsAround } from "./words.ts";

export interface CallChain {
  readonly backtrace: Backtrace;
  /** How execution came to where no code can run; undefined where code runs, or when it cannot be told whether it does. */
  readonly branch: BranchTrace | undefined;
}

/** Words looked at around a place in code. */
const AROUND = { before: 16, after: 8 };

/**
 * Follows the frames of a vCPU, and where its pc (at an exception vector: where the exception was taken) cannot execute, the branch that
 * led there. `memory` is physical; the tables are in `source`. `functionOf`: the function that an address lies in, when symbols tell.
 */
export async function callChain(
  registers: Registers,
  regime: Regime,
  source: PageSource,
  memory: PhysMemory,
  functionOf?: (address: VirtAddr) => VirtAddr | undefined,
): Promise<CallChain> {
  const translator = new Translator(regime, source);
  const virtual = translatedMemory(translator, memory);
  const level = contextOf(registers)?.level;
  const executable = (address: VirtAddr): boolean | null => executes(translator, address, level);
  const addressBits = (address: VirtAddr): number => addressBitsOf(regime, address);
  const names = functionOf === undefined ? {} : { functionOf };
  const backtrace = await unwind(registers, virtual, { executable, addressBits, ...names });
  // Looked at so that whoever records has it: the innermost frames are the ones whose code is shown.
  for (const { call, pc } of backtrace.frames.slice(0, 4)) await wordsAround(virtual, call ?? pc, AROUND);
  return { backtrace, branch: await badBranch(registers, virtual, backtrace, executable, addressBits) };
}

async function badBranch(
  registers: Registers,
  memory: VirtMemory,
  { frames }: Backtrace,
  executable: (address: VirtAddr) => boolean | null,
  addressBits: (address: VirtAddr) => number,
): Promise<BranchTrace | undefined> {
  const context = contextOf(registers);
  if (context?.lr === undefined || executable(context.pc) !== false) return undefined;
  const callers = frames.slice(2).flatMap(({ trust, pc }) => (trust === "broken" ? [] : [pc]));
  const strip = (address: bigint): VirtAddr => stripPointer(address, addressBits(virt(address)));
  return traceBranch(memory, { target: context.pc, link: context.lr, registers, strip }, { callers });
}

/** Whether code at the address can run at an Exception level; null when it cannot be told. */
export function executes(translator: Translator, address: VirtAddr, level: number | undefined): boolean | null {
  const { result } = translator.translate(address);
  if (result.mapped !== true) return result.mapped;
  const { el0, execute } = result.attributes;
  return level === 0 && el0 !== null ? el0.execute : execute;
}

/** 64 - TnSZ of the half that an address is in; without a root there pointers are taken as they are. */
export function addressBitsOf({ roots }: Regime, address: VirtAddr): number {
  const upper = bit(address, 55);
  return roots.find(({ vaBase }) => (vaBase !== 0n) === upper)?.inputBits ?? 64;
}

/**
 * The regime that a vCPU's code executes in, out of those there are. At an exception vector that is the one of the code that took the
 * exception, which may have been at a lower Exception level; undefined where that cannot be told.
 */
export function codeRegime(registers: Registers, regimes: readonly Regime[]): Regime | undefined {
  const level = contextOf(registers)?.level;
  if (level === undefined) return undefined;
  const name = regimeNameAt(level, registers);
  return regimes.find((regime) => regime.name === name);
}
