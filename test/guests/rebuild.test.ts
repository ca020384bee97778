// The guests are committed as binaries, so that nobody needs a cross compiler to run them. These tests hold each binary to
// its sources: the same bytes come out, wherever the sources lie.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const guests = fileURLToPath(new URL("../../examples/guests/", import.meta.url));
const hint = "Run `npm test`, or `bash scripts/setup test` once: it installs clang and lld 14.";

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "rebuild-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs the build script in `folder` and returns what it wrote to `output`. */
function build(folder: string, output: string): Buffer {
  const run = spawnSync("bash", [join(folder, "build"), output], { encoding: "utf8" });
  if (run.status !== 0) {
    const said = run.error?.message ?? run.stderr.trim();
    throw new Error(`Cannot rebuild ${folder}: ${said}\n${hint}`);
  }
  return readFileSync(output);
}

function clangVersion(): string {
  const run = spawnSync("bash", ["-c", "$(command -v clang-14 || command -v clang) --version"], { encoding: "utf8" });
  return run.stdout.split("\n")[0] ?? "unknown";
}

/** Compares without printing kilobytes of difference. */
function expectSameBytes(built: Buffer, committed: Buffer, name: string): void {
  const length = Math.max(built.length, committed.length);
  let at = 0;
  while (at < length && built[at] === committed[at]) at++;
  const versions = `Built by: ${clangVersion()}; another version than 14.0.6 makes other bytes. ${hint}`;
  expect(
    at,
    `${name} differs from its sources' build at offset 0x${at.toString(16)}: run examples/guests/${name}/build and commit. ${versions}`,
  ).toBe(length);
}

describe.each([
  ["handoff", "handoff.efi"],
  ["translate", "translate.elf"],
])("guest %s", (name, file) => {
  const folder = join(guests, name);
  const committed = () => readFileSync(join(folder, file));

  it("is what its sources build", () => {
    expectSameBytes(build(folder, join(scratch, file)), committed(), name);
  });

  it("builds to the same bytes in another folder", () => {
    const elsewhere = join(scratch, "another folder", name);
    cpSync(folder, elsewhere, { recursive: true });
    expectSameBytes(build(elsewhere, join(scratch, "elsewhere.efi")), committed(), name);
  });
});
