/**
 * Data aborts by what the tables say, and PC and SP that are not aligned. Of external aborts: see external-abort.ts.
 *
 * Source: Arm ARM DDI 0487, D8.15 "Memory aborts" (which fault comes first), B2.8.2 "Alignment of data accesses": SCTLR_ELx.A, and any unaligned access to Device
 * memory; D8.2.12: with translation off, data accesses are to Device-nGnRnE. D1.3.8.2 "SP alignment checking".
 */
import { bit } from "../../base/bits.ts";
import { hex } from "../../base/hex.ts";
import { placeName } from "../place.ts";
import type { Study } from "../study.ts";
import { type AbortKind, instructionLine, type Scene, sceneOf, walksTo } from "./abort.ts";
import { NULL_PAGE } from "./bad-branch.ts";
import { accessAt, controlRegister, placeLine, translationOf, walkLines } from "./look.ts";
import { tableEditLines } from "./lost-tables.ts";
import type { Facts, Verdict } from "./rule.ts";

interface DataScene extends Scene {
  readonly far: NonNullable<Scene["far"]>;
  /** `read`, `wrote`, `did cache maintenance or address translation at` */
  readonly did: string;
}

export const DID = {
  read: "read",
  write: "wrote to",
  maintenance: "executed cache maintenance or address translation for",
  fetch: "fetched from",
} as const;

/** A data abort of one of these kinds, with its address. */
function dataScene(study: Study, ...kinds: readonly AbortKind[]): DataScene | undefined {
  const scene = sceneOf(study);
  const { abort, far } = scene ?? {};
  if (scene === undefined || abort === undefined || far === undefined) return undefined;
  if (abort.access === "fetch" || !kinds.includes(abort.kind)) return undefined;
  return { ...scene, far, did: DID[abort.access] };
}

function accessEvidence(study: Study, scene: DataScene): string[] {
  const { access, names } = study;
  const { fault, far, view, codeLevel } = scene;
  const loads = (access?.hops ?? []).flatMap(({ value: { loadedFrom } }) =>
    loadedFrom?.known ? [`the address came from ${placeLine(names.place(loadedFrom.value, view))}`] : [],
  );
  const base = access?.value === undefined ? [] : [`its base register ${access.base} = ${hex(access.value)}`];
  return [
    `at ${placeLine(scene.pc)}`,
    instructionLine(scene),
    `FAR_EL${fault.level} = ${placeLine(far)}`,
    ...walkLines(walksTo(study, scene, far), codeLevel),
    ...tableEditLines(study, scene, far),
    ...base,
    ...loads,
  ];
}

function error(study: Study, scene: DataScene, what: string): Verdict {
  const title = `${placeName(scene.pc)} ${scene.did} ${what}.`;
  return { severity: "error", title, evidence: accessEvidence(study, scene) };
}

/** How far from SP an access may lie to be one of the stack where the instruction is not known. */
const STACK_REACH = 0x1000n;

/** A push on, or a read from, a stack that is not there or not writable. */
export function stackNotMapped({ study }: Facts): Verdict | undefined {
  const scene = dataScene(study, "not mapped", "permission");
  if (scene === undefined || scene.abort?.onWalk) return undefined;
  const viaStack = study.access?.base === "sp";
  const stack = viaStack ? study.access?.value : scene.sp;
  if (stack === undefined || !(viaStack || (study.access === undefined && near(stack, scene.far.address))))
    return undefined;
  const denied = scene.abort?.kind === "permission";
  if (denied && !isReadOnly(scene)) return undefined;
  const how = denied ? "may not be written" : "is not mapped";
  return {
    severity: "error",
    title: `The stack ${how}: ${placeName(scene.pc)} ${scene.did} ${hex(scene.far.address)} with SP = ${hex(stack)}.`,
    evidence: accessEvidence(study, scene),
  };
}

function near(a: bigint, b: bigint): boolean {
  return (a < b ? b - a : a - b) < STACK_REACH;
}

/** A write, to what the tables at the fault map so that it may not be written. */
function isReadOnly(scene: DataScene): boolean {
  return scene.abort?.access === "write" && isDenied(scene) === true;
}

/** Whether the tables at the fault forbid what was tried; undefined where they do not tell. */
function isDenied({ regime, view, far, abort, codeLevel }: DataScene): boolean | undefined {
  const result = regime && translationOf(view, regime, far.address);
  if (result === undefined || result.mapped === null) return undefined;
  if (!result.mapped) return false;
  const access = accessAt(result, codeLevel);
  const allowed = abort?.access === "write" ? access.write : access.read;
  return allowed === null ? undefined : !allowed;
}

