/** `ebscope diff FILE` */

import { authorsOf } from "../../diagnose/blame/authors.ts";
import { findingsOf } from "../../diagnose/findings.ts";
import type { Study } from "../../diagnose/study.ts";
import { traceAt } from "../../diagnose/trace.ts";
import { pointsToCompare } from "../../diff/compare.ts";
import { diffPoints, diffToFault, isCall } from "../../diff/diff.ts";
import { encodeDiff } from "../../encode/diff.ts";
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
  const authors = await authorsOf(study, difference);
  if (flags.json) printData(jsonText(encodeDiff(difference, findings, study, traces, authors)));
  else {
    const toFault = isCall(difference) ? await diffToFault(capture, images) : undefined;
    printData(renderDiff(difference, findings, study, { all: flags.all ?? false, file, toFault, traces, authors }));
  }
}
