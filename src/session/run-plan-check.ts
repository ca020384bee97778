/**
 * What of a plan only the guest shows to be wrong: places that it does not have, registers that its stub does not offer, fields that
 * these do not have. All of that is told at once, each at its line and column, before the plan is run.
 */
import { hostExtensions } from "../aarch64/machine-state.ts";
import { decodeFields } from "../aarch64/registers/index.ts";
import { EbscopeError, type ErrorCode } from "../base/error.ts";
import { nearNames } from "../base/near.ts";
import type { Registers } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import type { Expression, Mention, Plan, PlanPlace, PlanPoint } from "../plan/index.ts";
import type { FoundPlace } from "./places.ts";
import type { Session } from "./session.ts";

type Problem = ReturnType<Plan["problem"]>;
type Path = PlanPoint["path"];

/** Where the places of the points are, as far as they have been found. */
export type FoundPlaces = Map<PlanPlace, FoundPlace>;

/** What is a mistake of the plan's; everything else happened to the guest. */
const MISTAKES: readonly ErrorCode[] = ["no-such-place", "bad-expression", "register-missing", "usage"];

/** Finds the places and checks the names. Raises `bad-document`, and what looking for the firmware's tables raises. */
export async function checkPlan(session: Session, plan: Plan, signal?: AbortSignal): Promise<FoundPlaces> {
  const problems = plan.points.flatMap((point) => registerProblems(session, plan, point));
  const found = new PlanChecks(session, plan, problems, signal);
  await found.places();
  for (const point of plan.points) await found.names(point);
  if (problems.length > 0) plan.refuse(problems);
  return found.found;
}

/** A problem at a path for an error that is a mistake of the plan's; what is none is thrown on. */
export function problemOf(plan: Plan, path: Path, error: unknown): Problem {
  if (!(error instanceof EbscopeError) || !MISTAKES.includes(error.code)) throw error;
  return plan.problem(path, error.message.replace(/\.$/, ""), error.next);
}

class PlanChecks {
  readonly found: FoundPlaces = new Map();
  readonly #session: Session;
  readonly #plan: Plan;
  readonly #problems: Problem[];
  readonly #signal: AbortSignal | undefined;

  constructor(session: Session, plan: Plan, problems: Problem[], signal: AbortSignal | undefined) {
    this.#session = session;
    this.#plan = plan;
    this.#problems = problems;
    this.#signal = signal;
  }

  /** Services first: the guest is let run until its firmware has tables, and images and vectors are there then. */
  async places(): Promise<void> {
    const all = this.#plan.points.flatMap((point) => point.at.map((place) => ({ point, place })));
    const services = all.filter(({ place }) => place.location.kind === "service");
    for (const { place } of services) await this.#find(place);
    for (const { place, point } of all) {
      const { kind } = place.location;
      if (kind === "service" || kind === "write") continue;
      // What a point that waits for another one means may be there, and be another, only then.
      if (point.after === undefined) await this.#find(place);
      else if (kind !== "vector") await this.#findEarly(place);
    }
  }

