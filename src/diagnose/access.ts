/**
 * Where the base register of a load or store that faulted came from.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Loads and Stores": Rn stands at bits 9:5, but for literal loads, which have none. D1.4.1: at the entry of the
 * vector the general registers are as the instruction found them, as it has not been executed.
 *
 * A load through a register and a call through one ask the same: what the register held, and from where. So the instruction is followed as the
 * call `BLR Xn` in its place would be. It differs in one thing only: a call overwrites x30, which is no base that is followed.
 */
import { contextOf } from "../aarch64/context.ts";
import { Translator } from "../aarch64/translate.ts";
import { stripPointer } from "../aarch64/unwind.ts";
import { translatedMemory } from "../aarch64/virtual-memory.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { bit, bitsNumber } from "../base/bits.ts";
import type { VirtMemory } from "../base/memory.ts";
import { type BranchTrace, codeRegime, registerName, traceBranch } from "../code/index.ts";
import { PointView } from "../diff/point-view.ts";
import { pointPages } from "../snapshot/model.ts";
import type { Fault } from "./fault.ts";
import type { Study } from "./study.ts";

export interface AccessTrace {
  /** `x0` … `x29`, `sp` */
  readonly base: string;
  /** What the base register held; undefined when it is not known. */
  readonly value: bigint | undefined;
  /** Where the base came from: the function itself, then its callers as far as an argument led there. */
  readonly hops: BranchTrace["hops"];
}

const LINK = 30;
const SP = 31;

/** The base of the load or store that faulted; undefined when the fault is none, or its instruction could not be read. */
export async function traceAccess(
  { capture, names }: Pick<Study, "capture" | "names">,
  fault: Fault | undefined,
): Promise<AccessTrace | undefined> {
  const point = capture.points.find(({ id }) => id === fault?.point);
  if (fault === undefined || point === undefined || !isDataAbort(fault.esr) || fault.pc === undefined) return undefined;
  const view = new PointView(capture, point, fault.cpu);
  const regime = codeRegime(view.registers, view.regimes);
  if (regime === undefined) return undefined;
  const memory = translatedMemory(new Translator(regime, pointPages(point)), view.memory);
  const at = virt(fault.pc.address);
  const register = baseOf(await wordOf(memory, at));
  if (register === undefined) return undefined;
  const value = register === SP ? contextOf(view.registers)?.sp : view.registers.get(registerName(register));
  if (register >= LINK || value === undefined) return { base: registerName(register), value, hops: [] };
  const bits = regime.roots.find(({ vaBase }) => (vaBase !== 0n) === bit(value, 55))?.inputBits ?? 64;
  const { hops } = await traceBranch(
    withCall(memory, at, register),
    {
      target: virt(value),
      link: virt(at + 4n),
      registers: view.registers,
      strip: (address) => stripPointer(address, bits),
    },
    {
      callers: fault.trace.frames.slice(1).flatMap(({ trust, pc }) => (trust === "broken" ? [] : [pc])),
      functionOf: (address) => asVirt(names.functionOf(address, view)),
    },
  );
  return { base: registerName(register), value, hops };
}

function asVirt(address: bigint | undefined): VirtAddr | undefined {
  return address === undefined ? undefined : virt(address);
}

function isDataAbort(esr: bigint | undefined): boolean {
  return esr !== undefined && [0x24, 0x25].includes(bitsNumber(esr, 31, 26));
}

async function wordOf(memory: VirtMemory, address: VirtAddr): Promise<number | undefined> {
  const [read] = await memory.read([{ address, length: 4 }]);
  if (read?.state !== "present" || address % 4n !== 0n) return undefined;
  return new DataView(read.bytes.buffer, read.bytes.byteOffset, 4).getUint32(0, true);
}

/** Rn of a load or store (bits 27 and 25 are 0b1x0); literal loads (bits 29:27 0b011, 24 0) have none. */
export function baseOf(word: number | undefined): number | undefined {
  if (word === undefined || (word & 0x0a00_0000) !== 0x0800_0000 || (word & 0x3b00_0000) === 0x1800_0000)
    return undefined;
  return (word >>> 5) & 31;
}

/** The memory with the word at `at` replaced by `BLR Xn`. */
function withCall(memory: VirtMemory, at: VirtAddr, register: number): VirtMemory {
  const call = (0xd63f_0000 | (register << 5)) >>> 0;
  return {
    async read(spans) {
      const reads = await memory.read(spans);
      return reads.map((read, i) => {
        const offset = Number(at - (spans[i]?.address ?? at));
        if (read.state !== "present" || offset < 0 || offset + 4 > read.bytes.length) return read;
        const bytes = Uint8Array.from(read.bytes);
        new DataView(bytes.buffer).setUint32(offset, call, true);
        return { state: "present", bytes };
      });
    },
  };
}
