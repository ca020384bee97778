/**
 * Who writes between two points of a guest: a capture of its own, with what was seen to be written between its points.
 *
 * What is watched stops the guest, and is recorded while a stop is awaited (`next`, `stops`), at a `step` and at an `interrupt`. A guest that was
 * let run by `resume` stands at the first such write until one of these is called.
 */
import { EbscopeError } from "../base/error.ts";
import { BlameWatch } from "../capture/blame/blame-watch.ts";
import { parseRange, type RangeRequest } from "../capture/blame/ranges.ts";
import type { BlameEvent } from "../snapshot/blame.ts";
import type { Capture, EfiRoots, Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import type { RunControl } from "./run-control.ts";
import type { SnapshotOptions, Snapshots } from "./snapshots.ts";

export interface BlameOptions extends Pick<SnapshotOptions, "cpu" | "maxTables"> {
  /** The tables of the live regimes, and control registers. Default true. */
  readonly tables?: boolean;
  /** TLBI, DC and IC instructions too. */
  readonly maintenance?: boolean;
  /** Call chains too. Default true; without them it is faster. */
  readonly backtraces?: boolean;
  /** Memory: `gBS+0xe8`, `gST+0x60,16`, `0x40000000..0x40001000`, 64 ranges at most. */
  readonly ranges?: readonly string[];
  /** Most events that are kept; then nothing more is watched. Default 1,000,000. */
  readonly maxEvents?: number;
  /** Told each write and whatever else is recorded, as it is seen. */
  readonly onEvent?: (event: BlameEvent) => void;
}

export interface BlameHost {
  readonly target: Target;
  readonly control: RunControl;
  readonly snapshots: Snapshots;
  /** Where UEFI's tables are, if there are any. */
  readonly roots: () => Promise<EfiRoots | undefined>;
}

const MAX_RANGES = 64;

export class Blame implements AsyncDisposable {
  readonly #host: BlameHost;
  readonly #watch: BlameWatch;
  readonly #options: BlameOptions;
  #recording: AsyncDisposable | undefined;

  private constructor(host: BlameHost, options: BlameOptions, ranges: readonly RangeRequest[]) {
    const { tables = true, maintenance = false, backtraces = true, maxEvents, onEvent } = options;
    this.#host = host;
    this.#options = options;
    this.#watch = new BlameWatch(
      host.target,
      { tables, maintenance, backtraces, ranges, ...(maxEvents !== undefined && { maxEvents }) },
      { onNote: (text) => host.snapshots.note(text), ...(onEvent !== undefined && { onEvent }) },
    );
  }

  /** Takes the point `from` of the halted guest, and watches from there. Raises `usage` and `target-busy`, with nothing in the guest. */
  static async begin(host: BlameHost, options: BlameOptions): Promise<Blame> {
    host.control.mustBeUnwatched();
    const { ranges = [], maxEvents } = options;
    if (ranges.length > MAX_RANGES) {
      throw new EbscopeError("usage", `Cannot watch writes to ${ranges.length} ranges: ${MAX_RANGES} can be watched`);
    }
    if (maxEvents !== undefined && (!Number.isSafeInteger(maxEvents) || maxEvents < 1)) {
      throw new EbscopeError("usage", `Cannot record ${maxEvents} events`);
    }
    const blame = new Blame(host, options, ranges.map(parseRange));
    await blame.#begin();
    return blame;
  }

  async #begin(): Promise<void> {
    const { control, roots, snapshots } = this.#host;
    const point = await snapshots.take("from", this.#snapshotOptions);
    try {
      await this.#watch.watchRanges(await roots());
      await this.#watch.begin(point, 0, snapshots.extents);
      this.#recording = control.record(this.#watch);
    } catch (error) {
      await this.#watch.end().catch(() => undefined);
      throw error;
    }
  }

  get #snapshotOptions(): SnapshotOptions {
    const { cpu, maxTables } = this.#options;
    return { ...(cpu !== undefined && { cpu }), ...(maxTables !== undefined && { maxTables }) };
  }

  /** The points that were taken until now and what was written between them: for `writeCapture`, and all that takes a capture. */
  get capture(): Capture {
    return { ...this.#host.snapshots.capture, blame: this.#watch.record() };
  }

  /** Takes a point of the halted guest in between. What differs there from what was seen to be written was written by nobody that was seen. */
  async snapshot(id: string): Promise<Point> {
    const { control, snapshots } = this.#host;
    control.mustStand();
    if (this.#recording === undefined) throw new EbscopeError("usage", "Cannot take a point: the recording has ended");
    const point = await snapshots.take(id, this.#snapshotOptions);
    await this.#watch.mark(point, snapshots.count - 1);
    return point;
  }

  /** Takes the last point of the halted guest, and everything of the watch out of it. `capture` keeps what there is when that fails. */
  async end(id = "to"): Promise<Capture> {
    await this.snapshot(id);
    await this[Symbol.asyncDispose]();
    return this.capture;
  }

  /** Takes everything of the watch out of the guest, which is halted for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    const recording = this.#recording;
    this.#recording = undefined;
    await recording?.[Symbol.asyncDispose]();
  }
}
