/**
 * UEFI's tables and images as firmware leaves them in memory, written field by field after the UEFI specification 2.10 (4.2 to 4.4, 9.1,
 * 10.3, 12.3, 12.4, 18.4) and Microsoft's PE format; it shares no layout with src/.
 */

import { phys } from "../../src/base/address.ts";
import type { MemoryRange } from "../../src/base/memory.ts";
import { slowCrc32 } from "./crc32.ts";
import { FakeMemory } from "./fake-memory.ts";

export const RAM_START = 0x4000_0000n;
export const RAM_SIZE = 0x0800_0000n;
export const POINTER = 0x47c0_0000n;
export const SYSTEM_TABLE = 0x47f0_0018n;
export const BOOT_SERVICES = 0x47f0_1010n;
export const CONFIGURATION_TABLE = 0x47f0_2ff0n;
export const DEBUG_HEADER = 0x47f0_4f08n;
export const DEBUG_LIST = 0x47f1_0018n;
/** One service after the other, 64 bytes apart. */
export const SERVICES_CODE = 0x4750_0000n;

export const RANGES: readonly MemoryRange[] = [
  { start: phys(RAM_START), size: RAM_SIZE, kind: "ram", name: "mach-virt.ram" },
];

const DEBUG_IMAGE_INFO_TABLE_GUID = "49152e77-1ada-4764-b7a2-7afefed95e8b";
const ACPI_GUID = "8868e871-e4f1-11d3-bc22-0080c73c8881";

/** The services in the order of 4.4, each a function pointer; `Reserved` is the one that is none. */
export const SERVICES = [
  ...["RaiseTPL", "RestoreTPL"],
  ...["AllocatePages", "FreePages", "GetMemoryMap", "AllocatePool", "FreePool"],
  ...["CreateEvent", "SetTimer", "WaitForEvent", "SignalEvent", "CloseEvent", "CheckEvent"],
  ...[
    "InstallProtocolInterface",
    "ReinstallProtocolInterface",
    "UninstallProtocolInterface",
    "HandleProtocol",
    "Reserved",
  ],
  ...["RegisterProtocolNotify", "LocateHandle", "LocateDevicePath", "InstallConfigurationTable"],
  ...["LoadImage", "StartImage", "Exit", "UnloadImage", "ExitBootServices"],
  ...["GetNextMonotonicCount", "Stall", "SetWatchdogTimer"],
  ...["ConnectController", "DisconnectController"],
  ...["OpenProtocol", "CloseProtocol", "OpenProtocolInformation"],
  ...["ProtocolsPerHandle", "LocateHandleBuffer", "LocateProtocol"],
  ...["InstallMultipleProtocolInterfaces", "UninstallMultipleProtocolInterfaces"],
  ...["CalculateCrc32", "CopyMem", "SetMem", "CreateEventEx"],
];

export const RUNTIME_SERVICES = 0x47f0_8000n;
export const CON_IN = 0x47f0_7100n;
export const CON_OUT = 0x47f0_7200n;
export const STD_ERR = 0x47f0_7300n;
/** One function after the other, 64 bytes apart: runtime services, then ConIn's, ConOut's, StdErr's. */
export const RUNTIME_CODE = 0x4751_0000n;
export const CONSOLE_CODE = 0x4752_0000n;

/** The services in the order of 4.5. */
export const RUNTIME_SERVICE_NAMES = [
  ...["GetTime", "SetTime", "GetWakeupTime", "SetWakeupTime"],
  ...["SetVirtualAddressMap", "ConvertPointer"],
  ...["GetVariable", "GetNextVariableName", "SetVariable"],
  ...["GetNextHighMonotonicCount", "ResetSystem"],
  ...["UpdateCapsule", "QueryCapsuleCapabilities", "QueryVariableInfo"],
];
/** The members of 12.3.1 and 12.4.1 in their order; WaitForKey is an event, Mode points to data. */
export const CON_IN_MEMBERS = ["Reset", "ReadKeyStroke", "WaitForKey"];
export const CON_OUT_MEMBERS = [
  ...["Reset", "OutputString", "TestString", "QueryMode", "SetMode", "SetAttribute"],
  ...["ClearScreen", "SetCursorPosition", "EnableCursor", "Mode"],
];

