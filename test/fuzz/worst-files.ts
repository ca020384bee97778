/**
 * The dearest symbol files that the bounds of src/symbols let through, made by hand: as many symbols, names, sections, notes and lines as
 * are taken, in the order that costs most. Byte by byte after the gABI (chapter 4) and the forms of text that text-symbols.ts tells.
 */
import { Random } from "../support/random.ts";

export interface WorstFile {
  readonly name: string;
  readonly make: () => Buffer;
}

const ENTRY = 24;
const MILLION = 1_000_000;
const TEXT = 24 << 20;
/** One more would be too many. */
const LINES = 600_000;

interface BigElf {
  /** Entries of .symtab, each written by `symbol`. */
  readonly count: number;
  readonly symbol: (entry: Buffer, at: number, i: number) => void;
  readonly strings: Buffer;
  /** Further sections. */
  readonly more?: readonly { readonly name: Buffer; readonly type: number; readonly bytes: Buffer }[];
}

/** Sections 0: none, 1: .symtab, 2: .strtab, 3: .shstrtab, then the others. */
function bigElf({ count, symbol, strings, more = [] }: BigElf): Buffer {
  const table = Buffer.alloc(count * ENTRY);
  for (let i = 0; i < count; i++) symbol(table, i * ENTRY, i);
  const sectionNames = Buffer.concat([Buffer.from("\0.symtab\0"), ...more.map(({ name }) => name)]);
  const plain = [
    { type: 2, bytes: table, name: 1 },
    { type: 3, bytes: strings, name: 1 },
    { type: 3, bytes: sectionNames, name: 1 },
  ];
  let nameAt = 9;
  const others = more.map(({ name, type, bytes }) => {
    nameAt += name.length;
    return { type, bytes, name: nameAt - name.length };
  });
  return joined([...plain, ...others]);
}

function joined(sections: readonly { readonly type: number; readonly bytes: Buffer; readonly name: number }[]): Buffer {
  const headers = Buffer.alloc(64 * (sections.length + 1));
  let offset = 64 + headers.length;
  sections.forEach(({ type, bytes, name }, i) => {
    const at = 64 * (i + 1);
    headers.writeUInt32LE(name, at);
    headers.writeUInt32LE(type, at + 4);
    headers.writeBigUInt64LE(2n, at + 8);
    headers.writeBigUInt64LE(BigInt(offset), at + 24);
    headers.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    headers.writeUInt32LE(type === 2 ? 2 : 0, at + 40);
    headers.writeBigUInt64LE(BigInt(type === 2 ? ENTRY : 0), at + 56);
    offset += bytes.length;
  });
  return Buffer.concat([elfHeader(sections.length + 1), headers, ...sections.map(({ bytes }) => bytes)]);
}

function elfHeader(sections: number): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", 0, "latin1");
  for (const [at, value] of [
    [16, 2],
    [18, 183],
    [52, 64],
    [54, 56],
    [58, 64],
    [60, sections],
    [62, 3],
  ] as const)
    header.writeUInt16LE(value, at);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(64n, 40);
  return header;
}

/** A global function in section 1. */
function func(entry: Buffer, at: number, name: number, value: bigint, size: bigint): void {
  entry.writeUInt32LE(name, at);
  entry.writeUInt8(0x12, at + 4);
  entry.writeUInt16LE(1, at + 6);
  entry.writeBigUInt64LE(value, at + 8);
  entry.writeBigUInt64LE(size, at + 16);
}

const NAMES = Buffer.alloc(64 << 20, "a");
const random = new Random(1);

/** A million symbols with names all over a table of 64 MiB, and two million entries that name nothing. */
function scattered(value: (i: number) => bigint, size: (i: number) => bigint, taken = MILLION): Buffer {
  const strings = Buffer.from(NAMES);
  strings[0] = 0;
  const name = (): number => 1 + random.below(strings.length - 1);
  return bigElf({
    count: 3 * MILLION,
    symbol: (entry, at, i) => (i < taken ? func(entry, at, name(), value(i), size(i)) : undefined),
    strings,
  });
}

/** Names that find() has to compare to their last byte, all of them. */
function alike(name: string): Buffer {
  const strings = Buffer.from(`\0${name}`, "latin1");
  const symbol = (entry: Buffer, at: number, i: number): void => func(entry, at, 1, BigInt(i * 4), 4n);
  return bigElf({ count: MILLION, symbol, strings });
}

function manySections(): Buffer {
  const more = Array.from({ length: 4092 }, (_, i) => ({
    name: Buffer.from(`${"\x1b".repeat(60)}\0`, "latin1"),
    type: i < 16 ? 7 : 1,
    bytes: i < 16 ? Buffer.alloc(1 << 16) : Buffer.alloc(1),
  }));
  return bigElf({ count: 1, symbol: (entry, at) => func(entry, at, 1, 4n, 4n), strings: Buffer.from("\0a\0"), more });
}

