/** What a plan that runs tells. */
import type { PlanHit } from "./run-plan-record.ts";

/** It cannot be told whether a condition holds, for a reason that the point did not have before. The hit does not count. */
export interface PlanUndecided {
  readonly kind: "undecided";
  readonly point: string;
  /** ISO 8601. */
  readonly time: string;
  readonly cpu: number;
  readonly pc: bigint | undefined;
  readonly why: string;
}

export type PlanEvent =
  | PlanHit
  | PlanUndecided
  /** A point is armed, at these places. */
  | { readonly kind: "armed"; readonly point: string; readonly places: readonly string[] }
  | { readonly kind: "given-up"; readonly point: string; readonly why: string }
  | { readonly kind: "note"; readonly text: string };
