/**
 * The fast way through a plan: while all points that are armed record nothing but registers and memory at fixed addresses, and their
 * conditions need nothing else, what is read at a stop goes out in one write with what lets the guest go on (trace.ts).
 *
 * How many hits may pass that way without a change in the plan is known beforehand: it is the number that the point needs that needs
 * the fewest. At the last of them the guest stands still, and the plan is looked at again.
 */
import type { Plan, PlanMemory, PlanPoint, PlanRecord, Value } from "../plan/index.ts";
import type { FoundPlace } from "./places.ts";
import { EXIT_BOOT_SERVICES } from "./run-plan-capture.ts";
import type { PointRun } from "./run-plan-point.ts";
import { hitAt, type PlanHit, type RecordedMemory, recorded, registerNames } from "./run-plan-record.ts";
import type { Session } from "./session.ts";
import type { TracedMemory, TraceHit } from "./trace.ts";

/** A point that is armed, with where it is. */
export interface TracedPoint {
  readonly run: PointRun;
  readonly places: readonly FoundPlace[];
}

/** What a trace takes at once (trace.ts). */
const MAX_PLACES = 16;
const MAX_RANGES = 64;
const MAX_BYTES = 64n << 10n;

/** Whether all of this can be recorded that way. */
export function canTrace(points: readonly TracedPoint[], takesPoint: (point: PlanPoint) => boolean): boolean {
  const places = points.flatMap((each) => each.places);
  const ranges = points.flatMap(({ run }) => run.point.record.memory);
  const bytes = ranges.reduce((sum, { length }) => sum + (length.constant ?? 0n), 0n);
  const fits = places.length <= MAX_PLACES && ranges.length <= MAX_RANGES && bytes <= MAX_BYTES;
  return points.length > 0 && fits && points.every((each) => isPlain(each) && !takesPoint(each.run.point));
}

function isPlain({ run: { point }, places }: TracedPoint): boolean {
  const { record, condition, when, at } = point;
  const isCode = at.every(({ location }) => location.kind !== "vector" && location.kind !== "write");
  // Its calls are counted for the capture.
  const isExit = places.some(({ service }) => service === EXIT_BOOT_SERVICES);
  const decides = condition === undefined || (!condition.readsMemory && condition.mentions.every(isRegister));
  const reads = record.registers !== "all" && !record.backtrace && !record.arguments;
  return when === "entry" && isCode && !isExit && decides && reads && record.memory.every(isFixed);
}

function isRegister({ kind, field }: { readonly kind: string; readonly field?: string }): boolean {
  return kind === "register" && field === undefined;
}

function isFixed({ address, length }: PlanMemory): boolean {
  const end = (address.constant ?? 0n) + (length.constant ?? 0n);
  return address.constant !== undefined && length.constant !== undefined && end <= 1n << 64n;
}

/** An arrival at the points that are traced: those whose condition held, and those of which that cannot be told for a new reason. */
export interface Traced {
  readonly hit: TraceHit;
  readonly held: readonly TracedPoint[];
  readonly undecided: readonly { readonly run: PointRun; readonly why: string }[];
}

/** Yields the arrivals at which there is something to tell, `count` at most. The guest stands still when it is over. */
export async function* tracePoints(
  session: Session,
  points: readonly TracedPoint[],
  { count, signal }: { readonly count: number; readonly signal: AbortSignal },
): AsyncGenerator<Traced, void, void> {
  const places = [...new Map(points.flatMap((each) => each.places).map((place) => [place.address, place])).values()];
  const registers = new Set(points.flatMap(({ run }) => registersOf(session, run.point)));
  let traced: Traced | undefined;
  const hits = session.trace(places, {
    signal,
    registers: [...registers],
    memory: points.flatMap(({ run }) => run.point.record.memory.map((range) => tracedRange(run.point, range))),
    ...(Number.isFinite(count) && { count }),
    when: (hit) => {
      traced = judge(points, hit);
      return traced.held.length + traced.undecided.length > 0;
    },
  });
  for await (const _ of hits) if (traced !== undefined) yield traced;
}

function judge(points: readonly TracedPoint[], hit: TraceHit): Traced {
  const here = points.filter(
    ({ run, places }) => run.isArmed && places.some(({ address }) => address === hit.place.address),
  );
  const values = here.map((point) => ({
    point,
    value: point.run.point.condition?.evaluateNow({ register: (name) => hit.registers.get(name) }),
  }));
  return {
    hit,
    held: values.flatMap(({ point, value }) => (value === undefined || isTrue(value) ? [point] : [])),
    undecided: values.flatMap(({ point: { run }, value }) =>
      value?.state === "unknown" && run.countUndecided(value.why) ? [{ run, why: value.why }] : [],
    ),
  };
}

function isTrue(value: Value): boolean {
  return value.state === "known" && value.value !== 0n;
}

function registersOf(session: Session, { record, condition }: PlanPoint): readonly string[] {
  return [...recordedNames(session, record), ...(condition?.registers ?? [])];
}

function recordedNames(session: Session, { registers }: PlanRecord): readonly string[] {
  return typeof registers === "string" ? [] : registerNames(session, registers);
}

function tracedRange(point: PlanPoint, { name, address, length }: PlanMemory): TracedMemory {
  return { name: `${point.id}/${name}`, address: address.constant ?? 0n, length: Number(length.constant ?? 0n) };
}

/** The record of a hit whose condition held. */
export function recordTraced(session: Session, { run, places }: TracedPoint, traced: TraceHit): PlanHit {
  const { point } = run;
  const { record } = point;
  const place = places.find(({ address }) => address === traced.place.address) ?? traced.place;
  const { cpu, registers } = traced;
  const names = recordedNames(session, record);
  return {
    ...hitAt({ point, place, hit: run.hits, capture: undefined }, cpu, registers.get("pc")),
    registers: record.registers === "none" ? undefined : [recorded(cpu, names, registers)],
    memory: record.memory.length === 0 ? undefined : record.memory.map((range) => memoryOf(point, range, traced)),
  };
}

function memoryOf(point: PlanPoint, range: PlanMemory, { memory }: TraceHit): RecordedMemory {
  const { name, address, length } = tracedRange(point, range);
  const read = memory.get(name) ?? { state: "unknown", why: "it was not read" };
  return { name: range.name, address, length: BigInt(length), read };
}

/** The ids that other points wait for. */
export function namedPoints({ points }: Plan): ReadonlySet<string> {
  return new Set(points.flatMap(({ after, until }) => [after, until]).filter((id) => id !== undefined));
}
