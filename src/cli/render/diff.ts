/** The diff for people: the verdict first, then what changed, on one screen. */

import { hex } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { DifferenceAuthors } from "../../diagnose/blame/authors.ts";
import type { Finding } from "../../diagnose/findings.ts";
import { attributesChanges } from "../../diagnose/memory-maps.ts";
import { MemoryTypes } from "../../diagnose/memory-types.ts";
import { placeName } from "../../diagnose/place.ts";
import type { Study } from "../../diagnose/study.ts";
import type { PointTrace } from "../../diagnose/trace.ts";
import {
  type Coverage,
  type Difference,
  type EfiChange,
  isCall,
  type OwnedMappingChange,
  regimeNames,
} from "../../diff/diff.ts";
import { isKnownChange } from "../../diff/registers.ts";
import { statusName } from "../../efi/structures.ts";
import { memoryTypeOf } from "../../encode/diff.ts";
import { authorsText } from "../../report/blame-words.ts";
import { type Capture, FAULTS_NOT_WATCHED, type PointKind } from "../../snapshot/model.ts";
import { renderFault } from "./fault.ts";
import { limited, renderMappingChanges } from "./mappings.ts";
import { renderRegisterChanges } from "./registers.ts";
import { style, table } from "./style.ts";

/** Rows of a list that fit one screen together with the rest. */
const SCREEN_ROWS = 12;

export interface DiffOptions {
  readonly all: boolean;
  readonly file: string;
  /** From the return of the call to the fault. */
  readonly toFault?: Difference | undefined;
  /** Who was running at the two points. */
  readonly traces: readonly PointTrace[];
  /** Who made the changes; undefined for a capture without a record of it. */
  readonly authors?: DifferenceAuthors | undefined;
}

export function renderDiff(
  difference: Difference,
  findings: readonly Finding[],
  study: Study,
  options: DiffOptions,
): string {
  const { fault, names, memoryMap } = study;
  const { capture, after } = difference;
  const limit = options.all ? Number.POSITIVE_INFINITY : SCREEN_ROWS;
  const types = new MemoryTypes(memoryMap);
  const { authors } = options;
  const severe = (wanted: Finding["severity"]): string[] =>
    findings.filter(({ severity }) => severity === wanted).map(findingLine);
  const lines = [
    // The cause is what was asked for: it comes first, and what the guest died of before what always changes.
    ...severe("error"),
    ...renderHeader(difference, study, options.file),
    ...severe("warning"),
    "",
    ...(fault === undefined ? [] : [...renderFault(fault, names), ""]),
    ...(options.toFault === undefined ? [] : renderToFault(options.toFault, types)),
    ...renderMappingChanges(difference.mappings, {
      limit,
      judged: isCall(difference),
      unknown: difference.coverage.length,
      memoryType: (change) => memoryTypeOf(change, types),
      ...(authors !== undefined && { by: (changes) => authorsText(changes.map((each) => authors.mappings.get(each))) }),
    }),
    "",
    ...renderRegisterChanges(difference.registers, {
      ...{ all: options.all, vcpus: capture.threads.length },
      ...(authors !== undefined && {
        by: (changes) => authorsText(changes.map((each) => authors.registers.get(each))),
      }),
    }),
    ...renderGaps(authors),
    "",
    ...renderTables(difference, limit),
    ...renderEfi(difference.efi, options.all),
    ...renderMap(study),
    ...renderCallers(options.traces),
    ...renderCoverage(difference.coverage, limit),
    ...(fault === undefined ? renderEnding(capture, after.point.id) : []),
  ];
  return `${lines.join("\n")}\n`;
}

