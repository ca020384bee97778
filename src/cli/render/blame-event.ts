/** An event of a record of writes in words. */
import type { RegimeName } from "../../aarch64/regime-model.ts";
import { systemNameOf } from "../../aarch64/registers/index.ts";
import { hex, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { Effect } from "../../blame/index.ts";
import type { StudiedBlame } from "../../diagnose/blame/studied.ts";
import { touches } from "../../diagnose/blame/subject.ts";
import { writtenFields } from "../../diagnose/blame/written-fields.ts";
import type { MappingChange } from "../../diff/mappings.ts";
import { writerText } from "../../report/blame-words.ts";
import { fieldChangeTexts, mappingChangeText } from "../../report/words.ts";
import { type BlameEvent, WATCH_ENDED } from "../../snapshot/blame.ts";
import { style } from "./style.ts";

/** The one address whose translation is looked at. */
export interface Watched {
  readonly va: bigint;
  readonly concerns: (effect: Effect) => boolean;
}

/** Fields and runs that are told of one event. */
const MAX_PARTS = 4;

/** `L3 entry at 0x7c201000: 0x7be0070f → 0x7be0078f`, and what that changed. */
export function eventText(blame: StudiedBlame, index: number, watched?: Watched): string {
  const { record, replay, byEvent } = blame;
  const event = record.events[index] as BlameEvent;
  const { kind, address, old, new: now } = event;
  const effects = effectsText(byEvent.effects(index), watched, blame.watchedTables(index));
  switch (kind) {
    case "point":
      return join(`point ${printable(replay.capture.points[Number(address)]?.id ?? "?")}`, effects);
    case "table":
    case "unseen-table":
      return join(`${tableText(blame, index)}: ${valuesText(old, now)}`, effects || silentText(event));
    case "register":
    case "unseen-register":
      return join(registerText(blame, index), effects);
    case "memory":
    case "unseen-memory": {
      const range = record.ranges.find((each) => touches(each, address));
      return `${printable(range?.name ?? "memory", 60)} at ${hex(address)}: ${valuesText(old, now)}`;
    }
    case "maintenance":
      return `${systemNameOf(Number(address & 0xffffn))}${now === undefined ? "" : ` ${hex(now)}`}`;
    case "use":
      return `a load or store through the mapping of ${hex(address)}, before maintenance was seen`;
    case "table-found":
      return join(`${hex(address)} is a table`, effects);
    case "lapse":
      return lapseText(record.notes[Number(address)] ?? "");
  }
}

function lapseText(why: string): string {
  return why === WATCH_ENDED ? style.quiet(why) : style.warn(`From here on not all was seen: ${printable(why, 500)}`);
}

const UNSEEN: ReadonlySet<BlameEvent["kind"]> = new Set(["unseen-table", "unseen-register", "unseen-memory"]);
const NOBODYS: ReadonlySet<BlameEvent["kind"]> = new Set(["point", "lapse", "table-found"]);

/** `by flip_execute+0x28 …`; empty for what nobody does. */
export function byText({ record, writers }: StudiedBlame, index: number): string {
  const { kind } = record.events[index] as BlameEvent;
  if (NOBODYS.has(kind)) return "";
  return UNSEEN.has(kind) ? style.warn("by nobody who was seen") : `by ${writerText(writers.of(index))}`;
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join("; ");
}

function tableText({ byEvent, record }: StudiedBlame, index: number): string {
  const event = record.events[index] as BlameEvent;
  const level = byEvent.effects(index).find((effect) => effect.level !== undefined)?.level;
  return `${level === undefined ? "table entry" : `level ${level} entry`} at ${hex(event.address)}`;
}

function silentText({ old, new: now }: BlameEvent): string {
  return old === now ? "the value that it had" : "no translation changes";
}

function valuesText(old: bigint | undefined, now: bigint | undefined): string {
  return `${old === undefined ? "?" : hex(old)} → ${now === undefined ? "?" : hex(now)}`;
}

function registerText({ byEvent, replay }: StudiedBlame, index: number): string {
  const write = byEvent.register(index);
  if (write === undefined) return "a register";
  const fields = fieldChangeTexts({ fields: writtenFields(replay.capture, write) });
  const more = fields.length > MAX_PARTS ? [`${fields.length - MAX_PARTS} fields more`] : [];
  const what = `${printable(write.name, 40)} ${valuesText(write.before, write.after)}`;
  return join(what, [...fields.slice(0, MAX_PARTS), ...more].join(", "));
}

function effectsText(effects: readonly Effect[], watched: Watched | undefined, seeing: boolean): string {
  if (watched !== undefined)
    return effects
      .filter(watched.concerns)
      .map((each) => concernText(each, watched, seeing))
      .join("; ");
  const texts = effects.flatMap((effect) => (effect.ranges.length === 0 ? [] : effectTexts(effect, seeing)));
  const more = texts.length - MAX_PARTS;
  return [...texts.slice(0, MAX_PARTS), ...(more > 0 ? [`${plural(more, "run")} more`] : [])].join("; ");
}

function effectTexts(effect: Effect, seeing: boolean): string[] {
  if (!effect.told) return [`${unseenText(effect, seeing)}what changes is not known`];
  return effect
    .changes()
    .map((change) => `${unseenText(effect, seeing)}${placeText(change)}: ${mappingChangeText(change)}`);
}

function placeText({ regime, va, size }: MappingChange): string {
  return `${regimeText(regime)}${hex(va)} ${sizeText(size)}`;
}

function regimeText(regime: RegimeName): string {
  return regime === "stage2" ? "stage 2 " : "";
}

/** What became of the one address. */
export function concernText(effect: Effect, { va }: Watched, seeing: boolean): string {
  if (!effect.told) return `${unseenText(effect, seeing)}whether it changed its translation is not known`;
  const change = effect.changes().find((each) => va >= each.va && va < each.va + each.size);
  return `${unseenText(effect, seeing)}${change === undefined ? "its translation changed" : mappingChangeText(change)}`;
}

/** `nobody was seen to do it: `; `seeing`: whether anybody would have been. */
function unseenText({ seen }: Effect, seeing: boolean): string {
  if (seen) return "";
  return seeing ? "nobody was seen to do it: " : "not watched, found here: ";
}
