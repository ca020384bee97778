import { describe, expect, it } from "vitest";
import { leafAttributes } from "../../src/aarch64/attributes.ts";
import { leafKey } from "../../src/aarch64/descriptor.ts";
import type { TableRoot } from "../../src/aarch64/regime-model.ts";
import { phys, virt } from "../../src/base/address.ts";
import type { MappingChange } from "../../src/diff/mappings.ts";
import { expectedChange, ownerOf, ownership } from "../../src/diff/owners.ts";
import type { LoadedImage } from "../../src/efi/images.ts";
import { el1Regime } from "../support/regimes.ts";

function image(name: string | undefined, base: bigint, size: bigint, runtime = false): LoadedImage {
  const sections = [
    { name: ".text", offset: 0x1000, size: 0x1800, characteristics: 0 },
    { name: ".data", offset: 0x3000, size: 0x1000, characteristics: 0 },
  ];
  return { base, size, name, buildPath: undefined, codeType: "x", runtime, sections };
}

const CORE = image("DxeCore", 0x10_0000n, 0x4000n);
const RUNTIME = image("RuntimeDxe", 0x20_0000n, 0x4000n, true);
const NEXT = image("Next", 0x20_4000n, 0x3f00n, true);
const NAMELESS = image(undefined, 0x30_0000n, 0x4000n);
const IMAGES = [CORE, RUNTIME, NEXT, NAMELESS];

describe("the owner of a range", () => {
  it("is the image and section that it lies in", () => {
    expect(ownerOf(IMAGES, 0x10_1000n, 0x1000n)).toEqual({ image: "DxeCore", section: ".text" });
    expect(ownerOf(IMAGES, 0x10_3000n, 0x1000n)).toEqual({ image: "DxeCore", section: ".data" });
    expect(ownerOf(IMAGES, 0x30_3000n, 0x1000n)).toEqual({ image: "image@0x300000", section: ".data" });
  });

  it("takes the rest of a section's last page for the section, and of an image's for the image", () => {
    expect(ownerOf(IMAGES, 0x10_2000n, 0x1000n)).toEqual({ image: "DxeCore", section: ".text" });
    expect(ownerOf(IMAGES, 0x20_7000n, 0x1000n)).toEqual({ image: "Next", section: ".data" });
  });

  it("has no section where it has several, or headers", () => {
    expect(ownerOf(IMAGES, 0x10_1000n, 0x3000n)).toEqual({ image: "DxeCore", section: null });
    expect(ownerOf(IMAGES, 0x10_0000n, 0x1000n)).toEqual({ image: "DxeCore", section: null });
  });

  it("is none where it lies in no image, reaches out of one, or has several", () => {
    expect(ownerOf(IMAGES, 0x40_0000n, 0x1000n)).toBeNull();
    expect(ownerOf(IMAGES, 0x10_3000n, 0x2000n)).toBeNull();
    expect(ownerOf(IMAGES, 0x0f_f000n, 0x2000n)).toBeNull();
    expect(ownerOf(IMAGES, 0x20_3000n, 0x2000n)).toBeNull();
  });

  it("are several, covered, where images stand side by side", () => {
    expect(ownership(IMAGES, 0x20_0000n, 0x8000n)).toEqual({ images: [RUNTIME, NEXT], covered: true });
    expect(ownership(IMAGES, 0x20_0000n, 0x9000n)).toEqual({ images: [RUNTIME, NEXT], covered: false });
    expect(ownership(IMAGES, 0x10_3000n, 0x10_1000n)).toEqual({ images: [CORE, RUNTIME], covered: false });
    expect(ownership(IMAGES, 0x40_0000n, 0x1000n)).toEqual({ images: [], covered: false });
  });
});

describe("a change that ExitBootServices is known to make", () => {
  const regime = el1Regime();
  const root = regime.roots[0] as TableRoot;
  const READ_ONLY = 1 << 7;
  const PXN = 1 << (53 - 32);
  const side = (low: number, high: number) => ({
    pa: phys(0x20_0000n),
    attributes: leafAttributes(leafKey(low | 0x403, high, 0, 3, root.format), root, regime),
  });
  const unprotected: MappingChange = {
    ...{ regime: "EL1&0", kind: "changed", va: virt(0x20_0000n), size: 0x8000n },
    ...{ before: side(READ_ONLY, 0), after: side(0, 0) },
  };

  it("is that all of runtime images becomes readable, writable and executable", () => {
    expect(expectedChange(unprotected, IMAGES)?.rule).toBe("runtime-image-unprotected");
  });

  it.each<[string, Partial<MappingChange>]>([
    ["they move", { kind: "moved" }],
    ["they come", { kind: "added", before: null }],
    ["they go", { kind: "removed", after: null }],
    ["they are not writable afterwards", { after: side(READ_ONLY, 0) }],
    ["they are not executable afterwards", { after: side(0, PXN) }],
    ["their memory type changes", { after: side(1 << 2, 0) }],
    ["pages of no image change too", { size: 0x9000n }],
    ["it is another kind of image", { va: virt(0x10_0000n), size: 0x1000n }],
  ])("is not when %s", (_, other) => {
    expect(expectedChange({ ...unprotected, ...other }, IMAGES)).toBeNull();
  });
});
