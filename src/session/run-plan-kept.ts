/** The last hits of the points with `keep: last`: they are told when the point is over. */
import type { PointRun } from "./run-plan-point.ts";
import type { PlanHit } from "./run-plan-record.ts";

/** Bytes of recorded memory that wait here. */
const MAX_BYTES = 256 << 20;

export class KeptHits {
  readonly #hits = new Map<PointRun, PlanHit[]>();
  readonly #onDrop: (hit: PlanHit) => void;
  #bytes = 0;

  constructor(onDrop: (hit: PlanHit) => void) {
    this.#onDrop = onDrop;
  }

  /** Drops the oldest hit of the point where it has as many as it may, or where all hits together are too large. */
  makeRoom(run: PointRun): void {
    const hits = this.#of(run);
    while (hits.length > 0 && (hits.length >= run.point.limit.count || this.#bytes > MAX_BYTES)) {
      const oldest = hits.shift() as PlanHit;
      this.#bytes -= bytesOf(oldest);
      this.#onDrop(oldest);
    }
  }

  add(run: PointRun, hit: PlanHit): void {
    this.#of(run).push(hit);
    this.#bytes += bytesOf(hit);
  }

  /** The hits of a point, the oldest first; they are here no more. */
  take(run: PointRun): readonly PlanHit[] {
    const hits = this.#of(run);
    this.#hits.delete(run);
    for (const hit of hits) this.#bytes -= bytesOf(hit);
    return hits;
  }

  #of(run: PointRun): PlanHit[] {
    const hits = this.#hits.get(run) ?? [];
    this.#hits.set(run, hits);
    return hits;
  }
}

function bytesOf({ memory = [] }: PlanHit): number {
  return memory.reduce((sum, { read }) => sum + (read.state === "present" ? read.bytes.length : 0), 0);
}
