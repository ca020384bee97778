/** Taking one capture of a guest that was lent for it. */
import type { Params } from "../api/protocol.ts";
import { captureEventText } from "../capture/event-text.ts";
import { type CaptureEvent, type CaptureOutcome, captureExitBootServices } from "../capture/exit-boot-services.ts";
import { captureNow } from "../capture/now.ts";
import type { Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";

export interface TakeOptions {
  readonly request: Params<"Capture.start">;
  readonly createdBy: string;
  readonly signal: AbortSignal;
  /** Told what happens, a line at a time; text of the guest's may be in it. */
  readonly onProgress: (text: string) => void;
  /** Told each point as soon as it was taken. */
  readonly onPoint: (point: Point) => void;
}

/** Takes the handoff, or the point `now`. Does not throw for what happens in the guest; leaves it halted. */
export async function takeCapture(target: Target, options: TakeOptions): Promise<CaptureOutcome> {
  const { request, createdBy, signal, onProgress, onPoint } = options;
  const { maxTables } = request;
  const tables = maxTables === undefined ? {} : { maxTables };
  if (request.what === "now") {
    const outcome = await captureNow(target, createdBy, tables);
    outcome.capture?.points.forEach(onPoint);
    return outcome;
  }
  const onEvent = (event: CaptureEvent): void => {
    onProgress(captureEventText(event));
    if (event.kind === "point") onPoint(event.point);
  };
  return captureExitBootServices(target, createdBy, { ...tables, ...timesOf(request), signal, onEvent });
}

/** The protocol's are in seconds. */
function timesOf({ watch, timeout, findTimeout }: Params<"Capture.start">) {
  return {
    ...(watch !== undefined && { watchMs: watch * 1000 }),
    ...(timeout !== undefined && { timeoutMs: timeout * 1000 }),
    ...(findTimeout !== undefined && { findTimeoutMs: findTimeout * 1000 }),
  };
}
