/**
 * Rules over TLB maintenance that a watch was to see and did not.
 *
 * Source: Arm ARM DDI 0487, D8.17 "TLB maintenance" and "Using break-before-make when updating translation table entries".
 */
import { hex } from "../../base/hex.ts";
import { plural } from "../../base/text.ts";
import type { MaintenanceGap } from "../../blame/index.ts";
import { PointView } from "../../diff/point-view.ts";
import { placeName } from "../place.ts";
import type { Study } from "../study.ts";
import type { Facts, Verdict } from "./rule.ts";

/** Changes that one finding lists. */
const MAX_LISTED = 20;
const SEARCHED =
  "TLBI was watched for in the images that were there at the call; what other code did is not seen, nor what a hypervisor or a device does.";

export function tlbMaintenanceMissing({ study }: Facts): Verdict | undefined {
  const gaps = gapsOf(study, "no-tlbi");
  const used = gaps.filter(({ seenUse }) => seenUse !== undefined).length;
  const uses = used === 0 ? "" : `; ${used} of ${gaps.length} were used before one`;
  return verdict(study, gaps, (count) => `${count} that no TLBI followed in time, as far as was seen${uses}.`);
}

export function breakBeforeMakeMissing({ study }: Facts): Verdict | undefined {
  const gaps = gapsOf(study, "no-break-before-make");
  return verdict(study, gaps, (count) => `${count} without break-before-make, where the architecture asks for it.`);
}

function gapsOf({ blame }: Study, kind: MaintenanceGap["kind"]): readonly MaintenanceGap[] {
  return blame?.maintenance?.gaps.filter((gap) => gap.kind === kind) ?? [];
}

function verdict(study: Study, gaps: readonly MaintenanceGap[], title: (count: string) => string): Verdict | undefined {
  if (gaps.length === 0) return undefined;
  const more = gaps.length - MAX_LISTED;
  return {
    severity: "warning",
    title: title(`${plural(gaps.length, "change")} of ${gaps.length === 1 ? "a live mapping" : "live mappings"}`),
    evidence: [
      ...gaps.slice(0, MAX_LISTED).map((gap) => lineOf(study, gap)),
      ...(more > 0 ? [`… and ${more} more`] : []),
      ...(study.blame?.maintenance?.cut ? ["There were more changes than are followed at a time."] : []),
      SEARCHED,
    ],
  };
}

function lineOf(study: Study, { event, regime, va, size, before, after, seenUse, why }: MaintenanceGap): string {
  const change = `${regime} ${hex(va)} + ${hex(size)}, descriptor ${hex(before)} → ${hex(after)}`;
  const use = seenUse === undefined ? "" : ` (at ${placeAt(study, seenUse)}, event ${seenUse})`;
  return `${change} by ${placeAt(study, event)} (event ${event}): ${why}${use}`;
}

/** Where the instruction of an event stands, as the first point knows it. */
function placeAt({ capture, blame, names }: Study, event: number): string {
  const pc = blame?.record.events[event]?.pc;
  const [first] = capture.points;
  if (pc === undefined || first === undefined) return "nobody who was seen";
  return placeName(names.place(pc, new PointView(capture, first)));
}
