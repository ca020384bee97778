/** `mappings`: what has to be mapped, how, and what not. */

import type { Attributes } from "../../aarch64/attributes.ts";
import type { RegimeName } from "../../aarch64/regime-model.ts";
import type { Property } from "../../api/policy.ts";
import { printable } from "../../base/text.ts";
import { imageLabel } from "../../diff/owners.ts";
import type { PointView } from "../../diff/point-view.ts";
import type { Budget } from "../budget.ts";
import type { Owners } from "../owners.ts";
import { anyMatches } from "../pattern.ts";
import {
  attributesText,
  EVERYTHING,
  joined,
  lostComplaints,
  lostIn,
  type Piece,
  piecesIn,
  pieceText,
  rangeText,
  runsIn,
  whereOf,
} from "../pieces.ts";
import type { AddressRange, DemandOf, MemorySelector } from "../policy.ts";
import { cutsOf, Exceptions, NONE, type PointExceptions, selects } from "../selector.ts";
import { doubtsAt, regimesAt, type Subject } from "../subject.ts";
import { type Complaint, complaintsOf, type Outcome, outcome } from "../verdict.ts";
import { isOff } from "./mapping-words.ts";

interface Judged {
  readonly violations: readonly Complaint[];
  readonly undecided: readonly Complaint[];
}

export function mappingAssertion(subject: Subject, demand: DemandOf<"mappings">): Outcome {
  const { views, undecided } = subject.points(demand.at, ["before"]);
  const exceptions = new Exceptions(demand.except);
  const budget = subject.budget;
  const judged = views.flatMap((view): Judged[] => {
    const { names, undecided: notInUse } = regimesAt(view, demand.regimes);
    const doubts = { violations: [], undecided: [...doubtsAt(view), ...notInUse] };
    return [doubts, ...names.map((regime) => judge({ subject, view, regime, budget }, demand, exceptions))];
  });
  return outcome(
    judged.flatMap(({ violations }) => violations),
    [...undecided, ...judged.flatMap((each) => each.undecided)],
    exceptions.unused,
  );
}

/** A regime at a point. */
interface Scene {
  readonly subject: Subject;
  readonly view: PointView;
  readonly regime: RegimeName;
  readonly budget: Budget;
}

function judge(scene: Scene, demand: DemandOf<"mappings">, exceptions: Exceptions): Judged {
  const { subject, view, regime, budget } = scene;
  const owners = subject.owners(view, regime);
  const meant = meantBy(demand.selector, owners);
  if (meant.ranges.length === 0) return { violations: [], undecided: [nothingMeant(view, regime, demand.selector)] };
  const except = exceptions.at(view, regime);
  const map = view.mapAny(regime);
  budget.spend(meant.ranges.length * (map.lost.length + 1));
  const lost = new Set(meant.ranges.flatMap((range) => lostIn(map, range)));
  const notExcepted = [...lost].filter(({ start, pages }) => !except.coversRange(pageRange(start, pages)));
  const { violations, undecided } = judgePieces(scene, demand, meant, except);
  const unmapped = needsMapping(demand) ? meant.ranges.flatMap((range) => gaps(view, regime, range, except)) : [];
  return {
    violations: [...violations, ...unmapped],
    undecided: [...undecided, ...typesUnknown(view, owners, demand), ...lostComplaints(view, regime, notExcepted)],
  };
}

function judgePieces(
  { subject, view, regime, budget }: Scene,
  demand: DemandOf<"mappings">,
  { ranges, selector }: Meant,
  except: PointExceptions,
): Judged {
  const map = view.mapAny(regime);
  const owners = subject.owners(view, regime);
  const cuts = [...cutsOf([demand.selector]), ...except.cuts];
  const found = ranges.flatMap((range) => {
    const pieces = [...piecesIn({ map, owners, budget }, range, cuts)];
    return joined(pieces.filter((piece) => selects(selector, piece) && !except.covers(piece)));
  });
  const off = isOff(map.regime);
  const told = (of: (faults: Faults) => readonly string[]): Complaint[] => {
    const faulty = found.filter(({ attributes }) => of(faultsOf(attributes, demand)).length > 0);
    return complaintsOf(faulty, (piece) => complaint(view, regime, piece, of(faultsOf(piece.attributes, demand)), off));
  };
  return {
    violations: told(({ broken }) => broken),
    undecided: told(({ broken, unknown }) => (broken.length > 0 ? [] : unknown)),
  };
}

function pageRange(start: number, pages: number): AddressRange {
  return { start: BigInt(start) << 12n, end: BigInt(start + pages) << 12n };
}

/** The addresses that a selector is about, and what is left to be asked of what is mapped there. */
interface Meant {
  readonly ranges: readonly AddressRange[];
  readonly selector: MemorySelector;
}

/**
 * Images and sections are where they lie, whatever is mapped there: each page with a byte of theirs is meant. No range: the images are not
 * there.
 */
function meantBy(selector: MemorySelector, owners: Owners): Meant {
  const { ranges, images, sections, runtime } = selector;
  const ofNone = images?.some(({ text }) => text === NONE) ?? false;
  if ((images === undefined && sections === undefined && !runtime) || ofNone)
    return { ranges: ranges ?? [EVERYTHING], selector };
  const own = rangesOf(owners, selector);
  const rest = { ...selector, images: undefined, sections: undefined, runtime: false };
  return { ranges: ranges === undefined ? own : own.flatMap((each) => common(each, ranges)), selector: rest };
}

