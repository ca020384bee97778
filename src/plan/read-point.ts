/** One point of a plan's document. */
import type { PointDocument } from "../api/plan.ts";
import type { Path } from "../document/index.ts";
import { readExpression } from "./expression/expression.ts";
import { registerName } from "./expression/registers.ts";
import { type Location, readLocations } from "./location.ts";
import {
  MAX_RECORDED_BYTES,
  type PlanMemory,
  type PlanPlace,
  type PlanPoint,
  type PlanRecord,
  REGISTER_CLASSES,
  type RegisterClassName,
  type RegisterList,
} from "./plan.ts";
import type { Reading } from "./reading.ts";

type RecordDocument = NonNullable<PointDocument["record"]>;

export function readPoint(id: string, point: PointDocument, reading: Reading): PlanPoint {
  const path: Path = ["points", id];
  const at = placesOf(point, path, reading);
  checkPlaces(at, point, reading);
  const hits = hitsOf(point, path, reading);
  return {
    ...{ id, path, at, hits },
    position: reading.document.keyAt(path),
    when: point.when ?? "entry",
    condition: conditionOf(point, path, reading),
    after: point.after,
    until: point.until,
    limit: limitOf(point, hits, path, reading),
    keep: point.keep ?? "first",
    record: recordOf(point.record, [...path, "record"], reading),
    stops: point.then === "stop",
    note: point.note,
  };
}

function placesOf({ at }: PointDocument, path: Path, reading: Reading): PlanPlace[] {
  const texts = Array.isArray(at) ? at : [at];
  return texts.flatMap((each: string | number, i) => {
    const where: Path = Array.isArray(at) ? [...path, "at", i] : [...path, "at"];
    const text = String(each);
    const locations = reading.text(where, "The place", () => readLocations(text)) ?? [];
    return locations.map((location) => ({ location, text, path: where }));
  });
}

function checkPlaces(places: readonly PlanPlace[], { when, after }: PointDocument, reading: Reading): void {
  for (const { location, path } of places) {
    if (when === "return" && (location.kind === "vector" || location.kind === "write")) {
      reading.wrong(path, `Nothing returns from a ${location.kind}`, "Leave `when: return` out.");
    }
    if (after === undefined && needsRegisters(location)) {
      const cure = "Say with `after: POINT` at which point its registers are taken, or give an address.";
      reading.wrong(path, "Which registers are meant cannot be told", cure);
    }
  }
}

function needsRegisters(location: Location): boolean {
  return location.kind === "write" && location.address.registers.size > 0;
}

function conditionOf(point: PointDocument, path: Path, reading: Reading): PlanPoint["condition"] {
  if (point.if === undefined) return undefined;
  const condition = reading.expression([...path, "if"], point.if);
  const depends = condition === undefined || condition.mentions.length > 0 || condition.readsMemory;
  if (!depends && (condition.constant ?? 0n) === 0n) {
    reading.wrong(
      [...path, "if"],
      "The condition never holds",
      "Let it depend on a register, on memory or on a place.",
    );
  }
  return condition;
}

function hitsOf({ hit }: PointDocument, path: Path, reading: Reading): PlanPoint["hits"] {
  if (typeof hit === "number") return { from: hit, to: hit };
  const [from, to] = [hit?.from ?? 1, hit?.to];
  if (to !== undefined && from > to) {
    reading.wrong([...path, "hit"], `No hit is both from ${from} on and up to ${to}`, "Let `from` be the lower one.");
  }
  return { from, to };
}

function limitOf({ limit }: PointDocument, hits: PlanPoint["hits"], path: Path, reading: Reading): PlanPoint["limit"] {
  const most = hits.to === undefined ? undefined : Math.max(1, hits.to - hits.from + 1);
  if (limit?.count !== undefined && most !== undefined && limit.count > most) {
    const message = `${limit.count} records cannot come of the hits from ${hits.from} to ${hits.to}`;
    reading.wrong([...path, "limit", "count"], message, `Lower it to ${most}, or raise \`hit.to\`.`);
  }
  return { count: limit?.count ?? most ?? 1, ms: reading.duration(limit?.time, [...path, "limit", "time"]) };
}

const EVERYTHING: PlanRecord = { registers: "all", tables: "live", memory: [], backtrace: true, arguments: true };

function recordOf(record: RecordDocument | undefined, path: Path, reading: Reading): PlanRecord {
  if (record === undefined) return EVERYTHING;
  const { registers = "none", tables = "none", memory = {} } = record;
  return {
    registers: typeof registers === "string" ? registers : registerList(registers, [...path, "registers"], reading),
    tables,
    memory: Object.keys(memory).map((name) => memoryOf(name, memory, [...path, "memory", name], reading)),
    backtrace: record.backtrace ?? false,
    arguments: record.arguments ?? false,
  };
}

function registerList(words: readonly string[], path: Path, reading: Reading): RegisterList {
  const classes = new Set<RegisterClassName>();
  const names = new Map<string, number>();
  for (const [i, word] of words.entries()) {
    const known = REGISTER_CLASSES.find((each) => each === word);
    const register = registerName(word);
    if (known !== undefined) classes.add(known);
    else if (register?.bits === 64) names.set(register.name, names.get(register.name) ?? i);
    else if (register !== undefined)
      reading.wrong([...path, i], `"${word}" is a part of ${register.name}`, `Write ${register.name}.`);
    // Whether the guest has one of this name, its stub says.
    else names.set(word, names.get(word) ?? i);
  }
  return { classes: [...classes], names: [...names.keys()], indices: [...names.values()] };
}

function memoryOf(
  name: string,
  memory: NonNullable<RecordDocument["memory"]>,
  path: Path,
  reading: Reading,
): PlanMemory {
  const { at = 0, length = 0 } = memory[name] ?? {};
  const address = reading.expression([...path, "at"], at);
  const bytes = reading.expression([...path, "length"], length);
  const constant = bytes?.constant;
  if (constant !== undefined && (constant === 0n || constant > MAX_RECORDED_BYTES)) {
    reading.wrong([...path, "length"], `${constant} bytes cannot be recorded`, "Give a length from 1 to 16MiB.");
  }
  return { name, path, address: address ?? ZERO, length: bytes ?? ZERO };
}

/** Stands where an expression is wrong: such a plan is not used. */
const ZERO = readExpression("0");
