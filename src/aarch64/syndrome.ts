/**
 * Exception syndromes: what ESR_ELx says about the exception that was taken.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, ESR_EL2, ESR_EL3. EC [31:26] is the class, IL [25] the length of the
 * instruction, ISS [24:0] and ISS2 [55:32] the details, whose layout depends on EC (registers/syndrome-fields.ts).
 */
import { decodeField } from "./registers/decode.ts";
import { type SystemEncoding, systemRegisterName } from "./registers/encodings.ts";
import { exceptionClass } from "./registers/exception-classes.ts";
import { faultStatus } from "./registers/fault-status.ts";
import { syndromeFields } from "./registers/syndrome-fields.ts";
import type { DecodedField } from "./registers/types.ts";

/** ESR_ELx in parts and in words. `fields` are those of ISS (and of ISS2, if it is not zero); EC and IL are apart. */
export interface Syndrome {
  readonly ec: number;
  readonly ecName: string;
  /** True for a 32-bit instruction, and for most exceptions that no instruction caused. */
  readonly il: boolean;
  readonly iss: number;
  readonly fields: readonly DecodedField[];
  /** One plain sentence. */
  readonly summary: string;
}

type Fields = ReadonlyMap<string, DecodedField>;

function meaningOf(fields: Fields, name: string): string {
  return fields.get(name)?.meaning ?? "not given";
}

function numberOf(fields: Fields, name: string): number {
  return Number(fields.get(name)?.value ?? 0n);
}

function isSet(fields: Fields, name: string): boolean {
  return numberOf(fields, name) === 1;
}

/** Words for IFSC, DFSC or xFSC; a code without words is reserved. */
function faultWords(fields: Fields, name: string): string {
  const code = numberOf(fields, name);
  return faultStatus(code) ?? `reserved fault status ${hex(code)}`;
}

function walkWords(fields: Fields): string {
  return isSet(fields, "S1PTW") ? ", in stage 2 during a stage 1 table walk" : "";
}

function dataAbortWords(fields: Fields): string {
  const access = isSet(fields, "CM")
    ? "a cache maintenance or address translation instruction"
    : `a ${meaningOf(fields, "WnR")}`;
  return `${faultWords(fields, "DFSC")}, on ${access}${walkWords(fields)}`;
}

function encodingOf(fields: Fields): SystemEncoding {
  return {
    op0: numberOf(fields, "Op0"),
    op1: numberOf(fields, "Op1"),
    crn: numberOf(fields, "CRn"),
    crm: numberOf(fields, "CRm"),
    op2: numberOf(fields, "Op2"),
  };
}

/** The register or instruction that a trap names. DBGDTRTX_EL0 is DBGDTRRX_EL0 when it is written. */
function trappedName(fields: Fields): string {
  const name = systemRegisterName(encodingOf(fields));
  return name === "DBGDTRRX_EL0" && !isSet(fields, "Direction") ? "DBGDTRTX_EL0" : name;
}

function registerName(number: number): string {
  return number === 31 ? "XZR" : `X${number}`;
}

/** The trapped instruction as an assembler writes it: "MRS X3, SCTLR_EL1", "TLBI VAE1IS, X0". */
function systemInstruction(fields: Fields): string {
  const name = trappedName(fields);
  const register = registerName(numberOf(fields, "Rt"));
  const isRead = isSet(fields, "Direction");
  if (numberOf(fields, "Op0") < 2 && !isRead) return `${name}, ${register}`;
  return isRead ? `MRS ${register}, ${name}` : `MSR ${name}, ${register}`;
}

/** The same for the instructions on 128 bits: "MRRS X2, X3, TTBR0_EL1", and SYSP by the name of the 64-bit instruction. */
function systemInstruction128(fields: Fields): string {
  const name = trappedName(fields);
  const number = 2 * numberOf(fields, "Rt");
  const registers = `${registerName(number)}, ${registerName(number + 1)}`;
  if (isSet(fields, "Direction")) return `MRRS ${registers}, ${name}`;
  return numberOf(fields, "Op0") < 2 ? `${name}, ${registers}` : `MSRR ${name}, ${registers}`;
}

