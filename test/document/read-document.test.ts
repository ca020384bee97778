/** Documents that people write: values, places and what is said of mistakes. */
import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { raise, readDocument } from "../../src/document/index.ts";
import { mistakes } from "./support.ts";

const Choice = Type.Union([Type.Object({ attach: Type.String() }), Type.Object({ launch: Type.Array(Type.String()) })]);
const SCHEMA = Type.Object(
  {
    name: Type.Optional(Type.String()),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
    when: Type.Optional(Type.Enum(["entry", "return"])),
    ratio: Type.Optional(Type.Number()),
    at: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
    list: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 3 })),
    target: Type.Optional(Choice),
    points: Type.Optional(
      Type.Record(Type.String({ pattern: "^[a-z]+$" }), Type.Object({ on: Type.Boolean() }), {
        additionalProperties: false,
      }),
    ),
  },
  { additionalProperties: false },
);

const ANYTHING = Type.Object({ a: Type.Optional(Type.Unknown()), b: Type.Optional(Type.Unknown()) });

const read = (text: string) => readDocument({ name: "a.yaml", text }, SCHEMA, "a thing");
const any = (text: string) => readDocument({ name: "a.yaml", text }, ANYTHING, "a thing").value;
const wrong = (text: string) => mistakes(() => read(text));

describe("a document", () => {
  it("is the same in YAML and in JSON", () => {
    const value = { name: "x y", count: 3, list: ["a", "b"], points: { p: { on: true } } };
    const yaml = "name: x y\ncount: 3 # three\nlist: [a, 'b']\npoints:\n  p:\n    on: true\n";
    expect(read(yaml).value).toEqual(value);
    expect(read(JSON.stringify(value)).value).toEqual(value);
    expect(read(JSON.stringify(value, null, "\t")).value).toEqual(value);
    expect(read(`\ufeff${yaml.replaceAll("\n", "\r\n")}`).value).toEqual(value);
  });

  it("keeps the text of numbers that a double cannot hold, and of no others", () => {
    expect(any("a: 0xffff000012345678")).toEqual({ a: "0xffff000012345678" });
    expect(any("a: [9007199254740991, 9007199254740993, 0x1000, 1.5, 1e999, .inf]")).toEqual({
      a: [9007199254740991, "9007199254740993", 0x1000, 1.5, "1e999", ".inf"],
    });
  });

  it("takes yes, on and no for text, as YAML 1.2 does", () => {
    expect(any("a: [yes, on, no, 0b1, 1_000]")).toEqual({ a: ["yes", "on", "no", "0b1", "1_000"] });
  });

  it("has whatever key is written as a key of its own", () => {
    const value = any('a: {__proto__: {x: 1}, constructor: 2, "": 3, 4: 5}') as { a: object };
    expect(Object.keys(value.a).sort()).toEqual(["", "4", "__proto__", "constructor"]);
    expect(Object.getPrototypeOf(value.a)).toBe(Object.prototype);
    expect((value.a as { x?: number }).x).toBeUndefined();
  });

  it("may use anchors: an alias stands for the anchor of its name before it", () => {
    expect(any("a: [&x 1, *x, &x 2, *x]")).toEqual({ a: [1, 1, 2, 2] });
    expect(any("a: {p: &x 1, q: &y [*x], r: &x 2}\nb: *y")).toEqual({ a: { p: 1, q: [1], r: 2 }, b: [1] });
  });
});

describe("the place of a value", () => {
  const document = read("name: x\npoints:\n  alpha: { on: true }\n  beta:\n    on: false\n");

  it("is where the value begins, that of a key where the key does", () => {
    expect(document.at(["points", "alpha", "on"])).toEqual({ line: 3, column: 16 });
    expect(document.keyAt(["points", "alpha", "on"])).toEqual({ line: 3, column: 12 });
    expect(document.at(["points", "beta", "on"])).toEqual({ line: 5, column: 9 });
    expect(document.at([])).toEqual({ line: 1, column: 1 });
  });

  it("is that of the innermost that is there for what is not", () => {
    expect(document.at(["points", "beta", "gone", 3])).toEqual({ line: 5, column: 5 });
  });

  it.each([
    ["name: x0 == y", 1, 13],
    ["name: 'x0 == y'", 1, 14],
    ['name: "x0 == y"', 1, 14],
    ['name: "x0 \\x3d= y"', 1, 17],
    ["name: 'x0 ''== y'", 1, 16],
    ["name: |\n  x0\n  == y\n", 3, 6],
    ["name: >-\n  x0 ==\n     \n  y\n", 4, 3],
    ["name:\n  x0\n  == y\n", 3, 6],
  ])("of a letter inside %j is at line %i, column %i", (text, line, column) => {
    const document = read(text);
    const offset = (document.value.name as string).indexOf("y");
    // Where an escape is in the way it is near: the text itself is never left.
    const found = document.within(["name"], offset);
    expect(text.includes("\\x") ? found.line : found).toEqual(text.includes("\\x") ? line : { line, column });
  });
});

