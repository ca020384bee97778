/** `show FILE images` */
import { hex, hex16, roughSize, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { Study } from "../../diagnose/study.ts";
import type { ImageDetails } from "../../efi/images.ts";
import { isDiscardable, type PeSection, sectionAccess, sectionContents } from "../../efi/sections.ts";
import { pointsOf } from "../../encode/images.ts";
import { style, table } from "./style.ts";

/** Images that are listed without --all; firmware loads about a hundred. */
const MAX_IMAGES = 256;

/** A line an image; with `all` its sections and where it comes from below it. */
export function renderImages(study: Study, all: boolean): string[] {
  const { images } = study;
  const shown = all ? images : images.slice(0, MAX_IMAGES);
  const rows = table(shown.map((image) => imageCells(image, study)));
  const lines = shown.flatMap((image, i) => [rows[i] ?? "", ...(all ? detailLines(image, study) : [])]);
  const rest = images.length - shown.length;
  const more = [
    ...(rest > 0 ? [`  … ${plural(rest, "image")} more: --all`] : []),
    ...(all || images.length === 0 ? [] : ["  sections, build paths, GUIDs and entry points: --all"]),
  ].map(style.quiet);
  return [style.heading(headline(images)), ...lines, ...more, ...kernelLines(study)];
}

function headline(images: readonly ImageDetails[]): string {
  const found = images.filter((image) => image.found === "header").length;
  if (images.length === 0) return "No image is known: the capture has no list of the firmware's, and none was found";
  const listed = images.length - found;
  if (found === 0) return `${plural(listed, "image")}, listed by the firmware`;
  return `${plural(images.length, "image")}: ${listed} listed by the firmware, ${found} found by the header`;
}

function imageCells(image: ImageDetails, study: Study): string[] {
  const { base, size, name, header, codeType, found } = image;
  const format = header?.format === "TE" ? "TE " : "";
  const symbols = symbolsOf(image, study);
  const notes = [
    found === "header" ? `found at ${pointsOf(study, image).join(", ")}` : "",
    symbols === undefined ? "" : `symbols: ${symbols.file.name}`,
  ].filter((note) => note !== "");
  return [
    hex16(base),
    roughSize(size),
    name ?? style.quiet("no name"),
    header === undefined ? style.warn("header not read") : `${format}${printable(header.imageType, 40)}`,
    found === "list" ? codeType : "not listed",
    notes.join("; "),
  ];
}

function symbolsOf(image: ImageDetails, { symbols }: Pick<Study, "symbols">) {
  return symbols.matches.find((match) => match.image === image);
}

function detailLines(image: ImageDetails, study: Study): string[] {
  const symbols = symbolsOf(image, study);
  const facts = [
    ["build path", image.buildPath],
    ["file GUID", image.fileGuid],
    ["build id", image.header?.buildId],
    ["memory", image.found === "list" ? `code ${image.codeType}, data ${image.dataType}` : undefined],
    ["header", headerText(image)],
    ["symbols", symbols === undefined ? undefined : `${printable(symbols.file.path, 300)}: ${symbols.why}`],
  ] as const;
  const known = facts.flatMap(([what, text]) => (text === undefined ? [] : [[what, text]]));
  return [
    ...table(known, "      "),
    ...table(
      image.sections.map((each) => sectionCells(each, image)),
      "      ",
    ),
  ];
}

function headerText({ base, header, name, nameFrom }: ImageDetails): string | undefined {
  if (header === undefined) return undefined;
  const { format, machine, entryPoint, linkBase, size } = header;
  const entry =
    entryPoint === 0 ? "no entry point" : `entry point ${hex(base + BigInt(entryPoint))} (+${hex(entryPoint)})`;
  const named = name === undefined ? "" : `; named by its ${nameFrom}`;
  return `${format}, ${machine}, ${entry}, linked at ${hex(linkBase)}, ${sizeText(BigInt(size))}${named}`;
}

function sectionCells(section: PeSection, { base }: ImageDetails): string[] {
  const { name, offset, size } = section;
  const contents = `${sectionContents(section)}${isDiscardable(section) ? ", discardable" : ""}`;
  return [hex16(base + BigInt(offset)), hex(size), name, sectionAccess(section), contents];
}

function kernelLines({ symbols: { kernels } }: Study): string[] {
  return kernels.map(({ file, point, why }) => `${style.heading("At")} ${point}: ${file.name} ${printable(why, 200)}`);
}
