/** `registers`: what a register holds at a point. */
import { hostExtensions } from "../../aarch64/machine-state.ts";
import { currentRegimeName } from "../../aarch64/regime.ts";
import { exceptionLevelOf } from "../../aarch64/regime-model.ts";
import { decodeFields } from "../../aarch64/registers/index.ts";
import { hex } from "../../base/hex.ts";
import type { Registers } from "../../base/registers.ts";
import { type Capture, type Point, pointRegisters } from "../../snapshot/model.ts";
import { holds, placesOf, type RegisterPlace } from "../assertion.ts";
import type { DemandOf } from "../policy.ts";
import type { Subject } from "../subject.ts";
import { type Complaint, type Outcome, outcome } from "../verdict.ts";

/** At the end of a register's name, in place of the Exception level whose regime executes. */
const OWN_LEVEL = /_ELx$/;

export function registerAssertion(subject: Subject, demand: DemandOf<"registers">): Outcome {
  const { capture } = subject.study;
  const { views, undecided } = subject.points(demand.at, ["before"]);
  const judged = views.flatMap(({ point }) =>
    cpusOf(capture, point, demand.cpu).map((cpu) => judge(capture, point, cpu, demand)),
  );
  const of = (wanted: boolean | undefined): Complaint[] =>
    judged.flatMap(({ state, complaint }) => (state === wanted ? [complaint] : []));
  return outcome(of(false), [...undecided, ...of(undefined)]);
}

function cpusOf({ threads }: Capture, point: Point, cpu: DemandOf<"registers">["cpu"]): readonly number[] {
  return cpu === "all" ? threads.map((_, i) => i) : [cpu ?? point.cpu];
}

interface Judged {
  readonly state: boolean | undefined;
  readonly complaint: Complaint;
}

interface Reading {
  readonly name: string;
  readonly value: bigint | undefined;
  /** What the whole value, or the field, means; why there is none. */
  readonly note: string;
}

function judge(capture: Capture, point: Point, cpu: number, { assertion }: DemandOf<"registers">): Judged {
  const registers = pointRegisters(capture, point, cpu);
  const readings = new Map(placesOf(assertion).map((place) => [place, read(registers, place, capture)]));
  const state = holds(assertion, (place) => readings.get(place)?.value);
  const [first] = readings.values();
  const where = { point: point.id, cpu, register: first?.name };
  const told = [...readings.values()].map(
    ({ name, value }) => `${name} is ${value === undefined ? "not known" : hex(value)}`,
  );
  const verb = state === undefined ? "cannot be decided" : "does not hold";
  return {
    state,
    complaint: {
      message: `${assertion.text} ${verb} on vCPU ${cpu} at ${point.id}: ${told.join(", ")}`,
      where,
      evidence: [...readings.values()].map(({ note }) => note).filter((note) => note !== ""),
    },
  };
}

function read(registers: Registers, { register, field }: RegisterPlace, capture: Capture): Reading {
  const level = exceptionLevelOf(currentRegimeName(registers));
  const own = register.replace(OWN_LEVEL, `_EL${level}`);
  const value = registers.get(own);
  const name = field === undefined ? own : `${own}.${field}`;
  if (value === undefined) return { name, value, note: whyNot(capture, own) };
  if (field === undefined) return { name, value, note: "" };
  const found = decodeFields(own, value, { e2h: hostExtensions(registers) }).find((each) => each.name === field);
  const whole = `${own} = ${hex(value)}`;
  if (found === undefined)
    return { name, value: undefined, note: `${whole}, which has no field ${field} as it is laid out here` };
  return { name, value: found.value, note: `${whole}: ${field} is ${hex(found.value)} (${found.meaning})` };
}

function whyNot({ registers }: Capture, wanted: string): string {
  return registers.some(({ name }) => name === wanted)
    ? `${wanted} could not be read, or there is no such vCPU`
    : `the stub does not offer ${wanted}`;
}
