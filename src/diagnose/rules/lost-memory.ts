/**
 * What the machine needs while it runs, lost: its translation tables, its exception vectors.
 *
 * Source: UEFI 2.10, 7.2.1: memory of types EfiBootServicesCode and Data and EfiLoaderCode and Data is the OS's after ExitBootServices, while the firmware's
 * tables and vectors, which may lie there, are still in force. Arm ARM DDI 0487, D1.4.1: an exception that is taken to vectors that cannot
 * execute is an exception at the vector, for ever. C6.2 UDF: bits 31:16 of the word are 0.
 */
import { currentExceptionLevel } from "../../aarch64/machine-state.ts";
import type { WalkStep } from "../../aarch64/translate.ts";
import { hex } from "../../base/hex.ts";
import { PointView } from "../../diff/point-view.ts";
import { descriptorAt } from "../../efi/memory-map.ts";
import type { Point } from "../../snapshot/model.ts";
import { placeName } from "../place.ts";
import type { Study } from "../study.ts";
import { type PointWalk, walksOf } from "../walks.ts";
import { sceneOf, walksTo, wordText } from "./abort.ts";
import { bytesAt, hasLeft, outcomeText, placeLine, translationOf, viewOf, walkLines } from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

const ENTRIES_BYTES = 8;
/** One changed entry is a page unmapped, not a table lost. */
const FEW_ENTRIES = 2;

export function memoryTypeOf({ memoryMap }: Study, pa: bigint): string | undefined {
  return memoryMap?.map.state === "read" ? descriptorAt(memoryMap.map.descriptors, pa)?.typeName : undefined;
}

/** The address was mapped after the call, and the table it was mapped by has been overwritten since. */
export function tableMemoryReused({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.abort === undefined || !hasLeft(study.capture)) return undefined;
  const address = scene.far ?? scene.pc;
  const walks = walksTo(study, scene, address);
  const [after, now] = ["after", scene.fault.point].map((id) => walks.find(({ point }) => point === id));
  const lost = after && now && overwrittenTable(study, after, now);
  if (lost === undefined) return undefined;
  const { step, changed, entries } = lost;
  const type = memoryTypeOf(study, step.table);
  return {
    severity: "error",
    title: `The level ${step.level} translation table at ${hex(step.table)} was overwritten after ExitBootServices, and ${hex(address.address)} is not mapped any more.`,
    evidence: [
      `${placeName(scene.pc)} needed ${placeLine(address)}`,
      ...walkLines(walks, scene.codeLevel),
      `${changed} of ${entries} entries of the table are others than at ${after?.point}; the one for this address is ${hex(step.descriptor)}`,
      type === undefined
        ? "which type of memory the table lies in is not known"
        : `the table lies in memory of type ${type}`,
    ],
  };
}

interface OverwrittenTable {
  readonly step: WalkStep;
  readonly changed: number;
  readonly entries: number;
}

/** The table that a walk ends in now, when it went on there before and other entries changed with this one. */
function overwrittenTable(study: Study, before: PointWalk, now: PointWalk): OverwrittenTable | undefined {
  if (before.walked.result.mapped !== true || now.walked.result.mapped !== false) return undefined;
  const step = now.walked.steps.at(-1);
  const old = before.walked.steps.find(({ stage, level }) => stage === step?.stage && level === step.level);
  if (step === undefined || old?.table !== step.table || old.descriptor === step.descriptor) return undefined;
  const [a, b] = [before, now].map(({ point }) => {
    const at = study.capture.points.find(({ id }) => id === point);
    return at && bytesAt(viewOf(study, at), step.table & ~0xfffn, 4096);
  });
  if (a === undefined || b === undefined) return undefined;
  const entries = a.length / ENTRIES_BYTES;
  const changed = Array.from({ length: entries }, (_, i) => i * ENTRIES_BYTES).filter(
    (at) => Buffer.compare(a.subarray(at, at + ENTRIES_BYTES), b.subarray(at, at + ENTRIES_BYTES)) !== 0,
  ).length;
  return changed < FEW_ENTRIES ? undefined : { step, changed, entries };
}

const VECTORS_BYTES = 0x800n;
const VECTOR_BYTES = 0x80;

/** A vCPU stands in its vectors, and they cannot execute, are no code, or are not what they were. */
export function vectorsUnusable({ study }: Facts): Verdict | undefined {
  for (const point of study.capture.points) {
    if (!["fault", "later", "now"].includes(point.kind)) continue;
    for (const cpu of study.capture.threads.keys()) {
      const verdict = vectorsAt(study, point, cpu);
      if (verdict !== undefined) return verdict;
    }
  }
  return undefined;
}

function vectorsAt(study: Study, point: Point, cpu: number): Verdict | undefined {
  const view = viewOf(study, point, cpu);
  const level = currentExceptionLevel(view.registers);
  const [pc, vbar] = [view.registers.get("pc"), view.registers.get(`VBAR_EL${level}`)];
  if (pc === undefined || vbar === undefined || pc < vbar || pc >= vbar + VECTORS_BYTES) return undefined;
  const wrong = whatIsWrong(study, view, pc, vbar, level);
  if (wrong === undefined) return undefined;
  const [elr, esr] = [view.registers.get(`ELR_EL${level}`), view.registers.get(`ESR_EL${level}`)];
  const looping = elr !== undefined && elr >= vbar && elr < vbar + VECTORS_BYTES;
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
      ...walkLines(walksOf(study.capture, vbar, cpu, view.currentRegime), level),
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
  const bytes = bytesAt(view, slot, VECTOR_BYTES);
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
  view: PointView,
  slot: bigint,
  bytes: Uint8Array | undefined,
  vbar: bigint,
  level: number | undefined,
): string[] {
  if (bytes === undefined) return [];
  const earlier = capture.points.slice(0, capture.points.indexOf(view.point)).toReversed();
  for (const point of earlier) {
    const then = new PointView(capture, point, view.cpu);
    const old = bytesAt(then, slot, VECTOR_BYTES);
    if (old === undefined || then.registers.get(`VBAR_EL${level}`) !== vbar) continue;
    const same = Buffer.compare(old, bytes) === 0;
    return same ? [] : [`the ${VECTOR_BYTES} bytes at ${hex(slot)} are others than at ${point.id}`];
  }
  return [];
}

/** Another vCPU than the one that called ExitBootServices. */
export function otherVcpuFaulted({ study: { capture, fault } }: Facts): Verdict | undefined {
  const caller = capture.points.findLast(({ kind }) => kind === "before")?.cpu;
  if (fault === undefined || caller === undefined || fault.cpu === caller) return undefined;
  const at = fault.pc === undefined ? "" : ` at ${placeName(fault.pc)}`;
  return {
    severity: "error",
    title: `It is vCPU ${fault.cpu} that faulted, not vCPU ${caller}, which had called ExitBootServices.`,
    evidence: [
      `vCPU ${fault.cpu} took the exception${at}`,
      `its registers and tables may be others than the caller's: \`show FILE registers --at fault --cpu ${fault.cpu}\``,
    ],
  };
}
