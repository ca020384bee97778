/** The maps of three linkers; text-symbols.ts says how they look. */
import type { SymbolType } from "./symbol-columns.ts";
import type { TextTable } from "./text-table.ts";

/** A section's contents are code when its name says so. */
function typeIn(section: string): SymbolType {
  return /^\.(init\.)?text\b|^\.head\.text|CODE/.test(section) ? "func" : "object";
}

/** Sections that are in the file but not in memory. */
function isLoaded(name: string): boolean {
  return !/^\.(debug|zdebug|comment|symtab|strtab|shstrtab|stab|gnu\.|note\.gnu\.gold|build-id)/.test(name);
}

const MAX_SIZE = 2 ** 40;

/** `.text.CoreExitBootServices` of -ffunction-sections names the function; `.text.unlikely` and the like are the compiler's own. */
const FUNCTION_SECTION = /^\.text\.([A-Za-z_][A-Za-z0-9_]*)$/;
const COMPILERS_OWN = /^(unlikely|hot|startup|exit|unknown|sorted|split)$/;

const GNU_OUTPUT = /^(\.[^\s]+)(?:\s+0x([0-9a-f]{1,16})\s+0x([0-9a-f]{1,16})\b.*)?$/;
const GNU_INPUT = /^ (\.[^\s]+)(?:\s+0x([0-9a-f]{1,16})\s+0x([0-9a-f]{1,16})\b.*)?$/;
const GNU_CONTINUED = /^ {10,20}0x([0-9a-f]{1,16})\s+0x([0-9a-f]{1,16})(?:\s.*)?$/;
const GNU_SYMBOL = /^ {10,20}0x([0-9a-f]{1,16}) +([^\s()]+)(?: = .*)?$/;

interface GnuState {
  /** The section whose address is expected on the next line. */
  pending: { readonly name: string; readonly output: boolean } | undefined;
  type: SymbolType;
  section: number | undefined;
  loaded: boolean;
}

export function parseGnuMap(lines: Iterable<string>, table: TextTable): void {
  const state: GnuState = { pending: undefined, type: "notype", section: undefined, loaded: false };
  let begun = false;
  for (const line of lines) {
    if (!begun) begun = line.startsWith("Linker script and memory map");
    else if (line.startsWith("OUTPUT(") || line.startsWith("/DISCARD/")) state.loaded = false;
    else gnuLine(line, state, table);
  }
  if (!begun) table.problem = "it has no memory map";
}

function gnuLine(line: string, state: GnuState, table: TextTable): void {
  const pending = state.pending;
  state.pending = undefined;
  const continued = pending === undefined ? null : GNU_CONTINUED.exec(line);
  if (pending !== undefined && continued !== null) {
    gnuSection(pending.name, pending.output, continued[1] ?? "", continued[2] ?? "", state, table);
    return;
  }
  const output = GNU_OUTPUT.exec(line);
  const section = output ?? GNU_INPUT.exec(line);
  if (section !== null) {
    const [, name = "", address, size] = section;
    if (address === undefined || size === undefined) state.pending = { name, output: output !== null };
    else gnuSection(name, output !== null, address, size, state, table);
    return;
  }
  const [, address = "", name = ""] = GNU_SYMBOL.exec(line) ?? [];
  if (address !== "" && name !== "." && state.loaded && !name.startsWith("0x")) {
    table.add({ address, name, type: state.type, binding: "global", ...inSection(state.section) });
  }
}

function gnuSection(
  name: string,
  output: boolean,
  address: string,
  digits: string,
  state: GnuState,
  table: TextTable,
): void {
  const size = Number.parseInt(digits, 16);
  if (output) {
    state.loaded = isLoaded(name) && size > 0 && size < MAX_SIZE;
    state.section = state.loaded
      ? table.section({ name, address: BigInt(`0x${address}`), size: BigInt(size) })
      : undefined;
  }
  state.type = typeIn(name);
  const own = FUNCTION_SECTION.exec(name)?.[1];
  if (output || own === undefined || COMPILERS_OWN.test(own) || !state.loaded || size === 0 || size > MAX_SIZE) return;
  table.add({ address, name: own, type: "func", binding: "local", size, ...inSection(state.section) });
}

