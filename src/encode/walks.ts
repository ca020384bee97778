/** The walks of addresses, as JSON, and what everything else is made of. */
import type { Attributes } from "../aarch64/attributes.ts";
import type { Regime } from "../aarch64/regime-model.ts";
import type { Translation, WalkStep } from "../aarch64/translate.ts";
import { verdicts } from "../aarch64/verdict.ts";
import type { SideJson, WalkJson } from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import { type PointWalk, stepFields } from "../diagnose/walks.ts";

export function orNull(value: bigint | undefined): string | null {
  return value === undefined ? null : hex(value);
}

export function encodeAttributes(attributes: Attributes): Omit<SideJson, "pa"> {
  const { read, write, execute, el0, memory, fetch, shareability, granule, level } = attributes;
  const { contiguous, accessFlag, global, guarded } = attributes;
  return {
    read,
    write,
    execute,
    el0,
    memory,
    fetch,
    shareability,
    granule,
    level,
    contiguous,
    accessFlag,
    global,
    guarded,
  };
}

export function encodeWalks(walks: readonly PointWalk[]): WalkJson[] {
  return walks.map(({ point, cpu, regime, live, walked }) => ({
    point,
    cpu,
    regime: regime.name,
    live,
    steps: walked.steps.map((step) => encodeStep(step, regime)),
    ...(walked.intermediate !== undefined && { intermediate: hex(walked.intermediate) }),
    result: encodeTranslation(walked.result, regime),
  }));
}

function encodeStep(step: WalkStep, regime: Regime): WalkJson["steps"][number] {
  const { stage, level, table, intermediate, index, descriptor, kind } = step;
  return {
    stage,
    level,
    table: hex(table),
    ...(intermediate !== undefined && { intermediate: hex(intermediate) }),
    index,
    descriptor: hex(descriptor),
    kind,
    fields: stepFields(step, regime).map(({ name, value, meaning }) => ({ name, value: hex(BigInt(value)), meaning })),
  };
}

function encodeTranslation(result: Translation, regime: Regime): WalkJson["result"] {
  if (result.mapped === null) return result;
  if (!result.mapped) return { mapped: false, why: result.why, level: result.level };
  const { pa, attributes } = result;
  return { mapped: true, pa: hex(pa), ...encodeAttributes(attributes), verdicts: [...verdicts(attributes, regime)] };
}
