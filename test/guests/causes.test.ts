// The guest `causes` is committed as a binary, like the others; it shares sources with `handoff`, so a copy elsewhere takes both.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const guests = fileURLToPath(new URL("../../examples/guests/", import.meta.url));
const folder = join(guests, "causes");
const hint = "Run `npm test`, or `bash scripts/setup test` once: it installs clang and lld 14, whose bytes these are.";

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "causes-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs the build script in `from` and returns what it wrote to its first argument. */
function build(from: string, output: string, ...more: readonly string[]): Buffer {
  const run = spawnSync("bash", [join(from, "build"), output, ...more], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`Cannot rebuild causes: ${run.error?.message ?? run.stderr.trim()}\n${hint}`);
  return readFileSync(output);
}

/** Compares without printing kilobytes of difference. */
function expectCommitted(built: Buffer): void {
  const committed = readFileSync(join(folder, "causes.efi"));
  const length = Math.max(built.length, committed.length);
  let at = 0;
  while (at < length && built[at] === committed[at]) at++;
  const where = `causes.efi differs from its sources' build at offset 0x${at.toString(16)}`;
  expect(at, `${where}: run examples/guests/causes/build and commit. ${hint}`).toBe(length);
}

/** File offset of an RVA, by the section headers of a PE file (Microsoft PE format). */
function fileOffset(pe: Buffer, rva: number): number {
  const coff = pe.readUInt32LE(0x3c) + 4;
  const sections = coff + 20 + pe.readUInt16LE(coff + 16);
  for (let i = 0; i < pe.readUInt16LE(coff + 2); i++) {
    const header = sections + i * 40;
    const offset = rva - pe.readUInt32LE(header + 12);
    if (offset >= 0 && offset < pe.readUInt32LE(header + 16)) return pe.readUInt32LE(header + 20) + offset;
  }
  throw new Error(`RVA 0x${rva.toString(16)} is in no section`);
}

describe("guest causes", () => {
  it("is what its sources build", () => {
    expectCommitted(build(folder, join(scratch, "causes.efi")));
  });

  it("builds to the same bytes in another folder, with handoff beside it", () => {
    const elsewhere = join(scratch, "another folder");
    for (const name of ["causes", "handoff"]) cpSync(join(guests, name), join(elsewhere, name), { recursive: true });
    expectCommitted(build(join(elsewhere, "causes"), join(scratch, "elsewhere.efi")));
  });

  it("builds to the same bytes with a map, which has public and static functions at their addresses", () => {
    const map = join(scratch, "causes.map");
    const pe = build(folder, join(scratch, "mapped.efi"), map);
    expectCommitted(pe);
    const symbols = new Map<string, number>();
    for (const [, name = "", address = ""] of readFileSync(map, "latin1").matchAll(
      /^ [0-9a-f]{4}:[0-9a-f]{8} +(\S+) +([0-9a-f]{16}) /gm,
    )) {
      symbols.set(name, Number(BigInt(`0x${address}`) - 0x140000000n));
    }
    // stp x29, x30, [sp, #-16]!; mov x29, sp; mrs x9, hcr_el2
    const words = [0xa9bf7bfd, 0x910003fd, 0xd53c1109];
    const at = fileOffset(pe, symbols.get("read_hypervisor_register") ?? 0);
    expect(words.map((_, i) => pe.readUInt32LE(at + i * 4))).toEqual(words);
    expect(symbols.get("hooked_exit_boot_services")).toBeGreaterThan(symbols.get("efi_main") ?? Infinity);
  });

  it("has the modes that its README lists, each with what happens", () => {
    const source = readFileSync(join(folder, "causes.c"), "utf8");
    const modes = [...source.matchAll(/^ {2}\{ "([a-z0-9-]+)", "/gm)].map(([, name]) => name);
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    const section = (title: string) => readme.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
    expect(modes.length).toBeGreaterThan(10);
    expect([...section("Modes").matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, name]) => name)).toEqual(modes);
    for (const mode of modes) expect(section("What happens")).toMatch(new RegExp(`^\\|[^|]*\`${mode}\``, "m"));
  });
});
