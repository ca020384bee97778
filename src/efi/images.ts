/**
 * The images that the firmware has loaded.
 *
 * Source: UEFI specification 2.10, 18.4.3: the configuration table EFI_DEBUG_IMAGE_INFO_TABLE_GUID leads to a header {UpdateStatus,
 * TableSize, EfiDebugImageInfoTable}, that to TableSize pointers to {ImageInfoType, LoadedImageProtocolInstance, ImageHandle}; 9.1:
 * EFI_LOADED_IMAGE_PROTOCOL has ImageBase at 0x40, ImageSize at 0x48, ImageCodeType at 0x50. Each stage is one batch of reads.
 */
import { GUIDS } from "../../symbols/guids.ts";
import type { PhysMemory } from "../base/memory.ts";
import { printable } from "../base/text.ts";
import type { Structure } from "./bytes.ts";
import { devicePathFile } from "./device-path.ts";
import { readStructure, readStructures } from "./memory.ts";
import {
  codeViewOffset,
  codeViewPath,
  DOS_HEADER_SIZE,
  PE_HEADER_SIZE,
  type PeHeader,
  type PeSection,
  parsePeHeader,
  peHeaderOffset,
} from "./pe.ts";
import { EFI_RUNTIME_SERVICES_CODE, MEMORY_TYPES } from "./structures.ts";
import type { SystemTable } from "./system-table.ts";

export interface LoadedImage {
  readonly base: bigint;
  /** In bytes. */
  readonly size: bigint;
  /**
   * From the build path in its CodeView record (`DxeCore`), else from its device path: the file's name, or its GUID in a firmware
   * volume. Undefined when neither names it. Printable.
   */
  readonly name: string | undefined;
  readonly buildPath: string | undefined;
  /** EFI_MEMORY_TYPE of its code, such as `EfiRuntimeServicesCode`. */
  readonly codeType: string;
  readonly runtime: boolean;
  readonly sections: readonly PeSection[];
}

const CONFIGURATION_ENTRY = 24;
const MAX_CONFIGURATION_ENTRIES = 256n;
const MAX_IMAGES = 2048;
/** edk2 (DebugImageInfo.c) counts the images in TableSize, not the slots: an unloaded image leaves a NULL, and slots come 512 at a time. */
const LIST_STEP = 512;
const MAX_IMAGE_SIZE = 1n << 32n;
const NORMAL_IMAGE = 1;
/** Enough for a path of 400 characters. */
const CODEVIEW_RECORD_SIZE = 440;
const DEVICE_PATH_SIZE = 512;

/** The loaded images by ascending base; empty when the firmware offers no list. What cannot be read is left out. */
export async function readLoadedImages(memory: PhysMemory, table: SystemTable): Promise<readonly LoadedImage[]> {
  const listAddress = await findDebugImageTable(memory, table);
  if (listAddress === undefined) return [];
  const pointers = await readPointers(memory, listAddress);
  const infos = await readStructures(
    memory,
    pointers.map((address) => ({ address, length: 24 })),
  );
  const protocols = infos.flatMap((info) => (info?.u32(0) === NORMAL_IMAGE && info.u64(8) !== 0n ? [info.u64(8)] : []));
  const loaded = await readStructures(
    memory,
    protocols.map((address) => ({ address, length: 0x60 })),
  );
  const extents = loaded.flatMap((image) => (image === undefined ? [] : extentOf(image)));
  const images = await readImages(memory, extents);
  return images.sort((a, b) => (a.base < b.base ? -1 : 1));
}

async function findDebugImageTable(memory: PhysMemory, table: SystemTable): Promise<bigint | undefined> {
  const count = Number(table.configurationEntries & 0xffff_ffffn);
  if (count === 0 || BigInt(count) > MAX_CONFIGURATION_ENTRIES) return undefined;
  const entries = await readStructure(memory, table.configurationTable, count * CONFIGURATION_ENTRY);
  if (entries === undefined) return undefined;
  for (let at = 0; at < entries.length; at += CONFIGURATION_ENTRY) {
    if (entries.guid(at) === GUIDS.EFI_DEBUG_IMAGE_INFO_TABLE_GUID) return entries.u64(at + 16);
  }
  return undefined;
}

async function readPointers(memory: PhysMemory, listAddress: bigint): Promise<bigint[]> {
  const header = await readStructure(memory, listAddress, 16);
  const count = Math.min(header?.u32(4) ?? 0, MAX_IMAGES);
  if (header === undefined || count === 0) return [];
  const address = header.u64(8);
  const lengths = [Math.ceil(count / LIST_STEP) * LIST_STEP * 8, count * 8];
  const [whole, counted] = await readStructures(
    memory,
    lengths.map((length) => ({ address, length })),
  );
  const list = whole ?? counted;
  if (list === undefined) return [];
  const slots = Array.from({ length: list.length / 8 }, (_, i) => list.u64(i * 8));
  return slots.filter((address) => address !== 0n).slice(0, count);
}

interface Extent {
  readonly base: bigint;
  readonly size: bigint;
  readonly codeType: number;
  /** Address of the device path of its file; 0 when it has none. */
  readonly filePath: bigint;
}

