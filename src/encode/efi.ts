/** UEFI's tables at a point, as JSON. */
import type { EfiJson } from "../api/firmware.ts";
import { hex } from "../base/hex.ts";
import type { Names } from "../diagnose/names.ts";
import type { PointView } from "../diff/point-view.ts";
import { compareTables, type EfiTable, type EfiTables, fieldAt } from "../efi/tables.ts";
import { encodePlace } from "./fault.ts";
import { orNull } from "./walks.ts";

/** The tables of a point, and those of the first point of the capture where that is another. */
export interface ShownTables {
  readonly view: PointView;
  readonly tables: EfiTables;
  readonly first: { readonly point: string; readonly tables: EfiTables } | undefined;
}

/** As `show FILE efi --json` prints it. */
export function encodeEfi({ view, tables, first }: ShownTables, names: Names): EfiJson {
  const system = tables.tables.find(({ name }) => name === "SystemTable");
  return {
    point: view.point.id,
    firmware: {
      vendorAddress: orNull(system?.fields.get("FirmwareVendor")),
      revision: orNull(firmwareRevision(tables)),
    },
    tables: tables.tables.map((table) => encodeTable(table, tables, (address) => names.place(address, view))),
    configuration:
      tables.configuration?.map(({ guid, name, address }) => ({
        guid,
        name: name ?? null,
        place: encodePlace(names.place(address, view)),
      })) ?? null,
    changes: first === undefined ? null : { since: first.point, fields: encodeChanges(first.tables, tables) },
  };
}

function encodeTable(table: EfiTable, all: EfiTables, placeOf: (address: bigint) => ReturnType<Names["place"]>) {
  const { name, address, state } = table;
  return {
    name,
    variable: VARIABLES[name],
    address: address === 0n ? null : hex(address),
    state,
    pointer: orNull(pointerTo(table, all)),
    fields: fieldsOf(table).map(({ name: field, offset, value }) => ({
      name: field,
      offset: hex(offset),
      value: hex(value),
      place: isAddress(field, value) ? encodePlace(placeOf(value)) : null,
    })),
  };
}

function encodeChanges(before: EfiTables, after: EfiTables): NonNullable<EfiJson["changes"]>["fields"] {
  return compareTables(before, after).map((change) => ({
    name: change.name,
    kind: change.kind,
    before: orNull(change.before),
    after: orNull(change.after),
  }));
}

/** 32 bits wide; padding follows. */
export function firmwareRevision({ tables }: EfiTables): bigint | undefined {
  const field = tables.find(({ name }) => name === "SystemTable")?.fields.get("FirmwareRevision");
  return field === undefined ? undefined : field & 0xffff_ffffn;
}

/** What programs call a table, and how it is reached. */
export const VARIABLES: Readonly<Record<EfiTable["name"], string>> = {
  SystemTable: "gST",
  BootServices: "gBS",
  RuntimeServices: "gRT",
  ConIn: "gST->ConIn",
  ConOut: "gST->ConOut",
  StdErr: "gST->StdErr",
};

/** What the system table's own pointer to a table holds; undefined for the system table, or when it is not known. */
export function pointerTo({ name }: EfiTable, { tables }: EfiTables): bigint | undefined {
  return tables.find((each) => each.name === "SystemTable")?.fields.get(name);
}

export interface TableRow {
  readonly name: string;
  readonly offset: number;
  readonly value: bigint;
}

/** The fields of a table in the order of their offsets, without those of its header. */
export function fieldsOf(table: EfiTable): TableRow[] {
  const rows: TableRow[] = [];
  const last = table.fields.size;
  // Every field has 8 bytes, and nothing lies between them but the rest of the header.
  for (let offset = 0; rows.length < last && offset < MAX_TABLE_SIZE; offset += 8) {
    const name = fieldAt({ tables: [table], configuration: undefined }, table.address + BigInt(offset))?.field;
    const value = name === undefined ? undefined : table.fields.get(name);
    if (name !== undefined && value !== undefined && name !== SIGNATURE_FIELD) rows.push({ name, offset, value });
  }
  return rows;
}

/** Of a table that has a header. */
export const SIGNATURE_FIELD = "Hdr.Signature";
const MAX_TABLE_SIZE = 4096;

/** Fields that hold a number. */
const NUMBERS: ReadonlySet<string> = new Set(["FirmwareRevision", "NumberOfTableEntries", "Reserved"]);

export function isAddress(field: string, value: bigint): boolean {
  return value !== 0n && !NUMBERS.has(field);
}
