/** `show FILE memmap` */
import { hex, hex16, roughSize, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import {
  attributesChanges,
  type DescriptorChange,
  descriptorsOf,
  type ShownMaps,
  totalsByType,
} from "../../diagnose/memory-maps.ts";
import { placeText } from "../../diagnose/place.ts";
import type { StudiedMap, Study } from "../../diagnose/study.ts";
import { descriptorEnd, type MemoryDescriptor } from "../../efi/memory-map.ts";
import { getMemoryMapIn } from "../../encode/memory-map.ts";
import { limited } from "./mappings.ts";
import { style, table } from "./style.ts";

/** Descriptors that are listed without --all; firmware has some dozens. */
const MAX_ROWS = 256;

export function renderMemoryMap(study: Study, { map, attributes }: ShownMaps, all: boolean): string[] {
  const limit = all ? Number.POSITIVE_INFINITY : MAX_ROWS;
  const [first] = attributes.filter((each) => each.map.state === "read");
  return [
    ...(map === undefined ? elsewhere(study) : renderMap(study, map, limit)),
    ...(map === undefined || attributes.length === 0 ? [] : [""]),
    ...attributes.flatMap((each) => renderAttributes(each, first, attributes, limit)),
  ];
}

/** What was asked for is another point than that of the map. */
function elsewhere({ memoryMap }: Study): string[] {
  if (memoryMap === undefined) return [`${style.heading("Memory map")}  not captured`];
  return [style.quiet(`the memory map itself is of point ${memoryMap.point}`)];
}

function renderMap(study: Study, studied: StudiedMap, limit: number): string[] {
  const { map, point } = studied;
  const title = style.heading("Memory map");
  if (map.state !== "read")
    return [`${title}  ${style.warn(`not known: ${printable(map.why)}`)}`, ...sourceLines(study, studied)];
  const { descriptors, sorted, problems } = map;
  const order = sorted ? "" : style.quiet(" (sorted here)");
  const whose = studied.source === "GetMemoryMap" ? "that ExitBootServices was called with" : `at ${point}`;
  return [
    `${title}  ${whose}: ${plural(descriptors.length, "descriptor")}${order}`,
    ...sourceLines(study, studied),
    ...problems.map((problem) => style.warn(`  ! ${printable(problem)}`)),
    ...renderDescriptors(descriptors, limit),
    style.heading("By type"),
    ...table(
      totalsByType(descriptors).map(({ type, descriptors: count, pages }) => [
        type,
        plural(pages, "page"),
        roughSize(pages << 12n),
        plural(count, "descriptor"),
      ]),
    ),
  ];
}

function sourceLines(study: Study, { source, point }: StudiedMap): string[] {
  if (source === "firmware") return [style.quiet(`  read from the firmware's own lists at ${point}`)];
  const { capture, names } = study;
  const { memoryMap: record } = capture;
  if (record === undefined) return [];
  const service = getMemoryMapIn(study);
  const at = service === undefined ? "" : ` at ${hex(service)}`;
  const { mapKey, caller, address, size, descriptorSize, descriptorVersion } = record;
  return [
    style.quiet(`  GetMemoryMap${at} returned it to ${placeText(names.place(caller))}, with key ${hex(mapKey)}`),
    style.quiet(
      `  in memory at ${hex(address)} (point ${point}): ${size} bytes, ${descriptorSize} a descriptor, version ${descriptorVersion}`,
    ),
  ];
}

function renderDescriptors(descriptors: readonly MemoryDescriptor[], limit: number): string[] {
  const isVirtual = descriptors.some(({ virtualStart }) => virtualStart !== 0n);
  const head = ["start", "end (not included)", "pages", "size", "type", "attributes"].map(style.quiet);
  const ascending = descriptors.toSorted((a, b) => (a.physicalStart < b.physicalStart ? -1 : 1));
  const rows = ascending.map((each) => descriptorCells(each, isVirtual));
  return limited([head, ...rows], limit + 1, "descriptor");
}

function descriptorCells(each: MemoryDescriptor, isVirtual: boolean): string[] {
  const { physicalStart, pages, typeName, attributes, virtualStart } = each;
  const words = attributes.join(" ");
  const mapped = isVirtual && virtualStart !== 0n ? `  virtual ${hex(virtualStart)}` : "";
  return [
    hex16(physicalStart),
    hex16(descriptorEnd(each)),
    pages.toString(),
    roughSize(pages << 12n),
    typeName,
    `${words}${mapped}`,
  ];
}

/** The first table that was read in whole, the others by what is another in them. */
function renderAttributes(
  { point, map }: StudiedMap,
  first: StudiedMap | undefined,
  tables: readonly StudiedMap[],
  limit: number,
): string[] {
  const title = `${style.heading("Memory attributes table")}  at ${point}`;
  if (map.state !== "read") return [`${title}: ${style.quiet(`not known (${printable(map.why)})`)}`];
  const problems = map.problems.map((problem) => style.warn(`  ! ${printable(problem)}`));
  const count = plural(map.descriptors.length, "descriptor");
  if (point === first?.point)
    return [`${title}: ${count}`, ...problems, ...renderDescriptors(descriptorsOf(first), limit)];
  const changes = attributesChanges(tables).filter(({ to }) => to === point);
  if (changes.length === 0) return [`${title}: the same as at ${first?.point}`, ...problems];
  const differ = `${plural(changes.length, "descriptor")} another than at ${first?.point}`;
  return [`${title}: ${style.warn(differ)}`, ...problems, ...limited(changes.map(changeCells), limit, "descriptor")];
}

function changeCells({ before, after }: DescriptorChange): string[] {
  const start = before?.physicalStart ?? after?.physicalStart ?? 0n;
  return [hex16(start), `${sideText(before)} → ${sideText(after)}`];
}

function sideText(side: MemoryDescriptor | undefined): string {
  return side === undefined ? "none" : [sizeText(side.pages << 12n), side.typeName, ...side.attributes].join(" ");
}
