/** The differences that a plan asks for. */
import { printable } from "../../base/text.ts";
import { authorsOf } from "../../diagnose/blame/authors.ts";
import { findingsOf } from "../../diagnose/findings.ts";
import type { Study } from "../../diagnose/study.ts";
import { traceAt } from "../../diagnose/trace.ts";
import { diffPoints, findPoint } from "../../diff/diff.ts";
import { encodeDiff } from "../../encode/diff.ts";
import type { Plan } from "../../plan/index.ts";
import type { PlanOutcome } from "../../session/run-plan.ts";
import { printData } from "../output.ts";
import { style } from "../render/style.ts";
import { printDiff } from "./diff.ts";

type Captured = Pick<PlanOutcome, "captureId"> & { readonly file: string };

/** Prints each as `ebscope diff` does; with `json` as a line. */
export async function printPlanDiffs(
  { diffs }: Plan,
  study: Study,
  { captureId, file }: Captured,
  json: boolean,
  line: (line: object) => Promise<void>,
): Promise<void> {
  for (const { from, to } of diffs) {
    const ids = [captureId(from), captureId(to)] as const;
    const [first, second] = ids;
    const isThere = first !== undefined && second !== undefined && first !== second;
    await line({ kind: "diff", from, to, diff: isThere ? await diffJson(study, first, second) : null });
    if (json) continue;
    if (isThere) await printDiff(study, file, { from: first, to: second });
    else
      printData(`${style.heading(`${printable(from)} → ${printable(to)}`)}: no difference, ${missing(from, to, ids)}`);
  }
}

function missing(from: string, to: string, ids: readonly (string | undefined)[]): string {
  const names = [from, to].filter((_, i) => ids[i] === undefined).map((name) => printable(name));
  return names.length === 0 ? "both are the same point" : `${names.join(" and ")} was not recorded`;
}

async function diffJson(study: Study, from: string, to: string): Promise<object> {
  const { capture, images } = study;
  const difference = await diffPoints(capture, images, findPoint(capture, from), findPoint(capture, to));
  const traces = [await traceAt(study, difference.before), await traceAt(study, difference.after)];
  return encodeDiff(difference, findingsOf(study, difference), study, traces, await authorsOf(study, difference));
}