function extentOf(image: Structure): Extent[] {
  const extent = {
    base: image.u64(0x40),
    size: image.u64(0x48),
    codeType: image.u32(0x50),
    filePath: image.u64(0x20),
  };
  return extent.base === 0n || extent.size === 0n || extent.size > MAX_IMAGE_SIZE ? [] : [extent];
}

async function readImages(memory: PhysMemory, extents: readonly Extent[]): Promise<LoadedImage[]> {
  const [headers, files] = await Promise.all([readPeHeaders(memory, extents), readFileNames(memory, extents)]);
  const paths = await readBuildPaths(memory, extents, headers);
  return extents.map(({ base, size, codeType }, i) => {
    const buildPath = paths[i];
    return {
      base,
      size,
      name: buildPath === undefined ? files[i] : stem(buildPath),
      buildPath: buildPath === undefined ? undefined : printable(buildPath, 400),
      codeType: MEMORY_TYPES[codeType] ?? `memory type ${codeType}`,
      runtime: codeType === EFI_RUNTIME_SERVICES_CODE,
      sections: (headers[i]?.sections ?? []).map((section) => ({ ...section, name: printable(section.name, 8) })),
    };
  });
}

/** Reads a part of each image that has one, cut to the image's size; undefined for the others. */
async function readParts(
  memory: PhysMemory,
  extents: readonly Extent[],
  parts: readonly ({ readonly offset: number; readonly length: number } | undefined)[],
): Promise<(Structure | undefined)[]> {
  const spans = extents.map(({ base, size }, i) => {
    const part = parts[i];
    const length = part === undefined ? 0 : Math.min(part.length, Number(size) - part.offset);
    return length > 0 && part !== undefined ? { address: base + BigInt(part.offset), length } : undefined;
  });
  const reads = await readStructures(
    memory,
    spans.filter((span) => span !== undefined),
  );
  const inOrder = reads.values();
  return spans.map((span) => (span === undefined ? undefined : inOrder.next().value));
}

async function readPeHeaders(memory: PhysMemory, extents: readonly Extent[]): Promise<(PeHeader | undefined)[]> {
  const dos = await readParts(
    memory,
    extents,
    extents.map(() => ({ offset: 0, length: DOS_HEADER_SIZE })),
  );
  const offsets = dos.map((header) => (header === undefined ? undefined : peHeaderOffset(header)));
  const headers = await readParts(
    memory,
    extents,
    offsets.map((offset) => (offset === undefined ? undefined : { offset, length: PE_HEADER_SIZE })),
  );
  return headers.map((header) => (header === undefined ? undefined : parsePeHeader(header)));
}

async function readBuildPaths(
  memory: PhysMemory,
  extents: readonly Extent[],
  headers: readonly (PeHeader | undefined)[],
): Promise<(string | undefined)[]> {
  const directories = await readParts(
    memory,
    extents,
    headers.map((header) => {
      const directory = header?.debugDirectory;
      return directory === undefined ? undefined : { offset: directory.offset, length: directory.size };
    }),
  );
  const offsets = directories.map((directory) => (directory === undefined ? undefined : codeViewOffset(directory)));
  const records = await readParts(
    memory,
    extents,
    offsets.map((offset) => (offset === undefined ? undefined : { offset, length: CODEVIEW_RECORD_SIZE })),
  );
  return records.map((record) => (record?.has(0, 4) ? codeViewPath(record) : undefined));
}

async function readFileNames(memory: PhysMemory, extents: readonly Extent[]): Promise<(string | undefined)[]> {
  const addresses = extents.map(({ filePath }) => filePath).filter((address) => address !== 0n);
  const paths = (
    await readStructures(
      memory,
      addresses.map((address) => ({ address, length: DEVICE_PATH_SIZE })),
    )
  ).values();
  return extents.map(({ filePath }) => {
    const path = filePath === 0n ? undefined : paths.next().value;
    const file = path === undefined ? undefined : devicePathFile(path);
    return file === undefined ? undefined : stem(file);
  });
}

/** `/build/…/DxeCore.dll` → `DxeCore`. */
function stem(path: string): string {
  const file = path.split(/[/\\]/).at(-1) ?? path;
  return printable(file.replace(/\.(dll|debug|efi|pdb)$/i, ""), 60);
}

/** The image that holds an address. */
export function imageAt(images: readonly LoadedImage[], address: bigint): LoadedImage | undefined {
  return images.find(({ base, size }) => address >= base && address < base + size);
}

/** The section of an image that holds an address: the last one that starts at or before it. */
export function sectionAt(image: LoadedImage, address: bigint): PeSection | undefined {
  const offset = Number(address - image.base);
  return image.sections.findLast((section) => offset >= section.offset && offset < section.offset + section.size);
}

/** `DxeCore+0x1234`, or `image@0x5f000000+0x1234` for an image without a name. */
export function imageOffsetText(image: LoadedImage, address: bigint): string {
  const name = image.name ?? `image@0x${image.base.toString(16)}`;
  return `${name}+0x${(address - image.base).toString(16)}`;
}
