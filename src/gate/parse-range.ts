/** Ranges of addresses as people write them. */
import { parseInteger } from "../base/hex.ts";
import type { AddressRange } from "./policy.ts";

const TOP = 1n << 64n;

/** `START-END` (END not included) or `START+SIZE`; why a text is neither. */
export function parseRange(text: string): AddressRange | string {
  const [, first, sign, second] = /^\s*(\w+)\s*([-+])\s*(\w+)\s*$/.exec(text) ?? [];
  const [start, other] = [first, second].map((digits) => parseInteger(digits ?? ""));
  if (start === undefined || other === undefined) return "it is not two numbers with - or + between them";
  const end = sign === "+" ? start + other : other;
  if (end <= start) return "it is empty";
  return end > TOP ? "it ends behind the last address" : { start, end };
}