function errorWords(fields: Fields): string {
  if (isSet(fields, "IDS")) return "IMPLEMENTATION DEFINED syndrome";
  const type = fields.get("AET");
  const status = numberOf(fields, "DFSC");
  if (status === 0) return "uncategorized error";
  return type === undefined ? `reserved status 0x${status.toString(16)}` : type.meaning;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

const immediateWords = (fields: Fields): string => `immediate ${hex(numberOf(fields, "imm16"))}`;
const commentWords = (fields: Fields): string => `immediate ${hex(numberOf(fields, "Comment"))}`;
const instructionAbortWords = (fields: Fields): string => `${faultWords(fields, "IFSC")}${walkWords(fields)}`;
const watchpointWords = (fields: Fields): string => `on a ${meaningOf(fields, "WnR")}`;

/** What a summary adds after the name of the class. */
const DETAILS: ReadonlyMap<number, (fields: Fields) => string> = new Map([
  [0x01, (fields: Fields) => meaningOf(fields, "TI")],
  [0x0d, (fields: Fields) => `BTYPE ${numberOf(fields, "BTYPE")}`],
  [0x11, immediateWords],
  [0x12, immediateWords],
  [0x14, systemInstruction128],
  [0x15, immediateWords],
  [0x16, immediateWords],
  [0x17, immediateWords],
  [0x18, systemInstruction],
  [0x1a, (fields: Fields) => meaningOf(fields, fields.has("ERETA") ? "ERETA" : "ERET")],
  [0x1c, (fields: Fields) => `${meaningOf(fields, "DnI")}, ${meaningOf(fields, "BnA")}`],
  [0x1d, (fields: Fields) => meaningOf(fields, "SMTC")],
  [
    0x1e,
    (fields: Fields) =>
      `${faultWords(fields, "xFSC")}, on ${isSet(fields, "InD") ? "an instruction" : "a data"} access`,
  ],
  [0x20, instructionAbortWords],
  [0x21, instructionAbortWords],
  [0x24, dataAbortWords],
  [0x25, dataAbortWords],
  [0x27, (fields: Fields) => `${meaningOf(fields, "MemInst")} instruction`],
  [0x2d, (fields: Fields) => meaningOf(fields, "ExType")],
  [0x2f, errorWords],
  [0x34, watchpointWords],
  [0x35, watchpointWords],
  [0x38, commentWords],
  [0x3c, commentWords],
  [0x3d, (fields: Fields) => `taken ${meaningOf(fields, "SYNC")}`],
]);

function summarize(ec: number, ecName: string, fields: readonly DecodedField[]): string {
  if (ec === 0) return `${ecName} (for example an UNDEFINED instruction)`;
  const details = DETAILS.get(ec)?.(new Map(fields.map((field) => [field.name, field])));
  return details === undefined ? ecName : `${ecName}: ${details}`;
}

/** The register or instruction that EC 0x14 and 0x18 name over several fields, as one field more: ISS[21:1]. */
function withSystemRegister(ec: number, esr: bigint, fields: readonly DecodedField[]): readonly DecodedField[] {
  if (ec !== 0x18 && ec !== 0x14) return fields;
  const meaning = trappedName(new Map(fields.map((field) => [field.name, field])));
  return [{ name: "Register", value: (esr >> 1n) & 0x1fffffn, meaning, high: 21, low: 1 }, ...fields];
}

/**
 * Decodes a value of ESR_EL1, ESR_EL2 or ESR_EL3. Nothing is thrown: a reserved class or status code is called
 * reserved. Source: Arm ARM DDI 0487, D24.2 ESR_ELx.
 */
export function decodeSyndrome(esr: bigint): Syndrome {
  const ec = Number((esr >> 26n) & 0x3fn);
  const ecName = exceptionClass(ec) ?? `Reserved exception class 0x${ec.toString(16)}`;
  const fields = syndromeFields(esr).map((field) => decodeField(field, esr));
  return {
    ec,
    ecName,
    il: ((esr >> 25n) & 1n) === 1n,
    iss: Number(esr & 0x1ffffffn),
    fields: withSystemRegister(ec, esr, fields),
    summary: summarize(ec, ecName, fields),
  };
}
