/** Firmware known by its images: what fits, and that almost is not. */
import { describe, expect, it } from "vitest";
import { fingerprintOf, identifyFirmware } from "../../src/efi/firmware.ts";
import type { ImageDetails } from "../../src/efi/images.ts";
import { FINGERPRINTS, type FirmwareFingerprint } from "../../symbols/firmware.ts";
import { CORE_IMAGE, imageDetails, OFFSETS } from "./firmware-lists.ts";

const DRIVERS = Array.from({ length: 9 }, (_, i) =>
  imageDetails(`Driver${i}Dxe`, 0x4700_0000n, 0x4000, 0x1000 + i * 4),
);
const IMAGES: readonly ImageDetails[] = [CORE_IMAGE, ...DRIVERS];

const KNOWN: FirmwareFingerprint = {
  name: "Some distribution 1.0",
  buildPath: "/build/DxeCore.dll",
  coreSections: ".text+0x1000:0x2000 .data+0x3000:0x4000",
  images: [
    "DxeCore 0x8000 0x1000",
    ...DRIVERS.map((_, i) => `Driver${i}Dxe 0x4000 0x${(0x1000 + i * 4).toString(16)}`),
  ],
  offsets: OFFSETS,
};

function identified(images: readonly ImageDetails[], ...known: readonly FirmwareFingerprint[]): string | undefined {
  return identifyFirmware(images, known.length === 0 ? [KNOWN] : known)?.name;
}

function withHeader(image: ImageDetails, change: Partial<NonNullable<ImageDetails["header"]>>): ImageDetails {
  return { ...image, header: image.header && { ...image.header, ...change } };
}

describe("a firmware", () => {
  it("is known when all images agree, whatever else is loaded, listed or not", () => {
    const expected = { name: "Some distribution 1.0", compared: 10, offsets: OFFSETS };
    expect(identifyFirmware(IMAGES, [KNOWN])).toEqual(expected);
    const kernel: ImageDetails = { ...imageDetails("kernel", 0x4600_0000n, 0x1000), fileGuid: undefined };
    const loader: ImageDetails = { ...withHeader(DRIVERS[0] as ImageDetails, { size: 1 }), found: "header" };
    expect(identifyFirmware([kernel, loader, ...IMAGES], [KNOWN])).toEqual(expected);
  });

  it("is known with one of its images not loaded, or with an unread header; not with fewer than 8 compared", () => {
    expect(identifyFirmware(IMAGES.slice(0, 8), [KNOWN])?.compared).toBe(8);
    expect(identified(IMAGES.slice(0, 7))).toBeUndefined();
    const unread: ImageDetails = { ...(DRIVERS[3] as ImageDetails), header: undefined };
    expect(identifyFirmware(IMAGES.with(4, unread), [KNOWN])?.compared).toBe(9);
  });

  it("is unknown when one image has another size or entry point, be it by 4 bytes", () => {
    for (const change of [{ size: 0x5000 }, { entryPoint: 0x2004 }]) {
      for (const i of IMAGES.keys()) {
        expect(identified(IMAGES.with(i, withHeader(IMAGES[i] as ImageDetails, change))), `${i}`).toBeUndefined();
      }
    }
  });

  it("is unknown when the DXE core has other sections or another build path, or is not there", () => {
    const [first, second] = CORE_IMAGE.sections;
    const moved = [first, second && { ...second, size: 0x4008 }].filter((each) => each !== undefined);
    expect(identified([{ ...CORE_IMAGE, sections: moved }, ...DRIVERS])).toBeUndefined();
    expect(identified([{ ...CORE_IMAGE, buildPath: "/build/2/DxeCore.dll" }, ...DRIVERS])).toBeUndefined();
    expect(identified(DRIVERS)).toBeUndefined();
    expect(identified([CORE_IMAGE, ...IMAGES])).toBeUndefined();
  });

  it("is unknown where two fingerprints fit, until an image is loaded that tells them apart", () => {
    const other = { ...KNOWN, name: "2.0", images: KNOWN.images.with(9, "Driver8Dxe 0x4000 0x1024") };
    expect(identified(IMAGES.slice(0, 9), KNOWN, other)).toBeUndefined();
    expect(identified(IMAGES, KNOWN, other)).toBe("Some distribution 1.0");
  });

  it("has a fingerprint of its volumes' images, by name", () => {
    const kernel: ImageDetails = { ...imageDetails("kernel", 0x4600_0000n, 0x1000), fileGuid: undefined };
    expect(fingerprintOf("Some distribution 1.0", [kernel, ...IMAGES.toReversed()], OFFSETS)).toEqual({
      ...KNOWN,
      images: KNOWN.images.toSorted(),
    });
    expect(fingerprintOf("x", DRIVERS, undefined)).toBeUndefined();
  });
});

describe("the fingerprints that ebscope has", () => {
  it("are whole: names once, images by name in the form that is compared, the DXE core among them", () => {
    expect(new Set(FINGERPRINTS.map(({ name }) => name)).size).toBe(FINGERPRINTS.length);
    for (const { name, images, coreSections } of FINGERPRINTS) {
      expect(images.length, name).toBeGreaterThan(50);
      expect(images.filter((line) => !/^\S+ 0x[1-9a-f][0-9a-f]* 0x[1-9a-f][0-9a-f]*$/.test(line))).toEqual([]);
      expect(images).toEqual(images.toSorted());
      expect(new Set(images.map((line) => line.split(" ")[0])).size, name).toBe(images.length);
      expect(images.some((line) => line.startsWith("DxeCore "))).toBe(true);
      expect(coreSections).toMatch(/^(\S+\+0x[0-9a-f]+:0x[0-9a-f]+ ?)+$/);
    }
  });

  it("exclude each other: no two would fit the same images", () => {
    for (const one of FINGERPRINTS) {
      for (const other of FINGERPRINTS.filter((each) => each !== one)) {
        const lines = new Set(other.images);
        const names = new Set(other.images.map((line) => line.split(" ")[0]));
        const differing = one.images.filter((line) => names.has(line.split(" ")[0]) && !lines.has(line));
        expect(differing.length > 0 || one.coreSections !== other.coreSections, `${one.name} / ${other.name}`).toBe(
          true,
        );
      }
    }
  });
});