function renderHeader(
  { capture, before, after, notes, regimes: uses }: Difference,
  { firmware }: Study,
  file: string,
): string[] {
  const once = uses
    .filter(({ from, to }) => from !== to)
    .map(({ regime, from }) => `${regime} (${from ? before.point.id : after.point.id})`)
    .join(", ");
  const calls = capture.attempts.length;
  const status = capture.attempts.at(-1)?.status;
  const returned =
    status === undefined
      ? calls > 0
        ? "ExitBootServices did not return"
        : ""
      : `ExitBootServices returned ${statusName(status) ?? hex(status)}${calls > 1 ? ` on call ${calls}` : ""}`;
  const regimes = regimeNames(before, after).join(", ");
  const vcpus = capture.threads.length;
  const whose = vcpus > 1 ? `mappings as vCPU ${before.cpu} of ${vcpus} sees them` : "1 vCPU";
  const partial = capture.partial === undefined ? [] : [style.warn(`PARTIAL: ${printable(capture.partial.message)}`)];
  return [
    style.heading([returned, `${before.point.id} → ${after.point.id}`].filter((text) => text !== "").join("   ")),
    style.quiet(`${printable(file)}: QEMU ${printable(capture.qemuVersion ?? "?")}, ${whose}, ${regimes}`),
    ...(firmware === undefined ? [] : [style.quiet(`  firmware ${firmware.name}`)]),
    ...partial,
    ...[...capture.notes, ...notes].map((note) => style.warn(`  ${printable(note, 500)}`)),
    ...(once === "" ? [] : [style.quiet(`  in use at one point only: ${once}`)]),
  ];
}

/** The map that ExitBootServices was called with, in a line. */
function renderMap({ memoryMap, attributes, capture, names }: Study): string[] {
  if (memoryMap?.map.state !== "read") return [];
  const { descriptors, problems } = memoryMap.map;
  const caller = capture.memoryMap === undefined ? undefined : names.place(capture.memoryMap.caller);
  const from =
    memoryMap.source === "firmware" || caller === undefined
      ? "read from the firmware"
      : `returned to ${placeName(caller)} with key ${hex(capture.memoryMap?.mapKey ?? 0n)}`;
  const changes = attributesChanges(attributes).length;
  const table =
    attributes.length === 0
      ? ""
      : `; memory attributes table: ${changes === 0 ? "unchanged" : plural(changes, "change")}`;
  const wrong = problems.length === 0 ? "" : style.warn(`; ${problems[0]}`);
  return [`${style.heading("Memory map")}  ${plural(descriptors.length, "descriptor")}, ${from}${table}${wrong}`];
}

/** Frames of a chain that is told in a line. */
const CALLERS = 6;

function renderCallers(traces: readonly PointTrace[]): string[] {
  return traces.flatMap(({ point, frames }) => {
    const names = frames.slice(0, CALLERS).map(({ place }) => place.symbol ?? place.image ?? hex(place.address));
    const more = frames.length > CALLERS ? " …" : "";
    return names.length === 0 ? [] : [`${style.heading("Call chain")}  ${point}: ${names.join(" ← ")}${more}`];
  });
}

/** Rows of each list of what changed from the call to the fault: the rest is another diff. */
const TO_FAULT_ROWS = 6;

function renderToFault(difference: Difference, types: MemoryTypes): string[] {
  const { before, after, registers, mappings, capture } = difference;
  const control = registers.filter((change) => change.class === "control" && isKnownChange(change));
  if (control.length === 0 && mappings.length === 0 && difference.coverage.length === 0) {
    const nothing = style.quiet("  no control register and no mapping");
    return [style.heading(`Changed from ${before.point.id} to ${after.point.id}`), nothing, ""];
  }
  const options = { all: false, vcpus: capture.threads.length };
  const memoryType = (change: OwnedMappingChange): string | null => memoryTypeOf(change, types);
  const off = regimeNames(before, after).some((name) => before.regime(name).enabled !== after.regime(name).enabled);
  const limits = { limit: TO_FAULT_ROWS, judged: false, unknown: difference.coverage.length, memoryType };
  return [
    style.heading(`Changed from ${before.point.id} to ${after.point.id}`),
    ...renderRegisterChanges(control.slice(0, TO_FAULT_ROWS), options).slice(1),
    ...(control.length > TO_FAULT_ROWS
      ? [style.quiet(`  … ${control.length - TO_FAULT_ROWS} control registers more`)]
      : []),
    ...(off
      ? ["  translation was switched on or off: all mappings are others"]
      : renderMappingChanges(mappings, limits)),
    style.quiet(`  all of it: --from ${before.point.id} --to ${after.point.id}`),
    "",
  ];
}

/** Reasons that are listed. */
const MAX_GAPS = 4;

