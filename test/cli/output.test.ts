import { afterEach, describe, expect, it, vi } from "vitest";
import { jsonText, printData } from "../../src/cli/output.ts";

afterEach(() => vi.restoreAllMocks());

describe("JSON in pieces", () => {
  it.each<[string, unknown]>([
    [
      "an object of everything",
      { a: [1, { b: [2, 3], c: "x\ny" }], d: {}, e: [], f: null, g: "text", h: undefined, i: [[1], []] },
    ],
    ["a list of objects", [{ a: 1 }, { b: { c: [1, 2] } }]],
    ["an empty list", []],
    ["an empty object", {}],
    ["a number", 7],
    ["null", null],
  ])("is what JSON.stringify makes of %s", (_, value) => {
    expect([...jsonText(value)].join("")).toBe(JSON.stringify(value, null, 2));
  });
});

describe("printed data", () => {
  function printed(data: string | Iterable<string>): string[] {
    const writes: string[] = [];
    vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
      writes.push(String(chunk));
      return true;
    });
    printData(data);
    return writes;
  }

  it("ends with one line end", () => {
    expect(printed("a").join("")).toBe("a\n");
    expect(printed("a\n").join("")).toBe("a\n");
    expect(printed(["a", "b\n"]).join("")).toBe("ab\n");
    expect(printed([]).join("")).toBe("\n");
  });

  it("goes out in several writes when it is long, and nothing of it is lost", () => {
    const pieces = Array.from({ length: 300 }, (_, i) => `${i}:${"x".repeat(999)}\n`);
    const writes = printed(pieces);
    expect(writes.length).toBeGreaterThan(2);
    expect(writes.join("")).toBe(pieces.join(""));
    const exact = ["y".repeat(1 << 16)];
    expect(printed(exact).join("")).toBe(`${exact[0]}\n`);
  });
});
