/** `no-write-execute`: for one Exception level nothing is both writable and executable. */
import type { Attributes } from "../../aarch64/attributes.ts";
import { type Access, either } from "../../aarch64/permissions.ts";
import type { RegimeName } from "../../aarch64/regime-model.ts";
import type { PointView } from "../../diff/point-view.ts";
import type { Budget } from "../budget.ts";
import {
  attributesText,
  EVERYTHING,
  joined,
  lostComplaints,
  type Piece,
  piecesIn,
  pieceText,
  whereOf,
} from "../pieces.ts";
import type { DemandOf } from "../policy.ts";
import { Exceptions, type PointExceptions } from "../selector.ts";
import { doubtsAt, regimesAt, type Subject } from "../subject.ts";
import { type Complaint, complaintsOf, type Outcome, outcome } from "../verdict.ts";
import { isOff, offComplaint, permissionUnknown } from "./mapping-words.ts";

export function noWriteExecute(subject: Subject, demand: DemandOf<"no-write-execute">): Outcome {
  const { views, undecided } = subject.points(demand.at, ["before"]);
  const exceptions = new Exceptions(demand.except);
  const budget = subject.budget;
  const judged = views.flatMap((view): Judged[] => {
    const { names, undecided: notInUse } = regimesAt(view, demand.regimes);
    const doubts = { violations: [], undecided: [...doubtsAt(view), ...notInUse] };
    return [doubts, ...names.map((regime) => judge(subject, view, regime, exceptions.at(view, regime), budget))];
  });
  return outcome(
    judged.flatMap(({ violations }) => violations),
    [...undecided, ...judged.flatMap((each) => each.undecided)],
    exceptions.unused,
  );
}

interface Judged {
  readonly violations: readonly Complaint[];
  readonly undecided: readonly Complaint[];
}

function judge(subject: Subject, view: PointView, regime: RegimeName, except: PointExceptions, budget: Budget): Judged {
  const map = view.mapAny(regime);
  if (isOff(map.regime))
    return { violations: [offComplaint(view, regime, "everything is writable and executable")], undecided: [] };
  const owners = subject.owners(view, regime);
  const pieces = piecesIn({ map, owners, budget }, EVERYTHING, except.cuts, (each) => isBoth(each) !== false);
  const left = joined([...pieces].filter((piece) => !except.covers(piece)));
  const lost = map.lost.filter(({ start, pages }) => {
    const va = BigInt(start) << 12n;
    return !except.coversRange({ start: va, end: va + (BigInt(pages) << 12n) });
  });
  const known = (piece: Piece): boolean => isBoth(piece.attributes) === true;
  const unknown = left.filter((piece) => !known(piece));
  return {
    violations: complaintsOf(left.filter(known), (piece) => complaint(view, regime, piece)),
    undecided: [
      ...lostComplaints(view, regime, lost),
      ...complaintsOf(unknown, (piece) => permissionUnknown(view, regime, piece)),
    ],
  };
}

function complaint(view: PointView, regime: RegimeName, piece: Piece): Complaint {
  return {
    message: `${pieceText(regime, piece)} is writable and executable at ${view.point.id}`,
    where: whereOf(view, regime, piece),
    evidence: [attributesText(piece)],
  };
}

/** null: it cannot be told. */
function isBoth({ el0, ...privileged }: Attributes): boolean | null {
  return either(writeExecute(privileged), el0 === null ? false : writeExecute(el0));
}

function writeExecute({ write, execute }: Access): boolean | null {
  if (write === false || execute === false) return false;
  return write === null || execute === null ? null : true;
}
