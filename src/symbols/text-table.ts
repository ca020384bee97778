/** Collects symbols and sections from text into the same table that an ELF file gives. */
import { printable } from "../base/text.ts";
import { imageBase, rangeAround } from "./span.ts";
import { rankOf, type SymbolBinding, SymbolColumns, type SymbolType } from "./symbol-columns.ts";
import { type SymbolSection, SymbolTable } from "./symbol-table.ts";

export interface TextSymbol {
  /** Hexadecimal digits, at most 16. */
  readonly address: string;
  readonly name: string;
  readonly type: SymbolType;
  readonly binding: SymbolBinding;
  /** In bytes; 0 when it is not known. */
  readonly size?: number;
  /** What section() returned. */
  readonly section?: number;
}

const MAX_NAME = 512;
const MAX_SECTIONS = 4096;

/** Where an image starts and ends, by the names that linker scripts give it: Linux, then Xen. */
const STARTS: readonly string[] = ["_text", "_start"];
const END = "_end";

export class TextTable {
  readonly #columns = new SymbolColumns();
  #names = Buffer.alloc(1 << 16);
  #used = 0;
  #sections: SymbolSection[] = [];
  #base: bigint | undefined;
  /** What makes the file useless although it parses. */
  problem: string | undefined;

  /** Where the image starts, when the text says so. */
  setBase(base: bigint): void {
    this.#base ??= base;
  }

  /** Adds a section; what it returns says in add() that a symbol belongs to it. */
  section(section: SymbolSection): number | undefined {
    if (this.#sections.length >= MAX_SECTIONS) return undefined;
    return this.#sections.push({ ...section, name: printable(section.name, 60) }) - 1;
  }

  add({ address, name, type, binding, size, section }: TextSymbol): void {
    if (name === "" || name.length > MAX_NAME || isMarker(name)) return;
    const low = Number.parseInt(address.slice(-8), 16);
    const high = address.length > 8 ? Number.parseInt(address.slice(-16, -8), 16) : 0;
    this.#columns.add({
      low,
      high,
      sizeLow: (size ?? 0) >>> 0,
      sizeHigh: Math.floor((size ?? 0) / 2 ** 32),
      name: this.#keep(name),
      rank: rankOf(type, binding),
      section,
    });
  }

  #keep(name: string): number {
    while (this.#used + name.length + 1 > this.#names.length) {
      this.#names = Buffer.concat([this.#names], this.#names.length * 2);
    }
    const start = this.#used;
    this.#names.write(name, start, "latin1");
    this.#used += name.length + 1;
    this.#names[this.#used - 1] = 0;
    return start;
  }

  finish(): { symbols: SymbolTable; sections: readonly SymbolSection[]; linkBase: bigint; linkSize: bigint } {
    if (this.#columns.overflowed) this.problem ??= "it holds too many symbols";
    const symbols = new SymbolTable(this.#columns, this.#names.subarray(0, this.#used), this.#sections);
    const around = rangeAround(this.#sections);
    const first = STARTS.flatMap((name) => symbols.find(name).slice(0, 1))[0] ?? symbols.at(0)?.value ?? 0n;
    const last = symbols.find(END).at(-1) ?? symbols.at(symbols.length - 1)?.value ?? 0n;
    const linkBase = imageBase(this.#base ?? pageOf(around?.address ?? first));
    const end = around === undefined ? last : around.address + around.size;
    return { symbols, sections: this.#sections, linkBase, linkSize: end > linkBase ? end - linkBase : 0n };
  }
}

/** Mapping symbols and assembler labels name nothing (ELF for the Arm 64-bit Architecture 5.5.4). */
function isMarker(name: string): boolean {
  return name.startsWith(".L") || (name.includes("$") && /^(__efistub_|__pi_)?\$[xd](\.|$)/.test(name));
}

/** An image starts on a page; what is lowest in a map comes after its headers. */
function pageOf(address: bigint): bigint {
  return address & ~0xfffn;
}
