/** `ebscope explain FILE VA` */
import { EbscopeError } from "../../base/error.ts";
import { hex16, parseInteger } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import { type PointWalk, placeOf, walksOf } from "../../diagnose/fault.ts";
import { placeText } from "../../diagnose/findings.ts";
import { regimeNames } from "../../diff/diff.ts";
import { capturedImages, PointView } from "../../diff/point-view.ts";
import { encodeExplanation } from "../../server/encode.ts";
import type { Capture } from "../../snapshot/model.ts";
import { readCapture } from "../../snapshot/store.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { style } from "../render/style.ts";
import { renderWalks } from "../render/walk.ts";
import { viewOf } from "./open.ts";

export interface ExplainFlags {
  readonly regime?: string;
  readonly cpu?: number;
  readonly json?: boolean;
}

/** The points at which the regime that was asked for is not live. */
function elsewhere(capture: Capture, walks: readonly PointWalk[]): string[] {
  const shown = new Set(walks.map(({ point }) => point));
  const missing = capture.points.filter(({ id }) => !shown.has(id)).map(({ id }) => id);
  return missing.length === 0 ? [] : [style.quiet(`  at ${missing.join(", ")}: the regime is not live`)];
}

export async function explainCommand(file: string, text: string, flags: ExplainFlags): Promise<number> {
  const va = parseInteger(text);
  if (va === undefined) {
    throw new EbscopeError("usage", `Cannot explain ${JSON.stringify(printable(text, 40))}: it is no address`, {
      next: "Give an address, such as 0x40000000.",
    });
  }
  const capture = await readCapture(file);
  const live = regimeNames(...capture.points.map((point) => new PointView(capture, point)));
  const regime = live.find((name) => name === flags.regime);
  if (flags.regime !== undefined && regime === undefined) {
    throw new EbscopeError(
      "usage",
      `Cannot explain in the regime ${JSON.stringify(flags.regime)}: live are ${live.join(", ")}`,
    );
  }
  const [first] = capture.points;
  if (first !== undefined) viewOf(capture, first, flags.cpu);
  const walks = walksOf(capture, va, flags.cpu, regime);
  if (flags.json) printData(jsonText(encodeExplanation(va, walks)));
  else {
    const place = placeText(placeOf(await capturedImages(capture), va));
    printData(
      [style.heading(`${hex16(va)}  ${place}`), ...renderWalks(walks), ...elsewhere(capture, walks)].join("\n"),
    );
  }
  return EXIT.done;
}
