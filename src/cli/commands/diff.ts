/** `ebscope diff FILE` */

import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { findingsOf } from "../../diagnose/findings.ts";
import type { Study } from "../../diagnose/study.ts";
import { traceAt } from "../../diagnose/trace.ts";
import { defaultPoints, diffPoints, diffToFault, findPoint, isCall } from "../../diff/diff.ts";
import { encodeDiff } from "../../server/encode.ts";
import type { Capture, Point } from "../../snapshot/model.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { renderDiff } from "../render/diff.ts";
import { openStudy, type SymbolFlags } from "./open.ts";

export interface DiffFlags extends SymbolFlags {
  readonly from?: string;
  readonly to?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function diffCommand(file: string, flags: DiffFlags): Promise<number> {
  await printDiff(await openStudy(file, flags), file, flags);
  return EXIT.done;
}

/** Prints the difference of two points of a capture, the call of ExitBootServices unless told otherwise. */
export async function printDiff(study: Study, file: string, flags: DiffFlags): Promise<void> {
  const { capture, images } = study;
  const difference = await diffPoints(capture, images, ...pointsToCompare(capture, flags));
  const findings = findingsOf(study, difference);
  const traces = [await traceAt(study, difference.before), await traceAt(study, difference.after)];
  if (flags.json) printData(jsonText(encodeDiff(difference, findings, study, traces)));
  else {
    const toFault = isCall(difference) ? await diffToFault(capture, images) : undefined;
    printData(renderDiff(difference, findings, study, { all: flags.all ?? false, file, toFault, traces }));
  }
}

/** The two points that were named; where one was, or none, the other is what `diff` takes by itself. */
export function pointsToCompare(
  capture: Capture,
  flags: { readonly from?: string; readonly to?: string },
): readonly [Point, Point] {
  const [from, to] =
    flags.from !== undefined && flags.to !== undefined ? [flags.from, flags.to] : pairOf(capture, flags);
  if (from === to) throw new EbscopeError("usage", `Cannot compare the point ${printable(from, 40)} with itself`);
  return [findPoint(capture, from), findPoint(capture, to)];
}

function pairOf(capture: Capture, flags: { readonly from?: string; readonly to?: string }): readonly [string, string] {
  const ids = capture.points.map(({ id }) => id);
  if (flags.to !== undefined) return [ids.includes("before") ? "before" : (ids[0] ?? ""), flags.to];
  if (flags.from !== undefined) return [flags.from, ids.at(-1) ?? ""];
  return defaultPoints(capture);
}