function rangesOf(owners: Owners, { images, sections, runtime }: MemorySelector): readonly AddressRange[] {
  const named = owners.images.filter(
    (image) => (!runtime || image.runtime) && (images === undefined || anyMatches(images, imageLabel(image))),
  );
  return named.flatMap((image) => {
    if (sections === undefined) return [paged(image.base, image.size)];
    const mine = image.sections.filter(({ name, size }) => size > 0 && anyMatches(sections, name));
    return mine.map(({ offset, size }) => paged(image.base + BigInt(offset), BigInt(size)));
  });
}

function common(range: AddressRange, others: readonly AddressRange[]): AddressRange[] {
  const touching = others.filter(({ start, end }) => start < range.end && end > range.start);
  return touching.map(({ start, end }) => ({ start: larger(start, range.start), end: -larger(-end, -range.end) }));
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function paged(start: bigint, size: bigint): AddressRange {
  return { start: start & ~0xfffn, end: (start + size + 0xfffn) & ~0xfffn };
}

function nothingMeant(view: PointView, regime: RegimeName, { images, sections }: MemorySelector): Complaint {
  const words = [...(images ?? []), ...(sections ?? [])].map(({ text }) => printable(text, 60)).join(", ");
  return {
    message: `no image at ${view.point.id} is, or has a section, called ${words}`,
    where: { point: view.point.id, regime },
    evidence: [],
  };
}

/** A memory type cannot be told without the memory map. */
function typesUnknown(view: PointView, owners: Owners, { selector }: DemandOf<"mappings">): Complaint[] {
  if (selector.types === undefined || owners.knowsTypes) return [];
  return [
    {
      message: "which memory is of which type is not known: the capture has no memory map",
      where: { point: view.point.id },
      evidence: [],
    },
  ];
}

/** Where nothing is mapped, nothing is known of owners and types but what the addresses tell. */
function needsMapping({ must, selector }: DemandOf<"mappings">): boolean {
  const byAddress = selector.ranges !== undefined || selector.images !== undefined || selector.sections !== undefined;
  return must.length > 0 && byAddress && selector.types === undefined;
}

/** Addresses of a range that are known not to be mapped. */
function gaps(view: PointView, regime: RegimeName, range: AddressRange, except: PointExceptions): Complaint[] {
  const map = view.mapAny(regime);
  const taken = [
    ...[...runsIn(map, range)].map(({ start, pages }) => pageRange(start, pages)),
    ...lostIn(map, range).map(({ start, pages }) => pageRange(start, pages)),
  ].sort((a, b) => (a.start < b.start ? -1 : 1));
  const found: AddressRange[] = [];
  let at = range.start & ~0xfffn;
  for (const { start, end } of taken) {
    if (start > at) found.push({ start: at, end: start });
    if (end > at) at = end;
  }
  if (at < range.end) found.push({ start: at, end: range.end });
  return found
    .filter((gap) => !except.coversRange(gap))
    .map(({ start, end }) => ({
      message: `${regime} ${rangeText(start, end - start)} is not mapped at ${view.point.id}`,
      where: { point: view.point.id, regime, va: start, size: end - start },
      evidence: [],
    }));
}

interface Faults {
  readonly broken: readonly string[];
  readonly unknown: readonly string[];
}

function faultsOf(attributes: Attributes, { must, mustNot, memory }: DemandOf<"mappings">): Faults {
  const [broken, unknown]: [string[], string[]] = [[], []];
  const judgeOne = (property: Property, wanted: boolean): void => {
    const is = PROPERTY_OF[property](attributes);
    if (is === null) unknown.push(`whether it is ${property} is not known`);
    else if (is !== wanted) broken.push(is ? `is ${property}` : `is not ${property}`);
  };
  for (const property of must) judgeOne(property, true);
  for (const property of mustNot) judgeOne(property, false);
  if (memory !== undefined && !anyMatches(memory, attributes.memory)) {
    if (attributes.memoryType.kind === "other") unknown.push("its memory type is not known");
    else broken.push(`is ${attributes.memory}`);
  }
  return { broken, unknown };
}

const PROPERTY_OF: Readonly<Record<Property, (attributes: Attributes) => boolean | null>> = {
  mapped: () => true,
  readable: ({ read }) => read,
  writable: ({ write }) => write,
  executable: ({ execute }) => execute,
  "el0-readable": ({ el0 }) => el0?.read ?? (el0 === null ? false : null),
  "el0-writable": ({ el0 }) => el0?.write ?? (el0 === null ? false : null),
  "el0-executable": ({ el0 }) => el0?.execute ?? (el0 === null ? false : null),
  normal: ({ memoryType: { kind } }) => (kind === "normal" || kind === "device" ? kind === "normal" : null),
  device: ({ memoryType: { kind } }) => (kind === "normal" || kind === "device" ? kind === "device" : null),
};

function complaint(
  view: PointView,
  regime: RegimeName,
  piece: Piece,
  faults: readonly string[],
  off: boolean,
): Complaint {
  return {
    message: `${pieceText(regime, piece)} ${faults.join(", ")} at ${view.point.id}${off ? ", where translation is off" : ""}`,
    where: whereOf(view, regime, piece),
    evidence: [attributesText(piece)],
  };
}
