/** The points of a plan that runs: which of them are in the guest, what happens at a stop, and what follows from a record. */
import type { Breakpoint } from "./breakpoint.ts";
import type { CallArguments } from "./call-arguments.ts";
import { valueAt } from "./conditions.ts";
import type { PointOutcome } from "./run-plan.ts";
import { EXIT_BOOT_SERVICES, type PlanCapture, type Spot } from "./run-plan-capture.ts";
import { KeptHits } from "./run-plan-kept.ts";
import { PointRun } from "./run-plan-point.ts";
import { addressIn, type PlanHit, recordHit } from "./run-plan-record.ts";
import { Returns } from "./run-plan-returns.ts";
import { type Evaluate, type SpotSetup, spotOf, spotText, trapAt } from "./run-plan-spots.ts";
import type { PlanEvent } from "./run-plan-tell.ts";
import { canTrace, namedPoints, recordTraced, type TracedPoint, tracePoints } from "./run-plan-trace.ts";
import type { Stop } from "./stop.ts";

export interface PlanPointsSetup extends SpotSetup {
  readonly capture: PlanCapture;
  readonly tell: (event: PlanEvent) => Promise<void>;
}

interface Trap {
  readonly run: PointRun;
  readonly spot: Spot;
}

export class PlanPoints {
  readonly #setup: PlanPointsSetup;
  readonly #runs: readonly PointRun[];
  /** The points that others wait for. */
  readonly #named: ReadonlySet<string>;
  readonly #announced = new Set<PointRun>();
  /** Of the points that are armed: where they are. */
  readonly #spots = new Map<PointRun, readonly Spot[]>();
  readonly #traps = new Map<Breakpoint, Trap>();
  readonly #returns: Returns;
  readonly #kept: KeptHits;
  #stopped = false;

