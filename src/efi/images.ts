/**
 * The images that the firmware has loaded.
 *
 * Source: UEFI specification 2.10, 18.4.3: the configuration table EFI_DEBUG_IMAGE_INFO_TABLE_GUID leads to a header {UpdateStatus,
 * TableSize, EfiDebugImageInfoTable}, that to TableSize pointers to {ImageInfoType, LoadedImageProtocolInstance, ImageHandle}; 9.1:
 * EFI_LOADED_IMAGE_PROTOCOL has ImageBase at 0x40, ImageSize at 0x48, ImageCodeType at 0x50, ImageDataType at
 * 0x54. Each stage is one batch of reads.
 */
import { FILE_GUIDS, GUIDS } from "../../symbols/guids.ts";
import type { PhysMemory } from "../base/memory.ts";
import type { Structure } from "./bytes.ts";
import { findConfigurationTable } from "./configuration.ts";
import { type DevicePathNames, devicePathNames } from "./device-path.ts";
import { fileStem, type ImageExtent, type ImageHeader, readImageHeaders } from "./image-headers.ts";
import { readStructure, readStructures } from "./memory.ts";
import type { PeSection } from "./sections.ts";
import { EFI_RUNTIME_SERVICES_CODE, memoryTypeName } from "./structures.ts";
import type { SystemTable } from "./system-table.ts";

export interface LoadedImage extends ImageExtent {
  /**
   * From the build path in its CodeView record (`DxeCore`), else from its file in a firmware volume (its name when the GUID is known, else
   * the GUID), else the file its device path names, else what its header shows it to be (`Linux arm64 Image`). Undefined when nothing
   * names it. Printable.
   */
  readonly name: string | undefined;
  readonly buildPath: string | undefined;
  /** EFI_MEMORY_TYPE of its code, such as `EfiRuntimeServicesCode`; `unknown` for an image the firmware does not list. */
  readonly codeType: string;
  readonly runtime: boolean;
  readonly sections: readonly PeSection[];
}

/** What is known of an image beyond where it lies and what it is called. */
export interface ImageDetails extends LoadedImage {
  /** How it was found: in the firmware's list, or by its header alone. */
  readonly found: "list" | "header";
  readonly nameFrom: "build path" | "file GUID" | "device path" | "header" | undefined;
  /** The GUID of its file in a firmware volume. */
  readonly fileGuid: string | undefined;
  /** EFI_MEMORY_TYPE of its data; `unknown` for an image the firmware does not list. */
  readonly dataType: string;
  /** Undefined when it has none, or when it could not be read. */
  readonly header: ImageHeader | undefined;
}

const MAX_IMAGES = 2048;
/** edk2 (DebugImageInfo.c) counts the images in TableSize, not the slots: an unloaded image leaves a NULL, and slots come 512 at a time. */
const LIST_STEP = 512;
const MAX_IMAGE_SIZE = 1n << 32n;
const TOP = 1n << 64n;
const NORMAL_IMAGE = 1;
const DEVICE_PATH_SIZE = 512;

/** The loaded images by ascending base; empty when the firmware offers no list. What cannot be read is left out. */
export async function readLoadedImages(memory: PhysMemory, table: SystemTable): Promise<readonly ImageDetails[]> {
  const listAddress = await findConfigurationTable(memory, table, GUIDS.EFI_DEBUG_IMAGE_INFO_TABLE_GUID);
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

interface ListedImage extends ImageExtent {
  readonly codeType: number;
  readonly dataType: number;
  /** Address of the device path of its file; 0 when it has none. */
  readonly filePath: bigint;
}

function extentOf(image: Structure): ListedImage[] {
  const extent = {
    base: image.u64(0x40),
    size: image.u64(0x48),
    codeType: image.u32(0x50),
    dataType: image.u32(0x54),
    filePath: image.u64(0x20),
  };
  const { base, size } = extent;
  return base === 0n || size === 0n || size > MAX_IMAGE_SIZE || base + size > TOP ? [] : [extent];
}

async function readImages(memory: PhysMemory, listed: readonly ListedImage[]): Promise<ImageDetails[]> {
  const [headers, files] = await Promise.all([readImageHeaders(memory, listed), readFileNames(memory, listed)]);
  return listed.map(({ base, size, codeType, dataType }, i) => ({
    base,
    size,
    codeType: memoryTypeName(codeType),
    dataType: memoryTypeName(dataType),
    runtime: codeType === EFI_RUNTIME_SERVICES_CODE,
    found: "list",
    fileGuid: files[i]?.guid,
    ...identify(headers[i], files[i]),
  }));
}

/** What the header and the file give an image. */
export function identify(
  header: ImageHeader | undefined,
  file: DevicePathNames | undefined,
): Pick<ImageDetails, "name" | "nameFrom" | "buildPath" | "sections" | "header"> {
  return { ...nameOf(header, file), buildPath: header?.codeView?.path, sections: header?.sections ?? [], header };
}

function nameOf(
  header: ImageHeader | undefined,
  file: DevicePathNames | undefined,
): Pick<ImageDetails, "name" | "nameFrom"> {
  if (header?.buildName !== undefined) return { name: header.buildName, nameFrom: "build path" };
  if (file?.guid !== undefined) return { name: FILE_GUIDS[file.guid] ?? file.guid, nameFrom: "file GUID" };
  if (file?.file !== undefined) return { name: fileStem(file.file), nameFrom: "device path" };
  if (header?.bootImage !== undefined) return { name: header.bootImage, nameFrom: "header" };
  return { name: undefined, nameFrom: undefined };
}

async function readFileNames(
  memory: PhysMemory,
  images: readonly ListedImage[],
): Promise<(DevicePathNames | undefined)[]> {
  const addresses = images.map(({ filePath }) => filePath).filter((address) => address !== 0n);
  const paths = (
    await readStructures(
      memory,
      addresses.map((address) => ({ address, length: DEVICE_PATH_SIZE })),
    )
  ).values();
  return images.map(({ filePath }) => {
    const path = filePath === 0n ? undefined : paths.next().value;
    return path === undefined ? undefined : devicePathNames(path);
  });
}

/** The image that holds an address. */
export function imageAt<I extends LoadedImage>(images: readonly I[], address: bigint): I | undefined {
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
