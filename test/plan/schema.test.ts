/** docs/plan.schema.json is what plans are held against; `npx vitest -u` writes it. */
import { describe, expect, it } from "vitest";
import { planSchema } from "../../src/api/plan.ts";

/** Every schema inside a schema. */
function* schemasIn(value: unknown): Generator<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield value as Record<string, unknown>;
  for (const each of Object.values(value)) yield* schemasIn(each);
}

describe("the published schema of plans", () => {
  it("is the one that plans are held against", async () => {
    await expect(`${JSON.stringify(planSchema(), null, 2)}\n`).toMatchFileSnapshot("../../docs/plan.schema.json");
  });

  it("lets no object have keys that it does not name", () => {
    const objects = [...schemasIn(planSchema())].filter(({ type }) => type === "object");
    expect(objects.length).toBeGreaterThan(8);
    for (const object of objects) expect(object.additionalProperties).toBe(false);
  });

  it("describes each key for editors", () => {
    const silent = [...schemasIn(planSchema())]
      .flatMap(({ properties }) => Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>))
      .filter(([, schema]) => typeof schema === "object" && !("description" in schema))
      .map(([name]) => name);
    expect(silent).toEqual([]);
  });
});
