/** What a rule is given and what it says. Rules are pure functions; docs/findings.md has a section a rule. */
import type { Difference } from "../../diff/diff.ts";
import type { Study } from "../study.ts";

export interface Facts {
  readonly study: Study;
  /** The two points that are compared; undefined for a capture with a single one. */
  readonly difference: Difference | undefined;
}

export interface Verdict {
  readonly severity: "error" | "warning" | "info";
  /** One sentence. */
  readonly title: string;
  /** What it rests on. Printable, as the title is. */
  readonly evidence: readonly string[];
}

export type Rule = (facts: Facts) => Verdict | undefined;

/** Says of a register that it could not be read. */
export const UNREAD = "could not be read";
