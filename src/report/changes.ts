/** The section about what changed from one point to the other. */
import { registerClass } from "../aarch64/registers/index.ts";
import { hex, hex16, roughSize, sizeText } from "../base/hex.ts";
import { plural } from "../base/text.ts";
import type { DifferenceAuthors } from "../diagnose/blame/authors.ts";
import { type Difference, type EfiChange, isCall, type OwnedMappingChange } from "../diff/diff.ts";
import { isKnownChange, type RegisterChange } from "../diff/registers.ts";
import { authorsText } from "./blame-words.ts";
import { type Block, type Column, columns, data, more, type Section, type Tone, table, text } from "./document.ts";
import {
  changeCounts,
  changesByImage,
  fieldChangeTexts,
  mappingChangeText,
  mappingOwnerText,
  pageCount,
} from "./words.ts";

/** `id`: of the section, for links to it. `authors`: who made the changes; undefined for a capture without a record of it. */
export function changesSection(difference: Difference, id = "changes", authors?: DifferenceAuthors): Section {
  const { before, after } = difference;
  return {
    id,
    title: `What changed from ${before.point.id} to ${after.point.id}`,
    blocks: [
      { kind: "heading", spans: ["Mappings"] },
      ...mappingBlocks(difference, authors),
      { kind: "heading", spans: ["Registers"] },
      ...registerBlocks(difference, authors),
      ...gapBlocks(authors),
      { kind: "heading", spans: ["Translation tables"] },
      ...tableBlocks(difference),
      ...efiBlocks(difference.efi),
    ],
  };
}

function judged(tone: Tone, words: string): Block {
  return { kind: "text", tone, spans: [words] };
}

const RUN_COLUMNS = columns("Regime", "Address", "Size", "Change", "Whose");
/** Beside each change: who made it. */
const BY: Column = { name: "By", prose: true };

type By = DifferenceAuthors["mappings"] | undefined;

function byColumn(by: By | DifferenceAuthors["registers"]): readonly Column[] {
  return by === undefined ? [] : [BY];
}

function byCell(by: By, changes: readonly OwnedMappingChange[]): string[] {
  return by === undefined ? [] : [authorsText(changes.map((change) => by.get(change))).text];
}

/** Why the authors may not be all. */
function gapBlocks(authors: DifferenceAuthors | undefined): Block[] {
  const gaps = authors?.gaps ?? [];
  return gaps
    .slice(0, MAX_SHOWN)
    .map((gap): Block => ({ kind: "text", tone: "warning", spans: ["Who wrote: ", data(gap)] }));
}

function mappingBlocks(difference: Difference, authors: DifferenceAuthors | undefined): Block[] {
  const { mappings, coverage } = difference;
  const gaps = coverage.length === 0 ? "" : ` ${plural(coverage.length, "part")} of the tables not known: see below.`;
  if (mappings.length === 0) {
    return [gaps === "" ? text("No mapping changed.") : judged("warning", `No change was seen.${gaps}`)];
  }
  const unexpected = mappings.filter(({ expected }) => expected === null);
  const expected = mappings.filter((change) => change.expected !== null);
  const pages = pageCount(mappings);
  return [
    text(`${plural(pages, "page")} (${roughSize(pages << 12n)}) changed in ${plural(mappings.length, "run")}.${gaps}`),
    ...(isCall(difference) ? [judgement(unexpected, coverage.length === 0)] : []),
    ...unexpectedBlocks(unexpected, authors?.mappings),
    ...expectedBlocks(expected, authors?.mappings),
  ];
}

/** `whole`: everything is known of both sides. */
function judgement(unexpected: readonly OwnedMappingChange[], whole: boolean): Block {
  if (unexpected.length === 0) {
    const which = whole ? "Each of them is" : "Those that were seen are";
    return judged(whole ? "good" : "info", `${which} what ExitBootServices is known to do.`);
  }
  const pages = plural(pageCount(unexpected), "page");
  return judged("warning", `${pages} in ${plural(unexpected.length, "run")}: not what it is known to do.`);
}

/** Runs that stand in the open. */
const MAX_SHOWN = 24;

function unexpectedBlocks(changes: readonly OwnedMappingChange[], by: By): Block[] {
  const rows = changes.map((change) => runRow(change, by));
  const names = [...RUN_COLUMNS, ...byColumn(by)];
  return [
    ...(rows.length > MAX_SHOWN ? [text(`The first ${MAX_SHOWN} of ${rows.length} runs:`)] : []),
    ...table(names, rows.slice(0, MAX_SHOWN)),
    ...more("The other runs", table(names, rows.slice(MAX_SHOWN))),
  ];
}

function runRow(change: OwnedMappingChange, by: By): string[] {
  const { regime, va, size } = change;
  const cells = [regime, hex16(va), sizeText(size), mappingChangeText(change), mappingOwnerText(change)];
  return [...cells, ...byCell(by, [change])];
}

