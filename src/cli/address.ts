/** Addresses as people give them: numbers, and names of what lies there. */
import { EbscopeError } from "../base/error.ts";
import { hex, parseInteger } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { Study } from "../diagnose/study.ts";
import { PointView } from "../diff/point-view.ts";

const NEXT =
  "Give a number (0x40000000), a symbol (with --symbols), an image (DxeCore+0x1234) or a service (gBS->Stall); names may have +OFFSET behind them.";

/** The address that a text means; throws a usage error when it means none, or several. */
export function addressIn(study: Study, text: string): bigint {
  const found = addressesIn(study, text);
  const [address] = found;
  if (address !== undefined && found.length === 1) return address;
  const name = JSON.stringify(printable(text, 80));
  const why =
    found.length === 0
      ? "it is no address, and no name that is known"
      : `it is at ${found.slice(0, 8).map(hex).join(", ")}`;
  throw new EbscopeError("usage", `Cannot tell which address ${name} is: ${why}`, { next: NEXT });
}

/** Every address that a text may mean: a name may lie at different addresses at different points. */
export function addressesIn({ capture, names }: Study, text: string): bigint[] {
  const number = parseInteger(text);
  if (number !== undefined) return [number];
  if (text === "") return [];
  const everywhere = capture.points.flatMap((point) => names.addressesOf(text, new PointView(capture, point)));
  return [...new Set(everywhere)].sort((a, b) => (a < b ? -1 : 1));
}
