/** The story of an address, a register or watched memory: who changed it, in order, and what it was at the points in between. */

import { virt } from "../../base/address.ts";
import { hex, hex16 } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { StudiedBlame } from "../../diagnose/blame/studied.ts";
import { type BlameSubject, translates } from "../../diagnose/blame/subject.ts";
import type { WriterFrame } from "../../diagnose/blame/writers.ts";
import { placeNote } from "../../diagnose/place.ts";
import { PointView } from "../../diff/point-view.ts";
import { outcomeText } from "../../report/words.ts";
import type { BlameEvent } from "../../snapshot/blame.ts";
import { pointRegisters } from "../../snapshot/model.ts";
import { byText, concernText, eventText, type Watched } from "./blame-event.ts";
import { style, table } from "./style.ts";

/** Events told unless all are asked for: the first ones and the last ones. */
const FIRST_EVENTS = 30;
const LAST_EVENTS = 10;
/** Frames of one chain. */
const MAX_FRAMES = 16;

type Subject = Exclude<BlameSubject, { kind: "all" }>;

/** The events whose writers the story names. */
export function toldEvents(events: readonly number[], all: boolean): readonly number[] {
  if (all || events.length <= FIRST_EVENTS + LAST_EVENTS) return events;
  return [...events.slice(0, FIRST_EVENTS), ...events.slice(-LAST_EVENTS)];
}

/** `events`: those that tell of the subject. */
export function* renderStory(
  blame: StudiedBlame,
  subject: Subject,
  events: readonly number[],
  all: boolean,
): Generator<string> {
  const watched = subject.kind === "address" ? watchedAddress(blame, subject) : undefined;
  const told = toldEvents(events, all);
  for (const [i, event] of told.entries()) {
    if (told.length < events.length && i === FIRST_EVENTS) {
      yield `${style.quiet(`  … ${plural(events.length - told.length, "event")} more: --all`)}\n`;
    }
    for (const line of eventLines(blame, event, subject, { watched, all })) yield `${line}\n`;
  }
}

function watchedAddress(blame: StudiedBlame, subject: Extract<Subject, { kind: "address" }>): Watched {
  return { va: subject.va, concerns: translates(blame, subject).effect };
}

function eventLines(
  blame: StudiedBlame,
  index: number,
  subject: Subject,
  { watched, all }: { readonly watched: Watched | undefined; readonly all: boolean },
): string[] {
  const { record, replay, byEvent, writers } = blame;
  const event = record.events[index] as BlameEvent;
  if (event.kind === "point") return pointLines(blame, index, subject, watched);
  const where = replay.capture.threads.length > 1 ? `vCPU ${event.cpu}  ` : "";
  const change = byEvent.change(index);
  const other = change?.kind === "replaced" ? change.events.find((each) => each !== index) : undefined;
  const by = byText(blame, index);
  // Maintenance changes nothing: who did it is enough.
  const frames = event.kind === "maintenance" && !all ? [] : (writers.of(index)?.chain?.frames ?? []);
  return [
    `${style.heading(`#${index}`)}  ${where}${eventText(blame, index, watched)}`,
    ...(other === undefined ? [] : [style.quiet(`    break-before-make, with #${other}`)]),
    ...(by === "" ? [] : [`    ${by}`]),
    ...frameLines(frames),
  ];
}

function frameLines(frames: readonly WriterFrame[]): string[] {
  const rows = frames.slice(0, MAX_FRAMES).map(({ place, trust, doubts }, i) => {
    const doubt = trust === "sure" ? [] : [trust, ...doubts];
    return [`#${i}`, hex16(place.address), placeNote(place), style.quiet(printable(doubt.join("; "), 200))];
  });
  const more = frames.length - rows.length;
  return [...table(rows, "      "), ...(more > 0 ? [style.quiet(`      … ${plural(more, "frame")} more`)] : [])];
}

/** How it stood at a point, and what was found there that nobody was seen to do. */
function pointLines(blame: StudiedBlame, index: number, subject: Subject, watched: Watched | undefined): string[] {
  const { capture } = blame.replay;
  const point = capture.points[Number(blame.record.events[index]?.address)];
  if (point === undefined) return [];
  const found = blame.byEvent.effects(index).filter((effect) => watched?.concerns(effect) === true);
  const title = style.heading(`point ${printable(point.id, 40)}`);
  const [text = "", ...unseen] = [
    stateText(blame, new PointView(capture, point, cpuOf(blame, subject)), subject),
    ...found.map((effect) => `    ${style.warn(concernText(effect, watched as Watched, blame.watchedTables(index)))}`),
  ];
  return [`${title}${text === "" ? "" : `  ${text}`}`, ...unseen];
}

/** The vCPU that was asked for, else that of the first point. */
export function cpuOf({ replay }: StudiedBlame, subject: Subject): number {
  const asked = subject.kind === "range" ? undefined : subject.cpu;
  return asked ?? replay.capture.points[replay.points[0]?.point ?? 0]?.cpu ?? 0;
}

function stateText({ replay }: StudiedBlame, view: PointView, subject: Subject): string {
  switch (subject.kind) {
    case "address":
      return outcomeText(view.translator(subject.regime ?? view.currentRegime).translate(virt(subject.va)).result);
    case "register":
      return registerValues(view, subject.name, subject.cpu, replay.capture.threads.length);
    case "range":
      return "";
  }
}

/** Of the vCPU that was asked for, else of all, in order. */
function registerValues({ capture, point }: PointView, name: string, cpu: number | undefined, vcpus: number): string {
  const cpus = cpu === undefined ? Array.from({ length: vcpus }, (_, i) => i) : [cpu];
  const values = cpus.slice(0, 8).map((each) => {
    const value = pointRegisters(capture, point, each).get(name);
    return value === undefined ? "not known" : hex(value);
  });
  return `${printable(name, 40)} ${values.join(", ")}${cpus.length > values.length ? ", …" : ""}`;
}
