/**
 * Exceptions: VBAR_ELx, ESR_ELx, FAR_ELx, ELR_ELx; errors: ISR_EL1, DISR_EL1, VDISR_EL2, VSESR_EL2, PFAR_ELx,
 * MFAR_EL3.
 *
 * Source: Arm ARM DDI 0487, D24.2 VBAR_EL1, ESR_EL1, FAR_EL1; C5.2 ELR_EL1; and the same for EL2 and EL3. The inside
 * of ESR_ELx.ISS depends on EC: see syndrome-fields.ts. D24.9 (RAS) for DISR_EL1, VDISR_EL2 and VSESR_EL2: the first
 * is described in its architected form (IDS = 0, AArch64), the others as for a virtual SError taken to AArch64.
 */
import { exceptionClass } from "./exception-classes.ts";
import { bit, bits, described, generated, once, type RegisterDescription, type RegisterField } from "./types.ts";

const VBAR_FIELDS = once(() => [bits(63, 11, "VBA", "Vector base address, 2 KiB aligned: VBA << 11")]);

const ESR_FIELDS = once(() => [
  bits(55, 32, "ISS2", "More of the instruction specific syndrome"),
  generated(31, 26, "EC", "Exception class", exceptionClass),
  bit(25, "IL", "Length of the instruction", "16-bit instruction", "32-bit instruction"),
  bits(24, 0, "ISS", "Instruction specific syndrome; depends on EC"),
]);

const FAR_FIELDS = once(() => [bits(63, 0, "VA", "Faulting virtual address")]);
const ELR_FIELDS = once(() => [bits(63, 0, "ADDR", "Address to return to")]);

const ISR_EL1_FIELDS = once(() => [
  bit(10, "IS", "IRQ with Superpriority", "not pending", "pending"),
  bit(9, "FS", "FIQ with Superpriority", "not pending", "pending"),
  bit(8, "A", "SError", "not pending", "pending"),
  bit(7, "I", "IRQ", "not pending", "pending"),
  bit(6, "F", "FIQ", "not pending", "pending"),
]);

const IDS = bit(24, "IDS", "Format of the syndrome", "architected", "IMPLEMENTATION DEFINED");
const ISS = bits(23, 0, "ISS", "Syndrome of the virtual SError");

const DISR_EL1_FIELDS = once(() => [
  bit(31, "A", "SError deferred by ESB", "no", "yes"),
  IDS,
  bits(17, 16, "WU", "Write update, as in ESR_ELx"),
  bits(12, 10, "AET", "Asynchronous error type, as in ESR_ELx"),
  bit(9, "EA", "External abort type (IMPLEMENTATION DEFINED)"),
  bit(7, "WnRV", "WnR is valid", "no", "yes"),
  bit(6, "WnR", "Write not Read", "read", "write"),
  bits(5, 0, "DFSC", "Data fault status code, as in ESR_ELx"),
]);

const VSESR_EL2_FIELDS = once(() => [IDS, ISS]);

const VDISR_EL2_FIELDS = once(() => [bit(31, "A", "Virtual SError deferred by ESB", "no", "yes"), IDS, ISS]);

const PHYSICAL_SPACE = once(() => [
  bit(63, "NS", "With NSE, the physical address space"),
  bit(62, "NSE", "With NS, the physical address space"),
]);

const PFAR_FIELDS = once(() => [
  ...PHYSICAL_SPACE(),
  bits(55, 52, "PA[55:52]", "Faulting physical address, bits 55 to 52 (FEAT_D128)"),
  bits(51, 48, "PA[51:48]", "Faulting physical address, bits 51 to 48 (FEAT_LPA)"),
  bits(47, 0, "PA", "Faulting physical address, bits 47 to 0"),
]);

const MFAR_FIELDS = once(() => [
  ...PHYSICAL_SPACE(),
  bits(55, 52, "FPA[55:52]", "Faulting physical address, bits 55 to 52 (FEAT_D128)"),
  bits(51, 48, "FPA[51:48]", "Faulting physical address, bits 51 to 48 (FEAT_LPA)"),
  bits(47, 12, "FPA", "Faulting physical address, bits 47 to 12"),
]);

const ERRORS: readonly (readonly [
  section: string,
  name: string,
  title: string,
  fields: () => readonly RegisterField[],
])[] = [
  ["D24.2", "ISR_EL1", "Interrupt Status Register", ISR_EL1_FIELDS],
  ["D24.9", "DISR_EL1", "Deferred Interrupt Status Register", DISR_EL1_FIELDS],
  ["D24.9", "VDISR_EL2", "Virtual Deferred Interrupt Status Register", VDISR_EL2_FIELDS],
  ["D24.9", "VSESR_EL2", "Virtual SError Exception Syndrome Register", VSESR_EL2_FIELDS],
  ["D24.2", "PFAR_EL1", "Physical Fault Address Register (EL1)", PFAR_FIELDS],
  ["D24.2", "PFAR_EL2", "Physical Fault Address Register (EL2)", PFAR_FIELDS],
  ["D24.2", "MFAR_EL3", "Physical Fault Address Register (EL3)", MFAR_FIELDS],
];

const LEVELS: readonly RegisterDescription[] = ["EL1", "EL2", "EL3"].flatMap((level) => [
  described("D24.2", `VBAR_${level}`, `Vector Base Address Register (${level})`, VBAR_FIELDS),
  described("D24.2", `ESR_${level}`, `Exception Syndrome Register (${level})`, ESR_FIELDS),
  described("D24.2", `FAR_${level}`, `Fault Address Register (${level})`, FAR_FIELDS),
  described("C5.2", `ELR_${level}`, `Exception Link Register (${level})`, ELR_FIELDS),
]);

/** VBAR_ELx, ESR_ELx, FAR_ELx, ELR_ELx, and the registers of errors. Source: Arm ARM DDI 0487, D24.2, D24.9, C5.2. */
export const EXCEPTION_REGISTERS: readonly RegisterDescription[] = [
  ...LEVELS,
  ...ERRORS.map(([section, name, title, fields]) => described(section, name, title, fields)),
];
