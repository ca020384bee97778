import { describe, expect, it, vi } from "vitest";
import {
  type ImageDetails,
  imageAt,
  imageOffsetText,
  type LoadedImage,
  readLoadedImages,
  sectionAt,
} from "../../src/efi/images.ts";
import { findSystemTable, readBootServices, readSystemTable } from "../../src/efi/system-table.ts";
import { readEfiTables } from "../../src/efi/tables.ts";
import type { FakeMemory } from "../support/fake-memory.ts";
import {
  BOOT_SERVICES,
  buildFirmware,
  CONFIGURATION_TABLE,
  DEBUG_HEADER,
  DEBUG_LIST,
  devicePath,
  type FakeImage,
  guidBytes,
  infoAddress,
  POINTER,
  protocolAddress,
  RANGES,
  SYSTEM_TABLE,
  ucs2,
  writeWords,
} from "../support/firmware.ts";
import { Random } from "../support/random.ts";

vi.setConfig({ testTimeout: 120_000 });

const SECTIONS = [
  [".text", 0x1000, 0x800],
  [".data", 0x2000, 0x200],
] as const;
const GUID = "11111111-2222-3333-4444-555566667777";

const DXE_CORE: FakeImage = {
  base: 0x47a0_0000n,
  size: 0x4000,
  codeType: 3,
  peOffset: 0x80,
  sections: SECTIONS,
  codeView: { signature: "NB10", path: "/build/edk2/Build/DEBUG/DxeCore.dll" },
};
/** Runtime images are aligned to 64 KiB; their headers stand right before the first section. */
const RUNTIME: FakeImage = {
  base: 0x4772_0000n,
  size: 0x3_0000,
  codeType: 5,
  peOffset: 0xfe58,
  sections: [
    [".text", 0x1_0000, 0x9000],
    [".data", 0x2_0000, 0x1000],
  ],
  codeView: { signature: "RSDS", path: "d:\\b\\RuntimeDxe.pdb" },
};
const LOADER: FakeImage = {
  base: 0x4600_0000n,
  size: 0x3000,
  codeType: 1,
  peOffset: 0x80,
  devicePath: devicePath([2, 1, new Uint8Array(8)], [4, 4, ucs2("\\EFI\\BOOT\\BOOTAA64.EFI\0")]),
};
const NAMELESS: FakeImage = { base: 0x4500_0000n, size: 0x2000, codeType: 99 };

async function imagesOf(memory: FakeMemory): Promise<readonly ImageDetails[]> {
  const table = await readSystemTable(memory, SYSTEM_TABLE);
  if (table === undefined) throw new Error("no system table");
  memory.batches.length = 0;
  return readLoadedImages(memory, table);
}

async function namesOf(memory: FakeMemory): Promise<(string | undefined)[]> {
  return (await imagesOf(memory)).map(({ name }) => name);
}

