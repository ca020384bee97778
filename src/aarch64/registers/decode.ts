/**
 * The one decoder for all registers: it picks the layout that applies and reads the fields of it.
 */
import { BREAKPOINT_REGISTERS } from "./breakpoints.ts";
import { CACHE_REGISTERS } from "./caches.ts";
import { CONTROL_REGISTERS } from "./control.ts";
import { DEBUG_REGISTERS } from "./debug.ts";
import { EXCEPTION_REGISTERS } from "./exception.ts";
import { EXTENDED_TRANSLATION_REGISTERS } from "./extended-translation.ts";
import { HYPERVISOR_REGISTERS } from "./hypervisor.ts";
import { ID_REGISTERS } from "./id.ts";
import { EXTENDED_ID_REGISTERS } from "./id-extended.ts";
import { MONITOR_REGISTERS } from "./monitor.ts";
import { PERMISSION_REGISTERS } from "./permissions.ts";
import { PSTATE_REGISTERS } from "./pstate.ts";
import { SOFTWARE_REGISTERS } from "./software.ts";
import { TIMER_REGISTERS } from "./timer.ts";
import { TRANSLATION_REGISTERS } from "./translation.ts";
import { TRAP_REGISTERS } from "./traps.ts";
import {
  type DecodedField,
  type LayoutCondition,
  type RegisterDescription,
  type RegisterField,
  type RegisterVariant,
  valueKey,
} from "./types.ts";

/** Every layout of every register there is a table for. Sources: `RegisterDescription.source` of each. */
export const REGISTER_DESCRIPTIONS: readonly RegisterDescription[] = [
  ...CONTROL_REGISTERS,
  ...TRAP_REGISTERS,
  ...TRANSLATION_REGISTERS,
  ...EXTENDED_TRANSLATION_REGISTERS,
  ...PERMISSION_REGISTERS,
  ...EXCEPTION_REGISTERS,
  ...PSTATE_REGISTERS,
  ...SOFTWARE_REGISTERS,
  ...HYPERVISOR_REGISTERS,
  ...MONITOR_REGISTERS,
  ...TIMER_REGISTERS,
  ...DEBUG_REGISTERS,
  ...BREAKPOINT_REGISTERS,
  ...ID_REGISTERS,
  ...EXTENDED_ID_REGISTERS,
  ...CACHE_REGISTERS,
];

const LAYOUTS = byName();

function byName(): ReadonlyMap<string, readonly RegisterDescription[]> {
  const layouts = new Map<string, RegisterDescription[]>();
  for (const description of REGISTER_DESCRIPTIONS) {
    const known = layouts.get(description.name);
    if (known === undefined) layouts.set(description.name, [description]);
    else known.push(description);
  }
  return layouts;
}

function applies(condition: LayoutCondition | undefined, variant: RegisterVariant): boolean {
  switch (condition?.kind) {
    case undefined:
      return true;
    case "e2h":
      return (variant.e2h ?? false) === condition.value;
    case "bit":
      return (((variant.value ?? 0n) >> BigInt(condition.bit)) & 1n) === BigInt(condition.value);
  }
}

const ALIAS = /^(\w+_EL[01])2$/;
const NUMBERED = /^(DBG[BW][CV]R)(?:[0-9]|[1-5][0-9]|6[0-3])_EL1$/;

/**
 * The name whose table a register shares. `SCTLR_EL12` and `CNTP_CTL_EL02` are the names by which EL2 reaches
 * registers of EL1 and EL0 (FEAT_VHE); breakpoints and watchpoints have one table for all numbers.
 */
function tableName(name: string): string {
  const alias = ALIAS.exec(name)?.[1];
  if (alias !== undefined) return alias;
  const bank = NUMBERED.exec(name)?.[1];
  return bank === undefined ? name : `${bank}<n>_EL1`;
}

/**
 * Finds the layout of a register by Arm's name (`SCTLR_EL1`, `SCTLR_EL12`, `DBGBCR5_EL1`, `cpsr`). Where a register
 * has several, `variant` chooses: HCR_EL2.E2H for SCTLR_EL2, TCR_EL2, TCR2_EL2, TTBR0_EL2, CPTR_EL2 and CNTHCTL_EL2,
 * the value itself for PAR_EL1 and SPSR_ELx. `undefined` for a register without a table.
 */
export function describeRegister(name: string, variant: RegisterVariant = {}): RegisterDescription | undefined {
  return LAYOUTS.get(tableName(name))?.find((description) => applies(description.when, variant));
}

/** Reads one field out of a 64-bit value. */
export function decodeField(field: RegisterField, value: bigint): DecodedField {
  const width = field.high - field.low + 1;
  const bits = (value >> BigInt(field.low)) & ((1n << BigInt(width)) - 1n);
  const meaning = field.values?.[valueKey(bits, width)] ?? field.meaning;
  return { name: field.name, value: bits, meaning, high: field.high, low: field.low };
}

/**
 * Reads the fields of a register, from the highest bit to the lowest; `[]` for a register without a table. `variant`
 * is as in `describeRegister`. Bits that belong to no field are left out: see `unnamedBits`.
 */
export function decodeFields(
  name: string,
  value: bigint,
  variant: { readonly e2h?: boolean } = {},
): readonly DecodedField[] {
  const fields = describeRegister(name, { ...variant, value })?.fields ?? [];
  return fields.map((field) => decodeField(field, value));
}

/**
 * The bits of `value` that are set and belong to no field of the layout: RES1, IMPLEMENTATION DEFINED, or newer than
 * the table. All bits for a register without a table.
 */
export function unnamedBits(name: string, value: bigint, variant: { readonly e2h?: boolean } = {}): bigint {
  let rest = BigInt.asUintN(64, value);
  for (const field of decodeFields(name, value, variant)) rest &= ~(field.value << BigInt(field.low));
  return rest;
}
