/** docs/plans.md, held against the schema and the reader. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { PlanDocument, PointDocument } from "../../src/api/plan.ts";
import { parseExpression, parseLocations, readPlan } from "../../src/plan/index.ts";

const page = readFileSync(join(fileURLToPath(new URL("../..", import.meta.url)), "docs/plans.md"), "utf8");
const plans = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);

/** The first cells of the table's rows below a heading, as the page has them. */
function firstCells(heading: string): string[] {
  const section = page.split(/^## /m).find((each) => each.startsWith(heading)) ?? "";
  return [...section.matchAll(/^\| (`.*?`) \|/gm)].map(([, cell = ""]) => cell);
}

const words = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);

describe("docs/plans.md", () => {
  it.each(plans.map((text, i) => [i + 1, text] as const))("has a plan that can be used: number %i", (_, text) => {
    expect(readPlan({ name: "docs.yaml", text }).points.length).toBeGreaterThan(1);
  });

  it("has two of them at least, the first short", () => {
    expect(plans.length).toBeGreaterThanOrEqual(2);
    expect(plans[0]?.trim().split("\n").length).toBeLessThanOrEqual(6);
  });

  it("has a row for each key of a plan and of a point, and for no other", () => {
    const keys = (names: readonly string[]) => [...new Set(names.map((name) => name.split(".")[0]))].sort();
    expect(keys(firstCells("Keys of a plan").flatMap(words))).toEqual(Object.keys(PlanDocument.properties).sort());
    expect(keys(firstCells("Keys of a point").flatMap(words))).toEqual(Object.keys(PointDocument.properties).sort());
  });

  it("has places that can be read", () => {
    const places = firstCells("Places").flatMap(words);
    expect(places.length).toBeGreaterThan(6);
    for (const place of places) expect(parseLocations(place).length, place).toBe(1);
  });

  it("has operands that can be read", () => {
    const operands = firstCells("Expressions")
      .flatMap(words)
      .filter((word) => /^[\w"]/.test(word) && !/^(sle|sgt|sge)$/.test(word));
    expect(operands.length).toBeGreaterThan(25);
    for (const operand of operands) expect(parseExpression(operand.replace("…", "x0")).text, operand).not.toBe("");
  });
});
