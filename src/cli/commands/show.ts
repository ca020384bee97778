/** `ebscope show FILE WHAT` */
import { EbscopeError } from "../../base/error.ts";
import { hex, hex16, sizeText } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import type { Study } from "../../diagnose/study.ts";
import { type Coverage, coverageOf } from "../../diff/diff.ts";
import { encodeMappings, encodePoint, encodeRegisters, encodeTables } from "../../encode/point.ts";
import type { Capture, Point } from "../../snapshot/model.ts";
import { addressesIn, type NameScope } from "../address.ts";
import { SHOWN, type Shown } from "../defaults.ts";
import { EXIT } from "../exit-code.ts";
import { filterMappings } from "../mapping-filter.ts";
import { jsonText, type Output, printData, progress } from "../output.ts";
import { renderCoverage } from "../render/diff.ts";
import { renderMappings } from "../render/mappings.ts";
import { renderRegisters } from "../render/registers.ts";
import { style, table } from "../render/style.ts";
import { refuseOtherFlags, type ShowFlags } from "../show-flags.ts";
import { openStudy, pointAt, regimeNamed, regimesOf, viewOf } from "./open.ts";
import { showBacktrace, showEfi, showFault, showFindings, showImages, showMemoryMap } from "./show-study.ts";

export async function showCommand(file: string, what: string, flags: ShowFlags): Promise<number> {
  const shown = SHOWN.find((each) => each === what);
  if (shown === undefined) {
    throw new EbscopeError("usage", `Cannot show ${JSON.stringify(printable(what, 40))}: give ${SHOWN.join(", ")}`);
  }
  refuseOtherFlags(flags, shown);
  printData(await show(await openStudy(file, namesNothing(shown, flags) ? { symbols: false } : flags), shown, flags));
  return EXIT.done;
}

/** Whether no name is in what is shown: symbols that were not asked for need not be read. */
function namesNothing(shown: Shown, { symbols, range }: ShowFlags): boolean {
  return symbols === undefined && range === undefined && ["points", "registers", "tables", "mappings"].includes(shown);
}

async function show(study: Study, what: Shown, flags: ShowFlags): Promise<Output> {
  const { capture } = study;
  switch (what) {
    case "points":
      return showPoints(capture, flags);
    case "registers":
      return showRegisters(capture, pointAt(capture, flags.at), flags);
    case "mappings":
      return showMappings(study, pointAt(capture, flags.at), flags);
    case "tables":
      return showTables(capture, pointAt(capture, flags.at), flags);
    case "images":
      return showImages(study, flags);
    case "memmap":
      return showMemoryMap(study, flags);
    case "efi":
      return showEfi(study, flags);
    case "fault":
      return showFault(study, flags);
    case "backtrace":
      return showBacktrace(study, flags);
    case "findings":
      return showFindings(study, flags);
  }
}

/** An array has no place for what is not known: that goes to stderr, so that an empty one is not taken for "nothing mapped". */
function warnOfGaps(gaps: readonly Coverage[]): void {
  for (const line of renderCoverage(gaps, Number.POSITIVE_INFINITY)) progress(line);
}

function heading(point: Point): string {
  const state = point.complete ? "" : style.warn("  INCOMPLETE: the guest was lost while it was taken");
  return style.quiet(`point ${point.id}, ${printable(point.time, 40)}`) + state;
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
    printable(time, 40),
  ]);
  const partial =
    capture.partial === undefined ? [] : [style.warn(`PARTIAL: ${printable(capture.partial.message, 500)}`)];
  return [...table(rows, ""), ...capture.notes.map((note) => printable(note, 500)), ...partial].join("\n");
}

function showRegisters(capture: Capture, point: Point, flags: ShowFlags): Output {
  const wanted = flags.cpu;
  if (wanted !== undefined) viewOf(capture, point, wanted);
  if (flags.json) {
    return jsonText(encodeRegisters(capture, point).filter(({ cpu }) => wanted === undefined || cpu === wanted));
  }
  return [heading(point), ...renderRegisters(capture, point, { cpu: wanted })].join("\n");
}

function showMappings(study: Study, point: Point, flags: ShowFlags): Output {
  const { capture, images } = study;
  const view = viewOf(capture, point, flags.cpu);
  const names = regimesOf(view, flags.regime);
  const { lists, compared } = filterMappings(capture, view, names, flags, (text) =>
    onlyAddress(study, text, { point, regime: flags.regime === undefined ? undefined : regimeNamed(flags.regime) }),
  );
  const gaps = [view, ...(compared === undefined ? [] : [compared])].flatMap((each) => coverageOf(each, names));
  if (flags.json) {
    warnOfGaps(gaps);
    return jsonText(encodeMappings(lists, images));
  }
  return [heading(point), ...renderMappings(lists, images), ...renderCoverage(gaps, 20)].join("\n");
}

function onlyAddress(study: Study, text: string, scope: NameScope): bigint | undefined {
  const found = [...addressesIn(study, text, scope).keys()];
  return found.length === 1 ? found[0] : undefined;
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
