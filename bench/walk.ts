/**
 * Tables at scale: Linux with 4 GiB, which maps all of it in pages of 4 KiB, some 2,070 tables and a million leaves.
 *
 * Fetching them is held against a bare socket that sends the same packets, a whole snapshot (registers, tables, memory map, and what is
 * mapped) against a script in gdb's Python that walks with read_memory. Then what a second snapshot costs when one leaf has
 * changed, and what a capture of both takes in memory and on disk, each in processes of their own.
 *
 *   npm run bench:walk [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MemoryChoice } from "../src/target/memory/channel.ts";
import type { Target } from "../src/target/target.ts";
import { bareContender } from "./lib/bare-socket.ts";
import { askModule, runModule } from "./lib/child.ts";
import { ebscopeContender, recordWire, withTarget } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { gdbContender, runGdb } from "./lib/gdb.ts";
import { linuxGuest } from "./lib/guest.ts";
import { median, race, ratio } from "./lib/race.ts";
import { heading, inMilliseconds, named, printGoal, printTable } from "./lib/report.ts";
import {
  captureOf,
  type Extent,
  extentOf,
  fetchTables,
  flipLeaf,
  hostPosition,
  leafOf,
  mapsOf,
  type Steps,
  steps,
  take,
  takeWhole,
} from "./lib/tables.ts";
import type { Captured, CaptureRequest } from "./lib/walk-capture.ts";
import type { Decoded, DecodeRequest } from "./lib/walk-decode.ts";

const FETCHES = 3;
/** What ebscope has under way at once unless told otherwise. */
const IN_FLIGHT = 512;
const CHANNELS: readonly MemoryChoice[] = ["rsp", "auto"];
const MIB = 1 << 20;

await using guest = await linuxGuest(flags.qemu);
const { address, pid } = guest;
const { extent, leaf, registers } = await withTarget(address, survey);
const position = await hostPosition(address, leaf);
const inGdb = { registers, repeats: 1 };
await sameExtent();
const size = `${extent.tables} tables, ${extent.pages} pages mapped`;
const folder = mkdtempSync(join(tmpdir(), "ebscope-bench-"));
const file = join(folder, "walk.ebs");
try {
  await fetching();
  await snapshots();
  await captures();
  await decoding();
  for (const channel of CHANNELS) await secondSnapshot(channel);
  await printing();
} finally {
  rmSync(folder, { recursive: true });
}

async function survey(target: Target) {
  const { point } = await take(target, "before");
  const maps = mapsOf(captureOf(target, point), point);
  const names = target.info.registers.map(({ stubName }) => stubName);
  return { extent: extentOf(maps), leaf: leafOf(maps, point), registers: names };
}

/** That gdb's script sees what ebscope sees. */
async function sameExtent(): Promise<void> {
  const { tables, pages } = await runGdb<Extent>("walk", address, { ...inGdb, leaves: true });
  if (tables === extent.tables && pages === extent.pages) return;
  throw new Error(`ebscope sees ${JSON.stringify(extent)}, and gdb ${JSON.stringify({ tables, pages })}`);
}

async function fetching(): Promise<void> {
  const wire = await recordWire(address, fetchTables, { memory: "rsp" });
  const results = await race(
    [
      ebscopeContender("ebscope, rsp", address, FETCHES, fetchTables, { memory: "rsp" }),
      bareContender("bare socket", address, FETCHES, (socket) => socket.pipeline(wire.packets, IN_FLIGHT)),
      ebscopeContender("ebscope, auto", address, FETCHES, fetchTables, { memory: "auto", pid }),
    ],
    flags.rounds,
  );
  heading(
    `walk: fetching the tables; ${size}; ${wire.packets.length} packets, ${wire.bytesReceived} bytes in`,
    FETCHES,
  );
  printTable(results, { against: ["bare socket"] });
  printGoal(
    "time of ebscope, rsp / bare socket",
    ratio(named(results, "ebscope, rsp"), named(results, "bare socket")),
    {
      most: 1.3,
    },
  );
}

