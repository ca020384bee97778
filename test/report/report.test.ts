/** What the report of a real guest's fault says, in both forms, and how it is written. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { asEbscopeError } from "../../src/base/error.ts";
import { reportCommand } from "../../src/cli/commands/report.ts";
import { studyCapture } from "../../src/diagnose/study.ts";
import { diffPoints, findPoint } from "../../src/diff/diff.ts";
import { buildReport, renderHtml, renderMarkdown } from "../../src/report/index.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { FIXTURE } from "./grafted.ts";
import { readPage } from "./html-reader.ts";
import { readMarkdown } from "./markdown-reader.ts";

const CAPTURE = await readCapture(FIXTURE);
const OPTIONS = { file: "boot-service.ebs", version: "ebscope 9.8.7" };

async function reportOf(capture: Capture, from = "before", to = "after") {
  const study = await studyCapture(capture);
  const points = capture.points.length < 2 ? undefined : ([findPoint(capture, from), findPoint(capture, to)] as const);
  const difference = points === undefined ? undefined : await diffPoints(capture, study.images, ...points);
  return buildReport(study, difference, OPTIONS);
}

const REPORT = await reportOf(CAPTURE);
const VERDICT = /^kernel\+0x1850 called gBS->Stall after ExitBootServices/;

describe("the report of a boot service called after the exit", () => {
  const html = readPage(renderHtml(REPORT));
  const markdown = readMarkdown(renderMarkdown(REPORT));
  const blocks = markdown.blocks.map((lines) => lines.join("\n"));

  it("has the cause as its title, in both forms, and first", () => {
    expect(REPORT.title).toMatch(VERDICT);
    expect(html.text.trim().split("\n")[0]).toMatch(VERDICT);
    expect(markdown.spans[0]).toMatch(VERDICT);
    expect(markdown.outside.slice(0, 3)).toEqual(["# ExitBootServices: what went wrong", "", "‹›"]);
  });

  it.each([
    ["the syndrome, in digits and in words", "0x0000000086000007"],
    ["the syndrome, in digits and in words", "translation fault, level 3"],
    ["the registers at the vector", "0x000000007c412854"],
    ["the call chain with images", "DxeCore+0x92fc"],
    ["the instruction that branched", "blr x8"],
    ["the walk of the PC", "invalid (zero)"],
    ["the pointer that was zeroed", "SystemTable.BootServices"],
    ["whose mappings changed", "VariableRuntimeDxe"],
    ["QEMU's version", "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)"],
    ["the map key", "0x29c"],
    ["the capture's name and what made the report", "boot-service.ebs"],
    ["the capture's name and what made the report", "ebscope 9.8.7"],
  ])("has %s (%s)", (_, text) => {
    expect(html.text).toContain(text);
    expect([...markdown.spans, ...blocks].join("\n")).toContain(text);
  });

  it("marks the call among the code around it", () => {
    const code = blocks.find((each) => each.includes("blr x8")) ?? "";
    expect(code.split("\n").filter((line) => line.startsWith(">"))).toEqual([">  0x7c412850  d63f0100  blr x8"]);
    expect(html.elements).toContainEqual({ tag: "tr", attributes: [["class", "marked"]] });
  });

  it("leaves the lists of images to the page", () => {
    expect(html.text).toContain("92 images in the firmware's list.");
    expect(markdown.outside.join("\n")).not.toContain("## Images");
    expect(renderMarkdown(REPORT).length).toBeLessThan(12_000);
  });

  it("has an anchor for each section, and only links to those", () => {
    const values = (tag: string, name: string): (string | undefined)[] =>
      html.elements
        .filter((element) => element.tag === tag)
        .map(({ attributes }) => attributes.find(([each]) => each === name)?.[1]);
    const anchors = values("h2", "id").map((id) => `#${id}`);
    expect(anchors.length).toBeGreaterThan(4);
    expect(new Set(anchors).size).toBe(anchors.length);
    expect([...new Set(values("a", "href"))]).toEqual(anchors);
  });
});

describe("the report of a capture", () => {
  it("with a single point has its registers and images, and speaks of no change", async () => {
    const [, , point] = CAPTURE.points;
    const now = {
      ...CAPTURE,
      attempts: [],
      points: point === undefined ? [] : [{ ...point, id: "now", kind: "now" as const }],
    };
    const text = renderMarkdown(await reportOf(now));
    expect(text).not.toContain("What changed");
    expect(text).not.toContain("ExitBootServices returned");
    expect(text).toContain("How it was captured");
    readPage(renderHtml(await reportOf(now)));
  });

  it("says what is not known", async () => {
    const lost = 0x7ed0_5000n;
    const points = CAPTURE.points.map((point) => ({
      ...point,
      pages: new Map([...point.pages].filter(([pa]) => pa !== lost)),
    }));
    const text = renderMarkdown(await reportOf({ ...CAPTURE, points }));
    expect(text).toContain("## Not known");
    expect(text).toMatch(/not-captured/);
    expect(text).not.toContain("Each of them is");
    expect(text).toContain("Those that were seen are what ExitBootServices is known to do.");
    expect(text).toMatch(/parts? of the tables not known: see below/);
  });

  it("has the memory map with its totals, and who asked for it", async () => {
    const study = await studyCapture(CAPTURE);
    const range = (start: bigint, pages: bigint) => ({
      ...{ type: 7, typeName: "EfiConventionalMemory", physicalStart: start, virtualStart: 0n, pages, attribute: 8n },
      attributes: ["WB"],
    });
    const map = {
      state: "read",
      descriptors: [range(0x4000_0000n, 512n), range(0x5000_0000n, 512n)],
      sorted: true,
      problems: ["odd"],
    } as const;
    const memoryMap = {
      address: 1n,
      size: 96n,
      descriptorSize: 48n,
      descriptorVersion: 1,
      mapKey: 0x29cn,
      caller: 0x7c41_2850n,
    };
    const mapped = {
      ...study,
      capture: { ...CAPTURE, memoryMap },
      memoryMap: { point: "before", source: "GetMemoryMap", map } as const,
    };
    const { text } = readPage(renderHtml(buildReport(mapped, undefined, OPTIONS)));
    expect(text).toContain("As GetMemoryMap returned it to kernel+0x1850, map key 0x29c, at the point before.");
    expect(text).toContain("EfiConventionalMemory210244 MiB");
    expect(text).toContain("0x00000000500000000x00000000501fffff512WB");
    expect(text).toContain("odd");
    const lost = {
      ...mapped,
      memoryMap: { point: "before", source: "firmware", map: { state: "unreadable", why: "gone" } } as const,
    };
    const page = readPage(renderHtml(buildReport(lost, undefined, OPTIONS)));
    expect(page.text).toContain("As the firmware had it, at the point before.");
    expect(page.text).toContain("It is not known: gone");
  });

  it("tells runs that are not expected, of the first ones which they are", async () => {
    const text = renderMarkdown(await reportOf(CAPTURE, "after", "before"));
    expect(text).toContain("## What changed from after to before");
    expect(text).toContain("RWX → RO+X");
  });
});

const folder = mkdtempSync(join(tmpdir(), "report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function command(flags: Parameters<typeof reportCommand>[1], file = FIXTURE): Promise<string> {
  let printed = "";
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    printed += String(chunk);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    expect(await reportCommand(file, flags)).toBe(0);
    return printed;
  } catch (error) {
    const { code, message } = asEbscopeError(error);
    return `${code}: ${message}`;
  } finally {
    vi.restoreAllMocks();
  }
}

describe("ebscope report", () => {
  it("writes both forms in one run, the Markdown to stdout when it has no name", async () => {
    const html = join(folder, "out.html");
    const printed = await command({ html, markdown: true });
    expect(readFileSync(html, "utf8").startsWith("<!DOCTYPE html>")).toBe(true);
    expect(printed.startsWith("# ExitBootServices: what went wrong\n")).toBe(true);
    const markdown = join(folder, "out.md");
    expect(await command({ markdown })).toBe("");
    expect(readFileSync(markdown, "utf8")).toBe(printed);
  });

  it("leaves what stood there when it cannot read the capture, and no half of a file", async () => {
    const [html, broken] = [join(folder, "kept.html"), join(folder, "broken.ebs")];
    writeFileSync(html, "old");
    writeFileSync(broken, "no capture");
    expect(await command({ html }, broken)).toMatch(/^not-a-capture: /);
    expect(readFileSync(html, "utf8")).toBe("old");
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("says when it cannot write, and replaces nothing that is no file", async () => {
    expect(await command({ html: join(folder, "none", "x.html") })).toMatch(
      /^file-unwritable: .*no such file or folder/,
    );
    expect(await command({ html: folder })).toMatch(/^file-unwritable: .*it is a folder/);
    expect(await command({ html: "/dev/null" })).toMatch(/^file-unwritable: .*it is no regular file/);
  });

  it("refuses no form, one place for two, and the name of a capture", async () => {
    expect(await command({})).toMatch(/^usage: Cannot write a report: no form was asked for/);
    expect(await command({ html: "-", markdown: true })).toMatch(/^usage: .*one place/);
    expect(await command({ html: join(folder, "a"), markdown: join(folder, "b", "..", "a") })).toMatch(
      /^usage: .*one place/,
    );
    const capture = join(folder, "x.ebs");
    expect(await command({ markdown: capture })).toMatch(/^usage: .*name of a capture/);
    expect(existsSync(capture)).toBe(false);
    expect(await command({ html: "-", from: "after", to: "after" })).toMatch(/^usage: .*with itself/);
    expect(await command({ html: "-", to: "never" })).toMatch(/^no-such-point: /);
  });
});
