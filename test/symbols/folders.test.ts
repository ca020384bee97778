/** Folders of symbols that are of no use: that is said, since nothing would otherwise tell a wrong path from a right one. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { searchSymbols } from "../../src/symbols/search.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ebscope-folders-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const LIST = "0000000000001000 T main\n";
const IMAGE = { name: "DxeCore", buildPath: undefined, base: 0x7000_0000n, size: 0x8000n };

async function skippedOf(...paths: string[]): Promise<{ path: string; why: string }[]> {
  return [...(await searchSymbols(paths, [IMAGE])).skipped];
}

describe("a folder", () => {
  it("with nothing that is called like a symbol file is named", async () => {
    writeFileSync(join(root, "notes.txt"), LIST);
    mkdirSync(join(root, "a"));
    symlinkSync(root, join(root, "a", "loop"));
    expect(await skippedOf(root)).toEqual([{ path: root, why: "no file in it is called like a symbol file" }]);
  });

  it("with symbols of other images alone is named with their number", async () => {
    for (const name of ["Shell.map", "PeiCore.map"]) writeFileSync(join(root, name), LIST);
    expect(await skippedOf(root)).toEqual([
      { path: root, why: "none of its 2 symbol files belongs to an image of the capture" },
    ]);
  });

  it("with symbols of one image is not, whatever else is in it", async () => {
    for (const name of ["Shell.map", "DxeCore.map"]) writeFileSync(join(root, name), LIST);
    expect(await skippedOf(root)).toEqual([]);
  });

  it("whose only fitting file is damaged is not named besides it", async () => {
    const path = join(root, "DxeCore.map");
    writeFileSync(path, "");
    expect((await skippedOf(root)).map((each) => each.path)).toEqual([path]);
  });

  it("that is empty beside one that helps is named alone", async () => {
    mkdirSync(join(root, "empty"));
    mkdirSync(join(root, "full"));
    writeFileSync(join(root, "full", "DxeCore.map"), LIST);
    expect((await skippedOf(join(root, "empty"), join(root, "full"))).map(({ path }) => path)).toEqual([
      join(root, "empty"),
    ]);
  });
});
