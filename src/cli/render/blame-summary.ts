/** `blame FILE`: who wrote, in short; what is not known comes first. */
import { hex, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { PageRange } from "../../blame/index.ts";
import { systemWord } from "../../code/index.ts";
import type { StudiedBlame } from "../../diagnose/blame/studied.ts";
import type {
  BlameSummary,
  RangeSummary,
  RegisterSummary,
  SideChange,
  TableWriter,
} from "../../diagnose/blame/summary.ts";
import { writtenFields } from "../../diagnose/blame/written-fields.ts";
import { writerText } from "../../report/blame-words.ts";
import { fieldChangeTexts, mappingChangeText } from "../../report/words.ts";
import { WATCH_ENDED } from "../../snapshot/blame.ts";
import { style } from "./style.ts";

/** Who is listed. */
export const MAX_WRITERS = 40;
/** Writers of one register or range, and ranges of addresses and kinds of changes of one writer. */
const MAX_NAMED = 3;
/** Reasons why not all is known. */
const MAX_GAPS = 16;
const MAX_OPERATIONS = 8;

/** Events whose writers are named. */
export function namedEvents(summary: BlameSummary): readonly number[] {
  return [
    ...summary.tables.slice(0, MAX_WRITERS).flatMap(({ first, breakers }) => [first, ...breakers.slice(0, MAX_NAMED)]),
    ...summary.registers.slice(0, MAX_WRITERS).flatMap(({ writers }) => writers.slice(0, MAX_NAMED)),
    ...summary.ranges.flatMap(({ writers }) => writers.slice(0, MAX_NAMED)),
  ];
}

export function renderSummary(blame: StudiedBlame, summary: BlameSummary, file: string): string[] {
  return [
    ...heading(blame, file),
    ...gaps(blame, summary),
    "",
    ...tables(blame, summary),
    ...registers(blame, summary),
    ...summary.ranges.map((range) => rangeText(blame, range)),
    ...maintenance(summary, blame.record.maintenance),
    style.quiet("An address or a register behind FILE tells its story; --all lists every event."),
  ];
}

/** `Who wrote  before → after`, and what was watched. */
export function heading({ record, replay, ended }: StudiedBlame, file: string): string[] {
  const points = replay.points
    .map(({ point }) => replay.capture.points[point]?.id ?? "?")
    .map((id) => printable(id, 40));
  const until = ended === undefined ? "" : ` until ${printable(ended.point, 40)}`;
  const writes = record.sites.filter(({ word }) => systemWord(word)?.kind === "msr").length;
  const watched = [
    ...(record.tables ? [`page tables${until}`] : []),
    ...(writes > 0 ? [`${plural(writes, "instruction")} for System registers${until}`] : []),
    ...(writes < record.sites.length
      ? [
          `${record.sites.length - writes} of TLB and cache maintenance${record.maintenance ? "" : ", not all that there are"}${until}`,
        ]
      : []),
    ...record.ranges.map(
      ({ name, address, length }) => `${printable(name, 60)} (${hex(address)}, ${plural(length, "byte")})`,
    ),
  ];
  return [
    style.heading(`Who wrote   ${points.join(" → ") || "no point"}`),
    style.quiet(`${printable(file)}: watched: ${watched.join("; ") || "nothing"}`),
  ];
}

/** What was not seen, and what is not told. */
export function gaps(blame: StudiedBlame, { unseenTables, registers: written, ranges }: BlameSummary): string[] {
  const { record, replay, lapses } = blame;
  const unseen = [
    ...count(unseenTables, "change of a table", "changes of tables"),
    ...count(sum(written), "write of a register", "writes of registers"),
    ...count(sum(ranges), "write to watched memory", "writes to watched memory"),
  ];
  const told = new Set(replay.lapses.map((event) => Number(record.events[event]?.address)));
  const notes = record.notes.filter((note, i) => !told.has(i) && note !== WATCH_ENDED);
  const lines = [
    ...(record.tables ? [] : ["Page tables were not watched."]),
    ...lapses.map(({ event, why }) => `From event ${event} on not all was seen: ${why}`),
    ...(unseen.length === 0 ? [] : [`Nobody was seen to do: ${unseen.join(", ")}.`]),
    ...notes,
    ...replay.notes,
  ];
  const more = lines.length - MAX_GAPS;
  const shown = lines.slice(0, MAX_GAPS).map((line) => style.warn(`! ${printable(line, 500)}`));
  return more > 0 ? [...shown, style.warn(`! ${plural(more, "reason")} more`)] : shown;
}

function count(number: number, one: string, many: string): string[] {
  return number === 0 ? [] : [`${number.toLocaleString("en-US")} ${number === 1 ? one : many}`];
}

function sum(list: readonly { readonly unseen: number }[]): number {
  return list.reduce((all, { unseen }) => all + unseen, 0);
}

function tables(blame: StudiedBlame, { tables: writers }: BlameSummary): string[] {
  if (!blame.record.tables && writers.length === 0) return [];
  const writes = writers.reduce((all, each) => all + each.writes, 0);
  const title = style.heading("Page tables");
  if (writes === 0) return [`${title}  nobody was seen to write to them`, ""];
  return [
    `${title}  ${plural(writes, "write")} by ${plural(writers.length, "instruction")}`,
    ...writers.slice(0, MAX_WRITERS).flatMap((writer) => tableWriter(blame, writer)),
    ...rest(writers.length, "instruction"),
    "",
  ];
}

function tableWriter(blame: StudiedBlame, writer: TableWriter): string[] {
  const { first, writes, silent, replaced, breakers, ranges, changes } = writer;
  const kinds = changes.slice(0, MAX_NAMED).map(changeWords);
  const changed = kinds.length === 0 ? "" : `${kinds.join(", ")}${changes.length > kinds.length ? ", …" : ""}`;
  const broken = breakers.slice(0, MAX_NAMED).map((event) => writerText(blame.writers.of(event)));
  const parts = [
    ...(changed === "" ? [] : [changed]),
    ...(silent === 0 ? [] : [silent === writes ? "no translation changed" : `${silent} changed no translation`]),
    ...(replaced === 0
      ? []
      : [`${replaced} by break-before-make${broken.length === 0 ? "" : `, broken by ${broken.join(" and ")}`}`]),
  ];
  return [
    `  ${writerText(blame.writers.of(first))}`,
    `      ${plural(writes, "write")}: ${parts.join("; ")}`,
    ...(ranges.length === 0 ? [] : [style.quiet(`      ${rangesText(ranges)}`)]),
  ];
}

function changeWords({ before, after }: SideChange): string {
  const kind = before === null ? "added" : after === null ? "removed" : before.pa === after.pa ? "changed" : "moved";
  return before === null && after === null ? "not mapped before and after" : mappingChangeText({ kind, before, after });
}

function rangesText(ranges: readonly PageRange[]): string {
  const shown = ranges
    .slice(0, MAX_NAMED)
    .map(({ start, pages }) => `${hex(BigInt(start) << 12n)} ${sizeText(BigInt(pages) << 12n)}`);
  const more = ranges.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${plural(more, "range")} more` : shown.join(", ");
}

function registers(blame: StudiedBlame, { registers: written }: BlameSummary): string[] {
  if (blame.record.sites.length === 0 && written.length === 0) return [];
  const title = style.heading("Registers");
  if (written.length === 0) return [`${title}  nobody was seen to write one`, ""];
  const vcpus = blame.replay.capture.threads.length;
  return [
    `${title}  ${plural(written.length, "register")} written`,
    ...written.slice(0, MAX_WRITERS).flatMap((each) => registerLines(blame, each, vcpus)),
    ...rest(written.length, "register"),
    "",
  ];
}

function registerLines(blame: StudiedBlame, register: RegisterSummary, vcpus: number): string[] {
  const { cpu, name, writes, unseen, before, after, ranges, writers } = register;
  const fields = fieldChangeTexts({ fields: writtenFields(blame.replay.capture, register) }).slice(0, MAX_NAMED);
  const values = before === after ? `${text(after)}, as it was` : `${text(before)} → ${text(after)}`;
  const what = [
    `${plural(writes, "write")}`,
    ...(unseen === 0 ? [] : [style.warn(`${unseen} that nobody was seen to make`)]),
  ];
  const where = vcpus > 1 ? `vCPU ${cpu}  ` : "";
  return [
    `  ${where}${printable(name, 40)}  ${what.join(" and ")}: ${values}${fields.length === 0 ? "" : `  ${fields.join(", ")}`}`,
    ...(writers.length === 0 ? [] : [style.quiet(`      by ${writersText(blame, writers)}`)]),
    ...(ranges.length === 0 ? [] : [style.quiet(`      translated otherwise: ${rangesText(ranges)}`)]),
  ];
}

function text(value: bigint | undefined): string {
  return value === undefined ? "?" : hex(value);
}

function writersText(blame: StudiedBlame, writers: readonly number[]): string {
  const names = writers.slice(0, MAX_NAMED).map((event) => writerText(blame.writers.of(event)));
  const more = writers.length - names.length;
  return [...names, ...(more > 0 ? [`${more} more`] : [])].join("; ");
}

function rangeText(blame: StudiedBlame, { range, writes, unseen, writers }: RangeSummary): string {
  const title = style.heading(printable(range.name, 60));
  const nobody =
    unseen === 0 ? "" : style.warn(`; ${count(unseen, "change", "changes").join("")} that nobody was seen to make`);
  const by = writers.length === 0 ? "" : ` by ${writersText(blame, writers)}`;
  return `${title}  ${writes === 0 ? "nobody was seen to write there" : `${plural(writes, "write")}${by}`}${nobody}`;
}

function maintenance({ maintenance: operations }: BlameSummary, watched: boolean): string[] {
  if (!watched && operations.size === 0) return [];
  const names = [...operations].slice(0, MAX_OPERATIONS).map(([name, number]) => `${name} ×${number}`);
  const more = operations.size - names.length;
  const list = [...names, ...(more > 0 ? [`${more} kinds more`] : [])].join(", ");
  return [`${style.heading("Maintenance")}  ${list || "none was seen"}`];
}

function rest(number: number, noun: string): string[] {
  return number > MAX_WRITERS ? [style.quiet(`  … ${plural(number - MAX_WRITERS, noun)} more: --all`)] : [];
}
