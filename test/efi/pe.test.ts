import { describe, expect, it } from "vitest";
import { Structure } from "../../src/efi/bytes.ts";
import { codeViewOffset, parseCodeView } from "../../src/efi/codeview.ts";
import { devicePathNames } from "../../src/efi/device-path.ts";
import {
  DOS_HEADER_SIZE,
  imageTypeName,
  machineName,
  PE_HEADER_SIZE,
  parsePeHeader,
  peHeaderOffset,
} from "../../src/efi/pe.ts";
import { isDiscardable, sectionAccess, sectionContents } from "../../src/efi/sections.ts";
import { ascii, devicePath, guidBytes, imageBytes, ucs2 } from "../support/firmware.ts";
import { Random } from "../support/random.ts";

const IMAGE = { base: 0n, size: 0x4000, codeType: 3, peOffset: 0x80 } as const;

function headerOf(
  image: Parameters<typeof imageBytes>[0],
  edit: (view: DataView) => void = () => undefined,
): Structure {
  const bytes = imageBytes(image).subarray(image.peOffset ?? 0, (image.peOffset ?? 0) + PE_HEADER_SIZE);
  edit(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  return new Structure(bytes);
}

describe("a DOS header", () => {
  it("tells where the PE header lies", () => {
    const dos = (peOffset: number) =>
      new Structure(imageBytes({ ...IMAGE, size: 0x2_0000, peOffset }).subarray(0, DOS_HEADER_SIZE));
    expect(peHeaderOffset(dos(0x80))).toBe(0x80);
    expect(peHeaderOffset(dos(0xfe58))).toBe(0xfe58);
  });

  it("tells nothing without MZ, or when it is cut", () => {
    expect(peHeaderOffset(new Structure(new Uint8Array(64)))).toBeUndefined();
    expect(peHeaderOffset(new Structure(imageBytes(IMAGE).subarray(0, 63)))).toBeUndefined();
  });
});

describe("a PE32+ header", () => {
  const sections = [
    [".text", 0x1000, 0x1234],
    [".data", 0x3000, 0x10],
    ["longname", 0x3800, 0x800],
  ] as const;

  it("has sections with name, offset, the larger of their two sizes, and characteristics", () => {
    expect(parsePeHeader(headerOf({ ...IMAGE, sections }))?.sections).toEqual([
      { name: ".text", offset: 0x1000, size: 0x1400, characteristics: 0x6000_0020 },
      { name: ".data", offset: 0x3000, size: 0x200, characteristics: 0xc000_0040 },
      { name: "longname", offset: 0x3800, size: 0x800, characteristics: 0xc000_0040 },
    ]);
  });

  it("tells machine, kind of image, entry point, size and the address it was linked to", () => {
    const image = { ...IMAGE, sections, subsystem: 12, entryPoint: 0x1234, linkBase: 0x7_f877_0000n };
    expect(parsePeHeader(headerOf(image))).toMatchObject({
      ...{ machine: 0xaa64, subsystem: 12, entryPoint: 0x1234, linkBase: 0x7_f877_0000n },
      ...{ sizeOfImage: 0x4000, sizeOfHeaders: 0x400 },
    });
  });

  it("has words for machines and kinds of images, numbers for others", () => {
    expect([0xaa64, 0x8664, 0x1c2, 0x1234].map(machineName)).toEqual(["AArch64", "X64", "ARM", "machine 0x1234"]);
    expect([10, 11, 12, 13, 3].map(imageTypeName)).toEqual([
      ...["EFI application", "EFI boot service driver", "EFI runtime driver", "EFI ROM image", "subsystem 3"],
    ]);
  });

  it("has its sections behind SizeOfOptionalHeader, wherever that is", () => {
    const moved = headerOf({ ...IMAGE, sections }, (view) => {
      const start = 24 + 240;
      const table = new Uint8Array(view.buffer, view.byteOffset + start, 120);
      new Uint8Array(view.buffer, view.byteOffset + start + 16, 120).set(table.slice());
      view.setUint16(20, 256, true);
    });
    expect(parsePeHeader(moved)?.sections.map(({ name }) => name)).toEqual([".text", ".data", "longname"]);
  });

  it("has no more than 96 sections, and only those that lie inside", () => {
    const many = headerOf(IMAGE, (view) => view.setUint16(6, 0xffff, true));
    expect(parsePeHeader(many)?.sections).toHaveLength(96);
    const cut = new Structure(headerOf({ ...IMAGE, sections }).bytes.subarray(0, 24 + 240 + 100));
    expect(parsePeHeader(cut)?.sections).toHaveLength(2);
    const far = headerOf({ ...IMAGE, sections }, (view) => view.setUint16(20, 0xffff, true));
    expect(parsePeHeader(far)?.sections).toEqual([]);
  });

  it.each<[string, (view: DataView) => void]>([
    ["the signature is not PE\\0\\0", (view) => view.setUint32(0, 0x4551, true)],
    ["the magic is PE32's", (view) => view.setUint16(24, 0x10b, true)],
  ])("is none when %s", (_, edit) => {
    expect(parsePeHeader(headerOf(IMAGE, edit))).toBeUndefined();
  });

  const codeView = { signature: "RSDS", path: "/x.dll" } as const;
  const directoryAt = 24 + 112 + 6 * 8;

  it("names the debug directory, no more than 16 entries of it", () => {
    expect(parsePeHeader(headerOf({ ...IMAGE, codeView }))?.debugDirectory).toEqual({
      offset: 0x4000 - 1024,
      size: 56,
    });
    const large = headerOf({ ...IMAGE, codeView }, (view) => view.setUint32(directoryAt + 4, 0xffff_ffff, true));
    expect(parsePeHeader(large)?.debugDirectory?.size).toBe(16 * 28);
  });

  it.each<[string, (view: DataView) => void]>([
    ["there are 6 data directories", (view) => view.setUint32(24 + 108, 6, true)],
    ["its address is 0", (view) => view.setUint32(directoryAt, 0, true)],
    ["it is smaller than an entry", (view) => view.setUint32(directoryAt + 4, 27, true)],
  ])("has no debug directory when %s", (_, edit) => {
    expect(parsePeHeader(headerOf({ ...IMAGE, codeView }, edit))?.debugDirectory).toBeUndefined();
  });
});

describe("the characteristics of a section", () => {
  // Values as compilers set them: .text of edk2, .text of Xen, .data, .bss, .rdata, .reloc.
  it.each([
    [0x6000_0020, "code", "R-X", false],
    [0xe050_0020, "code", "RWX", false],
    [0xc000_0040, "data", "RW-", false],
    [0xc000_0080, "zeroed data", "RW-", false],
    [0x4000_0040, "data", "R--", false],
    [0x4210_0040, "data", "R--", true],
    [0x6000_0060, "code+data", "R-X", false],
    [0, "unknown", "---", false],
  ])("%i are told in words", (characteristics, contents, access, discardable) => {
    const section = { characteristics };
    expect([sectionContents(section), sectionAccess(section), isDiscardable(section)]).toEqual([
      contents,
      access,
      discardable,
    ]);
  });
});

describe("a debug directory", () => {
  const directory = imageBytes({ ...IMAGE, codeView: { signature: "RSDS", path: "/x.dll" } }).subarray(0x3c00, 0x3c38);

  it("names the CodeView record behind other entries", () => {
    expect(codeViewOffset(new Structure(directory))).toBe(0x3c00 + 56);
  });

  it("names none without an entry of type 2", () => {
    expect(codeViewOffset(new Structure(directory.subarray(0, 28)))).toBeUndefined();
    expect(codeViewOffset(new Structure(directory.subarray(0, 55)))).toBeUndefined();
    expect(codeViewOffset(new Structure(new Uint8Array(0)))).toBeUndefined();
  });
});

describe("a CodeView record", () => {
  const record = (signature: string, header: number, path: string): Structure => {
    const bytes = new Uint8Array(header + path.length + 1).fill(0xa5);
    bytes.set(ascii(signature));
    bytes.set(ascii(`${path}\0`), header);
    return new Structure(bytes);
  };
  const path = (structure: Structure): string | undefined => parseCodeView(structure)?.path;

  it.each([
    ["RSDS", 24],
    ["NB10", 16],
    ["MTOC", 20],
  ])("%s has the path at %i", (signature, header) => {
    expect(path(record(signature, header, "/b/DxeCore.dll"))).toBe("/b/DxeCore.dll");
  });

  it("RSDS has the GUID and age of its symbols, NB10 an age, MTOC a UUID", () => {
    const id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    const rsds = Buffer.concat([ascii("RSDS"), guidBytes(id), Buffer.of(3, 0, 0, 0), ascii("a.pdb\0")]);
    expect(parseCodeView(new Structure(rsds))).toEqual({ kind: "RSDS", id, age: 3, path: "a.pdb" });
    const nb10 = Buffer.concat([ascii("NB10"), Buffer.of(9, 9, 9, 9, 8, 8, 8, 8, 2, 0, 0, 0), ascii("b.dll\0")]);
    expect(parseCodeView(new Structure(nb10))).toEqual({ kind: "NB10", id: undefined, age: 2, path: "b.dll" });
    const uuid = "00112233445566778899aabbccddeeff";
    const mtoc = Buffer.concat([ascii("MTOC"), Buffer.from(uuid, "hex"), ascii("c.macho\0")]);
    expect(parseCodeView(new Structure(mtoc))).toEqual({ kind: "MTOC", id: uuid, age: undefined, path: "c.macho" });
  });

  it("has no identity when its GUID is all zero", () => {
    const zero = Buffer.concat([ascii("RSDS"), new Uint8Array(20), ascii("a\0")]);
    expect(parseCodeView(new Structure(zero))).toEqual({ kind: "RSDS", id: undefined, age: 0, path: "a" });
  });

  it("is none when it is of another kind or cut, and has no path when that is empty", () => {
    expect(parseCodeView(record("NB09", 16, "/b/x.dll"))).toBeUndefined();
    expect(parseCodeView(record("toString", 16, "/b"))).toBeUndefined();
    expect(parseCodeView(new Structure(record("RSDS", 24, "/b").bytes.subarray(0, 23)))).toBeUndefined();
    expect(path(record("RSDS", 24, ""))).toBeUndefined();
    expect(path(new Structure(record("RSDS", 24, "/b").bytes.subarray(0, 24)))).toBeUndefined();
  });

  it("has no more than 400 characters of path, and need not end", () => {
    expect(path(record("NB10", 16, "x".repeat(1000)))).toBe("x".repeat(400));
    expect(path(new Structure(record("NB10", 16, "abc").bytes.subarray(0, 18)))).toBe("ab");
  });
});

describe("a device path", () => {
  const file = (text: string) => [4, 4, ucs2(`${text}\0`)] as const;
  const name = (bytes: Uint8Array): string | undefined => devicePathNames(new Structure(bytes)).file;

  it("names the file of its last file path node", () => {
    expect(name(devicePath([2, 1, new Uint8Array(8)], file("\\EFI\\BOOT\\BOOTAA64.EFI")))).toBe("BOOTAA64.EFI");
    expect(name(devicePath(file("\\EFI"), file("grub.efi")))).toBe("grub.efi");
    expect(name(devicePath(file("/a/b/")))).toBe("b");
    expect(name(devicePath(file("a.efi"), file("")))).toBe("a.efi");
  });

  it("names the GUID of a file in a firmware volume", () => {
    const guid = "d6a2cb7f-6a18-4e2f-b43b-9920a733700a";
    const path = devicePath([4, 7, new Uint8Array(16)], [4, 6, guidBytes(guid)]);
    expect(devicePathNames(new Structure(path))).toEqual({ file: undefined, guid });
  });

  it("names no file without such a node", () => {
    const short = devicePath([1, 1, new Uint8Array(2)], [4, 6, new Uint8Array(15)]);
    expect(devicePathNames(new Structure(short))).toEqual({ file: undefined, guid: undefined });
    expect(name(devicePath())).toBeUndefined();
    expect(name(devicePath(file("")))).toBeUndefined();
    expect(name(new Uint8Array(0))).toBeUndefined();
  });

  it("ends at its end node, at a node shorter than its header, and where it is cut", () => {
    const behindEnd = Buffer.concat([devicePath(), devicePath(file("no.efi"))]);
    expect(name(behindEnd)).toBeUndefined();
    expect(name(Buffer.concat([Buffer.of(1, 1, 3, 0), devicePath(file("no.efi"))]))).toBeUndefined();
    expect(name(Buffer.concat([Buffer.of(1, 1, 0, 0), devicePath(file("no.efi"))]))).toBeUndefined();
    const [shorter, disguised] = [Buffer.of(1, 1, 3, 0), Buffer.of(9, 5, 0, 0)];
    expect(name(Buffer.concat([shorter, disguised, devicePath(file("no.efi"))]))).toBeUndefined();
    const whole = devicePath(file("yes.efi"), file("no.efi"));
    expect(name(whole.subarray(0, whole.length - 8))).toBe("yes.efi");
  });

  it("is followed for 64 nodes", () => {
    const filler = Array.from({ length: 64 }, () => [1, 1, new Uint8Array(0)] as const);
    expect(name(devicePath(...filler, file("no.efi")))).toBeUndefined();
    expect(name(devicePath(...filler.slice(1), file("yes.efi")))).toBe("yes.efi");
  });

  it("may have an odd number of bytes for its text", () => {
    expect(name(devicePath([4, 4, Buffer.concat([ucs2("a.efi"), Buffer.of(0x41)])]))).toBe("a.efi");
  });
});

describe("bytes of any kind and length", () => {
  it("break none of the parsers", () => {
    const random = new Random(11);
    const magics = ["MZ", "PE\0\0", "RSDS", "NB10", "MTOC", "\x04\x04\x10\0", "\x04\x06\x14\0"].map(ascii);
    let parsed = 0;
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from({ length: random.below(400) }, () => (random.chance(0.3) ? 0 : random.below(256)));
      const magic = random.pick(magics);
      if (bytes.length >= 64) {
        bytes.set(magic);
        if (random.chance(0.5)) bytes.set([0x0b, 0x02], 24);
      }
      const structure = new Structure(bytes);
      for (const parse of [peHeaderOffset, parsePeHeader, codeViewOffset, parseCodeView, devicePathNames]) {
        if (parse(structure) !== undefined) parsed++;
      }
    }
    expect(parsed).toBeGreaterThan(500);
  });
});
