/** Who changed what: a record of writes, replayed over the tables, and the changes of a difference with those who made them. */
export { attribute, type DifferenceBlame, type LastChange, type MappingBlame } from "./attribution.ts";
export type { Author, AuthoredEvent } from "./author.ts";
export type { ReplayBounds } from "./budget.ts";
export { ByEvent } from "./by-event.ts";
export type { Effect, EffectKind, PageRange } from "./effect.ts";
export { type MaintenanceGap, type MaintenanceGaps, maintenanceGaps } from "./maintenance.ts";
export { type DescriptorChange, type DescriptorChangeKind, descriptorChanges } from "./pairs.ts";
export type { RegisterBlame } from "./register-attribution.ts";
export { eventOfPoint, type RegisterWrite, type Replay, type ReplayedPoint, replayBlame } from "./replay.ts";
export type { VcpuMode } from "./vcpu-mode.ts";
