/** Registers and their changes as text. */
import { hostExtensions } from "../../aarch64/machine-state.ts";
import { type DecodedField, decodeFields, type RegisterClass, registerClass } from "../../aarch64/registers/index.ts";
import { hex } from "../../base/hex.ts";
import { littleEndianValue } from "../../base/registers.ts";
import { plural, printable } from "../../base/text.ts";
import { isKnownChange, type RegisterChange } from "../../diff/registers.ts";
import type { AuthorsText } from "../../report/blame-words.ts";
import { fieldChangeTexts } from "../../report/words.ts";
import { type Capture, type Point, pointRegisters } from "../../snapshot/model.ts";
import { byNotes } from "./by.ts";
import { style, table, withNotes } from "./style.ts";

/** Classes whose changes are always listed; the others are counted unless all is asked for. */
const TELLING: readonly RegisterClass[] = ["control", "exception"];

export function renderRegisterChanges(
  changes: readonly RegisterChange[],
  options: {
    readonly all: boolean;
    readonly vcpus: number;
    /** Who wrote; left out where nobody watched. */
    readonly by?: (changes: readonly RegisterChange[]) => AuthorsText;
  },
): string[] {
  const control = changes.filter((change) => change.class === "control" && isKnownChange(change));
  const unknown = changes.filter((change) => !isKnownChange(change));
  const verdict =
    control.length === 0
      ? style.good("no control register changed")
      : style.warn(`${plural(control.length, "control register")} changed`);
  const listed = options.all ? changes : changes.filter((change) => TELLING.includes(change.class));
  const ordered = [...listed].sort((a, b) => rank(a.class) - rank(b.class));
  const rows = ordered.map((change) => [
    ...(options.vcpus > 1 ? [`vCPU ${change.cpu}`] : []),
    nameText(change.name),
    `${value(change.before)} → ${value(change.after)}`,
    fieldChangesText(change, options.all),
  ]);
  const by = byNotes(
    ordered.map((change) => [change]),
    options.by,
  );
  const rest = changes.length - listed.length;
  return [
    `${style.heading("Registers")}  ${verdict}`,
    ...(unknown.length > 0
      ? [style.warn(`  ${plural(unknown.length, "register")} could not be read on one side`)]
      : []),
    ...withNotes(table(rows), by.each),
    ...by.all,
    ...(rest > 0
      ? [style.quiet(`  … ${countsText(changes.filter((change) => !listed.includes(change)))} more: --all`)]
      : []),
  ];
}

function rank(kind: RegisterClass): number {
  return ["control", "exception", "general", "timer", "debug", "other"].indexOf(kind);
}

function value(side: bigint | undefined): string {
  return side === undefined ? "?" : hex(side);
}

function countsText(changes: readonly RegisterChange[]): string {
  const counts = new Map<string, number>();
  for (const change of changes) counts.set(change.class, (counts.get(change.class) ?? 0) + 1);
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(", ");
}

/** Names come from the stub. */
function nameText(name: string): string {
  return printable(name, 40);
}

/** Fields shown of one register before the rest is counted. */
const MAX_FIELDS = 4;
/** `M 0x1 → 0x0 (disabled), …` */
function fieldChangesText(change: RegisterChange, all: boolean): string {
  const every = fieldChangeTexts(change);
  const texts = every.slice(0, all ? every.length : MAX_FIELDS);
  const more = every.length - texts.length;
  return [...texts, ...(more > 0 ? [style.quiet(`${plural(more, "field")} more`)] : [])].join(", ");
}

/** `show FILE registers` */
export function renderRegisters(
  capture: Capture,
  point: Point,
  options: { readonly cpu: number | undefined },
): string[] {
  return point.registers.flatMap((row, cpu) => {
    if (options.cpu !== undefined && cpu !== options.cpu) return [];
    const e2h = hostExtensions(pointRegisters(capture, point, cpu));
    const rows = capture.registers.map(({ name, stubName }, i) => {
      const read = row[i];
      const shown = read?.state === "present" ? hex(littleEndianValue(read.bytes)) : (read?.state ?? "not captured");
      const fields = read?.state === "present" ? decodeFields(name, littleEndianValue(read.bytes), { e2h }) : [];
      return {
        kind: registerClass(name),
        cells: [nameText(name), shown, fieldsText(fields, name === stubName ? "" : stubName)],
      };
    });
    const ordered = [...rows].sort((a, b) => rank(a.kind) - rank(b.kind));
    return [style.heading(`vCPU ${cpu}`), ...table(ordered.map(({ cells }) => cells))];
  });
}

/** The fields that are not zero; and the stub's own name where it is another. */
function fieldsText(fields: readonly DecodedField[], stubName: string): string {
  const set = fields.filter((field) => field.value !== 0n).map(({ name, value: bits }) => `${name}=${hex(bits)}`);
  return [...set, ...(stubName === "" ? [] : [style.quiet(`(${nameText(stubName)})`)])].join(" ");
}
