/** Which mappings `show FILE mappings` lists. */
import type { Access, Permission } from "../aarch64/permissions.ts";
import { type Mapping, runMapping } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { phys, virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import { diffMappings } from "../diff/mappings.ts";
import { PointView } from "../diff/point-view.ts";
import type { Capture } from "../snapshot/model.ts";

export interface MappingFlags {
  /** Writable and executable, for one Exception level. */
  readonly wx?: boolean;
  readonly exec?: boolean;
  readonly device?: boolean;
  /** `START-END` or `START+SIZE`. */
  readonly range?: string;
  readonly changed?: boolean;
}

/** The mappings of one regime. */
export interface MappingList {
  readonly regime: RegimeName;
  readonly mappings: readonly Mapping[];
  /** How many there are without the filters. */
  readonly all: number;
}

const MAPPING_FLAGS = ["wx", "exec", "device", "range", "changed"] as const;

/** These flags say something about mappings only. */
export function refuseMappingFlags(flags: MappingFlags, shown: string): void {
  const given = MAPPING_FLAGS.find((flag) => flags[flag] !== undefined);
  if (given !== undefined) throw new EbscopeError("usage", `Cannot show ${shown} with --${given}: it is for mappings`);
}

export interface FilteredMappings {
  readonly lists: readonly MappingList[];
  /** The point that `--changed` compared with. */
  readonly compared: PointView | undefined;
}

/** The mappings of a point that all the flags let through. What cannot be told is let through, as it may be so. */
export function filterMappings(
  capture: Capture,
  view: PointView,
  names: readonly RegimeName[],
  flags: MappingFlags,
  addressOf: AddressReader,
): FilteredMappings {
  const range = flags.range === undefined ? undefined : parseRange(flags.range, addressOf);
  const compared = flags.changed ? neighbour(capture, view) : undefined;
  const lists = names.map((regime) => {
    const all = view.mapAny(regime).runs.map((run) => runMapping(regime, run));
    const candidates = compared === undefined ? all : changedPieces(view, compared, regime, all);
    const mappings = candidates.filter(
      (mapping) => (range === undefined || overlaps(mapping, range)) && passes(mapping, flags),
    );
    return { regime, mappings, all: all.length };
  });
  return { lists, compared };
}

function passes({ attributes }: Mapping, flags: MappingFlags): boolean {
  const { el0 } = attributes;
  const levels: readonly Access[] = el0 === null ? [attributes] : [attributes, el0];
  if (flags.wx && !levels.some(({ write, execute }) => may(write) && may(execute))) return false;
  if (flags.exec && !levels.some(({ execute }) => may(execute))) return false;
  return !flags.device || attributes.memoryType.kind === "device" || attributes.memoryType.kind === "other";
}

function may(permission: Permission): boolean {
  return permission !== false;
}

interface AddressRange {
  readonly start: bigint;
  /** Not included. */
  readonly end: bigint;
}

function overlaps({ va, size }: Mapping, { start, end }: AddressRange): boolean {
  return va < end && va + size > start;
}

/** The address that a text means: a number or a name; undefined when it means none, or several. */
export type AddressReader = (text: string) => bigint | undefined;

/** Names may have signs in them: the last sign with an address on both sides parts the two. */
function parseRange(text: string, addressOf: AddressReader): AddressRange {
  for (let i = text.length - 2; i > 0; i--) {
    if (text[i] !== "+" && text[i] !== "-") continue;
    const [start, other] = [addressOf(text.slice(0, i)), addressOf(text.slice(i + 1))];
    const end = text[i] === "+" && start !== undefined && other !== undefined ? start + other : other;
    if (start !== undefined && end !== undefined && end > start) return { start, end };
  }
  throw new EbscopeError("usage", `Cannot show the range ${JSON.stringify(printable(text, 60))}: it is none`, {
    next: "Give START-END (END not included) or START+SIZE, such as 0x40000000+0x1000 or DxeCore+0x1000.",
  });
}

/** The point before; for the first the one after. */
function neighbour(capture: Capture, view: PointView): PointView {
  const index = capture.points.indexOf(view.point);
  const other = capture.points[index === 0 ? 1 : index - 1];
  if (other === undefined) {
    throw new EbscopeError("no-such-point", "Cannot show what changed: the capture has one point only");
  }
  return new PointView(capture, other, view.cpu);
}

/** The parts of mappings that are others at the other point: both lists ascend, so one pass over them will do. */
function changedPieces(view: PointView, other: PointView, regime: RegimeName, all: readonly Mapping[]): Mapping[] {
  // A regime that is in use at one of them only maps nothing at the other; one in use at neither is compared as it is.
  const inUse = view.isLive(regime) || other.isLive(regime);
  const map = (each: PointView) => (inUse ? each.map(regime) : each.mapAny(regime));
  const changes = diffMappings(regime, map(other), map(view));
  let first = 0;
  return all.flatMap((mapping) => {
    while (first < changes.length && endOf(changes[first] as Extent) <= mapping.va) first++;
    const pieces: Mapping[] = [];
    for (let i = first; i < changes.length && (changes[i] as Extent).va < endOf(mapping); i++) {
      pieces.push(...intersection(mapping, changes[i] as Extent));
    }
    return pieces;
  });
}

interface Extent {
  readonly va: bigint;
  readonly size: bigint;
}

function endOf({ va, size }: Extent): bigint {
  return va + size;
}

function intersection(mapping: Mapping, change: Extent): Mapping[] {
  const skipped = change.va > mapping.va ? change.va - mapping.va : 0n;
  const start = mapping.va + skipped;
  const size = minimum(mapping.va + mapping.size, change.va + change.size) - start;
  if (size <= 0n) return [];
  return [{ ...mapping, va: virt(start), pa: phys(mapping.pa + skipped), size }];
}

function minimum(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
