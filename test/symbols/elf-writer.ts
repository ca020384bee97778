/** Writes ELF files field by field from the gABI's tables: what the reader is held against. */

export interface WrittenSection {
  readonly name: string;
  /** sh_type; 1 is SHT_PROGBITS. */
  readonly type?: number;
  /** 2 is SHF_ALLOC. */
  readonly flags?: number;
  readonly address?: bigint;
  /** Its bytes, or its size alone. */
  readonly bytes?: Buffer;
  readonly size?: bigint;
}

export interface WrittenSymbol {
  readonly name: string;
  readonly value: bigint;
  readonly size?: bigint;
  /** STT_: 0 notype, 1 object, 2 func. */
  readonly type?: number;
  /** STB_: 0 local, 1 global, 2 weak. */
  readonly binding?: number;
  /** st_shndx; 1 is the first of `sections`. */
  readonly section?: number;
}

export interface WrittenElf {
  readonly machine?: number;
  readonly type?: number;
  readonly sections?: readonly WrittenSection[];
  /** Virtual address and size of each PT_LOAD. */
  readonly segments?: readonly (readonly [bigint, bigint])[];
  readonly symbols?: readonly WrittenSymbol[];
  readonly dynamicSymbols?: readonly WrittenSymbol[];
  readonly buildId?: string;
  readonly buildIdSection?: { readonly name: string; readonly type: number };
}

interface Placed {
  readonly section: WrittenSection & { readonly link?: number; readonly entrySize?: number };
  readonly offset: number;
}

export function writeElf(elf: WrittenElf = {}): Buffer {
  const segments = elf.segments ?? [];
  const sections = allSections(elf);
  const names = stringTable([...sections.map(({ name }) => name), ".shstrtab"]);
  sections.push({ name: ".shstrtab", type: 3, bytes: names.bytes });
  let end = 64 + 56 * segments.length;
  const placed: Placed[] = sections.map((section) => {
    const offset = end;
    end += section.bytes?.length ?? 0;
    return { section, offset };
  });
  const file = Buffer.alloc(end + 64 * (sections.length + 1));
  writeHeader(file, elf, segments.length, sections.length + 1, end);
  segments.forEach(([address, size], i) => {
    writeSegment(file, 64 + 56 * i, address, size);
  });
  placed.forEach(({ section, offset }, i) => {
    section.bytes?.copy(file, offset);
    writeSectionHeader(file, end + 64 * (i + 1), section, offset, names.at(section.name));
  });
  return file;
}

function allSections(elf: WrittenElf): Placed["section"][] {
  const sections: Placed["section"][] = [...(elf.sections ?? [])];
  if (elf.buildId !== undefined) {
    const { name, type } = elf.buildIdSection ?? { name: ".note.gnu.build-id", type: 7 };
    sections.push({ name, type, bytes: buildIdNote(elf.buildId) });
  }
  for (const [name, type, list] of [
    [".symtab", 2, elf.symbols],
    [".dynsym", 11, elf.dynamicSymbols],
  ] as const) {
    if (list === undefined) continue;
    const strings = stringTable(list.map((symbol) => symbol.name));
    const link = sections.length + 2;
    sections.push({ name, type, bytes: symbolTable(list, strings), link, entrySize: 24 });
    sections.push({ name: name === ".symtab" ? ".strtab" : ".dynstr", type: 3, bytes: strings.bytes });
  }
  return sections;
}

interface Strings {
  readonly bytes: Buffer;
  at(name: string): number;
}

function stringTable(names: readonly string[]): Strings {
  const offsets = new Map<string, number>([["", 0]]);
  const parts = [Buffer.from([0])];
  let end = 1;
  for (const name of names) {
    if (offsets.has(name)) continue;
    const part = Buffer.from(`${name}\0`, "utf8");
    offsets.set(name, end);
    parts.push(part);
    end += part.length;
  }
  return { bytes: Buffer.concat(parts), at: (name) => offsets.get(name) ?? 0 };
}

function symbolTable(symbols: readonly WrittenSymbol[], strings: Strings): Buffer {
  const table = Buffer.alloc(24 * (symbols.length + 1));
  symbols.forEach(({ name, value, size = 0n, type = 2, binding = 1, section = 1 }, i) => {
    const at = 24 * (i + 1);
    table.writeUInt32LE(strings.at(name), at);
    table.writeUInt8((binding << 4) | type, at + 4);
    table.writeUInt16LE(section, at + 6);
    table.writeBigUInt64LE(value, at + 8);
    table.writeBigUInt64LE(size, at + 16);
  });
  return table;
}

function buildIdNote(id: string): Buffer {
  const note = Buffer.alloc(16);
  note.writeUInt32LE(4, 0);
  note.writeUInt32LE(id.length / 2, 4);
  note.writeUInt32LE(3, 8);
  note.write("GNU\0", 12, "latin1");
  return Buffer.concat([note, Buffer.from(id, "hex")]);
}

function writeHeader(file: Buffer, elf: WrittenElf, segments: number, sections: number, at: number): void {
  file.write("\x7fELF\x02\x01\x01", 0, "latin1");
  file.writeUInt16LE(elf.type ?? 2, 16);
  file.writeUInt16LE(elf.machine ?? 183, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(segments > 0 ? 64n : 0n, 32);
  file.writeBigUInt64LE(BigInt(at), 40);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(segments, 56);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(sections, 60);
  file.writeUInt16LE(sections - 1, 62);
}

function writeSegment(file: Buffer, at: number, address: bigint, size: bigint): void {
  file.writeUInt32LE(1, at);
  file.writeBigUInt64LE(address, at + 16);
  file.writeBigUInt64LE(size, at + 40);
}

function writeSectionHeader(file: Buffer, at: number, section: Placed["section"], offset: number, name: number): void {
  file.writeUInt32LE(name, at);
  file.writeUInt32LE(section.type ?? 1, at + 4);
  file.writeBigUInt64LE(BigInt(section.flags ?? 0), at + 8);
  file.writeBigUInt64LE(section.address ?? 0n, at + 16);
  file.writeBigUInt64LE(BigInt(offset), at + 24);
  file.writeBigUInt64LE(section.size ?? BigInt(section.bytes?.length ?? 0), at + 32);
  file.writeUInt32LE(section.link ?? 0, at + 40);
  file.writeBigUInt64LE(BigInt(section.entrySize ?? 0), at + 56);
}
