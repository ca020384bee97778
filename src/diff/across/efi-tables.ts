/** UEFI's tables of two runs: whose functions they name, and which configuration tables there are. */
import type { ConfigurationEntry } from "../../efi/configuration.ts";
import type { EfiTables } from "../../efi/tables.ts";
import type { PointKind } from "../../snapshot/model.ts";
import { both, type Two } from "./side.ts";
import { compareValues, type PointPair } from "./values.ts";

export interface EfiAcross {
  /** `BootServices.Stall`, `ConfigurationTable[EFI_ACPI_TABLE_GUID]`. */
  readonly name: string;
  /** Undefined when there is none. */
  readonly values: Two<bigint | undefined>;
  readonly verdict: "different" | "unmatched";
  readonly why: string | undefined;
  readonly places: Two<string | undefined>;
}

export interface TablesAcross {
  readonly differences: readonly EfiAcross[];
  /** Fields and configuration tables that both have. */
  readonly compared: number;
  /** Tables that could be read in one of them only, or in neither. */
  readonly unread: readonly string[];
}

/** Points at which all that lay in memory of boot services may be something else by now (UEFI 2.10, 7.2, table "Memory Type Usage after ExitBootServices()"). */
const REUSED: ReadonlySet<PointKind> = new Set(["fault", "later"]);
const LASTING = /^(SystemTable|RuntimeServices)\./;

/** Undefined where a capture has no tables for its point. */
export function compareEfiTables(pair: PointPair): TablesAcross | undefined {
  const { a, b } = {
    a: pair.sides.a.tables.get(pair.views.a.point.id),
    b: pair.sides.b.tables.get(pair.views.b.point.id),
  };
  if (a === undefined || b === undefined) return undefined;
  const reused = REUSED.has(pair.views.a.point.kind) || REUSED.has(pair.views.b.point.kind);
  const fields = fieldPairs({ a, b }).filter(({ name }) => !reused || LASTING.test(name));
  const entries = entryPairs({ a, b });
  const differences = [...fields, ...(entries ?? [])].flatMap(({ name, values }) => compareOne(pair, name, values));
  return { differences, compared: fields.length + (entries?.length ?? 0), unread: unreadTables({ a, b }) };
}

interface Named {
  readonly name: string;
  readonly values: Two<bigint | undefined>;
}

/** Counts and addresses of what is compared itself. */
const LEFT_OUT: ReadonlySet<string> = new Set(["SystemTable.NumberOfTableEntries", "SystemTable.ConfigurationTable"]);

function fieldPairs({ a, b }: Two<EfiTables>): Named[] {
  return a.tables.flatMap((table) => {
    const other = b.tables.find(({ name }) => name === table.name);
    return [...table.fields].flatMap(([field, value]) => {
      const name = `${table.name}.${field}`;
      const theirs = other?.fields.get(field);
      return theirs === undefined || LEFT_OUT.has(name) ? [] : [{ name, values: { a: value, b: theirs } }];
    });
  });
}

/** Undefined when they could not be read in both. */
function entryPairs({ a, b }: Two<EfiTables>): Named[] | undefined {
  if (a.configuration === undefined || b.configuration === undefined) return undefined;
  const all = [...a.configuration, ...b.configuration];
  const names = new Map(all.map(({ guid, name }) => [guid, name ?? guid]));
  return [...names].map(([guid, name]) => ({
    name: `ConfigurationTable[${name}]`,
    values: { a: addressOf(a.configuration, guid), b: addressOf(b.configuration, guid) },
  }));
}

function addressOf(entries: readonly ConfigurationEntry[] | undefined, guid: string): bigint | undefined {
  return entries?.find((entry) => entry.guid === guid)?.address;
}

/** Tables that are compared themselves. */
const POINTERS = new Set(
  ["RuntimeServices", "BootServices", "ConIn", "ConOut", "StdErr"].map((name) => `SystemTable.${name}`),
);

/** That a field names a function does not say which one it is: names that come from these tables do not count. */
function compareOne(pair: PointPair, name: string, values: Two<bigint | undefined>): EfiAcross[] {
  const { a, b } = values;
  const there = both(values, (value) => value !== undefined && value !== 0n);
  if (a === undefined || b === undefined || there.a !== there.b) {
    if (a === b) return [];
    return [{ name, values, verdict: "different", why: undefined, places: placesOf(pair, values) }];
  }
  if (POINTERS.has(name)) return [];
  const { verdict, why, places, memory } = compareValues(pair, { a, b }, { pointer: true, unnamed: true });
  // The field, or the GUID, says that it is the same data; where a pool had room for it says nothing.
  const data = verdict === "unmatched" && memory === true;
  return verdict === "different" || (verdict === "unmatched" && !data) ? [{ name, values, verdict, why, places }] : [];
}

function placesOf({ sides, views }: PointPair, { a, b }: Two<bigint | undefined>): Two<string | undefined> {
  return {
    a: a === undefined ? undefined : sides.a.names.place(a, views.a).image,
    b: b === undefined ? undefined : sides.b.names.place(b, views.b).image,
  };
}

function unreadTables({ a, b }: Two<EfiTables>): readonly string[] {
  const unread = [...a.tables, ...b.tables].filter(({ state }) => state === "unreadable").map(({ name }) => name);
  const entries = a.configuration === undefined || b.configuration === undefined ? ["ConfigurationTable"] : [];
  return [...new Set([...unread, ...entries])];
}
