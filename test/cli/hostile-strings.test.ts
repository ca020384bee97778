/**
 * 1,000 hostile strings in every place where a capture has text of the guest, the stub or a file, through every verb that reads captures.
 * What comes out is held against what terminals, browsers, Markdown and CI services make of it (test/report/), never against src.
 */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommanderError } from "commander";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { asEbscopeError } from "../../src/base/error.ts";
import { printable, printableJson } from "../../src/base/text.ts";
import { SHOWN } from "../../src/cli/defaults.ts";
import { printError } from "../../src/cli/output.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { writeCapture } from "../../src/snapshot/store.ts";
import { grafted } from "../report/grafted.ts";
import { hostileStrings } from "../report/hostile-text.ts";
import { readPage } from "../report/html-reader.ts";
import { ciCommands, unsafeCharacters } from "../report/inert.ts";
import { readMarkdown } from "../report/markdown-reader.ts";

const COUNT = 1000;
/** Captures that they are spread over. */
const CAPTURES = 10;
const STRINGS = hostileStrings(COUNT, 20260101);

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hostile-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Printed {
  readonly data: string;
  readonly all: string;
}

/** Runs a command line in this process as main.ts does; what it prints, errors included. */
async function run(...args: readonly string[]): Promise<Printed> {
  let [data, all] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    data += String(chunk);
    all += String(chunk);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    all += String(chunk);
    return true;
  });
  try {
    await buildProgram(() => undefined).parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) printError(asEbscopeError(error));
  }
  vi.restoreAllMocks();
  return { data, all };
}

/** A capture with every hundredth string in turn in each of its places. */
async function capture(index: number, name: (place: number) => string): Promise<string> {
  const { capture: made, paths, files } = grafted(name);
  expect(Math.min(paths, files)).toBeGreaterThan(20);
  const path = join(folder, `${index}.ebs`);
  await writeCapture(path, made);
  return path;
}

function hostile(index: number): Promise<string> {
  const mine = STRINGS.filter((_, i) => i % CAPTURES === index);
  return capture(index, (place) => mine[place % mine.length] as string);
}

/** Names of the same number, harmless and all different, as hostile ones mostly are. */
function harmless(): Promise<string> {
  return capture(CAPTURES, (place) => `name${place}`);
}

const READERS: readonly (readonly string[])[] = [
  ["diff"],
  ["diff", "--all"],
  ["diff", "--from", "after", "--to", "fault", "--all"],
  ...SHOWN.map((what) => ["show", what]),
  ["show", "mappings", "--at", "before"],
  ["explain", "0"],
  ["explain", "0x7c412850"],
  ["report", "--markdown", "-"],
  ["report", "--html", "-"],
  ["blame"],
  ["blame", "--all"],
  ["blame", "0x7c450000"],
  ["blame", "0x47800000", "--all"],
  ["blame", "SCTLR_EL1"],
];
const JSON_READERS = [
  ["diff"],
  ...SHOWN.map((what) => ["show", what]),
  ["explain", "0"],
  ["blame"],
  ["blame", "0x7c450000"],
];

/** `file` goes behind the verb. */
function withFile([verb = "", ...rest]: readonly string[], file: string): string[] {
  return [verb, file, ...rest];
}

const INDICES = Array.from({ length: CAPTURES }, (_, i) => i);

