/** docs/policy.schema.json is what policies are held against; `npx vitest -u` writes it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { policySchema, RULE_NAMES } from "../../src/api/policy.ts";
import { readPolicy } from "../../src/gate/index.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Every schema inside a schema. */
function* schemasIn(value: unknown): Generator<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield value as Record<string, unknown>;
  for (const each of Object.values(value)) yield* schemasIn(each);
}

describe("the published schema of policies", () => {
  it("is the one that policies are held against", async () => {
    await expect(`${JSON.stringify(policySchema(), null, 2)}\n`).toMatchFileSnapshot("../../docs/policy.schema.json");
  });

  it("lets no object have keys that it does not name", () => {
    const objects = [...schemasIn(policySchema())].filter(({ type }) => type === "object");
    expect(objects.length).toBeGreaterThan(15);
    for (const object of objects) expect(object.additionalProperties).toBe(false);
  });

  it("describes each key for editors", () => {
    const silent = [...schemasIn(policySchema())]
      .flatMap(({ properties }) => Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>))
      .filter(([, schema]) => typeof schema === "object" && !("description" in schema))
      .map(([name]) => name);
    expect(silent).toEqual([]);
  });
});

describe("docs/policies.md", () => {
  const text = readFileSync(join(ROOT, "docs/policies.md"), "utf8");
  const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, code = ""]) => code);

  it("has a section for each rule, and for no other", () => {
    const sections = [...text.matchAll(/^### `([a-z-]+)`$/gm)].map(([, rule]) => rule);
    expect(sections).toEqual(RULE_NAMES);
  });

  it("has an example in each of them, and each of its examples is a policy or rules of one", () => {
    expect(examples.length).toBeGreaterThan(RULE_NAMES.length);
    const rules = examples.flatMap((example) => {
      const indented = example.replace(/^(?=.)/gm, "  ");
      const whole = example.includes("ebscope: 1") ? example : `ebscope: 1\nrules:\n${indented}`;
      return readPolicy({ name: "docs/policies.md", text: whole }).rules.map(({ demand }) => demand.rule);
    });
    expect(RULE_NAMES.filter((name) => !rules.includes(name))).toEqual([]);
  });
});

describe("the policies in examples/policies", () => {
  const names = readdirSync(join(ROOT, "examples/policies")).filter((name) => name.endsWith(".yaml"));

  it("are policies, and tell editors where their schema is", () => {
    expect(names.length).toBeGreaterThanOrEqual(2);
    for (const name of names) {
      const text = readFileSync(join(ROOT, "examples/policies", name), "utf8");
      expect(readPolicy({ name, text }).rules.length, name).toBeGreaterThan(0);
      expect(text.split("\n")[0], name).toBe("# yaml-language-server: $schema=../../docs/policy.schema.json");
    }
  });
});
