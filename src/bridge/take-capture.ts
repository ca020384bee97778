/** Taking one capture of a guest that was lent for it. */
import type { Params } from "../api/protocol.ts";
import { EbscopeError } from "../base/error.ts";
import type { BlameOptions } from "../capture/blame/blame-watch.ts";
import { requestedBlame } from "../capture/blame/requested.ts";
import { captureEventText } from "../capture/event-text.ts";
import { type CaptureEvent, type CaptureOutcome, captureExitBootServices } from "../capture/exit-boot-services.ts";
import { captureNow } from "../capture/now.ts";
import type { BlameEvent } from "../snapshot/blame.ts";
import type { Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import { KnownImages } from "./known-images.ts";
import { WriteBatches, type WriteTeller } from "./write-batches.ts";

export interface TakeOptions {
  readonly request: Params<"Capture.start">;
  readonly createdBy: string;
  readonly signal: AbortSignal;
  /** Told what happens, a line at a time; text of the guest's may be in it. */
  readonly onProgress: (text: string) => void;
  /** Told each point as soon as it was taken. */
  readonly onPoint: (point: Point) => void;
  /** Whose writes are recorded, and who is told of them while it happens. */
  readonly blame: BlameOptions | undefined;
  readonly writes: WriteTeller;
}

/** Takes the handoff, or the point `now`. Does not throw for what happens in the guest; leaves it halted. */
export async function takeCapture(target: Target, options: TakeOptions): Promise<CaptureOutcome> {
  const { request, createdBy, signal, onProgress, onPoint, blame } = options;
  const { maxTables } = request;
  const tables = maxTables === undefined ? {} : { maxTables };
  if (request.what === "now") {
    const outcome = await captureNow(target, createdBy, tables);
    outcome.capture?.points.forEach(onPoint);
    return outcome;
  }
  const writes = new WriteBatches(options.writes);
  const images = new KnownImages();
  const onEvent = (event: CaptureEvent): void => {
    // In the order in which it happened.
    writes.flush();
    if (event.kind === "blame") writes.ranges = event.watched.ranges;
    onProgress(captureEventText(event));
    if (event.kind === "point") onPoint(event.point);
    if (blame !== undefined) images.follow(event);
  };
  const onBlame = (event: BlameEvent): void => writes.add(event, images);
  try {
    return await captureExitBootServices(target, createdBy, {
      ...{ ...tables, ...timesOf(request), signal, onEvent },
      ...(blame !== undefined && { blame, onBlame }),
    });
  } finally {
    writes.flush();
  }
}

/** Whose writes are to be recorded; undefined: nobody's. Raises `usage`. */
export function blameOf(request: Params<"Capture.start">): BlameOptions | undefined {
  const blame = requestedBlame(request);
  if (blame === undefined || request.what !== "now") return blame;
  throw new EbscopeError(
    "usage",
    "Cannot record who writes in a capture of what the guest is like now: it stands still",
    {
      next: "Capture the `handoff`, or leave `blame` and `watchWrites` out.",
    },
  );
}

/** The protocol's are in seconds. */
function timesOf({ watch, timeout, findTimeout }: Params<"Capture.start">) {
  return {
    ...(watch !== undefined && { watchMs: watch * 1000 }),
    ...(timeout !== undefined && { timeoutMs: timeout * 1000 }),
    ...(findTimeout !== undefined && { findTimeoutMs: findTimeout * 1000 }),
  };
}
