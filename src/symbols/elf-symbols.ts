/**
 * Symbols and build id of an ELF file.
 *
 * Source: gABI chapter 4: a symbol has 24 bytes {st_name 4, st_info 1, st_other 1, st_shndx 2, st_value 8, st_size 8}. ELF for the Arm
 * 64-bit Architecture 5.5.4: `$x` and `$d` (with or without `.any`) mark code and data, they name nothing. A note has {namesz, descsz,
 * type} and both parts padded to four bytes; type 3 of owner GNU is the build id.
 */
import type { ByteSource } from "./byte-source.ts";
import {
  type ElfLayout,
  type ElfSection,
  readPart,
  SHT_DYNSYM,
  SHT_NOBITS,
  SHT_NOTE,
  SHT_STRTAB,
  SHT_SYMTAB,
} from "./elf-layout.ts";
import { rankOf, type SymbolBinding, SymbolColumns, type SymbolType } from "./symbol-columns.ts";
import { SymbolTable } from "./symbol-table.ts";
import { symbolsUnreadable } from "./unreadable.ts";

const ENTRY = 24;
/** Half of a kernel's are mapping symbols. */
const MAX_ENTRIES = 3_000_000n;
const CHUNK = 65_536n * 24n;
const MAX_STRINGS = 64n << 20n;
const MAX_NOTES = 1n << 16n;
const MAX_NOTE_SECTIONS = 16;
const SHN_LORESERVE = 0xff00;

const DOLLAR = 0x24;
const DOT = 0x2e;
const UNDERSCORE = 0x5f;

/** st_info's low four bits; 10 is STT_GNU_IFUNC. Sections, files and thread-local storage are no addresses of the program. */
const TYPES: Readonly<Record<number, SymbolType>> = { 0: "notype", 1: "object", 2: "func", 10: "func" };
/** st_info's high four bits; 10 is STB_GNU_UNIQUE. */
const BINDINGS: Readonly<Record<number, SymbolBinding>> = { 0: "local", 1: "global", 2: "weak", 10: "global" };

/** The symbols of .symtab, else of .dynsym; rejects with an EbscopeError when there are none. */
export async function readElfSymbols(source: ByteSource, layout: ElfLayout): Promise<SymbolTable> {
  const table = [SHT_SYMTAB, SHT_DYNSYM].flatMap((type) => layout.sections.find((each) => each.type === type) ?? [])[0];
  const strings = layout.sections[table?.link ?? 0];
  if (table === undefined) throw symbolsUnreadable(source.path, "it has no symbol table (it was stripped)");
  if (strings?.type !== SHT_STRTAB || table.entrySize !== BigInt(ENTRY)) {
    throw symbolsUnreadable(source.path, "its symbol table is damaged");
  }
  if (table.size > MAX_ENTRIES * BigInt(ENTRY) || strings.size > MAX_STRINGS) {
    throw symbolsUnreadable(source.path, "its symbol table is too large");
  }
  const names = await readPart(source, strings.offset, strings.size);
  const columns = new SymbolColumns(Number(table.size) / ENTRY);
  for (let at = 0n; at < table.size && !columns.overflowed; at += CHUNK) {
    const left = table.size - at;
    takeSymbols(await readPart(source, table.offset + at, left < CHUNK ? left : CHUNK), names, columns);
  }
  if (columns.overflowed) throw symbolsUnreadable(source.path, "it holds too many symbols");
  return new SymbolTable(columns, names, layout.sections);
}

function takeSymbols(entries: Buffer, names: Buffer, columns: SymbolColumns): void {
  for (let at = 0; at + ENTRY <= entries.length; at += ENTRY) {
    const info = entries[at + 4] ?? 0;
    const section = entries.readUInt16LE(at + 6);
    const type = TYPES[info & 0xf];
    const name = entries.readUInt32LE(at);
    // Undefined ones have no address; an absolute one (SHN_ABS) is a number that moves with nothing.
    if (type === undefined || section === 0 || section >= SHN_LORESERVE || namesNothing(names, name)) continue;
    columns.add({
      low: entries.readUInt32LE(at + 8),
      high: entries.readUInt32LE(at + 12),
      sizeLow: entries.readUInt32LE(at + 16),
      sizeHigh: entries.readUInt32LE(at + 20),
      name,
      rank: rankOf(type, BINDINGS[info >> 4] ?? "local"),
      section,
    });
  }
}

/** Linux renames all symbols of what runs before its own mapping, mapping symbols too (objcopy --prefix-symbols). */
const PREFIXES: readonly Buffer[] = ["__efistub_", "__pi_"].map((prefix) => Buffer.from(prefix));

/** No name, a mapping symbol (`$x`, `$d.1`, `__efistub_$x`), or a label of the assembler (`.L12`). */
function namesNothing(names: Buffer, at: number): boolean {
  const first = names[at] ?? 0;
  if (first === 0) return true;
  if (first === UNDERSCORE) {
    const prefix = PREFIXES.find((each) => each.equals(names.subarray(at, at + each.length)));
    return prefix !== undefined && isMark(names, at + prefix.length);
  }
  return isMark(names, at) || (first === DOT && names[at + 1] === 0x4c);
}

function isMark(names: Buffer, at: number): boolean {
  const [second, third] = [names[at + 1], names[at + 2] ?? 0];
  return names[at] === DOLLAR && (second === 0x78 || second === 0x64) && (third === 0 || third === DOT);
}

/** The build id in lower-case hexadecimal digits; undefined when the file has none that can be read. */
export async function readBuildId(source: ByteSource, layout: ElfLayout): Promise<string | undefined> {
  for (const section of layout.sections.filter(mayHoldBuildId).slice(0, MAX_NOTE_SECTIONS)) {
    if (section.offset + section.size > BigInt(source.size)) continue;
    const id = buildIdOf(await readPart(source, section.offset, section.size));
    if (id !== undefined) return id;
  }
  return undefined;
}

/** edk2's linker script (BaseTools/Scripts/GccBase.lds) renames the note to `.build-id`. */
function mayHoldBuildId({ name, type, size }: ElfSection): boolean {
  return size >= 16n && size <= MAX_NOTES && type !== SHT_NOBITS && (type === SHT_NOTE || name === ".build-id");
}

function buildIdOf(notes: Buffer): string | undefined {
  let at = 0;
  while (at + 12 <= notes.length) {
    const [nameSize, size, type] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4), notes.readUInt32LE(at + 8)];
    const start = at + 12 + padded(nameSize);
    const gnu = nameSize === 4 && notes.toString("latin1", at + 12, at + 16) === "GNU\0";
    if (gnu && type === 3 && size > 0 && size <= 64 && start + size <= notes.length) {
      return notes.toString("hex", start, start + size);
    }
    at = start + padded(size);
  }
  return undefined;
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
