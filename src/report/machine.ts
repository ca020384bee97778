/** The sections about the machine and the capture: images, the memory map, what is not known, how all of it was come by. */
import { hex, hex16, roughSize, sizeText } from "../base/hex.ts";
import { plural } from "../base/text.ts";
import type { Study } from "../diagnose/study.ts";
import { type Coverage, coverageOf, type Difference, regimeNames } from "../diff/diff.ts";
import { PointView } from "../diff/point-view.ts";
import { type ImageDetails, imageAt, imageOffsetText } from "../efi/images.ts";
import { descriptorEnd, type MemoryDescriptor } from "../efi/memory-map.ts";
import { sectionAccess, sectionContents } from "../efi/sections.ts";
import { statusName } from "../efi/structures.ts";
import type { Capture, ExitAttempt } from "../snapshot/model.ts";
import { type Block, columns, data, more, type Section, type Span, type Spans, table, text } from "./document.ts";

export function imagesSection({ images }: Study): readonly Section[] {
  if (images.length === 0) return [];
  const found = images.filter((image) => image.found === "header").length;
  const rows = images.map((image) => [
    image.name ?? "(no name)",
    hex16(image.base),
    sizeText(image.size),
    image.header?.imageType ?? "",
    image.codeType,
    image.found === "list" ? "" : "by its header",
    image.buildPath ?? "",
  ]);
  const byHeader = found === 0 ? "." : `; ${plural(found, "more image")} found by the header.`;
  const names = columns("Image", "Base", "Size", "Type", "Code in", "Found", "Build path");
  return [
    {
      id: "images",
      title: "Images",
      htmlOnly: true,
      blocks: [
        text(`${plural(images.length - found, "image")} in the firmware's list${byHeader}`),
        ...more("All images", table(names, rows)),
        ...more("All sections", sectionTable(images)),
      ],
    },
  ];
}

function sectionTable(images: readonly ImageDetails[]): readonly Block[] {
  const rows = images.flatMap((image) =>
    image.sections.map((section) => [
      image.name ?? hex(image.base),
      section.name,
      hex16(image.base + BigInt(section.offset)),
      sizeText(BigInt(section.size)),
      sectionAccess(section),
      sectionContents(section),
    ]),
  );
  return table(columns("Image", "Section", "Address", "Size", "Access", "Contents"), rows);
}

export function memoryMapSection({ memoryMap, images, capture }: Study): readonly Section[] {
  if (memoryMap === undefined) return [];
  const { map, point, source } = memoryMap;
  const call = source === "GetMemoryMap" ? capture.memoryMap : undefined;
  const origin = text(
    ...(call === undefined
      ? ["As the firmware had it"]
      : [
          "As GetMemoryMap returned it to ",
          data(callerText(images, call.caller)),
          ", map key ",
          data(hex(call.mapKey)),
        ]),
    ", at the point ",
    data(point),
    ".",
  );
  const blocks =
    map.state === "read" ? mapBlocks(map.descriptors, map.problems) : [text("It is not known: ", data(map.why))];
  return [{ id: "memory-map", title: "UEFI memory map", htmlOnly: true, blocks: [origin, ...blocks] }];
}

function callerText(images: readonly ImageDetails[], address: bigint): string {
  const image = imageAt(images, address);
  return image === undefined ? hex(address) : imageOffsetText(image, address);
}

function mapBlocks(descriptors: readonly MemoryDescriptor[], problems: readonly string[]): Block[] {
  const totals = new Map<string, { ranges: number; pages: bigint }>();
  for (const { typeName, pages } of descriptors) {
    const total = totals.get(typeName) ?? { ranges: 0, pages: 0n };
    totals.set(typeName, { ranges: total.ranges + 1, pages: total.pages + pages });
  }
  const sums = [...totals].map(([type, { ranges, pages }]) => [type, `${ranges}`, `${pages}`, roughSize(pages << 12n)]);
  const rows = descriptors.map((each) => [
    each.typeName,
    hex16(each.physicalStart),
    hex16(descriptorEnd(each) - 1n),
    `${each.pages}`,
    each.attributes.join(" "),
  ]);
  return [
    ...problems.map((problem): Block => ({ kind: "text", tone: "warning", spans: [data(problem)] })),
    ...table(columns("Type", "Ranges", "Pages", "Size"), sums),
    ...more(
      `All ${plural(descriptors.length, "range")}`,
      table(columns("Type", "First", "Last", "Pages", "Attributes"), rows),
    ),
  ];
}

