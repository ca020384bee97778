/** A call chain, and how execution came to where no code can run. */
import { hex, hex16 } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { FaultCode } from "../../diagnose/fault.ts";
import type { Names } from "../../diagnose/names.ts";
import { placeNote, placeText, targetNote } from "../../diagnose/place.ts";
import type { PlacedFrame, PointTrace } from "../../diagnose/trace.ts";
import { branchText, serviceText } from "../../report/words.ts";
import { style, table } from "./style.ts";

/** Frames that one screen shows. */
const MAX_FRAMES = 16;

/** The frames, why there are no more, and the bad branch. */
export function renderTrace(trace: PointTrace, names: Names, all = false): string[] {
  const { frames, end } = trace;
  const shown = all ? frames : frames.slice(0, MAX_FRAMES);
  const rest = frames.length - shown.length;
  return [
    ...table(shown.map(frameCells)),
    ...(rest > 0 ? [style.quiet(`  … ${plural(rest, "frame")} more: show FILE backtrace --all`)] : []),
    style.quiet(`  ends here: ${printable(end, 200)}`),
    ...renderBranch(trace, names),
  ];
}

function frameCells({ place, access, trust, doubts }: PlacedFrame, i: number): string[] {
  const doubt = trust === "sure" || trust === "likely" ? doubts.slice(0, 1) : [trust, ...doubts];
  return [`#${i}`, hex16(place.address), access, placeNote(place), style.quiet(printable(doubt.join("; "), 200))];
}

function renderBranch(trace: PointTrace, names: Names): string[] {
  const [branch, service] = [branchText(trace, names), serviceText(trace, names)];
  return [...(branch === "" ? [] : [`  ${branch}`]), ...(service === "" ? [] : [`  ${style.bad(service)}`])];
}

/** Instructions around a place, with a mark at the one that matters. */
export function renderCode({ address, place, listing, targets }: FaultCode): string[] {
  const rows = listing.instructions.map((each) => {
    const target = targets.get(each.address);
    return [
      `${each.address === address ? ">" : " "} ${hex(each.address)}`,
      each.mnemonic,
      printable(each.operands, 100) + (target === undefined ? "" : style.quiet(targetNote(target))),
    ];
  });
  return [style.heading(`Code at ${placeText(place)}`), ...table(rows)];
}
