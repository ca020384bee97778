/**
 * The points that a plan takes of a guest, as one capture like any other: every verb works on it.
 *
 * A point at gBS->ExitBootServices stands for what the points of `ebscope capture` do: its entry is `before`, its return `after` or `failed`; a
 * synchronous exception or an SError at the level that executes is `fault`. All others are `now`. Calls of ExitBootServices that are seen go
 * into the capture's list of attempts.
 *
 * Source: UEFI specification 2.10, 7.4.6: EFI_STATUS ExitBootServices(ImageHandle, MapKey).
 */
import type { RegimeName } from "../aarch64/regime-model.ts";
import type { EbscopeError } from "../base/error.ts";
import { isError } from "../efi/structures.ts";
import { type Location, type Plan, type PlanPoint, pointReference } from "../plan/index.ts";
import { mostPoints } from "../snapshot/meta.ts";
import type { Capture, ExitAttempt, PointKind } from "../snapshot/model.ts";
import type { FoundPlace } from "./places.ts";
import type { Session } from "./session.ts";
import type { Stop } from "./stop.ts";

/** A place of a point: what the plan says, and where that is in the guest. */
export interface Spot {
  readonly location: Location;
  readonly place: FoundPlace;
}

export const EXIT_BOOT_SERVICES = "gBS->ExitBootServices";

/** Letters of an id in a capture, with room for a number behind it. */
const MAX_ID = 32;

/** One of a plan's points in the capture. */
interface Taken {
  readonly point: string;
  readonly hit: number;
  readonly capture: string;
}

export class PlanCapture {
  readonly #session: Session;
  readonly #compared: ReadonlySet<string>;
  readonly #attempts: ExitAttempt[] = [];
  #taken: readonly Taken[] = [];
  readonly #ids = new Set<string>();
  #full = false;

  constructor(session: Session, plan: Plan) {
    this.#session = session;
    this.#compared = new Set(plan.diffs.flatMap(({ from, to }) => [pointReference(from).id, pointReference(to).id]));
    // Each point has its own name for its first hit, whatever others come to.
    for (const { id } of plan.points) this.#ids.add(shortened(id));
  }

  /** Whether a hit of the point becomes a point of the capture. */
  takes({ id, record }: PlanPoint): boolean {
    return record.tables !== "none" || this.#compared.has(id);
  }

  /** Takes the point; its id in the capture, undefined when the capture has no room for more. Raises what ends the guest. */
  async take(point: PlanPoint, hit: number, spot: Spot, stop: Stop): Promise<string | undefined> {
    const room = mostPoints(this.#session.cpus);
    if (this.#taken.length >= room) {
      if (!this.#full) this.#session.note(`The capture has ${room} points: no more were taken.`);
      this.#full = true;
      return undefined;
    }
    const id = this.#idOf(point.id, hit);
    const taken = { point: point.id, hit, capture: id };
    try {
      await stop.snapshot(id, { kind: kindOf(point, spot, stop), ...tablesOf(point) });
    } catch (error) {
      // What could be read of a guest that was lost is in the capture.
      if (this.#session.capture.points.some((each) => each.id === id)) this.#taken = [...this.#taken, taken];
      throw error;
    }
    this.#taken = [...this.#taken, taken];
    return id;
  }

  /** The first hit has the point's own id, later ones the number of the hit behind it. */
  #idOf(point: string, hit: number): string {
    const own = shortened(point);
    if (!this.#taken.some(({ capture }) => capture === own)) return own;
    let number = hit;
    while (this.#ids.has(`${own}-${number}`)) number++;
    this.#ids.add(`${own}-${number}`);
    return `${own}-${number}`;
  }

  /** Leaves a point out again: a later one was recorded in its stead. */
  drop(id: string): void {
    this.#session.dropSnapshot(id);
    this.#taken = this.#taken.filter(({ capture }) => capture !== id);
  }

  /** A call of ExitBootServices begins. */
  noteCall({ general }: Stop): void {
    const [imageHandle = 0n, mapKey = 0n, returnAddress = 0n] = ["x0", "x1", "x30"].map((name) => general.get(name));
    this.#attempts.push({ imageHandle, mapKey, returnAddress, status: undefined });
  }

  /** It has returned. */
  noteStatus(returnAddress: bigint, status: bigint | undefined): void {
    const index = this.#attempts.findLastIndex(
      (each) => each.returnAddress === returnAddress && each.status === undefined,
    );
    const attempt = this.#attempts[index];
    if (attempt !== undefined) this.#attempts[index] = { ...attempt, status };
  }

  /** The id in the capture of what a diff names; undefined where that was not recorded. */
  idOf(reference: string): string | undefined {
    const { id, hit } = pointReference(reference);
    return this.#taken.findLast((each) => each.point === id && (hit === undefined || each.hit === hit))?.capture;
  }

  /** The capture when the plan is over; undefined when no point was taken. */
  result(error: EbscopeError | undefined): Capture | undefined {
    for (const attempt of this.#attempts.splice(0)) this.#session.addAttempt(attempt);
    const { capture } = this.#session;
    if (capture.points.length === 0) return undefined;
    return { ...capture, partial: capture.partial ?? (error && { code: error.code, message: error.message }) };
  }
}

function tablesOf({ record }: PlanPoint): { readonly regimes?: readonly RegimeName[] } {
  const { tables } = record;
  if (tables === "live") return {};
  return { regimes: tables === "none" ? [] : tables };
}

function kindOf({ when }: PlanPoint, { place, location }: Spot, stop: Stop): PointKind {
  if (place.service === EXIT_BOOT_SERVICES) {
    if (when === "entry") return "before";
    return isError(stop.general.get("x0") ?? 0n) ? "failed" : "after";
  }
  if (location.kind !== "vector" || !location.from.startsWith("current")) return "now";
  return location.exception === "sync" || location.exception === "serror" ? "fault" : "now";
}

/** An id of a plan as captures have them: lower-case letters, digits and dashes. */
function shortened(id: string): string {
  return id
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "-")
    .slice(0, MAX_ID);
}
