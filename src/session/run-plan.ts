/**
 * Running a plan: its points are put into the guest, the guest runs, and at each hit what the point asks for is recorded.
 *
 * The plan is done when a point with `then: stop` has its records or every point has, and the time of `limits.watch` has passed then. At
 * `limits.time` it is over, done or not. What was recorded until something ended it early is kept.
 */
import { abortError } from "../base/abort.ts";
import { asEbscopeError, EbscopeError, type ErrorCode } from "../base/error.ts";
import type { Plan } from "../plan/index.ts";
import type { Capture } from "../snapshot/model.ts";
import { PlanCapture } from "./run-plan-capture.ts";
import { checkPlan } from "./run-plan-check.ts";
import { PlanPoints } from "./run-plan-points.ts";
import type { PlanEvent } from "./run-plan-tell.ts";
import type { Session } from "./session.ts";

export interface RunPlanOptions {
  /** Told of each hit and of what else happens, in order; the guest waits for it, unless it is being traced. */
  readonly onEvent?: (event: PlanEvent) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** How a point ended. */
export interface PointOutcome {
  readonly id: string;
  /** How often its condition held at it, and how many of these were recorded. */
  readonly hits: number;
  readonly records: number;
  /** How often it could not be told whether the condition held, and why. */
  readonly undecided: number;
  readonly reasons: readonly string[];
}

export interface PlanOutcome {
  /** Of the points with tables, and of those that a diff compares; undefined when there is none. */
  readonly capture: Capture | undefined;
  readonly points: readonly PointOutcome[];
  /** What ended the plan early; undefined when it was done. */
  readonly error: EbscopeError | undefined;
  /** The id in the capture of what a diff names; undefined where that was not recorded. */
  readonly captureId: (reference: string) => string | undefined;
}

/**
 * Runs a plan on a halted guest, which is halted again afterwards. Raises `bad-document` for what is wrong in the plan, and what looking for the
 * firmware's tables raises; what happens to the guest afterwards ends the plan, and is in the outcome.
 */
export async function runPlan(session: Session, plan: Plan, options: RunPlanOptions = {}): Promise<PlanOutcome> {
  const places = await checkPlan(session, plan, options.signal);
  const capture = new PlanCapture(session, plan);
  const points = new PlanPoints({ session, plan, places, capture, tell: tellerOf(options) });
  let error: EbscopeError | undefined;
  try {
    await new PlanLoop(session, plan, points, options.signal).run();
  } catch (cause) {
    error = asEbscopeError(cause);
  }
  await points.finish();
  return {
    capture: capture.result(error),
    points: points.outcomes(),
    error,
    captureId: (reference) => capture.idOf(reference),
  };
}

/** Tells events until that fails: the plan is ended by it, and what was recorded is kept. */
function tellerOf({ onEvent }: RunPlanOptions): (event: PlanEvent) => Promise<void> {
  let isBroken = false;
  return async (event) => {
    if (isBroken) return;
    try {
      await onEvent?.(event);
    } catch (error) {
      isBroken = true;
      throw error;
    }
  };
}

/** Of a timer, in milliseconds. */
const MAX_TIMER = 2 ** 31 - 1;
/** After these there is no guest any more. */
const GONE: readonly ErrorCode[] = ["connection-lost", "guest-ended"];
/** Stops in a row that are nobody's. */
const MAX_STRAYS = 1_000;

class PlanLoop {
  readonly #session: Session;
  readonly #plan: Plan;
  readonly #points: PlanPoints;
  readonly #signal: AbortSignal | undefined;
  readonly #end: number;
  /** When the guest has run on for long enough; undefined while there are points without their records. */
  #watchEnd: number | undefined;

  constructor(session: Session, plan: Plan, points: PlanPoints, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#plan = plan;
    this.#points = points;
    this.#signal = signal;
    this.#end = performance.now() + plan.timeoutMs;
  }

  async run(): Promise<void> {
    await this.#points.begin();
    for (let strays = 0; !(await this.#isDone()); ) {
      const progress = await this.#advance();
      strays = progress ? 0 : strays + 1;
      if (strays > MAX_STRAYS)
        throw new EbscopeError("protocol-error", "The guest stops again and again for reasons of its own");
    }
  }

  /** A guest that ends when every point has its records ends nothing early. */
  async #advance(): Promise<boolean> {
    try {
      return await (this.#points.canTrace ? this.#trace() : this.#next());
    } catch (error) {
      const isGone = error instanceof EbscopeError && GONE.includes(error.code);
      if (!isGone || !this.#points.areSatisfied) throw error;
      this.#watchEnd = 0;
      return true;
    }
  }

  /** Raises `timed-out` when the plan's time is over. */
  async #isDone(): Promise<boolean> {
    const now = performance.now();
    await this.#points.expire(now);
    if (this.#points.isStopped) return true;
    if (this.#points.areSatisfied) {
      this.#watchEnd ??= now + this.#plan.watchMs;
      return now >= Math.min(this.#watchEnd, this.#end);
    }
    if (now < this.#end) return false;
    const missing = this.#points.missing.join(", ");
    throw new EbscopeError("timed-out", `The plan was not done within ${this.#plan.timeoutMs / 1000} s: ${missing}`, {
      next: "Raise limits.time in the plan, or look at why the guest does not come there; what was recorded is kept.",
    });
  }

  /** One stop; false when it was nobody's. */
  async #next(): Promise<boolean> {
    await this.#points.insert();
    return this.#until(async (signal) => {
      const stop = await this.#session.next({ signal });
      return this.#points.arrive(stop);
    });
  }

  async #trace(): Promise<boolean> {
    await this.#points.remove();
    const isTraced = await this.#until((signal) => this.#points.trace(signal));
    // It ended before its time: so has the guest, and the session says how.
    return isTraced ? true : this.#next();
  }

  /** Runs until the next moment at which something changes by itself. True then. */
  async #until(run: (signal: AbortSignal) => Promise<boolean>): Promise<boolean> {
    const moment = Math.min(this.#watchEnd ?? this.#end, this.#end, this.#points.nextDeadline);
    const late = new AbortController();
    const over = new EbscopeError("timed-out", "the time is over");
    const timer = setTimeout(() => late.abort(over), Math.min(Math.max(moment - performance.now(), 0), MAX_TIMER));
    const signal = this.#signal === undefined ? late.signal : AbortSignal.any([late.signal, this.#signal]);
    try {
      return await run(signal);
    } catch (error) {
      if (error !== over) throw error;
      if (this.#signal?.aborted) throw abortError(this.#signal);
      return true;
    } finally {
      clearTimeout(timer);
    }
  }
}
