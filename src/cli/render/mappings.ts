/** Mappings and their changes as text. */

import type { Attributes } from "../../aarch64/attributes.ts";
import type { Access } from "../../aarch64/permissions.ts";
import type { Mapping } from "../../aarch64/regime-map.ts";
import { hex, hex16, roughSize, sizeText } from "../../base/hex.ts";
import { plural } from "../../base/text.ts";
import type { OwnedMappingChange } from "../../diff/diff.ts";
import { imageLabel, imagesIn, ownership } from "../../diff/owners.ts";
import type { LoadedImage } from "../../efi/images.ts";
import type { MappingList } from "../mapping-filter.ts";
import { accessText, style, table } from "./style.ts";

/** What changed from one set of attributes to another: only what differs, access first. */
export function changeText(before: Attributes, after: Attributes): string {
  const parts = [
    changed(accessText(before), accessText(after)),
    el0ChangeText(before.el0, after.el0),
    changed(before.memory, after.memory),
    changed(fetchText(before), fetchText(after), "instruction fetches "),
    changed(before.shareability, after.shareability, "shareability "),
    changed(levelText(before), levelText(after)),
    changed(String(before.accessFlag), String(after.accessFlag), "access flag "),
    changed(String(before.faultsOnAccess), String(after.faultsOnAccess), "access flag faults "),
    changed(String(before.global), String(after.global), "global "),
    changed(String(before.contiguous), String(after.contiguous), "contiguous "),
    changed(String(before.guarded), String(after.guarded), "guarded "),
    changed(String(before.granule), String(after.granule), "granule "),
  ].filter((part) => part !== "");
  return parts.length === 0 ? "EL0 execute permission" : parts.join(", ");
}

function changed(before: string, after: string, prefix = ""): string {
  return before === after ? "" : `${prefix}${before} → ${after}`;
}

/** Only where EL0 can reach the memory: whether it may execute what it cannot read is in the JSON and in explain. */
function el0ChangeText(before: Access | null, after: Access | null): string {
  if (before === null || after === null || !(before.read || after.read)) return "";
  return changed(accessText(before), accessText(after), "EL0 ");
}

/** Only where it is another than that of data. */
function fetchText({ memory, fetch }: Attributes): string {
  return memory === fetch ? "as data" : fetch;
}

function levelText({ level }: Attributes): string {
  return level === null ? "flat (MMU off)" : `level ${level}`;
}

/** `added RW+NX Normal WB RAWA`, `RO+X → RWX`, `moved from 0x…`. */
export function mappingChangeText({ kind, before, after }: OwnedMappingChange): string {
  if (before === null || after === null) {
    const side = before ?? after;
    return side === null ? kind : `${kind} ${accessText(side.attributes)} ${side.attributes.memory}`;
  }
  const attributes = changeText(before.attributes, after.attributes);
  if (kind !== "moved") return attributes;
  const moved = `moved ${hex(before.pa)} → ${hex(after.pa)}`;
  return attributes === "" ? moved : `${moved}, ${attributes}`;
}

export interface MappingListOptions {
  /** Runs that are shown before the rest is counted. */
  readonly limit: number;
  /** Whether the changes are ExitBootServices's, so that it can be said which are expected. */
  readonly judged: boolean;
  /** Parts of the tables of which nothing is known. */
  readonly unknown: number;
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
  lines.push(...limited(unexpected.map(changeRow), options.limit, "run"));
  if (expected.length > 0) lines.push(...renderExpected(expected, options));
  return lines;
}

function pageCount(changes: readonly OwnedMappingChange[]): bigint {
  return changes.reduce((sum, { size }) => sum + (size >> 12n), 0n);
}

function changeRow(change: OwnedMappingChange): string[] {
  const { regime, va, size } = change;
  return [regime, hex16(va), sizeText(size), mappingChangeText(change), changeOwnerText(change)];
}

function changeOwnerText({ owner, images }: OwnedMappingChange): string {
  if (owner !== null) return owner.section === null ? owner.image : `${owner.image} ${owner.section}`;
  return imagesText(images);
}

function imagesText(images: readonly LoadedImage[]): string {
  const names = images.slice(0, 3).map(imageLabel).join(", ");
  return images.length > 3 ? `${names} and ${images.length - 3} more` : names;
}

/** Expected runs: all of them when there is room, else one line for each image. */
function renderExpected(changes: readonly OwnedMappingChange[], { limit }: MappingListOptions): string[] {
  const why = [...new Set(changes.map(({ expected }) => `  expected (${expected?.rule}): ${expected?.why}`))];
  if (changes.length <= limit) return [...table(changes.map(changeRow)), ...why.map(style.quiet)];
  const rows = [...groupByImage(changes)].map(([image, group]) => [
    group[0]?.regime ?? "",
    hex16(group[0]?.va ?? 0n),
    plural(pageCount(group), "page"),
    [...byChange(group)].map(([text, count]) => `${text} (${count})`).join(", "),
    image,
  ]);
  return [...limited(rows, limit, "image"), ...why.map(style.quiet)];
}

function groupByImage(changes: readonly OwnedMappingChange[]): Map<string, OwnedMappingChange[]> {
  const groups = new Map<string, OwnedMappingChange[]>();
  for (const change of changes) {
    const image = imagesText(change.images);
    groups.set(image, [...(groups.get(image) ?? []), change]);
  }
  return groups;
}

function byChange(changes: readonly OwnedMappingChange[]): Map<string, bigint> {
  const counts = new Map<string, bigint>();
  for (const change of changes) {
    const text = mappingChangeText(change);
    counts.set(text, (counts.get(text) ?? 0n) + (change.size >> 12n));
  }
  return counts;
}

/** The first `limit` rows as a table, and how many there are more. */
export function limited(rows: readonly (readonly string[])[], limit: number, noun: string): string[] {
  const lines = table(rows.slice(0, limit));
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