/** Why the authors may not be all. */
function renderGaps(authors: DifferenceAuthors | undefined): string[] {
  const gaps = authors?.gaps ?? [];
  const more = gaps.length - MAX_GAPS;
  return [
    ...gaps.slice(0, MAX_GAPS).map((gap) => style.warn(`  who wrote: ${printable(gap, 500)}`)),
    ...(more > 0 ? [style.warn(`  … and ${plural(more, "reason")} more: ebscope blame FILE`)] : []),
  ];
}

function findingLine({ severity, title }: Finding): string {
  return severity === "error" ? style.bad(`✗ ${title}`) : style.warn(`! ${title}`);
}

function renderTables({ tables }: Difference, limit: number): string[] {
  if (tables.length === 0) return [`${style.heading("Tables")}  no table page changed`];
  const counts = (["added", "removed", "changed"] as const)
    .map((kind) => [kind, tables.filter((each) => each.kind === kind).length] as const)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  const list = tables.slice(0, Math.min(limit, 6)).map(({ pa }) => hex(pa));
  const rest = tables.length - list.length;
  return [`${style.heading("Tables")}  ${counts.join(", ")}: ${list.join(" ")}${rest > 0 ? ` and ${rest} more` : ""}`];
}

/** Pointers that became NULL are named on one line, and services only counted; everything else is listed with its values. */
function renderEfi(changes: readonly EfiChange[], all: boolean): string[] {
  if (changes.length === 0) return [];
  const zeroed = changes.filter(({ before, after }) => after === 0n && before !== undefined && !all);
  const services = zeroed.filter(({ name }) => name.startsWith(SERVICES));
  const pointers = zeroed.filter((change) => !services.includes(change)).map(({ name }) => name);
  const isKnown = ({ before, after }: EfiChange): boolean => before !== undefined && after !== undefined;
  const unknown = changes.filter((change) => !isKnown(change) && !isEntry(change));
  const rows = changes
    .filter((change) => !zeroed.includes(change) && (all || !unknown.includes(change)))
    .map(({ name, before, after }) => [name, `${value(before)} → ${value(after)}`]);
  const summary = [
    services.length === 0 ? "" : `boot services table zeroed (${plural(services.length, "field")})`,
    pointers.length === 0 ? "" : `NULL now: ${pointers.join(", ").replaceAll(", SystemTable.", ", ")}`,
    rows.length === 0
      ? ""
      : `${plural(rows.length, "field")} ${all && unknown.length > 0 ? "changed or not known" : "changed"}`,
    unknown.length === 0 || all ? "" : `${plural(unknown.length, "field")} not known on a side`,
  ].filter((text) => text !== "");
  return [`${style.heading("UEFI")}  ${summary.join("; ")}`, ...table(rows)];
}

const SERVICES = "BootServices.";

/** A configuration table can come and go: it is not unknown where it is not. */
function isEntry({ name }: EfiChange): boolean {
  return name.startsWith("ConfigurationTable[");
}

function value(side: bigint | undefined): string {
  return side === undefined ? "not captured" : hex(side);
}

export function renderCoverage(coverage: readonly Coverage[], limit: number): string[] {
  if (coverage.length === 0) return [];
  const rows = coverage.map(({ point, regime, pa, level, code, why }) => [
    point,
    regime,
    pa === undefined ? "" : hex(pa),
    level === undefined ? "" : `L${level}`,
    why === undefined ? code : `${code}: ${why}`,
  ]);
  return [
    style.warn(`Not known  ${plural(coverage.length, "part")} of the tables could not be read or decoded`),
    ...limited(rows, limit, "part"),
  ];
}

/** How long the guest ran from the return of the call to the last point. */
function watched({ points }: Capture): string {
  const time = (kind: PointKind): number => Date.parse(points.find((point) => point.kind === kind)?.time ?? "");
  const seconds = (time("later") - time("after")) / 1000;
  return Number.isFinite(seconds) && seconds >= 0 ? `${seconds.toFixed(1)} s` : "time";
}

function renderEnding(capture: Capture, to: string): string[] {
  if (!capture.points.some(({ kind }) => kind === "later") || to === "later") return [];
  if (capture.notes.includes(FAULTS_NOT_WATCHED))
    return ["", `${style.heading("Afterwards")}  faults were not watched for`];
  return ["", `${style.heading("Afterwards")}  no fault in the ${watched(capture)} watched (point later: --to later)`];
}
