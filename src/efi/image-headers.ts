/**
 * What images say of themselves, for many images in few batches: a DOS header leads to a PE header, that to a debug directory, that to
 * the CodeView record. At most 8 KiB is read of each image, and nothing beyond its size.
 */
import type { PhysMemory } from "../base/memory.ts";
import { printable } from "../base/text.ts";
import { bootImageName } from "./boot-image.ts";
import type { Structure } from "./bytes.ts";
import {
  buildIdIn,
  CODEVIEW_RECORD_SIZE,
  type CodeView,
  codeViewOffset,
  NOTES_SIZE,
  parseCodeView,
} from "./codeview.ts";
import { readStructures } from "./memory.ts";
import {
  DOS_HEADER_SIZE,
  type ImagePart,
  imageTypeName,
  machineName,
  PE_HEADER_SIZE,
  type PeHeader,
  type PeSection,
  parsePeHeader,
  peHeaderOffset,
  SHORT_PE_HEADER_SIZE,
} from "./pe.ts";
import { findTeHeader } from "./te.ts";

/** Where an image lies. */
export interface ImageExtent {
  readonly base: bigint;
  /** In bytes. */
  readonly size: bigint;
}

/** The header of an image in words. All strings are printable. */
export interface ImageHeader {
  readonly format: "PE32+" | "TE";
  /** Such as `AArch64`. */
  readonly machine: string;
  /** `EFI application`, `EFI boot service driver`, `EFI runtime driver`, … */
  readonly imageType: string;
  /** Offset from the image base. */
  readonly entryPoint: number;
  /** The address the image was linked to. */
  readonly linkBase: bigint;
  /** SizeOfImage of a PE header; for TE the end of the last section. */
  readonly size: number;
  readonly sections: readonly PeSection[];
  readonly codeView: CodeView | undefined;
  /** The file name in the path of `codeView`, without folders and suffix: `DxeCore`. */
  readonly buildName: string | undefined;
  /** GNU build id, in hexadecimal digits. */
  readonly buildId: string | undefined;
  /** `Linux arm64 Image` or `Xen arm64 Image` for one with the boot protocol's header in front. */
  readonly bootImage: string | undefined;
}

const PAGE = 4096;

/**
 * Reads the header of each image; undefined where there is none, or where it cannot be read. Six batches at most, however many images.
 */
export async function readImageHeaders(
  memory: PhysMemory,
  extents: readonly ImageExtent[],
): Promise<(ImageHeader | undefined)[]> {
  const starts = await readParts(memory, extents, every(extents, { offset: 0, size: DOS_HEADER_SIZE }));
  const raw = await readRawHeaders(memory, extents, starts);
  const [directories, notes] = await Promise.all([
    readParts(
      memory,
      extents,
      raw.map((header) => header?.debugDirectory),
    ),
    readParts(memory, extents, raw.map(notesPart)),
  ]);
  const records = await readParts(memory, extents, directories.map(recordPart));
  return raw.map((header, i) => {
    if (header === undefined) return undefined;
    const [record, note, start] = [records[i], notes[i], starts[i]];
    return {
      ...inWords(header),
      ...buildOf(record === undefined ? undefined : parseCodeView(record)),
      buildId: note === undefined ? undefined : buildIdIn(note),
      bootImage: start === undefined ? undefined : bootImageName(start, header.sections),
    };
  });
}

function every(extents: readonly ImageExtent[], part: ImagePart): ImagePart[] {
  return extents.map(() => part);
}

type RawHeader = PeHeader & { readonly format: ImageHeader["format"] };

/** The PE header where the DOS header says; without a DOS header, the first page is looked through for a TE header. */
async function readRawHeaders(
  memory: PhysMemory,
  extents: readonly ImageExtent[],
  starts: readonly (Structure | undefined)[],
): Promise<(RawHeader | undefined)[]> {
  const parts = starts.map((start) => {
    if (start === undefined) return undefined;
    const offset = peHeaderOffset(start);
    return offset === undefined ? { offset: 0, size: PAGE } : { offset, size: PE_HEADER_SIZE };
  });
  const reads = await readParts(memory, extents, parts);
  // The page behind the header may be missing, in a capture most of all: then a header with fewer sections has to do.
  const shorter = parts.map((part, i) =>
    part === undefined || reads[i] !== undefined ? undefined : { ...part, size: SHORT_PE_HEADER_SIZE },
  );
  const again = await readParts(memory, extents, shorter);
  return reads.map((whole, i) => {
    const start = starts[i];
    const read = whole ?? again[i];
    if (read === undefined || start === undefined) return undefined;
    const isPe = peHeaderOffset(start) !== undefined;
    const header = isPe ? parsePeHeader(read) : findTeHeader(read);
    return header === undefined ? undefined : { ...header, format: isPe ? "PE32+" : "TE" };
  });
}

function inWords(header: RawHeader): Omit<ImageHeader, "codeView" | "buildName" | "buildId" | "bootImage"> {
  return {
    format: header.format,
    machine: machineName(header.machine),
    imageType: imageTypeName(header.subsystem),
    entryPoint: header.entryPoint,
    linkBase: header.linkBase,
    size: header.sizeOfImage,
    sections: header.sections.map((section) => ({ ...section, name: printable(section.name, 8) })),
  };
}

/** Notes as GNU ld and lld keep them in PE images: names of sections are cut to 8 characters. */
function notesPart(header: RawHeader | undefined): ImagePart | undefined {
  const notes = header?.sections.find(({ name }) => name.startsWith(".note") || name === ".buildid");
  return notes === undefined ? undefined : { offset: notes.offset, size: Math.min(notes.size, NOTES_SIZE) };
}

function recordPart(directory: Structure | undefined): ImagePart | undefined {
  const offset = directory === undefined ? undefined : codeViewOffset(directory);
  return offset === undefined ? undefined : { offset, size: CODEVIEW_RECORD_SIZE };
}

function buildOf(codeView: CodeView | undefined): Pick<ImageHeader, "codeView" | "buildName"> {
  const path = codeView?.path;
  if (codeView === undefined || path === undefined) return { codeView, buildName: undefined };
  return { codeView: { ...codeView, path: printable(path, 400) }, buildName: fileStem(path) };
}

/**
 * `/build/…/DxeCore.dll` → `DxeCore`; undefined for a path of folders only. Printable; `path` must not have been made so, as that adds
 * backslashes.
 */
export function fileStem(path: string): string | undefined {
  const file = path.split(/[/\\]/).findLast((part) => part !== "");
  return file === undefined ? undefined : printable(file.replace(/(?<!^)\.(dll|debug|efi|pdb)$/i, ""), 60);
}

/** Reads a part of each image that has one, cut to the image's size; undefined for the others. One batch. */
async function readParts(
  memory: PhysMemory,
  extents: readonly ImageExtent[],
  parts: readonly (ImagePart | undefined)[],
): Promise<(Structure | undefined)[]> {
  const spans = extents.map(({ base, size }, i) => {
    const part = parts[i];
    const length = part === undefined ? 0 : Math.min(part.size, Number(size) - part.offset);
    return length > 0 && part !== undefined ? { address: base + BigInt(part.offset), length } : undefined;
  });
  const present = spans.filter((span) => span !== undefined);
  if (present.length === 0) return spans.map(() => undefined);
  const reads = (await readStructures(memory, present)).values();
  return spans.map((span) => (span === undefined ? undefined : reads.next().value));
}
