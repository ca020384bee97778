/** The memory map and the memory attributes tables, as JSON. */
import type { DescriptorJson, DescriptorListJson, MemoryMapJson } from "../api/firmware.ts";
import { hex } from "../base/hex.ts";
import { attributesChanges, descriptorsOf, type ShownMaps, totalsByType } from "../diagnose/memory-maps.ts";
import type { StudiedMap, Study } from "../diagnose/study.ts";
import { firstTables } from "../diagnose/trace.ts";
import { descriptorEnd, type MemoryDescriptor } from "../efi/memory-map.ts";
import { encodePlace } from "./fault.ts";

/** As `show FILE memmap --json` prints it. */
export function encodeMemoryMap(study: Study, { map, attributes }: ShownMaps): MemoryMapJson {
  return {
    map: map === undefined ? null : encodeMap(study, map),
    attributesTables: attributes.map(encodeList),
    attributesChanges: attributesChanges(attributes).map(({ from, to, before, after }) => ({
      from,
      to,
      before: before === undefined ? null : encodeDescriptor(before),
      after: after === undefined ? null : encodeDescriptor(after),
    })),
  };
}

function encodeMap(study: Study, map: StudiedMap): MemoryMapJson["map"] {
  return {
    source: map.source === "firmware" ? "firmware" : "GetMemoryMap",
    ...encodeList(map),
    call: map.source === "GetMemoryMap" ? encodeCall(study) : null,
    totals: totalsByType(descriptorsOf(map)).map(({ pages, ...total }) => ({ ...total, pages: hex(pages) })),
  };
}

function encodeCall({ capture, names, tables }: Study): NonNullable<MemoryMapJson["map"]>["call"] {
  const { memoryMap: record } = capture;
  if (record === undefined) return null;
  const service = getMemoryMapIn({ capture, tables });
  return {
    service: encodePlace(service === undefined ? undefined : names.place(service)),
    returnedTo: encodePlace(names.place(record.caller)),
    mapKey: hex(record.mapKey),
    address: hex(record.address),
    size: hex(record.size),
    descriptorSize: hex(record.descriptorSize),
    descriptorVersion: record.descriptorVersion,
  };
}

/** Where gBS->GetMemoryMap pointed before the exit; undefined when that is not known. */
export function getMemoryMapIn({ capture, tables }: Pick<Study, "capture" | "tables">): bigint | undefined {
  const services = firstTables(capture, tables)?.tables.find(({ name }) => name === "BootServices");
  return services?.fields.get("GetMemoryMap");
}

function encodeList({ point, map }: StudiedMap): DescriptorListJson {
  if (map.state !== "read") {
    return { point, state: map.state, why: map.why, sorted: null, problems: [], descriptors: [] };
  }
  const { state, sorted, problems, descriptors } = map;
  return { point, state, why: null, sorted, problems: [...problems], descriptors: descriptors.map(encodeDescriptor) };
}

function encodeDescriptor(descriptor: MemoryDescriptor): DescriptorJson {
  return {
    type: descriptor.typeName,
    typeNumber: descriptor.type,
    start: hex(descriptor.physicalStart),
    end: hex(descriptorEnd(descriptor)),
    pages: hex(descriptor.pages),
    virtualStart: hex(descriptor.virtualStart),
    attribute: hex(descriptor.attribute),
    attributes: [...descriptor.attributes],
  };
}
