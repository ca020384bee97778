/** A mapping in one line, from the slow decoder and from src/: equal lines say equal things. */
import type { Access, Attributes } from "../../src/aarch64/descriptor.ts";
import type { SlowMapping } from "./slow-decoder.ts";

export function slowText(mapping: SlowMapping): string {
  const { output, level, privileged, unprivileged, memory, shareability, contiguous, accessFlag, global } = mapping;
  return [hex(output), level, privileged, unprivileged, memory, shareability, contiguous, accessFlag, global].join("|");
}

export function mappingText(output: bigint, attributes: Attributes): string {
  const { level, memory, shareability, contiguous, accessFlag, global, el0 } = attributes;
  const rest = [memory, shareability, contiguous, accessFlag, global];
  return [hex(output), level, letters(attributes), el0 === null ? null : letters(el0), ...rest].join("|");
}

function letters({ read, write, execute }: Access): string {
  return (read ? "r" : "-") + (write ? "w" : "-") + (execute ? "x" : "-");
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
