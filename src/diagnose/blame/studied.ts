/** What a capture's record of writes says, worked out when it is first asked for: a capture that has none, or is not asked, pays nothing. */
import {
  attribute,
  ByEvent,
  type DifferenceBlame,
  eventOfPoint,
  type MaintenanceGaps,
  maintenanceGaps,
  type Replay,
  replayBlame,
} from "../../blame/index.ts";
import type { Difference } from "../../diff/diff.ts";
import { type BlameRecord, WATCH_ENDED } from "../../snapshot/blame.ts";
import type { Capture, Point } from "../../snapshot/model.ts";
import type { Names } from "../names.ts";
import { Writers } from "./writers.ts";

export interface WatchEnd {
  readonly event: number;
  readonly point: string;
}

export class StudiedBlame {
  readonly record: BlameRecord;
  readonly #capture: Capture;
  readonly #names: Names;
  #replay: Replay | undefined;
  #byEvent: ByEvent | undefined;
  #writers: Writers | undefined;
  readonly #attributed = new WeakMap<Difference, { readonly blame: DifferenceBlame | undefined }>();
  #maintenance: { readonly gaps: MaintenanceGaps | undefined } | undefined;
  #ended: WatchEnd | "never" | undefined;

  constructor(capture: Capture, record: BlameRecord, names: Names) {
    this.#capture = capture;
    this.record = record;
    this.#names = names;
  }

  get replay(): Replay {
    this.#replay ??= replayBlame({ ...this.#capture, blame: this.record }) as Replay;
    return this.#replay;
  }

  get byEvent(): ByEvent {
    this.#byEvent ??= new ByEvent(this.replay);
    return this.#byEvent;
  }

  /** Why not all is known of what happened from one point to another: what the watch says of itself, and what the replay does. */
  gapsBetween(from: Point, to: Point): readonly string[] {
    const [first, last] = [eventOfPoint(this.replay, from), eventOfPoint(this.replay, to)];
    const inside = (event: number): boolean => event >= (first ?? 0) && (last === undefined || event <= last);
    const { ended } = this;
    return [
      ...(ended !== undefined && inside(ended.event)
        ? [`Tables and registers were watched until ${ended.point} only.`]
        : []),
      ...this.lapses.filter(({ event }) => inside(event)).map(({ why }) => why),
      ...this.replay.notes,
    ];
  }

  /** Where the watch of tables and registers ended as it was meant to, and the id of the point before that. */
  get ended(): WatchEnd | undefined {
    this.#ended ??= this.#findEnd() ?? "never";
    return this.#ended === "never" ? undefined : this.#ended;
  }

  #findEnd(): WatchEnd | undefined {
    const { lapses, points, capture } = this.replay;
    const event = lapses.find((each) => this.#noteOf(each) === WATCH_ENDED);
    if (event === undefined) return undefined;
    const last = points.findLast((each) => each.event < event)?.point;
    return { event, point: capture.points[last ?? -1]?.id ?? "?" };
  }

  /** Whether somebody who wrote to tables before an event would have been seen. */
  watchedTables(event: number): boolean {
    return this.record.tables && event <= (this.ended?.event ?? event);
  }

  /** From where on not all was seen, and why; without the end that the watch of tables was meant to have. */
  get lapses(): readonly { readonly event: number; readonly why: string }[] {
    return this.replay.lapses.flatMap((event) => {
      const why = this.#noteOf(event);
      return why === WATCH_ENDED ? [] : [{ event, why }];
    });
  }

  /** Who made each change of a difference; undefined when nobody watched from its first point to its second. */
  attribution(difference: Difference): DifferenceBlame | undefined {
    const known = this.#attributed.get(difference) ?? { blame: attribute(difference, this.replay) };
    this.#attributed.set(difference, known);
    return known.blame;
  }

  /** TLB maintenance that was not seen; undefined when nobody watched for it. */
  get maintenance(): MaintenanceGaps | undefined {
    this.#maintenance ??= { gaps: maintenanceGaps(this.replay) };
    return this.#maintenance.gaps;
  }

  #noteOf(event: number): string {
    return this.record.notes[Number(this.record.events[event]?.address)] ?? "";
  }

  get writers(): Writers {
    this.#writers ??= new Writers(this.replay, this.#names);
    return this.#writers;
  }
}
