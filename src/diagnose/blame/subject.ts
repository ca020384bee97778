/** What of a record is asked for, and the events that tell of it. */
import type { RegimeName } from "../../aarch64/regime-model.ts";
import { CONTROL_REGISTERS } from "../../aarch64/registers/index.ts";
import { tlbiScope } from "../../aarch64/tlbi.ts";
import type { VirtAddr } from "../../base/address.ts";
import type { Effect, PageRange } from "../../blame/index.ts";
import { PointView } from "../../diff/point-view.ts";
import type { BlameEvent, WatchedRange } from "../../snapshot/blame.ts";
import type { Capture } from "../../snapshot/model.ts";
import type { StudiedBlame } from "./studied.ts";

export type BlameSubject =
  | { readonly kind: "all" }
  /** What translates an address, and what was written there if it was watched. */
  | {
      readonly kind: "address";
      readonly va: bigint;
      /** Those that execute at the points unless one is named. */
      readonly regime?: RegimeName | undefined;
      /** That of the first point unless told. */
      readonly cpu?: number | undefined;
    }
  | { readonly kind: "register"; readonly name: string; readonly cpu?: number | undefined }
  | { readonly kind: "range"; readonly range: WatchedRange };

/** The watched range or the register of this name (in any case); undefined when there is none. */
export function subjectNamed(
  { record, replay }: StudiedBlame,
  capture: Capture,
  text: string,
): Extract<BlameSubject, { kind: "register" | "range" }> | undefined {
  const plain = text.replaceAll(" ", "");
  const range = record.ranges.find(({ name }) => name === text || name === plain);
  if (range !== undefined) return { kind: "range", range };
  const wanted = text.toUpperCase();
  const names = [
    CONTROL_REGISTERS,
    capture.registers.map(({ name }) => name),
    replay.registers.map(({ name }) => name),
  ];
  const name = names.flat().find((each) => each.toUpperCase() === wanted);
  return name === undefined ? undefined : { kind: "register", name };
}

/** Indices of the events that tell of it, ascending; points and lapses always do. */
export function eventsOf(blame: StudiedBlame, subject: BlameSubject): readonly number[] {
  const tells = subject.kind === "all" ? () => true : teller(blame, subject);
  const found: number[] = [];
  for (const [index, event] of blame.record.events.entries()) {
    if (event.kind === "point" || event.kind === "lapse" || tells(event, index)) found.push(index);
  }
  return found;
}

type Teller = (event: BlameEvent, index: number) => boolean;

function teller(blame: StudiedBlame, subject: Exclude<BlameSubject, { kind: "all" }>): Teller {
  switch (subject.kind) {
    case "register": {
      const { name, cpu } = subject;
      return (event, index) =>
        isAny(event, "register", "unseen-register") &&
        blame.byEvent.register(index)?.name === name &&
        (cpu === undefined || event.cpu === cpu);
    }
    case "range": {
      const { range } = subject;
      return (event) => isMemory(event) && touches(range, event.address);
    }
    case "address":
      return addressTeller(blame, subject);
  }
}

function addressTeller(blame: StudiedBlame, subject: Extract<BlameSubject, { kind: "address" }>): Teller {
  const covers = translates(blame, subject);
  const page = pageOf(subject.va);
  /** What the entry translates that was changed last. */
  let entry: PageRange = { start: page, pages: 1 };
  return (event, index) => {
    if (isMemory(event)) return event.address <= subject.va && subject.va < event.address + 8n;
    if (event.kind === "use") return pageOf(event.address as VirtAddr) === entry.start;
    if (event.kind === "maintenance") return invalidates(blame, event, index, covers.regimes, entry);
    const effect = blame.byEvent.effects(index).find(covers.effect);
    if (effect !== undefined && effect.size > 0n)
      entry = { start: pageOf(effect.va), pages: Number(effect.size >> 12n) };
    return effect !== undefined;
  };
}

/** Which effects change the translation of an address. */
export function translates(
  { replay }: Pick<StudiedBlame, "replay">,
  { va, regime, cpu }: Extract<BlameSubject, { kind: "address" }>,
): { readonly regimes: ReadonlySet<RegimeName>; readonly effect: (effect: Effect) => boolean } {
  const { capture, points } = replay;
  const views = points.flatMap(({ point }) => {
    const taken = capture.points[point];
    return taken === undefined
      ? []
      : [new PointView(capture, taken, cpu ?? capture.points[points[0]?.point ?? 0]?.cpu)];
  });
  const regimes = new Set(regime === undefined ? views.map(({ currentRegime }) => currentRegime) : [regime]);
  const vcpu = views[0]?.cpu ?? 0;
  const page = pageOf(va);
  return {
    regimes,
    effect: (effect) =>
      regimes.has(effect.regime) &&
      effect.cpus.includes(vcpu) &&
      effect.ranges.some(({ start, pages }) => page >= start && page < start + pages),
  };
}

/** Numbers of 4 KiB pages of all 2^64 bytes are exact. */
function pageOf(va: bigint): number {
  return Number(va >> 12n);
}

/** A TLBI that takes what the entry translates. */
function invalidates(
  { replay }: StudiedBlame,
  { address, new: value = 0n }: BlameEvent,
  index: number,
  regimes: ReadonlySet<RegimeName>,
  entry: PageRange,
): boolean {
  const { level, e2h, tge } = replay.mode(index);
  const scope = level === undefined ? undefined : tlbiScope(Number(address & 0xffffn), value, { level, e2h, tge });
  if (scope === undefined || !scope.regimes.some((name) => regimes.has(name)) || scope.kind === "ipa") return false;
  if (scope.va === undefined) return true;
  const start = pageOf(BigInt.asUintN(64, scope.va));
  const pages = scope.size === undefined ? 1 : Number(scope.size >> 12n);
  return start < entry.start + entry.pages && entry.start < start + pages;
}

export function isAny(event: BlameEvent, ...kinds: readonly BlameEvent["kind"][]): boolean {
  return kinds.includes(event.kind);
}

function isMemory(event: BlameEvent): boolean {
  return isAny(event, "memory", "unseen-memory");
}

/** Whether a range has a byte of the doubleword at an address. */
export function touches({ address, length }: WatchedRange, doubleword: bigint): boolean {
  return doubleword + 8n > address && doubleword < address + BigInt(length);
}
