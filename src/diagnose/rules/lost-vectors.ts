/**
 * Exception vectors that cannot handle the exceptions that are taken to them.
 *
 * Source: Arm ARM DDI 0487, D1.4.1: an exception that is taken to vectors that cannot execute is an exception at the vector, for ever; which of
 * the four sets is used follows from the state that the exception was taken from, which SPSR_ELx has then: M<3:2> the Exception level, M<0> whether
 * it used SP_ELx, M<4> AArch32. C6.2 UDF: bits 31:16 of the word are 0.
 *
 * A vCPU that has not been started stands at an address too, often 0 where its VBAR_ELx is 0 as well: it took no exception.
 */
import { currentExceptionLevel } from "../../aarch64/machine-state.ts";
import { vectorAt } from "../../aarch64/vectors.ts";
import { bit, bitsNumber } from "../../base/bits.ts";
import { hex } from "../../base/hex.ts";
import type { Registers } from "../../base/registers.ts";
import type { PointView } from "../../diff/point-view.ts";
import { type Capture, type Point, pointRegisters } from "../../snapshot/model.ts";
import type { Study } from "../study.ts";
import { walksOf } from "../walks.ts";
import { wordText } from "./abort.ts";
import { bytesAt, keyPoints, outcomeText, placeLine, translationOf, viewOf, walkLines } from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

const VECTORS_BYTES = 0x800n;
const VECTOR_BYTES = 0x80;

/** vCPUs in their vectors that are looked at, of one point. */
const MOST_VCPUS = 64;

/** A vCPU has taken an exception to its vectors, and these cannot execute, are no code, or are not what they were. */
export function vectorsUnusable({ study }: Facts): Verdict | undefined {
  for (const point of keyPoints(study.capture)) {
    if (!["fault", "later", "now"].includes(point.kind)) continue;
    for (const cpu of inVectors(study.capture, point)) {
      const verdict = vectorsAt(study, point, cpu);
      if (verdict !== undefined) return verdict;
    }
  }
  return undefined;
}

/** The vCPUs that stand at a vector which they have taken an exception to, as far as the registers tell. */
function inVectors(capture: Capture, point: Point): readonly number[] {
  const found: number[] = [];
  for (const cpu of capture.threads.keys()) {
    const registers = pointRegisters(capture, point, cpu);
    const took = tookException(registers) && (cpu === point.cpu || hasRun(capture, point, cpu));
    if (took) found.push(cpu);
    if (found.length >= MOST_VCPUS) break;
  }
  return found;
}

/** Whether the pc is the first instruction of a vector of the kind that SPSR_ELx asks for. */
function tookException(registers: Registers): boolean {
  const level = currentExceptionLevel(registers);
  const [pc, vbar] = [registers.get("pc"), registers.get(`VBAR_EL${level}`)];
  if (level === undefined || pc === undefined || vbar === undefined || vectorAt(vbar, pc) === undefined) return false;
  const spsr = registers.get(`SPSR_EL${level}`);
  return spsr === undefined || setOf(spsr, level) === ((pc - vbar) & 0x600n);
}

/** The offset of the set of vectors for an exception from the state that SPSR_ELx holds. */
function setOf(spsr: bigint, level: number): bigint {
  if (bit(spsr, 4)) return 0x600n;
  if (bitsNumber(spsr, 3, 2) < level) return 0x400n;
  return bit(spsr, 0) ? 0x200n : 0n;
}

const GENERAL: readonly string[] = ["pc", "sp", ...Array.from({ length: 31 }, (_, i) => `x${i}`)];

/** Whether a vCPU has executed anything since the first point: a register that code or an exception sets is another. */
function hasRun(capture: Capture, point: Point, cpu: number): boolean {
  const [first] = capture.points;
  if (first === undefined || first === point) return false;
  const [then, now] = [pointRegisters(capture, first, cpu), pointRegisters(capture, point, cpu)];
  const level = currentExceptionLevel(now);
  return [`ELR_EL${level}`, `ESR_EL${level}`, ...GENERAL].some((name) => {
    const [was, is] = [then.get(name), now.get(name)];
    return was !== undefined && is !== undefined && was !== is;
  });
}

