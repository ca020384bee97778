/**
 * Instruction aborts: execution went to where no code can run.
 *
 * Source: Arm ARM DDI 0487, D8.4 "Memory access control" and D8.15 "Memory aborts": a fetch from an address that does not translate is a Translation or an
 * Address size fault, one from an execute-never page a Permission fault; FAR_ELx has the address.
 */
import { hex } from "../../base/hex.ts";
import { type BranchSite, registerName } from "../../code/index.ts";
import type { Difference } from "../../diff/diff.ts";
import { type Place, placeName, placeText } from "../place.ts";
import type { Study } from "../study.ts";
import type { PointWalk } from "../walks.ts";
import { type Scene, sceneOf, walksTo } from "./abort.ts";
import { accessAt, placeLine, walkLines } from "./look.ts";
import { tableEditLines } from "./lost-tables.ts";
import type { Facts, Verdict } from "./rule.ts";

/** Below it lies no code: an address there is NULL, or a field of a structure at NULL. */
export const NULL_PAGE = 0x1000n;

export function branchToNull({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  const wentNowhere = scene?.abort?.kind === "not mapped" || scene?.abort?.kind === "permission";
  if (scene?.abort?.access !== "fetch" || !wentNowhere || scene.pc.address >= NULL_PAGE) return undefined;
  const title = branchTitle(
    scene,
    "NULL",
    (through) => `a NULL pointer${through}: the call went to ${hex(scene.pc.address)}`,
  );
  return { severity: "error", title, evidence: branchEvidence(study, scene) };
}

export function branchToUnmapped({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.abort?.access !== "fetch" || scene.abort.kind !== "not mapped") return undefined;
  const target = hex(scene.pc.address);
  const title = branchTitle(
    scene,
    `${target}, which is not mapped`,
    (through) => `${target}${through && ` (${through.trim()})`}, which is not mapped`,
  );
  return { severity: "error", title, evidence: branchEvidence(study, scene) };
}

function branchTitle({ fault }: Scene, where: string, called: (through: string) => string): string {
  const { branch, site } = fault.trace;
  if (branch?.site.kind === "call" && site !== undefined) {
    const through = branch.site.register === undefined ? "" : ` through ${registerName(branch.site.register)}`;
    return `${placeName(site)} called ${called(through)}.`;
  }
  if (branch?.site.kind === "return") return `A return went to ${where}: x30 holds that address.`;
  if (branch?.site.kind === "later" && site !== undefined)
    return `The guest went to ${where}, some time after the call at ${placeName(site)}.`;
  return `The guest branched to ${where}; where from cannot be told.`;
}

function branchEvidence(study: Study, scene: Scene): string[] {
  const { fault, view, pc, codeLevel } = scene;
  const { branch, site } = fault.trace;
  const loads = (branch?.hops ?? []).flatMap(({ origin, value }) => {
    const from = value.loadedFrom;
    if (from === undefined) return [];
    const what = from.known
      ? placeLine(study.names.place(from.value, view))
      : `a place that cannot be told: ${from.why}`;
    return [`${registerName(origin.register)} at ${hex(origin.at.address)} was loaded from ${what}`];
  });
  return [
    `the target ${hex(pc.address)}: ${walkLines(walksTo(study, scene, pc), codeLevel).join("; ")}`,
    ...tableEditLines(study, scene, pc),
    ...siteEvidence(branch?.site, site),
    ...loads,
    ...(fault.linkRegister === undefined ? [] : [`x30 = ${placeText(fault.linkRegister)}`]),
  ];
}

function siteEvidence(branch: BranchSite | undefined, site: Place | undefined): string[] {
  switch (branch?.kind) {
    case "call":
      return site === undefined ? [] : [`the call at ${placeText(site)}`];
    case "later":
      return [
        `the last call that is known, at ${site === undefined ? hex(branch.address) : placeText(site)}, went to ${hex(branch.called)}`,
      ];
    case "unknown":
      return [`which branch it was cannot be told: ${branch.why}`];
    default:
      return [];
  }
}

export function executeNeverFetch({ study, difference }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.abort?.access !== "fetch" || scene.abort.kind !== "permission") return undefined;
  const { fault, pc } = scene;
  const { site, service } = fault.trace;
  const walks = walksTo(study, scene, pc);
  const name = placeName(pc);
  const what = service?.at !== pc.address || name.includes(service.name) ? name : `${service.name}, ${name}`;
  const who =
    site === undefined || fault.trace.branch?.site.kind !== "call" ? "The guest executed" : `${placeName(site)} called`;
  return {
    severity: "error",
    title: `${who} ${what}, in a page that is mapped execute-never.`,
    evidence: [
      `the page of ${placeLine(pc)}`,
      ...walkLines(walks, scene.codeLevel),
      since(scene, walks, difference),
      ...branchEvidence(study, scene).slice(1),
    ],
  };
}

/** Between which points the page became execute-never, and whether that is a known effect of ExitBootServices. */
function since({ pc, codeLevel }: Scene, walks: readonly PointWalk[], difference: Difference | undefined): string {
  const executable = walks.map(({ walked: { result } }) =>
    result.mapped === true ? accessAt(result, codeLevel).execute : null,
  );
  const last = executable.lastIndexOf(true);
  const [from, to] = [walks[last], walks[last + 1]];
  if (from === undefined || to === undefined) return "at no point of the capture was it seen executable";
  const change = (difference?.mappings ?? []).find(({ va, size }) => pc.address >= va && pc.address < va + size);
  const around = change !== undefined && difference?.before.point.id === from.point;
  const known = !around
    ? ""
    : change.expected === null
      ? "; ExitBootServices is not known to do that"
      : `: ${change.expected.rule}`;
  return `it was executable at ${from.point} and is not any more at ${to.point}${known}`;
}
