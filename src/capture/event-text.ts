/** What happens in a capture session, as a line for people. */
import { hex } from "../base/hex.ts";
import { plural } from "../base/text.ts";
import { statusName } from "../efi/structures.ts";
import type { BlameSummary } from "./blame/blame-watch.ts";
import type { CaptureEvent } from "./exit-boot-services.ts";

/** One line. What it says of images and notes may hold text of the guest's: it is not made safe to print here. */
export function captureEventText(event: CaptureEvent): string {
  switch (event.kind) {
    case "waiting":
      return `waiting for the firmware: ${event.why}`;
    case "located":
      return `ExitBootServices is at ${hex(event.address)} (${event.where}); waiting for the call`;
    case "called":
      return `call ${event.attempt} of ExitBootServices, from ${hex(event.from)}`;
    case "point":
      return `recorded ${event.point.id}: ${event.point.pages.size} pages, the guest stood still for ${event.pauseMs.toFixed(0)} ms`;
    case "returned":
      return `it returned ${statusName(event.status) ?? hex(event.status)}`;
    case "watching":
      return `watching for a fault for ${event.seconds} s`;
    case "blame":
      return watchedText(event.watched);
    case "note":
      return event.text;
  }
}

function watchedText({ tables, registers, maintenance, ranges }: BlameSummary): string {
  const parts = [
    ...(tables === undefined ? [] : [`${tables} pages of tables`]),
    ...(registers === 0 ? [] : [`${plural(registers, "instruction")} for System registers`]),
    ...(maintenance === 0 ? [] : [`${maintenance} of TLB and cache maintenance`]),
    ...(ranges.length === 0 ? [] : [`${plural(ranges.length, "range")} of memory`]),
  ];
  return parts.length === 0 ? "nobody's writes are watched" : `watching who writes: ${parts.join(", ")}`;
}
