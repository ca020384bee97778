/** Which memory a selector means, in words. */
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { MemorySelector } from "./policy.ts";

const MAX_TEXT = 120;

/** `image DxeCore, section .text`; `all that is mapped`. */
export function selectorText({ images, sections, ranges, types, runtime }: MemorySelector): string {
  const words = (name: string, values: readonly string[] | undefined): string[] =>
    values === undefined ? [] : [`${name} ${values.join(" or ")}`];
  const parts = [
    ...words(
      "image",
      images?.map(({ text }) => text),
    ),
    ...words(
      "section",
      sections?.map(({ text }) => text),
    ),
    ...words(
      "range",
      ranges?.map(({ start, end }) => `${hex(start)} + ${hex(end - start)}`),
    ),
    ...words("memory type", types),
    ...(runtime ? ["runtime images"] : []),
  ];
  return parts.length === 0 ? "all that is mapped" : printable(parts.join(", "), MAX_TEXT);
}
