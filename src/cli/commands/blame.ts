/** `ebscope blame FILE [WHAT]` */
import type { RegimeName } from "../../aarch64/regime-model.ts";
import { CONTROL_REGISTERS } from "../../aarch64/registers/index.ts";
import { EbscopeError } from "../../base/error.ts";
import { hex16 } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import type { StudiedBlame } from "../../diagnose/blame/studied.ts";
import { type BlameSubject, eventsOf, subjectNamed } from "../../diagnose/blame/subject.ts";
import { summarize } from "../../diagnose/blame/summary.ts";
import { typedNote } from "../../diagnose/place.ts";
import type { Study } from "../../diagnose/study.ts";
import { encodeBlame } from "../../encode/blame.ts";
import { addressIn } from "../address.ts";
import { EXIT } from "../exit-code.ts";
import { jsonListText, printData, printStream } from "../output.ts";
import { byText, eventText } from "../render/blame-event.ts";
import { cpuOf, renderStory, toldEvents } from "../render/blame-story.ts";
import { gaps, heading, namedEvents, renderSummary } from "../render/blame-summary.ts";
import { style } from "../render/style.ts";
import { openStudy, regimeNamed, type SymbolFlags, viewOf } from "./open.ts";

export interface BlameFlags extends SymbolFlags {
  /** A name of an address, in the place of the argument. */
  readonly at?: string;
  readonly regime?: string;
  readonly cpu?: number;
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function blameCommand(file: string, argument: string | undefined, flags: BlameFlags): Promise<number> {
  if (argument !== undefined && flags.at !== undefined) {
    throw new EbscopeError("usage", "Cannot tell what to look at: give one address or register, or --at NAME");
  }
  const study = await openStudy(file, flags);
  const { blame } = study;
  if (blame === undefined) {
    throw new EbscopeError("no-blame", `Cannot tell who wrote: ${printable(file)} has no record of writes`);
  }
  const subject = subjectOf(study, blame, argument ?? flags.at, flags);
  if (flags.json) await printStream(jsonListText(await encodeBlame(blame, subject)));
  else if (subject.kind !== "all") await printStory(study, blame, subject, flags.all ?? false);
  else if (flags.all) await printAll(blame, file);
  else {
    const summary = summarize(blame);
    await blame.writers.learn(namedEvents(summary));
    printData(`${renderSummary(blame, summary, file).join("\n")}\n`);
  }
  return EXIT.done;
}

function subjectOf(study: Study, blame: StudiedBlame, text: string | undefined, flags: BlameFlags): BlameSubject {
  const { cpu } = flags;
  const regime: RegimeName | undefined = flags.regime === undefined ? undefined : regimeNamed(flags.regime);
  const [point] = study.capture.points;
  if (point !== undefined) viewOf(study.capture, point, cpu);
  if (text === undefined) {
    if (regime === undefined && cpu === undefined) return { kind: "all" };
    throw new EbscopeError(
      "usage",
      "Cannot look at a regime or vCPU alone: --regime and --cpu go with an address or register",
    );
  }
  const named = subjectNamed(blame, study.capture, text);
  if (named?.kind === "register") return { ...named, cpu };
  return named ?? { kind: "address", va: addressIn(study, text, { regime }), regime, cpu };
}

type Story = Exclude<BlameSubject, { kind: "all" }>;

async function printStory(study: Study, blame: StudiedBlame, subject: Story, all: boolean): Promise<void> {
  const events = eventsOf(blame, subject);
  await blame.writers.learn(toldEvents(events, all));
  await printStream(storyText(study, blame, subject, events, all));
}

function* storyText(
  study: Study,
  blame: StudiedBlame,
  subject: Story,
  events: readonly number[],
  all: boolean,
): Generator<string> {
  yield `${style.heading(titleOf(study, blame, subject))}\n`;
  for (const line of warnings(blame, subject)) yield `${style.warn(`! ${printable(line, 500)}`)}\n`;
  yield* renderStory(blame, subject, events, all);
  const writes = events.filter((index) => !SILENT.has(blame.record.events[index]?.kind ?? ""));
  if (writes.length === 0 && isWatched(blame, subject)) yield `${NOTHING_SEEN[subject.kind]}\n`;
}

const SILENT: ReadonlySet<string> = new Set(["point", "lapse", "maintenance", "use"]);

const NOTHING_SEEN = {
  address: "Nobody was seen to change how it translates.",
  register: "Nobody was seen to write it.",
  range: "Nobody was seen to write there.",
} as const;

function titleOf({ names, capture }: Study, blame: StudiedBlame, subject: Story): string {
  if (subject.kind === "register") return printable(subject.name, 40);
  if (subject.kind === "range") {
    const { name, address, length } = subject.range;
    return `${printable(name, 60)}  ${hex16(address)}, ${length} bytes`;
  }
  const point = capture.points[blame.replay.points[0]?.point ?? 0];
  const view = point === undefined ? undefined : viewOf(capture, point, cpuOf(blame, subject));
  return `${hex16(subject.va)}  ${typedNote(names.place(subject.va, view, subject.regime))}`;
}

/** What was not watched at all, and why what is told may not be all. */
function warnings(blame: StudiedBlame, subject: Story): string[] {
  const { replay, lapses } = blame;
  const what = subject.kind === "register" ? "Writes of it" : "Page tables";
  const unwatched = isWatched(blame, subject) ? [] : [`${what} were not watched.`];
  const lapsed = lapses.length === 0 ? [] : ["Not all was seen from where it says so on."];
  return [...unwatched, ...lapsed, ...replay.notes];
}

/** Of registers, those that control the machine are: by the instructions that write them, where any were found. */
function isWatched({ record, replay }: StudiedBlame, subject: Story): boolean {
  if (subject.kind === "address") return record.tables;
  if (subject.kind === "range") return true;
  const { name } = subject;
  return (
    (record.sites.length > 0 && CONTROL_REGISTERS.includes(name)) || replay.registers.some((each) => each.name === name)
  );
}

/** Every event in order, a line each. */
async function printAll(blame: StudiedBlame, file: string): Promise<void> {
  const summary = summarize(blame);
  await blame.writers.learn(blame.record.events.keys());
  await printStream(allText(blame, [...heading(blame, file), ...gaps(blame, summary), ""]));
}

function* allText(blame: StudiedBlame, head: readonly string[]): Generator<string> {
  for (const line of head) yield `${line}\n`;
  const several = blame.replay.capture.threads.length > 1;
  for (const [index, { cpu }] of blame.record.events.entries()) {
    const by = byText(blame, index);
    const where = several ? `vCPU ${cpu}  ` : "";
    yield `#${index}  ${where}${eventText(blame, index)}${by === "" ? "" : `  ${by}`}\n`;
  }
}