/** A head, then one line again and again, as often as it is taken; numbers differ where the line is a function of one. */
function text(head: string, line: string | ((i: number) => string)): Buffer {
  const bytes = Buffer.alloc(TEXT);
  let used = bytes.write(head, 0, "latin1");
  for (let i = head.split("\n").length; i <= LINES; i++) {
    const next = typeof line === "string" ? line : line(i);
    if (used + next.length > bytes.length) break;
    used += bytes.write(next, used, "latin1");
  }
  return bytes.subarray(0, used);
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
const GNU = "Linker script and memory map\n\n.text 0x0 0x1000\n";
const LLD = "             VMA              LMA     Size Align Out     In      Symbol\n";
const LLD_TEXT = `${LLD}0 0 ffff 4 .text\n`;
const MSVC = " Timestamp is 0\n\n Preferred load address is 0\n\n 0001:00000000 0000ffffH .text CODE\n";
const NM = "0000000000000000 T a\n";

export const WORST_FILES: readonly WorstFile[] = [
  {
    name: "ELF: random addresses",
    make: () =>
      scattered(
        () => random.word(),
        () => BigInt(random.below(64)),
      ),
  },
  {
    name: "ELF: one address, sizes",
    make: () =>
      scattered(
        () => 0x1000n,
        (i) => BigInt(i),
      ),
  },
  {
    name: "ELF: one address, one size",
    make: () =>
      scattered(
        () => 0x1000n,
        () => 16n,
      ),
  },
  {
    name: "ELF: one address, no size",
    make: () =>
      scattered(
        () => 0x1000n,
        () => 0n,
      ),
  },
  {
    name: "ELF: each within the one before",
    make: () =>
      scattered(
        (i) => BigInt(i),
        (i) => BigInt(2 * (MILLION - i)),
      ),
  },
  {
    name: "ELF: two to the 64 bytes each",
    make: () =>
      scattered(
        (i) => BigInt(i),
        () => (1n << 64n) - 1n,
      ),
  },
  {
    name: "ELF: 3,000,000 symbols",
    make: () =>
      scattered(
        (i) => BigInt(i),
        () => 4n,
        3 * MILLION,
      ),
  },
  { name: "ELF: names alike", make: () => alike("hyp_traps_vectoR") },
  { name: "ELF: long names", make: () => alike("\x1b".repeat(2000)) },
  { name: "ELF: 4,096 sections, notes", make: manySections },
  { name: "text: no symbols at all", make: () => Buffer.alloc(TEXT, 0x0a) },
  { name: "nm: empty lines", make: () => text(NM, "\n") },
  { name: "nm: lines of one letter", make: () => text(NM, "x\n") },
  { name: "nm: shortest symbols", make: () => text(NM, "00000000 T a\n") },
  {
    name: "nm: random addresses",
    make: () => text(NM, () => `${hex(random.next(), 8)}${hex(random.next(), 8)} t f\n`),
  },
  { name: "nm: too many lines", make: () => Buffer.from(`${NM}${"\n".repeat(TEXT - NM.length)}`) },
  { name: "nm: longest lines", make: () => text(NM, `00000000 T ${"a".repeat(1012)}\n`) },
  { name: "nm: blanks", make: () => text(NM, `00000000 T a${" ".repeat(1010)}x\n`) },
  { name: "nm: one line", make: () => text(NM, "a".repeat(1 << 20)) },
  { name: "nm: returns", make: () => text(NM, "\r\n") },
  { name: "GNU: shortest sections", make: () => text(GNU, ".a 0x0 0x1\n") },
  { name: "GNU: function sections", make: () => text(GNU, (i) => ` .text.f 0x${hex(i % 4096, 1)} 0x1\n`) },
  { name: "GNU: symbols", make: () => text(GNU, `${" ".repeat(10)}0x0 a\n`) },
  { name: "GNU: blanks", make: () => text(GNU, `.a${" ".repeat(500)}0x1${" ".repeat(500)}\r.\n`) },
  { name: "GNU: names that go on", make: () => text(GNU, ` .a\n${" ".repeat(20)}0x1 ${"a".repeat(900)}(\n`) },
  { name: "GNU: a long section", make: () => text(GNU, `.${"a".repeat(1000)} \n`) },
  { name: "GNU: returns", make: () => text(GNU, `.a 0x1 0x1 ${"a".repeat(1000)}\rx\n`) },
  { name: "lld: sections", make: () => text(LLD, "0 0 1 4 .a\n") },
  { name: "lld: symbols", make: () => text(LLD_TEXT, `0 0 1 4 ${" ".repeat(16)}a\n`) },
  { name: "lld: blanks", make: () => text(LLD_TEXT, `0 0 1 4${" ".repeat(1000)}\r\r\n`) },
  { name: "link.exe: sections", make: () => text(MSVC, " 0001:00000000 00000001H a CODE\n") },
  {
    name: "link.exe: many sections",
    make: () => text(MSVC, (i) => ` ${hex(i & 0xffff, 4)}:00000000 00000001H a CODE\n`),
  },
  { name: "link.exe: symbols", make: () => text(MSVC, " 0001:00000000 a 0000000000000000\n") },
  { name: "link.exe: blanks", make: () => text(MSVC, ` 0001:00000000 a${" ".repeat(1000)}\n`) },
];