/** One a turn: on the same connection the next one is a second snapshot. */
async function snapshots(): Promise<void> {
  const gdb = gdbContender("walk", address, { ...inGdb, leaves: true });
  const onlyTables = gdbContender("walk", address, { ...inGdb, leaves: false }, ", tables only");
  const ours = CHANNELS.map((memory) => ebscopeContender(`ebscope, ${memory}`, address, 1, takeWhole, { memory, pid }));
  const results = await race([...ours, gdb, onlyTables], flags.rounds);
  heading(`walk: a whole snapshot; ${size}`, 1);
  printTable(results, { against: [gdb.name, onlyTables.name] });
  for (const { name } of ours) {
    printGoal(`speed of ${name} / ${gdb.name}`, ratio(named(results, gdb.name), named(results, name)), { least: 5 });
  }
}

/** What a user's capture takes: a process of its own, two points, their difference, the file. */
async function captures(): Promise<void> {
  for (const memory of CHANNELS) {
    const request: CaptureRequest = { address, pid, memory, leaf: position, file };
    const all = await times(() => askModule<Captured>("./walk-capture", request));
    const of = (key: keyof Captured): number => median(all.map((each) => each[key]));
    const told = (["before", "after", "diff", "write"] as const).map((key) => `${key} ${inMilliseconds(of(key))}`);
    console.log(`\nwalk: a capture in a new process, ${memory}: ${told.join(", ")}`);
    printGoal("peak memory, MiB", of("peak"), { most: 250 });
    printGoal("file of both points, MiB", of("size") / MIB, { most: 8 });
  }
}

async function decoding(): Promise<void> {
  const all = await times(() => askModule<Decoded>("./walk-decode", { file, repeats: 5 } satisfies DecodeRequest));
  const descriptors = extent.tables * 512;
  const rate = (milliseconds: number): number => descriptors / milliseconds / 1000;
  const cold = median(all.map((each) => each.cold));
  const warm = median(all.flatMap((each) => each.warm));
  console.log(`\nwalk: decoding and putting together ${descriptors} descriptors`);
  console.log(`  the first time in a process ${inMilliseconds(cold)}, once compiled ${inMilliseconds(warm)}`);
  printGoal("million descriptors a second, the first time in a process", rate(cold), { least: 50 });
  printGoal("million descriptors a second, once compiled", rate(warm), { least: 50 });
  printSteps(
    "of a file",
    all.flatMap((each) => each.steps),
  );
}

/** With one leaf changed: the tables have to be read again, as a stub cannot tell what has changed; nothing else is done again. */
async function secondSnapshot(memory: MemoryChoice): Promise<void> {
  const [, ...all] = await times(() => withTarget(address, pair, { memory, pid }), flags.rounds + 1);
  const before = median(all.map((each) => each.before));
  const after = median(all.map((each) => each.after));
  console.log(`\nwalk: two snapshots with one leaf changed, ${memory}`);
  console.log(`  taking the first ${inMilliseconds(before)}, the second ${inMilliseconds(after)}`);
  printSteps("just taken", all);
}

async function pair(target: Target): Promise<Steps & { readonly before: number; readonly after: number }> {
  const started = performance.now();
  const first = await take(target, "before");
  const taken = performance.now();
  flipLeaf(pid, position);
  const changed = performance.now();
  const second = await take(target, "after", first.needed);
  const ended = performance.now();
  flipLeaf(pid, position);
  const found = steps(captureOf(target, first.point, second.point));
  return { before: taken - started, after: ended - changed, ...found };
}

function printSteps(what: string, all: readonly Steps[]): void {
  const of = (key: keyof Steps): string => inMilliseconds(median(all.map((each) => each[key])));
  const share = (key: keyof Steps): string => median(all.map((each) => each[key] / each.first)).toFixed(2);
  console.log(
    `  two points ${what}: mapping the first ${of("first")}, the second ${of("second")} (x ${share("second")}), ` +
      `the difference ${of("diff")} (x ${share("diff")})`,
  );
}

async function printing(): Promise<void> {
  const all = await times(() => runModule("../../src/cli/main", ["diff", file]));
  const seconds = median(all.map(({ milliseconds }) => milliseconds)) / 1000;
  console.log("\nwalk: `ebscope diff` of the file, from the start of the process to its end");
  printGoal("seconds", seconds, { most: 1 });
}

async function times<T>(work: () => Promise<T>, count = flags.rounds): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) results.push(await work());
  return results;
}
