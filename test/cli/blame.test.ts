/** What is said of a real record of writes, held against what the guest itself printed while it was made. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { BlameJson } from "../../src/api/blame.ts";
import { DiffJson } from "../../src/api/schemas.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { parseBlameLog } from "../support/blame-log.ts";
import { chainMismatch, expectedOf, isIn, linesOf, saidAuthors, toldOf, trueAuthors } from "../support/blame-truth.ts";
import { guestLine } from "../support/live.ts";
import { FIXTURE, run, runJson, withCapture } from "./run.ts";

const FOLDER = join(fileURLToPath(new URL("../..", import.meta.url)), "test/fixtures");
const FILE = join(FOLDER, "blame-flips.ebs");
const MAP = join(FOLDER, "blame.map");
const LOG = readFileSync(join(FOLDER, "blame-flips.log"), "utf8");
const DEEDS = parseBlameLog(LOG);
const line = guestLine(LOG, "image");
const IMAGE = { base: BigInt(line.base ?? ""), size: BigInt(line.size ?? "") };
const AREA = { base: BigInt(guestLine(LOG, "area").pages ?? ""), size: 1n << 21n };

/** All events, as they are told without symbols. */
let all: ReturnType<typeof everything> | undefined;
function everything() {
  return runJson(BlameJson, "blame", FILE, "--no-symbols");
}

describe("ebscope blame FILE --json, of a guest that printed what it did,", () => {
  it("tells each store and each TLBI of the guest's code, in order, and nothing more of it", async () => {
    all ??= everything();
    const entries = await all;
    const told = toldOf(entries, IMAGE);
    const deeds = expectedOf(DEEDS, ["store", "tlbi"]);
    expect(deeds.length).toBeGreaterThan(25);
    const lines = linesOf(deeds, told);
    expect(lines.told).toEqual(lines.truth);
    expect(
      told.map((entry, i) => chainMismatch(deeds[i] as never, entry)).filter((each) => each !== undefined),
    ).toEqual([]);
  });

  it("names the functions that the linker named", async () => {
    const entries = await runJson(BlameJson, "blame", FILE, "--symbols", MAP);
    const told = toldOf(entries, IMAGE);
    const names = told.map(({ by }) => (by as { function?: string } | null)?.function?.replace(/\+0x[0-9a-f]+$/, ""));
    expect(names).toEqual(expectedOf(DEEDS, ["store", "tlbi"]).map((deed) => deed.function));
  });

  it("joins what break_entry broke and make_entry made", async () => {
    all ??= everything();
    const entries = await all;
    const deed = (name: string): bigint | undefined => DEEDS.find((each) => each.function === name)?.pc;
    const pairs = entries.flatMap((entry) =>
      entry.kind === "table" && entry.change?.kind === "replaced" ? [[BigInt(entry.by?.pc ?? 0), entry.change]] : [],
    );
    expect(pairs.map(([pc]) => pc)).toEqual([deed("break_entry"), deed("make_entry")]);
    const at = entries.findIndex(({ by }) => by !== null && BigInt(by.pc) === deed("break_entry"));
    expect(pairs.map(([, change]) => (change as { with: number }).with)).toEqual([pairs.length > 0 ? at + 2 : -1, at]);
  });
});

describe("the story of an address", () => {
  it("has what was done to it alone: two stores, the TLBIs for it, and the points", async () => {
    const page = AREA.base + 4n * 4096n;
    const entries = await runJson(BlameJson, "blame", FILE, `0x${page.toString(16)}`, "--no-symbols");
    const mine = expectedOf(DEEDS, ["store", "tlbi"]).filter(({ va }) => va === page);
    const own = linesOf(mine, toldOf(entries, IMAGE));
    expect(own.told).toEqual(own.truth);
    expect(mine).toHaveLength(4);
    expect(entries.filter(({ kind }) => kind === "point").map((entry) => "point" in entry && entry.point)).toEqual([
      "before",
      "after",
      "later",
    ]);
  });

  it("is the same by name as by number", async () => {
    const [a, b] = [
      await run("blame", FILE, "RealTimeClock+0x0", "--json"),
      await run("blame", FILE, "--at", "RealTimeClock", "--json"),
    ];
    expect(a).toBe(b);
    expect(JSON.parse(a).length).toBeGreaterThan(3);
  });
});

