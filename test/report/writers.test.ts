/** The two writers alone: hostile strings in every place of a document that holds data. */
import { describe, expect, it } from "vitest";
import { type Block, columns, data, MAX_ROWS, type Report, table, text } from "../../src/report/document.ts";
import { renderHtml, renderMarkdown } from "../../src/report/index.ts";
import { hostileStrings } from "./hostile-text.ts";
import { readPage } from "./html-reader.ts";
import { unsafeCharacters } from "./inert.ts";
import { readMarkdown } from "./markdown-reader.ts";

/** A document with a text in each place, alone on its line where it can be. */
function filled(each: string): Report {
  const blocks: Block[] = [
    text("words ", data(each), " words"),
    text(data(each)),
    { kind: "heading", spans: [data(each), " words"] },
    { kind: "facts", rows: [["label", [data(each), ", ", data(each)]]] },
    ...table(columns("a", "b"), [[each, each]], { marked: 0 }),
    ...table(columns(""), [[each], ["x"]]),
    { kind: "lines", lines: ["x", each, "x"] },
    { kind: "finding", tone: "error", rule: "rule", title: each, evidence: [each, each] },
  ];
  const folded: Block = { kind: "more", summary: "summary", blocks };
  return {
    tone: "error",
    title: each,
    summary: ["words ", data(each)],
    sections: [{ id: "one", title: "One", blocks: [...blocks, folded] }],
  };
}

const STRINGS = [
  ...hostileStrings(1000, 7),
  "```",
  "````",
  "~~~",
  "`",
  "``",
  " ` ",
  "` `",
  "x`",
  "`x",
  "\\",
  "\\`",
  "- x",
  "# x",
  "    x",
];

describe("the HTML of a document", () => {
  const known = readPage(renderHtml(filled("harmless"))).elements;

  it("has the same elements and attributes whatever its data is", () => {
    for (const each of STRINGS) expect([each, readPage(renderHtml(filled(each))).elements]).toEqual([each, known]);
  });

  it("shows what is printable as it is", () => {
    for (const each of STRINGS.filter((one) => /^[ -~]{1,200}$/.test(one) && !/##|^\s*::/.test(one)))
      expect(readPage(renderHtml(filled(each))).text.split(each).length).toBeGreaterThan(20);
  });
});

describe("the Markdown of a document", () => {
  const known = readMarkdown(renderMarkdown(filled("harmless")));

  it("has the same text outside code whatever its data is", () => {
    for (const each of STRINGS) {
      const { outside, blocks } = readMarkdown(renderMarkdown(filled(each)));
      expect([each, outside.map((line) => line.replaceAll("–", "‹›"))]).toEqual([each, known.outside]);
      expect([each, blocks.map((lines) => lines.length)]).toEqual([each, known.blocks.map((lines) => lines.length)]);
    }
  });

  it("shows what is printable as it is, the spaces of a span too", () => {
    for (const each of STRINGS.filter(
      (one) => /^[ -~]{1,200}$/.test(one) && one.trim() !== "" && !/##|^\s*::/.test(one),
    )) {
      const { spans } = readMarkdown(renderMarkdown(filled(each)));
      expect([each, spans.filter((span) => span === each).length]).toEqual([each, known.spans.length]);
    }
  });

  it("does not take its own words for marks", () => {
    const report = { ...filled("x"), summary: ["a_b *c* <d> [e](f) `g` EL1&0 &amp; #1 @x | ~h~ _i_"] };
    const [line] = readMarkdown(renderMarkdown(report)).outside.slice(4);
    expect(line).toBe("a_b \\*c\\* \\<d\\> \\[e\\](f) \\`g\\` EL1&0 \\&amp; \\#1 \\@x \\| \\~h\\~ \\_i\\_");
  });
});

describe("a document", () => {
  it("has bounded tables, and says how many rows there are more", () => {
    const rows = Array.from({ length: MAX_ROWS + 5 }, (_, i) => [`row${i}`]);
    const report = { ...filled("x"), sections: [{ id: "one", title: "One", blocks: table(columns("a"), rows) }] };
    const page = readPage(renderHtml(report));
    expect(page.elements.filter(({ tag }) => tag === "td")).toHaveLength(MAX_ROWS);
    expect(page.text).toContain("… and 5 more.");
    expect(readMarkdown(renderMarkdown(report)).blocks[0]?.at(-1)).toMatch(/^… and 1,?9\d\d more$/);
  });

  it("keeps so much of a text", () => {
    const long = "x".repeat(100_000);
    expect(renderHtml(filled(long)).length).toBeLessThan(200_000);
    expect(renderMarkdown(filled(long)).length).toBeLessThan(50_000);
    expect(unsafeCharacters(renderHtml(filled("\ud83d".repeat(5000))))).toEqual([]);
  });
});
