/** What bench/walk does with a guest's tables: fetching them, taking points, mapping, comparing; and changing a leaf under the halted guest. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { collectTables } from "../../src/aarch64/collect.ts";
import { LAST_LEVEL } from "../../src/aarch64/granule.ts";
import { liveRegimes } from "../../src/aarch64/regime.ts";
import type { RegimeMap } from "../../src/aarch64/regime-map.ts";
import { pageAddress } from "../../src/aarch64/table-pages.ts";
import { mapRegime } from "../../src/aarch64/walk.ts";
import type { PhysAddr } from "../../src/base/address.ts";
import { registersOf } from "../../src/base/registers.ts";
import { assemble } from "../../src/capture/assemble.ts";
import { takePoint } from "../../src/capture/point.ts";
import { regimeNames } from "../../src/diff/diff.ts";
import { diffMappings } from "../../src/diff/mappings.ts";
import { PointView } from "../../src/diff/point-view.ts";
import { diffTables } from "../../src/diff/tables.ts";
import type { StubAddress } from "../../src/rsp/transport.ts";
import { type Capture, type Point, pointPages, pointRegisters } from "../../src/snapshot/model.ts";
import { RecordingMemory } from "../../src/snapshot/page-memory.ts";
import type { Target } from "../../src/target/target.ts";
import { BareSocket } from "./bare-socket.ts";

/** All pages of the tables of the live regimes, and nothing else; each time as if it were the first. */
export async function fetchTables(target: Target): Promise<void> {
  const [row] = await target.readRegisters([target.stoppedCpu], target.info.registers);
  const memory = new RecordingMemory({ read: (spans) => target.memory.read(spans) });
  for (const regime of liveRegimes(registersOf(target.info.registers, row ?? []))) {
    const gaps = await collectTables(memory, regime);
    if (gaps.length > 0) throw new Error(`${gaps.length} tables could not be read`);
  }
}

export interface Taken {
  readonly point: Point;
  /** What the next point will probably need. */
  readonly needed: ReadonlySet<PhysAddr>;
}

/** One point, as a capture takes it. */
export async function take(target: Target, id: "before" | "after", expect?: ReadonlySet<PhysAddr>): Promise<Taken> {
  const { point, needed, lost } = await takePoint(target, { id, kind: id, expect });
  if (lost !== undefined || point === undefined) throw lost ?? new Error("no point was taken");
  return { point, needed };
}

/** A point and what is mapped at it. */
export async function takeWhole(target: Target): Promise<readonly RegimeMap[]> {
  const { point } = await take(target, "before");
  return mapsOf(captureOf(target, point), point);
}

export function captureOf(target: Target, ...points: readonly Point[]): Capture {
  return assemble(target, "bench", { points, partial: undefined });
}

/** The maps of the live regimes of a point. */
export function mapsOf(capture: Capture, point: Point): readonly RegimeMap[] {
  return liveRegimes(pointRegisters(capture, point)).map((regime) => mapRegime(regime, pointPages(point)));
}

/** What tables map. Pages of 4 KiB. */
export interface Extent {
  readonly tables: number;
  readonly pages: number;
}

export function extentOf(maps: readonly RegimeMap[]): Extent {
  const sum = (count: (map: RegimeMap) => number): number => maps.reduce((all, map) => all + count(map), 0);
  return {
    tables: sum(({ tables }) => tables.length),
    pages: sum(({ runs }) => runs.reduce((all, { pages }) => all + pages, 0)),
  };
}

/** Milliseconds for mapping the first point of a capture, for mapping the second, and for comparing the two. */
export interface Steps {
  readonly first: number;
  readonly second: number;
  readonly diff: number;
}

/** Maps both points of a capture that differ in one leaf, and compares them. */
export function steps(capture: Capture): Steps {
  const [before, after] = capture.points.map((point) => new PointView(capture, point)) as [PointView, PointView];
  const names = regimeNames(before, after);
  const first = milliseconds(() => names.map((name) => before.map(name)));
  const second = milliseconds(() => names.map((name) => after.map(name)));
  const found = { tables: 0, mappings: 0 };
  const diff = milliseconds(() => {
    found.mappings = names.flatMap((name) => diffMappings(name, before.map(name), after.map(name))).length;
    found.tables = names.flatMap((name) => diffTables(name, before, after)).length;
  });
  if (found.tables !== 1 || found.mappings !== 1) {
    throw new Error(`one leaf was changed, and there differ ${found.tables} tables and ${found.mappings} mappings`);
  }
  return { first, second, diff };
}

export function milliseconds(work: () => unknown): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

/** The physical address of a leaf in the middle of a table whose 512 leaves map 2 MiB in a row. */
export function leafOf(maps: readonly RegimeMap[], point: Point): bigint {
  const last = maps.flatMap(({ tables }) => tables.filter(({ level }) => level === LAST_LEVEL));
  for (const { pageNumber } of last.reverse()) {
    const read = pointPages(point).page(pageAddress(pageNumber));
    if (read?.state === "present" && isOneRun(read.bytes)) return pageAddress(pageNumber) + 8n * 200n;
  }
  throw new Error("no table maps 2 MiB in a row");
}

function isOneRun(page: Uint8Array): boolean {
  const leaves = new BigUint64Array(new Uint8Array(page).buffer);
  const first = leaves[0] as bigint;
  return (first & 3n) === 3n && leaves.every((leaf, i) => leaf === first + BigInt(i) * 4096n);
}

/** Where a physical address lies in the QEMU process, as its monitor says. */
export async function hostPosition(address: StubAddress, physical: bigint): Promise<number> {
  const socket = await BareSocket.open(address);
  const command = Buffer.from(`gpa2hva 0x${physical.toString(16)}`).toString("hex");
  const said = Buffer.from((await socket.ask(`qRcmd,${command}`)).slice(1), "hex").toString("latin1");
  await socket.close();
  const [, digits] = /is 0x([0-9a-f]+)/.exec(said) ?? [];
  if (digits === undefined) throw new Error(`QEMU does not tell where 0x${physical.toString(16)} is: ${said}`);
  return Number.parseInt(digits, 16);
}

/** Makes the page of a leaf read-only or writable, the other of the two (bit 7, AP[2]), behind the back of QEMU and its halted guest. */
export function flipLeaf(pid: number, position: number): void {
  const fd = openSync(`/proc/${pid}/mem`, "r+");
  const byte = new Uint8Array(1);
  if (readSync(fd, byte, 0, 1, position) !== 1) throw new Error("the guest's memory cannot be read");
  byte[0] = (byte[0] as number) ^ 0x80;
  if (writeSync(fd, byte, 0, 1, position) !== 1) throw new Error("the guest's memory cannot be written");
  closeSync(fd);
}
