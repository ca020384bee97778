/**
 * The layout of an ELF file: where its sections lie, what they are called, where it was linked.
 *
 * Source: System V ABI (gABI) chapter 4, "ELF-64 Object File Format" 1.5: header of 64 bytes, section headers of 64, program headers of
 * 56. ELF for the Arm 64-bit Architecture: e_machine 183.
 *
 * elfy splits the headers and names the sections. It takes a whole file in memory, trusts every count in it and passes 64-bit fields
 * through doubles; so it is handed an extract that is made here: the headers, checked and counted, and the section names, with every
 * offset and size in it pointing inside the extract. What that costs is bounded whatever the file says. 64-bit fields are read from the
 * same headers exactly, and the contents of sections from the file by them.
 */
import elfy from "elfy";
import type { ByteSource } from "./byte-source.ts";
import { type AddressRange, rangeAround } from "./span.ts";
import { symbolsUnreadable } from "./unreadable.ts";

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  /** sh_type. */
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  /** In the file. */
  readonly offset: bigint;
  readonly size: bigint;
  readonly link: number;
  readonly entrySize: bigint;
}

export interface ElfLayout {
  readonly sections: readonly ElfSection[];
  /** The lowest address of a loaded segment. */
  readonly linkBase: bigint;
  readonly linkSize: bigint;
}

export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_NOTE = 7;
export const SHT_NOBITS = 8;
export const SHT_DYNSYM = 11;

const HEADER = 64;
const SECTION_HEADER = 64;
const PROGRAM_HEADER = 56;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_AARCH64 = 183;
const PT_LOAD = 1;
const SHF_ALLOC = 2;

const MAX_SECTIONS = 4096;
const MAX_SEGMENTS = 512;
const MAX_SECTION_NAMES = 1 << 18;
const MAX_SECTION_NAME = 256;
const TOP = 1n << 64n;

export function isElf(start: Uint8Array): boolean {
  return start.length >= 4 && start[0] === 0x7f && start[1] === 0x45 && start[2] === 0x4c && start[3] === 0x46;
}

/** Reads the headers of an ELF64 file for AArch64 that has been linked; rejects with an EbscopeError for anything else. */
export async function readElfLayout(source: ByteSource): Promise<ElfLayout> {
  const header = await source.read(0, HEADER);
  checkKind(source.path, header);
  const programs = await readTable(source, header, { offset: 32, entry: 54, count: 56 }, PROGRAM_HEADER, MAX_SEGMENTS);
  const headers = await readTable(source, header, { offset: 40, entry: 58, count: 60 }, SECTION_HEADER, MAX_SECTIONS);
  if (headers.length === 0) throw symbolsUnreadable(source.path, "it has no section headers, so no symbol table");
  const names = await readSectionNames(source, header, headers);
  const sections = nameSections(source.path, extract(header, headers, names), headers);
  return { sections, ...linkRange(programs, sections) };
}

function checkKind(path: string, header: Buffer): void {
  const fail = (state: string): never => {
    throw symbolsUnreadable(path, state);
  };
  if (!isElf(header)) fail("it is no ELF file");
  if (header[4] !== 2) fail("it is a 32-bit ELF file");
  if (header[5] !== 1) fail("it is a big-endian ELF file");
  if (header.readUInt16LE(18) !== EM_AARCH64)
    fail(`it is for another machine (ELF machine ${header.readUInt16LE(18)})`);
  const type = header.readUInt16LE(16);
  if (type === 1) fail("it has not been linked (a relocatable object), so its symbols have no addresses");
  if (type !== ET_EXEC && type !== ET_DYN) fail(`it is no program (ELF type ${type})`);
}

interface TableFields {
  readonly offset: number;
  readonly entry: number;
  readonly count: number;
}

async function readTable(
  source: ByteSource,
  header: Buffer,
  fields: TableFields,
  entrySize: number,
  most: number,
): Promise<Buffer> {
  const offset = header.readBigUInt64LE(fields.offset);
  const count = header.readUInt16LE(fields.count);
  if (offset === 0n || count === 0) return Buffer.alloc(0);
  if (header.readUInt16LE(fields.entry) !== entrySize)
    throw symbolsUnreadable(source.path, "its headers have an unknown size");
  if (count > most) throw symbolsUnreadable(source.path, `it has too many sections or segments (${count})`);
  return await readPart(source, offset, BigInt(count * entrySize));
}

