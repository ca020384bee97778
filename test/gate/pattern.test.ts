import { describe, expect, it } from "vitest";
import { pattern } from "../../src/gate/pattern.ts";
import { Random } from "../support/random.ts";

/** The same by trying everything. */
function slowMatches(text: string, name: string): boolean {
  if (text === "") return name === "";
  const [first = "", rest] = [text[0], text.slice(1)];
  if (first === "*")
    return Array.from({ length: name.length + 1 }, (_, i) => name.slice(i)).some((tail) => slowMatches(rest, tail));
  return name !== "" && (first === "?" || first === name[0]) && slowMatches(rest, name.slice(1));
}

describe("a pattern", () => {
  it.each([
    ["DxeCore", "DxeCore", true],
    ["DxeCore", "dxecore", false],
    ["*", "", true],
    ["*Runtime*", "VariableRuntimeDxe", true],
    ["TTBR?_EL1", "TTBR0_EL1", true],
    ["TTBR?_EL1", "TTBR_EL1", false],
    [".text", "xtext", false],
    ["a*b*c", "abcbc", true],
    ["a*b*c", "abcb", false],
  ])("%s and %s: %s", (text, name, expected) => {
    expect(pattern(text).matches(name)).toBe(expected);
  });

  it("matches what trying everything matches", () => {
    const random = new Random(7);
    const word = (letters: string): string =>
      Array.from({ length: random.between(0, 7) }, () => letters[random.below(letters.length)]).join("");
    let matched = 0;
    for (let i = 0; i < 5000; i++) {
      const [text, name] = [word("ab*?"), word("ab")];
      const expected = slowMatches(text, name);
      if (expected) matched++;
      expect([text, name, pattern(text).matches(name)]).toEqual([text, name, expected]);
    }
    expect(matched).toBeGreaterThan(300);
  });

  it("takes a long hostile name without trying everything", () => {
    expect(pattern(`${"*a".repeat(59)}b`).matches("a".repeat(100_000))).toBe(false);
  });
});