  constructor(setup: PlanPointsSetup) {
    this.#setup = setup;
    this.#runs = setup.plan.points.map((point) => new PointRun(point));
    this.#named = namedPoints(setup.plan);
    this.#returns = new Returns(setup.session);
    this.#kept = new KeptHits((hit) => {
      if (hit.capture !== undefined) setup.capture.drop(hit.capture);
    });
  }

  /** A point with `then: stop` has its records. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  get areSatisfied(): boolean {
    return this.#runs.every((run) => run.isSatisfied);
  }

  /** The points without their records, in words. */
  get missing(): readonly string[] {
    return this.#runs
      .filter((run) => !run.isSatisfied)
      .map(({ id, isWaiting, records, point }) =>
        isWaiting ? `${id} waits for ${point.after}` : `${id} has ${records} of ${point.limit.count}`,
      );
  }

  /** When the next point is given up by itself, in milliseconds of `performance.now()`. */
  get nextDeadline(): number {
    return Math.min(...this.#runs.map(({ deadline }) => deadline ?? Number.POSITIVE_INFINITY));
  }

  outcomes(): PointOutcome[] {
    return this.#runs.map(({ id, hits, kept, undecided, reasons }) => ({
      id,
      hits,
      records: kept,
      undecided,
      reasons,
    }));
  }

  /** Arms the points that wait for no other. */
  async begin(): Promise<void> {
    for (const run of this.#runs) {
      if (run.point.after === undefined) await this.#arm(run, (expression) => this.#setup.session.evaluate(expression));
    }
  }

  async expire(now: number): Promise<void> {
    for (const run of this.#runs) {
      if (run.deadline !== undefined && run.deadline <= now) await this.#giveUp(run, "its time is over");
    }
  }

  /** Puts the breakpoints of all armed points into the guest. */
  async insert(): Promise<void> {
    const inserted = new Set([...this.#traps.values()].map(({ run }) => run));
    for (const [run, spots] of this.#spots) {
      if (inserted.has(run)) continue;
      for (const spot of spots) this.#traps.set(await trapAt(this.#setup, run.point, spot), { run, spot });
    }
  }

  /** Takes them out. */
  async remove(): Promise<void> {
    for (const breakpoint of [...this.#traps.keys()]) await this.#take(breakpoint);
  }

  async #take(breakpoint: Breakpoint): Promise<void> {
    this.#traps.delete(breakpoint);
    await breakpoint[Symbol.asyncDispose]();
  }

  /** Tells what was kept until the end, and takes everything out of a guest that is still there. */
  async finish(): Promise<void> {
    for (const run of this.#runs) for (const hit of this.#kept.take(run)) await this.#setup.tell(hit);
    try {
      await this.remove();
      for (const run of this.#runs) await this.#returns.forget(run);
    } catch {
      // There is no guest any more: what ended it has been told.
    }
  }

  /** Records what there is to record at a stop. False when it was nobody's. */
  async arrive(stop: Stop): Promise<boolean> {
    const here = stop.hits.flatMap(({ breakpoint }) => this.#traps.get(breakpoint) ?? []);
    const back = await this.#returns.leave(stop);
    for (const { run, spot, returnAddress, arguments: call } of back) {
      if (spot.place.service === EXIT_BOOT_SERVICES)
        this.#setup.capture.noteStatus(returnAddress, stop.general.get("x0"));
      if (run.isArmed) await this.#hit({ run, spot }, stop, call);
    }
    if (here.some(({ spot }) => spot.place.service === EXIT_BOOT_SERVICES)) this.#setup.capture.noteCall(stop);
    const order = [...here].sort((a, b) => this.#runs.indexOf(a.run) - this.#runs.indexOf(b.run));
    for (const trap of order) if (trap.run.isArmed) await this.#come(trap, stop);
    return (await this.#noteLostWrite(stop)) || here.length + back.length > 0;
  }

  async #come(trap: Trap, stop: Stop): Promise<void> {
    if (trap.run.point.when === "entry") return this.#hit(trap, stop, undefined);
    if (await this.#returns.enter(trap.run, trap.spot, stop)) return;
    await this.#undecided(trap.run, stop, "it cannot be told where the call returns to");
  }

  /** A watched write of which it is not known where it went. */
  async #noteLostWrite(stop: Stop): Promise<boolean> {
    if (stop.reason !== "watchpoint" || stop.written !== undefined) return false;
    for (const [run, spots] of this.#spots) {
      if (!spots.some(({ location }) => location.kind === "write")) continue;
      await this.#undecided(run, stop, "it cannot be told which watched range was written to");
    }
    return true;
  }

  async #hit(trap: Trap, stop: Stop, call: CallArguments | undefined): Promise<void> {
    const { run } = trap;
    const { condition } = run.point;
    const evaluate = this.#at(stop);
    const value = condition === undefined ? undefined : await evaluate(condition);
    if (value?.state === "unknown") return this.#undecided(run, stop, value.why);
    if (value?.value === 0n) return;
    if (run.countHit()) await this.#record(trap, stop, call);
    await this.#settle(run, evaluate);
  }

  #at(stop: Stop): Evaluate {
    const find = addressIn(this.#setup.session);
    return (expression) => valueAt(expression, stop, find);
  }

  async #record({ run, spot }: Trap, stop: Stop, call: CallArguments | undefined): Promise<void> {
    const { session, capture } = this.#setup;
    const { point, hits: hit } = run;
    if (point.keep === "last") this.#kept.makeRoom(run);
    const id = capture.takes(point) ? await capture.take(point, hit, spot, stop) : undefined;
    await this.#keep(run, await recordHit(session, stop, { point, place: spot.place, hit, call, capture: id }));
  }

  async #keep(run: PointRun, hit: PlanHit): Promise<void> {
    run.countRecord();
    // What has waited for this comes first.
    for (const other of this.#runs) {
      if (other.point.until === run.id) for (const kept of this.#kept.take(other)) await this.#setup.tell(kept);
    }
    if (run.point.keep === "last") this.#kept.add(run, hit);
    else await this.#setup.tell(hit);
  }

  async #undecided(run: PointRun, { cpu, pc }: Stop, why: string): Promise<void> {
    if (run.countUndecided(why)) await this.#tellUndecided(run, cpu, pc, why);
  }

  async #tellUndecided(run: PointRun, cpu: number, pc: bigint | undefined, why: string): Promise<void> {
    const time = new Date().toISOString();
    await this.#setup.tell({ kind: "undecided", point: run.id, time, cpu, pc, why });
  }

  /** What follows from the records of a point: others are armed or given up, the plan is done, the point is over. */
  async #settle(run: PointRun, evaluate: Evaluate): Promise<void> {
    if (run.records > 0 && !this.#announced.has(run)) {
      this.#announced.add(run);
      for (const other of this.#runs) {
        if (other.point.until === run.id && !other.isOver) await this.#giveUp(other, `${run.id} was recorded`);
        else if (other.point.after === run.id && other.isWaiting) await this.#arm(other, evaluate);
      }
    }
    if (run.point.stops && run.isSatisfied && run.records > 0) this.#stopped = true;
    if (run.isOver) await this.#retire(run);
  }

  async #giveUp(run: PointRun, why: string): Promise<void> {
    run.giveUp();
    await this.#setup.tell({ kind: "given-up", point: run.id, why });
    await this.#retire(run);
  }

  /** Takes a point that is over out of the guest. Those that wait for it in vain are over too. */
  async #retire(run: PointRun): Promise<void> {
    this.#spots.delete(run);
    for (const [breakpoint, trap] of [...this.#traps]) if (trap.run === run) await this.#take(breakpoint);
    await this.#returns.forget(run);
    for (const hit of this.#kept.take(run)) await this.#setup.tell(hit);
    if (run.records > 0) return;
    for (const other of this.#runs) {
      if (other.isWaiting && other.point.after === run.id) await this.#giveUp(other, `${run.id} was not recorded`);
    }
  }

  async #arm(run: PointRun, evaluate: Evaluate): Promise<void> {
    const spots: Spot[] = [];
    for (const place of run.point.at) spots.push(await spotOf(this.#setup, run.point, place, evaluate));
    run.arm(performance.now());
    this.#spots.set(run, spots);
    await this.#setup.tell({ kind: "armed", point: run.id, places: spots.map(spotText) });
  }

  get #tracedPoints(): TracedPoint[] {
    return [...this.#spots].map(([run, spots]) => ({ run, places: spots.map(({ place }) => place) }));
  }

  /** Whether all armed points can be recorded without standing still for them. */
  get canTrace(): boolean {
    const { capture } = this.#setup;
    return this.#returns.isEmpty && canTrace(this.#tracedPoints, (point) => capture.takes(point));
  }

  /** Records hits until something else is to be done than recording. False when the guest ended. */
  async trace(signal: AbortSignal): Promise<boolean> {
    const { session } = this.#setup;
    const points = this.#tracedPoints;
    const count = Math.min(...points.map(({ run }) => run.hitsToChange(this.#named.has(run.id))));
    let told = 0;
    for await (const { hit, held, undecided } of tracePoints(session, points, { count, signal })) {
      told++;
      for (const { run, why } of undecided) await this.#tellUndecided(run, hit.cpu, hit.registers.get("pc"), why);
      for (const point of held) {
        if (point.run.countHit()) await this.#keepTraced(recordTraced(session, point, hit), point.run);
      }
    }
    for (const { run } of points) await this.#settle(run, (expression) => session.evaluate(expression));
    return told >= count;
  }

  async #keepTraced(hit: PlanHit, run: PointRun): Promise<void> {
    if (run.point.keep === "last") this.#kept.makeRoom(run);
    await this.#keep(run, hit);
  }
}
