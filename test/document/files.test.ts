/** The files of documents, and the paths in them. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insideFolder, pathFault, readSource } from "../../src/document/index.ts";
import { failure } from "../support/failure.ts";

let root = "";
beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "ebscope-document-")));
  mkdirSync(join(root, "plans/build"), { recursive: true });
  writeFileSync(join(root, "plans/build/a.debug"), "x");
  writeFileSync(join(root, "secret"), "x");
  symlinkSync("build", join(root, "plans/inner"));
  symlinkSync("..", join(root, "plans/up"));
  symlinkSync("../secret", join(root, "plans/leak"));
  symlinkSync("../not-there", join(root, "plans/dangling"));
  symlinkSync("round", join(root, "plans/round"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a path in a document", () => {
  const inside = (path: string) => insideFolder(join(root, "plans"), path);

  it.each([
    ["build/a.debug", "build/a.debug"],
    ["./build/../build/a.debug".replace("../build/", ""), "build/a.debug"],
    ["inner/a.debug", "build/a.debug"],
    ["out.ebs", "out.ebs"],
    ["inner/new.ebs", "build/new.ebs"],
    [".", ""],
    ["..a/b", undefined],
  ])("%j leads to what lies in the document's folder", async (path, found) => {
    if (found === undefined) expect((await failure(inside(path))).code).toBe("file-unreadable");
    else expect(await inside(path)).toBe(join(root, "plans", found));
  });

  it.each([
    "../secret",
    "build/../../secret",
    "..",
    "/etc/passwd",
    "~/x",
    "C:\\x",
    "..\\secret",
    "",
    "a\0b",
    "a".repeat(2000),
  ])("%j is refused by its text", async (path) => {
    expect(pathFault(path)).toBeDefined();
    expect((await failure(inside(path))).code).toBe("usage");
  });

  it.each(["leak", "up/secret", "up/new", "dangling"])("%j is refused for where its link leads", async (path) => {
    expect(pathFault(path)).toBeUndefined();
    expect((await failure(inside(path))).message).toMatch(/^Cannot use .*link/);
  });

  it("may come to no end: that is told", async () => {
    expect((await failure(inside("round"))).message).toBe("Cannot reach round: a link leads round in a circle");
  });
});

describe("a document's file", () => {
  it("is read with its path for a name", async () => {
    const path = join(root, "a.yaml");
    writeFileSync(path, "é: 1");
    expect(await readSource(path)).toEqual({ name: path, text: "é: 1" });
  });

  it.each([
    ["gone.yaml", undefined, "no such file or folder"],
    ["plans", undefined, "it is no file"],
    ["latin.yaml", Buffer.from([0xe9, 0x3a]), "it is no UTF-8 text"],
    ["large.yaml", Buffer.alloc((1 << 20) + 1, 0x23), "it is larger than 1 MiB"],
  ])("%s cannot be had: that is told", async (name, content, why) => {
    const path = join(root, name);
    if (content !== undefined) writeFileSync(path, content);
    const error = await failure(readSource(path));
    expect(error).toMatchObject({ code: "file-unreadable", message: `Cannot read ${path}: ${why}` });
  });
});
