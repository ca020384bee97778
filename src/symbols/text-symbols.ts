/**
 * Symbols from text: what `nm` prints (System.map, Xen's .map, a copy of /proc/kallsyms) and the maps of linkers.
 *
 * GNU ld: after "Linker script and memory map", an output section starts a line, its input sections stand one column in (a long name
 * on a line of its own), a symbol as an address and a name further in. Linked with -ffunction-sections (edk2 is), input sections name
 * static functions too. lld: a header line, then columns VMA LMA Size Align and by depth of indentation an output section, an input
 * section or a symbol. link.exe and lld-link: "Publics by Value" with section:offset, name and address.
 *
 * Every pattern below is anchored and its parts exclude each other, so a line costs what its length says.
 */
import { latin1 } from "../base/text.ts";
import type { ByteSource } from "./byte-source.ts";
import { parseGnuMap, parseLldMap, parseMsvcMap } from "./linker-maps.ts";
import { parseNmList } from "./nm-list.ts";
import type { SymbolFile } from "./symbol-file.ts";
import { TextTable } from "./text-table.ts";
import { symbolsUnreadable } from "./unreadable.ts";

export type TextKind = "nm-list" | "gnu-map" | "lld-map" | "msvc-map";

const MAX_TEXT = 24 << 20;
const HEAD = 4096;
const MAX_LINE = 1024;
/** Several times a kernel's. A line costs more than its length says: without a bound, 24 MiB of empty lines took two seconds. */
const MAX_LINES = 600_000;

const PARSERS: Readonly<Record<TextKind, (lines: Iterable<string>, table: TextTable) => void>> = {
  "nm-list": parseNmList,
  "gnu-map": parseGnuMap,
  "lld-map": parseLldMap,
  "msvc-map": parseMsvcMap,
};

export async function readTextSymbols(source: ByteSource): Promise<Omit<SymbolFile, "path" | "name">> {
  const kind = kindOf(latin1(await source.read(0, Math.min(HEAD, source.size))));
  if (kind === undefined) throw symbolsUnreadable(source.path, "it is no ELF file, no System.map and no linker's map");
  if (source.size > MAX_TEXT)
    throw symbolsUnreadable(source.path, `it is too large (more than ${MAX_TEXT >> 20} MiB of text)`);
  const bytes = await source.read(0, source.size);
  if (hasMoreLines(bytes, MAX_LINES)) throw symbolsUnreadable(source.path, "it has too many lines");
  const table = new TextTable();
  PARSERS[kind](linesOf(latin1(bytes)), table);
  const symbols = table.finish();
  if (table.problem !== undefined) throw symbolsUnreadable(source.path, table.problem);
  return { kind, buildId: undefined, hasLines: false, ...symbols };
}

function kindOf(head: string): TextKind | undefined {
  const first = head.split("\n", 12).find((line) => line.trim() !== "") ?? "";
  if (/^[0-9a-f]{8,16} [A-Za-z] \S/.test(first)) return "nm-list";
  if (/^ *VMA +LMA +Size +Align +Out +In +Symbol/.test(first)) return "lld-map";
  if (/^ Timestamp is |^ Preferred load address is /m.test(head)) return "msvc-map";
  return GNU_BEGINNINGS.some((text) => first.startsWith(text)) ? "gnu-map" : undefined;
}

const GNU_BEGINNINGS: readonly string[] = [
  "Archive member included",
  "As-needed library included",
  "Allocating common symbols",
  "Merging program properties",
  "There are no discarded input sections",
  "Discarded input sections",
  "Memory Configuration",
  "Linker script and memory map",
];

function hasMoreLines(bytes: Buffer, most: number): boolean {
  let count = 0;
  for (let i = 0; i < bytes.length && count <= most; i++) if (bytes[i] === 0x0a) count++;
  return count > most;
}

/** The lines that end, without their ends: the last one of a file that was cut short would name a symbol wrongly. */
function* linesOf(text: string): Generator<string> {
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
    const stop = text[end - 1] === "\r" ? end - 1 : end;
    if (stop - start <= MAX_LINE) yield text.slice(start, Math.max(start, stop));
    start = end + 1;
  }
}
