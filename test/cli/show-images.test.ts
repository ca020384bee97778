/** `show FILE images`, held against the image file itself. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { ImageJson } from "../../src/api/firmware.ts";
import { phys } from "../../src/base/address.ts";
import { BOOT_SERVICES, buildFirmware, SERVICES_CODE, SYSTEM_TABLE } from "../support/firmware.ts";
import { FIXTURE, fixture, run, runJson, withCapture } from "./run.ts";

const images = (file: string, ...flags: string[]): Promise<ImageJson[]> =>
  runJson(Type.Array(ImageJson), "show", file, "images", ...flags);

interface FileSection {
  readonly name: string;
  readonly offset: string;
  readonly size: string;
  readonly characteristics: string;
}

/** Section headers as llvm-readobj --sections prints them: name, address, the larger of both sizes, characteristics. */
function sectionsOfFile(path: string): FileSection[] {
  const bytes = readFileSync(new URL(path, import.meta.url));
  const pe = bytes.readUInt32LE(0x3c);
  const first = pe + 24 + bytes.readUInt16LE(pe + 20);
  return Array.from({ length: bytes.readUInt16LE(pe + 6) }, (_, i) => {
    const at = first + i * 40;
    const hex = (value: number): string => `0x${value.toString(16)}`;
    return {
      name: bytes.toString("latin1", at, at + 8).replace(/\0+$/, ""),
      offset: hex(bytes.readUInt32LE(at + 12)),
      size: hex(Math.max(bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 16))),
      characteristics: hex(bytes.readUInt32LE(at + 36)),
    };
  });
}

describe("the images of a capture", () => {
  it("are those that the firmware lists, by ascending base", async () => {
    const all = await images(FIXTURE);
    expect(all).toHaveLength(92);
    const bases = all.map(({ base }) => BigInt(base));
    expect(bases).toEqual([...bases].sort((a, b) => (a < b ? -1 : 1)));
    expect(all.every(({ found, foundAt }) => found === "list" && foundAt === null)).toBe(true);
    expect(all.filter(({ runtime }) => runtime).map(({ codeType }) => codeType)).toEqual(
      Array(8).fill("EfiRuntimeServicesCode"),
    );
  });

  it("have the sections of the file that was loaded, with what they hold and ask for", async () => {
    const guest = (await images(FIXTURE)).find(({ name }) => name === "kernel");
    const inFile = sectionsOfFile("../../examples/guests/handoff/handoff.efi");
    expect(inFile.length).toBeGreaterThan(3);
    expect(guest).toMatchObject({ nameFrom: "device path", imageType: "EFI application", format: "PE32+" });
    expect(
      guest?.sections.map(({ name, offset, size, characteristics }) => ({ name, offset, size, characteristics })),
    ).toEqual(inFile);
    for (const { va, offset } of guest?.sections ?? [])
      expect(BigInt(va) - BigInt(guest?.base ?? 0)).toBe(BigInt(offset));
    const words = Object.fromEntries(
      (guest?.sections ?? []).map(({ name, access, contents }) => [name, `${access} ${contents}`]),
    );
    expect(words).toMatchObject({ ".text": "R-X code", ".rdata": "R-- data", ".data": "RW- data", ".rwx": "RWX code" });
  });

  it("are printed a line each within 120 columns, and with --all with everything that is known", async () => {
    const lines = (await run("show", FIXTURE, "images")).trimEnd().split("\n");
    expect(lines).toHaveLength(94);
    expect(lines[0]).toBe("92 images, listed by the firmware");
    expect(lines.every((line) => line.length <= 120)).toBe(true);
    const all = await run("show", FIXTURE, "images", "--all");
    for (const image of await images(FIXTURE)) {
      expect(all).toContain(`0x${BigInt(image.base).toString(16).padStart(16, "0")}`);
      if (image.buildPath !== null) expect(all).toContain(`build path  ${image.buildPath}`);
      for (const { name, access } of image.sections) expect(all).toMatch(new RegExp(`${name}\\s+${access}`));
    }
  });

  it("that were found by their header say at which points, and no type of memory", async () => {
    const capture = await fixture();
    const [listed] = await images(FIXTURE);
    const found = {
      base: 0xffff_8000_0000_0000n,
      physical: BigInt(listed?.base ?? 0),
      size: BigInt(listed?.size ?? 0),
    };
    const points = capture.points.map((point) => (point.id === "before" ? { ...point, images: [found] } : point));
    await withCapture({ ...capture, points }, async (file) => {
      const image = (await images(file)).at(-1);
      expect(image).toMatchObject({ base: "0xffff800000000000", found: "header", foundAt: ["before"] });
      expect(image).toMatchObject({ codeType: null, dataType: null, name: "DxeCore" });
      expect(await run("show", file, "images")).toMatch(
        /^93 images: 92 listed by the firmware, 1 found by the header$/m,
      );
      expect(await run("show", file, "images")).toMatch(/0xffff800000000000 .* not listed +found at before$/m);
    });
  });

  it("name the symbol file that is used for them, and how it was matched", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ebscope-symbols-"));
    const file = join(folder, "HighMemDxe.debug");
    copyFileSync(new URL("../fixtures/symbols/Module.debug", import.meta.url), file);
    try {
      const used = (await images(FIXTURE, "--symbols", file)).filter(({ symbols }) => symbols !== null);
      expect(used.map(({ name }) => name)).toEqual(["HighMemDxe"]);
      expect(used[0]?.symbols).toMatchObject({ file, by: "name" });
      expect(await run("show", FIXTURE, "images", "--symbols", file)).toMatch(
        / HighMemDxe .* symbols: HighMemDxe\.debug$/m,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    expect((await images(FIXTURE, "--no-symbols")).every(({ symbols }) => symbols === null)).toBe(true);
  });

  it("are none in a capture without a system table, which is said", async () => {
    await withCapture({ ...(await fixture()), efi: undefined }, async (file) => {
      expect(await images(file)).toEqual([]);
      expect(await run("show", file, "images")).toContain("No image is known");
    });
  });
});

describe("what an image says of itself", () => {
  const HOSTILE = "\x1b[31m\x9b2J\r\n::error::x\u202e";

  it("reaches the terminal with its control characters made visible, on its own line", async () => {
    const { memory } = buildFirmware([
      {
        ...{ base: 0x4400_0000n, size: 0x4000, codeType: 3, peOffset: 0x80 },
        sections: [["\x1b]0;x\x07", 0x1000, 0x1000]],
        codeView: { signature: "NB10", path: `/b\x1b[2J/${HOSTILE}.dll` },
      },
    ]);
    const capture = await fixture();
    const pages = new Map(capture.points[0]?.pages);
    pages.clear();
    for (let page = 0x4400_0000n; page < 0x4800_0000n; page += 4096n) {
      const read = memory.page(phys(page));
      if (read.state === "present") pages.set(phys(page), read);
    }
    const points = capture.points.slice(0, 1).map((point) => ({ ...point, pages }));
    const efi = { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES, exitBootServices: SERVICES_CODE };
    await withCapture({ ...capture, efi, points }, async (file) => {
      const [image] = await images(file);
      expect(image?.buildPath).toContain("\\x1b[2J");
      for (const flags of [[], ["--all"]]) {
        const text = await run("show", file, "images", ...flags);
        expect(text).toContain("\\x1b[31m");
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there.
        expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
        expect(text).not.toMatch(/^::error/m);
      }
      expect(await run("show", file, "efi", "--at", "before")).not.toContain("\x1b");
    });
  });
});
