/**
 * Holds the table of docs/rsp.md against real stubs: each cell is observed by an experiment. EBSCOPE_GOLDEN=write writes what was observed
 * into the document.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Lab } from "../support/conformance/differences/lab.ts";
import {
  documentedTable,
  type Observations,
  SECTIONS,
  tableText,
  withTable,
} from "../support/conformance/differences/table.ts";
import { disposePrograms, STUBS, type StubKind } from "../support/conformance/stubs.ts";
import { ROOT } from "../support/live.ts";

const DOCUMENT = join(ROOT, "docs/rsp.md");
const NAMES = STUBS.map(({ name }) => name);

/** What each experiment ended in, or what went wrong with it. */
const observed = new Map<string, Map<string, string | Error>>();

async function observeAll(kind: StubKind): Promise<void> {
  await using lab = new Lab(kind);
  for (const [, rows] of SECTIONS) {
    for (const { what, observe } of rows) {
      const outcome = await observe(lab).catch((error: Error) => error);
      const row = observed.get(what) ?? new Map<string, string | Error>();
      observed.set(what, row.set(kind.name, outcome));
    }
  }
}

beforeAll(async () => {
  await Promise.all(STUBS.map(observeAll));
  if (process.env.EBSCOPE_GOLDEN !== "write") return;
  const failed = [...observed.values()].flatMap((row) => [...row.values()]).find((cell) => cell instanceof Error);
  if (failed !== undefined) throw failed;
  const table = tableText(NAMES, observed as Observations);
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, "utf8"), table));
});
afterAll(disposePrograms);

describe("the table of docs/rsp.md", () => {
  it("has a column for each stub that is tried, in the version that is installed", () => {
    expect(documentedTable(readFileSync(DOCUMENT, "utf8")).stubs).toEqual(NAMES);
  });

  it("has the rows that are tried, and no others", () => {
    const rows = SECTIONS.flatMap(([, differences]) => differences.map(({ what }) => what));
    expect(rows.length).toBeGreaterThan(40);
    expect([...documentedTable(readFileSync(DOCUMENT, "utf8")).says.keys()]).toEqual(rows);
  });

  describe.each(SECTIONS)("%s:", (_, rows) => {
    describe.each(rows.map(({ what }) => what))("%s", (what) => {
      it.each(NAMES)("%s", (stub) => {
        const outcome = observed.get(what)?.get(stub);
        if (outcome instanceof Error) throw outcome;
        expect(outcome).toBe(documentedTable(readFileSync(DOCUMENT, "utf8")).says.get(what)?.get(stub));
      });
    });
  });
});
