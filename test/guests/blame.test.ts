// The guest `blame` is committed as a binary, like the others; it shares sources with `handoff` and `causes`.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLinkerMap } from "../support/blame-log.ts";

const guests = fileURLToPath(new URL("../../examples/guests/", import.meta.url));
const folder = join(guests, "blame");
const hint = "Run `npm test`, or `bash scripts/setup test` once: it installs clang and lld 14, whose bytes these are.";

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "blame-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs the build script in `from` and returns what it wrote to its first argument. */
function build(from: string, output: string, ...more: readonly string[]): Buffer {
  const run = spawnSync("bash", [join(from, "build"), output, ...more], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`Cannot rebuild blame: ${run.error?.message ?? run.stderr.trim()}\n${hint}`);
  return readFileSync(output);
}

/** Compares without printing kilobytes of difference. */
function expectCommitted(built: Buffer): void {
  const committed = readFileSync(join(folder, "blame.efi"));
  const length = Math.max(built.length, committed.length);
  let at = 0;
  while (at < length && built[at] === committed[at]) at++;
  const where = `blame.efi differs from its sources' build at offset 0x${at.toString(16)}`;
  expect(at, `${where}: run examples/guests/blame/build and commit. ${hint}`).toBe(length);
}

/** The sections of a PE file (Microsoft PE format): where each is in memory and in the file. */
function sections(pe: Buffer): { rva: number; size: number; at: number; executable: boolean }[] {
  const coff = pe.readUInt32LE(0x3c) + 4;
  const first = coff + 20 + pe.readUInt16LE(coff + 16);
  return Array.from({ length: pe.readUInt16LE(coff + 2) }, (_, i) => {
    const header = first + i * 40;
    return {
      rva: pe.readUInt32LE(header + 12),
      size: pe.readUInt32LE(header + 16),
      at: pe.readUInt32LE(header + 20),
      executable: (pe.readUInt32LE(header + 36) & 0x2000_0000) !== 0,
    };
  });
}

function fileOffset(pe: Buffer, rva: number): number {
  const section = sections(pe).find((each) => rva >= each.rva && rva < each.rva + each.size);
  if (section === undefined) throw new Error(`RVA 0x${rva.toString(16)} is in no section`);
  return section.at + rva - section.rva;
}

/** Instructions of the executable sections. */
function codeWords(pe: Buffer): number[] {
  return sections(pe)
    .filter(({ executable }) => executable)
    .flatMap(({ at, size }) => Array.from({ length: size / 4 }, (_, i) => pe.readUInt32LE(at + i * 4)));
}

describe("guest blame", () => {
  it("is what its sources build", () => {
    expectCommitted(build(folder, join(scratch, "blame.efi")));
  });

  it("builds to the same bytes in another folder, with handoff and causes beside it", () => {
    const elsewhere = join(scratch, "another folder");
    const names = ["blame", "causes", "handoff"];
    for (const name of names) cpSync(join(guests, name), join(elsewhere, name), { recursive: true });
    expectCommitted(build(join(elsewhere, "blame"), join(scratch, "elsewhere.efi")));
  });

  it("builds to the same bytes with a map, which has public and static functions at their addresses", () => {
    const map = join(scratch, "blame.map");
    const pe = build(folder, join(scratch, "mapped.efi"), map);
    expectCommitted(pe);
    const symbols = new Map(readLinkerMap(readFileSync(map, "latin1")).map(({ name, offset }) => [name, offset]));
    // stp x1, x2, [x0]; mov x0, x30; ret
    const words = [0xa900_0801, 0xaa1e_03e0, 0xd65f_03c0];
    const at = fileOffset(pe, Number(symbols.get("store_two") ?? 0n));
    expect(words.map((_, i) => pe.readUInt32LE(at + i * 4))).toEqual(words);
    expect(symbols.get("write_same_value")).toBeGreaterThan(symbols.get("efi_main") ?? 0n);
  });

  it("stores every frame record as AAPCS64 has it, and has no code to be copied among its code", () => {
    const words = codeWords(readFileSync(join(folder, "blame.efi")));
    // STP of two doublewords: bits 31:22 without the addressing mode, Rt2, Rt.
    const pairs = words.filter((word) => (word & 0xfe40_0000) >>> 0 === 0xa800_0000);
    const records = pairs.map((word) => [word & 31, (word >>> 10) & 31]).filter((pair) => pair.includes(30));
    expect(records.length).toBeGreaterThan(30);
    expect(records.filter(([first, second]) => first !== 29 || second !== 30)).toEqual([]);
    // msr mair_elN, x0; isb; mov x0, x30
    for (const msr of [0xd518_a200, 0xd51c_a200]) {
      const places = words.flatMap((word, i) => (word === msr && words[i + 2] === 0xaa1e_03e0 ? [i] : []));
      expect(places).toEqual([]);
    }
  });

  it("has the modes that its README lists", () => {
    const source = readFileSync(join(folder, "blame.c"), "utf8");
    const modes = [...source.matchAll(/^ {2}\{ "([a-z0-9-]+)", /gm)].map(([, name]) => name);
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    const section = readme.split("\n## Modes\n")[1]?.split("\n\n")[0] ?? "";
    expect(modes.length).toBeGreaterThan(8);
    expect([...section.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, name]) => name)).toEqual(modes);
  });
});
