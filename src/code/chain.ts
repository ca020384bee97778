/**
 * The call chain of a vCPU and, where its code cannot run, how it came there: what is recorded while the guest stands still, and worked
 * out again from the record.
 */
import { contextOf } from "../aarch64/context.ts";
import { currentRegimeName } from "../aarch64/regime.ts";
import { exceptionLevelOf, type Regime } from "../aarch64/regime-model.ts";
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
 * led there. `memory` is physical; the tables are in `source`.
 */
export async function callChain(
  registers: Registers,
  regime: Regime,
  source: PageSource,
  memory: PhysMemory,
): Promise<CallChain> {
  const translator = new Translator(regime, source);
  const virtual = translatedMemory(translator, memory);
  const executable = (address: VirtAddr): boolean | null => executes(translator, address);
  const addressBits = (address: VirtAddr): number => bitsOf(regime, address);
  const backtrace = await unwind(registers, virtual, { executable, addressBits });
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

/** Whether code at the address can run at the level of the regime; null when it cannot be told. */
function executes(translator: Translator, address: VirtAddr): boolean | null {
  const { result } = translator.translate(address);
  return result.mapped === true ? result.attributes.execute : result.mapped;
}

/** 64 - TnSZ of the half that an address is in; without a root there pointers are taken as they are. */
function bitsOf({ roots }: Regime, address: VirtAddr): number {
  const upper = bit(address, 55);
  return roots.find(({ vaBase }) => (vaBase !== 0n) === upper)?.inputBits ?? 64;
}

/** The regime that code at a vCPU's level executes in, out of those there are. */
export function currentRegime(registers: Registers, regimes: readonly Regime[]): Regime | undefined {
  const name = currentRegimeName(registers);
  return regimes.find((regime) => regime.name === name && regime.exceptionLevel === exceptionLevelOf(name));
}
