/** What a plan that runs tells, for people: a line for each hit, and how it ended. */
import { hex, hexOfBytes } from "../../base/hex.ts";
import type { MemoryRead } from "../../base/memory.ts";
import { plural, printable } from "../../base/text.ts";
import { placeName } from "../../diagnose/place.ts";
import type { CallArguments } from "../../session/call-arguments.ts";
import type { PlanOutcome, PointOutcome } from "../../session/run-plan.ts";
import { statusOf } from "../../session/run-plan-lines.ts";
import type { PlanHit, RecordedMemory } from "../../session/run-plan-record.ts";
import type { PlanUndecided } from "../../session/run-plan-tell.ts";
import { style, table } from "./style.ts";

/** Registers of a list that one line shows, bytes of a range, frames of a chain. */
const MAX_REGISTERS = 8;
const MAX_BYTES = 32;
const MAX_FRAMES = 4;
const MAX_REASONS = 3;

export function renderHit(event: PlanHit | PlanUndecided): string {
  const where = `vCPU ${event.cpu}`;
  if (event.kind === "undecided") {
    return `${style.heading(event.point)} ?  ${where}  ${style.warn(`whether the condition holds is not known: ${printable(event.why)}`)}`;
  }
  const parts = [whatOf(event), ...registersOf(event), ...(event.memory ?? []).map(memoryText), ...chainOf(event)];
  const note = event.note === undefined ? "" : style.quiet(`  (${printable(event.note)})`);
  return `${style.heading(event.point)} #${event.hit}  ${where}  ${parts.filter((part) => part !== "").join("  ")}${note}`;
}

function whatOf(event: PlanHit): string {
  const { place, pc, at, written, returned } = event;
  if (written !== undefined) {
    const by = pc === undefined ? "" : ` by ${hex(pc)}${at === undefined ? "" : ` (${at})`}`;
    return `${place}${by}: ${bytesText(written.before)} → ${bytesText(written.after)}`;
  }
  const call = `${printable(place)}${event.arguments === undefined ? "" : argumentsText(event.arguments)}`;
  return returned === undefined ? call : `${call} = ${statusOf(event) ?? hex(returned)}`;
}

function argumentsText({ arguments: list }: CallArguments): string {
  const texts = list.map(({ name, value, text }) => {
    const number = value === undefined ? "?" : hex(value);
    return `${name}=${number}${text === undefined ? "" : ` ${JSON.stringify(printable(text, 60))}`}`;
  });
  return `(${texts.join(", ")})`;
}

/** All of them do not fit on a line. */
function registersOf({ registers = [] }: PlanHit): string[] {
  return registers.flatMap(({ cpu, values }) => {
    if (values.size > MAX_REGISTERS) return registers.length > 1 && cpu > 0 ? [] : [plural(values.size, "register")];
    return [...values].map(([name, value]) => `${name}=${value === undefined ? "?" : hex(value)}`);
  });
}

function memoryText({ name, address, read }: RecordedMemory): string {
  const at = address === undefined ? "" : `@${hex(address)}`;
  return `${name}${at}=${read.state === "unknown" ? `? (${printable(read.why)})` : bytesText(read)}`;
}

function bytesText(read: MemoryRead): string {
  if (read.state !== "present") return `? (${read.code})`;
  const text = hexOfBytes(read.bytes.subarray(0, MAX_BYTES));
  return read.bytes.length > MAX_BYTES ? `${text}… (${plural(read.bytes.length, "byte")})` : text;
}

function chainOf({ backtrace }: PlanHit): string[] {
  const frames = backtrace?.frames ?? [];
  if (frames.length < 2) return [];
  const names = frames.slice(1, MAX_FRAMES).map(({ place }) => placeName(place));
  return [style.quiet(`← ${names.join(" ← ")}${frames.length > MAX_FRAMES ? " ← …" : ""}`)];
}

/** How often each point was hit, and what could not be decided. */
export function renderEnd(name: string, { points, error }: PlanOutcome): string {
  const state = error === undefined ? style.good("done") : style.warn("partial");
  const lines = [`${style.heading(`Plan ${printable(name)}`)}: ${state}`, ...table(points.map(pointCells))];
  return lines.join("\n");
}

function pointCells({ id, hits, records, undecided, reasons }: PointOutcome): string[] {
  const unknown = undecided === 0 ? "" : style.warn(`${undecided} times not known whether the condition held: `);
  const why = reasons
    .slice(0, MAX_REASONS)
    .map((reason) => printable(reason))
    .join("; ");
  return [id, `${plural(hits, "hit")}`, `${records} recorded`, unknown + why];
}
