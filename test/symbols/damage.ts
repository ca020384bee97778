/** Damages symbol files of every kind, the same for the same seed. */
import { readFileSync } from "node:fs";
import type { Random } from "../support/random.ts";
import { writeElf } from "./elf-writer.ts";
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
  let file: Buffer = Buffer.from(random.pick(binary ? BINARIES : TEXTS));
  for (let i = random.between(1, 8); i > 0; i--) file = binary ? damageBytes(file, random) : damageText(file, random);
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
