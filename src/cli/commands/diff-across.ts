/** `ebscope diff A B`: two captures of two runs. */
import { EbscopeError } from "../../base/error.ts";
import { type Finding, findingsOf } from "../../diagnose/findings.ts";
import type { Study } from "../../diagnose/study.ts";
import { type AcrossChoice, diffAcross } from "../../diff/across/across.ts";
import { differenceIn } from "../../diff/compare.ts";
import { encodeAcross } from "../../encode/across.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { renderAcross } from "../render/across.ts";
import { openStudy, type SymbolFlags } from "./open.ts";

export interface AcrossFlags extends SymbolFlags, AcrossChoice {
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function diffAcrossCommand(a: string, b: string, flags: AcrossFlags): Promise<number> {
  const sides = { a: await studied(a, flags), b: await studied(b, flags) };
  const across = await diffAcross(sides, flags);
  if (flags.json) printData(jsonText(encodeAcross(across, { a: sides.a.findings, b: sides.b.findings })));
  else printData(renderAcross(across, { files: { a, b }, all: flags.all ?? false }));
  return EXIT.done;
}

/** The findings are those of the capture by itself, whichever points are compared. */
async function studied(file: string, flags: SymbolFlags): Promise<Study & { readonly findings: readonly Finding[] }> {
  const study = await openStudy(file, flags);
  const findings = findingsOf(study, await differenceIn(study.capture, study.images));
  return { ...study, findings };
}

/** Refuses what only goes with two captures. */
export function refuseAt(at: string | undefined): void {
  if (at === undefined) return;
  throw new EbscopeError("usage", "Cannot compare one capture at one point: --at needs a second capture", {
    next: "Give --from and --to, or a second FILE.",
  });
}
