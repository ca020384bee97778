import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SearchImage } from "../../src/symbols/image-match.ts";
import { searchSymbols } from "../../src/symbols/search.ts";
import { type WrittenElf, writeElf } from "./elf-writer.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ebscope-symbols-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, content: Buffer | string): string {
  const whole = join(root, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, content);
  return whole;
}

/** A program with one function at its start. */
function program(base: bigint, name: string, more: Partial<WrittenElf> = {}): Buffer {
  return writeElf({
    segments: [[base, 0x2000n]],
    sections: [{ name: ".text", flags: 6, type: 8, address: base + 0x1000n, size: 0x1000n }],
    symbols: [{ name, value: base + 0x1000n, size: 8n }],
    ...more,
  });
}

function image(name: string, more: Partial<SearchImage> = {}): SearchImage {
  return { name, buildPath: undefined, base: 0x7000_0000n, size: 0x8000n, ...more };
}

const BUILD = "/build/edk2/Build/ArmVirtQemu-AARCH64/DEBUG_GCC5/AARCH64";
const DXE_CORE = image("DxeCore", {
  buildPath: `${BUILD}/MdeModulePkg/Core/Dxe/DxeMain/DEBUG/DxeCore.dll`,
  sections: [{ name: ".text", offset: 0x1000 }],
});

async function search(paths: readonly string[], images: readonly SearchImage[]) {
  const { matches, unmatched, skipped } = await searchSymbols(paths, images);
  return {
    matches: matches.map(({ image: { name }, file, by, bias }) => ({
      name,
      file: file.path.slice(root.length + 1),
      by,
      bias,
    })),
    unmatched: unmatched.map(({ path }) => path.slice(root.length + 1)),
    skipped: skipped.map(({ path, why }) => `${path.slice(root.length + 1)}: ${why}`),
    whys: matches.map(({ why }) => why),
  };
}

describe("the symbols of an edk2 module", () => {
  it("are in the file whose folders are those of its build path", async () => {
    put("Build/DEBUG_GCC5/AARCH64/Other/DEBUG/DxeCore.debug", program(0n, "other"));
    put("Build/DEBUG_GCC5/AARCH64/MdeModulePkg/Core/Dxe/DxeMain/DEBUG/DxeCore.debug", program(0n, "DxeMain"));
    expect((await search([root], [DXE_CORE])).matches).toEqual([
      {
        name: "DxeCore",
        file: "Build/DEBUG_GCC5/AARCH64/MdeModulePkg/Core/Dxe/DxeMain/DEBUG/DxeCore.debug",
        by: "build-path",
        bias: 0x7000_0000n,
      },
    ]);
  });

  it("are in its .debug rather than in its .dll or its .map", async () => {
    put("DEBUG/DxeCore.dll", program(0n, "DxeMain"));
    put("DEBUG/DxeCore.map", "0000000000001000 T DxeMain\n");
    expect((await search([root], [DXE_CORE])).matches).toMatchObject([{ file: "DEBUG/DxeCore.dll" }]);
    put("DEBUG/DxeCore.debug", program(0n, "DxeMain"));
    const found = await search([root], [DXE_CORE]);
    expect(found.matches).toMatchObject([{ file: "DEBUG/DxeCore.debug", by: "build-path" }]);
    expect(found.whys).toEqual(["called DxeCore.debug in the same folder; linked at 0"]);
  });

  it("are in the next file when the first one was stripped, which is said", async () => {
    put("DEBUG/DxeCore.dll", writeElf({ segments: [[0n, 0x2000n]] }));
    put("DEBUG/DxeCore.map", "0000000000001000 T DxeMain\n");
    const found = await search([root], [DXE_CORE]);
    expect(found.matches).toMatchObject([{ file: "DEBUG/DxeCore.map" }]);
    expect(found.skipped).toEqual([
      expect.stringMatching(
        /^DEBUG\/DxeCore\.dll: Cannot read symbols from .*it has no symbol table \(it was stripped\)$/,
      ),
    ]);
  });

  it("lie where its .text lies, should the image's be elsewhere than the file's", async () => {
    put("DxeCore.debug", program(0n, "DxeMain"));
    const shifted = { ...DXE_CORE, sections: [{ name: ".text", offset: 0x240 }] };
    expect((await search([root], [shifted])).matches).toMatchObject([{ bias: 0x7000_0000n - 0x1000n + 0x240n }]);
  });

  it("are found by the name alone where no folder fits, whatever its case", async () => {
    put("symbols/dxecore.debug", program(0n, "DxeMain"));
    expect((await search([root], [DXE_CORE])).matches).toMatchObject([{ by: "name" }]);
  });
});

