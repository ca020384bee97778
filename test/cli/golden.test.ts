/** What the reading verbs print for a capture of a real guest, held against kept outputs, the schemas and the README. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Type } from "typebox";
import { Errors } from "typebox/schema";
import { afterEach, describe, expect, it, vi } from "vitest";
import { BlameJson } from "../../src/api/blame.ts";
import {
  DiffJson,
  ExplainJson,
  FaultJson,
  MappingJson,
  PointJson,
  RegisterJson,
  TableJson,
} from "../../src/api/schemas.ts";
import { buildProgram } from "../../src/cli/program.ts";

vi.setConfig({ testTimeout: 60_000 });

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CAPTURE = "test/fixtures/boot-service.ebs";
/** Taken with --blame, and the linker's map of the guest. */
const BLAMED = "test/fixtures/blame-flips.ebs";
const MAP = "test/fixtures/blame.map";
const FILES: Readonly<Record<string, string>> = { CAPTURE, BLAMED, MAP };

afterEach(() => vi.restoreAllMocks());

/** Runs one command line in this process, from the root of the project; returns what it printed as data. */
async function run(line: string): Promise<string> {
  let printed = "";
  vi.spyOn(process, "cwd").mockReturnValue(ROOT);
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    printed += String(chunk);
    return true;
  });
  let code = -1;
  const program = buildProgram((result) => {
    code = result;
  });
  const args = line.split(" ").map((word) => (word in FILES ? join(ROOT, FILES[word] as string) : word));
  await program.parseAsync(args, { from: "user" });
  vi.restoreAllMocks();
  expect(code).toBe(0);
  return printed.replaceAll(ROOT, "");
}

const GOLDEN: readonly (readonly [file: string, line: string])[] = [
  ["diff.txt", "diff CAPTURE"],
  ["diff-all.txt", "diff CAPTURE --all"],
  ["diff-after-fault.txt", "diff CAPTURE --from after --to fault"],
  ["points.txt", "show CAPTURE points"],
  ["fault.txt", "show CAPTURE fault"],
  ["tables.txt", "show CAPTURE tables --at before"],
  ["mappings.txt", "show CAPTURE mappings --at before"],
  ["mappings-wx.txt", "show CAPTURE mappings --wx"],
  ["mappings-changed.txt", "show CAPTURE mappings --changed --exec --range 0x7c400000-0x7c700000"],
  ["mappings-device.txt", "show CAPTURE mappings --device"],
  ["registers.txt", "show CAPTURE registers --at fault"],
  ["images.txt", "show CAPTURE images"],
  ["memmap.txt", "show CAPTURE memmap"],
  ["backtrace.txt", "show CAPTURE backtrace --at before"],
  ["findings.txt", "show CAPTURE findings"],
  ["efi.txt", "show CAPTURE efi"],
  ["report.md", "report CAPTURE --markdown"],
  ["explain-null.txt", "explain CAPTURE 0"],
  ["explain-name.txt", "explain CAPTURE --at gBS->Stall"],
  ["explain-changed.txt", "explain CAPTURE 0x7c450000"],
  ["explain-outside.txt", "explain CAPTURE 0xffff000000000000"],
  ["blame.txt", "blame BLAMED --symbols MAP"],
  ["blame-address.txt", "blame BLAMED 0x7be04000 --symbols MAP"],
  ["blame-runtime.txt", "blame BLAMED 0x7c440000"],
  ["blame-pair.txt", "blame BLAMED 0x7be02000"],
  ["blame-range.txt", "blame BLAMED gST+0x60"],
  ["blame-register.txt", "blame BLAMED SCTLR_EL1"],
  ["diff-blame.txt", "diff BLAMED --symbols MAP"],
  ["report-blame.md", "report BLAMED --markdown --symbols MAP"],
];

describe("ebscope, on the capture of the demo's guest, prints", () => {
  it.each(GOLDEN)("%s for `%s`", async (file, line) => {
    const path = join(ROOT, "test/cli/golden", file);
    const printed = await run(line);
    if (process.env.EBSCOPE_GOLDEN === "write") writeFileSync(path, printed);
    expect(printed).toBe(readFileSync(path, "utf8"));
  });
});

describe("the JSON of a real capture is as the schemas say:", () => {
  it.each([
    ["diff CAPTURE --json", DiffJson],
    ["diff CAPTURE --from after --to fault --json", DiffJson],
    ["show CAPTURE registers --json", Type.Array(RegisterJson)],
    ["show CAPTURE mappings --json", Type.Array(MappingJson)],
    ["show CAPTURE tables --json", Type.Array(TableJson)],
    ["show CAPTURE points --json", Type.Array(PointJson)],
    ["show CAPTURE fault --json", FaultJson],
    ["explain CAPTURE 0 --json", ExplainJson],
    ["diff BLAMED --json", DiffJson],
    ["blame BLAMED 0x7be02000 --json", BlameJson],
    ["blame BLAMED gST+0x60 --json", BlameJson],
    ["explain CAPTURE 0x7c450000 --json", ExplainJson],
  ])("%s", async (line, schema) => {
    const value: unknown = JSON.parse(await run(line));
    const [valid, errors] = Errors(schema, value);
    expect(errors).toEqual([]);
    expect(valid).toBe(true);
    expect(JSON.stringify(value).length).toBeGreaterThan(200);
  });

  it("an object without a required member is refused, so that the check can fail", () => {
    const [valid] = Errors(DiffJson, { status: "0x0" });
    expect(valid).toBe(false);
  });
});

describe("docs/blame.md", () => {
  const page = readFileSync(join(ROOT, "docs/blame.md"), "utf8");

  it.each(["blame.txt", "blame-address.txt", "blame-range.txt"])("shows %s as it is printed", (file) => {
    expect(page).toContain(
      readFileSync(join(ROOT, "test/cli/golden", file), "utf8")
        .trimEnd()
        .replace(`/${BLAMED}`, BLAMED),
    );
  });
});

describe("README.md", () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");

  it("shows the diff of the demo as it is printed, but for the name of the file", () => {
    const printed = readFileSync(join(ROOT, "test/cli/golden/diff.txt"), "utf8").trimEnd();
    expect(printed).toContain(CAPTURE);
    expect(readme).toContain(printed.replace(`/${CAPTURE}`, CAPTURE).replace(CAPTURE, ".cache/demo/handoff.ebs"));
  });

  it("shows who changed a page as it is printed", () => {
    expect(readme).toContain(readFileSync(join(ROOT, "test/cli/golden/blame-runtime.txt"), "utf8").trimEnd());
  });

  it("shows the explanation of a changed page as it is printed", () => {
    expect(readme).toContain(readFileSync(join(ROOT, "test/cli/golden/explain-changed.txt"), "utf8").trimEnd());
  });
});
