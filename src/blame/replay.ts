/**
 * Goes once through what was recorded and says which addresses each write changed.
 *
 * It starts from the registers and pages of the first point in the record and does again what was seen to be done. At each later point what
 * came out is held against what was captured: each difference is a change that nobody was seen to make, and what was captured counts. The
 * same where the record says what a doubleword or register held before a write and it was to hold something else.
 *
 * Records and tables are untrusted: how much is walked, compared and kept is bounded (see budget.ts); from there on effects are not told.
 */
import type { BlameRecord } from "../snapshot/blame.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import type { ReplayBounds } from "./budget.ts";
import type { Effect } from "./effect.ts";
import { Replayer } from "./replayer.ts";
import type { VcpuMode } from "./vcpu-mode.ts";

/** A write to a System register. */
export interface RegisterWrite {
  readonly event: number;
  readonly seen: boolean;
  readonly cpu: number;
  /** The register that was really written. */
  readonly name: string;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
}

/** Where a point of the capture is in the record. */
export interface ReplayedPoint {
  readonly event: number;
  /** Index in the capture. */
  readonly point: number;
}

export interface Replay {
  readonly capture: Capture;
  readonly record: BlameRecord;
  /** In the order of the events. */
  readonly effects: readonly Effect[];
  readonly registers: readonly RegisterWrite[];
  readonly points: readonly ReplayedPoint[];
  /** How the vCPU of an event executed then. */
  mode(event: number): VcpuMode;
  /** Indices of the `lapse` events: from there on not all was seen. */
  readonly lapses: readonly number[];
  /** Index of the first event whose effects are not told as too much would have to be looked at. */
  readonly untoldFrom: number | undefined;
  /** What is worth knowing about how it was replayed. */
  readonly notes: readonly string[];
}

/** What was recorded with a capture, replayed; undefined when nobody watched. */
export function replayBlame(capture: Capture, bounds: ReplayBounds = {}): Replay | undefined {
  return capture.blame === undefined ? undefined : new Replayer(capture, capture.blame, bounds).run();
}

/** The event at which a point was taken; undefined when nobody watched then. */
export function eventOfPoint({ capture, points }: Replay, point: Point): number | undefined {
  return points.find((each) => capture.points[each.point] === point)?.event;
}
