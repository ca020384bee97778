/**
 * UEFI's tables with everything they point at: the system table, boot and runtime services, the console protocols, the configuration
 * tables. Two points of a capture are compared by them, and functions without symbols have their names from them.
 *
 * ExitBootServices NULLs the pointers to boot services and consoles (7.4.6), SetVirtualAddressMap makes those to runtime services
 * virtual (8.4.1). So what is read again later is read where it was: `known` holds the addresses from before.
 */
import type { PhysMemory } from "../base/memory.ts";
import type { Structure } from "./bytes.ts";
import { type ConfigurationEntry, readConfigurationTables } from "./configuration.ts";
import { readStructures } from "./memory.ts";
import {
  BOOT_SERVICES_FIELDS,
  BOOT_SERVICES_SIGNATURE,
  NO_FUNCTIONS,
  RUNTIME_SERVICES_FIELDS,
  RUNTIME_SERVICES_SIGNATURE,
  SYSTEM_TABLE_FIELDS,
  SYSTEM_TABLE_SIGNATURE,
  type TableField,
  TEXT_INPUT_FIELDS,
  TEXT_OUTPUT_FIELDS,
} from "./structures.ts";

export type TableName = "SystemTable" | "BootServices" | "RuntimeServices" | "ConIn" | "ConOut" | "StdErr";

export interface EfiTable {
  readonly name: TableName;
  /** Where it lies; 0 when the system table had no pointer to it. */
  readonly address: bigint;
  /** `damaged`: it has a header, whose signature is wrong. */
  readonly state: "valid" | "zeroed" | "damaged" | "absent" | "unreadable";
  /** Its 64-bit fields by name; empty when it is absent or unreadable. */
  readonly fields: ReadonlyMap<string, bigint>;
}

export interface EfiTables {
  readonly tables: readonly EfiTable[];
  /** Undefined when they cannot be read. */
  readonly configuration: readonly ConfigurationEntry[] | undefined;
}

interface Layout {
  readonly fields: readonly TableField[];
  readonly signature?: bigint;
}

const SIGNATURE_FIELD: TableField = { name: "Hdr.Signature", offset: 0 };

const LAYOUTS: Readonly<Record<TableName, Layout>> = {
  SystemTable: { fields: [SIGNATURE_FIELD, ...SYSTEM_TABLE_FIELDS], signature: SYSTEM_TABLE_SIGNATURE },
  BootServices: { fields: [SIGNATURE_FIELD, ...BOOT_SERVICES_FIELDS], signature: BOOT_SERVICES_SIGNATURE },
  RuntimeServices: { fields: [SIGNATURE_FIELD, ...RUNTIME_SERVICES_FIELDS], signature: RUNTIME_SERVICES_SIGNATURE },
  ConIn: { fields: TEXT_INPUT_FIELDS },
  ConOut: { fields: TEXT_OUTPUT_FIELDS },
  StdErr: { fields: TEXT_OUTPUT_FIELDS },
};

/** Tables that the system table points at; where boot services are, the roots of a capture tell too. */
const POINTED_AT = ["RuntimeServices", "ConIn", "ConOut", "StdErr"] as const;

/**
 * Reads all tables. `roots` are the addresses from before the exit; `known` is what was read then: a table that it found is read at the
 * same address again. Two batches and one read.
 */
export async function readEfiTables(
  memory: PhysMemory,
  roots: { readonly systemTable: bigint; readonly bootServices: bigint },
  known?: EfiTables,
): Promise<EfiTables> {
  const [system, boot] = await readTables(memory, [
    ["SystemTable", roots.systemTable],
    ["BootServices", roots.bootServices],
  ]);
  const addressOf = (name: TableName): bigint =>
    known?.tables.find((table) => table.name === name && table.address !== 0n)?.address ??
    system?.fields.get(name) ??
    0n;
  const others = await readTables(
    memory,
    POINTED_AT.map((name) => [name, addressOf(name)]),
  );
  const tables = [system, boot, ...others].filter((table) => table !== undefined);
  return { tables, configuration: await readConfiguration(memory, system) };
}

async function readConfiguration(
  memory: PhysMemory,
  system: EfiTable | undefined,
): Promise<readonly ConfigurationEntry[] | undefined> {
  const configurationTable = system?.fields.get("ConfigurationTable");
  const configurationEntries = system?.fields.get("NumberOfTableEntries");
  if (system?.state !== "valid" || configurationTable === undefined || configurationEntries === undefined) {
    return undefined;
  }
  return readConfigurationTables(memory, { configurationTable, configurationEntries });
}

async function readTables(
  memory: PhysMemory,
  wanted: readonly (readonly [name: TableName, address: bigint])[],
): Promise<EfiTable[]> {
  const present = wanted.filter(([, address]) => address !== 0n);
  const reads = await readStructures(
    memory,
    present.map(([name, address]) => ({ address, length: sizeOf(LAYOUTS[name]) })),
  );
  const inOrder = reads.values();
  return wanted.map(([name, address]) => {
    if (address === 0n) return { name, address, state: "absent", fields: new Map() };
    return tableOf(name, address, inOrder.next().value);
  });
}

