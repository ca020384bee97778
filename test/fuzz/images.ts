/** Images with damaged headers: PE and TE, read where they are known to be, searched from an address, and listed by the firmware. */
import { findImageAt } from "../../src/efi/find-image.ts";
import { type ImageExtent, type ImageHeader, readImageHeaders } from "../../src/efi/image-headers.ts";
import { type ImageDetails, readLoadedImages, sectionAt } from "../../src/efi/images.ts";
import { note, terseBytes } from "../efi/writers.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import {
  buildFirmware,
  CONFIGURATION_TABLE,
  DEBUG_HEADER,
  DEBUG_LIST,
  devicePath,
  type FakeImage,
  guidBytes,
  imageBytes,
  infoAddress,
  protocolAddress,
  SYSTEM_TABLE,
  ucs2,
} from "../support/firmware.ts";
import type { Random } from "../support/random.ts";
import { type Bench, counted, damaged, type Kind, must, mustBePrintable, type Place, type Verdict } from "./kind.ts";

const MAX_IMAGE_BYTES = 64 << 10;
const TOP = 1n << 64n;

function checkHeader(header: ImageHeader | undefined): void {
  if (header === undefined) return;
  const { codeView, buildName, buildId, machine, imageType, bootImage, sections } = header;
  must(sections.length <= 96, `${sections.length} sections`);
  must(buildId === undefined || /^([0-9a-f]{2}){1,64}$/.test(buildId), `build id ${buildId}`);
  const names = sections.map(({ name }) => name);
  mustBePrintable([codeView?.path, codeView?.id, buildName, machine, imageType, bootImage, ...names]);
}

const PE = 0x1_0000n;
const FAR_PE = 0x10_0000n;
const TE = 0x2_0000n;
const SIZE = 0x8000;
const FAR_SIZE = 0x3_0000;

function imagesInMemory(): FakeMemory {
  const memory = new FakeMemory();
  const sections = [
    [".text", 0x1000, 0x4000],
    [".note.gn", 0x6000, 0x100],
  ] as const;
  const codeView = { signature: "RSDS", path: "/build/DxeCore.dll" } as const;
  const bytes = imageBytes({ base: PE, size: SIZE, codeType: 3, peOffset: 0x80, sections, codeView });
  bytes.set(note("GNU\0", 3, new Uint8Array(20).fill(7)), 0x6000);
  memory.write(PE, bytes);
  const far = [[".text", 0x1_0000, 0x9000]] as const;
  const path = { signature: "NB10", path: "/build/RuntimeDxe.dll" } as const;
  const farImage = { base: FAR_PE, size: FAR_SIZE, codeType: 5, peOffset: 0xfe58, sections: far, codeView: path };
  memory.write(FAR_PE, imageBytes(farImage));
  const parts = [[".text", 0x240, SIZE - 0x240]] as const;
  memory.write(TE, terseBytes({ size: SIZE, strippedSize: 0x188, sections: parts, path: "/build/PeiCore.dll" }));
  return memory;
}

const HEADERS: readonly Place[] = [
  { at: PE, size: 64 },
  { at: PE + 0x80n, size: 24 + 240 + 80 },
  { at: PE + 0x6000n, size: 40 },
  { at: PE + BigInt(SIZE - 1024), size: 56 + 60 },
  { at: FAR_PE, size: 64 },
  { at: FAR_PE + 0xfe58n, size: 24 + 240 + 40 },
  { at: FAR_PE + BigInt(FAR_SIZE - 1024), size: 56 + 60 },
  { at: TE + 0x160n, size: 80 },
  { at: TE + BigInt(SIZE - 512), size: 80 },
];

const IMAGES = [
  { name: "PE", base: PE, size: BigInt(SIZE) },
  { name: "far PE", base: FAR_PE, size: BigInt(FAR_SIZE) },
  { name: "TE", base: TE, size: BigInt(SIZE) },
] as const;

/** What a guest may claim of an image's place. */
function claimed({ base, size }: ImageExtent, random: Random): ImageExtent {
  if (random.chance(0.8)) return { base, size };
  const other = random.pick([1n, 63n, 64n, 0x400n, 0x1001n, 1n << 32n]);
  const top = other > 0x1000n ? base : TOP - other;
  return { base: random.chance(0.2) ? top : base, size: other };
}

function openImages(): Bench {
  const memory = imagesInMemory();
  return { run: (random) => damaged(memory, random, HEADERS, () => readEach(memory, random)) };
}

async function readEach(memory: FakeMemory, random: Random): Promise<Verdict> {
  memory.batches.length = 0;
  const outcomes: string[] = [];
  let most = 0;
  for (const image of IMAGES) {
    const extent = claimed(image, random);
    const { value, bytes } = await counted(memory, () => readImageHeaders(memory, [extent]));
    most = Math.max(most, bytes);
    const end = extent.base + extent.size;
    must(
      memory.batches.flat().every(({ address, length }) => address >= extent.base && address + BigInt(length) <= end),
      "read beyond an image",
    );
    memory.batches.length = 0;
    const [header] = value;
    checkHeader(header);
    outcomes.push(`${image.name} ${header?.format ?? "without a header"}`, header?.buildName ?? "without a name");
  }
  const search = await searched(memory, random, outcomes);
  return { outcomes, imageBytes: Math.max(most, search) };
}

