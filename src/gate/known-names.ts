/** Names in a policy that can be checked before there is a capture: of registers, fields, memory types, findings. */
import { allSystemEncodings, describeRegister } from "../aarch64/registers/index.ts";
import { nearNames } from "../base/near.ts";
import { RULES } from "../diagnose/findings.ts";
import { orList } from "../document/index.ts";
import { MEMORY_TYPES } from "../efi/structures.ts";
import { pattern } from "./pattern.ts";
import { NONE } from "./selector.ts";

/** What is wrong with a name, and what to do about it. */
export interface NameFault {
  readonly message: string;
  readonly cure: string;
}

const GENERAL = [...Array.from({ length: 31 }, (_, i) => `x${i}`), "sp", "pc", "cpsr", "fpsr", "fpcr"];
let registers: ReadonlySet<string> | undefined;

function knownRegisters(): ReadonlySet<string> {
  // Instructions have a name of two words.
  registers ??= new Set([
    ...GENERAL,
    ...allSystemEncodings().flatMap(([, name]) => (name.includes(" ") ? [] : [name])),
  ]);
  return registers;
}

const WILD = /[*?]/;

/** Of a register that is like none that is known, nothing is said: a CPU may have it. */
export function registerFault(name: string): NameFault | undefined {
  const levels = name.endsWith("_ELx") ? [1, 2, 3].map((level) => name.replace(/x$/, String(level))) : [name];
  if (WILD.test(name) || levels.some((each) => knownRegisters().has(each))) return undefined;
  const near = nearNames(levels[0] ?? name, [...knownRegisters()], 3);
  if (near.length === 0) return undefined;
  return { message: `There is no register ${name}`, cure: `Did you mean ${orList(near)}?` };
}

export function fieldFault(register: string, field: string): NameFault | undefined {
  if (WILD.test(register) || WILD.test(field)) return undefined;
  const levels = register.endsWith("_ELx") ? ["1", "2", "3"].map((level) => register.replace(/x$/, level)) : [register];
  const names = new Set(levels.flatMap(fieldsOf));
  if (names.has(field)) return undefined;
  if (names.size === 0)
    return { message: `The fields of ${register} are not known`, cure: `Use bits: ${register} & 0x1 == 0x1.` };
  const near = nearNames(field, [...names], 2);
  const cure = near.length > 0 ? `Did you mean ${orList(near)}?` : `It has ${[...names].join(", ")}.`;
  return { message: `${register} has no field ${field}`, cure };
}

/** In any layout that the register may have. */
function fieldsOf(register: string): string[] {
  const variants = [false, true].flatMap((e2h) => [0n, (1n << 64n) - 1n].map((value) => ({ e2h, value })));
  return variants.flatMap((variant) => describeRegister(register, variant)?.fields.map(({ name }) => name) ?? []);
}

export function memoryTypeFault(name: string): NameFault | undefined {
  const known = [NONE, ...MEMORY_TYPES];
  // As memoryTypeName of efi/structures.ts calls those without a name.
  if (known.includes(name) || /^(?:OEM type|OS loader type|memory type) /.test(name)) return undefined;
  const near = nearNames(name, known);
  const cure = near.length > 0 ? `Did you mean ${orList(near)}?` : `There are ${known.join(", ")}.`;
  return { message: `There is no EFI_MEMORY_TYPE ${name}`, cure };
}

export function findingFault(name: string): NameFault | undefined {
  const known = Object.keys(RULES);
  const { matches } = pattern(name);
  if (known.some((each) => matches(each))) return undefined;
  const near = nearNames(name, known);
  const cure = near.length > 0 ? `Did you mean ${orList(near)}?` : "docs/findings.md lists them.";
  return { message: `There is no finding ${name}`, cure };
}
