/** What the rules say of two captures. */
import type { AcrossFinding, Two } from "./side.ts";

export interface FindingAcross {
  readonly rule: string;
  /** Undefined: the rule says nothing of it. */
  readonly findings: Two<AcrossFinding | undefined>;
}

export interface FindingsAcross {
  /** Of rules that say something of one capture only, or something else of the other. */
  readonly differences: readonly FindingAcross[];
  readonly same: number;
}

export function compareFindings({ a, b }: Two<readonly AcrossFinding[]>): FindingsAcross {
  const rules = [...new Set([...a, ...b].map(({ rule }) => rule))];
  const pairs = rules.map((rule) => {
    const of = (findings: readonly AcrossFinding[]) => findings.find((each) => each.rule === rule);
    return { rule, findings: { a: of(a), b: of(b) } };
  });
  const differences = pairs.filter(({ findings }) => !isSame(findings));
  return { differences, same: pairs.length - differences.length };
}

/** What is normal counts pages and names points: that it is said of both is enough. */
function isSame({ a, b }: Two<AcrossFinding | undefined>): boolean {
  if (a?.severity !== b?.severity) return false;
  return a?.severity === "info" || essence(a?.title) === essence(b?.title);
}

/** Addresses move from run to run, offsets in an image are left out with them; no two runs are watched equally long. */
function essence(title: string | undefined): string | undefined {
  return title?.replace(/0x[0-9a-f]+/g, "0x").replace(/\d+(\.\d+)? s\b/g, "s");
}
