/** Registers that differ between two runs, for people. */
import type { RegisterClass } from "../../aarch64/registers/index.ts";
import { hex } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { Across, At } from "../../diff/across/across.ts";
import type { RegisterAcross } from "../../diff/across/registers.ts";
import { limited } from "./mappings.ts";
import { style, table } from "./style.ts";

type Register = At<RegisterAcross>;

const ORDER: readonly RegisterClass[] = ["control", "exception", "timer", "debug", "other", "general"];
const ROWS = 14;
/** Names in a line. */
const NAMES = 8;

/** The registers whose values differ: ID registers in a line and general ones in another, unless all are asked for. */
export function registerLines(across: Across, all: boolean): string[] {
  const different = across.registers.filter(({ verdict }) => verdict === "different");
  if (different.length === 0) return [];
  const several = across.registers.some(({ cpus }) => cpus.a !== across.registers[0]?.cpus.a);
  const ordered = different.toSorted((a, b) => ORDER.indexOf(a.class) - ORDER.indexOf(b.class));
  const [ids, rest] = split(ordered, (each) => !all && isIdentification(each));
  const [general, others] = split(rest, (each) => !all && each.class === "general" && each.name !== "cpsr");
  const rows = [...others, ...(ids.length > FEW ? [] : ids)].map((each) => row(each, across.points, several));
  return [
    `${style.heading("Registers")}  ${different.length} with another value`,
    ...limited(rows, all ? Number.POSITIVE_INFINITY : ROWS, "register"),
    ...(ids.length > FEW ? [`  ${plural(ids.length, "ID register")}: ${names(ids.map(({ name }) => name))}`] : []),
    ...(general.length > 0 ? [`  general: ${generalText(general)}`] : []),
  ];
}

/** ID registers that are told one by one. */
const FEW = 4;
/** Registers that say what the machine implements. */
const IDENTIFICATION =
  /^(ID_|MVFR|CTR_|CLIDR_|CCSIDR|CCSIDR2|MIDR_|REVIDR_|DCZID_|PMCEID|AIDR_|ERRIDR_|GMID_|SMIDR_|PMMIR_)/;

function isIdentification({ name }: Register): boolean {
  return IDENTIFICATION.test(name);
}

function split<T>(list: readonly T[], test: (each: T) => boolean): [T[], T[]] {
  return [list.filter(test), list.filter((each) => !test(each))];
}

function row(register: Register, points: readonly string[], several: boolean): string[] {
  const { cpus, name } = register;
  const cpu = cpus.a === cpus.b ? `vCPU ${cpus.a}` : `vCPU ${cpus.a}/${cpus.b}`;
  return [
    ...(several ? [cpu] : []),
    printable(name, 40),
    `${valuesText(register)}${when(register, points)}`,
    fieldsText(register),
  ];
}

function when({ points: ids }: Register, points: readonly string[]): string {
  return ids.length === points.length ? "" : ` (at ${ids.join(", ")})`;
}

function valuesText({ values, places }: Register): string {
  const text = (side: "a" | "b"): string => {
    const [value, place] = [values[side], places[side]];
    if (value === undefined) return "?";
    return place === undefined ? hex(value) : `${hex(value)} (${printable(place, 120)})`;
  };
  return `${text("a")} → ${text("b")}`;
}

/** Fields of a register that are shown. */
const FIELDS = 4;
/** A field with a larger value is an address or a number that stands in the register's own value already. */
const LARGEST = 0xffffn;

function fieldsText({ fields }: Register): string {
  const telling = fields.filter(({ before, after }) => before <= LARGEST && after <= LARGEST);
  const texts = telling.slice(0, FIELDS).map(({ name, before, after }) => `${name} ${hex(before)} → ${hex(after)}`);
  const rest = telling.length - texts.length;
  return [...texts, ...(rest > 0 ? [style.quiet(`${plural(rest, "field")} more`)] : [])].join(", ");
}

function generalText(registers: readonly Register[]): string {
  const shown = registers.slice(0, NAMES).map((each) => `${printable(each.name, 20)} ${shortText(each)}`);
  const rest = registers.length - shown.length;
  return shown.join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

function shortText({ values, places }: Register): string {
  const text = (side: "a" | "b"): string =>
    printable(places[side] ?? (values[side] === undefined ? "?" : hex(values[side])), 60);
  return `${text("a")} → ${text("b")}`;
}

function names(list: readonly string[]): string {
  const rest = list.length - NAMES;
  return (
    list
      .slice(0, NAMES)
      .map((name) => printable(name, 40))
      .join(" ") + (rest > 0 ? ` and ${rest} more` : "")
  );
}

/** Registers that one stub has and the other does not: of the stub, not of the guest. */
export function offeredLines({ offered }: Across, all: boolean): string[] {
  return (["a", "b"] as const).flatMap((side) => {
    const list = offered[side];
    if (list.length === 0) return [];
    const told = all ? list.map((name) => printable(name, 40)).join(" ") : names(list);
    return [`${style.heading("Offered")}  ${plural(list.length, "register")} by the stub of ${side} only: ${told}`];
  });
}

/** Texts: registers of which it cannot be told, by the reason. */
export function unmatchedRegisters({ registers }: Across): string[] {
  const groups = new Map<string, string[]>();
  for (const { name, verdict, why } of registers) {
    if (verdict !== "unmatched" && verdict !== "unread") continue;
    const reason = why ?? "could not be read in one of them";
    groups.set(reason, [...(groups.get(reason) ?? []), name]);
  }
  return [...groups].map(([reason, list]) => `${names([...new Set(list)])}: ${printable(reason, 200)}`);
}

/** Values that depend on the run, and places that lie elsewhere: only for who asks for all. */
export function runLines({ registers, points }: Across): string[] {
  const rows = (verdict: string): string[][] =>
    registers
      .filter((each) => each.verdict === verdict)
      .map((each) => [printable(each.name, 40), `${valuesText(each)}${when(each, points)}`, each.why ?? ""]);
  const [run, moved] = [rows("run"), rows("moved")];
  return [
    ...(moved.length === 0 ? [] : [style.quiet("The same place, elsewhere"), ...table(moved)]),
    ...(run.length === 0 ? [] : [style.quiet("No difference: depends on the moment"), ...table(run)]),
  ];
}
