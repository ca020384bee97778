/** `ebscope show FILE WHAT` */
import { EbscopeError } from "../../base/error.ts";
import { hex, hex16, sizeText } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import { readFault } from "../../diagnose/fault.ts";
import { type Coverage, coverageOf } from "../../diff/diff.ts";
import { capturedImages } from "../../diff/point-view.ts";
import { encodeFault, encodeMappings, encodePoint, encodeRegisters, encodeTables } from "../../server/encode.ts";
import type { Capture, Point } from "../../snapshot/model.ts";
import { readCapture } from "../../snapshot/store.ts";
import { SHOWN, type Shown } from "../defaults.ts";
import { EXIT } from "../exit-code.ts";
import { filterMappings, type MappingFlags, refuseMappingFlags } from "../mapping-filter.ts";
import { jsonText, printData, progress } from "../output.ts";
import { renderCoverage, renderFault } from "../render/diff.ts";
import { renderMappings } from "../render/mappings.ts";
import { renderRegisters } from "../render/registers.ts";
import { style, table } from "../render/style.ts";
import { pointAt, regimesOf, viewOf } from "./open.ts";

export interface ShowFlags extends MappingFlags {
  readonly at?: string;
  readonly regime?: string;
  readonly cpu?: number;
  readonly json?: boolean;
}

export async function showCommand(file: string, what: string, flags: ShowFlags): Promise<number> {
  const shown = SHOWN.find((each) => each === what);
  if (shown !== undefined && shown !== "mappings") refuseMappingFlags(flags, shown);
  if (shown === undefined) {
    throw new EbscopeError("usage", `Cannot show ${JSON.stringify(printable(what, 40))}: give ${SHOWN.join(", ")}`);
  }
  printData(await show(await readCapture(file), shown, flags));
  return EXIT.done;
}

/** Text, or JSON in pieces. */
type Output = string | Iterable<string>;

async function show(capture: Capture, what: Shown, flags: ShowFlags): Promise<Output> {
  switch (what) {
    case "points":
      return showPoints(capture, flags);
    case "fault":
      return showFault(capture, flags);
    case "registers":
      return showRegisters(capture, pointAt(capture, flags.at), flags);
    case "mappings":
      return showMappings(capture, pointAt(capture, flags.at), flags);
    case "tables":
      return showTables(capture, pointAt(capture, flags.at), flags);
  }
}

/** An array has no place for what is not known: that goes to stderr, so that an empty one is not taken for "nothing mapped". */
function warnOfGaps(gaps: readonly Coverage[]): void {
  for (const line of renderCoverage(gaps, Number.POSITIVE_INFINITY)) progress(line);
}

function heading(point: Point): string {
  const state = point.complete ? "" : style.warn("  INCOMPLETE: the guest was lost while it was taken");
  return style.quiet(`point ${point.id}, ${point.time}`) + state;
}

function showPoints(capture: Capture, flags: ShowFlags): Output {
  const points = capture.points.map((point) => encodePoint(capture, point));
  if (flags.json) return jsonText(points);
  const rows = points.map(({ id, cpu, pc, time, regimes, pages, complete }) => [
    id,
    `vCPU ${cpu}`,
    `pc ${pc ?? "?"}`,
    regimes.join(" "),
    `${pages.present} pages${pages.absent + pages.unreadable > 0 ? `, ${pages.absent} absent, ${pages.unreadable} unreadable` : ""}`,
    complete ? "complete" : style.warn("incomplete"),
    time,
  ]);
  const partial = capture.partial === undefined ? [] : [style.warn(`PARTIAL: ${printable(capture.partial.message)}`)];
  return [...table(rows, ""), ...capture.notes.map((note) => printable(note, 500)), ...partial].join("\n");
}

async function showFault(capture: Capture, flags: ShowFlags): Promise<Output> {
  const images = await capturedImages(capture);
  const fault = await readFault(capture, images);
  if (fault === undefined) {
    const ids = capture.points.map(({ id }) => id).join(", ");
    throw new EbscopeError("no-such-point", `Cannot show the fault: the capture has none (its points: ${ids})`);
  }
  return flags.json ? jsonText(encodeFault(fault, images)) : renderFault(fault, images).join("\n");
}

function showRegisters(capture: Capture, point: Point, flags: ShowFlags): Output {
  const wanted = flags.cpu;
  if (wanted !== undefined) viewOf(capture, point, wanted);
  if (flags.json) {
    return jsonText(encodeRegisters(capture, point).filter(({ cpu }) => wanted === undefined || cpu === wanted));
  }
  return [heading(point), ...renderRegisters(capture, point, { cpu: wanted })].join("\n");
}

async function showMappings(capture: Capture, point: Point, flags: ShowFlags): Promise<Output> {
  const view = viewOf(capture, point, flags.cpu);
  const names = regimesOf(view, flags.regime);
  const { lists, compared } = filterMappings(capture, view, names, flags);
  const gaps = [view, ...(compared === undefined ? [] : [compared])].flatMap((each) => coverageOf(each, names));
  const images = await capturedImages(capture);
  if (flags.json) {
    warnOfGaps(gaps);
    return jsonText(encodeMappings(lists, images));
  }
  return [heading(point), ...renderMappings(lists, images), ...renderCoverage(gaps, 20)].join("\n");
}

function showTables(capture: Capture, point: Point, flags: ShowFlags): Output {
  const view = viewOf(capture, point, flags.cpu);
  const names = regimesOf(view, flags.regime);
  if (flags.json) {
    warnOfGaps(coverageOf(view, names));
    return jsonText(encodeTables(view, names));
  }
  const lines = [heading(point)];
  for (const name of names) {
    const regime = view.regime(name);
    lines.push(style.heading(`${name}${regime.enabled ? "" : ": translation is off"}`));
    const roots = regime.roots.map((root) => [
      root.register,
      hex16(root.vaBase),
      `${root.inputBits} bits`,
      `${sizeText(1n << BigInt(root.format.granuleBits))} granule`,
      `starts at level ${root.startLevel}`,
      `table ${hex(root.table)}`,
    ]);
    const tables = encodeTables(view, [name]).map(({ level, pa }) => [`L${level}`, pa]);
    lines.push(...table(roots), ...table(tables, "    "));
  }
  return [...lines, ...renderCoverage(coverageOf(view, names), 20)].join("\n");
}
