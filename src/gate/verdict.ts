/** What came of holding a capture against a policy. */
import type { RegimeName } from "../aarch64/regime-model.ts";
import type { Policy, PolicyRule, Position } from "./policy.ts";

/** Where something is. Addresses and sizes in bytes. */
export interface Where {
  readonly point?: string | undefined;
  readonly regime?: RegimeName | undefined;
  readonly va?: bigint | undefined;
  readonly size?: bigint | undefined;
  readonly pa?: bigint | undefined;
  readonly cpu?: number | undefined;
  /** A register, or one field of it: `SCTLR_EL1.M`. */
  readonly register?: string | undefined;
  readonly image?: string | undefined;
  readonly section?: string | undefined;
  readonly memoryType?: string | undefined;
  readonly finding?: string | undefined;
}

/** Something that breaks a rule, or keeps it from being decided. */
export interface Complaint {
  /** One sentence without its full stop; printable, as the evidence is. */
  readonly message: string;
  readonly where: Where;
  readonly evidence: readonly string[];
}

/** What a rule says. */
export interface Outcome {
  readonly violations: readonly Complaint[];
  /** Violations that are not listed, as there are so many. */
  readonly more: number;
  readonly undecided: readonly Complaint[];
  /** Exceptions that matched nothing. */
  readonly unused: readonly Unused[];
}

export interface Unused {
  readonly text: string;
  readonly position: Position;
}

export type RuleState = "kept" | "broken" | "unknown";

export interface RuleResult extends Outcome {
  readonly rule: PolicyRule;
  /** broken where anything breaks it; else unknown where anything is undecided. */
  readonly state: RuleState;
  /** Whether the policy is broken by it. */
  readonly breaks: boolean;
}

export interface Verdict {
  readonly policy: Policy;
  /** The capture's file, as the user named it. */
  readonly capture: string;
  readonly state: "kept" | "broken";
  readonly rules: readonly RuleResult[];
}

/** Complaints of one rule that are listed. */
export const MOST_COMPLAINTS = 100;

const NOT_LISTED: Complaint = { message: "", where: {}, evidence: [] };

/** Complaints of things, of which there may be a million: those behind the ones that are listed only count. */
export function complaintsOf<T>(all: readonly T[], make: (each: T) => Complaint): Complaint[] {
  const listed = all.slice(0, MOST_COMPLAINTS).map(make);
  for (let i = listed.length; i < all.length; i++) listed.push(NOT_LISTED);
  return listed;
}

/** An outcome with lists that are not longer than that. */
export function outcome(
  violations: readonly Complaint[],
  undecided: readonly Complaint[] = [],
  unused: readonly Unused[] = [],
): Outcome {
  const listed = violations.slice(0, MOST_COMPLAINTS);
  return {
    violations: listed,
    more: violations.length - listed.length,
    undecided: undecided.slice(0, MOST_COMPLAINTS),
    unused,
  };
}

/** How many rules there are of each state. */
export function countStates(rules: readonly RuleResult[]): Readonly<Record<RuleState, number>> {
  const count = (wanted: RuleState): number => rules.filter(({ state }) => state === wanted).length;
  return { kept: count("kept"), broken: count("broken"), unknown: count("unknown") };
}