/** Reads a part whose place the file itself tells. */
export async function readPart(source: ByteSource, offset: bigint, size: bigint): Promise<Buffer> {
  if (offset + size > BigInt(source.size)) throw symbolsUnreadable(source.path, "it ends early");
  return await source.read(Number(offset), Number(size));
}

async function readSectionNames(source: ByteSource, header: Buffer, headers: Buffer): Promise<Buffer> {
  const at = header.readUInt16LE(62) * SECTION_HEADER;
  if (at + SECTION_HEADER > headers.length || headers.readUInt32LE(at + 4) !== SHT_STRTAB) {
    throw symbolsUnreadable(source.path, "its sections have no names");
  }
  const size = headers.readBigUInt64LE(at + 32);
  if (size > MAX_SECTION_NAMES) throw symbolsUnreadable(source.path, "its table of section names is too large");
  const names = await readPart(source, headers.readBigUInt64LE(at + 24), size);
  for (let i = 0; i < headers.length; i += SECTION_HEADER) {
    const name = headers.readUInt32LE(i);
    // elfy copies each name up to its NUL: 4,096 times a whole table without one would be a gigabyte.
    if (!names.subarray(name, name + MAX_SECTION_NAME).includes(0)) {
      throw symbolsUnreadable(source.path, "a section name does not end");
    }
  }
  return names;
}

/** A small ELF file with these headers and names and nothing else: what elfy gets. */
function extract(header: Buffer, headers: Buffer, names: Buffer): Buffer {
  const file = Buffer.concat([header, headers, names]);
  file.writeBigUInt64LE(0n, 32);
  file.writeUInt16LE(0, 56);
  file.writeBigUInt64LE(BigInt(HEADER), 40);
  for (let at = HEADER; at < HEADER + headers.length; at += SECTION_HEADER) file.fill(0, at + 24, at + 40);
  const own = HEADER + header.readUInt16LE(62) * SECTION_HEADER;
  file.writeBigUInt64LE(BigInt(HEADER + headers.length), own + 24);
  file.writeBigUInt64LE(BigInt(names.length), own + 32);
  return file;
}

function nameSections(path: string, file: Buffer, headers: Buffer): ElfSection[] {
  const { sections } = split(path, file);
  return sections.map(({ name, link }, index) => {
    const at = index * SECTION_HEADER;
    return {
      index,
      name,
      link,
      type: headers.readUInt32LE(at + 4),
      flags: headers.readUInt32LE(at + 8),
      address: headers.readBigUInt64LE(at + 16),
      offset: headers.readBigUInt64LE(at + 24),
      size: headers.readBigUInt64LE(at + 32),
      entrySize: headers.readBigUInt64LE(at + 56),
    };
  });
}

function split(path: string, file: Buffer) {
  try {
    return elfy.parse(file).body;
  } catch (error) {
    throw symbolsUnreadable(path, "its headers are damaged", error);
  }
}

function linkRange(programs: Buffer, sections: readonly ElfSection[]): { linkBase: bigint; linkSize: bigint } {
  const loaded = segments(programs);
  const ranges =
    loaded.length > 0 ? loaded : sections.filter(({ flags, size }) => (flags & SHF_ALLOC) !== 0 && size > 0n);
  const around = rangeAround(ranges.filter(({ address, size }) => address + size <= TOP));
  return { linkBase: around?.address ?? 0n, linkSize: around?.size ?? 0n };
}

function segments(programs: Buffer): AddressRange[] {
  const found: AddressRange[] = [];
  for (let at = 0; at < programs.length; at += PROGRAM_HEADER) {
    const size = programs.readBigUInt64LE(at + 40);
    if (programs.readUInt32LE(at) === PT_LOAD && size > 0n)
      found.push({ address: programs.readBigUInt64LE(at + 16), size });
  }
  return found;
}
