/** `null-page-unmapped`: what goes through a NULL pointer faults. */
import type { PointView } from "../../diff/point-view.ts";
import type { Budget } from "../budget.ts";
import { attributesText, joined, lostComplaints, lostIn, piecesIn, pieceText, whereOf } from "../pieces.ts";
import type { DemandOf } from "../policy.ts";
import { doubtsAt, type Subject } from "../subject.ts";
import { type Complaint, type Outcome, outcome } from "../verdict.ts";
import { isOff, offComplaint } from "./mapping-words.ts";

/** In the regime that executes. */
export function nullPageUnmapped(subject: Subject, demand: DemandOf<"null-page-unmapped">): Outcome {
  const { views, undecided } = subject.points(demand.at, ["before", "after"]);
  const range = { start: 0n, end: demand.size };
  const budget = subject.budget;
  const lost = views.flatMap((view) => {
    const regime = view.currentRegime;
    return [...doubtsAt(view), ...lostComplaints(view, regime, lostIn(view.mapAny(regime), range))];
  });
  return outcome(
    views.flatMap((view) => mapped(subject, view, demand.size, budget)),
    [...undecided, ...lost],
  );
}

function mapped(subject: Subject, view: PointView, size: bigint, budget: Budget): Complaint[] {
  const regime = view.currentRegime;
  const map = view.mapAny(regime);
  if (isOff(map.regime)) return [offComplaint(view, regime, "address 0 is an address as any other")];
  const owners = subject.owners(view, regime);
  const pieces = joined(piecesIn({ map, owners, budget }, { start: 0n, end: size }, []));
  return pieces.map((piece) => ({
    message: `${pieceText(regime, piece)} is mapped at ${view.point.id}: what goes through a NULL pointer does not fault`,
    where: whereOf(view, regime, piece),
    evidence: [attributesText(piece)],
  }));
}
