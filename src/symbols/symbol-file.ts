/**
 * One symbol file, whatever its kind: told by its content, never by its name.
 *
 * At most 64 MiB of names and a million symbols are kept of an ELF file, and 24 MiB are read of a text file; DWARF is never read here
 * (source-lines.ts asks the tools for it).
 */
import { basename } from "node:path";
import { printable } from "../base/text.ts";
import { type ByteSource, withFile } from "./byte-source.ts";
import { type ElfLayout, isElf, readElfLayout } from "./elf-layout.ts";
import { readBuildId, readElfSymbols } from "./elf-symbols.ts";
import { imageBase } from "./span.ts";
import type { SymbolSection, SymbolTable } from "./symbol-table.ts";
import { readTextSymbols, type TextKind } from "./text-symbols.ts";
import { symbolsUnreadable } from "./unreadable.ts";

export type SymbolFileKind = "elf" | TextKind;

export interface SymbolFile {
  /** As it was given. */
  readonly path: string;
  /** The file's name. Printable. */
  readonly name: string;
  readonly kind: SymbolFileKind;
  /** Lower-case hexadecimal digits; undefined when the file has none. */
  readonly buildId: string | undefined;
  /**
   * The address that corresponds to the start of the image. 0 for what was linked at 0 (edk2's modules: their first section starts
   * where the PE headers end).
   */
  readonly linkBase: bigint;
  /** In bytes from linkBase on; 0 when the file does not say. */
  readonly linkSize: bigint;
  readonly sections: readonly SymbolSection[];
  readonly symbols: SymbolTable;
  /** Whether there is DWARF line information for the tools to read. */
  readonly hasLines: boolean;
}

/** Reads a symbol file; rejects with an EbscopeError that says what is wrong with it. */
export function readSymbolFile(path: string): Promise<SymbolFile> {
  return withFile(path, readSymbols);
}

/** The same from bytes that may lie anywhere. */
export async function readSymbols(source: ByteSource): Promise<SymbolFile> {
  if (source.size === 0) throw symbolsUnreadable(source.path, "it is empty");
  const start = await source.read(0, Math.min(4, source.size));
  const file = isElf(start) ? await readElf(source) : await readTextSymbols(source);
  if (file.symbols.length === 0) throw symbolsUnreadable(source.path, "it holds no symbols");
  return { path: source.path, name: printable(basename(source.path), 100), ...file };
}

/** The build id of an ELF file, read from its headers and notes alone; undefined for anything else. Never rejects. */
export async function readFileBuildId(path: string): Promise<string | undefined> {
  try {
    return await withFile(path, async (source) => await readBuildId(source, await readElfLayout(source)));
  } catch {
    return undefined;
  }
}

async function readElf(source: ByteSource): Promise<Omit<SymbolFile, "path" | "name">> {
  const layout = await readElfLayout(source);
  const symbols = await readElfSymbols(source, layout);
  const base = imageBase(layout.linkBase);
  return {
    kind: "elf",
    buildId: await readBuildId(source, layout),
    linkBase: base,
    linkSize: layout.linkSize + layout.linkBase - base,
    sections: loadedSections(layout),
    symbols,
    hasLines: layout.sections.some(({ name }) => name === ".debug_line" || name === ".zdebug_line"),
  };
}

function loadedSections(layout: ElfLayout): SymbolSection[] {
  return layout.sections
    .filter(({ flags, size }) => (flags & 2) !== 0 && size > 0n)
    .map(({ name, address, size }) => ({ name: printable(name, 60), address, size }));
}
