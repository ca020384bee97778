/** Which two points of a capture are compared, and comparing them. */
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import type { LoadedImage } from "../efi/images.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import { type Difference, defaultPoints, diffPoints, findPoint } from "./diff.ts";

/** Ids of points; both are optional. */
export interface PointChoice {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/**
 * The two points that were named; where one was, or none, the other is what `diff` takes by itself. Raises `no-such-point`, and `usage`
 * for a point and itself.
 */
export function pointsToCompare(capture: Capture, choice: PointChoice): readonly [Point, Point] {
  const [from, to] =
    choice.from !== undefined && choice.to !== undefined ? [choice.from, choice.to] : pairOf(capture, choice);
  if (from === to) throw new EbscopeError("usage", `Cannot compare the point ${printable(from, 40)} with itself`);
  return [findPoint(capture, from), findPoint(capture, to)];
}

function pairOf(capture: Capture, choice: PointChoice): readonly [string, string] {
  const ids = capture.points.map(({ id }) => id);
  if (choice.to !== undefined) return [ids.includes("before") ? "before" : (ids[0] ?? ""), choice.to];
  if (choice.from !== undefined) return [choice.from, ids.at(-1) ?? ""];
  return defaultPoints(capture);
}

/** The difference of these points; undefined when none were named and the capture has nothing to compare. */
export async function differenceIn(
  capture: Capture,
  images: readonly LoadedImage[],
  choice: PointChoice = {},
): Promise<Difference | undefined> {
  if (choice.from === undefined && choice.to === undefined && capture.points.length < 2) return undefined;
  return diffPoints(capture, images, ...pointsToCompare(capture, choice));
}
