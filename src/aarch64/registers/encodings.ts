/**
 * Encodings of System registers and System instructions, as a trapped MSR, MRS or SYS reports them in ESR_ELx.
 *
 * Source: Arm ARM DDI 0487, D24 (each register, "Accessing …") for op0 2 and 3; C5.3 to C5.9 for op0 1. The tables are
 * text and are parsed when the first name is asked for: most runs of the program never ask.
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

/** The registers and instructions that have a name, as `op0 op1 CRn CRm op2` and the name; for tests of the tables. */
export function allSystemEncodings(): readonly (readonly [place: string, name: string])[] {
  names ??= parseTables();
  return [...names];
}
