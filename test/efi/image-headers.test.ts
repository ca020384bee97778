import { describe, expect, it } from "vitest";
import { Structure } from "../../src/efi/bytes.ts";
import { buildIdIn } from "../../src/efi/codeview.ts";
import { readImageHeaders } from "../../src/efi/image-headers.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { ascii, type FakeImage, imageBytes } from "../support/firmware.ts";
import { note, terseBytes } from "./writers.ts";

const BASE = 0x4500_0000n;
const SECTIONS = [[".text", 0x1000, 0x800]] as const;
const IMAGE: FakeImage = { base: BASE, size: 0x4000, codeType: 3, peOffset: 0x80, sections: SECTIONS };

function memoryWith(bytes: Uint8Array): FakeMemory {
  const memory = new FakeMemory();
  memory.write(BASE, bytes);
  return memory;
}

async function headerOf(bytes: Uint8Array) {
  const [header] = await readImageHeaders(memoryWith(bytes), [{ base: BASE, size: BigInt(bytes.length) }]);
  return header;
}

describe("the header of a TE image", () => {
  const TERSE = { size: 0x3000, strippedSize: 0x188, sections: [[".text", 0x240, 0x2000]] } as const;

  it("is found inside the first page; its offsets count from where the PE image would begin", async () => {
    expect(await headerOf(terseBytes({ ...TERSE, path: "/b/PeiCore.dll" }))).toMatchObject({
      ...{ format: "TE", machine: "AArch64", imageType: "EFI boot service driver" },
      ...{ entryPoint: 0x1040, linkBase: 0x5000n, size: 0x2240, buildName: "PeiCore" },
      sections: [{ name: ".text", offset: 0x240, size: 0x2000 }],
    });
  });

  it("is found wherever StrippedSize puts it in the page", async () => {
    for (const strippedSize of [40, 0x188, 0xf60]) {
      expect((await headerOf(terseBytes({ ...TERSE, strippedSize })))?.format, `${strippedSize}`).toBe("TE");
    }
  });

  it("is none when it belongs to another place, to another machine, or has no sections", async () => {
    const moved = terseBytes(TERSE);
    moved.copyWithin(0x400, 0x160, 0x1b0);
    moved.fill(0, 0x160, 0x1b0);
    expect(await headerOf(moved)).toBeUndefined();
    expect(await headerOf(terseBytes({ ...TERSE, machine: 0x8664 }))).toBeUndefined();
    expect(await headerOf(terseBytes({ ...TERSE, sections: [] }))).toBeUndefined();
  });
});

describe("what an image was built from", () => {
  it("has its name without folders and suffix, and none when the path has only folders", async () => {
    const name = async (path: string) =>
      (await headerOf(imageBytes({ ...IMAGE, codeView: { signature: "RSDS", path } })))?.buildName;
    expect(await name("/b/DEBUG/DxeCore.dll")).toBe("DxeCore");
    expect(await name("d:\\b\\Fat.pdb")).toBe("Fat");
    expect(await name("Some.Driver.efi")).toBe("Some.Driver");
    expect(await name("/b/.efi")).toBe(".efi");
    expect(await name("/b/folder/")).toBe("folder");
    expect(await name("///")).toBeUndefined();
  });

  const withNotes = (contents: Uint8Array): Uint8Array => {
    const bytes = imageBytes({ ...IMAGE, sections: [...SECTIONS, [".note.gn", 0x2000, 0x100]] });
    bytes.set(contents, 0x2000);
    return bytes;
  };
  const id = Buffer.from("00112233445566778899aabbccddeeff01234567", "hex");

  it("may be a build id, behind other notes", async () => {
    const notes = Buffer.concat([note("GNU\0", 1, new Uint8Array(16)), note("ab\0", 3, id), note("GNU\0", 3, id)]);
    expect((await headerOf(withNotes(notes)))?.buildId).toBe(id.toString("hex"));
  });

  it.each<[string, Uint8Array]>([
    ["of another name", note("GNV\0", 3, id)],
    ["of a longer name", note("GNU\0more", 3, id)],
    ["of another type", note("GNU\0", 1, id)],
    ["longer than 64 bytes", note("GNU\0", 3, new Uint8Array(65))],
    ["empty", note("GNU\0", 3, new Uint8Array(0))],
  ])("is no build id when the note is %s", async (_, notes) => {
    expect((await headerOf(withNotes(notes)))?.buildId).toBeUndefined();
  });

  it("is no build id when the note is cut", () => {
    const whole = note("GNU\0", 3, id);
    expect(buildIdIn(new Structure(whole))).toBe(id.toString("hex"));
    expect(buildIdIn(new Structure(whole.subarray(0, whole.length - 1)))).toBeUndefined();
  });
});

describe("an image with the arm64 boot header", () => {
  const bootable = (sections: NonNullable<FakeImage["sections"]>, textOffset = 0n): Uint8Array => {
    const bytes = imageBytes({ ...IMAGE, sections });
    bytes.set(ascii("ARM\x64"), 0x38);
    new DataView(bytes.buffer).setBigUint64(8, textOffset, true);
    return bytes;
  };

  it("is Linux, or Xen by its empty section in front", async () => {
    const dummy = [".reloc", 0, 0] as const;
    const name = async (bytes: Uint8Array) => (await headerOf(bytes))?.bootImage;
    expect(await name(bootable(SECTIONS))).toBe("Linux arm64 Image");
    expect(await name(bootable([dummy, ...SECTIONS]))).toBe("Xen arm64 Image");
    // Linux before 4.12: the same section, and its text_offset.
    expect(await name(bootable([dummy, ...SECTIONS], 0x8_0000n))).toBe("Linux arm64 Image");
    expect(await name(bootable([[".reloc", 0x2000, 0x100], ...SECTIONS]))).toBe("Linux arm64 Image");
    expect(await name(imageBytes(IMAGE))).toBeUndefined();
  });
});

describe("reading many headers", () => {
  it("takes six batches at most, however many there are, and 8 KiB an image", async () => {
    const memory = new FakeMemory();
    const extents = Array.from({ length: 50 }, (_, i) => ({ base: BASE + BigInt(i) * 0x1_0000n, size: 0x4000n }));
    const path = "/b/Some.dll";
    for (const { base } of extents) {
      const sections = [...SECTIONS, [".note.gn", 0x2000, 0x1000]] as const;
      memory.write(base, imageBytes({ ...IMAGE, sections, codeView: { signature: "RSDS", path } }));
    }
    const headers = await readImageHeaders(memory, extents);
    expect(headers.every((header) => header?.buildName === "Some")).toBe(true);
    expect(memory.batches.length).toBeLessThanOrEqual(6);
    expect(memory.bytesRead / extents.length).toBeLessThanOrEqual(8 << 10);
  });
});
