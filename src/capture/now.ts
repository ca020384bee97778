/** The single point `now` of a guest in any state. */

import type { Target } from "../target/target.ts";
import { assemble } from "./assemble.ts";
import type { CaptureOutcome } from "./exit-boot-services.ts";
import { takePoint } from "./point.ts";

/** Takes the point of a halted guest. Does not throw for what happens in the guest; leaves it halted. */
export async function captureNow(
  target: Target,
  createdBy: string,
  options: { readonly maxTables?: number } = {},
): Promise<CaptureOutcome> {
  const { point, lost } = await takePoint(target, { ...options, id: "now", kind: "now" });
  if (point === undefined) return { capture: undefined, error: lost };
  return { capture: assemble(target, createdBy, { points: [point], partial: lost }), error: lost };
}
