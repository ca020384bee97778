/**
 * A plan's document → the plan. What the schema cannot say is checked here: expressions, places, paths, limits that exclude each other,
 * points that are named and are not there. All of that is told at once, each at its line and column, of a document that the schema takes.
 */
import { basename, dirname } from "node:path";
import { PlanDocument } from "../api/plan.ts";
import { nearNames } from "../base/near.ts";
import {
  type Document,
  orList,
  type Path,
  type Problem,
  pathFault,
  raise,
  readDocument,
  type Source,
} from "../document/index.ts";
import { durationMs } from "./duration.ts";
import {
  type Plan,
  type PlanDiff,
  type PlanPoint,
  type PlanTarget,
  type PointReference,
  pointReference,
} from "./plan.ts";
import { readPoint } from "./read-point.ts";
import { Reading } from "./reading.ts";

const DEFAULTS = { time: 300_000, find: 60_000, watch: 0, tables: 16_384 } as const;

/** Reads a plan, YAML or JSON. Throws `bad-document` with everything that is wrong. */
export function readPlan(source: Source): Plan {
  const document = readDocument(source, PlanDocument, "a plan");
  const reading = new Reading(document);
  const plan = planOf(document, source, reading);
  checkNames(plan, reading);
  checkLimits(plan, reading);
  if (reading.problems.length > 0) raise(source, reading.problems);
  return plan;
}

function planOf(document: Document<PlanDocument>, source: Source, reading: Reading): Plan {
  const { value } = document;
  const { name: path } = source;
  const limits = value.limits ?? {};
  for (const [i, each] of (value.symbols ?? []).entries()) checkPath(each, ["symbols", i], reading);
  if (value.out !== undefined) checkPath(value.out, ["out"], reading);
  return {
    name: value.name ?? basename(path).replace(/\.(?:ya?ml|json)$/i, ""),
    note: value.note,
    folder: dirname(path),
    target: targetOf(value.target),
    memory: value.memory ?? "auto",
    symbols: value.symbols ?? [],
    out: value.out,
    points: Object.entries(value.points).map(([id, point]) => readPoint(id, point, reading)),
    diffs: value.diffs ?? [],
    timeoutMs: reading.duration(limits.time, ["limits", "time"]) ?? DEFAULTS.time,
    findTimeoutMs: reading.duration(limits.find, ["limits", "find"]) ?? DEFAULTS.find,
    watchMs: durationMs(limits.watch ?? "") ?? DEFAULTS.watch,
    maxTables: limits.tables ?? DEFAULTS.tables,
    problem: (at: Path, message: string, cure: string, offset?: number): Problem =>
      document.problem(at, message, cure, offset),
    refuse: (problems): never => raise(source, problems),
  };
}

function targetOf(target: PlanDocument["target"]): PlanTarget | undefined {
  if (target === undefined) return undefined;
  if ("attach" in target) return { kind: "attach", address: target.attach };
  return { kind: "launch", command: target.launch, keep: target.keep ?? false };
}

function checkPath(path: string, at: Path, reading: Reading): void {
  const fault = pathFault(path);
  const cure = "Give a path relative to the plan's folder, without `..`, to something inside it.";
  if (fault !== undefined) reading.wrong(at, `"${path}" cannot be used: ${fault}`, cure);
}

/** Points that other points and diffs name. */
function checkNames(plan: Plan, reading: Reading): void {
  const ids = plan.points.map(({ id }) => id);
  const check = (id: string, at: Path): void => {
    if (ids.includes(id)) return;
    const near = nearNames(id, ids, 3);
    reading.wrong(
      at,
      `No point is called "${id}"`,
      near.length > 0 ? `Did you mean ${orList(near)}?` : `There are ${ids.join(", ")}.`,
    );
  };
  for (const { after, until, path } of plan.points) {
    if (after !== undefined) check(after, [...path, "after"]);
    if (until !== undefined) check(until, [...path, "until"]);
    if (until !== undefined && until === after) {
      reading.wrong([...path, "until"], `The point is given up when it is armed: at "${until}"`, "Name two points.");
    }
  }
  for (const [i, { from, to }] of plan.diffs.entries()) {
    check(pointReference(from).id, ["diffs", i, "from"]);
    check(pointReference(to).id, ["diffs", i, "to"]);
    checkDiff(plan, { from, to }, ["diffs", i], reading);
  }
  checkOrder(plan, reading);
}

/** A difference is of registers and tables: both points have to have some. */
function checkDiff(plan: Plan, { from, to }: PlanDiff, path: Path, reading: Reading): void {
  if (from === to) reading.wrong(path, `The point "${from}" is compared with itself`, "Name two points.");
  for (const [key, id] of [
    ["from", from],
    ["to", to],
  ] as const) {
    const reference = pointReference(id);
    const point = plan.points.find((each) => each.id === reference.id);
    checkHit(point, reference, [...path, key], reading);
    const record = point?.record;
    if (record?.registers !== "none" || record.tables !== "none") continue;
    reading.wrong(
      [...path, key],
      `The point "${id}" records neither registers nor tables`,
      "Add registers or tables to its `record`.",
    );
  }
}

function checkHit(point: PlanPoint | undefined, { id, hit }: PointReference, path: Path, reading: Reading): void {
  if (point === undefined || hit === undefined) return;
  const { from, to = Number.POSITIVE_INFINITY } = point.hits;
  const last = point.keep === "last" ? to : Math.min(to, from + point.limit.count - 1);
  if (hit >= from && hit <= last) return;
  const which = last === from ? `hit ${from} only` : `the hits from ${from} to ${last}`;
  reading.wrong(path, `"${id}" records ${which}`, "Name one of them, or raise the point's limit.count.");
}

/** A point that waits for itself, or for one that ends the plan, is never armed. */
function checkOrder(plan: Plan, reading: Reading): void {
  const byId = new Map(plan.points.map((point) => [point.id, point]));
  for (const { id, after, path } of plan.points) {
    const seen = new Set([id]);
    let before = after;
    while (before !== undefined && !seen.has(before)) {
      seen.add(before);
      before = byId.get(before)?.after;
    }
    if (before === id)
      reading.wrong(
        [...path, "after"],
        `The point "${id}" waits for itself`,
        "Let one point of the circle wait for none.",
      );
    if (after !== undefined && byId.get(after)?.stops === true) {
      reading.wrong(
        [...path, "after"],
        `The plan is done with "${after}": "${id}" is never armed`,
        `Leave \`then: stop\` out of "${after}".`,
      );
    }
  }
}

/** Of a point with `keep: last`: they wait in memory. */
const MAX_KEPT = 4096;

function checkLimits(plan: Plan, reading: Reading): void {
  for (const { limit, keep, path } of plan.points) {
    if (keep === "last" && limit.count > MAX_KEPT) {
      const cure = `Lower it to ${MAX_KEPT}, or keep the first ones, which are written as they come.`;
      reading.wrong([...path, "limit", "count"], `${limit.count} records cannot be kept until the end`, cure);
    }
    if (limit.ms === undefined || limit.ms <= plan.timeoutMs) continue;
    const message = `The point may wait for ${limit.ms / 1000} s, the plan ends after ${plan.timeoutMs / 1000} s`;
    reading.wrong([...path, "limit", "time"], message, "Raise limits.time, or lower this.");
  }
}
