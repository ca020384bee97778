/**
 * The configuration tables of the system table.
 *
 * Source: UEFI specification 2.10, 4.6: NumberOfTableEntries entries of 24 bytes {VendorGuid, VendorTable}. Guest data: no more than 256
 * entries are read, and more are taken for damage.
 */
import { CONFIGURATION_TABLES } from "../../symbols/guids.ts";
import type { PhysMemory } from "../base/memory.ts";
import { readStructure } from "./memory.ts";
import type { SystemTable } from "./system-table.ts";

export interface ConfigurationEntry {
  readonly guid: string;
  /** The name its specification gives the GUID; undefined for one that is not known here. */
  readonly name: string | undefined;
  /** Where the table lies. */
  readonly address: bigint;
}

const ENTRY_SIZE = 24;
const MAX_ENTRIES = 256n;

/** The entries in their order; undefined when they cannot be read or when there are more than can be. */
export async function readConfigurationTables(
  memory: PhysMemory,
  { configurationTable, configurationEntries }: Pick<SystemTable, "configurationTable" | "configurationEntries">,
): Promise<readonly ConfigurationEntry[] | undefined> {
  if (configurationEntries === 0n) return [];
  if (configurationEntries > MAX_ENTRIES) return undefined;
  const count = Number(configurationEntries);
  const entries = await readStructure(memory, configurationTable, count * ENTRY_SIZE);
  if (entries === undefined) return undefined;
  return Array.from({ length: count }, (_, i) => {
    const guid = entries.guid(i * ENTRY_SIZE);
    return { guid, name: nameOf(guid), address: entries.u64(i * ENTRY_SIZE + 16) };
  });
}

function nameOf(guid: string): string | undefined {
  return Object.hasOwn(CONFIGURATION_TABLES, guid) ? CONFIGURATION_TABLES[guid] : undefined;
}

/** Where the configuration table with a GUID lies; undefined when there is none, or when it cannot be told. */
export async function findConfigurationTable(
  memory: PhysMemory,
  table: SystemTable,
  guid: string,
): Promise<bigint | undefined> {
  return (await readConfigurationTables(memory, table))?.find((entry) => entry.guid === guid)?.address;
}