describe("the loaded images", () => {
  it("come by ascending base, with size, memory type and what they are", async () => {
    const { memory } = buildFirmware([DXE_CORE, RUNTIME, LOADER, NAMELESS]);
    const images = await imagesOf(memory);
    expect(images.map(({ base, size, codeType, runtime }) => [base, size, codeType, runtime])).toEqual([
      [0x4500_0000n, 0x2000n, "memory type 99", false],
      [0x4600_0000n, 0x3000n, "EfiLoaderCode", false],
      [0x4772_0000n, 0x3_0000n, "EfiRuntimeServicesCode", true],
      [0x47a0_0000n, 0x4000n, "EfiBootServicesCode", false],
    ]);
  });

  it("have names from their build paths, else from their device paths", async () => {
    const { memory } = buildFirmware([DXE_CORE, RUNTIME, LOADER, NAMELESS]);
    const images = await imagesOf(memory);
    expect(images.map(({ name, buildPath }) => [name, buildPath])).toEqual([
      [undefined, undefined],
      ["BOOTAA64", undefined],
      ["RuntimeDxe", "d:\\b\\RuntimeDxe.pdb"],
      ["DxeCore", "/build/edk2/Build/DEBUG/DxeCore.dll"],
    ]);
  });

  it("have their sections, also where the header is 64 KiB into the image", async () => {
    const { memory } = buildFirmware([DXE_CORE, RUNTIME, NAMELESS]);
    const images = await imagesOf(memory);
    expect(images.map(({ sections }) => sections.map(({ name, offset }) => [name, offset]))).toEqual([
      [],
      [
        [".text", 0x1_0000],
        [".data", 0x2_0000],
      ],
      [
        [".text", 0x1000],
        [".data", 0x2000],
      ],
    ]);
  });

  it.each(["RSDS", "NB10", "MTOC"] as const)("have names from a %s record", async (signature) => {
    const { memory } = buildFirmware([{ ...DXE_CORE, codeView: { signature, path: "/b/Some.Driver.efi" } }]);
    expect(await namesOf(memory)).toEqual(["Some.Driver"]);
  });

  it("have the GUID of a file in a firmware volume for a name, or its name where the GUID is known", async () => {
    const inVolume = { ...LOADER, devicePath: devicePath([4, 6, guidBytes(GUID)]) };
    expect(await namesOf(buildFirmware([inVolume]).memory)).toEqual([GUID]);
    // FILE_GUID of MdeModulePkg/Core/Dxe/DxeMain.inf
    const core = { ...LOADER, devicePath: devicePath([4, 6, guidBytes("d6a2cb7f-6a18-4e2f-b43b-9920a733700a")]) };
    const [image] = await imagesOf(buildFirmware([core]).memory);
    expect(image).toMatchObject({ name: "DxeCore", nameFrom: "file GUID" });
    expect(image?.fileGuid).toBe("d6a2cb7f-6a18-4e2f-b43b-9920a733700a");
  });

  it("say where their names are from, and what their data and headers are", async () => {
    const { memory } = buildFirmware([
      { ...DXE_CORE, dataType: 4, subsystem: 11, entryPoint: 0x1040 },
      RUNTIME,
      LOADER,
    ]);
    const [loader, runtime, core] = await imagesOf(memory);
    expect([loader, runtime, core].map((image) => [image?.nameFrom, image?.dataType, image?.found])).toEqual([
      ["device path", "EfiRuntimeServicesData", "list"],
      ["build path", "EfiRuntimeServicesData", "list"],
      ["build path", "EfiBootServicesData", "list"],
    ]);
    expect(core?.header).toMatchObject({
      ...{
        format: "PE32+",
        machine: "AArch64",
        imageType: "EFI boot service driver",
        entryPoint: 0x1040,
        size: 0x4000,
      },
      codeView: { kind: "NB10", path: "/build/edk2/Build/DEBUG/DxeCore.dll" },
    });
  });

  it("have printable names and paths", async () => {
    const path = "/b/\x1b[31mred\n.dll";
    const { memory } = buildFirmware([
      { ...DXE_CORE, codeView: { signature: "NB10", path }, sections: [["\x07bell", 0, 1]] },
    ]);
    const [image] = await imagesOf(memory);
    expect(image).toMatchObject({ name: "\\x1b[31mred\\x0a", buildPath: "/b/\\x1b[31mred\\x0a.dll" });
    expect(image?.sections[0]?.name).toBe("\\x07bell");
  });

  it("are read in as many batches however many there are", async () => {
    const many = Array.from({ length: 40 }, (_, i) => ({ ...DXE_CORE, base: 0x4400_0000n + BigInt(i) * 0x1_0000n }));
    const few = buildFirmware([DXE_CORE]).memory;
    const lots = buildFirmware(many).memory;
    expect(await imagesOf(few)).toHaveLength(1);
    expect(await imagesOf(lots)).toHaveLength(40);
    expect(lots.batches.length).toBe(few.batches.length);
    expect(few.batches.length).toBeLessThanOrEqual(10);
  });
});

