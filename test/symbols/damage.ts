/** Symbol files of every kind that are damaged or were never right, the same for the same seed. */
import { readFileSync } from "node:fs";
import type { Random } from "../support/random.ts";
import { type WrittenSection, type WrittenSymbol, writeElf } from "./elf-writer.ts";
import { FOLDER, fixture } from "./files.ts";

const BINARIES = [
  readFileSync(`${FOLDER}Module.debug`),
  writeElf({
    buildId: "00112233",
    segments: [[0x20_0000n, 0x1000n]],
    sections: [{ name: ".text", flags: 6, type: 8, address: 0x20_0000n, size: 0x1000n }],
    symbols: Array.from({ length: 12 }, (_, i) => ({ name: `f${i}`, value: 0x20_0000n + BigInt(i * 16), size: 8n })),
  }),
];
const TEXTS = [
  Buffer.from(`${fixture("nm.txt").trimStart()}ffff800008000000 T _text\n`),
  ...["gnu.map", "lld.map", "msvc.map"].map((name) => Buffer.from(fixture(name))),
];
const NUMBERS = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0xff00, 0x7fffffff, 0x80000000, 0xffffffff];
const WORDS = ["0x", "\x1b[31m", "ffffffffffffffff", " ", "\n", "\0", "\u202e", "=", ".text", "$x", "(", "\r"];

/** A file with one to eight things wrong with it. */
export function damaged(random: Random): Buffer {
  const binary = random.chance(0.6);
  return damage(Buffer.from(random.pick(binary ? BINARIES : TEXTS)), binary, random.between(1, 8), random);
}

function damage(file: Buffer, binary: boolean, times: number, random: Random): Buffer {
  for (let i = times; i > 0; i--) file = binary ? damageBytes(file, random) : damageText(file, random);
  return file;
}

function damageBytes(file: Buffer, random: Random): Buffer {
  if (file.length < 16 || random.chance(0.05)) return file.subarray(0, random.below(file.length + 1));
  // Half of the damage goes where it hurts: the header, and the section headers that a file ends with.
  const at = random.pick([random.below(64), file.length - 1 - random.below(700), random.below(file.length)]);
  const place = Math.min(Math.max(at, 0), file.length - 8);
  switch (random.below(4)) {
    case 0:
      file[place] = random.below(256);
      break;
    case 1:
      file.writeUInt32LE(random.pick(NUMBERS), place);
      break;
    case 2:
      file.writeBigUInt64LE(random.word() >> BigInt(random.below(64)), place);
      break;
    default:
      file.copy(file, place, random.below(file.length - 8), file.length);
  }
  return file;
}

function damageText(file: Buffer, random: Random): Buffer {
  const at = random.below(file.length + 1);
  switch (random.below(4)) {
    case 0:
      return file.subarray(0, at);
    case 1:
      return Buffer.concat([file.subarray(0, at), Buffer.from(random.pick(WORDS)), file.subarray(at)]);
    case 2:
      return Buffer.concat([file.subarray(0, at), file.subarray(Math.min(file.length, at + random.below(60)))]);
    default:
      if (at < file.length) file[at] = random.below(256);
      return file;
  }
}

/** A file that is well formed and says odd things: nested symbols, sections over one another, numbers at the edges; then damaged a little. */
export function made(random: Random): Buffer {
  const binary = random.chance(0.6);
  const file = binary ? claiming(oddElf(random), random) : Buffer.from(oddText(random), "latin1");
  return damage(file, binary, random.pick([0, 0, 1, 2, 4]), random);
}

const PLACES = [0n, 0x1000n, 0x20_0000n, 0xffff_8000_0800_0000n, (1n << 64n) - 0x1000n, (1n << 64n) - 1n];
const SIZES = [0n, 1n, 8n, 0x100n, 1n << 32n, 1n << 63n, (1n << 64n) - 1n];
const NAMES = [
  "main",
  "_text",
  "_end",
  "$x",
  "__pi_$d",
  ".Lx",
  "",
  "a".repeat(5000),
  "\x1b[2J",
  "\u202e",
  "\ud800",
  "vectors",
];
const SECTIONS = [".text", ".data", ".note.gnu.build-id", ".build-id", ".debug_line", "\x07", "", "s".repeat(200)];

