/** `ebscope explain FILE ADDRESS` */
import type { RegimeName } from "../../aarch64/regime-model.ts";
import { EbscopeError } from "../../base/error.ts";
import { hex16 } from "../../base/hex.ts";
import { typedNote } from "../../diagnose/place.ts";
import type { Study } from "../../diagnose/study.ts";
import { walksOf } from "../../diagnose/walks.ts";
import type { PointView } from "../../diff/point-view.ts";
import { encodeExplanation } from "../../encode/point.ts";
import { addressIn } from "../address.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { renderExplanation } from "../render/explain.ts";
import { style } from "../render/style.ts";
import { openStudy, regimeNamed, type SymbolFlags, viewOf } from "./open.ts";

export interface ExplainFlags extends SymbolFlags {
  /** A name, in the place of the address. */
  readonly at?: string;
  readonly regime?: string;
  readonly cpu?: number;
  readonly json?: boolean;
}

export async function explainCommand(file: string, argument: string | undefined, flags: ExplainFlags): Promise<number> {
  const text = argument ?? flags.at;
  if (text === undefined || (argument !== undefined && flags.at !== undefined)) {
    throw new EbscopeError("usage", "Cannot tell what to explain: give one address, or --at NAME");
  }
  const study = await openStudy(file, flags);
  const { capture } = study;
  const regime = flags.regime === undefined ? undefined : regimeNamed(flags.regime);
  const va = addressIn(study, text, { regime });
  const views = capture.points.map((point) => viewOf(capture, point, flags.cpu));
  const walks = walksOf(capture, va, flags.cpu, regime);
  if (flags.json) printData(jsonText(encodeExplanation(va, walks)));
  else printData([...headings(study, va, views, regime), ...renderExplanation(walks)].join("\n"));
  return EXIT.done;
}

/** What the address is; where that is not the same at each point, a line for each. */
function headings({ names }: Study, va: bigint, views: readonly PointView[], regime: RegimeName | undefined): string[] {
  const points = new Map<string, string[]>();
  for (const view of views) {
    const place = names.place(va, view, regime);
    const note = typedNote(place);
    points.set(note, [...(points.get(note) ?? []), view.point.id]);
  }
  const [only = ""] = points.keys();
  if (points.size <= 1) return [style.heading(`${hex16(va)}  ${only}`)];
  return [style.heading(hex16(va)), ...[...points].map(([note, ids]) => `  at ${ids.join(", ")}: ${note}`)];
}
