/** Mappings that differ between two runs, for people: what differs alike is one row. */
import type { Attributes } from "../../aarch64/attributes.ts";
import { accessText } from "../../aarch64/permissions.ts";
import { hex, roughSize, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { Across, At } from "../../diff/across/across.ts";
import type { MappingChangeAcross } from "../../diff/across/call.ts";
import { attributesKey } from "../../diff/across/contents.ts";
import type { AcrossContent, MappingAcross, MappingOwner } from "../../diff/across/mapping.ts";
import type { Two } from "../../diff/across/side.ts";
import { changeText } from "../../report/words.ts";

/** Owners that a row names. */
const MAX_OWNERS = 3;

/** Rows: regime where there are several, whose memory, how much, what differs. `all`: one row a difference. */
export function mappingRows({ mappings, points }: Across, verdict: string, all: boolean): string[][] {
  const shown = mappings.filter((each) => each.verdict === verdict);
  const several = new Set(mappings.map(({ regimes }) => regimesText(regimes))).size > 1;
  const groups = new Map<string, At<MappingAcross>[]>();
  for (const [i, each] of shown.entries()) {
    const key = all
      ? String(i)
      : [regimesText(each.regimes), differenceText(each), each.points.join(), each.owner.kind].join("\n");
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [At<MappingAcross>];
    const when = first.points.length === points.length ? "" : ` (at ${first.points.join(", ")})`;
    const owners = [...new Set(group.map((each) => ownerText(each.owner)))];
    return [
      ...(several ? [regimesText(first.regimes)] : []),
      listed(owners),
      amountText(group),
      `${differenceText(first)}${when}${first.why === undefined ? "" : `: ${first.why}`}`,
    ];
  });
}

function listed(owners: readonly string[]): string {
  const rest = owners.length - MAX_OWNERS;
  return owners.slice(0, MAX_OWNERS).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

function regimesText({ a, b }: MappingAcross["regimes"]): string {
  return a === b ? a : `${a} / ${b}`;
}

function ownerText(owner: MappingOwner): string {
  switch (owner.kind) {
    case "image": {
      const { image, section, offset } = owner;
      const place = section ?? (offset === null || offset === 0n ? "header" : `+${hex(offset)}`);
      return `${printable(image, 60)} ${printable(place, 20)}`;
    }
    case "memory":
      return `${printable(owner.type, 60)} outside images`;
    case "elsewhere":
      return `mapped at other addresses: ${owner.type}`;
    case "address":
      return hex(owner.va);
  }
}

/** In bytes, of either; one number where they agree. */
function amountText(group: readonly MappingAcross[]): string {
  const sum = (side: "a" | "b"): bigint => group.reduce((all, { sides }) => all + sides[side].size, 0n);
  const [a, b] = [sum("a"), sum("b")];
  const nowhere = group.some(({ sides }) => sides.a.state === "nowhere" || sides.b.state === "nowhere");
  if (a === b || nowhere) return shortSize(a === 0n ? b : a);
  return `${shortSize(a)} → ${shortSize(b)}`;
}

const GIB = 1n << 30n;

/** To the page where that can be read at a glance. */
function shortSize(size: bigint): string {
  return size < GIB ? sizeText(size) : roughSize(size);
}

function differenceText({ sides: { a, b } }: MappingAcross): string {
  if (a.attributes === null || b.attributes === null) return `${contentText(a)} → ${contentText(b)}`;
  if (attributesKey(a.attributes) === attributesKey(b.attributes)) {
    return a.size === b.size
      ? `${attributesText(a.attributes)} → the same, leading elsewhere`
      : attributesText(a.attributes);
  }
  return changeText(a.attributes, alike(a.attributes, b.attributes));
}

/** What follows from the lie of the neighbours is no difference here. */
function alike({ level, contiguous }: Attributes, b: Attributes): Attributes {
  return level === null || b.level === null ? b : { ...b, level, contiguous };
}

function contentText({ state, attributes }: AcrossContent): string {
  if (attributes !== null) return attributesText(attributes);
  switch (state) {
    case "nowhere":
      return "no page so";
    case "unknown":
      return "not known";
    default:
      return "not mapped";
  }
}

function attributesText(attributes: Attributes): string {
  const flag = attributes.accessFlag ? "" : ", access flag 0";
  return `${accessText(attributes)} ${attributes.memory}${flag}`;
}

/** `DxeCore .text: RO+X → RWX  16 pages / none` */
export function changeRow({ owner, before, after, kind, pages }: MappingChangeAcross): string[] {
  return [printable(owner, 80), `${changedText(before, after)}${kind === "moved" ? ", moved" : ""}`, pagesText(pages)];
}

function changedText(before: Attributes | null, after: Attributes | null): string {
  if (before !== null && after !== null) return changeText(before, alike(before, after));
  return `${before === null ? "not mapped" : attributesText(before)} → ${after === null ? "not mapped" : attributesText(after)}`;
}

function pagesText({ a, b }: Two<bigint>): string {
  const text = (pages: bigint): string => (pages === 0n ? "no page" : plural(pages, "page"));
  return `${text(a)} → ${text(b)}`;
}
