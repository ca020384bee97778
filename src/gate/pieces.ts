/** The mappings of a regime at a point in the parts that rules judge, and what of them is not known. */
import type { Attributes } from "../aarch64/attributes.ts";
import { accessText } from "../aarch64/permissions.ts";
import type { LostRun, RegimeMap, Run } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import { hex } from "../base/hex.ts";
import type { PointView } from "../diff/point-view.ts";
import type { Budget } from "./budget.ts";
import type { Owners, PageOwner, Span } from "./owners.ts";
import type { AddressRange } from "./policy.ts";
import type { Complaint, Where } from "./verdict.ts";

/** All addresses. */
export const EVERYTHING: AddressRange = { start: 0n, end: 1n << 64n };

/** Mapped memory of one owner and one type, with equal attributes. Sizes in bytes. */
export interface Piece extends Span {
  readonly pa: bigint;
  readonly attributes: Attributes;
}

/** The runs of a map that touch a range, cut to it. Runs ascend and do not overlap. */
export function* runsIn(map: RegimeMap, range: AddressRange): Generator<Run> {
  const [first, end] = [Number(range.start >> 12n), Number((range.end + 0xfffn) >> 12n)];
  let [low, high] = [0, map.runs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const run = map.runs[middle] as Run;
    if (run.start + run.pages > first) high = middle;
    else low = middle + 1;
  }
  for (let run = map.runs[low]; run !== undefined && run.start < end; run = map.runs[++low]) {
    const skipped = Math.max(0, first - run.start);
    const start = run.start + skipped;
    const pages = Math.min(run.start + run.pages, end) - start;
    yield skipped === 0 && pages === run.pages ? run : { ...run, start, pages, output: run.output + skipped };
  }
}

/** What is mapped in a range and `wanted`, in parts. */
export function* piecesIn(
  { map, owners, budget }: { readonly map: RegimeMap; readonly owners: Owners; readonly budget: Budget },
  range: AddressRange,
  cuts: readonly bigint[],
  wanted: (attributes: Attributes) => boolean = () => true,
): Generator<Piece> {
  for (const { start, pages, output, attributes } of runsIn(map, range)) {
    budget.spend(1);
    if (!wanted(attributes)) continue;
    const [va, size, pa] = [BigInt(start) << 12n, BigInt(pages) << 12n, BigInt(output) << 12n];
    for (const span of owners.spans(va, size, pa, cuts, budget)) yield { ...span, pa: pa + (span.va - va), attributes };
  }
}

/** Neighbours that differ in nothing that is told of them become one. */
export function joined(pieces: Iterable<Piece>): Piece[] {
  const list: Piece[] = [];
  for (const piece of pieces) {
    const last = list.at(-1);
    if (last !== undefined && goesOn(last, piece)) list[list.length - 1] = { ...last, size: last.size + piece.size };
    else list.push(piece);
  }
  return list;
}

function goesOn(last: Piece, next: Piece): boolean {
  return (
    last.va + last.size === next.va &&
    last.pa + last.size === next.pa &&
    last.attributes.key === next.attributes.key &&
    last.memoryType === next.memoryType &&
    ownersText(last.owners) === ownersText(next.owners)
  );
}

/** What is lost of a map in a range: addresses of which nothing is known. */
export function lostIn(map: RegimeMap, range: AddressRange): readonly LostRun[] {
  return map.lost.filter(({ start, pages }) => {
    const va = BigInt(start) << 12n;
    return va < range.end && va + (BigInt(pages) << 12n) > range.start;
  });
}

/** Lost addresses, each table once: which page could not be read, and what it leaves unknown. */
export function lostComplaints(view: PointView, regime: RegimeName, lost: readonly LostRun[]): Complaint[] {
  const groups = new Map<string, LostRun[]>();
  for (const run of lost) {
    const key = [run.table, run.level, run.code, run.why].join(" ");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [run]);
    else group.push(run);
  }
  return [...groups.values()].map((group) => lostComplaint(view, regime, group));
}

function lostComplaint(view: PointView, regime: RegimeName, group: readonly LostRun[]): Complaint {
  const { start, pages, table, level, code, why } = group[0] as LostRun;
  const [va, size] = [BigInt(start) << 12n, BigInt(pages) << 12n];
  const pa = table === undefined ? undefined : pageAddress(table);
  const rest = group.length > 1 ? ` and ${group.length - 1} more ranges` : "";
  const page =
    pa === undefined
      ? ""
      : `: the page at ${hex(pa)}${level === undefined ? "" : `, a table of level ${level},`} could not be read`;
  return {
    message: `what ${regime} maps at ${rangeText(va, size)}${rest} is not known at ${view.point.id}${page} (${code})`,
    where: { point: view.point.id, regime, va, size, pa },
    evidence: why === undefined ? [] : [why],
  };
}

/** `0x1000 + 0x2000` */
export function rangeText(va: bigint, size: bigint): string {
  return `${hex(va)} + ${hex(size)}`;
}

/** Where a piece is, and whose. */
export function whereOf(view: PointView, regime: RegimeName, piece: Span & { readonly pa?: bigint }): Where {
  const [owner] = piece.owners;
  return {
    point: view.point.id,
    regime,
    va: piece.va,
    size: piece.size,
    pa: piece.pa,
    image: owner?.image,
    section: owner?.section ?? undefined,
    memoryType: piece.memoryType ?? undefined,
  };
}

/** `EL1&0 0x7c440000 + 0x10000 (RealTimeClock, .text; EfiRuntimeServicesCode)` */
export function pieceText(regime: RegimeName, piece: Span): string {
  return `${regime} ${rangeText(piece.va, piece.size)} (${ownerText(piece)})`;
}

function ownerText({ owners, memoryType }: Span): string {
  const owner = owners.length === 0 ? "no image" : ownersText(owners);
  if (memoryType === undefined) return owner;
  return `${owner}; ${memoryType ?? "not in UEFI's memory map"}`;
}

/** Owners of one page that are told. */
const MOST_OWNERS = 3;

function ownersText(owners: readonly PageOwner[]): string {
  const told = owners
    .slice(0, MOST_OWNERS)
    .map(({ image, section }) => (section === null ? `${image}, headers` : `${image}, ${section}`));
  return told.join("; ") + (owners.length > MOST_OWNERS ? "; …" : "");
}

/** `RW+NX, EL0 X only, Normal WB RAWA, to 0x40000000` */
export function attributesText({ pa, attributes }: Piece): string {
  const { el0, memory } = attributes;
  const user = el0 === null ? "" : `, EL0 ${accessText(el0)}`;
  return `${accessText(attributes)}${user}, ${memory}, to ${hex(pa)}`;
}
