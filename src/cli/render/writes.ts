/** Writes that a capture records, as they are told: one row an instruction, or one a write. */
import type { BridgeEvent, WriteJson } from "../../api/events.ts";
import { plural, printable } from "../../base/text.ts";
import { style, table } from "./style.ts";

/** Instructions that one event shows before the rest is counted. */
const MAX_ROWS = 8;

/** `all`: every write. */
export function writeLines({ writes, total }: BridgeEvent<"blame.write">["data"], all: boolean): string[] {
  const sum = `${plural(writes.length, "write")}, ${total.toLocaleString("en-US")} until now`;
  if (writes.length === 0) return [`writes are only counted now: ${total.toLocaleString("en-US")}`];
  if (all) return [sum, ...table(writes.map(writeRow))];
  const counts = new Map<string, { readonly write: WriteJson; count: number }>();
  for (const write of writes) {
    const key = `${write.kind} ${write.name} ${write.pc}`;
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { write, count: 1 });
    else known.count++;
  }
  const rows = [...counts.values()].sort((a, b) => b.count - a.count);
  const more = rows.length - MAX_ROWS;
  return [
    sum,
    ...table(rows.slice(0, MAX_ROWS).map(({ write, count }) => [`${count}×`, whatText(write), whoText(write)])),
    ...(more > 0 ? [style.quiet(`  … ${plural(more, "instruction")} more: --all`)] : []),
  ];
}

function writeRow(write: WriteJson): string[] {
  const { cpu, address, old } = write;
  const values = `${valueText(old)} → ${valueText(write.new)}`;
  return [`vCPU ${cpu}`, whatText(write), address === null ? "" : printable(address, 20), values, whoText(write)];
}

function whatText({ kind, name }: WriteJson): string {
  return name === null ? kind : printable(name, 60);
}

function whoText({ pc, image }: WriteJson): string {
  if (pc === null) return "nobody was seen";
  return printable(image ?? pc, 80);
}

function valueText(value: string | null): string {
  return value === null ? "?" : printable(value, 20);
}
