/** Who made a change, as a note behind a line of evidence; empty for a capture whose writes nobody watched. */
import type { Author } from "../../blame/index.ts";
import { PointView } from "../../diff/point-view.ts";
import { placeName } from "../place.ts";
import type { Facts } from "./rule.ts";

/** Instructions that one line names. */
const MAX_NAMED = 3;

/** By the index of the register change in the difference. */
export function registerAuthors({ study, difference }: Facts): (index: number) => string {
  const blame = difference && study.blame?.attribution(difference);
  return (index) => {
    const found = blame?.registers[index];
    return found?.by === undefined ? "" : noteOf(study, found.by, found.unattributed);
  };
}

/** By the index of the run in the difference. */
export function mappingAuthors({ study, difference }: Facts): (index: number) => string {
  const blame = difference && study.blame?.attribution(difference);
  return (index) => {
    const found = blame?.mappings[index];
    return found?.by === undefined ? "" : noteOf(study, found.by, found.unattributed > 0);
  };
}

function noteOf({ capture, names }: Facts["study"], by: readonly Author[], unattributed: boolean): string {
  const [first] = capture.points;
  const view = first && new PointView(capture, first);
  const places = new Set(by.flatMap(({ pc }) => (pc === undefined ? [] : [placeName(names.place(pc, view))])));
  const named = [...places].slice(0, MAX_NAMED);
  if (places.size > named.length) named.push("others");
  if (unattributed) named.push("nobody who was seen");
  return named.length === 0 ? "" : `, by ${named.join(", ")}`;
}
