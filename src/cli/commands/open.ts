/** Opening a capture for the reading verbs, and picking what of it to show. */
import { isRegimeName, REGIME_NAMES, type RegimeName } from "../../aarch64/regime-model.ts";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { findPoint, regimeNames } from "../../diff/diff.ts";
import { PointView } from "../../diff/point-view.ts";
import type { Capture, Point } from "../../snapshot/model.ts";

/** The point that `--at` names; without it `after`, else the last one. */
export function pointAt(capture: Capture, id: string | undefined): Point {
  if (id !== undefined) return findPoint(capture, id);
  const point = capture.points.find((each) => each.id === "after") ?? capture.points.at(-1);
  if (point === undefined) throw new EbscopeError("no-such-point", "Cannot show anything: the capture has no point");
  return point;
}

/** A point as one of its vCPUs sees it. */
export function viewOf(capture: Capture, point: Point, cpu: number | undefined): PointView {
  if (cpu !== undefined && cpu >= capture.threads.length) {
    throw new EbscopeError(
      "usage",
      `Cannot show vCPU ${cpu}: the capture has ${capture.threads.length}, numbered from 0`,
    );
  }
  return new PointView(capture, point, cpu);
}

/** The regime that was asked for, live or not; without one all live ones. */
export function regimesOf(view: PointView, wanted: string | undefined): readonly RegimeName[] {
  return wanted === undefined ? regimeNames(view) : [regimeNamed(wanted)];
}

export function regimeNamed(text: string): RegimeName {
  if (isRegimeName(text)) return text;
  const message = `Cannot show the regime ${JSON.stringify(printable(text, 40))}: there are ${REGIME_NAMES.join(", ")}`;
  throw new EbscopeError("usage", message, { next: "Give one of those, in quotes because of the &." });
}
