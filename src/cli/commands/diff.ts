/** `ebscope diff FILE` */

import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { readFault } from "../../diagnose/fault.ts";
import { findingsOf } from "../../diagnose/findings.ts";
import { defaultPoints, diffPoints, findPoint } from "../../diff/diff.ts";
import { encodeDiff } from "../../server/encode.ts";
import type { Capture } from "../../snapshot/model.ts";
import { readCapture } from "../../snapshot/store.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { renderDiff } from "../render/diff.ts";

export interface DiffFlags {
  readonly from?: string;
  readonly to?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function diffCommand(file: string, flags: DiffFlags): Promise<number> {
  await printDiff(await readCapture(file), file, flags);
  return EXIT.done;
}

/** Prints the difference of two points of a capture, the call of ExitBootServices unless told otherwise. */
export async function printDiff(capture: Capture, file: string, flags: DiffFlags): Promise<void> {
  const [from, to] =
    flags.from !== undefined && flags.to !== undefined ? [flags.from, flags.to] : pairOf(capture, flags);
  if (from === to) throw new EbscopeError("usage", `Cannot compare the point ${printable(from, 40)} with itself`);
  const difference = await diffPoints(capture, findPoint(capture, from), findPoint(capture, to));
  const fault = await readFault(capture, difference.images);
  const findings = findingsOf(difference, fault);
  if (flags.json) printData(jsonText(encodeDiff(difference, findings)));
  else printData(renderDiff(difference, findings, fault, { all: flags.all ?? false, file }));
}

/** One end was named, or none: the other is what `diff` takes by itself. */
function pairOf(capture: Capture, flags: DiffFlags): readonly [string, string] {
  const ids = capture.points.map(({ id }) => id);
  if (flags.to !== undefined) return [ids.includes("before") ? "before" : (ids[0] ?? ""), flags.to];
  if (flags.from !== undefined) return [flags.from, ids.at(-1) ?? ""];
  return defaultPoints(capture);
}
