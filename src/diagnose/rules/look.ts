/** What several rules look at: points as their vCPUs see them, single words of code, how an address translates over time. */

import { contextOf } from "../../aarch64/context.ts";
import { type Access, accessText } from "../../aarch64/permissions.ts";
import { exceptionLevelOf, type Regime, type RegimeName } from "../../aarch64/regime-model.ts";
import { type Translation, Translator } from "../../aarch64/translate.ts";
import { phys, physPage, virt } from "../../base/address.ts";
import { hex } from "../../base/hex.ts";
import { codeRegime } from "../../code/index.ts";
import { PointView } from "../../diff/point-view.ts";
import { type Capture, type Point, pointPages } from "../../snapshot/model.ts";
import { type Place, placeText } from "../place.ts";
import type { Study } from "../study.ts";
import type { PointWalk } from "../walks.ts";

const views = new WeakMap<Study, Map<string, PointView>>();

/** A point as one of its vCPUs sees it, decoded once for all rules. */
export function viewOf(study: Study, point: Point, cpu: number = point.cpu): PointView {
  const known = views.get(study) ?? new Map<string, PointView>();
  views.set(study, known);
  const key = `${point.id} ${cpu}`;
  const view = known.get(key) ?? new PointView(study.capture, point, cpu);
  known.set(key, view);
  return view;
}

export function pointOf(capture: Capture, id: string | undefined): Point | undefined {
  return capture.points.find((point) => point.id === id);
}

/** Whether the last call of ExitBootServices is known to have succeeded. */
export function hasLeft({ attempts }: Capture): boolean {
  return attempts.at(-1)?.status === 0n;
}

/** The points from the return of the call that succeeded on; empty when there was none. */
export function pointsAfterExit(capture: Capture): readonly Point[] {
  if (!hasLeft(capture)) return [];
  const first = capture.points.findIndex(({ kind }) => kind === "after");
  return first < 0 ? [] : capture.points.slice(first);
}

/** The regime that the code of a vCPU executes in; at an exception vector, of the code that took the exception. */
export function regimeOfCode(view: PointView): Regime | undefined {
  return codeRegime(view.registers, view.regimes);
}

/** The Exception level of that code. */
export function levelOfCode(view: PointView): number | undefined {
  return contextOf(view.registers)?.level;
}

/** How an address translates in a regime at a point. */
export function translationOf(view: PointView, regime: Regime, address: bigint): Translation {
  return new Translator(regime, pointPages(view.point)).translate(virt(address)).result;
}

/** What an Exception level may do with a mapped address. */
export function accessAt(result: Translation & { mapped: true }, level: number | undefined): Access {
  return level === 0 && result.attributes.el0 !== null ? result.attributes.el0 : result.attributes;
}

/** The bytes from a physical address on, at most to the end of its page; undefined where they were not recorded. */
export function bytesAt({ point }: PointView, address: bigint, length: number): Uint8Array | undefined {
  const read = point.pages.get(physPage(phys(address)));
  const offset = Number(address & 0xfffn);
  return read?.state === "present" ? read.bytes.subarray(offset, offset + length) : undefined;
}

/** The instruction word at a virtual address; undefined where it is not mapped or was not recorded. */
export function wordAt(view: PointView, regime: Regime | undefined, address: bigint): number | undefined {
  const result = regime && translationOf(view, regime, address);
  if (result?.mapped !== true || address % 4n !== 0n) return undefined;
  const bytes = bytesAt(view, result.pa, 4);
  return bytes?.length === 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : undefined;
}

/** Whether two points translate by the same tables in a regime: the same first table for each half, or both without translation. */
export function sameTables(a: PointView, b: PointView, name: RegimeName): boolean {
  const roots = (view: PointView): string =>
    view
      .regime(name)
      .roots.map(({ register, table }) => `${register} ${table}`)
      .join();
  return a.regime(name).enabled === b.regime(name).enabled && roots(a) === roots(b);
}

/** SCTLR_ELx of the regime that code at a point executes in. */
export function controlRegister(
  view: PointView,
  name: RegimeName,
): { readonly name: string; readonly value: bigint | undefined } {
  const register = `SCTLR_EL${exceptionLevelOf(name)}`;
  return { name: register, value: view.registers.get(register) };
}

/** How an address translates at each point, points in a row with the same outcome together: `at before, after: RW+NX, Normal WB RAWA`. */
export function walkLines(walks: readonly PointWalk[], level: number | undefined): string[] {
  const groups: { outcome: string; points: string[] }[] = [];
  for (const { point, walked, regime, live } of walks) {
    const mode = regime.enabled ? "" : ", with the MMU off";
    const outcome = live ? outcomeText(walked.result, level) + mode : `${regime.name} is not in use`;
    const last = groups.at(-1);
    if (last?.outcome === outcome) last.points.push(point);
    else groups.push({ outcome, points: [point] });
  }
  return groups.map(({ outcome, points }) => `at ${points.join(", ")}: ${outcome}`);
}

/** `RW+NX, Normal WB RAWA`, `not mapped (translation fault, level 1)`, `cannot tell (not-captured)` */
export function outcomeText(result: Translation, level: number | undefined): string {
  if (result.mapped === null) return `cannot tell (${result.reason ?? result.why})`;
  if (!result.mapped) return `not mapped (${result.why})`;
  return `${accessText(accessAt(result, level))}, ${result.attributes.memory}`;
}

/** A place with the UEFI type of its memory, where that is known. */
export function placeLine(place: Place): string {
  const { memoryType } = place;
  return memoryType === undefined ? placeText(place) : `${placeText(place)}, ${memoryType} at the call`;
}

/** `0x1000 + 0x2000` */
export function rangeText(va: bigint, size: bigint): string {
  return `${hex(va)} + ${hex(size)}`;
}

/** The first lines of a list, and how many more there are. */
export function firstOf(lines: readonly string[], most = 20): string[] {
  return lines.length <= most ? [...lines] : [...lines.slice(0, most), `… and ${lines.length - most} more`];
}