export interface FakeImage {
  readonly base: bigint;
  readonly size: number;
  /** EFI_MEMORY_TYPE. */
  readonly codeType: number;
  readonly dataType?: number;
  /** IMAGE_SUBSYSTEM_*; EFI boot service driver without. */
  readonly subsystem?: number;
  readonly machine?: number;
  readonly entryPoint?: number;
  readonly linkBase?: bigint;
  /** Where `PE\0\0` stands; none without. */
  readonly peOffset?: number;
  readonly sections?: readonly (readonly [name: string, offset: number, size: number])[];
  readonly codeView?: { readonly signature: "RSDS" | "NB10" | "MTOC"; readonly path: string };
  readonly devicePath?: Uint8Array;
}

export interface Firmware {
  readonly memory: FakeMemory;
  /** Writes the CRC32 of a table at an address anew, over HeaderSize bytes. */
  readonly seal: (table: bigint) => void;
}

export function buildFirmware(images: readonly FakeImage[] = []): Firmware {
  const memory = new FakeMemory();
  writeTables(memory);
  writeImageList(memory, images);
  const seal = (table: bigint): void => sealTable(memory, table);
  seal(SYSTEM_TABLE);
  seal(BOOT_SERVICES);
  seal(RUNTIME_SERVICES);
  writePointer(memory, POINTER, SYSTEM_TABLE);
  return { memory, seal };
}

function bytesOf(size: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  write(new DataView(bytes.buffer));
  return bytes;
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function ucs2(text: string): Uint8Array {
  return bytesOf(text.length * 2, (view) =>
    [...text].forEach((char, i) => void view.setUint16(i * 2, char.charCodeAt(0), true)),
  );
}

/** A GUID's 16 bytes: three little-endian numbers, then eight bytes. */
export function guidBytes(text: string): Uint8Array {
  const [a = "", b = "", c = "", d = "", e = ""] = text.split("-");
  const reversed = (hex: string): number[] => [...Buffer.from(hex, "hex")].reverse();
  return Uint8Array.from([...reversed(a), ...reversed(b), ...reversed(c), ...Buffer.from(d + e, "hex")]);
}

/** EFI_SYSTEM_TABLE_POINTER: Signature, EfiSystemTableBase, Crc32, and 4 bytes up to its size, which the CRC covers. */
export function writePointer(memory: FakeMemory, at: bigint, table: bigint, padding = 0): void {
  const pointer = bytesOf(24, (view) => {
    view.setBigUint64(8, table, true);
    view.setUint32(20, padding, true);
  });
  pointer.set(ascii("IBI SYST"));
  new DataView(pointer.buffer).setUint32(16, slowCrc32(pointer), true);
  memory.write(at, pointer);
}

function tableHeader(signature: string, size: number): Uint8Array {
  const header = bytesOf(24, (view) => {
    view.setUint32(8, 0x0002_0046, true);
    view.setUint32(12, size, true);
  });
  header.set(ascii(signature));
  return header;
}

export function readBytes(memory: FakeMemory, address: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => {
    const at = address + BigInt(i);
    return memory.bytes(at & ~0xfffn)[Number(at & 0xfffn)] as number;
  });
}

function sealTable(memory: FakeMemory, table: bigint): void {
  const size = new DataView(readBytes(memory, table + 12n, 4).buffer).getUint32(0, true);
  memory.write(table + 16n, new Uint8Array(4));
  const crc = slowCrc32(readBytes(memory, table, size));
  memory.write(
    table + 16n,
    bytesOf(4, (view) => view.setUint32(0, crc, true)),
  );
}

