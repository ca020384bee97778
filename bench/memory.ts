/**
 * 8 MiB of RAM by physical address, beside gdb and beside a bare socket that pipelines the same reads. ebscope's time is until the bytes
 * are there, decoded and checked; the floor's until the last reply has come, of which it looks at nothing but its end.
 *
 *   npm run bench:memory [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import { crc32 } from "node:zlib";
import { phys } from "../src/base/address.ts";
import type { PhysSpan } from "../src/base/memory.ts";
import type { StubAddress } from "../src/rsp/transport.ts";
import type { Target } from "../src/target/target.ts";
import { type BareSocket, bareContender, naiveContender } from "./lib/bare-socket.ts";
import { ebscopeContender, recordWire, withTarget } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { gdbContender, runGdb } from "./lib/gdb.ts";
import { firmwareGuest } from "./lib/guest.ts";
import { race, ratio } from "./lib/race.ts";
import { heading, inMegabytes, named, printGoal, printTable } from "./lib/report.ts";

const LENGTH = 8 << 20;
const REPEATS = 5;
/** What ebscope has under way at once unless told otherwise. */
const IN_FLIGHT = 512;

await using guest = await firmwareGuest(flags.qemu);
const { address } = guest;
/** Where the firmware's pool and images lie: the end of RAM, full of things. */
const span = await withTarget(address, async (target) => endOfRam(target));
const readSpan = (target: Target): Promise<Uint8Array> => bytesAt(target, span);
const wire = await recordWire(address, readSpan, { memory: "rsp" });
await sameBytes(address);

heading(`memory: 8 MiB of RAM, physical; ${wire.packets.length} packets, ${wire.bytesReceived} bytes in`, REPEATS);
const window = (count: number) => (socket: BareSocket) => socket.pipeline(wire.packets, count);
const gdb = gdbContender("memory", address, { ...numbers(span), repeats: 1 });
const results = await race(
  [
    ebscopeContender("ebscope, rsp", address, REPEATS, readSpan, { memory: "rsp" }),
    bareContender(`bare socket, ${IN_FLIGHT} in flight`, address, REPEATS, window(IN_FLIGHT)),
    bareContender("bare socket, 64 in flight", address, REPEATS, window(64)),
    bareContender("bare socket, all at once", address, REPEATS, (socket) => socket.exchange(wire.packets)),
    naiveContender("bare socket, one by one", address, 1, wire.packets),
    ebscopeContender("ebscope, process", address, REPEATS, readSpan, { memory: "process" }),
    gdb,
  ],
  flags.rounds,
);
const floor = `bare socket, ${IN_FLIGHT} in flight`;
printTable(results, { show: inMegabytes(LENGTH), against: [floor, gdb.name] });
const rsp = named(results, "ebscope, rsp");
printGoal("rate of ebscope, rsp / bare socket", ratio(named(results, floor), rsp), { least: 0.85 });
printGoal("rate of process / rsp", ratio(rsp, named(results, "ebscope, process")), { least: 5 });

async function endOfRam(target: Target): Promise<PhysSpan> {
  const ranges = (await target.memoryRanges()).filter(({ kind }) => kind === "ram");
  const ram = ranges.reduce((a, b) => (b.size > a.size ? b : a));
  return { address: phys(ram.start + ram.size - 4n * BigInt(LENGTH)), length: LENGTH };
}

async function bytesAt(target: Target, where: PhysSpan): Promise<Uint8Array> {
  const [read] = await target.memory.read([where]);
  if (read?.state !== "present") throw new Error("the memory could not be read");
  return read.bytes;
}

/** That ebscope by either channel and gdb read the same. */
async function sameBytes(stub: StubAddress): Promise<void> {
  const [rsp, around] = [await crcBy("rsp"), await crcBy("process")];
  const { crc } = await runGdb<{ readonly crc: number }>("memory", stub, { ...numbers(span), repeats: 1 });
  if (rsp !== crc || around !== crc) throw new Error(`they read different things: ${rsp}, ${around}, ${crc}`);
}

function crcBy(memory: "rsp" | "process"): Promise<number> {
  return withTarget(address, async (target) => crc32(await bytesAt(target, span)), { memory });
}

function numbers(where: PhysSpan): { readonly address: number; readonly length: number } {
  return { address: Number(where.address), length: where.length };
}
