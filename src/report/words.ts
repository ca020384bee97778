/** What the reports and the terminal say alike: mappings, registers, walks and branches in words, without colours or layout. */
import type { Attributes } from "../aarch64/attributes.ts";
import { type Access, accessText } from "../aarch64/permissions.ts";
import type { DecodedField } from "../aarch64/registers/index.ts";
import type { Translation, WalkStep } from "../aarch64/translate.ts";
import { ERROR_CODES } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { Names } from "../diagnose/names.ts";
import { placeText } from "../diagnose/place.ts";
import type { PointTrace } from "../diagnose/trace.ts";
import type { OwnedMappingChange } from "../diff/diff.ts";
import type { MappingChange } from "../diff/mappings.ts";
import { imageLabel } from "../diff/owners.ts";
import type { RegisterChange } from "../diff/registers.ts";
import type { LoadedImage } from "../efi/images.ts";

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
export function mappingChangeText({ kind, before, after }: Pick<MappingChange, "kind" | "before" | "after">): string {
  if (before === null || after === null) {
    const side = before ?? after;
    return side === null ? kind : `${kind} ${accessText(side.attributes)} ${side.attributes.memory}`;
  }
  const attributes = changeText(before.attributes, after.attributes);
  if (kind !== "moved") return attributes;
  const moved = `moved ${hex(before.pa)} → ${hex(after.pa)}`;
  return attributes === "" ? moved : `${moved}, ${attributes}`;
}

/** Of 4 KiB. */
export function pageCount(changes: readonly OwnedMappingChange[]): bigint {
  return changes.reduce((sum, { size }) => sum + (size >> 12n), 0n);
}

/** `DxeCore .text`, or the images that a run touches. */
export function mappingOwnerText({ owner, images }: OwnedMappingChange): string {
  if (owner !== null) return owner.section === null ? owner.image : `${owner.image} ${owner.section}`;
  return imagesText(images);
}

export function imagesText(images: readonly LoadedImage[]): string {
  const names = images.slice(0, 3).map(imageLabel).join(", ");
  return images.length > 3 ? `${names} and ${images.length - 3} more` : names;
}

/** In the order of their first runs. */
export function changesByImage(changes: readonly OwnedMappingChange[]): Map<string, OwnedMappingChange[]> {
  const groups = new Map<string, OwnedMappingChange[]>();
  for (const change of changes) {
    const image = imagesText(change.images);
    groups.set(image, [...(groups.get(image) ?? []), change]);
  }
  return groups;
}

/** `RO+X → RWX (12), RW+NX → RWX (30)`: pages by change. */
export function changeCounts(changes: readonly OwnedMappingChange[]): string {
  const counts = new Map<string, bigint>();
  for (const change of changes) {
    const text = mappingChangeText(change);
    counts.set(text, (counts.get(text) ?? 0n) + (change.size >> 12n));
  }
  return [...counts].map(([text, count]) => `${text} (${count})`).join(", ");
}

/** A field with a larger value is an address or a number that stands in the register's own value already. */
const LARGEST_SHOWN = 0xffffn;

/** `M 0x1 → 0x0 (disabled)`: each field that changed and whose value says something. */
export function fieldChangeTexts({ fields }: Pick<RegisterChange, "fields">): string[] {
  return fields
    .filter(({ before, after }) => before <= LARGEST_SHOWN && after <= LARGEST_SHOWN)
    .map(({ name, before, after, meaning }) => `${name} ${hex(before)} → ${hex(after)} (${meaning})`);
}

/** A program status register: `from EL1h: EL1 with SP_EL1; set: Z C D A I F`. Of any other: `FIPA=0x…`. */
export function registerWords(fields: readonly DecodedField[]): string {
  const mode = fields.find((field) => field.name === "M[3:0]");
  const shown = fields.filter((field) => field !== mode && field.value !== 0n);
  const wide = shown.filter(({ high, low }) => high !== low).map((field) => `${field.name}=${hex(field.value)}`);
  const flags = shown.filter(({ high, low }) => high === low).map((field) => field.name);
  const words = [
    mode === undefined ? "" : `from ${mode.meaning}`,
    ...wide,
    flags.length === 0 ? "" : `set: ${flags.join(" ")}`,
  ];
  return words.filter((word) => word !== "").join("; ");
}

/** `page`, `invalid (zero)` */
export function descriptorKind({ kind, descriptor }: WalkStep): string {
  if (kind !== "invalid") return kind;
  return descriptor === 0n ? "invalid (zero)" : "invalid";
}

/** Where a walk ends: `→ 0x40000000 RO+X, Normal WB RAWA, inner shareable`, `not mapped: …`, `cannot tell: …`. */
export function outcomeText(result: Translation): string {
  if (result.mapped === null) {
    const why = result.reason === undefined ? ERROR_CODES[result.why] : printable(result.reason);
    return `cannot tell: ${result.why} (${why})`;
  }
  if (!result.mapped) return `not mapped: ${result.why}`;
  const { attributes, pa } = result;
  const el0 = attributes.el0 === null ? "" : `, EL0 ${accessText(attributes.el0)}`;
  const af = attributes.accessFlag ? "" : ", access flag 0";
  return `→ ${hex(pa)} ${accessText(attributes)}${el0}, ${attributes.memory}, ${attributes.shareability} shareable${af}`;
}

/** How execution came to where no code can run; empty where code runs. */
export function branchText({ branch, site }: PointTrace, names: Names): string {
  const from = site === undefined ? "" : placeText(site);
  switch (branch?.site.kind) {
    case "call":
      return `it was called from ${from}`;
    case "return":
      return "a return led there: where from cannot be told";
    case "later":
      return `a branch from the function at ${placeText(names.place(branch.site.called))} led there, which was called from ${from}`;
    case "unknown":
      return `how execution came there cannot be told: ${printable(branch.site.why)}`;
    case undefined:
      return "";
  }
}

/** `through gBS->Stall at 0x… + 0xf8, 0x… (Stall, MetronomeDxe+0x…) before the exit`; empty when no service was meant. */
export function serviceText({ service }: PointTrace, names: Names): string {
  if (service === undefined) return "";
  const was = service.before === undefined ? "" : `, ${placeText(names.place(service.before))} before the exit`;
  return `through ${service.name} at ${hex(service.table.address)} + ${hex(service.offset)}${was}`;
}