  async #find(place: PlanPlace): Promise<void> {
    try {
      this.found.set(place, await placeOf(this.#session, place, this.#signal));
    } catch (error) {
      this.#problems.push(problemOf(this.#plan, place.path, error));
    }
  }

  async #findEarly(place: PlanPlace): Promise<void> {
    try {
      this.found.set(place, await placeOf(this.#session, place, this.#signal));
    } catch (error) {
      if (!(error instanceof EbscopeError) || error.code !== "no-such-place") throw error;
    }
  }

  /** Of places in expressions. Those of a point that waits may come later. */
  async names(point: PlanPoint): Promise<void> {
    const registers = await this.#session.registers();
    for (const { mentions, path } of mentionsOf(point)) {
      for (const mention of mentions) {
        const problem =
          mention.kind === "register"
            ? registerProblem(this.#session, this.#plan, path, mention, registers)
            : point.after === undefined
              ? await this.#placeProblem(path, mention)
              : undefined;
        if (problem !== undefined) this.#problems.push(problem);
      }
    }
  }

  async #placeProblem(path: Path, { name, offset }: Mention): Promise<Problem | undefined> {
    const value = await this.#session.evaluate(quoted(name));
    if (value.state === "known") return undefined;
    const next = await nearPlaces(this.#session, name);
    return this.#plan.problem(path, `Nothing that is loaded is called "${printable(name, 80)}"`, next, offset);
  }
}

/** A name as the expression that is its address. */
export function quoted(name: string): string {
  return name.includes('"') ? `'${name}'` : `"${name}"`;
}

/** The address of a place that is no write. */
export function placeOf(session: Session, { location }: PlanPlace, signal?: AbortSignal): Promise<FoundPlace> {
  return session.place(location, signal === undefined ? {} : { signal });
}

async function nearPlaces(session: Session, name: string): Promise<string> {
  const [image, symbol] = name.split("!", 2);
  const location = symbol === undefined ? { name } : { name: symbol, image: image as string };
  try {
    await session.place({ kind: "symbol", ...location });
  } catch (error) {
    if (error instanceof EbscopeError) return error.next;
  }
  return "Give its address, or symbols.";
}

interface PlacedMentions {
  readonly mentions: readonly Mention[];
  readonly path: Path;
}

function mentionsOf({ condition, record, at, path }: PlanPoint): PlacedMentions[] {
  const placed = ({ mentions }: Expression, where: Path, by = 0): PlacedMentions => ({
    mentions: mentions.map((each) => ({ ...each, offset: each.offset + by })),
    path: where,
  });
  return [
    ...(condition === undefined ? [] : [placed(condition, [...path, "if"])]),
    ...record.memory.flatMap((range) => [
      placed(range.address, [...range.path, "at"]),
      placed(range.length, [...range.path, "length"]),
    ]),
    ...at.flatMap(({ location, path: where, text }) => {
      if (location.kind !== "write") return [];
      // The expression stands inside the text of the place.
      return [placed(location.address, where, Math.max(0, text.indexOf(location.address.text)))];
    }),
  ];
}

function registerProblem(
  session: Session,
  plan: Plan,
  path: Path,
  { name, field, offset }: Mention,
  registers: Registers,
): Problem | undefined {
  const names = session.target.info.registers.map((each) => each.name);
  if (!names.includes(name)) return plan.problem(path, missing(name), cureFor(name, names), offset);
  if (field === undefined) return undefined;
  const fields = decodeFields(name, 0n, { e2h: hostExtensions(registers) }).map((each) => each.name);
  if (fields.includes(field)) return undefined;
  const known = fields.length === 0 ? "Take its bits, as in x0[7:4]." : `It has ${fields.slice(0, 40).join(", ")}.`;
  const near = nearNames(field, fields, 2);
  const cure = near.length === 0 ? known : `Did you mean ${near.map((each) => `${name}.${each}`).join(", ")}?`;
  return plan.problem(path, `${name} has no field "${printable(field, 40)}"`, cure, offset);
}

function registerProblems({ target }: Session, plan: Plan, { record, path }: PlanPoint): Problem[] {
  if (typeof record.registers === "string") return [];
  const { names, indices } = record.registers;
  const offered = target.info.registers.map(({ name }) => name);
  return names.flatMap((name, i) => {
    if (offered.includes(name)) return [];
    return [plan.problem([...path, "record", "registers", indices[i] ?? 0], missing(name), cureFor(name, offered))];
  });
}

function missing(name: string): string {
  return `The stub offers no register "${printable(name, 48)}"`;
}

function cureFor(name: string, names: readonly string[]): string {
  const near = nearNames(name, names, 3);
  return near.length === 0
    ? "`ebscope doctor --gdb ADDRESS` counts those that it has."
    : `Did you mean ${near.join(", ")}?`;
}
