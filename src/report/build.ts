/** What a report says, and in which order: the verdict first. */
import { hex } from "../base/hex.ts";
import type { DifferenceAuthors } from "../diagnose/blame/authors.ts";
import { type Finding, findingsOf } from "../diagnose/findings.ts";
import type { Study } from "../diagnose/study.ts";
import type { Difference } from "../diff/diff.ts";
import { statusName } from "../efi/structures.ts";
import type { Capture } from "../snapshot/model.ts";
import { changesSection } from "./changes.ts";
import { type Block, data, type Report, type Section, type Spans } from "./document.ts";
import { faultSection } from "./fault.ts";
import { captureSection, coverageSection, imagesSection, memoryMapSection } from "./machine.ts";

export interface ReportOptions {
  /** The name of the capture, without its folders: a report is handed on. */
  readonly file: string;
  /** `ebscope 0.1.0` */
  readonly version: string;
  /** From the return of the call to the fault. */
  readonly toFault?: Difference | undefined;
  /** Who made the changes of the difference; undefined for a capture without a record of it. */
  readonly authors?: DifferenceAuthors | undefined;
}

/** The report of a capture. `difference`: the two points that are compared; undefined for a capture with a single one. */
export function buildReport(study: Study, difference: Difference | undefined, options: ReportOptions): Report {
  const findings = findingsOf(study, difference);
  const [verdict] = findings;
  return {
    tone: verdict?.severity ?? "info",
    title: verdict?.title ?? "Nothing was found that ebscope knows to look for.",
    summary: summaryOf(study, difference),
    sections: [
      ...findingsSection(
        "findings",
        "Findings",
        findings.filter(({ severity }) => severity !== "info"),
      ),
      ...faultSection(study),
      ...(options.toFault === undefined ? [] : [changesSection(options.toFault, "changes-to-fault")]),
      ...(difference === undefined ? [] : [changesSection(difference, "changes", options.authors)]),
      ...coverageSection(study, difference),
      ...findingsSection(
        "normal",
        "What is normal",
        findings.filter(({ severity }) => severity === "info"),
      ),
      ...imagesSection(study),
      ...memoryMapSection(study),
      captureSection(study, options.file, options.version),
    ],
  };
}

/** `ExitBootServices returned EFI_SUCCESS on call 2. before → after, QEMU 7.2.22.` */
function summaryOf({ capture }: Study, difference: Difference | undefined): Spans {
  const points = difference === undefined ? capture.points.map(({ id }) => id) : pointsOf(difference);
  return [callText(capture), "QEMU ", data(capture.qemuVersion ?? "?"), ", ", data(points.join(" → ")), "."];
}

function pointsOf({ before, after }: Difference): string[] {
  return [before.point.id, after.point.id];
}

function callText({ attempts }: Capture): string {
  const last = attempts.at(-1);
  if (last === undefined) return "";
  if (last.status === undefined) return "ExitBootServices did not return. ";
  const on = attempts.length > 1 ? ` on call ${attempts.length}` : "";
  return `ExitBootServices returned ${statusName(last.status) ?? hex(last.status)}${on}. `;
}

function findingsSection(id: string, title: string, findings: readonly Finding[]): readonly Section[] {
  const blocks = findings.map(
    (finding): Block => ({
      ...{ kind: "finding", tone: finding.severity, rule: finding.rule },
      ...{ title: finding.title, evidence: finding.evidence },
    }),
  );
  return blocks.length === 0 ? [] : [{ id, title, blocks }];
}
