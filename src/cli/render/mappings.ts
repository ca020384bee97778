/** Mappings and their changes as text. */

import type { Attributes } from "../../aarch64/attributes.ts";
import { accessText } from "../../aarch64/permissions.ts";
import type { Mapping } from "../../aarch64/regime-map.ts";
import { hex, hex16, roughSize, sizeText } from "../../base/hex.ts";
import { plural } from "../../base/text.ts";
import type { OwnedMappingChange } from "../../diff/diff.ts";
import { imagesIn, ownership } from "../../diff/owners.ts";
import type { LoadedImage } from "../../efi/images.ts";
import type { AuthorsText } from "../../report/blame-words.ts";
import {
  changeCounts,
  changesByImage,
  imagesText,
  mappingChangeText,
  mappingOwnerText,
  pageCount,
} from "../../report/words.ts";
import type { MappingList } from "../mapping-filter.ts";
import { byNotes } from "./by.ts";
import { style, table, withNotes } from "./style.ts";

export interface MappingListOptions {
  /** Runs that are shown before the rest is counted. */
  readonly limit: number;
  /** Whether the changes are ExitBootServices's, so that it can be said which are expected. */
  readonly judged: boolean;
  /** Parts of the tables of which nothing is known. */
  readonly unknown: number;
  /** The EFI_MEMORY_TYPE of a run that lies in no image; null where that is not known. */
  readonly memoryType: (change: OwnedMappingChange) => string | null;
  /** Who made changes; left out where nobody watched. */
  readonly by?: ((changes: readonly OwnedMappingChange[]) => AuthorsText) | undefined;
}

/** The section of the diff about mappings: what is unexpected run by run, what is expected by image. */
export function renderMappingChanges(changes: readonly OwnedMappingChange[], options: MappingListOptions): string[] {
  const unknown = options.unknown === 0 ? "" : style.warn(`; ${plural(options.unknown, "part")} not known, see below`);
  if (changes.length === 0) {
    return [`${style.heading("Mappings")}  ${unknown === "" ? "nothing changed" : `no change seen${unknown}`}`];
  }
  const unexpected = changes.filter(({ expected }) => expected === null);
  const expected = changes.filter((change) => change.expected !== null);
  const pages = plural(pageCount(changes), "page");
  const judgement =
    unexpected.length === 0
      ? style.good(unknown === "" ? "all expected" : "those expected")
      : style.warn(`${plural(pageCount(unexpected), "page")} in ${plural(unexpected.length, "run")} not expected`);
  const verdict = options.judged ? `, ${judgement}` : "";
  const lines = [
    `${style.heading("Mappings")}  ${pages} (${roughSize(pageCount(changes) << 12n)}) changed in ${plural(changes.length, "run")}${verdict}${unknown}`,
  ];
  const rows = unexpected.map((change) => changeRow(change, options.memoryType));
  const by = byNotes(
    unexpected.map((change) => [change]),
    options.by,
  );
  lines.push(...limited(rows, options.limit, "run", by.each), ...by.all);
  if (expected.length > 0) lines.push(...renderExpected(expected, options));
  return lines;
}

function changeRow(change: OwnedMappingChange, typeOf: MappingListOptions["memoryType"]): string[] {
  const { regime, va, size } = change;
  const owner = mappingOwnerText(change) || (typeOf(change) ?? "");
  return [regime, hex16(va), sizeText(size), mappingChangeText(change), owner];
}

/** Expected runs: all of them when there is room, else one line for each image. */
function renderExpected(changes: readonly OwnedMappingChange[], options: MappingListOptions): string[] {
  const { limit, memoryType } = options;
  const why = [...new Set(changes.map(({ expected }) => `  expected (${expected?.rule}): ${expected?.why}`))];
  if (changes.length <= limit) {
    const rows = changes.map((change) => changeRow(change, memoryType));
    const by = byNotes(
      changes.map((change) => [change]),
      options.by,
    );
    return [...withNotes(table(rows), by.each), ...by.all, ...why.map(style.quiet)];
  }
  const groups = changesByImage(changes);
  const rows = [...groups].map(([image, group]) => [
    group[0]?.regime ?? "",
    hex16(group[0]?.va ?? 0n),
    plural(pageCount(group), "page"),
    changeCounts(group),
    image,
  ]);
  const by = byNotes([...groups.values()], options.by);
  return [...limited(rows, limit, "image", by.each), ...by.all, ...why.map(style.quiet)];
}

/** The first `limit` rows as a table, each with its note below it, and how many there are more. */
export function limited(
  rows: readonly (readonly string[])[],
  limit: number,
  noun: string,
  notes: readonly string[] = [],
): string[] {
  const lines = withNotes(table(rows.slice(0, limit)), notes);
  const more = rows.length - limit;
  return more > 0 ? [...lines, style.quiet(`  … ${plural(more, noun)} more: --all`)] : lines;
}

/** `show FILE mappings` */
export function renderMappings(lists: readonly MappingList[], images: readonly LoadedImage[]): string[] {
  return lists.flatMap(({ regime, mappings, all }) => {
    const count =
      mappings.length === all ? plural(all, "run") : `${mappings.length} shown, ${plural(all, "run")} in all`;
    return [
      style.heading(`${regime}: ${count}`),
      ...table(mappings.map((mapping) => mappingCells(mapping, imagesIn(regime, images)))),
    ];
  });
}

function mappingCells({ va, size, pa, attributes }: Mapping, images: readonly LoadedImage[]): string[] {
  return [
    hex16(va),
    sizeText(size),
    `→ ${hex(pa)}`,
    accessText(attributes),
    ...(attributes.el0 === null ? [] : [`EL0 ${accessText(attributes.el0)}`]),
    attributes.memory,
    attributes.shareability,
    attributes.level === null ? "MMU off" : `L${attributes.level}`,
    [flagsText(attributes), imagesText(ownership(images, va, size).images)].filter((text) => text !== "").join("  "),
  ];
}

function flagsText({ contiguous, accessFlag, global, guarded }: Attributes): string {
  return [contiguous ? "contiguous" : "", accessFlag ? "" : "AF=0", global ? "" : "nG", guarded ? "GP" : ""]
    .filter((flag) => flag !== "")
    .join(" ");
}
