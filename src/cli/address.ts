/** Addresses as people give them: numbers, and names of what lies there. */
import type { RegimeName } from "../aarch64/regime-model.ts";
import { EbscopeError } from "../base/error.ts";
import { hex, parseInteger } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { Study } from "../diagnose/study.ts";
import { PointView } from "../diff/point-view.ts";
import type { Point } from "../snapshot/model.ts";

const NEXT =
  "Give a number (0x40000000), a symbol (with --symbols), an image (DxeCore+0x1234) or a service ('gBS->Stall': quoted, or the shell takes the >); names may have +OFFSET behind them.";

/** Where a name is looked up; everywhere unless told. */
export interface NameScope {
  readonly point?: Point | undefined;
  readonly regime?: RegimeName | undefined;
}

/** The address that a text means; throws a usage error when it means none, or several. */
export function addressIn(study: Study, text: string, scope: NameScope = {}): bigint {
  const found = addressesIn(study, text, scope);
  const [address] = found.keys();
  if (address !== undefined && found.size === 1) return address;
  const name = JSON.stringify(printable(text, 80));
  const places = [...found].slice(0, 8).map(([each, points]) => `${hex(each)} (at ${points.join(", ")})`);
  const why = found.size === 0 ? "it is no address, and no name that is known" : `it is ${places.join(" and ")}`;
  throw new EbscopeError("usage", `Cannot tell which address ${name} is: ${why}`, { next: NEXT });
}

/** Every address that a text may mean, ascending, with the points where it is there: a name may move. */
export function addressesIn({ capture, names }: Study, text: string, scope: NameScope = {}): Map<bigint, string[]> {
  const found = new Map<bigint, string[]>();
  const number = parseInteger(text);
  if (number !== undefined) return found.set(number, []);
  const points = scope.point === undefined ? capture.points : [scope.point];
  for (const point of text === "" ? [] : points) {
    const view = new PointView(capture, point);
    const regimes = scope.regime === undefined ? view.regimes.map(({ name }) => name) : [scope.regime];
    const here = new Set(regimes.flatMap((regime) => names.addressesOf(text, view, regime)));
    for (const address of here) found.set(address, [...(found.get(address) ?? []), point.id]);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
