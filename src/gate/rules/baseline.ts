/** `same-as`: a capture against one that was found good. What is a difference between two runs is the caller's to say. */
import type { DemandOf } from "../policy.ts";
import { type Complaint, type Outcome, outcome } from "../verdict.ts";

/** A difference between two captures, or something that could not be compared. */
export interface BaselineDifference extends Complaint {
  /** What it is about: one of the parts that a policy may leave out (`ignore`). */
  readonly part: string;
}

export interface BaselineComparison {
  /** The baseline's file, as the user named it. */
  readonly file: string;
  readonly differences: readonly BaselineDifference[];
  readonly undecided: readonly BaselineDifference[];
}

export function sameAs(comparison: BaselineComparison | undefined, { ignore }: DemandOf<"same-as">): Outcome {
  if (comparison === undefined)
    return outcome([], [{ message: "there is no baseline to compare with", where: {}, evidence: [] }]);
  const counts = ({ part }: BaselineDifference): boolean => !ignore.includes(part);
  return outcome(comparison.differences.filter(counts), comparison.undecided.filter(counts));
}