function writeWords(memory: FakeMemory, at: bigint, words: readonly bigint[]): void {
  memory.write(
    at,
    bytesOf(words.length * 8, (view) => words.forEach((word, i) => void view.setBigUint64(i * 8, word, true))),
  );
}

export { writeWords };

function writeTables(memory: FakeMemory): void {
  memory.write(SYSTEM_TABLE, tableHeader("IBI SYST", 120));
  writeWords(memory, SYSTEM_TABLE + 24n, [
    ...[0x47f0_6000n, 0x0001_0000n, 0x47f0_7001n, 0x47f0_7100n, 0x47f0_7002n, 0x47f0_7200n, 0x47f0_7003n, 0x47f0_7300n],
    ...[0x47f0_8000n, BOOT_SERVICES, 2n, CONFIGURATION_TABLE],
  ]);
  memory.write(BOOT_SERVICES, tableHeader("BOOTSERV", 24 + SERVICES.length * 8));
  const services = SERVICES.map((name, i) => (name === "Reserved" ? 0n : SERVICES_CODE + BigInt(i * 64)));
  writeWords(memory, BOOT_SERVICES + 24n, services);
  memory.write(RUNTIME_SERVICES, tableHeader("RUNTSERV", 24 + RUNTIME_SERVICE_NAMES.length * 8));
  writeWords(memory, RUNTIME_SERVICES + 24n, functions(RUNTIME_CODE, RUNTIME_SERVICE_NAMES.length));
  writeWords(memory, CON_IN, [...functions(CONSOLE_CODE, 2), 0x47f0_7108n]);
  writeWords(memory, CON_OUT, [...functions(CONSOLE_CODE + 0x1000n, 9), 0x47f0_7280n]);
  writeWords(memory, STD_ERR, [...functions(CONSOLE_CODE + 0x2000n, 9), 0x47f0_7380n]);
  memory.write(CONFIGURATION_TABLE, guidBytes(ACPI_GUID));
  memory.write(CONFIGURATION_TABLE + 24n, guidBytes(DEBUG_IMAGE_INFO_TABLE_GUID));
  writeWords(memory, CONFIGURATION_TABLE + 16n, [0x47f0_9000n]);
  writeWords(memory, CONFIGURATION_TABLE + 40n, [DEBUG_HEADER]);
}

function functions(first: bigint, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => first + BigInt(i * 64));
}

const INFOS = 0x47f2_0000n;
const PROTOCOLS = 0x47f3_0000n;
const DEVICE_PATHS = 0x47f6_0000n;

/** Where the EFI_DEBUG_IMAGE_INFO_NORMAL and the EFI_LOADED_IMAGE_PROTOCOL of an image stand. */
export const infoAddress = (index: number): bigint => INFOS + BigInt(index * 32);
export const protocolAddress = (index: number): bigint => PROTOCOLS + BigInt(index * 128);

function writeImageList(memory: FakeMemory, images: readonly FakeImage[]): void {
  memory.write(
    DEBUG_HEADER,
    bytesOf(16, (view) => {
      view.setUint32(4, images.length, true);
      view.setBigUint64(8, DEBUG_LIST, true);
    }),
  );
  // edk2 allocates 512 slots at a time.
  memory.write(DEBUG_LIST, new Uint8Array(4096));
  writeWords(
    memory,
    DEBUG_LIST,
    images.map((_, i) => infoAddress(i)),
  );
  images.forEach((image, i) => {
    writeWords(memory, infoAddress(i), [1n, protocolAddress(i), 0x47f5_0000n + BigInt(i)]);
    const path = image.devicePath === undefined ? 0n : DEVICE_PATHS + BigInt(i * 1024);
    if (image.devicePath !== undefined) {
      memory.write(path, new Uint8Array(512));
      memory.write(path, image.devicePath);
    }
    memory.write(
      protocolAddress(i),
      bytesOf(0x60, (view) => {
        view.setUint32(0, 0x1000, true);
        view.setBigUint64(0x10, SYSTEM_TABLE, true);
        view.setBigUint64(0x20, path, true);
        view.setBigUint64(0x40, image.base, true);
        view.setBigUint64(0x48, BigInt(image.size), true);
        view.setUint32(0x50, image.codeType, true);
        view.setUint32(0x54, image.dataType ?? 6, true);
      }),
    );
    memory.write(image.base, imageBytes(image));
  });
}