async function searched(memory: FakeMemory, random: Random, outcomes: string[]): Promise<number> {
  const { base, size } = random.pick(IMAGES);
  const address = random.chance(0.9) ? base + BigInt(random.below(Number(size))) : random.word();
  const { value, bytes } = await counted(memory, () => findImageAt(memory, address));
  memory.batches.length = 0;
  outcomes.push(`search ${value.state}`);
  if (value.state === "found") {
    const { image } = value;
    must(image.base <= address && address < image.base + image.size, "an image around another address");
    checkHeader(image.header);
  }
  must(bytes <= MAX_IMAGE_BYTES, `${bytes} bytes read in a search`);
  return bytes;
}

const GUID = "11111111-2222-3333-4444-555566667777";
const LISTED: readonly FakeImage[] = [
  {
    ...{ base: 0x47a0_0000n, size: 0x4000, codeType: 3, peOffset: 0x80, sections: [[".text", 0x1000, 0x800]] },
    codeView: { signature: "NB10", path: "/build/edk2/DxeCore.dll" },
  },
  {
    ...{ base: 0x4772_0000n, size: 0x3_0000, codeType: 5, peOffset: 0xfe58, sections: [[".text", 0x1_0000, 0x9000]] },
    codeView: { signature: "RSDS", path: "d:\\b\\RuntimeDxe.pdb" },
  },
  {
    ...{ base: 0x4600_0000n, size: 0x3000, codeType: 1, peOffset: 0x80 },
    devicePath: devicePath([2, 1, new Uint8Array(8)], [4, 4, ucs2("\\EFI\\BOOT\\BOOTAA64.EFI\0")]),
  },
  { base: 0x4500_0000n, size: 0x2000, codeType: 99, devicePath: devicePath([4, 6, guidBytes(GUID)]) },
];

const LIST_PLACES: readonly Place[] = [
  { at: SYSTEM_TABLE + 0x60n, size: 24 },
  { at: CONFIGURATION_TABLE, size: 48 },
  { at: DEBUG_HEADER, size: 16 },
  { at: DEBUG_LIST, size: 64 },
  ...LISTED.map((_, i) => ({ at: infoAddress(i), size: 24 })),
  ...LISTED.map((_, i) => ({ at: protocolAddress(i), size: 0x60 })),
  ...LISTED.map(({ base, peOffset = 0 }) => ({ at: base + BigInt(peOffset), size: 24 + 240 + 40 })),
  { at: 0x47f6_0800n, size: 64 },
  { at: 0x47f6_0c00n, size: 64 },
];

function openLists(): Bench {
  const { memory } = buildFirmware(LISTED);
  return { run: (random) => damaged(memory, random, LIST_PLACES, () => readList(memory)) };
}

async function readList(memory: FakeMemory): Promise<Verdict> {
  memory.batches.length = 0;
  const configurationEntries = memory.word(SYSTEM_TABLE + 0x68n) ?? 0n;
  const configurationTable = memory.word(SYSTEM_TABLE + 0x70n) ?? 0n;
  const table = { address: SYSTEM_TABLE, bootServices: 0n, configurationTable, configurationEntries };
  const images = await readLoadedImages(memory, table);
  must(images.length <= 2048, `${images.length} images`);
  must(memory.batches.length <= 12, `${memory.batches.length} batches`);
  must(memory.bytesRead <= (128 << 10) + images.length * MAX_IMAGE_BYTES, `${memory.bytesRead} bytes`);
  let most = 0;
  for (const image of images) {
    checkImage(image);
    most = Math.max(most, (await counted(memory, () => readImageHeaders(memory, [image]))).bytes);
  }
  const named = images.flatMap(({ nameFrom }) => (nameFrom === undefined ? [] : [`named by its ${nameFrom}`]));
  return { outcomes: [`${images.length} images`, ...named], imageBytes: most };
}

function checkImage(image: ImageDetails): void {
  must(image.size > 0n && image.base + image.size <= TOP, "an image beyond the address space");
  mustBePrintable([image.name, image.buildPath, image.fileGuid, image.codeType, image.dataType]);
  checkHeader(image.header);
  const inside = sectionAt(image, image.base + image.size / 2n);
  must(inside === undefined || image.sections.includes(inside), "a section of another image");
}

export const IMAGE_KINDS: readonly Kind[] = [
  {
    name: "PE and TE images",
    share: 200,
    outcomes: [
      ...["PE PE32+", "PE without a header", "far PE PE32+", "far PE without a header", "TE TE", "TE without a header"],
      ...["DxeCore", "RuntimeDxe", "PeiCore", "without a name", "search found", "search unknown"],
    ],
    open: openImages,
  },
  {
    name: "image lists",
    share: 160,
    outcomes: [
      ...["0 images", "3 images", "4 images"],
      ...["build path", "device path", "file GUID"].map((from) => `named by its ${from}`),
    ],
    open: openLists,
  },
];
