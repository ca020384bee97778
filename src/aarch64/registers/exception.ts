/**
 * Exceptions: VBAR_ELx, ESR_ELx, FAR_ELx, ELR_ELx.
 *
 * Source: Arm ARM DDI 0487, D24.2 VBAR_EL1, ESR_EL1, FAR_EL1; C5.2 ELR_EL1; and the same for EL2 and EL3. The inside of
 * ESR_ELx.ISS depends on EC: see syndrome-fields.ts.
 */
import { EXCEPTION_CLASS_VALUES } from "./exception-classes.ts";
import { bit, bits, type RegisterDescription, type RegisterField } from "./types.ts";

const VBAR_FIELDS: readonly RegisterField[] = [bits(63, 11, "VBA", "Vector base address, 2 KiB aligned: VBA << 11")];

const ESR_FIELDS: readonly RegisterField[] = [
  bits(55, 32, "ISS2", "More of the instruction specific syndrome"),
  bits(31, 26, "EC", "Exception class", EXCEPTION_CLASS_VALUES),
  bit(25, "IL", "Length of the instruction", "16-bit instruction", "32-bit instruction"),
  bits(24, 0, "ISS", "Instruction specific syndrome; depends on EC"),
];

const FAR_FIELDS: readonly RegisterField[] = [bits(63, 0, "VA", "Faulting virtual address")];
const ELR_FIELDS: readonly RegisterField[] = [bits(63, 0, "ADDR", "Address to return to")];

/** VBAR_ELx, ESR_ELx, FAR_ELx, ELR_ELx. Source: Arm ARM DDI 0487, D24.2 and C5.2. */
export const EXCEPTION_REGISTERS: readonly RegisterDescription[] = ["EL1", "EL2", "EL3"].flatMap((level) => [
  {
    name: `VBAR_${level}`,
    title: `Vector Base Address Register (${level})`,
    source: `Arm ARM DDI 0487, D24.2 VBAR_${level}`,
    fields: VBAR_FIELDS,
  },
  {
    name: `ESR_${level}`,
    title: `Exception Syndrome Register (${level})`,
    source: `Arm ARM DDI 0487, D24.2 ESR_${level}`,
    fields: ESR_FIELDS,
  },
  {
    name: `FAR_${level}`,
    title: `Fault Address Register (${level})`,
    source: `Arm ARM DDI 0487, D24.2 FAR_${level}`,
    fields: FAR_FIELDS,
  },
  {
    name: `ELR_${level}`,
    title: `Exception Link Register (${level})`,
    source: `Arm ARM DDI 0487, C5.2 ELR_${level}`,
    fields: ELR_FIELDS,
  },
]);
