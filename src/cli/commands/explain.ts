/** `ebscope explain FILE ADDRESS` */
import { EbscopeError } from "../../base/error.ts";
import { hex16 } from "../../base/hex.ts";
import { placeText } from "../../diagnose/place.ts";
import { walksOf } from "../../diagnose/walks.ts";
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
  const { capture, names } = study;
  const va = addressIn(study, text);
  const regime = flags.regime === undefined ? undefined : regimeNamed(flags.regime);
  const [first] = capture.points;
  const view = first === undefined ? undefined : viewOf(capture, first, flags.cpu);
  const walks = walksOf(capture, va, flags.cpu, regime);
  if (flags.json) printData(jsonText(encodeExplanation(va, walks)));
  else {
    const place = names.place(va, view);
    const type = place.memoryType === undefined ? "" : style.quiet(`  ${place.memoryType}`);
    printData([style.heading(`${hex16(va)}  ${placeText(place)}`) + type, ...renderExplanation(walks)].join("\n"));
  }
  return EXIT.done;
}
