/**
 * Encodings of System registers and System instructions, as a trapped MSR, MRS or SYS reports them in ESR_ELx.
 *
 * Source: Arm ARM DDI 0487, D24 (each register, "Accessing …") for op0 2 and 3; C5.3 to C5.9 for op0 1. The tables are
 * text and are parsed when the first name is asked for: most runs of the program never ask.
 *
 * An encoding is also one number of 16 bits, as it stands in bits 20:5 of the instruction: op0 [15:14], op1 [13:11], CRn [10:7], CRm [6:3],
 * op2 [2:0].
 */
import { INSTRUCTION_ENCODINGS, NUMBERED_ENCODINGS, REGISTER_ENCODINGS } from "./encoding-table.ts";

/** The five numbers that name a System register or System instruction. */
export interface SystemEncoding {
  readonly op0: number;
  readonly op1: number;
  readonly crn: number;
  readonly crm: number;
  readonly op2: number;
}

/** The encoding as one number. The parts are in range. */
export function encodingOf({ op0, op1, crn, crm, op2 }: SystemEncoding): number {
  return (op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2;
}

export function encodingParts(encoding: number): SystemEncoding {
  return {
    op0: (encoding >>> 14) & 3,
    op1: (encoding >>> 11) & 7,
    crn: (encoding >>> 7) & 15,
    crm: (encoding >>> 3) & 15,
    op2: encoding & 7,
  };
}

let names: ReadonlyMap<string, string> | undefined;

function parseTables(): ReadonlyMap<string, string> {
  const parsed = new Map<string, string>();
  addTable(parsed, REGISTER_ENCODINGS);
  addTable(parsed, INSTRUCTION_ENCODINGS);
  for (const line of NUMBERED_ENCODINGS.trim().split("\n")) addRun(parsed, line);
  return parsed;
}

/** Adds groups `op0 op1 CRn CRm: op2 name, …`, of which a line may hold several with `; ` between. */
function addTable(parsed: Map<string, string>, table: string): void {
  for (const group of table.trim().split(/\n|; /)) {
    const [place, entries] = group.split(": ");
    for (const entry of entries?.split(", ") ?? []) {
      const space = entry.indexOf(" ");
      parsed.set(`${place} ${entry.slice(0, space)}`, entry.slice(space + 1));
    }
  }
}

/** Adds a line `op0 op1 CRn CRm op2 +step name first-last`; `#` in the name stands for the number. */
function addRun(parsed: Map<string, string>, line: string): void {
  const [op0, op1, crn, crm, op2, step, name, range] = line.split(" ");
  const [first, last] = (range ?? "").split("-").map(Number);
  let place = Number(crm) * 8 + Number(op2);
  for (let index = first ?? 0; index <= (last ?? -1); index += 1) {
    parsed.set(`${op0} ${op1} ${crn} ${place >> 3} ${place & 7}`, (name ?? "").replace("#", String(index)));
    place += Number(step);
  }
}

/**
 * Names a System register ("SCTLR_EL1") or System instruction ("TLBI VAE1IS"). An encoding that is not in the table
 * gets the name an assembler accepts: "S3_0_C15_C2_0". DBGDTRRX_EL0 and DBGDTRTX_EL0 share an encoding; the name is
 * the one for reading. Source: Arm ARM DDI 0487, D24 and C5.
 */
export function systemRegisterName(encoding: SystemEncoding): string {
  const { op0, op1, crn, crm, op2 } = encoding;
  names ??= parseTables();
  return names.get(`${op0} ${op1} ${crn} ${crm} ${op2}`) ?? `S${op0}_${op1}_C${crn}_C${crm}_${op2}`;
}

/** The name of an encoding that is one number: see systemRegisterName. */
export function systemNameOf(encoding: number): string {
  return systemRegisterName(encodingParts(encoding));
}

let numbers: ReadonlyMap<string, number> | undefined;

/** The encoding of a name as `systemNameOf` writes it; undefined when the table does not have it. */
export function encodingNamed(name: string): number | undefined {
  numbers ??= new Map(allSystemEncodings().map(([place, each]) => [each, encodingAt(place)]));
  return numbers.get(name);
}

/** `op0 op1 CRn CRm op2` */
function encodingAt(place: string): number {
  const [op0 = 0, op1 = 0, crn = 0, crm = 0, op2 = 0] = place.split(" ").map(Number);
  return encodingOf({ op0, op1, crn, crm, op2 });
}

/** The registers and instructions that have a name, as `op0 op1 CRn CRm op2` and the name; for tests of the tables. */
export function allSystemEncodings(): readonly (readonly [place: string, name: string])[] {
  names ??= parseTables();
  return [...names];
}
