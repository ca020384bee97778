/**
 * From RAM to the system table, to boot services, to ExitBootServices, without symbols.
 *
 * Source: UEFI specification 2.10. 18.4.2 EFI_SYSTEM_TABLE_POINTER: a structure {Signature `IBI SYST`, EfiSystemTableBase, Crc32} stands on
 * a 4 MiB boundary. 4.2: a table's CRC32 covers HeaderSize bytes with the CRC32 field itself zero. 7.4.6: after a successful
 * ExitBootServices the boot services table must not be used; edk2 clears it and NULLs SystemTable.BootServices.
 *
 * All of it is guest data: sizes are bounded and nothing is followed that does not carry its signature.
 */
import { crc32 } from "node:zlib";
import { type PhysAddr, phys } from "../base/address.ts";
import type { MemoryRange, PhysMemory } from "../base/memory.ts";
import type { Structure } from "./bytes.ts";
import { readStructure, readStructures } from "./memory.ts";
import {
  BOOT_SERVICES_FIELDS,
  BOOT_SERVICES_SIGNATURE,
  BOOT_SERVICES_SIZE,
  SYSTEM_TABLE_SIGNATURE,
  SYSTEM_TABLE_SIZE,
  TABLE_HEADER_SIZE,
} from "./structures.ts";

const POINTER_ALIGNMENT = 4n << 20n;
/** Its Crc32 covers all of it: 20 bytes and what fills them up to sizeof(EFI_SYSTEM_TABLE_POINTER). */
const POINTER_SIZE = 24;
const MAX_HEADER_SIZE = 4096;

export interface SystemTable {
  readonly address: bigint;
  readonly bootServices: bigint;
  readonly configurationTable: bigint;
  readonly configurationEntries: bigint;
}

/** What was found where the system table pointer should lead. */
export type SystemTableSearch =
  | { readonly state: "found"; readonly pointer: PhysAddr; readonly table: SystemTable }
  /** No pointer structure in RAM: firmware has not come that far, there is none, or an operating system reused the memory. */
  | { readonly state: "none" }
  /** A pointer structure whose table is not (yet, or any more) valid. */
  | { readonly state: "invalid"; readonly why: string };

/** Looks at every 4 MiB boundary of RAM for an EFI_SYSTEM_TABLE_POINTER and follows it. One batch of small reads. */
export async function findSystemTable(memory: PhysMemory, ranges: readonly MemoryRange[]): Promise<SystemTableSearch> {
  const candidates = boundaries(ranges.filter(({ kind }) => kind === "ram"));
  const probes = await readStructures(
    memory,
    candidates.map((address) => ({ address, length: POINTER_SIZE })),
  );
  let search: SystemTableSearch = { state: "none" };
  for (const [i, probe] of probes.entries()) {
    if (probe?.u64(0) !== SYSTEM_TABLE_SIGNATURE) continue;
    const found = await followPointer(memory, phys(candidates[i] as bigint), probe);
    if (found.state === "found") return found;
    search = found;
  }
  return search;
}

/** Boundaries that are looked at: those of 1 TiB of RAM. A machine may claim any size. */
const MAX_BOUNDARIES = 1 << 18;

function boundaries(ranges: readonly MemoryRange[]): bigint[] {
  const found: bigint[] = [];
  for (const { start, size } of ranges) {
    const first = (start + POINTER_ALIGNMENT - 1n) & ~(POINTER_ALIGNMENT - 1n);
    for (let at = first; at + BigInt(POINTER_SIZE) <= start + size; at += POINTER_ALIGNMENT) {
      if (found.length === MAX_BOUNDARIES) return found;
      found.push(at);
    }
  }
  return found;
}

async function followPointer(memory: PhysMemory, pointer: PhysAddr, probe: Structure): Promise<SystemTableSearch> {
  const copy = Uint8Array.from(probe.bytes);
  copy.fill(0, 16, 20);
  if (crc32(copy) !== probe.u32(16)) {
    return { state: "invalid", why: "the CRC32 of EFI_SYSTEM_TABLE_POINTER is wrong" };
  }
  const address = probe.u64(8);
  const header = await readStructure(memory, address, SYSTEM_TABLE_SIZE);
  if (header === undefined) return { state: "invalid", why: "the system table lies outside RAM" };
  if (header.u64(0) !== SYSTEM_TABLE_SIGNATURE) return { state: "invalid", why: "the system table has no signature" };
  if (!(await crcMatches(memory, address, header))) {
    return { state: "invalid", why: "the CRC32 of the system table is wrong" };
  }
  return { state: "found", pointer, table: systemTableFields(address, header) };
}

function systemTableFields(address: bigint, table: Structure): SystemTable {
  return {
    address,
    bootServices: table.u64(0x60),
    configurationEntries: table.u64(0x68),
    configurationTable: table.u64(0x70),
  };
}

/** Reads the system table again where it is known to be; undefined when its signature is gone. */
export async function readSystemTable(memory: PhysMemory, address: bigint): Promise<SystemTable | undefined> {
  const table = await readStructure(memory, address, SYSTEM_TABLE_SIZE);
  return table?.u64(0) === SYSTEM_TABLE_SIGNATURE ? systemTableFields(address, table) : undefined;
}

async function crcMatches(memory: PhysMemory, address: bigint, header: Structure): Promise<boolean> {
  const size = header.u32(12);
  if (size < TABLE_HEADER_SIZE || size > MAX_HEADER_SIZE) return false;
  const whole = size <= header.length ? header : await readStructure(memory, address, size);
  if (whole === undefined) return false;
  const copy = Uint8Array.prototype.slice.call(whole.bytes, 0, size);
  copy.fill(0, 16, 20);
  return crc32(copy) === header.u32(16);
}

export type BootServicesState =
  | { readonly state: "valid"; readonly exitBootServices: bigint; readonly crcValid: boolean }
  /** SystemTable.BootServices is NULL, or the table has been cleared: boot services have been left. */
  | { readonly state: "left" }
  | { readonly state: "invalid"; readonly why: string };

/** Whether boot services are there, and where ExitBootServices points. */
export async function readBootServices(memory: PhysMemory, table: SystemTable): Promise<BootServicesState> {
  if (table.bootServices === 0n) return { state: "left" };
  const services = await readStructure(memory, table.bootServices, BOOT_SERVICES_SIZE);
  if (services === undefined) return { state: "invalid", why: "the boot services table lies outside RAM" };
  if (services.bytes.every((byte) => byte === 0)) return { state: "left" };
  if (services.u64(0) !== BOOT_SERVICES_SIGNATURE) {
    return { state: "invalid", why: "the boot services table has no signature (BOOTSERV)" };
  }
  const exitBootServices = services.u64(serviceOffset("ExitBootServices"));
  if (exitBootServices === 0n || exitBootServices % 4n !== 0n) {
    return { state: "invalid", why: "ExitBootServices is no code address" };
  }
  return { state: "valid", exitBootServices, crcValid: await crcMatches(memory, table.bootServices, services) };
}

/** The offset of a service in EFI_BOOT_SERVICES, by its name. */
export function serviceOffset(name: string): number {
  const field = BOOT_SERVICES_FIELDS.find((each) => each.name === name);
  if (field === undefined) throw new RangeError(`no boot service is called ${name}`);
  return field.offset;
}