function inSection(section: number | undefined): { section?: number } {
  return section === undefined ? {} : { section };
}

const LLD_LINE = /^ *([0-9a-f]{1,16}) +([0-9a-f]{1,16}) +([0-9a-f]{1,16}) +[0-9]{1,20} ( *)([^ ].*)$/;

/** lld indents an input section by 8 and a symbol by 16. */
export function parseLldMap(lines: Iterable<string>, table: TextTable): void {
  let section: number | undefined;
  let type: SymbolType = "notype";
  let loaded = false;
  for (const line of lines) {
    const [, address = "", , digits = "", indent = "", name = ""] = LLD_LINE.exec(line) ?? [];
    const size = Number.parseInt(digits, 16);
    if (address === "" || size > MAX_SIZE) continue;
    if (indent.length === 0 && /^\.[^\s=]+$/.test(name)) {
      loaded = isLoaded(name) && size > 0;
      section = loaded ? table.section({ name, address: BigInt(`0x${address}`), size: BigInt(size) }) : undefined;
      type = typeIn(name);
    } else if (indent.length === 16 && loaded && !/[ =]/.test(name)) {
      table.add({ address, name, type, binding: "global", size, ...inSection(section) });
    }
  }
}

const MSVC_BASE = /^ Preferred load address is ([0-9a-f]{1,16})\s*$/;
const MSVC_SECTION = /^ ([0-9a-f]{4}):([0-9a-f]{8}) ([0-9a-f]{8})H (\S+) +(CODE|DATA)\s*$/;
const MSVC_SYMBOL = /^ ([0-9a-f]{4}):([0-9a-f]{8}) +(\S+) +([0-9a-f]{16})\b/;

/** COFF has no weak definitions; LLVM writes `.weak.NAME.default.OTHER` for one. */
const MSVC_WEAK = /^\.weak\.([^.]+)\.default\./;

/** Parts of the few sections that a PE image has: each has a line. */
const MAX_MSVC_SECTIONS = 256;

/** Sections are given by number and length; where one starts is known from its symbols. */
export function parseMsvcMap(lines: Iterable<string>, table: TextTable): void {
  const lengths = new Map<string, { end: number; name: string; type: SymbolType }>();
  const sections = new Map<string, number | undefined>();
  let binding: "global" | "local" = "global";
  for (const line of lines) {
    const [, number = "", offset = "", name = "", address = ""] = MSVC_SYMBOL.exec(line) ?? [];
    if (number === "") {
      const base = MSVC_BASE.exec(line)?.[1];
      if (base !== undefined) table.setBase(BigInt(`0x${base}`));
      if (line.startsWith(" Static symbols")) binding = "local";
      const [, of = "", start = "", length = "", group = "", kind = ""] = MSVC_SECTION.exec(line) ?? [];
      if (of === "" || lengths.size >= MAX_MSVC_SECTIONS) continue;
      const end = Math.max(lengths.get(of)?.end ?? 0, Number.parseInt(start, 16) + Number.parseInt(length, 16));
      lengths.set(of, { end, name: lengths.get(of)?.name ?? group, type: kind === "CODE" ? "func" : "object" });
      continue;
    }
    // Number 0000 holds absolute ones.
    const within = lengths.get(number);
    if (number === "0000" || within === undefined) continue;
    if (!sections.has(number)) {
      const sectionStart = BigInt(`0x${address}`) - BigInt(`0x${offset}`);
      if (sectionStart < 0n) continue;
      sections.set(number, table.section({ name: within.name, address: sectionStart, size: BigInt(within.end) }));
    }
    const weak = MSVC_WEAK.exec(name)?.[1];
    table.add({
      address,
      name: weak ?? name,
      type: within.type,
      binding: weak === undefined ? binding : "weak",
      ...inSection(sections.get(number)),
    });
  }
}