describe("ebscope diff FILE --json, of the same guest,", () => {
  it("gives each changed run of the guest's pages to whom the guest names, and leaves none to nobody", async () => {
    const { mappings } = await runJson(DiffJson, "diff", FILE, "--no-symbols");
    const runs = mappings.filter(({ va }) => isIn(AREA, BigInt(va))) as never[];
    expect(runs).toHaveLength(10);
    for (const each of runs) expect(saidAuthors(each)).toEqual(trueAuthors(DEEDS, each));
  });

  it("gives the 560 pages of runtime images to one instruction of the firmware", async () => {
    const { mappings } = await runJson(DiffJson, "diff", FILE, "--no-symbols");
    const runs = mappings.filter(({ va }) => !isIn(AREA, BigInt(va)));
    const authors = runs.flatMap(({ by }) => by ?? []);
    expect(new Set(authors.map(({ image }) => image))).toEqual(new Set(["ArmCpuDxe+0x183c"]));
    expect(authors.reduce((sum, { count }) => sum + count, 0)).toBe(560);
    expect(authors.reduce((sum, { last }) => sum + BigInt(last ?? 0), 0n)).toBe(560n << 12n);
  });

  it("says null where nobody watched: after the watch, and of registers that nobody watches", async () => {
    const later = await runJson(DiffJson, "diff", FILE, "--from", "after", "--to", "later", "--no-symbols");
    const changes = [...later.mappings, ...later.registers];
    expect(changes.length).toBeGreaterThan(0);
    expect(changes.filter(({ by, unattributed }) => by !== null || unattributed !== null)).toEqual([]);
    const { registers } = await runJson(DiffJson, "diff", FILE, "--no-symbols");
    expect(registers.find(({ name }) => name === "x0")?.by).toBeNull();
  });

  it("is, but for who did it, what it is without a record", async () => {
    const bare = { ...(await readCapture(FILE)), blame: undefined };
    const without = await withCapture(bare, (file) => runJson(DiffJson, "diff", file, "--no-symbols"));
    const { findings, ...others } = without;
    const { mappings, registers, findings: blamed, ...rest } = await runJson(DiffJson, "diff", FILE, "--no-symbols");
    const plain = <T extends object>(list: readonly T[]): object[] =>
      list.map((each) =>
        Object.fromEntries(Object.entries(each).filter(([name]) => name !== "by" && name !== "unattributed")),
      );
    expect({ ...rest, mappings: plain(mappings), registers: plain(registers) }).toEqual(others);
    // Findings name who did it, in their evidence; those about TLB maintenance can be made of a record only.
    const known = new Set(findings.map(({ rule }) => rule));
    expect(blamed.filter(({ rule }) => known.has(rule)).map(({ rule, title }) => [rule, title])).toEqual(
      findings.map(({ rule, title }) => [rule, title]),
    );

    expect(JSON.stringify(without)).not.toMatch(/"by"|"unattributed"/);
  });
});

describe("ebscope blame refuses", () => {
  it.each([
    ["a capture without a record, and says how to make one", [FIXTURE], "no-blame"],
    ["two addresses", [FILE, "0x1000", "--at", "RealTimeClock"], "usage"],
    ["a name that is none", [FILE, "NO_SUCH_EL1"], "usage"],
    ["a regime without an address", [FILE, "--regime", "EL2"], "usage"],
    ["a regime that there is not", [FILE, "0x1000", "--regime", "EL4"], "usage"],
    ["a vCPU that there is not", [FILE, "0x1000", "--cpu", "7"], "usage"],
  ])("%s", async (_what, args, code) => {
    await expect(run("blame", ...args)).rejects.toMatchObject({ code });
  });
});
