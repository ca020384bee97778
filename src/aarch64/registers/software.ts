/**
 * Registers that software owns and the PE makes no use of: TPIDR_ELx, TPIDRRO_EL0, TPIDR2_EL0, SCXTNUM_ELx.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name.
 */
import { bits, described, once, type RegisterDescription } from "./types.ts";

const THREAD = once(() => [bits(63, 0, "ThreadID", "Thread identifying information, as software likes it")]);
const CONTEXT = once(() => [bits(63, 0, "SoftwareContextNumber", "Software context, to restrict branch prediction")]);

/** TPIDR_ELx, TPIDRRO_EL0, TPIDR2_EL0, SCXTNUM_ELx. Source: Arm ARM DDI 0487, D24.2. */
export const SOFTWARE_REGISTERS: readonly RegisterDescription[] = [
  ...["EL0", "EL1", "EL2", "EL3"].flatMap((level) => [
    described("D24.2", `TPIDR_${level}`, `Software Thread ID Register (${level})`, THREAD),
    described("D24.2", `SCXTNUM_${level}`, `Software Context Number Register (${level})`, CONTEXT),
  ]),
  described("D24.2", "TPIDRRO_EL0", "Read-Only Software Thread ID Register (EL0)", THREAD),
  described("D24.2", "TPIDR2_EL0", "Software Thread ID Register 2 (EL0)", THREAD),
];
