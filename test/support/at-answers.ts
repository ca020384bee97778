/**
 * What the CPU answered (PAR_EL1, ESR_ELx) against what ebscope says of the same address. Takes nothing but types (and a fault's name) from src.
 *
 * Source: Arm ARM DDI 0487, D24.2 PAR_EL1 (F = 0: PA, ATTR, SH; F = 1: S, PTW, FST), MAIR_EL1 (ATTR), ESR_EL1 (EC; ISS of an
 * Instruction Abort, whose IFSC is coded as FST is).
 */
import type { Attributes } from "../../src/aarch64/attributes.ts";
import { faultText, type TranslationFault } from "../../src/aarch64/fault.ts";
import type { Access } from "../../src/aarch64/permissions.ts";
import type { Translation } from "../../src/aarch64/translate.ts";
import type { Configuration, Probe } from "./at-guest.ts";
import { knownDifferences, type QemuVersion } from "./at-known.ts";

type FaultKind = "address size" | "translation" | "access flag" | "permission";

/** An answer in words. */
export type Answer =
  | { readonly kind: "done"; readonly pa: bigint; readonly memory: string; readonly shareability: string }
  | { readonly kind: "executed" }
  | Fault;

interface Fault {
  readonly kind: "fault";
  readonly fault: FaultKind;
  readonly level: number;
  /** Undefined for a fetch: an abort that EL0 brought to EL1 looks like one that stage 2 brought to EL2. */
  readonly stage: 1 | 2 | undefined;
  readonly onWalk: boolean;
}

const FAULTS: readonly FaultKind[] = ["address size", "translation", "access flag", "permission"];

/** A fault status code: PAR_EL1.FST or ISS.IFSC. */
function faultStatus(code: number): { fault: FaultKind; level: number } {
  const fault = FAULTS[code >> 2];
  if (fault !== undefined) return { fault, level: code & 3 };
  if (code === 0b101001) return { fault: "address size", level: -1 };
  if (code === 0b101011) return { fault: "translation", level: -1 };
  throw new Error(`a fault status that no walk here can have: ${code.toString(2)}`);
}

function field(value: bigint, low: number, width: number): number {
  return Number((value >> BigInt(low)) & ((1n << BigInt(width)) - 1n));
}

function readPar(par: bigint): Answer {
  if (field(par, 0, 1) === 1) {
    const stage = field(par, 9, 1) === 1 ? 2 : 1;
    return { kind: "fault", ...faultStatus(field(par, 1, 6)), stage, onWalk: field(par, 8, 1) === 1 };
  }
  const shareability = ["none", "reserved", "outer", "inner"][field(par, 7, 2)] ?? "";
  return { kind: "done", pa: par & 0x000f_ffff_ffff_f000n, memory: memoryWords(field(par, 56, 8)), shareability };
}

const EC_INSTRUCTION_ABORT = [0x20, 0x21];
const EC_BRK = 0x3c;

function readSyndrome(esr: bigint): Answer {
  const ec = field(esr, 26, 6);
  if (ec === EC_BRK) return { kind: "executed" };
  if (!EC_INSTRUCTION_ABORT.includes(ec)) throw new Error(`a fetch ended in exception class 0x${ec.toString(16)}`);
  return { kind: "fault", ...faultStatus(field(esr, 0, 6)), stage: undefined, onWalk: field(esr, 7, 1) === 1 };
}

const DEVICE = ["Device-nGnRnE", "Device-nGnRE", "Device-nGRE", "Device-GRE"];

/** An attribute as in MAIR_EL1, in the words of issue 4's contract. */
function memoryWords(attr: number): string {
  const half = (bits: number): string => {
    if (bits === 4) return "NC";
    const hints = `${bits & 2 ? "RA" : ""}${bits & 1 ? "WA" : ""}` || "NA";
    return `${bits & 4 ? "WB" : "WT"} ${hints}${bits & 8 ? "" : " transient"}`;
  };
  if (attr < 16) return DEVICE[attr >> 2] ?? "";
  const [outer, inner] = [half(attr >> 4), half(attr & 15)];
  return outer === inner ? `Normal ${outer}` : `Normal outer ${outer} inner ${inner}`;
}

/** The privilege and the kind of access that a column asks about. */
interface Question {
  readonly unprivileged: boolean;
  readonly access: keyof Access;
  readonly pan: boolean;
}

function questionOf(column: string): Question {
  const [, letter = "", level, suffix] = /^([enpx])(\d)([rw]?)$/.exec(column) ?? [];
  const access = letter === "x" ? "execute" : suffix === "w" ? "write" : "read";
  return { unprivileged: level === "0", access, pan: letter === "p" };
}

/** Whether ebscope allows the access; with PSTATE.PAN, not to data that EL0 may access (D8.4). */
function allows(attributes: Attributes, { unprivileged, access, pan }: Question): boolean | null | undefined {
  if (pan && (attributes.el0?.read || attributes.el0?.write)) return false;
  return unprivileged ? attributes.el0?.[access] : attributes[access];
}

/** In what ebscope's words differ from an answer: the first of these that does. */
export type Aspect = "mapping" | "permission" | "access flag" | "address" | "memory" | "shareability";

interface Difference {
  readonly aspect: Aspect;
  /** What ebscope says. */
  readonly ebscope: string;
}