/** An image as it lies in memory: DOS header, PE32+ header, debug directory at `.dbg`, CodeView record behind it. */
export function imageBytes(image: FakeImage): Uint8Array {
  const { size, peOffset, sections = [], codeView } = image;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  if (peOffset === undefined) return bytes;
  bytes.set(ascii("MZ"));
  view.setUint32(0x3c, peOffset, true);
  bytes.set(ascii("PE\0\0"), peOffset);
  view.setUint16(peOffset + 4, image.machine ?? 0xaa64, true);
  view.setUint16(peOffset + 6, sections.length, true);
  const optional = peOffset + 24;
  const directories = 16;
  view.setUint16(peOffset + 20, 112 + directories * 8, true);
  view.setUint16(optional, 0x20b, true);
  view.setUint32(optional + 16, image.entryPoint ?? 0x1000, true);
  view.setBigUint64(optional + 24, image.linkBase ?? 0n, true);
  view.setUint32(optional + 56, size, true);
  view.setUint32(optional + 60, 0x400, true);
  view.setUint16(optional + 68, image.subsystem ?? 11, true);
  view.setUint32(optional + 108, directories, true);
  sections.forEach(([name, offset, length], i) => {
    const at = optional + 112 + directories * 8 + i * 40;
    bytes.set(ascii(name).subarray(0, 8), at);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, offset, true);
    view.setUint32(at + 16, (length + 511) & ~511, true);
    view.setUint32(at + 36, name === ".text" ? 0x6000_0020 : 0xc000_0040, true);
  });
  if (codeView !== undefined) writeDebugDirectory(bytes, view, { optional, codeView });
  return bytes;
}

interface DebugPlan {
  readonly optional: number;
  readonly codeView: NonNullable<FakeImage["codeView"]>;
}

/** Two entries: one that is no CodeView (type 16, REPRO), then the CodeView record, in the last 1,024 bytes of the image. */
function writeDebugDirectory(bytes: Uint8Array, view: DataView, { optional, codeView }: DebugPlan): void {
  const directory = bytes.length - 1024;
  const record = directory + 2 * 28;
  view.setUint32(optional + 112 + 6 * 8, directory, true);
  view.setUint32(optional + 112 + 6 * 8 + 4, 2 * 28, true);
  for (const [at, type] of [
    [directory, 16],
    [directory + 28, 2],
  ] as const) {
    view.setUint32(at + 12, type, true);
    view.setUint32(at + 16, 400, true);
    view.setUint32(at + 20, type === 2 ? record : directory, true);
  }
  const pathAt = { RSDS: 24, NB10: 16, MTOC: 20 }[codeView.signature];
  bytes.fill(0xa5, record, record + pathAt);
  bytes.set(ascii(codeView.signature), record);
  bytes.set(ascii(codeView.path), record + pathAt);
}

/** A device path of nodes {type, subtype, contents}, with its end node. */
export function devicePath(
  ...nodes: readonly (readonly [type: number, subtype: number, contents: Uint8Array])[]
): Uint8Array {
  const end = [0x7f, 0xff, Uint8Array.of()] as const;
  return Buffer.concat(
    [...nodes, end].map(([type, subtype, contents]) => {
      const length = contents.length + 4;
      return Buffer.concat([Buffer.of(type, subtype, length & 0xff, length >> 8), contents]);
    }),
  );
}
