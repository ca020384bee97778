/** The images of a capture, as JSON. */
import type { ImageJson } from "../api/firmware.ts";
import { hex } from "../base/hex.ts";
import type { Study } from "../diagnose/study.ts";
import type { ImageDetails } from "../efi/images.ts";
import { isDiscardable, type PeSection, sectionAccess, sectionContents } from "../efi/sections.ts";
import { orNull } from "./walks.ts";

type Imaged = Pick<Study, "capture" | "images" | "symbols">;

/** As `show FILE images --json` prints them. */
export function encodeImages(study: Imaged, images: readonly ImageDetails[] = study.images): ImageJson[] {
  return images.map((image) => encodeImage(image, study));
}

function encodeImage(image: ImageDetails, study: Imaged): ImageJson {
  const { base, header, found } = image;
  const entry = header === undefined || header.entryPoint === 0 ? undefined : base + BigInt(header.entryPoint);
  return {
    name: image.name ?? null,
    nameFrom: image.nameFrom ?? null,
    base: hex(base),
    size: hex(image.size),
    found,
    foundAt: found === "header" ? pointsOf(study, image) : null,
    codeType: found === "list" ? image.codeType : null,
    dataType: found === "list" ? image.dataType : null,
    runtime: image.runtime,
    format: header?.format ?? null,
    imageType: header?.imageType ?? null,
    machine: header?.machine ?? null,
    entryPoint: orNull(entry),
    linkBase: orNull(header?.linkBase),
    buildPath: image.buildPath ?? null,
    fileGuid: image.fileGuid ?? null,
    buildId: header?.buildId ?? null,
    sections: image.sections.map((section) => encodeSection(section, base)),
    symbols: encodeSymbols(image, study),
  };
}

/** The points at which the header of an image that the firmware does not list was seen. */
export function pointsOf({ capture }: Pick<Study, "capture">, { base }: ImageDetails): string[] {
  return capture.points.filter(({ images }) => images.some((each) => each.base === base)).map(({ id }) => id);
}

function encodeSection(section: PeSection, base: bigint): ImageJson["sections"][number] {
  return {
    name: section.name,
    offset: hex(section.offset),
    va: hex(base + BigInt(section.offset)),
    size: hex(section.size),
    contents: sectionContents(section),
    access: sectionAccess(section),
    discardable: isDiscardable(section),
    characteristics: hex(section.characteristics),
  };
}

function encodeSymbols(image: ImageDetails, { symbols }: Imaged): ImageJson["symbols"] {
  const match = symbols.matches.find((each) => each.image === image);
  if (match === undefined) return null;
  return { file: match.file.path, by: match.by, why: match.why, bias: hex(BigInt.asUintN(64, match.bias)) };
}
