/** `runtime-code-read-only`: what the OS will call of the firmware cannot be written to. */
import { either } from "../../aarch64/permissions.ts";
import { printable } from "../../base/text.ts";
import { imageLabel } from "../../diff/owners.ts";
import type { PointView } from "../../diff/point-view.ts";
import type { ImageDetails } from "../../efi/images.ts";
import { sectionContents } from "../../efi/sections.ts";
import type { Budget } from "../budget.ts";
import { attributesText, joined, lostComplaints, lostIn, type Piece, piecesIn, pieceText, whereOf } from "../pieces.ts";
import type { AddressRange, DemandOf } from "../policy.ts";
import { Exceptions } from "../selector.ts";
import { doubtsAt, type Subject } from "../subject.ts";
import { type Complaint, complaintsOf, type Outcome, outcome } from "../verdict.ts";
import { isOff, offComplaint, permissionUnknown } from "./mapping-words.ts";

/** In the regime that executes, at the addresses that the firmware lists. */
export function runtimeCodeReadOnly(subject: Subject, demand: DemandOf<"runtime-code-read-only">): Outcome {
  const { views, undecided } = subject.points(demand.at, ["before"]);
  const images = subject.study.images.filter(({ runtime, found }) => runtime && found === "list");
  const exceptions = new Exceptions(demand.except);
  const budget = subject.budget;
  const judged = views.map((view) => judge(subject, view, images, exceptions, budget));
  return outcome(
    judged.flatMap(({ violations }) => violations),
    [...undecided, ...notListed(images), ...judged.flatMap((each) => each.undecided)],
    exceptions.unused,
  );
}

function notListed(images: readonly ImageDetails[]): Complaint[] {
  if (images.length === 0) return [{ message: "the capture lists no runtime image", where: {}, evidence: [] }];
  return images
    .filter((image) => codeOf(image).length === 0)
    .map((image) => ({
      message: `where the code of ${printable(imageLabel(image), 120)} is cannot be told: its section headers are not known`,
      where: { image: imageLabel(image), va: image.base, size: image.size },
      evidence: [],
    }));
}

/** The addresses of its sections of code, in whole pages. */
function codeOf(image: ImageDetails): readonly AddressRange[] {
  return image.sections
    .filter((section) => sectionContents(section).includes("code"))
    .map(({ offset, size }) => {
      const start = image.base + BigInt(offset);
      return { start: start & ~0xfffn, end: (start + BigInt(size) + 0xfffn) & ~0xfffn };
    });
}

interface Judged {
  readonly violations: readonly Complaint[];
  readonly undecided: readonly Complaint[];
}

function judge(
  subject: Subject,
  view: PointView,
  images: readonly ImageDetails[],
  exceptions: Exceptions,
  budget: Budget,
): Judged {
  const regime = view.currentRegime;
  const map = view.mapAny(regime);
  if (isOff(map.regime)) return { violations: [offComplaint(view, regime, "everything is writable")], undecided: [] };
  const owners = subject.owners(view, regime);
  const except = exceptions.at(view, regime);
  const ranges = images.flatMap(codeOf);
  const pieces = ranges.flatMap((range) => {
    const all = piecesIn({ map, owners, budget }, range, except.cuts, (each) => writable(each) !== false);
    return joined([...all].filter((piece) => !except.covers(piece)));
  });
  const known = (piece: Piece): boolean => writable(piece.attributes) === true;
  const unknown = pieces.filter((piece) => !known(piece));
  budget.spend(ranges.length * map.lost.length);
  const lost = new Set(ranges.flatMap((range) => lostIn(map, range)));
  return {
    violations: complaintsOf(pieces.filter(known), (piece) => ({
      message: `code of a runtime image is writable at ${view.point.id}: ${pieceText(regime, piece)}`,
      where: whereOf(view, regime, piece),
      evidence: [attributesText(piece)],
    })),
    undecided: [
      ...doubtsAt(view),
      ...lostComplaints(view, regime, [...lost]),
      ...complaintsOf(unknown, (piece) => permissionUnknown(view, regime, piece)),
    ],
  };
}

function writable({ write, el0 }: Piece["attributes"]): boolean | null {
  return either(write, el0?.write ?? false);
}
