/** What happens to guests, as lines for people: each begins with its time and its guest, so that they can be picked by grep. */
import { accessText } from "../../aarch64/permissions.ts";
import type { BridgeEvent, EventKind } from "../../api/events.ts";
import type { FindingJson, SideJson } from "../../api/schemas.ts";
import { hex16, roughSize, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import { style, table } from "./style.ts";
import { writeLines } from "./writes.ts";

export interface EventOptions {
  /** Registers of all classes, and every run of mappings. */
  readonly all: boolean;
}

/** Classes whose changes are always listed, as `ebscope diff` does. */
const TELLING: readonly string[] = ["control", "exception"];
/** Runs of mappings that one event shows before the rest is counted. */
const MAX_RUNS = 8;
/** Characters of a message. */
const MAX_MESSAGE = 500;

/** None for what says nothing to people. */
export function renderEvent(event: BridgeEvent, options: EventOptions): string[] {
  const who = event.target ?? "bridge";
  const head = `${style.quiet(timeOf(event.time))}  ${printable(who, 40)}  `;
  return linesOf(event, options).map((line) => `${head}${line}`);
}

/** `11:22:33.444`, UTC as everywhere in ebscope. */
function timeOf(time: string): string {
  return printable(time.slice(11, 23), 12);
}

function linesOf(event: BridgeEvent, options: EventOptions): string[] {
  switch (event.kind) {
    case "bridge.started":
      return [];
    case "target.attached":
      return [attachedText(event.data)];
    case "target.stopped":
      return [style.heading(stoppedText(event.data))];
    case "target.resumed":
      return ["runs"];
    case "target.lost":
      return [style.bad(`lost: ${failureText(event.data)}`)];
    case "target.detached":
      return [event.data.running ? "let go, running" : "let go, standing still"];
    case "registers.changed":
      return registerLines(event.data.registers, options.all);
    case "mappings.changed":
      return mappingLines(event.data, options.all);
    case "blame.write":
      return writeLines(event.data, options.all);
    case "finding":
      return [findingText(event.data)];
    case "capture.started":
    case "capture.progress":
    case "capture.completed":
    case "capture.failed":
      return [`capture ${printable(event.capture ?? "", 40)} ${captureText(event)}`];
  }
}

type Data<K extends EventKind> = BridgeEvent<K>["data"];

function attachedText({ gdb, qemuVersion, cpus }: Data<"target.attached">): string {
  const qemu = qemuVersion === null ? "" : `QEMU ${printable(qemuVersion, 60)}, `;
  return `attached to ${printable(gdb, 200)}: ${qemu}${plural(cpus, "vCPU")}`;
}

const REASONS: Readonly<Record<Data<"target.stopped">["why"], string>> = {
  breakpoint: "at a breakpoint",
  interrupt: "when it was interrupted",
  step: "after a step",
  attach: "when it was attached to",
};

function stoppedText({ cpu, pc, why }: Data<"target.stopped">): string {
  return `stopped at ${pc === null ? "an unknown pc" : printable(pc, 20)} on vCPU ${cpu}, ${REASONS[why]}`;
}

function failureText({ code, message }: { readonly code: string; readonly message: string }): string {
  return `${printable(message, MAX_MESSAGE)} [${printable(code, 40)}]`;
}

type CaptureEvent = Extract<BridgeEvent, { readonly kind: `capture.${string}` }>;

function captureText({ kind, data }: CaptureEvent): string {
  switch (kind) {
    case "capture.started":
      return "began";
    case "capture.progress":
      return printable(data.text, MAX_MESSAGE);
    case "capture.completed": {
      const points = data.points.map((id) => printable(id, 40)).join(", ");
      return `is complete: ${points}${data.faulted ? style.bad("; the guest faulted") : ""}`;
    }
    case "capture.failed":
      return style.bad(`failed: ${failureText(data)}${data.partial ? "; what there was of it is kept" : ""}`);
  }
}

const MARKS: Readonly<Record<FindingJson["severity"], (text: string) => string>> = {
  error: (text) => style.bad(`✗ ${text}`),
  warning: (text) => style.warn(`! ${text}`),
  info: (text) => style.good(`· ${text}`),
};

function findingText({ severity, title, rule }: FindingJson): string {
  return `${MARKS[severity](printable(title, MAX_MESSAGE))}  ${style.quiet(printable(rule, 60))}`;
}

type Registers = Data<"registers.changed">["registers"];

function registerLines(registers: Registers, all: boolean): string[] {
  const listed = registers.filter((each) => all || TELLING.includes(each.class));
  const rows = listed.map(({ cpu, name, before, after, fields }) => [
    `vCPU ${cpu}`,
    printable(name, 40),
    `${valueText(before)} → ${valueText(after)}`,
    fieldsText(fields, all),
  ]);
  const rest = registers.filter((each) => !listed.includes(each));
  return [...table(rows, ""), ...(rest.length === 0 ? [] : [style.quiet(`${countsText(rest)} changed: --all`)])];
}

function valueText(value: string | null): string {
  return value === null ? "?" : printable(value, 80);
}

/** A field with a larger value is an address or a number, which stands in the register's own value already. */
const LONGEST_FIELD = "0xffff".length;

/** Fields shown of one register before the rest is counted. */
const MAX_FIELDS = 4;

function fieldsText(fields: Registers[number]["fields"], all: boolean): string {
  const texts = fields.flatMap(fieldText);
  const shown = all ? texts : texts.slice(0, MAX_FIELDS);
  const more = texts.length - shown.length;
  return [...shown, ...(more > 0 ? [style.quiet(`${plural(more, "field")} more`)] : [])].join(", ");
}

function fieldText({ name, before, after, meaning }: Registers[number]["fields"][number]): string[] {
  if (Math.max(before.length, after.length) > LONGEST_FIELD) return [];
  return [`${printable(name, 40)} ${printable(before)} → ${printable(after)} (${printable(meaning)})`];
}

/** `13 general, 1 timer registers` */
function countsText(registers: Registers): string {
  const counts = new Map<string, number>();
  for (const each of registers) counts.set(each.class, (counts.get(each.class) ?? 0) + 1);
  const parts = [...counts].map(([kind, count]) => `${count} ${printable(kind, 20)}`);
  return `${parts.join(", ")} register${registers.length === 1 ? "" : "s"}`;
}

type Mappings = Data<"mappings.changed">["mappings"];

function mappingLines({ mappings, complete }: Data<"mappings.changed">, all: boolean): string[] {
  const unknown = complete ? "" : style.warn("; not all is known or told");
  if (mappings.length === 0) return [`mappings: no change seen${unknown}`];
  const bytes = mappings.reduce((sum, { size }) => sum + BigInt(size), 0n);
  const pages = `${plural(bytes >> 12n, "page")} (${roughSize(bytes)})`;
  const shown = all ? mappings : mappings.slice(0, MAX_RUNS);
  const more = mappings.length - shown.length;
  return [
    `mappings: ${pages} changed in ${plural(mappings.length, "run")}${unknown}`,
    ...table(shown.map(mappingRow)),
    ...(more > 0 ? [style.quiet(`  … ${plural(more, "run")} more: --all`)] : []),
  ];
}

function mappingRow({ regime, kind, va, size, before, after }: Mappings[number]): string[] {
  return [regime, hex16(BigInt(va)), sizeText(BigInt(size)), kind, sidesText(before, after)];
}

/** What differs, access first: `RO+X → RWX, level 2 → 3`. */
function sidesText(before: SideJson | null, after: SideJson | null): string {
  if (before === null || after === null) return sideText(before ?? after);
  const parts = [
    changeText("", accessText(before), accessText(after)),
    changeText("EL0 ", el0Text(before), el0Text(after)),
    ...OTHERS.map((key) => changeText(`${key} `, String(before[key]), String(after[key]))),
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** The names are those of the JSON. */
const OTHERS = [
  "pa",
  "memory",
  "fetch",
  "shareability",
  "granule",
  "level",
  "contiguous",
  "accessFlag",
  "global",
  "guarded",
] as const satisfies readonly (keyof SideJson)[];

function sideText(side: SideJson | null): string {
  return side === null ? "" : `${accessText(side)} ${printable(side.memory, 60)}`;
}

function el0Text({ el0 }: SideJson): string {
  return el0 === null ? "none" : accessText(el0);
}

function changeText(what: string, before: string, after: string): string {
  return before === after ? "" : `${what}${printable(before, 60)} → ${printable(after, 60)}`;
}
