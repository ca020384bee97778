/** The dearest images that a guest can lay out: everywhere something that begins like an image, and as many listed as are read. */
import { findImageAt } from "../../src/efi/find-image.ts";
import { readLoadedImages } from "../../src/efi/images.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import {
  CONFIGURATION_TABLE,
  DEBUG_HEADER,
  DEBUG_LIST,
  guidBytes,
  imageBytes,
  SYSTEM_TABLE,
  writeWords,
} from "../support/firmware.ts";

export interface WorstImages {
  readonly name: string;
  readonly memory: () => FakeMemory;
  /** How many images are found. */
  readonly run: (memory: FakeMemory) => Promise<number>;
  readonly answer: number;
  /** Bytes that may be read. */
  readonly most: number;
}

const BASE = 0x4000_0000n;
const LISTED = 2048;
const IMAGE = 0x5000_0000n;
const IMAGE_SIZE = 0x8000;
const NAMES = Array.from({ length: 96 }, (_, i) => [`\x1b\x07\x9b${i}`, 0x1000, 0x1000] as const);

/** A PE header with all that may be read of one: 96 sections, the last of them notes, 16 debug entries. */
function fullImage(): Uint8Array {
  const codeView = { signature: "RSDS", path: "\x1b".repeat(380) } as const;
  const sections = [...NAMES.slice(1), [".note", 0x2000, 0x1000] as const];
  const bytes = imageBytes({ base: IMAGE, size: IMAGE_SIZE, codeType: 3, peOffset: 0x80, sections, codeView });
  new DataView(bytes.buffer).setUint32(0x80 + 24 + 112 + 6 * 8 + 4, 0xffff_ffff, true);
  return bytes;
}

/** Nothing but signatures of TE headers: each could be one with 90 sections, none says that it stands where it does. */
function tersePage(): Uint8Array {
  const page = new Uint8Array(IMAGE_SIZE);
  const view = new DataView(page.buffer);
  for (let at = 0; at < 4096; at += 4) view.setUint32(at, 0xaa64_5a56, true);
  return page;
}

/** In every page the beginning of an image that does not reach far. */
function manyBeginnings(): FakeMemory {
  const memory = new FakeMemory();
  for (let page = 0; page < 4200; page++) {
    const bytes = imageBytes({ base: BASE, size: 0xe00, codeType: 3, peOffset: 0x40, sections: [[".text", 0, 0x100]] });
    memory.write(BASE + BigInt(page) * 4096n, bytes.subarray(0, 0xe00));
  }
  return memory;
}

/** An image that is found in the last place that is looked at; pages in between begin with something else. */
function farImage(): FakeMemory {
  const memory = new FakeMemory();
  for (let page = 0n; page < 16384n; page++) memory.bytes(BASE + page * 4096n);
  const sections = [...NAMES.slice(1), [".note", 0x2000, 0x1000] as const];
  const codeView = { signature: "RSDS", path: "/build/far.dll" } as const;
  const image = imageBytes({
    base: BASE,
    size: IMAGE_SIZE,
    codeType: 3,
    peOffset: 0x80,
    sections: sections.slice(0, 16),
    codeView,
  });
  new DataView(image.buffer).setUint32(0x80 + 24 + 56, 0x0400_0000, true);
  memory.write(BASE, image);
  for (let i = 1n; i < 8n; i++) memory.write(BASE + i * 0x1_0000n, Uint8Array.of(0x4d, 0x5a));
  return memory;
}

/** As many images as are read, all of them in one place. */
function listed(image: Uint8Array): FakeMemory {
  const memory = new FakeMemory();
  memory.write(IMAGE, image);
  memory.write(CONFIGURATION_TABLE, guidBytes("49152e77-1ada-4764-b7a2-7afefed95e8b"));
  writeWords(memory, CONFIGURATION_TABLE + 16n, [DEBUG_HEADER]);
  writeWords(memory, DEBUG_HEADER, [0xffff_ffffn << 32n, DEBUG_LIST]);
  const [info, protocol] = [DEBUG_LIST + 0x1_0000n, DEBUG_LIST + 0x1_1000n];
  writeWords(
    memory,
    DEBUG_LIST,
    Array.from({ length: LISTED }, () => info),
  );
  writeWords(memory, info, [1n, protocol, 0n]);
  writeWords(memory, protocol, [0n, 0n, 0n, 0n, info, 0n, 0n, 0n, IMAGE, BigInt(IMAGE_SIZE), 3n, 0n]);
  return memory;
}

async function listedImages(memory: FakeMemory): Promise<number> {
  const table = { bootServices: 0n, configurationTable: CONFIGURATION_TABLE, configurationEntries: 1n };
  return (await readLoadedImages(memory, { address: SYSTEM_TABLE, ...table })).length;
}

async function found(memory: FakeMemory, address: bigint): Promise<number> {
  return (await findImageAt(memory, address)).state === "found" ? 1 : 0;
}

const PER_IMAGE = 64 << 10;

export const WORST_IMAGES: readonly WorstImages[] = [
  {
    name: "a beginning in every page",
    memory: manyBeginnings,
    run: (memory) => found(memory, BASE + 4199n * 4096n + 0xfffn),
    ...{ answer: 0, most: PER_IMAGE },
  },
  {
    name: "the farthest image",
    memory: farImage,
    run: (memory) => found(memory, BASE + 0x03ff_f000n),
    ...{ answer: 1, most: PER_IMAGE },
  },
  {
    name: "2,048 full images",
    memory: () => listed(fullImage()),
    run: listedImages,
    ...{ answer: LISTED, most: LISTED * PER_IMAGE },
  },
  {
    name: "2,048 pages of TE headers",
    memory: () => listed(tersePage()),
    run: listedImages,
    ...{ answer: LISTED, most: LISTED * PER_IMAGE },
  },
];
