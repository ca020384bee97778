/** Plans of captures: places, expressions, what to record. */

export type { RegisterScope, Value } from "./expression/evaluate.ts";
export {
  type Expression,
  parseExpression,
  type Scope,
} from "./expression/expression.ts";
export { registerName } from "./expression/registers.ts";
export type { MemorySize, Mention } from "./expression/tree.ts";
export {
  EXCEPTIONS,
  type ExceptionKind,
  type ExceptionLevel,
  type ExceptionOrigin,
  type Location,
  ORIGINS,
  parseLocation,
  parseLocations,
  type ServiceTable,
} from "./location.ts";
export {
  MAX_RECORDED_BYTES,
  type Plan,
  type PlanDiff,
  type PlanMemory,
  type PlanPlace,
  type PlanPoint,
  type PlanRecord,
  type PlanTarget,
  type PointReference,
  pointReference,
  type RegimeChoice,
  type RegisterClassName,
  type RegisterList,
} from "./plan.ts";
export { readPlan } from "./read-plan.ts";
