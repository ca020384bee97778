/** `all-changes-expected`: between two points mappings change as ExitBootServices is known to change them, and not else. */
import { accessText } from "../../aarch64/permissions.ts";
import type { RegimeName } from "../../aarch64/regime-model.ts";
import { hex } from "../../base/hex.ts";
import type { Coverage, Difference, OwnedMappingChange } from "../../diff/diff.ts";
import type { MappingSide } from "../../diff/mappings.ts";
import type { PointView } from "../../diff/point-view.ts";
import type { Budget } from "../budget.ts";
import type { Span } from "../owners.ts";
import { pieceText, rangeText, whereOf } from "../pieces.ts";
import type { DemandOf } from "../policy.ts";
import { Exceptions } from "../selector.ts";
import { doubtsAt, type Subject } from "../subject.ts";
import { type Complaint, complaintsOf, type Outcome, outcome } from "../verdict.ts";
import { changesOf, isMissing } from "./changes.ts";

export async function allChangesExpected(subject: Subject, demand: DemandOf<"all-changes-expected">): Promise<Outcome> {
  const difference = await changesOf(subject, demand);
  if (isMissing(difference)) return outcome([], difference);
  const exceptions = new Exceptions(demand.except);
  const budget = subject.budget;
  const switched = switchedRegimes(difference);
  const rest = difference.mappings.filter(({ expected, regime }) => expected === null && !switched.has(regime));
  const violations = rest.flatMap((change) => unexpected(subject, difference, change, exceptions, budget));
  const doubts = [difference.before, difference.after].flatMap(doubtsAt);
  return outcome(
    [...switched.values(), ...violations],
    [...doubts, ...difference.coverage.flatMap((gap) => gapComplaint(difference, gap, exceptions))],
    exceptions.unused,
  );
}

/** Regimes that translate at one of the points only: all their addresses have changed, which is one thing to say. */
function switchedRegimes({ regimes, before, after }: Difference): ReadonlyMap<RegimeName, Complaint> {
  const [from, to] = [before.point.id, after.point.id];
  const complaint = (regime: RegimeName, what: string): [RegimeName, Complaint] => [
    regime,
    { message: `${regime} ${what} from ${from} to ${to}`, where: { point: to, regime }, evidence: [] },
  ];
  return new Map(
    regimes.flatMap(({ regime, from: was, to: is }) => {
      if (was !== is) return [complaint(regime, is ? "came into use" : "went out of use")];
      const [old, now] = [before.regime(regime).enabled, after.regime(regime).enabled];
      return old === now ? [] : [complaint(regime, `was turned ${now ? "on" : "off"}`)];
    }),
  );
}

function unexpected(
  subject: Subject,
  { before, after }: Difference,
  change: OwnedMappingChange,
  exceptions: Exceptions,
  budget: Budget,
): Complaint[] {
  const { regime, va, size } = change;
  const [view, side] = change.before === null ? [after, change.after] : [before, change.before];
  if (side === null) return [];
  const except = exceptions.at(after, regime);
  const spans = subject.owners(view, regime).spans(va, size, side.pa, except.cuts, budget);
  const left = [...spans].filter((span) => !except.covers(span));
  return complaintsOf(joinedSpans(left), (span) => complaintOf(before, after, change, span));
}

function joinedSpans(spans: readonly Span[]): Span[] {
  const list: Span[] = [];
  for (const span of spans) {
    const last = list.at(-1);
    const same = last !== undefined && last.va + last.size === span.va && pieceKey(last) === pieceKey(span);
    if (same) list[list.length - 1] = { ...last, size: last.size + span.size };
    else list.push(span);
  }
  return list;
}

function pieceKey({ owners, memoryType }: Span): string {
  return JSON.stringify([owners, memoryType ?? ""]);
}

function complaintOf(before: PointView, after: PointView, change: OwnedMappingChange, span: Span): Complaint {
  const { regime, kind, va } = change;
  const skipped = span.va - va;
  return {
    message: `${pieceText(regime, span)} ${kind === "changed" ? "changed" : `was ${kind}`} from ${before.point.id} to ${after.point.id}, and ExitBootServices is not known to do that`,
    where: { ...whereOf(after, regime, span), pa: change.after === null ? undefined : change.after.pa + skipped },
    evidence: [`${sideText(change.before, skipped)} → ${sideText(change.after, skipped)}`],
  };
}

function sideText(side: MappingSide | null, skipped: bigint): string {
  if (side === null) return "not mapped";
  const { attributes, pa } = side;
  return `${accessText(attributes)}, ${attributes.memory}, to ${hex(pa + skipped)}`;
}

function gapComplaint({ after }: Difference, gap: Coverage, exceptions: Exceptions): Complaint[] {
  const { point, regime, va, size, ranges, pa, level, code, why } = gap;
  if (ranges === 1 && exceptions.at(after, regime).coversRange({ start: va, end: va + size })) return [];
  const rest = ranges > 1 ? ` and ${ranges - 1} more ranges` : "";
  const page = pa === undefined ? "" : `: the page at ${hex(pa)}, a table of level ${level ?? "?"}, could not be read`;
  return [
    {
      message: `what changed of ${regime} at ${rangeText(va, size)}${rest} is not known, as it is not at ${point}${page} (${code})`,
      where: { point, regime, va, size, pa },
      evidence: why === undefined ? [] : [why],
    },
  ];
}