/** What could not be read or decoded: of the two sides of a difference, or of a single point. */
export function coverageSection({ capture }: Study, difference: Difference | undefined): readonly Section[] {
  const gaps = difference?.coverage ?? capture.points.flatMap((point) => coverageOf(new PointView(capture, point)));
  const notes = difference?.notes ?? [];
  if (gaps.length === 0 && notes.length === 0) return [];
  return [
    {
      id: "unknown",
      title: "Not known",
      blocks: [
        ...notes.map((note) => text(data(note))),
        ...(gaps.length === 0
          ? []
          : [text(`${plural(gaps.length, "part")} of the tables could not be read or decoded.`)]),
        ...table(columns("Point", "Regime", "From", "Size", "Table", "Level", "Why"), gaps.map(gapRow)),
      ],
    },
  ];
}

function gapRow({ point, regime, va, size, ranges, pa, level, code, why }: Coverage): string[] {
  return [
    point,
    regime,
    hex16(va),
    ranges > 1 ? `${sizeText(size)}, and ${ranges - 1} more` : sizeText(size),
    pa === undefined ? "" : hex(pa),
    level === undefined ? "" : `L${level}`,
    why === undefined ? code : `${code}: ${why}`,
  ];
}

/** `file` is the capture's name, without folders; `version` what made the report. */
export function captureSection(study: Study, file: string, version: string): Section {
  const { capture } = study;
  const { threads, notes, partial } = capture;
  const rows: [string, Spans][] = [
    ["Capture", [data(file)]],
    ["QEMU", [data(capture.qemuVersion ?? "not known")]],
    ["Machine", [data(capture.architecture), `, ${plural(threads.length, "vCPU")}`]],
    ["Firmware", study.firmware === undefined ? ["not known to ebscope"] : [data(study.firmware.name)]],
    ["Captured", [data(capture.createdAt), " by ", data(capture.createdBy)]],
    ["Report by", [data(version)]],
    ["Symbols", symbolSpans(study)],
    ...attemptRows(capture.attempts),
    ...(partial === undefined ? [] : [["Partial", [data(`${partial.code}: ${partial.message}`)]] as [string, Spans]]),
  ];
  return {
    id: "capture",
    title: "How it was captured",
    blocks: [
      { kind: "facts", rows },
      ...table(columns("Point", "vCPU", "PC", "Regimes", "Pages", "State", "Time"), pointRows(capture)),
      ...notes.map((note) => text("Note: ", data(note))),
      ...more("Symbols", symbolTable(study)),
    ],
  };
}

function symbolSpans({ symbols }: Study): Spans {
  const { matches, kernels } = symbols;
  const files = new Set([...matches, ...kernels].map(({ file }) => file.name));
  if (files.size === 0) return ["none"];
  const first = [...files].slice(0, 8).flatMap((name, i): Span[] => [i === 0 ? "" : ", ", data(name)]);
  return [...first, ...(files.size > 8 ? [` and ${files.size - 8} more`] : [])];
}

function symbolTable({ symbols }: Study): readonly Block[] {
  const rows = [
    ...symbols.matches.map(({ image, file, why }) => [image.name ?? hex(image.base), file.name, why]),
    ...symbols.kernels.map(({ point, file, why }) => [`at ${point}`, file.name, why]),
    ...symbols.unmatched.map(({ name }) => ["", name, "fits no image of the capture"]),
  ];
  return table([...columns("Image", "File"), { name: "Why", prose: true }], rows);
}

function attemptRows(attempts: readonly ExitAttempt[]): [string, Spans][] {
  return attempts.slice(-4).map(({ status, mapKey }, i, shown) => {
    const number = attempts.length - shown.length + i + 1;
    const ended = status === undefined ? "did not return" : `returned ${statusName(status) ?? hex(status)}`;
    return [`ExitBootServices, call ${number}`, [`${ended}, map key `, data(hex(mapKey))]];
  });
}

function pointRows(capture: Capture): string[][] {
  return capture.points.map((point) => {
    const view = new PointView(capture, point);
    const pc = view.registers.get("pc");
    const lost = [...point.pages.values()].filter(({ state }) => state !== "present").length;
    return [
      point.id,
      `${point.cpu}`,
      pc === undefined ? "?" : hex16(pc),
      regimeNames(view).join(" "),
      `${point.pages.size - lost}${lost === 0 ? "" : `, ${lost} not readable`}`,
      point.complete ? "complete" : "incomplete",
      point.time,
    ];
  });
}
