/** `ebscope report FILE --html OUT --markdown OUT` */
import { basename, resolve } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { authorsOf } from "../../diagnose/blame/authors.ts";
import type { Study } from "../../diagnose/study.ts";
import { differenceIn } from "../../diff/compare.ts";
import { type Difference, diffToFault, isCall } from "../../diff/diff.ts";
import { buildReport, type Report, renderHtml, renderMarkdown } from "../../report/index.ts";
import { writeWhole } from "../../snapshot/store.ts";
import { EXIT } from "../exit-code.ts";
import { printData, progress } from "../output.ts";
import { CREATED_BY } from "../version.ts";
import { openStudy, type SymbolFlags } from "./open.ts";

export interface ReportFlags extends SymbolFlags {
  readonly from?: string;
  readonly to?: string;
  readonly html?: string;
  /** True without a file: stdout. */
  readonly markdown?: string | true;
}

/** A writer and where its text goes. */
interface Output {
  readonly render: (report: Report) => string;
  readonly to: string;
}

const STDOUT = "-";

export async function reportCommand(file: string, flags: ReportFlags): Promise<number> {
  const outputs = outputsOf(flags);
  refuseOutputs(outputs, file);
  const study = await openStudy(file, flags);
  const difference = await differenceIn(study.capture, study.images, flags);
  const report = await reportOf(study, difference, basename(file));
  const texts = outputs.map(({ render, to }) => ({ to, text: render(report) }));
  for (const { to, text } of texts) await put(to, text);
  return EXIT.done;
}

/** The report of a capture, as the verb and the bridge give it. `file`: its name. `difference`: undefined when it has a single point. */
export async function reportOf(study: Study, difference: Difference | undefined, file: string): Promise<Report> {
  const around = difference !== undefined && isCall(difference);
  const toFault = around ? await diffToFault(study.capture, study.images) : undefined;
  const authors = difference && (await authorsOf(study, difference));
  return buildReport(study, difference, { file, version: CREATED_BY, toFault, authors });
}

function outputsOf({ html, markdown }: ReportFlags): readonly Output[] {
  return [
    ...(html === undefined ? [] : [{ render: renderHtml, to: html }]),
    ...(markdown === undefined ? [] : [{ render: renderMarkdown, to: markdown === true ? STDOUT : markdown }]),
  ];
}

function refuseOutputs(outputs: readonly Output[], file: string): void {
  const refuse = (state: string, next: string): never => {
    throw new EbscopeError("usage", `Cannot write a report: ${state}`, { next });
  };
  if (outputs.length === 0) refuse("no form was asked for", "Give --html OUT, --markdown [OUT], or both.");
  const [first, second] = outputs.map(({ to }) => (to === STDOUT ? to : resolve(to)));
  if (first === second) refuse("both forms would go to one place", "Give each a file of its own.");
  // `report --markdown one.ebs two.ebs` is soon typed, and captures cannot be taken again.
  const capture = outputs.find(({ to }) => to.endsWith(".ebs") || resolve(to) === resolve(file));
  if (capture !== undefined) {
    refuse(`${printable(capture.to)} is the name of a capture`, "Give the report another name, such as report.html.");
  }
}

async function put(to: string, text: string): Promise<void> {
  if (to === STDOUT) {
    printData(text);
    return;
  }
  await writeWhole(to, text);
  progress(`wrote ${printable(to)}`);
}