describe("a capture full of hostile strings", () => {
  it.each(INDICES)(
    "(%i) prints no control character and no CI command, whatever reads it",
    { timeout: 120_000 },
    async (index) => {
      const file = await hostile(index);
      for (const args of READERS) {
        const { all } = await run(...withFile(args, file));
        expect(all.length, args.join(" ")).toBeGreaterThan(40);
        expect(all.length, args.join(" ")).toBeLessThan(4_000_000);
        expect([args, unsafeCharacters(all).slice(0, 3)]).toEqual([args, []]);
        expect([args, ciCommands(all).slice(0, 3)]).toEqual([args, []]);
      }
    },
  );

  it.each(INDICES)(
    "(%i) is printed as JSON that is just as inert, and holds the strings as they are",
    async (index) => {
      const file = await hostile(index);
      for (const args of JSON_READERS) {
        const { data, all } = await run(...withFile(args, file), "--json");
        expect([args, unsafeCharacters(all).slice(0, 3)]).toEqual([args, []]);
        expect([args, ciCommands(all).slice(0, 3)]).toEqual([args, []]);
        if (data !== "") JSON.parse(data);
        if (args[0] === "diff") {
          const notes = (JSON.parse(data) as { notes: string[] }).notes;
          expect(notes.length).toBeGreaterThanOrEqual(20);
          const mine = new Set(STRINGS.map((each) => each.slice(0, 4096)));
          expect(notes.slice(0, 20).filter((note) => !mine.has(note))).toEqual([]);
        }
      }
    },
  );

  it("shows whose writes they were by the names of images, ranges and notes", async () => {
    const file = await capture(0, () => "<b>`evil`\x1b[0m");
    for (const args of [["blame"], ["blame", "--all"], ["diff", "--all"]]) {
      const { data } = await run(...withFile(args, file));
      expect(
        data.match(/by <b>`evil`\\x1b\[0m\+0x1000|<b>`evil`\\x1b\[0m\+0x1000, from/g)?.length ?? 0,
      ).toBeGreaterThan(0);
    }
    const { data } = await run("blame", file);
    expect(data).toContain("not all was seen: <b>`evil`\\x1b[0m");
    expect(data).toContain("watched: page tables; 1 instruction for System registers; <b>`evil`");
  });

  it("shows its strings: they are made inert, not left out", async () => {
    const file = await capture(0, () => "<b>`evil`\x1b[0m");
    for (const args of [
      ["diff", "--all"],
      ["show", "fault"],
      ["report", "--markdown", "-"],
    ]) {
      expect((await run(...withFile(args, file))).data).toContain("<b>`evil`\\x1b[0m");
    }
    const { data } = await run("report", file, "--html", "-");
    expect(readPage(data).text).toContain("<b>`evil`\\x1b[0m");
  });
});

/** Names, values and all: what elements a page has, apart from how many rows and items. */
function elementKinds(html: string): string[] {
  const kinds = readPage(html).elements.map(({ tag, attributes }) => {
    const list = attributes.map(([name, value]) => ` ${name}="${value}"`);
    return `${tag}${list.join("")}`;
  });
  return [...new Set(kinds)].sort();
}

describe("the HTML of such a capture", () => {
  it.each(INDICES)("(%i) has no element and no attribute that the page of a harmless one has not", async (index) => {
    const { data: plain } = await run("report", await harmless(), "--html", "-");
    const { data } = await run("report", await hostile(index), "--html", "-");
    const known = new Set(elementKinds(plain));
    expect(known.size).toBeGreaterThan(30);
    expect(elementKinds(data).filter((kind) => !known.has(kind))).toEqual([]);
  });

  it("has no script, no link out of the page, and a policy that allows its one style by its hash", async () => {
    const { data } = await run("report", await hostile(3), "--html", "-");
    const { elements, styles } = readPage(data);
    const attributes = elements.flatMap((element) => element.attributes);
    const tags = new Set(elements.map(({ tag }) => tag));
    for (const tag of ["script", "img", "link", "iframe", "object", "embed", "form", "base", "svg"])
      expect(tags).not.toContain(tag);
    expect(attributes.filter(([name]) => name.startsWith("on") || name === "src" || name === "style")).toEqual([]);
    const links = attributes.filter(([name]) => name === "href").map(([, value]) => value);
    expect(links.filter((value) => !/^#[a-z-]+$/.test(value))).toEqual([]);
    expect(styles).toHaveLength(1);
    const hash = createHash("sha256")
      .update(styles[0] ?? "")
      .digest("base64");
    expect(attributes).toContainEqual([
      "content",
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`,
    ]);
  });
});

/** What a renderer makes of the text outside code. Rows, and so blocks, are as many; a heading may have another rule's finding. */
describe("the Markdown of such a capture", () => {
  it.each(INDICES)("(%i) has outside code only what that of a harmless one has there", async (index) => {
    const plain = readMarkdown((await run("report", await harmless(), "--markdown", "-")).data);
    const { outside, spans, blocks } = readMarkdown(
      (await run("report", await hostile(index), "--markdown", "-")).data,
    );
    const known = new Set(plain.outside);
    expect(known.size).toBeGreaterThan(30);
    // An empty text is a dash: there is no empty code span.
    const strange = outside.filter((line) => !known.has(line) && !known.has(line.replaceAll("–", "‹›")));
    expect(strange).toEqual([]);
    expect(spans.length).toBeGreaterThan(20);
    expect(blocks.flat().length).toBeGreaterThan(20);
  });
});

describe("a hostile word on the command line", () => {
  it("comes back in the error message as inert as what a capture holds", async () => {
    const file = await harmless();
    for (const text of STRINGS) {
      const commands = [
        ["diff", text],
        ["diff", file, "--from", text],
        ["show", file, text],
        ["explain", file, text],
        ["blame", file, text],
        ["report", text, "--html", "-"],
      ];
      const args = commands[STRINGS.indexOf(text) % commands.length] as string[];
      const { all } = await run(...args);
      expect([args, unsafeCharacters(all)]).toEqual([args, []]);
      expect([args, ciCommands(all)]).toEqual([args, []]);
    }
  }, 120_000);
});

describe("printable", () => {
  it("leaves ordinary names as they are", () => {
    for (const name of [
      "Foo::bar",
      "std::vector<int>::at(unsigned long)",
      "#include",
      "C#",
      "a: b",
      "x86_64::gdt",
      "é漢🎉",
    ])
      expect(printable(name)).toBe(name);
  });

  it("makes each hostile string inert, and does nothing to what it has made", () => {
    for (const text of STRINGS) {
      const shown = printable(text, 5000);
      expect([text, unsafeCharacters(shown.replaceAll("\n", "\0"))]).toEqual([text, []]);
      expect([text, ciCommands(shown)]).toEqual([text, []]);
      expect(printable(shown, 50_000)).toBe(shown);
    }
  });

  it("escapes what CI services take for commands, visibly", () => {
    expect(printable("::error::x")).toBe("\\x3a:error::x");
    expect(printable(" ::error::x")).toBe(" \\x3a:error::x");
    expect(printable("a ##[error]x")).toBe("a \\x23#[error]x");
    expect(printable("##vso[task.x]")).toBe("\\x23#vso[task.x]");
    expect(printable("##TeamCity[x]")).toBe("\\x23#TeamCity[x]");
  });
});

describe("printableJson", () => {
  it("keeps every value, and has no unsafe character and no CI command in it", () => {
    for (const text of STRINGS) {
      const json = printableJson(JSON.stringify({ [text]: [text] }, null, 2));
      expect(JSON.parse(json)).toEqual({ [text]: [text] });
      expect([text, unsafeCharacters(json), ciCommands(json)]).toEqual([text, [], []]);
    }
  });
});

describe("the readers that outputs are held against", () => {
  it("see a control character and a command where there is one", () => {
    expect(unsafeCharacters("a\x1bb\n")).toHaveLength(1);
    expect(unsafeCharacters("a\x9bb\u202e")).toHaveLength(2);
    expect(ciCommands("x\n  ::error::y\n##[x]\na ##vso[b]\nFoo::bar::x")).toHaveLength(3);
  });

  it("refuse a page with a stray tag, and see each element of a good one", () => {
    const page = (body: string): string => `<!DOCTYPE html><html><body>${body}</body></html>`;
    expect(readPage(page('<p class="x">a &lt;b&gt; &#39;</p>')).text).toBe("a <b> '");
    expect(readPage(page("<p></p><script>x</script>")).elements.map(({ tag }) => tag)).toContain("script");
    for (const bad of ["<p", "<p onclick=x>", "a & b", "</p>", "<!-- x -->", "a > b", "<p>"])
      expect(() => readPage(page(bad)), bad).toThrow();
  });

  it("tell what stands outside code in Markdown", () => {
    expect(readMarkdown("a `b` ``c`d`` \\`e").outside).toEqual(["a ‹› ‹› \\`e"]);
    expect(readMarkdown("a `b` [x](y) `c`").outside).toEqual(["a ‹› [x](y) ‹›"]);
    expect(readMarkdown("```text\n# x\n``\n````\n# y").outside).toEqual(["‹block›", "# y"]);
    expect(() => readMarkdown("```\nx")).toThrow();
  });
});