export function writeToReadOnly({ study }: Facts): Verdict | undefined {
  const scene = dataScene(study, "permission");
  if (scene === undefined || !isReadOnly(scene)) return undefined;
  const where =
    placeName(scene.far) === hex(scene.far.address)
      ? hex(scene.far.address)
      : `${hex(scene.far.address)} (${placeName(scene.far)})`;
  return error(study, scene, `${where}, which is mapped read-only`);
}

export function accessDenied({ study }: Facts): Verdict | undefined {
  const scene = dataScene(study, "permission");
  if (scene === undefined) return undefined;
  const denied = isDenied(scene);
  if (denied === true) return error(study, scene, `${hex(scene.far.address)}, which its mapping does not permit`);
  const unexplained = denied === false ? " that the tables at the fault do not explain" : "";
  return error(study, scene, `${hex(scene.far.address)} and took a permission fault${unexplained}`);
}

export function accessFlagFault({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.abort?.kind !== "access flag") return undefined;
  const address = scene.far ?? scene.pc;
  return {
    severity: "error",
    title: `${placeName(scene.pc)} ${DID[scene.abort.access]} ${hex(address.address)}, whose access flag is clear.`,
    evidence: [
      `at ${placeLine(scene.pc)}`,
      ...walkLines(walksTo(study, scene, address), scene.codeLevel),
      "descriptors have to set AF, bit 10, where hardware does not (TCR_ELx.HA)",
    ],
  };
}

export function unmappedAccess({ study }: Facts): Verdict | undefined {
  const scene = dataScene(study, "not mapped");
  if (scene === undefined) return undefined;
  const { address } = scene.far;
  if (address < NULL_PAGE) {
    const offset = address === 0n ? "" : ` at offset ${hex(address)}`;
    return error(study, scene, `a NULL pointer${offset}`);
  }
  return error(study, scene, `${hex(address)}, which is not mapped`);
}

export function alignmentFaultMmuOff({ study }: Facts): Verdict | undefined {
  const scene = dataScene(study, "alignment");
  const off = scene?.regime?.enabled === false;
  const flat = scene?.regime?.controls;
  if (scene === undefined || !off || flat?.stage !== 1 || flat.flat !== "device") return undefined;
  const { name, value } = controlRegister(scene.view, scene.regime?.name ?? "EL1&0");
  return {
    severity: "error",
    title: `${placeName(scene.pc)} ${scene.did} ${hex(scene.far.address)}, which is not aligned for that access, with the MMU off: all memory is Device memory then.`,
    evidence: [
      `${name} = ${value === undefined ? "not known" : hex(value)}: M is 0`,
      ...mmuHistory(study, scene),
      ...accessEvidence(study, scene),
    ],
  };
}

/** Where M was 1 before. */
function mmuHistory(study: Study, scene: DataScene): string[] {
  const on = walksTo(study, scene, scene.far).flatMap(({ regime, point }) => (regime.enabled ? [point] : []));
  return on.length === 0 ? [] : [`the MMU was on at ${on.join(", ")}`];
}

export function alignmentFault({ study }: Facts): Verdict | undefined {
  const scene = dataScene(study, "alignment");
  if (scene === undefined) return undefined;
  const result = scene.regime && translationOf(scene.view, scene.regime, scene.far.address);
  const memory = result?.mapped === true ? result.attributes.memory : undefined;
  const { name, value } = controlRegister(scene.view, scene.regime?.name ?? "EL1&0");
  const checked = value !== undefined && bit(value, 1);
  const why = memory?.startsWith("Device") ? `, in ${memory} memory` : checked ? `, and ${name}.A is 1` : "";
  return error(study, scene, `${hex(scene.far.address)}, which is not aligned for that access${why}`);
}

export function spAlignment({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.ec !== 0x26) return undefined;
  const { sp } = scene;
  return {
    severity: "error",
    title: `${placeName(scene.pc)} used SP${sp === undefined ? "" : ` = ${hex(sp)}`}, which is not a multiple of 16.`,
    evidence: [`at ${placeLine(scene.pc)}`, instructionLine(scene)],
  };
}

export function pcAlignment({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.ec !== 0x22) return undefined;
  const { linkRegister } = scene.fault;
  return {
    severity: "error",
    title: `The guest branched to ${hex(scene.pc.address)}, which is no multiple of 4: that is no address of code.`,
    evidence: [
      `ELR_EL${scene.fault.level} = ${placeLine(scene.pc)}`,
      ...(linkRegister ? [`x30 = ${placeLine(linkRegister)}`] : []),
    ],
  };
}
