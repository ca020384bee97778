/** A kernel's symbols and the images that it is: one that the firmware loaded, others that run where its EFI stub or KASLR put it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SearchImage } from "../../src/symbols/image-match.ts";
import { searchSymbols } from "../../src/symbols/search.ts";
import { writeElf } from "./elf-writer.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ebscope-kernel-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const LINUX_BASE = 0xffff_8000_0800_0000n;
const LINUX = "ffff800008000000 T _text\nffff800008010800 T vectors\nffff80000a010000 B _end\n";
const LINUX_WITHOUT_END = "ffff800008000000 T _text\nffff800008010800 T vectors\n";
const XEN = "0000000000200000 T _start\n0000000000257800 T hyp_traps_vector\n00000000003360c8 B _end\n";

function image(name: string, base: bigint, size: bigint): SearchImage {
  return { name, buildPath: undefined, base, size };
}

async function search(list: string, images: readonly SearchImage[]) {
  const path = join(root, "list");
  writeFileSync(path, list);
  const { matches, unmatched, skipped } = await searchSymbols([path], images);
  const found = matches.map(({ image: { name }, by, bias }) => ({ name, by, bias }));
  return { found, unmatched: unmatched.length, skipped: skipped.map(({ why }) => why) };
}

describe("the symbols of a Linux", () => {
  it("belong to all images of exactly its size with its zeroed data, whatever they are called", async () => {
    const images = [
      image("kernel", 0x784b_0000n, 0x201_0000n),
      image("Shell", 0x7000_0000n, 0x200_f000n),
      image("Linux arm64 Image", 0xffff_abf3_2fb3_0000n, 0x201_0000n),
    ];
    expect(await search(LINUX, images)).toEqual({
      found: [
        { name: "kernel", by: "kernel", bias: 0x784b_0000n - LINUX_BASE },
        { name: "Linux arm64 Image", by: "kernel", bias: 0x2bf3_27b3_0000n },
      ],
      unmatched: 0,
      skipped: [],
    });
  });

  it("of another build are refused, and with them no offset is looked for", async () => {
    expect(await search(LINUX, [image("Linux arm64 Image", 0x4000_0000n, 0x200_0000n)])).toEqual({
      found: [],
      unmatched: 0,
      skipped: ["it is of another build than the Linux arm64 Image: 0x2010000 bytes, not 0x2000000"],
    });
  });

  it("are kept for a kernel without an image, though one of another size has a kernel's file name", async () => {
    // A compressed kernel, vmlinuz.efi, is a program that unpacks another one.
    expect(await search(LINUX, [image("vmlinuz", 0x7000_0000n, 0xa0_0000n)])).toEqual({
      found: [],
      unmatched: 1,
      skipped: [],
    });
  });

  it("that do not tell their size belong to the only image that is called like a kernel", async () => {
    const images = [image("Image", 0x784b_0000n, 0x201_0000n), image("Shell", 0x7000_0000n, 0x1000n)];
    expect((await search(LINUX_WITHOUT_END, images)).found).toMatchObject([{ name: "Image" }]);
    expect((await search(LINUX_WITHOUT_END, [...images, image("vmlinuz", 0x7100_0000n, 0x1000n)])).found).toEqual([]);
  });
});

describe("a folder with a kernel and its System.map", () => {
  it("gives the symbols of the kernel, which has sizes and lines", async () => {
    const vmlinux = writeElf({
      segments: [[LINUX_BASE, 0x200_add8n]],
      sections: [{ name: ".text", flags: 6, type: 8, address: LINUX_BASE, size: 0x2_0000n }],
      symbols: [
        { name: "vectors", value: LINUX_BASE + 0x1_0800n },
        { name: "_end", value: LINUX_BASE + 0x201_0000n },
      ],
    });
    writeFileSync(join(root, "System.map-6.1"), LINUX);
    writeFileSync(join(root, "vmlinux-6.1"), vmlinux);
    const { matches } = await searchSymbols([root], [image("kernel", 0x784b_0000n, 0x201_0000n)]);
    expect(matches.map(({ file }) => file.name)).toEqual(["vmlinux-6.1"]);
  });
});

describe("the symbols of a Xen", () => {
  it("belong to the image of its pages, called after the file that it was booted from", async () => {
    const images = [image("BOOTAA64", 0x7c2f_9000n, 0x13_7000n), image("kernel", 0x7000_0000n, 0x201_0000n)];
    expect((await search(XEN, images)).found).toEqual([
      { name: "BOOTAA64", by: "kernel", bias: 0x7c2f_9000n - 0x20_0000n },
    ]);
  });

  it("of another build are refused", async () => {
    expect((await search(XEN, [image("Xen arm64 Image", 0x7c2f_9000n, 0x13_8000n)])).skipped).toEqual([
      "it is of another build than the Xen arm64 Image: 0x1360c8 bytes, not 0x138000",
    ]);
  });
});
