/** The TypeScript API: guests under a program's control. */
export type { Written } from "./arrival.ts";
export { Blame, type BlameOptions } from "./blame.ts";
export { Breakpoint, type BreakpointOptions, type Condition, type HitRange } from "./breakpoint.ts";
export type { Argument, CallArguments } from "./call-arguments.ts";
export type { SessionEvent } from "./events.ts";
export type { GuestMappings, MemoryOptions, ViewOptions } from "./guest-view.ts";
export { type AttachOptions, attach, type LaunchOptions, launch, type SessionOptions } from "./open.ts";
export type { FoundPlace, Where } from "./places.ts";
export { type PlanOutcome, type PointOutcome, type RunPlanOptions, runPlan } from "./run-plan.ts";
export { encodeHit } from "./run-plan-lines.ts";
export type { PlanHit } from "./run-plan-record.ts";
export type { PlanEvent } from "./run-plan-tell.ts";
export { Session, type WaitOptions } from "./session.ts";
export type { SnapshotOptions } from "./snapshots.ts";
export { type Hit, Stop } from "./stop.ts";
export type { FindOptions } from "./surroundings.ts";
export type { TracedMemory, TraceHit, TraceOptions } from "./trace.ts";
