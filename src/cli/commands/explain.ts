/** `ebscope explain FILE VA` */
import { EbscopeError } from "../../base/error.ts";
import { hex16, parseInteger } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import { placeOf } from "../../diagnose/fault.ts";
import { placeText } from "../../diagnose/findings.ts";
import { walksOf } from "../../diagnose/walks.ts";
import { capturedImages } from "../../diff/point-view.ts";
import { encodeExplanation } from "../../server/encode.ts";
import { readCapture } from "../../snapshot/store.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { renderExplanation } from "../render/explain.ts";
import { style } from "../render/style.ts";
import { regimeNamed, viewOf } from "./open.ts";

export interface ExplainFlags {
  readonly regime?: string;
  readonly cpu?: number;
  readonly json?: boolean;
}

export async function explainCommand(file: string, text: string, flags: ExplainFlags): Promise<number> {
  const va = parseInteger(text);
  if (va === undefined) {
    throw new EbscopeError("usage", `Cannot explain ${JSON.stringify(printable(text, 40))}: it is no address`, {
      next: "Give an address, such as 0x40000000.",
    });
  }
  const capture = await readCapture(file);
  const regime = flags.regime === undefined ? undefined : regimeNamed(flags.regime);
  const [first] = capture.points;
  if (first !== undefined) viewOf(capture, first, flags.cpu);
  const walks = walksOf(capture, va, flags.cpu, regime);
  if (flags.json) printData(jsonText(encodeExplanation(va, walks)));
  else {
    const place = placeText(placeOf(await capturedImages(capture), va));
    printData([style.heading(`${hex16(va)}  ${place}`), ...renderExplanation(walks)].join("\n"));
  }
  return EXIT.done;
}
