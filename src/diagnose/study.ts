/**
 * Everything that is worked out of a capture besides its registers and tables, once for all verbs: the images, what addresses are
 * called, UEFI's memory map and tables, the fault.
 */

import { capturedImages } from "../diff/images.ts";
import { PointView } from "../diff/point-view.ts";
import { type FirmwareIdentity, identifyFirmware } from "../efi/firmware.ts";
import { readFirmwareMemoryMap } from "../efi/firmware-map.ts";
import type { ImageDetails } from "../efi/images.ts";
import { type MemoryMapRead, readMemoryAttributes, readMemoryMap } from "../efi/memory-map.ts";
import { type EfiTables, readEfiTables, tableServices } from "../efi/tables.ts";
import type { Capture, Point, PointKind } from "../snapshot/model.ts";
import { type AccessTrace, traceAccess } from "./access.ts";
import { StudiedBlame } from "./blame/studied.ts";
import { type Fault, readFault } from "./fault.ts";
import { Names } from "./names.ts";
import { type SymbolChoice, type SymbolsUsed, useSymbols } from "./symbols-used.ts";
import { firstTables } from "./trace.ts";

/** A list of memory descriptors and where it comes from. */
export interface StudiedMap {
  /** The point in whose memory it was read. */
  readonly point: string;
  readonly source: "GetMemoryMap" | "firmware" | "memory attributes table";
  readonly map: MemoryMapRead;
}

export interface Study {
  readonly capture: Capture;
  /** Those that the firmware lists and those found by their headers, by ascending base. */
  readonly images: readonly ImageDetails[];
  /** Which firmware it is; undefined for one that is not known. */
  readonly firmware: FirmwareIdentity | undefined;
  readonly symbols: SymbolsUsed;
  readonly names: Names;
  /** UEFI's tables by point id: of the first point and of those from the last `before` on. */
  readonly tables: ReadonlyMap<string, EfiTables>;
  /** What the caller of ExitBootServices knew; undefined when the capture has none. */
  readonly memoryMap: StudiedMap | undefined;
  /** At each point that has one. */
  readonly attributes: readonly StudiedMap[];
  readonly fault: Fault | undefined;
  /** The base register of the load or store that faulted, and where it came from. */
  readonly access?: AccessTrace | undefined;
  /** Who was seen to write between the points; undefined when nobody watched. */
  readonly blame?: StudiedBlame | undefined;
}

/** Studies a capture. `symbols`: where to look for symbols; those that the capture remembers when left out. */
export async function studyCapture(capture: Capture, symbols: SymbolChoice = "remembered"): Promise<Study> {
  const images = await capturedImages(capture);
  const used = await useSymbols(capture, images, symbols);
  const tables = await tablesOf(capture);
  const first = firstTables(capture, tables);
  const memoryMap = await readMap(capture, images);
  const names = new Names({
    images,
    services: first === undefined ? new Map() : tableServices(first),
    tables: first,
    matches: used.matches,
    kernels: used.kernels,
    memoryMap: memoryMap?.map.state === "read" ? memoryMap.map.descriptors : [],
  });
  const firmware = identifyFirmware(images);
  const shared = { capture, images, firmware, symbols: used, names, tables, memoryMap };
  const fault = await readFault(shared);
  const access = await traceAccess(shared, fault);
  const attributes = await readAttributes(capture, tables);
  const blame = capture.blame && new StudiedBlame(capture, capture.blame, names);
  return { ...shared, attributes, fault, access, blame };
}

/** Of a capture with many points: the first, those around the call, the fault, and the last ones. */
function pointsOfInterest({ points }: Capture): readonly Point[] {
  const last = (kind: PointKind): number => points.findLastIndex((point) => point.kind === kind);
  const kept = new Set([0, last("before"), last("after"), last("fault")]);
  return points.filter((_, i) => kept.has(i) || i >= points.length - LAST_POINTS);
}

const LAST_POINTS = 2;
const AROUND_EXIT: ReadonlySet<PointKind> = new Set(["before", "after", "now"]);

async function tablesOf(capture: Capture): Promise<ReadonlyMap<string, EfiTables>> {
  const found = new Map<string, EfiTables>();
  if (capture.efi === undefined) return found;
  let first: EfiTables | undefined;
  for (const point of pointsOfInterest(capture)) {
    const tables = await readEfiTables(new PointView(capture, point).memory, capture.efi, first);
    found.set(point.id, tables);
    first ??= tables;
  }
  return found;
}

/** The map that the caller had written; else the firmware's own, in the memory of the first point that has it. */
async function readMap(capture: Capture, images: readonly ImageDetails[]): Promise<StudiedMap | undefined> {
  const { memoryMap } = capture;
  const called = capture.points.findLast(({ kind }) => kind === "before");
  if (memoryMap !== undefined && called !== undefined) {
    const map = await readMemoryMap(new PointView(capture, called).memory, memoryMap);
    return { point: called.id, source: "GetMemoryMap", map };
  }
  const point = called ?? capture.points.find(({ kind }) => kind === "now");
  if (capture.efi === undefined || point === undefined) return undefined;
  const map = await readFirmwareMemoryMap(new PointView(capture, point).memory, images);
  return map.state === "read" ? { point: point.id, source: "firmware", map } : undefined;
}

async function readAttributes(
  capture: Capture,
  tables: ReadonlyMap<string, EfiTables>,
): Promise<readonly StudiedMap[]> {
  const found: StudiedMap[] = [];
  for (const point of capture.points) {
    const entries = tables.get(point.id)?.configuration ?? [];
    const entry = entries.find(({ name }) => name === "EFI_MEMORY_ATTRIBUTES_TABLE_GUID");
    if (entry === undefined) continue;
    const map = await readMemoryAttributes(new PointView(capture, point).memory, entry.address);
    // Points after the exit do not record it.
    if (map.state === "unreadable" && !AROUND_EXIT.has(point.kind)) continue;
    found.push({ point: point.id, source: "memory attributes table", map });
  }
  return found;
}
