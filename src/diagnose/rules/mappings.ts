/** What is mapped, and should perhaps not be as it is. */

import { accessText } from "../../aarch64/permissions.ts";
import type { Run } from "../../aarch64/regime-map.ts";
import { exceptionLevelOf } from "../../aarch64/regime-model.ts";
import type { Translation } from "../../aarch64/translate.ts";
import { phys, rangeContains, virt } from "../../base/address.ts";
import { hex } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import { diffMappings } from "../../diff/mappings.ts";
import { expectedChange, imageLabel, imagesIn, ownership } from "../../diff/owners.ts";
import type { PointView } from "../../diff/point-view.ts";
import type { ImageDetails } from "../../efi/images.ts";
import { sectionAccess } from "../../efi/sections.ts";
import type { Point } from "../../snapshot/model.ts";
import type { Study } from "../study.ts";
import {
  firstOf,
  hasLeft,
  keyPoints,
  memoryTypeAt,
  pointsAfterExit,
  rangeText,
  sameTables,
  translationOf,
  viewOf,
} from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

/** The last point of a capture as its vCPU sees it: what is in force at the end. */
function lastView(study: Study): PointView | undefined {
  const point = study.capture.points.at(-1);
  return point && viewOf(study, point);
}

/** What VA 0 leads to at a point, in the regime that executes there. */
interface NullPage {
  readonly point: Point;
  readonly mapped: (Translation & { readonly mapped: true }) | null;
  /** Why nothing is: with translation off, 0 is an address as any other. */
  readonly why: string;
}

/** Something was mapped at VA 0 after the exit: a warning while it is, at the last point that tells. */
export function nullPageMapped({ study }: Facts): Verdict | undefined {
  const { capture } = study;
  const looked = hasLeft(capture) ? pointsAfterExit(capture) : keyPoints(capture).filter(({ kind }) => kind === "now");
  const known = looked.flatMap((point) => nullPageAt(study, point));
  const last = known.findLast(({ mapped }) => mapped !== null);
  if (last === undefined || last.mapped === null) return undefined;
  const { point, mapped } = last;
  const still = last === known.at(-1);
  const ram = point.memoryRanges.find((range) => rangeContains(range, mapped.pa));
  const flash = ram?.kind === "rom" && mapped.attributes.write !== true;
  const [is, does] = still ? ["is", "does not fault"] : ["was", "did not fault there"];
  return {
    severity: flash || !still ? "info" : "warning",
    title: `The page at address 0 ${is} mapped at ${point.id} (${accessText(mapped.attributes)}): what ${still ? "goes" : "went"} through a NULL pointer ${does}.`,
    evidence: [
      ...known.map(nullPageLine),
      `behind it at ${point.id} is ${ram === undefined ? "no memory that the capture knows" : `${ram.kind} ${ram.name}`}`,
    ],
  };
}

/** Nothing where it cannot be told. */
function nullPageAt(study: Study, point: Point): NullPage[] {
  const view = viewOf(study, point);
  const regime = view.regime(view.currentRegime);
  if (!regime.enabled) return regime.undecoded.length === 0 ? [{ point, mapped: null, why: "translation is off" }] : [];
  const result = translationOf(view, regime, 0n);
  if (result.mapped === null) return [];
  return [result.mapped ? { point, mapped: result, why: "" } : { point, mapped: null, why: "not mapped" }];
}

function nullPageLine({ point: { id }, mapped, why }: NullPage): string {
  if (mapped === null) return `at ${id}: ${why}`;
  return `at ${id}: to ${hex(mapped.pa)}, ${accessText(mapped.attributes)}, ${mapped.attributes.memory}`;
}

/** Pages that became writable and executable after the exit, other than by its known effect; by the firmware's own tables. */
export function wxMapping({ study }: Facts): Verdict | undefined {
  const steps = pairs(study)
    .map(([from, to]) => ({ from, to, lines: newWriteExecute(study, from, to) }))
    .filter(({ lines }) => lines.length > 0);
  if (steps.length === 0) return undefined;
  const lines = steps.flatMap((step) => step.lines);
  const when = steps.map(({ from, to }) => `from ${from.id} to ${to.id}`).join(", ");
  return {
    severity: "warning",
    title: `${plural(lines.length, "run")} of mappings became both writable and executable ${when}: ${[...new Set(steps.map(whoseDoing))].join("; ")}.`,
    evidence: firstOf(lines),
  };
}