function sizeOf({ fields }: Layout): number {
  return (fields.at(-1)?.offset ?? 0) + 8;
}

function tableOf(name: TableName, address: bigint, bytes: Structure | undefined): EfiTable {
  if (bytes === undefined) return { name, address, state: "unreadable", fields: new Map() };
  const { fields, signature } = LAYOUTS[name];
  const zeroed = bytes.bytes.every((byte) => byte === 0);
  const damaged = signature !== undefined && bytes.u64(0) !== signature;
  return {
    name,
    address,
    state: zeroed ? "zeroed" : damaged ? "damaged" : "valid",
    fields: new Map(fields.map((field) => [field.name, bytes.u64(field.offset)])),
  };
}

/** One difference between the tables of two points. */
export interface EfiDifference {
  /** `BootServices.Stall`, `ConOut.OutputString`, `ConfigurationTable[EFI_ACPI_TABLE_GUID]`. */
  readonly name: string;
  /** `unknown`: one side could not be read. */
  readonly kind: "changed" | "added" | "removed" | "unknown";
  /** Undefined when there is none, or when it is not known. */
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
}

/** What changed in the tables, field by field and configuration table by configuration table. */
export function compareTables(before: EfiTables, after: EfiTables): EfiDifference[] {
  const fields = before.tables.flatMap((old) => {
    const now = after.tables.find(({ name }) => name === old.name);
    const names = [...new Set([...old.fields.keys(), ...(now?.fields.keys() ?? [])])];
    return names.map((name) => difference(`${old.name}.${name}`, old.fields.get(name), now?.fields.get(name)));
  });
  return [...fields.filter((each) => each !== undefined), ...compareConfiguration(before, after)];
}

function difference(name: string, before: bigint | undefined, after: bigint | undefined): EfiDifference | undefined {
  if (before === after) return undefined;
  return { name, kind: before === undefined || after === undefined ? "unknown" : "changed", before, after };
}

/** Compares by GUID: the order may change. A GUID that stands there twice counts once, with its first address. */
function compareConfiguration(before: EfiTables, after: EfiTables): EfiDifference[] {
  const [old, now] = [before.configuration, after.configuration];
  if (old === undefined || now === undefined) return [];
  const find = (entries: readonly ConfigurationEntry[], guid: string) => entries.find((entry) => entry.guid === guid);
  const guids = new Map([...old, ...now].map(({ guid, name }) => [guid, name ?? guid]));
  return [...guids].flatMap(([guid, label]) => {
    const name = `ConfigurationTable[${label}]`;
    const [a, b] = [find(old, guid)?.address, find(now, guid)?.address];
    if (a === b) return [];
    return [{ name, kind: a === undefined ? "added" : b === undefined ? "removed" : "changed", before: a, after: b }];
  });
}

const SHORT: Readonly<Record<TableName, string>> = {
  SystemTable: "gST",
  BootServices: "gBS",
  RuntimeServices: "gRT",
  ConIn: "gST->ConIn",
  ConOut: "gST->ConOut",
  StdErr: "gST->StdErr",
};

const MAX_NAMES = 3;

/**
 * The functions that the tables point at, by address: `gBS->Stall`, `gST->ConOut->OutputString`. A function that several fields point at
 * has all their names, up to three: which of them was called, the address does not tell.
 */
export function tableServices({ tables }: EfiTables): ReadonlyMap<bigint, string> {
  const names = new Map<bigint, string[]>();
  for (const { name, state, fields } of tables) {
    if (name === "SystemTable" || state !== "valid") continue;
    for (const [field, address] of fields) {
      if (NO_FUNCTIONS.has(field) || address === 0n || address % 4n !== 0n) continue;
      names.set(address, [...(names.get(address) ?? []), `${SHORT[name]}->${field}`]);
    }
  }
  return new Map([...names].map(([address, all]) => [address, joined(all)]));
}

function joined(names: readonly string[]): string {
  const rest = names.length - MAX_NAMES;
  return names.slice(0, MAX_NAMES).join(" or ") + (rest > 0 ? ` or ${rest} more` : "");
}

/** The field of a table that lies at an address. */
export interface FieldPlace {
  readonly table: EfiTable;
  readonly field: string;
  /** In bytes, from the start of the table. */
  readonly offset: number;
  /** `gBS->Stall`, `gST->ConOut->OutputString`, `gST->BootServices`. */
  readonly name: string;
}

/** Which field of the tables lies at `address`, if one does. */
export function fieldAt({ tables }: EfiTables, address: bigint): FieldPlace | undefined {
  for (const table of tables) {
    if (table.address === 0n || address < table.address) continue;
    const offset = Number(address - table.address);
    const field = LAYOUTS[table.name].fields.find((each) => each.offset === offset)?.name;
    if (field !== undefined) return { table, field, offset, name: `${SHORT[table.name]}->${field}` };
  }
  return undefined;
}
