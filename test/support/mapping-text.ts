/** A translation in one line, from the slow decoder and from src/: equal lines say equal things. */
import type { Attributes } from "../../src/aarch64/attributes.ts";
import type { TranslationFault } from "../../src/aarch64/fault.ts";
import type { Access } from "../../src/aarch64/permissions.ts";
import type { SlowFault, SlowMapping } from "./slow-decoder.ts";

export function slowText(mapping: SlowMapping): string {
  const { output, level, granule, privileged, unprivileged } = mapping;
  const { memory, shareability, contiguous, accessFlag, global, guarded } = mapping;
  const rest = [memory, shareability, contiguous, accessFlag, global, guarded];
  return [hex(output), level, granule, privileged, unprivileged, ...rest].join("|");
}

export function mappingText(output: bigint, attributes: Attributes): string {
  const { level, memory, shareability, contiguous, accessFlag, global, guarded, el0 } = attributes;
  // Without tables there is no granule.
  const granule = level === null ? null : attributes.granule;
  const rest = [memory, shareability, contiguous, accessFlag, global, guarded];
  return [hex(output), level, granule, letters(attributes), el0 === null ? null : letters(el0), ...rest].join("|");
}

export function faultLine({ stage, onWalk, kind, level }: SlowFault | TranslationFault): string {
  return `${kind} fault, stage ${stage}, level ${level}${onWalk ? ", on the walk" : ""}`;
}

function letters({ read, write, execute }: Access): string {
  const letter = (permission: boolean | null, name: string): string =>
    permission === null ? "?" : permission ? name : "-";
  return letter(read, "r") + letter(write, "w") + letter(execute, "x");
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
