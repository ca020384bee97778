/** From the places of a plan to breakpoints in the guest, at the moment when a point is armed. */
import { virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import type { Expression, Location, Plan, PlanPlace, PlanPoint, Value } from "../plan/index.ts";
import type { Breakpoint } from "./breakpoint.ts";
import type { Spot } from "./run-plan-capture.ts";
import { type FoundPlaces, placeOf, problemOf } from "./run-plan-check.ts";
import type { Session } from "./session.ts";

export interface SpotSetup {
  readonly session: Session;
  readonly plan: Plan;
  /** Where places were when the plan began. */
  readonly places: FoundPlaces;
}

/** The value of an expression where the guest stands. */
export type Evaluate = (expression: Expression) => Promise<Value>;

/** Where a place of a point is now. Raises `bad-document` for one that cannot be found. */
export async function spotOf(
  { session, plan, places }: SpotSetup,
  { after }: PlanPoint,
  place: PlanPlace,
  evaluate: Evaluate,
): Promise<Spot> {
  const { location } = place;
  if (location.kind === "write") return watchOf(plan, location, place, evaluate);
  const known = places.get(place);
  if (known !== undefined && after === undefined) return { location, place: known };
  try {
    return { location, place: await placeOf(session, place) };
  } catch (error) {
    // The firmware's tables may be gone by now; what they held is known.
    if (known !== undefined && error instanceof EbscopeError) return { location, place: known };
    return plan.refuse([problemOf(plan, place.path, error)]);
  }
}

async function watchOf(
  plan: Plan,
  location: Extract<Location, { kind: "write" }>,
  { path }: PlanPlace,
  evaluate: Evaluate,
): Promise<Spot> {
  const value = await evaluate(location.address);
  if (value.state === "unknown") {
    const cure = "Name what is known where the point is armed: `after` says where that is.";
    return plan.refuse([plan.problem(path, `The address cannot be worked out: ${value.why}`, cure)]);
  }
  return { location, place: { address: virt(value.value), name: `write(${hex(value.value)}, ${location.size})` } };
}

/** Puts one into the halted guest. */
export async function trapAt({ session, plan }: SpotSetup, { path }: PlanPoint, spot: Spot): Promise<Breakpoint> {
  const { place, location } = spot;
  if (location.kind !== "write") return session.breakpoint(place);
  try {
    return await session.watchWrite(place.address, location.size);
  } catch (error) {
    return plan.refuse([problemOf(plan, [...path, "at"], error)]);
  }
}

/** `gBS->Stall (0x4774c1a0)` */
export function spotText({ place, location }: Spot): string {
  const isBare = location.kind === "write" || location.kind === "address";
  return isBare ? place.name : `${place.name} (${hex(place.address)})`;
}