describe("the list of images", () => {
  const three = [DXE_CORE, RUNTIME, LOADER];

  it("may have NULL slots, which TableSize does not count", async () => {
    const { memory } = buildFirmware(three);
    writeWords(memory, DEBUG_LIST, [0n, infoAddress(0), 0n, 0n, infoAddress(1), infoAddress(2)]);
    expect(await namesOf(memory)).toEqual(["BOOTAA64", "RuntimeDxe", "DxeCore"]);
  });

  it("ends with TableSize images, whatever stands behind", async () => {
    const { memory } = buildFirmware(three);
    writeWords(memory, DEBUG_HEADER, [2n << 32n]);
    expect(await namesOf(memory)).toEqual(["RuntimeDxe", "DxeCore"]);
  });

  it("is read also where memory ends right behind it", async () => {
    const { memory } = buildFirmware(three);
    const end = 0x4680_0000n;
    writeWords(memory, DEBUG_HEADER + 8n, [end - 24n]);
    writeWords(memory, end - 24n, [infoAddress(0), infoAddress(1), infoAddress(2)]);
    expect(await namesOf(memory)).toHaveLength(3);
  });

  it.each<[string, (memory: FakeMemory) => void]>([
    ["an entry of another kind", (memory) => writeWords(memory, infoAddress(1), [2n])],
    ["an entry without a protocol", (memory) => writeWords(memory, infoAddress(1) + 8n, [0n])],
    ["an entry outside RAM", (memory) => writeWords(memory, DEBUG_LIST + 8n, [0x9000_0000n])],
    ["a protocol outside RAM", (memory) => writeWords(memory, infoAddress(1) + 8n, [0x9000_0000n])],
    ["an image without a base", (memory) => writeWords(memory, protocolAddress(1) + 0x40n, [0n])],
    ["an image without a size", (memory) => writeWords(memory, protocolAddress(1) + 0x48n, [0n])],
    [
      "an image past the end of the address space",
      (memory) => writeWords(memory, protocolAddress(1) + 0x40n, [(1n << 64n) - 0x1000n]),
    ],
    ["an image of more than 4 GiB", (memory) => writeWords(memory, protocolAddress(1) + 0x48n, [(1n << 32n) + 1n])],
  ])("is read past %s", async (_, change) => {
    const { memory } = buildFirmware(three);
    change(memory);
    expect(await namesOf(memory)).toEqual(["BOOTAA64", "DxeCore"]);
  });

  it.each<[string, (memory: FakeMemory) => void]>([
    ["there is no configuration table", (memory) => writeWords(memory, SYSTEM_TABLE + 0x68n, [0n])],
    ["the configuration table is beyond measure", (memory) => writeWords(memory, SYSTEM_TABLE + 0x68n, [257n])],
    ["the configuration table lies outside RAM", (memory) => writeWords(memory, SYSTEM_TABLE + 0x70n, [0x9000_0000n])],
    ["no entry has its GUID", (memory) => writeWords(memory, CONFIGURATION_TABLE + 24n, [0n])],
    ["its header lies outside RAM", (memory) => writeWords(memory, CONFIGURATION_TABLE + 40n, [0x9000_0000n])],
    ["it has no entries", (memory) => writeWords(memory, DEBUG_HEADER, [0n])],
    ["it lies outside RAM", (memory) => writeWords(memory, DEBUG_HEADER + 8n, [0x9000_0000n])],
  ])("is empty when %s", async (_, change) => {
    const { memory } = buildFirmware(three);
    change(memory);
    expect(await imagesOf(memory)).toEqual([]);
  });

  it("keeps an image whose own pages cannot be read, without sections", async () => {
    const { memory } = buildFirmware(three);
    for (let page = 0x47a0_0000n; page < 0x47a0_4000n; page += 0x1000n) memory.makeUnreadable(page);
    const images = await imagesOf(memory);
    expect(images[2]).toMatchObject({ base: 0x47a0_0000n, name: undefined, sections: [] });
  });

  it("does not follow a device path that is NULL", async () => {
    const { memory } = buildFirmware([NAMELESS]);
    memory.write(0n, devicePath([4, 4, ucs2("flash.efi\0")]));
    expect(await namesOf(memory)).toEqual([undefined]);
    expect(memory.pagesRead).not.toContain(0n);
  });

  it("never reads beyond an image for its headers", async () => {
    const outside = { ...NAMELESS, size: 0x1000 };
    const { memory } = buildFirmware([outside]);
    memory.write(outside.base, Uint8Array.of(0x4d, 0x5a));
    memory.write(outside.base + 0x3cn, Uint8Array.of(0, 0x20));
    await imagesOf(memory);
    const end = outside.base + 0x1000n;
    const beyond = memory.batches
      .flat()
      .filter(
        ({ address, length }) =>
          address >= end - 0x1000n && address + BigInt(length) > end && address < end + 0x10_0000n,
      );
    expect(beyond).toEqual([]);
  });
});