function differs(aspect: Aspect, ebscope: string): Difference {
  return { aspect, ebscope };
}

function difference(
  said: Translation,
  answer: Answer,
  question: Question,
  configuration: Configuration,
  va: bigint,
): Difference | undefined {
  if (said.mapped === null) return differs("mapping", `cannot tell (${said.why})`);
  if (answer.kind === "fault" && question.unprivileged && isDenied(configuration, va)) return denial(said, answer);
  if (!said.mapped) {
    return answer.kind === "fault" ? otherFault(said.fault, answer) : differs("mapping", `not mapped: ${said.why}`);
  }
  if (answer.kind === "fault") return unexpectedFault(said.attributes, answer, question, configuration);
  const { attributes, pa } = said;
  const allowed = allows(attributes, question);
  if (allowed !== true) return differs("permission", `${question.access}: ${allowed}`);
  if (!attributes.accessFlag && !configuration.setsAccessFlag) return differs("access flag", "AF is 0");
  if (answer.kind === "executed") return undefined;
  if ((pa & ~0xfffn) !== answer.pa) return differs("address", `pa 0x${pa.toString(16)}`);
  if (attributes.memory !== answer.memory) return differs("memory", attributes.memory);
  if (attributes.shareability === answer.shareability) return undefined;
  return differs("shareability", `shareability: ${attributes.shareability}`);
}

/** TCR_EL1.E0PD0 and E0PD1: every access of EL0 to that half is a Translation fault, level 0, mapped or not (FEAT_E0PD). */
function isDenied({ regime, registers }: Configuration, va: bigint): boolean {
  return regime.includes("&") && field(registers.tcr ?? 0n, field(va, 55, 1) === 1 ? 56 : 55, 1) === 1;
}

function denial(said: Translation, answer: Fault): Difference | undefined {
  if (answer.fault !== "translation" || answer.level !== 0) return differs("mapping", "denied by E0PD");
  if (said.mapped !== true) return undefined;
  const { el0 } = said.attributes;
  const denied = el0 !== null && !el0.read && !el0.write && !el0.execute;
  return denied ? undefined : differs("permission", "EL0 is not denied");
}

function otherFault(said: TranslationFault, answer: Fault): Difference | undefined {
  // What stage 1 forbids does not get to stage 2; another access to the same address does.
  if (answer.fault === "permission" && answer.stage !== 2 && said.stage === 2 && !said.onWalk) return undefined;
  const same =
    said.kind === answer.fault &&
    said.level === answer.level &&
    said.onWalk === answer.onWalk &&
    (answer.stage === undefined || said.stage === answer.stage);
  return same ? undefined : differs("mapping", faultText(said));
}

/** What is mapped may fault for its permissions or its access flag only. */
function unexpectedFault(
  attributes: Attributes,
  answer: Fault,
  question: Question,
  { setsAccessFlag }: Configuration,
): Difference | undefined {
  const { level, accessFlag } = attributes;
  const allowed = allows(attributes, question);
  if (answer.onWalk) return differs("mapping", "mapped");
  switch (answer.fault) {
    case "permission":
      if (allowed !== false) return differs("permission", `${question.access}: ${allowed}`);
      return answer.stage !== 1 || level === answer.level ? undefined : differs("mapping", `level ${level}`);
    case "access flag":
      return accessFlag || setsAccessFlag ? differs("access flag", "AF is 1") : undefined;
    case "translation":
    case "address size":
      return differs("mapping", "mapped");
  }
}

export interface Disagreement {
  readonly configuration: string;
  readonly va: string;
  readonly column: string;
  readonly cpu: string;
  readonly ebscope: string;
}

export interface Comparison {
  readonly version: QemuVersion;
  /** Answers looked at. */
  compared: number;
  readonly found: Disagreement[];
  /** How many answers differ in each of the known ways (at-known.ts). */
  readonly known: Map<string, number>;
}

/** Adds to `into` how the answers of one address compare with `said`, ebscope's translation of it. */
export function compareProbe(into: Comparison, configuration: Configuration, probe: Probe, said: Translation): void {
  const { va } = probe;
  for (const [column, value] of probe.answers) {
    if (value === undefined) continue;
    into.compared++;
    const question = questionOf(column);
    const answer = question.access === "execute" ? readSyndrome(value) : readPar(value);
    const found = difference(said, answer, question, configuration, va);
    if (found === undefined) continue;
    const { aspect, ebscope } = found;
    const known = knownDifferences(into.version).find(
      (each) => each.aspect === aspect && each.applies({ configuration, va, answer, said }),
    );
    if (known !== undefined) into.known.set(known.name, (into.known.get(known.name) ?? 0) + 1);
    else {
      const cpu = answerText(answer);
      into.found.push({ configuration: configuration.name, va: `0x${va.toString(16)}`, column, cpu, ebscope });
    }
  }
}

function answerText(answer: Answer): string {
  switch (answer.kind) {
    case "done":
      return `pa 0x${answer.pa.toString(16)}, ${answer.memory}, shareability: ${answer.shareability}`;
    case "executed":
      return "executed";
    case "fault": {
      const { stage, fault, level, onWalk } = answer;
      return `${stage === 2 ? "stage 2 " : ""}${fault} fault, level ${level}${onWalk ? ", on the walk" : ""}`;
    }
  }
}