/** Who can have made changes between two points. */
function whoseDoing({ from, to }: { readonly from: Point; readonly to: Point }): string {
  if (from.kind !== "before") return "after the call had returned it was the guest, not ExitBootServices";
  if (to.kind === "after") return "ExitBootServices is not known to do that";
  return "whether that was in the call or after it is not known";
}

/** From the entry of the call that succeeded on. */
function pairs({ capture }: Study): (readonly [Point, Point])[] {
  if (!hasLeft(capture)) return [];
  const all = keyPoints(capture);
  const first = all.findLastIndex(({ kind }) => kind === "before");
  const points = first < 0 ? [] : all.slice(first);
  return points.slice(1).map((point, i) => [points[i] as Point, point]);
}

function newWriteExecute(study: Study, from: Point, to: Point): string[] {
  const [a, b] = [viewOf(study, from), viewOf(study, to, from.cpu)];
  const name = a.currentRegime;
  if (b.currentRegime !== name || !sameTables(a, b, name) || !a.regime(name).enabled) return [];
  const images = imagesIn(name, study.images);
  return diffMappings(name, a.map(name), b.map(name)).flatMap((change) => {
    const { before, after, va, size } = change;
    const wx = (side: typeof before): boolean => side?.attributes.write === true && side.attributes.execute === true;
    if (!wx(after) || wx(before) || expectedChange(change, images) !== null) return [];
    const was = before === null ? "not mapped" : accessText(before.attributes);
    return [`${name} ${rangeText(va, size)}: ${was} at ${from.id}, RWX at ${to.id}`];
  });
}

/** How much is writable and executable in the end, and whose it is. */
export function writableAndExecutable({ study }: Facts): Verdict | undefined {
  const view = lastView(study);
  const name = view?.currentRegime;
  const map = name === undefined ? undefined : view?.map(name);
  if (view === undefined || name === undefined || map === undefined || !map.regime.enabled) return undefined;
  const runs = map.runs.filter(({ attributes }) => attributes.write === true && attributes.execute === true);
  if (runs.length === 0) return undefined;
  const pages = runs.reduce((sum, run) => sum + run.pages, 0);
  return {
    severity: "info",
    title: `${plural(pages, "page")} of ${name} ${pages === 1 ? "is" : "are"} both writable and executable at ${view.point.id}.`,
    evidence: firstOf(runs, undefined, (run) => {
      const range = rangeText(BigInt(run.start) << 12n, BigInt(run.pages) << 12n);
      return `${range}: ${ownerText(study, view, run)}`;
    }),
  };
}

function ownerText(study: Study, view: PointView, { start, pages, output }: Run): string {
  const [va, size] = [BigInt(start) << 12n, BigInt(pages) << 12n];
  const identity = start === output;
  const images = identity ? ownership(imagesIn(view.currentRegime, study.images), va, size).images : [];
  const runtime = images.length > 0 && images.every((image) => image.runtime);
  const labels = firstOf(images.map(imageLabel), 4).join(", ");
  if (runtime && hasLeft(study.capture))
    return `${labels}: expected, as SetVirtualAddressMap will relocate runtime images`;
  const type = memoryTypeAt(study, BigInt(output) << 12n);
  const words = [labels, type === undefined ? "" : `begins in ${type}`].filter((word) => word !== "");
  return words.length === 0 ? "in no known image" : words.join("; ");
}

/** IMAGE_SCN_CNT_CODE and IMAGE_SCN_MEM_EXECUTE. */
const CODE = 0x20;

/** Runtime images that the firmware's own tables still map where they were, but not for execution. */
export function runtimeCodeNotExecutable({ study }: Facts): Verdict | undefined {
  const [first] = study.capture.points;
  const lines = pointsAfterExit(study.capture).flatMap((point) => {
    const view = viewOf(study, point);
    const name = view.currentRegime;
    if (first === undefined || !sameTables(viewOf(study, first, point.cpu), view, name)) return [];
    return lostCode(study, view);
  });
  if (lines.length === 0) return undefined;
  return {
    severity: "warning",
    title:
      "Not all code of runtime images is executable after ExitBootServices: runtime services there cannot be called.",
    evidence: firstOf(lines),
  };
}

