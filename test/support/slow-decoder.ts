/**
 * A second reading of the AArch64 address translation, to hold the first one against: one address at a time, every field a bigint,
 * every table of the manual written out. It imports nothing of src/, so that it can share no mistake with it.
 *
 * Source: Arm ARM DDI 0487, chapter D8 (shared pseudocode AArch64.FullTranslate) and D24.2; the parts name their sections. What is
 * not modelled stands at the head of slow-stage1.ts and slow-stage2.ts, what the manual leaves open at the head of each part.
 */
import type { SlowMachine } from "./slow-bits.ts";
import { combineMemory, effectiveShareability, memoryWords, widerShareability } from "./slow-memory.ts";
import { bothLetters } from "./slow-permissions.ts";
import { type Stage1Mapping, translateStage1 } from "./slow-stage1.ts";
import { guestControl, type Stage2Leaf, stage2InForce, stage2Walk } from "./slow-stage2.ts";
import type { SlowMapping, SlowRegime, SlowTranslation } from "./slow-types.ts";

export { type SlowMachine, swapBytes } from "./slow-bits.ts";
export { mairMemory, memoryWords } from "./slow-memory.ts";
export { stage2InForce } from "./slow-stage2.ts";
export type {
  SlowFault,
  SlowMapping,
  SlowRegime,
  SlowShareability,
  SlowTranslation,
  SlowUnreadable,
} from "./slow-types.ts";

/** Translates one address in a regime: a VA, or for "stage2" an IPA. */
export function slowTranslate(machine: SlowMachine, regime: SlowRegime, address: bigint): SlowTranslation {
  if (regime === "stage2") return stage2Alone(machine, address);
  const first = translateStage1(machine, regime, address);
  if (first.outcome !== "mapped" || !stage2InForce(machine, regime)) return inWords(first);
  const second = stage2Walk(machine, first.output, false);
  return second.outcome === "leaf" ? bothStages(machine, first, second) : second;
}

/** Stage 1 of EL1&0 alone: the IPA of an address where stage 2 is in force. Tables are still read through stage 2. */
export function slowIntermediate(machine: SlowMachine, va: bigint): SlowTranslation {
  return inWords(translateStage1(machine, "EL1&0", va));
}

function inWords(first: ReturnType<typeof translateStage1>): SlowTranslation {
  if (first.outcome !== "mapped") return first;
  const { memoryType, ...rest } = first;
  return { ...rest, memory: memoryWords(memoryType) };
}

function bothStages(machine: SlowMachine, first: Stage1Mapping, second: Stage2Leaf): SlowMapping {
  const { memoryType, ...rest } = first;
  const stages = { fwb: flagFwb(machine), cacheDisabled: guestControl(machine, 32) };
  const memory = combineMemory(memoryType, second.memory, stages);
  return {
    ...rest,
    output: second.output,
    privileged: bothLetters(first.privileged, second.letters.privileged),
    unprivileged: bothLetters(first.unprivileged as string, second.letters.unprivileged),
    memory: memoryWords(memory),
    shareability: effectiveShareability(memory, widerShareability(first.shareability, second.shareability)),
    accessFlag: first.accessFlag && second.accessFlag,
  };
}

function flagFwb(machine: SlowMachine): boolean {
  return guestControl(machine, 46);
}

/** HCR_EL2.CD is not applied: the words are those of the descriptor. */
function stage2Alone(machine: SlowMachine, ipa: bigint): SlowTranslation {
  const leaf = stage2Walk(machine, ipa, false);
  if (leaf.outcome !== "leaf") return leaf;
  const { output, level, granule, letters, memory, contiguous, accessFlag } = leaf;
  return {
    outcome: "mapped",
    ...{ output, level, granule },
    ...letters,
    memory: memoryWords(memory),
    shareability: effectiveShareability(memory, leaf.shareability),
    ...{ contiguous, accessFlag, global: true, guarded: false },
  };
}