describe("a build id", () => {
  const id = "0123456789abcdef0123456789abcdef01234567";

  it("finds a file whatever it is called", async () => {
    put(".build-id/01/23456789abcdef.debug", program(0n, "main", { buildId: id }));
    const found = await search([root], [image("Loader", { buildId: id })]);
    expect(found.matches).toMatchObject([{ file: ".build-id/01/23456789abcdef.debug", by: "build-id" }]);
  });

  it("that differs refuses a file that is called right", async () => {
    put("Loader.debug", program(0n, "main", { buildId: id }));
    const found = await search([root], [image("Loader", { buildId: "99" })]);
    expect(found).toMatchObject({
      matches: [],
      skipped: [`Loader.debug: it is of another build (${id}) than the image Loader (99)`],
    });
  });
});

describe("a file that was given by itself", () => {
  it("belongs to the only image of its size", async () => {
    const path = put("hypervisor", program(0x20_0000n, "start"));
    const images = [image("BOOTAA64", { size: 0x2000n }), image("Shell", { size: 0x3000n, base: 0x7100_0000n })];
    const found = await search([path], images);
    expect(found.matches).toEqual([{ name: "BOOTAA64", file: "hypervisor", by: "size", bias: 0x6fe0_0000n }]);
    expect(found.whys).toEqual(["the only image of its size, 0x2000; linked at 0x200000"]);
  });

  it("belongs to none where two images have its size", async () => {
    const path = put("hypervisor", program(0x20_0000n, "start"));
    const images = [image("A", { size: 0x2000n }), image("B", { size: 0x2000n })];
    expect(await search([path], images)).toMatchObject({ matches: [], unmatched: ["hypervisor"] });
  });

  it("belongs to the Linux or Xen that it has the symbols of", async () => {
    const linux = put("a", program(0xffff_8000_0800_0000n, "vectors"));
    const xen = put("b", program(0x20_0000n, "hyp_traps_vector"));
    const images = [
      image("Linux arm64 Image", { base: 0x4000_0000n }),
      image("xen-4.17"),
      image("LinuxInitrdDynamicShellCommand"),
    ];
    expect((await search([linux, xen], images)).matches).toEqual([
      { name: "Linux arm64 Image", file: "a", by: "kernel", bias: 0x4000_0000n - 0xffff_8000_0800_0000n },
      { name: "xen-4.17", file: "b", by: "kernel", bias: 0x7000_0000n - 0x20_0000n },
    ]);
  });

  it("is kept for the caller to place where no image fits, as are kernels' files in a folder", async () => {
    const path = put("mine.elf", program(0x4000_0000n, "main"));
    put("folder/System.map-6.1", "ffff800008000000 T _text\n");
    put("folder/unrelated.debug", program(0n, "main"));
    expect(await search([path, join(root, "folder")], [])).toMatchObject({
      unmatched: ["mine.elf", "folder/System.map-6.1"],
      skipped: [],
    });
  });
});

describe("folders", () => {
  it("are not followed through links, so that one that leads to itself ends", async () => {
    put("a/DxeCore.debug", program(0n, "DxeMain"));
    symlinkSync(root, join(root, "a", "loop"));
    symlinkSync(join(root, "a", "DxeCore.debug"), join(root, "linked.debug"));
    const found = await search([root], [DXE_CORE, image("linked")]);
    expect(found.matches.map(({ file }) => file)).toEqual(["a/DxeCore.debug", "linked.debug"]);
    expect(found.skipped).toEqual([]);
  });

  it("more than 16 levels down are not searched, which is said", async () => {
    put(`${"d/".repeat(17)}DxeCore.debug`, program(0n, "DxeMain"));
    const found = await search([root], [DXE_CORE]);
    expect(found).toMatchObject({ matches: [], skipped: [": its folders below 16 levels were not searched"] });
  });

  it("and files that are not there are named with the reason", async () => {
    const found = await search([join(root, "nothing")], [DXE_CORE]);
    expect(found).toMatchObject({ matches: [], skipped: ["nothing: no such file or folder"] });
  });

  it("are never left for a path out of the guest", async () => {
    const outside = put("outside/Secret.debug", program(0n, "main"));
    mkdirSync(join(root, "inside"));
    for (const buildPath of [outside, "../outside/Secret.dll", "..\\outside\\Secret.dll", "\0"]) {
      expect((await search([join(root, "inside")], [image("Secret", { buildPath })])).matches).toEqual([]);
    }
  });
});
