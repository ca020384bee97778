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
import { MemoryTypes } from "../memory-types.ts";
import { type Place, placeText } from "../place.ts";
import type { Study } from "../study.ts";
import type { PointWalk } from "../walks.ts";

/** Points that rules look at: who captures thousands of calls or of moments wants the first and the last ones judged. */
const MOST_POINTS = 8;
const keys = new WeakMap<Capture, readonly Point[]>();

/** The points that rules look at, at most 8: of more the first, those around the last call, the first fault, and the last ones. */
export function keyPoints(capture: Capture): readonly Point[] {
  const known = keys.get(capture) ?? selectPoints(capture.points);
  keys.set(capture, known);
  return known;
}

function selectPoints(points: readonly Point[]): readonly Point[] {
  if (points.length <= MOST_POINTS) return points;
  const before = points.findLastIndex(({ kind }) => kind === "before");
  const [after, fault] = (["after", "fault"] as const).map((wanted) => points.findIndex(({ kind }) => kind === wanted));
  const kept = new Set([0, before, after ?? -1, fault ?? -1].filter((i) => i >= 0));
  for (let i = points.length - 1; kept.size < MOST_POINTS; i--) kept.add(i);
  return points.filter((_, i) => kept.has(i));
}

const views = new WeakMap<Study, Map<string, PointView>>();

/**
 * A point as one of its vCPUs sees it. Views hold maps, which may be large: only those of the points that rules look at are kept, as their
 * own vCPU and the one that called see them.
 */
export function viewOf(study: Study, point: Point, cpu: number = point.cpu): PointView {
  const points = keyPoints(study.capture);
  const caller = points.findLast(({ kind }) => kind === "before")?.cpu;
  if (!points.includes(point) || (cpu !== point.cpu && cpu !== caller)) return new PointView(study.capture, point, cpu);
  const known = views.get(study) ?? new Map<string, PointView>();
  views.set(study, known);
  const key = `${point.id} ${cpu}`;
  const view = known.get(key) ?? new PointView(study.capture, point, cpu);
  known.set(key, view);
  return view;
}

const types = new WeakMap<Study, MemoryTypes>();

/** The EFI_MEMORY_TYPE of the memory at a physical address, by the map that ExitBootServices was called with. */
export function memoryTypeAt(study: Study, pa: bigint): string | undefined {
  const known = types.get(study) ?? new MemoryTypes(study.memoryMap);
  types.set(study, known);
  return known.of(pa, 1n) ?? undefined;
}

export function pointOf(capture: Capture, id: string | undefined): Point | undefined {
  return capture.points.find((point) => point.id === id);
}

/** Whether the last call of ExitBootServices is known to have succeeded. */
export function hasLeft({ attempts }: Capture): boolean {
  return attempts.at(-1)?.status === 0n;
}

/** Of the points that rules look at, those from the return of the call that succeeded on; empty when there was none. */
export function pointsAfterExit(capture: Capture): readonly Point[] {
  if (!hasLeft(capture)) return [];
  const points = keyPoints(capture);
  const first = points.findIndex(({ kind }) => kind === "after");
  return first < 0 ? [] : points.slice(first);
}

/**
 * Whether the machine has an Exception level, by the registers that the stub offers: QEMU describes those that the CPU has. `undefined`: the
 * stub offers no System registers at all, or SCTLR_ELx could not be read.
 */
export function hasLevel({ capture, registers }: PointView, level: 2 | 3): boolean | undefined {
  const name = `SCTLR_EL${level}`;
  const offers = (wanted: string): boolean => capture.registers.some((each) => each.name === wanted);
  if (registers.get(name) !== undefined) return true;
  return offers(name) || !offers("SCTLR_EL1") ? undefined : false;
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
export function bytesAt(point: Point, address: bigint, length: number): Uint8Array | undefined {
  const read = point.pages.get(physPage(phys(address)));
  const offset = Number(address & 0xfffn);
  return read?.state === "present" ? read.bytes.subarray(offset, offset + length) : undefined;
}

/** The instruction word at a virtual address; undefined where it is not mapped or was not recorded. */
export function wordAt(view: PointView, regime: Regime | undefined, address: bigint): number | undefined {
  const result = regime && translationOf(view, regime, address);
  if (result?.mapped !== true || address % 4n !== 0n) return undefined;
  const bytes = bytesAt(view.point, result.pa, 4);
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

/** A place with the UEFI type of its memory, where that is known. Of what nothing names, the text of the place has it already. */
export function placeLine(place: Place): string {
  const { memoryType, symbol, image, section } = place;
  const named = [symbol, image, section].some((name) => name !== undefined);
  return named && memoryType ? `${placeText(place)}, ${memoryType} at the call` : placeText(place);
}

/** `0x1000 + 0x2000` */
export function rangeText(va: bigint, size: bigint): string {
  return `${hex(va)} + ${hex(size)}`;
}

/** The first of a list as lines, and how many more there are. */
export function firstOf(lines: readonly string[], most?: number): string[];
export function firstOf<T>(all: readonly T[], most: number | undefined, line: (each: T) => string): string[];
export function firstOf<T>(all: readonly T[], most = 20, line: (each: T) => string = String): string[] {
  const first = all.slice(0, most).map(line);
  return all.length <= most ? first : [...first, `… and ${all.length - most} more`];
}
