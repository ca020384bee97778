/**
 * What happens to a read, a write and an instruction fetch at each Exception level of a regime.
 *
 * Source: Arm ARM DDI 0487, D8.4 "Memory access control", "Privileged access never" (PSTATE.PAN, SCTLR_ELx.EPAN), D8.5 "The Access
 * flag", D8.15 "Memory aborts" (an Access flag fault comes before a Permission fault).
 */
import type { Attributes } from "./attributes.ts";
import { type Access, either, type Permission } from "./permissions.ts";
import type { Regime } from "./regime-model.ts";

/** `unknown`: a register that decides it is not offered. `PAN`: PSTATE.PAN forbids it as things stand. */
export type Verdict =
  | "allowed"
  | "permission fault"
  | "access flag fault"
  | "translation fault"
  | "permission fault (PAN)"
  | "unknown";

export interface LevelVerdict {
  /** `EL0` to `EL3`. */
  readonly level: string;
  readonly read: Verdict;
  readonly write: Verdict;
  readonly execute: Verdict;
}

/** The verdicts for the Exception level of the regime, and for EL0 where the regime has it. Stage 2 alone: for EL1 and EL0. */
export function verdicts(attributes: Attributes, regime: Regime): readonly LevelVerdict[] {
  const level = regime.controls.stage === 2 ? 1 : regime.exceptionLevel;
  const privileged = levelVerdict(`EL${level}`, attributes, attributes, accessNever(attributes, regime));
  if (attributes.el0 === null) return [privileged];
  if (attributes.el0Denied) return [privileged, DENIED];
  return [privileged, levelVerdict("EL0", attributes.el0, attributes, false)];
}

/** TCR_ELx.E0PD (D24.2 TCR_EL1): at level 0, before any table is looked at. */
const DENIED: LevelVerdict = {
  level: "EL0",
  read: "translation fault",
  write: "translation fault",
  execute: "translation fault",
};

function levelVerdict(level: string, access: Access, attributes: Attributes, pan: Permission): LevelVerdict {
  const verdict = (permission: Permission, isData: boolean): Verdict => {
    if (attributes.faultsOnAccess) return "access flag fault";
    if (permission === null) return "unknown";
    if (!permission) return "permission fault";
    if (!isData || pan === false) return "allowed";
    return pan === null ? "unknown" : "permission fault (PAN)";
  };
  return {
    level,
    read: verdict(access.read, true),
    write: verdict(access.write, true),
    execute: verdict(access.execute, false),
  };
}

/** Whether PSTATE.PAN is 1 for the level and covers this memory: what EL0 can read, with EPAN what it can execute too. */
function accessNever({ el0Leaf: el0 }: Attributes, { controls }: Regime): Permission {
  if (controls.stage === 2 || el0 === null || controls.pan === "off") return false;
  const everything = controls.pan === "enhanced" || controls.indirect !== null;
  const data = either(el0.read, el0.write);
  return everything ? either(data, el0.execute) : data;
}