describe("a mistake", () => {
  it.each([
    ["name: x\ncuont: 3", 'a.yaml:2:1: "cuont" is not known here. Did you mean count?'],
    [
      "zzzzzz: 3",
      'a.yaml:1:1: "zzzzzz" is not known here. Known here: name, count, when, ratio, at, list, target, points.',
    ],
    ["count: 0", "a.yaml:1:8: 0 is not a whole number from 1 to 9. Write a whole number from 1 to 9."],
    ["count: many", 'a.yaml:1:8: "many" is not a whole number from 1 to 9. Write a whole number from 1 to 9.'],
    ["when: retrun", 'a.yaml:1:7: "retrun" is not entry or return. Did you mean return?'],
    ["when:", "a.yaml:1:6: Nothing is not entry or return. Give it a value, or leave its key out."],
    ["ratio: .nan", 'a.yaml:1:8: ".nan" is not a number. Write a number.'],
    ["at: [1]", "a.yaml:1:5: A list is not text or a whole number. Write text or a whole number."],
    ["list: []", "a.yaml:1:7: 0 stand here. Give at least 1."],
    ["list: [a, b, c, d]", "a.yaml:1:7: 4 stand here. Give at most 3."],
    ["list: [a, 2]", "a.yaml:1:11: 2 is not text. Write text."],
    ["target: { launch: qemu }", 'a.yaml:1:19: "qemu" is not a list. Write a list.'],
    ["points: { p: {} }", 'a.yaml:1:14: "on" is missing. Add on: true or false.'],
    ["points: { P: { on: true } }", /^a\.yaml:1:11: "P" is not a name that can be used here\. /],
    ["- 1", /^a\.yaml:1:1: A list is not /],
    ["# nothing", "a.yaml:1:1: It is empty: a thing was expected. Fill it."],
    ["name: a: b", /^a\.yaml:1:7: Nested mappings .* in quotes/],
    ["name: !x0 == 1", /^a\.yaml:1:7: A tag stands here: "!x0"\. Put text that begins with ! in quotes\.$/],
    ["name: !!js/function x", /^a\.yaml:1:8: A tag stands here/],
    ["name: *x", /^a\.yaml:1:7: .*alias.*x/i],
    ["name: x\nname: y", 'a.yaml:2:1: "name" stands here twice. Leave one of them out.'],
    ['{"name": "x", "name": "y"}', 'a.yaml:1:15: "name" stands here twice. Leave one of them out.'],
    ["? [a]\n: 1", "a.yaml:1:3: A key has to be text. Put it in quotes."],
    ["list: [a: 1]", "a.yaml:1:8: A group of keys is not text. Write text."],
    ["%YAML 1.1\n---\nname: x", "a.yaml:1:1: Directives (%) are not read. Leave the line out."],
    ["name: x\n---\nname: y", "a.yaml:2:1: A second document begins here. Write one document a file."],
    ["name:\n\tx: 1", /^a\.yaml:2:1: .*Indent with spaces\.$/],
    ["<<: {name: x}", /^a\.yaml:1:1: "<<" is not known here/],
  ])("in %j is named with its place and a cure", (text, told) => {
    const [first] = wrong(text);
    if (typeof told === "string") expect(first).toBe(told);
    else expect(first).toMatch(told);
  });

  it("does not hide another: all are told, in the order of the file", () => {
    const text = "count: 0\nlist: [1]\nwhen: entry\nwhen: never\nnaem: x\n";
    expect(wrong(text).map((line) => line.split(": ")[0])).toEqual([
      "a.yaml:1:8",
      "a.yaml:2:8",
      "a.yaml:4:1",
      "a.yaml:5:1",
    ]);
  });

  it("is told once of twenty, and what is left is counted", () => {
    const lines = wrong(Array.from({ length: 30 }, (_, i) => `k${i}: 1`).join("\n"));
    expect(lines.length).toBe(21);
    expect(lines.at(-1)).toBe("a.yaml: and 10 more");
  });

  it("shows hostile text with visible escapes on its one line", () => {
    const [first, ...more] = wrong('"\\x1b[31m\\n::error::x": 1');
    expect(first).toContain('"\\x1b[31m\\x0a::error::x"');
    expect(more).toEqual([]);
    expect(() => raise({ name: "a\n::b" }, [{ line: 1, column: 2, message: "m\n", cure: "c\x07" }])).toThrow(
      "Cannot use a\\x0a::b: 1 mistake\na\\x0a::b:1:2: m\\x0a. c\\x07",
    );
  });

  it("is an error of the registry", () => {
    expect(() => read("x: 1")).toThrow(EbscopeError);
    expect(() => read("x: 1")).toThrow(expect.objectContaining({ code: "bad-document" }));
  });
});

describe("what is too much", () => {
  const MIB = 1 << 20;
  const laughs = Array.from({ length: 20 }, (_, i) => `&x${i + 1} [${Array(10).fill(`*x${i}`).join(",")}]`).join(",");

  it.each([
    ["a text of more than 1 MiB", "#".repeat(MIB + 1), /1:1: It is larger than 1 MiB/],
    ["2^20 open brackets", "[".repeat(MIB), /1:\d+: It is nested too deeply/],
    ["brackets that are closed again", "[".repeat(3000) + "]".repeat(3000), /nested too deeply/],
    ["a list in a list on one line", `${"- ".repeat(MIB / 4)}\nname: x`, /nested too deeply/],
    ["keys below keys", Array.from({ length: 1400 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"), /nested too deeply/],
    ["commas without end", `list: [${"a,".repeat(MIB / 4)}]`, /It has too many parts/],
    ["aliases of aliases", `name: [&x0 [1,1,1,1,1,1,1,1,1,1],${laughs}]`, /It has too many values/],
    ["an alias of what it stands in", "name: &x [*x]", /1:11: The alias \*x leads nowhere/],
    ["brackets that close nothing", "]".repeat(100_000), /1:1: Unexpected/],
  ])("%s is refused", (_name, text, told) => {
    expect(wrong(text).join("\n")).toMatch(told);
  });

  it("does not count what stands alone: 30,000 keys are read", () => {
    const text = `a: {${Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join(", ")}}`;
    expect(Object.keys((any(text) as { a: object }).a).length).toBe(30_000);
  });
});
