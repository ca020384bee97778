/** Opening a capture for the reading verbs, and picking what of it to show. */
import { isRegimeName, REGIME_NAMES, type RegimeName } from "../../aarch64/regime-model.ts";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { type Study, studyCapture } from "../../diagnose/study.ts";
import type { SymbolChoice, SymbolsUsed } from "../../diagnose/symbols-used.ts";
import { findPoint, regimeNames } from "../../diff/diff.ts";
import { PointView } from "../../diff/point-view.ts";
import type { Capture, Point } from "../../snapshot/model.ts";
import { readCapture } from "../../snapshot/store.ts";
import { progress } from "../output.ts";

export interface SymbolFlags {
  /** Paths; false with --no-symbols. */
  readonly symbols?: readonly string[] | false;
}

/** Reads a capture and works out what is in it, with the symbols that were asked for. */
export async function openStudy(file: string, flags: SymbolFlags): Promise<Study> {
  return studyWith(await readCapture(file), flags);
}

/** What is worth knowing of the symbols goes to stderr. */
export async function studyWith(capture: Capture, flags: SymbolFlags): Promise<Study> {
  const study = await studyCapture(capture, symbolChoice(flags));
  for (const line of symbolNotes(study.symbols)) progress(line);
  return study;
}

function symbolChoice({ symbols }: SymbolFlags): SymbolChoice {
  if (symbols === false) return "none";
  return symbols ?? "remembered";
}

/** Notes of files that were left out. */
const MAX_NOTES = 8;

function symbolNotes({ skipped, unmatched, matches }: SymbolsUsed): string[] {
  const unsure = matches.filter(({ by }) => by === "name").map(({ image, file }) => `${image.name} (${file.name})`);
  const which =
    unsure.length > 3 ? `${unsure.slice(0, 3).join(", ")} and ${unsure.length - 3} more` : unsure.join(", ");
  const notes = [
    ...(unsure.length === 0 ? [] : [`symbols by name only, as there is no build id to compare: ${which}`]),
    ...skipped.map(
      ({ path, why }) => `no symbols of ${path}: ${why.replace(/^Cannot read symbols from .*?: (?=[^:]*$)/, "")}`,
    ),
    ...unmatched.map(
      ({ name }) =>
        `the symbols of ${name} fit no image of the capture; \`show FILE images\` says how images are called`,
    ),
  ];
  const more = notes.length - MAX_NOTES;
  return [...notes.slice(0, MAX_NOTES), ...(more > 0 ? [`… and ${more} more symbol files`] : [])];
}

/** The point that `--at` names; without it `after`, else the last one. */
export function pointAt(capture: Capture, id: string | undefined): Point {
  if (id !== undefined) return findPoint(capture, id);
  const point = capture.points.find((each) => each.id === "after") ?? capture.points.at(-1);
  if (point === undefined) throw new EbscopeError("no-such-point", "Cannot show anything: the capture has no point");
  return point;
}

/** A point as one of its vCPUs sees it. */
export function viewOf(capture: Capture, point: Point, cpu: number | undefined): PointView {
  if (cpu !== undefined && cpu >= capture.threads.length) {
    throw new EbscopeError(
      "usage",
      `Cannot show vCPU ${cpu}: the capture has ${capture.threads.length}, numbered from 0`,
    );
  }
  return new PointView(capture, point, cpu);
}

/** The regime that was asked for, live or not; without one all live ones. */
export function regimesOf(view: PointView, wanted: string | undefined): readonly RegimeName[] {
  return wanted === undefined ? regimeNames(view) : [regimeNamed(wanted)];
}

export function regimeNamed(text: string): RegimeName {
  if (isRegimeName(text)) return text;
  const message = `Cannot show the regime ${JSON.stringify(printable(text, 40))}: there are ${REGIME_NAMES.join(", ")}`;
  throw new EbscopeError("usage", message, { next: "Give one of those, in quotes because of the &." });
}
