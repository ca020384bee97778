/** What a capture session looks at on a stop, before it decides whether it is one it waits for. */
import type { RegisterDefinition, Registers } from "../base/registers.ts";
import { registersOf } from "../base/registers.ts";
import type { Cpu, Target, TargetInfo } from "../target/target.ts";

export interface StoppedCpu {
  readonly cpu: Cpu;
  /** Those of SESSION_REGISTERS that the stub offers. */
  readonly registers: Registers;
  readonly pc: bigint;
  readonly sp: bigint;
}

/** Where it is, the arguments and the return address of a call, and the vectors in force. */
const SESSION_REGISTERS: ReadonlySet<string> = new Set(
  "x0 x1 x2 x3 x4 x30 sp pc cpsr VBAR_EL1 VBAR_EL2 VBAR_EL3".split(" "),
);

/** The same list each time, so that the requests for it are made once. */
const definitionsOf = new WeakMap<TargetInfo, readonly RegisterDefinition[]>();

/** Reads the few registers of a vCPU that stopped, as one batch. */
export async function lookAtStop(target: Target, cpu: Cpu): Promise<StoppedCpu> {
  const { info } = target;
  const known = definitionsOf.get(info);
  const definitions = known ?? info.registers.filter(({ name }) => SESSION_REGISTERS.has(name));
  if (known === undefined) definitionsOf.set(info, definitions);
  const [row] = await target.readRegisters([cpu], definitions);
  const registers = registersOf(definitions, row ?? []);
  return { cpu, registers, pc: registers.get("pc") ?? 0n, sp: registers.get("sp") ?? 0n };
}
