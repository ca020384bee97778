/** `show FILE efi` */
import { hex } from "../../base/hex.ts";
import { plural } from "../../base/text.ts";
import type { Names } from "../../diagnose/names.ts";
import { lineText, type Place } from "../../diagnose/place.ts";
import { compareTables, type EfiDifference, type EfiTable } from "../../efi/tables.ts";
import {
  fieldsOf,
  firmwareRevision,
  isAddress,
  pointerTo,
  type ShownTables,
  SIGNATURE_FIELD,
  VARIABLES,
} from "../../encode/efi.ts";
import { style, table } from "./style.ts";

export function renderEfiTables(shown: ShownTables, names: Names): string[] {
  const { tables, view, first } = shown;
  const place = (address: bigint): Place => names.place(address, view);
  return [
    `${style.heading("UEFI's tables")}  ${style.quiet(`at ${view.point.id}${firmwareText(shown)}`)}`,
    ...table(tables.tables.map((each) => stateCells(each, shown))),
    ...tables.tables.flatMap((each) => fieldLines(each, place)),
    ...configurationLines(shown, place),
    ...(first === undefined ? [] : changeLines(first.point, compareTables(first.tables, tables))),
  ];
}

function firmwareText({ tables }: ShownTables): string {
  const revision = firmwareRevision(tables);
  return revision === undefined ? "" : `, firmware revision ${hex(revision)}`;
}

function stateCells(each: EfiTable, { tables, first }: ShownTables): string[] {
  const { name, address } = each;
  const pointer = pointerTo(each, tables);
  const gone = pointer === 0n && address !== 0n;
  const moved = pointer !== undefined && pointer !== 0n && pointer !== address;
  const note = gone
    ? style.warn(`gST->${name} is 0 now`)
    : moved
      ? style.warn(
          `gST->${name} is ${hex(pointer)}, this is where it was${first === undefined ? "" : ` at ${first.point}`}`,
        )
      : "";
  return [VARIABLES[name], address === 0n ? "no pointer" : hex(address), stateText(each), note];
}

/** The protocols of the consoles have no signature: what is there later may be anything. */
function stateText({ state, fields }: EfiTable): string {
  switch (state) {
    case "valid":
      return fields.has(SIGNATURE_FIELD) ? style.good(state) : "no signature to check";
    case "zeroed":
    case "absent":
      return style.warn(state);
    case "damaged":
      return style.bad("damaged: its signature is wrong");
    case "unreadable":
      return style.warn("not captured, or not readable");
  }
}

/** A table that is all zeros has been said to be so. */
function fieldLines(each: EfiTable, place: (address: bigint) => Place): string[] {
  const rows = each.state === "zeroed" ? [] : fieldsOf(each);
  if (rows.length === 0) return [];
  const own = VARIABLES[each.name];
  return [
    style.heading(own),
    ...table(
      rows.map(({ name, offset, value }) => [
        `+0x${offset.toString(16).padStart(2, "0")}`,
        name,
        hex(value),
        isAddress(name, value) ? leadsTo(place(value), `${own}->${name}`) : "",
      ]),
    ),
  ];
}

/** What is known of a place; that it is what the field is for need not be said. */
function leadsTo(place: Place, own: string): string {
  const { symbol, image, section, memoryType } = place;
  const isOwn = symbol?.split(" or ").includes(own);
  const names = [isOwn ? undefined : symbol, image, section, lineText(place)];
  const known = names.filter((name) => name !== undefined);
  return known.length > 0 ? known.join(", ") : (memoryType ?? "");
}

function configurationLines({ tables: { configuration } }: ShownTables, place: (address: bigint) => Place): string[] {
  const title = style.heading("Configuration tables");
  if (configuration === undefined) return [`${title}  ${style.warn("could not be read")}`];
  const rows = configuration.map(({ guid, name, address }) => {
    const { memoryType, image } = place(address);
    return [guid, hex(address), memoryType ?? image ?? "", name ?? style.quiet("not known by name")];
  });
  return [`${title}  ${configuration.length}`, ...table(rows)];
}

function changeLines(since: string, changes: readonly EfiDifference[]): string[] {
  const title = `${style.heading("Changed")}  since ${since}`;
  if (changes.length === 0) return [`${title}: nothing`];
  const zeroed = changes.filter(({ name, after }) => name.startsWith("BootServices.") && after === 0n);
  const others = changes.filter((change) => !zeroed.includes(change));
  const rows = others.map(({ name, kind, before, after }) => {
    const none = kind === "unknown" ? "not known" : "none";
    return [name, `${before === undefined ? none : hex(before)} → ${after === undefined ? none : hex(after)}`];
  });
  const services = zeroed.length === 0 ? [] : [`  gBS: ${plural(zeroed.length, "field")} zeroed`];
  return [`${title}: ${plural(changes.length, "field")}`, ...services, ...table(rows)];
}