/** What is expected, by image; its runs on demand. */
function expectedBlocks(changes: readonly OwnedMappingChange[], by: By): Block[] {
  const rules = new Map(changes.map(({ expected }) => [expected?.rule ?? "", expected?.why ?? ""]));
  const rows = [...changesByImage(changes)].map(([image, group]) => [
    image,
    plural(pageCount(group), "page"),
    changeCounts(group),
    ...byCell(by, group),
  ]);
  return [
    ...[...rules].map(([rule, why]) => text("Expected, by the rule ", data(rule), `: ${why}.`)),
    ...table([...columns("Image", "Pages", "Change (pages)"), ...byColumn(by)], rows),
    ...more(
      `All ${plural(changes.length, "expected run")}`,
      table(
        [...RUN_COLUMNS, ...byColumn(by)],
        changes.map((change) => runRow(change, by)),
      ),
    ),
  ];
}

const TELLING: ReadonlySet<string> = new Set(["control", "exception"]);

function registerBlocks({ registers, capture }: Difference, authors: DifferenceAuthors | undefined): Block[] {
  const control = registers.filter((change) => change.class === "control" && isKnownChange(change));
  const unknown = registers.filter((change) => !isKnownChange(change));
  const telling = registers.filter((change) => TELLING.has(change.class));
  const others = registers.filter((change) => !TELLING.has(change.class));
  const several = capture.threads.length > 1;
  return [
    control.length === 0
      ? judged("good", "No control register changed.")
      : judged("warning", `${plural(control.length, "control register")} changed.`),
    ...(unknown.length === 0 ? [] : [text(`${plural(unknown.length, "register")} could not be read on one side.`)]),
    ...registerTable(telling, several, authors?.registers),
    ...more(`${plural(others.length, "other register")}`, registerTable(others, several)),
  ];
}

function registerTable(
  changes: readonly RegisterChange[],
  several: boolean,
  by?: DifferenceAuthors["registers"],
): readonly Block[] {
  const names = [...columns(...(several ? ["vCPU"] : []), "Register", "Before", "After")];
  return table(
    [...names, { name: "Fields", prose: true }, ...byColumn(by)],
    changes.map((change) => [
      ...(several ? [String(change.cpu)] : []),
      change.name,
      value(change.before),
      value(change.after),
      registerClass(change.name) === "general" ? "" : fieldChangeTexts(change).join(", "),
      ...(by === undefined ? [] : [authorsText([by.get(change)]).text]),
    ]),
  );
}

function value(side: bigint | undefined): string {
  return side === undefined ? "not known" : hex(side);
}

function tableBlocks({ tables }: Difference): Block[] {
  if (tables.length === 0) return [text("No table page changed.")];
  const counts = (["added", "removed", "changed"] as const)
    .map((kind) => [kind, tables.filter((each) => each.kind === kind).length] as const)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  const rows = tables.map(({ regime, pa, kind }) => [regime, hex(pa), kind]);
  return [
    text(`${plural(tables.length, "table page")}: ${counts.join(", ")}.`),
    ...more("All of them", table(columns("Regime", "Page", "Change"), rows)),
  ];
}

const SERVICES = "BootServices.";

/** Pointers that became NULL are told by name; the fields of the zeroed services table by their number. */
function efiBlocks(changes: readonly EfiChange[]): Block[] {
  if (changes.length === 0) return [];
  const zeroed = changes.filter(({ before, after }) => after === 0n && before !== undefined);
  const services = zeroed.filter(({ name }) => name.startsWith(SERVICES));
  const pointers = zeroed.filter((change) => !services.includes(change)).map(({ name }) => name);
  const rest = changes.filter((change) => !zeroed.includes(change));
  const unknown = rest.filter((change) => !isKnown(change) && !isEntry(change));
  const rows = (list: readonly EfiChange[]): string[][] =>
    list.map(({ name, before, after }) => [name, value(before), value(after)]);
  const names = columns("Field", "Before", "After");
  return [
    { kind: "heading", spans: ["UEFI tables"] },
    ...(services.length === 0
      ? []
      : [text(`The boot services table was zeroed: ${plural(services.length, "field")}.`)]),
    ...(pointers.length === 0 ? [] : [text("NULL now: ", data(pointers.join(", ")))]),
    ...table(names, rows(rest.filter((change) => !unknown.includes(change)))),
    ...(unknown.length === 0 ? [] : [text(`Not known on a side: ${plural(unknown.length, "field")}.`)]),
    ...more("All of those", table(names, rows(unknown))),
    ...more(
      `All ${plural(zeroed.length, "field")} that became 0`,
      zeroed.length === 0 ? [] : table(names, rows(zeroed)),
    ),
  ];
}

function isKnown({ before, after }: EfiChange): boolean {
  return before !== undefined && after !== undefined;
}

/** A configuration table can come and go: it is not unknown where it is not. */
function isEntry({ name }: EfiChange): boolean {
  return name.startsWith("ConfigurationTable[");
}