describe("an address", () => {
  it("lies in an image from its base to before its end, and in the last section that starts before it", async () => {
    const images = await imagesOf(buildFirmware([DXE_CORE, NAMELESS]).memory);
    const core = imageAt(images, 0x47a0_1004n) as LoadedImage;
    expect(core.name).toBe("DxeCore");
    expect(imageAt(images, 0x47a0_4000n)).toBeUndefined();
    expect(imageAt(images, 0x479f_ffffn)).toBeUndefined();
    expect(imageOffsetText(core, 0x47a0_1004n)).toBe("DxeCore+0x1004");
    expect(imageOffsetText(images[0] as LoadedImage, 0x4500_0010n)).toBe("image@0x45000000+0x10");
    const sectionName = (offset: bigint) => sectionAt(core, core.base + offset)?.name;
    expect([0xfffn, 0x1000n, 0x17ffn, 0x1800n, 0x2000n, 0x21ffn, 0x2200n].map(sectionName)).toEqual([
      undefined,
      ".text",
      ".text",
      undefined,
      ".data",
      ".data",
      undefined,
    ]);
  });
});

describe("firmware that was damaged at random", () => {
  /** The places that decoders look at: most damage goes there. */
  const PLACES: readonly (readonly [start: bigint, size: number])[] = [
    ...([
      [POINTER, 24],
      [SYSTEM_TABLE, 120],
      [BOOT_SERVICES, 376],
      [CONFIGURATION_TABLE, 48],
    ] as const),
    ...([
      [DEBUG_HEADER, 16],
      [DEBUG_LIST, 40],
      [infoAddress(0), 96],
      [protocolAddress(0), 0x160],
    ] as const),
    ...([
      [DXE_CORE.base, 0x200],
      [DXE_CORE.base + 0x3c00n, 0x80],
      [RUNTIME.base + 0xfe58n, 0x180],
    ] as const),
    ...([
      [RUNTIME.base, 64],
      [0x47f6_0800n, 64],
    ] as const),
  ];
  const ODD = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

  function damage(random: Random, memory: FakeMemory): () => void {
    const undo: (() => void)[] = [];
    for (let i = random.between(1, 6); i > 0; i--) {
      const [start, size] = random.pick(PLACES);
      const at = start + BigInt(random.below(size));
      for (let j = random.pick([1, 1, 2, 4, 8]); j > 0; j--) {
        const page = memory.bytes((at + BigInt(j)) & ~0xfffn);
        const offset = Number((at + BigInt(j)) & 0xfffn);
        const old = page[offset] as number;
        undo.push(() => {
          page[offset] = old;
        });
        page[offset] = random.chance(0.5) ? random.pick(ODD) : random.below(256);
      }
    }
    return () => undo.reverse().forEach((each) => void each());
  }

  it("is never thrown at, and takes a bounded number of reads: 5,000 damages", async () => {
    const { memory, seal } = buildFirmware([DXE_CORE, RUNTIME, LOADER]);
    const random = new Random(3);
    const states = new Map<string, number>();
    let most = { batches: 0, spans: 0, bytes: 0 };
    for (let i = 0; i < 5000; i++) {
      const undo = damage(random, memory);
      if (random.chance(0.5)) writeAgain(memory, seal);
      memory.batches.length = 0;
      const search = await findSystemTable(memory, RANGES);
      const table = await readSystemTable(memory, SYSTEM_TABLE);
      const count = (state: string): void => void states.set(state, (states.get(state) ?? 0) + 1);
      count(search.state);
      if (table !== undefined) {
        count(`boot services ${(await readBootServices(memory, table)).state}`);
        count(`${(await readLoadedImages(memory, table)).length} images`);
        await readEfiTables(memory, { systemTable: table.address, bootServices: table.bootServices });
      }
      const spans = memory.batches.flat().length;
      most = {
        batches: Math.max(most.batches, memory.batches.length),
        spans: Math.max(most.spans, spans),
        bytes: Math.max(most.bytes, memory.bytesRead),
      };
      undo();
    }
    expect(most.batches).toBeLessThanOrEqual(20);
    expect(most.spans).toBeLessThanOrEqual(10_000);
    expect(most.bytes).toBeLessThanOrEqual(4 << 20);
    for (const state of [
      "found",
      "invalid",
      "none",
      "boot services valid",
      "boot services invalid",
      "3 images",
      "2 images",
    ]) {
      expect(states.get(state), state).toBeGreaterThan(20);
    }
  });

  /** Makes the CRCs right again, so that what is behind them is looked at. */
  function writeAgain(memory: FakeMemory, seal: (table: bigint) => void): void {
    writeWords(memory, SYSTEM_TABLE + 8n, [0x78_0002_0046n]);
    writeWords(memory, BOOT_SERVICES + 8n, [0x178_0002_0046n]);
    seal(SYSTEM_TABLE);
    seal(BOOT_SERVICES);
  }
});