function vectorsAt(study: Study, point: Point, cpu: number): Verdict | undefined {
  const view = viewOf(study, point, cpu);
  const level = currentExceptionLevel(view.registers);
  const [pc, vbar] = [view.registers.get("pc"), view.registers.get(`VBAR_EL${level}`)];
  if (pc === undefined || vbar === undefined) return undefined;
  const wrong = whatIsWrong(study, view, pc, vbar, level);
  if (wrong === undefined) return undefined;
  const [elr, esr] = [view.registers.get(`ELR_EL${level}`), view.registers.get(`ESR_EL${level}`)];
  const looping = elr !== undefined && elr >= vbar && elr < vbar + VECTORS_BYTES;
  const points = keyPoints(study.capture);
  return {
    severity: wrong.severity,
    title:
      wrong.severity === "error"
        ? `The exception vectors at ${hex(vbar)} ${wrong.title}: exceptions of vCPU ${cpu} cannot be handled.`
        : `The exception vectors at ${hex(vbar)}, where vCPU ${cpu} stands, ${wrong.title}.`,
    evidence: [
      `VBAR_EL${level} = ${placeLine(study.names.place(vbar, view))}`,
      `pc = ${hex(pc)} at ${point.id}, in the vectors`,
      ...wrong.evidence,
      ...walkLines(walksOf({ ...study.capture, points }, vbar, cpu, view.currentRegime), level),
      ...(elr === undefined
        ? []
        : [
            `ELR_EL${level} = ${placeLine(study.names.place(elr, view))}${esr === undefined ? "" : `, ESR_EL${level} = ${hex(esr)}`}`,
          ]),
      ...(looping
        ? ["the last exception came from the vectors themselves: the first one is overwritten and not known"]
        : []),
    ],
  };
}

interface Wrong {
  /** Others than before, they may still do. */
  readonly severity: "error" | "warning";
  readonly title: string;
  readonly evidence: readonly string[];
}

function whatIsWrong(
  study: Study,
  view: PointView,
  pc: bigint,
  vbar: bigint,
  level: number | undefined,
): Wrong | undefined {
  const result = translationOf(view, view.regime(view.currentRegime), pc);
  if (result.mapped === null) return undefined;
  if (!result.mapped) return unusable("are not mapped");
  if (result.attributes.execute === false) {
    return unusable("cannot be executed", `the page of the pc is ${outcomeText(result, level)}`);
  }
  const slot = result.pa & ~BigInt(VECTOR_BYTES - 1);
  const bytes = bytesAt(view.point, slot, VECTOR_BYTES);
  const word = wordIn(bytes, Number(result.pa - slot));
  const changed = overwrittenSince(study, view, slot, bytes, vbar, level);
  if (word !== undefined && word >>> 16 === 0) {
    const why = `the word at the pc is 0x${wordText(word)}: UDF, an UNDEFINED instruction`;
    return unusable("hold no code", why, ...changed);
  }
  return changed.length === 0 ? undefined : { severity: "warning", title: "were overwritten", evidence: changed };
}

function unusable(title: string, ...evidence: readonly string[]): Wrong {
  return { severity: "error", title, evidence };
}

function wordIn(bytes: Uint8Array | undefined, offset: number): number | undefined {
  if (bytes === undefined || offset + 4 > bytes.length) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
}

/** Against the last point that has the memory and had the same VBAR. */
function overwrittenSince(
  { capture }: Study,
  { point: now, cpu }: PointView,
  slot: bigint,
  bytes: Uint8Array | undefined,
  vbar: bigint,
  level: number | undefined,
): string[] {
  if (bytes === undefined) return [];
  const points = keyPoints(capture);
  for (const point of points.slice(0, points.indexOf(now)).toReversed()) {
    const old = bytesAt(point, slot, VECTOR_BYTES);
    if (old === undefined || pointRegisters(capture, point, cpu).get(`VBAR_EL${level}`) !== vbar) continue;
    const same = Buffer.compare(old, bytes) === 0;
    return same ? [] : [`the ${VECTOR_BYTES} bytes at ${hex(slot)} are others than at ${point.id}`];
  }
  return [];
}