/** In some, a section says that it has gigabytes, or lies elsewhere: sh_offset, sh_size or sh_entsize. */
function claiming(file: Buffer, random: Random): Buffer {
  if (random.chance(0.7)) return file;
  const header = Number(file.readBigUInt64LE(40)) + 64 * random.below(file.readUInt16LE(60));
  const claims = [0n, 1n, 23n, 100n, 3n << 20n, 72_000_024n, 1n << 32n, 1n << 63n, (1n << 64n) - 1n];
  file.writeBigUInt64LE(random.pick(claims), header + random.pick([24, 32, 32, 56]));
  return file;
}

function place(random: Random): bigint {
  return BigInt.asUintN(64, random.pick(PLACES) + BigInt(random.below(0x200)));
}

function oddElf(random: Random): Buffer {
  const list = (most: number): WrittenSymbol[] => Array.from({ length: random.below(most) }, () => oddSymbol(random));
  return writeElf({
    machine: random.chance(0.97) ? 183 : random.below(0x1_0000),
    type: random.chance(0.97) ? random.pick([2, 3]) : random.below(0x1_0000),
    sections: Array.from({ length: random.below(6) }, () => oddSection(random)),
    segments: Array.from({ length: random.below(4) }, () => [place(random), random.pick(SIZES)] as const),
    ...(random.chance(0.9) ? { symbols: list(random.pick([4, 40, 400])) } : {}),
    ...(random.chance(0.3) ? { dynamicSymbols: list(10) } : {}),
    ...(random.chance(0.5) ? { buildId: "ff".repeat(random.pick([0, 1, 20, 64, 65])) } : {}),
  });
}

function oddSymbol(random: Random): WrittenSymbol {
  const section = random.chance(0.9) ? random.below(8) : random.pick([0, 0xfff1, 0xffff]);
  return {
    ...{ name: random.pick(NAMES), value: place(random), size: random.pick(SIZES), section },
    ...{ type: random.pick([0, 1, 2, 2, 2, 3, 6, 10, 15]), binding: random.pick([0, 1, 1, 2, 10, 15]) },
  };
}

/** Often without contents: what its size says is then all there is. */
function oddSection(random: Random): WrittenSection {
  const claims = { name: random.pick(SECTIONS), type: random.pick([1, 2, 3, 7, 8]), flags: random.pick([0, 2, 6]) };
  if (random.chance(0.3)) return { ...claims, address: place(random), bytes: Buffer.alloc(random.below(200), 1) };
  return { ...claims, address: place(random), size: random.pick(SIZES) };
}

const HEADS = [
  "0000000000001000 T main\n",
  "Linker script and memory map\n\n.text 0x1000 0x2000\n",
  "             VMA              LMA     Size Align Out     In      Symbol\n 1000 1000 2000 4 .text\n",
  " Timestamp is 0\n\n Preferred load address is 0000000000200000\n\n 0001:00000000 00002000H .text CODE\n",
];

/** Lines of all kinds below the head of one of them. */
function oddText(random: Random): string {
  const lines = Array.from({ length: random.below(60) }, () => oddLine(random));
  return `${random.pick(HEADS)}${lines.join(random.chance(0.9) ? "\n" : "\r\n")}\n`;
}

function oddLine(random: Random): string {
  const number = place(random).toString(16);
  const size = random.pick(SIZES).toString(16);
  const name = random.pick(NAMES);
  const blanks = " ".repeat(random.pick([1, 8, 16, 16, 20, 500]));
  switch (random.below(8)) {
    case 0:
      return `${number.padStart(16, "0")} ${random.pick([..."TtDbAUWn"])} ${name}`;
    case 1:
      return ` .text.${name}${blanks}0x${number}${blanks}0x${size}`;
    case 2:
      return `.${random.pick(["text", "data", "debug_x"])}  0x${number} 0x${size} load address`;
    case 3:
      return `${" ".repeat(16)}0x${number}${blanks}${name} = .`;
    case 4:
      return `${number} ${number} ${size} 4 ${blanks}${name}`;
    case 5:
      return ` 000${random.below(4)}:${number.slice(-8).padStart(8, "0")}       ${name}     ${number.padStart(16, "0")} f`;
    case 6:
      return ` 000${random.below(4)}:00000000 ${size.slice(-8).padStart(8, "0")}H ${name} CODE`;
    default:
      return random.pick(["", blanks, name, " Static symbols", "OUTPUT(x)", "/DISCARD/", "\x1b".repeat(1024)]);
  }
}