/** Pages looked at in all: images and their sections are the guest's word. */
const MAX_CODE_PAGES = 16_384;

function lostCode(study: Study, view: PointView): string[] {
  const translator = view.translator(view.currentRegime);
  return codePages(study.images).flatMap(({ va, label }) => {
    const { result } = translator.translate(virt(va));
    if (result.mapped === null) return [];
    if (result.mapped && (result.pa !== va || result.attributes.execute !== false)) return [];
    const how = result.mapped ? accessText(result.attributes) : "not mapped";
    return [`${label}, page ${hex(va)}: ${how} at ${view.point.id}`];
  });
}

/** The pages of the code of listed runtime images. */
function codePages(images: readonly ImageDetails[]): { readonly va: bigint; readonly label: string }[] {
  const found: { va: bigint; label: string }[] = [];
  for (const image of images.filter(({ runtime, found: how }) => runtime && how === "list")) {
    const code = image.sections.filter(
      (each) => (each.characteristics & CODE) !== 0 && sectionAccess(each).endsWith("X"),
    );
    for (const { name, offset, size } of code) {
      const label = `${imageLabel(image)} ${printable(name, 16)}`;
      const end = image.base + BigInt(offset + size);
      for (let va = (image.base + BigInt(offset)) & ~0xfffn; va < end && found.length < MAX_CODE_PAGES; va += 4096n)
        found.push({ va, label });
    }
  }
  return found;
}

/** Types whose memory is the OS's after the exit (UEFI 2.10, 7.2.1). */
const REUSABLE: ReadonlySet<string> = new Set([
  "EfiLoaderCode",
  "EfiLoaderData",
  "EfiBootServicesCode",
  "EfiBootServicesData",
  "EfiConventionalMemory",
]);

/** What the firmware left in force, is so still at the last point, and lies in memory that the OS may use for something else. */
export function reusableMemory({ study }: Facts): Verdict | undefined {
  const points = pointsAfterExit(study.capture);
  const [after, point] = [points[0], points.at(-1)];
  if (after === undefined || point === undefined || study.memoryMap?.map.state !== "read") return undefined;
  const lines = new Map<string, bigint[]>();
  for (const { what, pa } of leftInForce(viewOf(study, after), viewOf(study, point, after.cpu))) {
    const type = memoryTypeAt(study, pa);
    if (type === undefined || !REUSABLE.has(type)) continue;
    const key = `${what} in ${type}`;
    const all = lines.get(key) ?? [];
    all.push(pa);
    lines.set(key, all);
  }
  if (lines.size === 0) return undefined;
  return {
    severity: "info",
    title: `At ${point.id} ${study.capture.threads.length > 1 ? `vCPU ${after.cpu}` : "the guest"} still depends on memory of the firmware that an OS may use for something else: normal until it has its own.`,
    evidence: [...lines].map(([what, all]) => `${what}: ${firstOf(all, 4, hex).join(", ")}`),
  };
}

/** The stack and the tables while the tables are those of the return of the call; the vectors while VBAR is. */
function leftInForce(after: PointView, now: PointView): { readonly what: string; readonly pa: bigint }[] {
  const name = now.currentRegime;
  const regime = now.regime(name);
  const vbar = `VBAR_EL${exceptionLevelOf(name)}`;
  const same = after.currentRegime === name && sameTables(after, now, name);
  const kept = after.registers.get(vbar) === now.registers.get(vbar) ? [[vbar, `the vectors (${vbar})`] as const] : [];
  const places = [...(same ? [["sp", "the stack (sp)"] as const] : []), ...kept].flatMap(([register, what]) => {
    const va = now.registers.get(register);
    const result = va === undefined ? undefined : translationOf(now, regime, va);
    return result?.mapped === true ? [{ what, pa: result.pa }] : [];
  });
  return [...places, ...(same ? tablePages(now).map((pa) => ({ what: "translation tables", pa })) : [])];
}

function tablePages(view: PointView): bigint[] {
  const map = view.map(view.currentRegime);
  return map === undefined || !map.regime.enabled
    ? []
    : map.tables.map(({ pageNumber }) => phys(BigInt(pageNumber) << 12n));
}
