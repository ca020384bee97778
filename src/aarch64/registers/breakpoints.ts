/**
 * Breakpoints and watchpoints: DBGBCR<n>_EL1, DBGBVR<n>_EL1, DBGWCR<n>_EL1, DBGWVR<n>_EL1, DBGVCR32_EL2.
 *
 * Source: Arm ARM DDI 0487, D24.3, the register of that name. One description serves all numbers; `<n>` in its name
 * stands for the number. When a breakpoint or watchpoint matches is told by HMC, SSC, SSCE and PMC (PAC) only
 * together, so a value of one alone has no words. DBGBVR<n>_EL1 is described as an address, which it is while
 * DBGBCR<n>_EL1.BT is 0b000x or 0b010x; for the other types it holds a Context ID ([31:0], compared with EL2's in
 * [63:32]) or a VMID ([47:32]), and its value does not tell.
 */
import { bit, bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";

const LINK = once(() => [
  bits(31, 30, "LBNX", "Linked breakpoint, high bits of its number"),
  bit(29, "SSCE", "Security states, extension of SSC (FEAT_RME)"),
]);
const MASK = bits(28, 24, "MASK", "Number of low address bits that are ignored");
const STATES = once(() => [
  bits(19, 16, "LBN", "Linked breakpoint, low bits of its number"),
  bits(15, 14, "SSC", "Security states, with HMC"),
  bit(13, "HMC", "Higher Exception levels, with SSC"),
]);

/** BT, whose lowest bit says whether the breakpoint is linked. */
const BREAKPOINT_TYPES = {
  "0b0000": "address match",
  "0b0001": "address match, linked",
  "0b0010": "Context ID match",
  "0b0011": "Context ID match, linked",
  "0b0100": "address mismatch",
  "0b0101": "address mismatch, linked",
  "0b0110": "CONTEXTIDR_EL1 match",
  "0b0111": "CONTEXTIDR_EL1 match, linked",
  "0b1000": "VMID match",
  "0b1001": "VMID match, linked",
  "0b1010": "VMID and Context ID match",
  "0b1011": "VMID and Context ID match, linked",
  "0b1100": "CONTEXTIDR_EL2 match",
  "0b1101": "CONTEXTIDR_EL2 match, linked",
  "0b1110": "CONTEXTIDR_EL1 and CONTEXTIDR_EL2 match",
  "0b1111": "CONTEXTIDR_EL1 and CONTEXTIDR_EL2 match, linked",
} as const;

const DBGBCR_FIELDS = once(() => [
  ...LINK(),
  MASK,
  bits(23, 20, "BT", "Type of the breakpoint", BREAKPOINT_TYPES),
  ...STATES(),
  bits(8, 5, "BAS", "Halfwords that match", {
    "0b0011": "the lower halfword, T32",
    "0b1100": "the upper halfword, T32",
    "0b1111": "the word, A64 and A32",
  }),
  bit(3, "BT2", "Address breakpoint that others may link to (FEAT_ABLE)", "no", "yes"),
  bits(2, 1, "PMC", "Exception levels, with HMC and SSC"),
  bit(0, "E", "Breakpoint", "disabled", "enabled"),
]);

const DBGWCR_FIELDS = once(() => [
  ...LINK(),
  MASK,
  bit(22, "WT2", "Watchpoint on (FEAT_BWE2)", "address match", "address mismatch"),
  bit(20, "WT", "Link to a breakpoint", "unlinked", "linked"),
  ...STATES(),
  bits(12, 5, "BAS", "Bytes that are watched, one bit for each"),
  bits(4, 3, "LSC", "Accesses that are watched", {
    "0b00": "reserved: disabled",
    "0b01": "loads",
    "0b10": "stores",
    "0b11": "loads and stores",
  }),
  bits(2, 1, "PAC", "Exception levels, with HMC and SSC"),
  bit(0, "E", "Watchpoint", "disabled", "enabled"),
]);

function address(high: string): readonly RegisterField[] {
  return [
    bits(63, 57, "RESS", "Copies of the sign bit of the address"),
    bits(56, 53, "VA[56:53]", `${high}, bits 56 to 53 (FEAT_LVA3), or RESS`),
    bits(52, 49, "VA[52:49]", `${high}, bits 52 to 49 (FEAT_LVA), or RESS`),
    bits(48, 2, "VA[48:2]", `${high}, bits 48 to 2`),
  ];
}

/** DBGVCR32_EL2 has one bit a vector, for each of two Security states. */
function vectorCatch(top: number, prefix: string, state: string): readonly RegisterField[] {
  const vectors = ["FIQ", "IRQ", null, "Data Abort", "Prefetch Abort", "Supervisor Call", "Undefined Instruction"];
  const letters = ["F", "I", null, "D", "P", "S", "U"];
  return vectors.flatMap((vector, index) =>
    vector === null
      ? []
      : [bit(top - index, `${prefix}${letters[index]}`, `Catch of ${vector}, ${state}`, "off", "on")],
  );
}

const BREAKPOINT_ADDRESS = once(() => address("Address (see BT)"));
const WATCHPOINT_ADDRESS = once(() => address("Address"));
const DBGVCR32_FIELDS = once(() => [...vectorCatch(31, "NS", "Non-secure"), ...vectorCatch(7, "S", "Secure")]);

const TABLES: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["DBGBCR<n>_EL1", "Debug Breakpoint Control Register", DBGBCR_FIELDS],
  ["DBGBVR<n>_EL1", "Debug Breakpoint Value Register, as an address", BREAKPOINT_ADDRESS],
  ["DBGWCR<n>_EL1", "Debug Watchpoint Control Register", DBGWCR_FIELDS],
  ["DBGWVR<n>_EL1", "Debug Watchpoint Value Register", WATCHPOINT_ADDRESS],
  ["DBGVCR32_EL2", "Debug Vector Catch Register (AArch32)", DBGVCR32_FIELDS],
];

/** DBGBCR, DBGBVR, DBGWCR, DBGWVR, DBGVCR32_EL2. Source: Arm ARM DDI 0487, D24.3. */
export const BREAKPOINT_REGISTERS: readonly RegisterDescription[] = TABLES.map(([name, title, fields]) =>
  described("D24.3", name, title, fields),
);
