/**
 * A point that only records: every hit of a place in a tight loop with all general registers, through the TypeScript API (`trace`); the
 * same in gdb's Python, as a script and as a method of the breakpoint; the same packets from a bare socket, in as few writes as they can be in.
 * The guest counts its rounds in x0: no hit may be missing, none counted twice. With memory, 64 bytes of RAM are read at each hit too.
 *
 *   npm run bench:points [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import { stubAddressText } from "../src/rsp/transport.ts";
import { attach, type TraceHit, type TraceOptions } from "../src/session/index.ts";
import { bareLoop } from "./lib/bare-loop.ts";
import type { Step } from "./lib/bare-socket.ts";
import { Wire } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { gdbContender, gdbName } from "./lib/gdb.ts";
import { LOOP_ADDRESS, loopGuest } from "./lib/guest.ts";
import { type Contender, race, ratio } from "./lib/race.ts";
import { heading, inRate, named, printGoal, printTable } from "./lib/report.ts";

/** Hits in one turn; each is timed. */
const HITS = 250;
/** Hits of the first turn, which warms up. */
const FIRST_HITS = 4000;
const GENERAL = ["x0", "x30", "sp", "pc", "cpsr"];

await using guest = await loopGuest(flags.qemu);
const { address } = guest;
const text = stubAddressText(address);
const memory = [{ name: "ram", address: 0x4000_0000n, length: 64 }];

const plain = await packetsOfOneHit({});
const withMemory = await packetsOfOneHit({ memory });
const inGdb = { address: Number(LOOP_ADDRESS), stops: HITS };
const gdb = gdbContender("stops", address, { ...inGdb, way: "continue" }, ", a loop in Python");
const hook = gdbContender("stops", address, { ...inGdb, way: "hook" }, ", in Breakpoint.stop");
const results = await race(
  [
    ebscope("ebscope", {}),
    bare("bare socket", stepsOf(plain)),
    gdb,
    hook,
    ebscope("ebscope, with memory", { memory }),
    bare("bare socket, with memory", stepsOf(withMemory)),
  ],
  flags.rounds,
);
heading(`points: ${plain.length} packets a hit (registers, step over, go on)`, HITS);
printTable(results, { show: inRate("hits", 1), against: ["bare socket", gdb.name] });
const rate = (a: string, b: string): number => ratio(named(results, b), named(results, a));
printGoal("rate of ebscope / bare socket", rate("ebscope", "bare socket"), { least: 0.9 });
printGoal("rate of ebscope / bare socket, with memory", rate("ebscope, with memory", "bare socket, with memory"), {
  least: 0.9,
});
printGoal(`rate of ebscope / ${gdbName()}, a loop in Python`, rate("ebscope", gdb.name), { least: 2 });
console.log(`  no hit was missing and none counted twice, as the guest counts (x0 at each hit and at the end)`);

function ebscope(name: string, options: TraceOptions): Contender {
  const turn = async (warmUp: boolean): Promise<number[]> => {
    const hits = warmUp ? FIRST_HITS : HITS;
    await using session = await attach(text, { memory: "rsp" });
    const times: number[] = [];
    let last = performance.now();
    let before: TraceHit | undefined;
    // One more: the first is where the guest happens to be.
    for await (const hit of session.trace(LOOP_ADDRESS, { ...options, count: hits + 1 })) {
      const now = performance.now();
      if (before !== undefined) times.push(now - last);
      last = now;
      check(before, hit);
      before = hit;
    }
    const end = (await session.registers()).get("x0");
    if (end !== before?.registers.get("x0")) throw new Error("the guest went on behind the last hit");
    return times;
  };
  return { name, turn };
}

/** The guest has gone round once, and everything is there. */
function check(before: TraceHit | undefined, hit: TraceHit): void {
  const [was, is] = [before?.registers.get("x0"), hit.registers.get("x0")];
  if (is === undefined || (was !== undefined && is - was !== 1n)) throw new Error(`round ${was}, then round ${is}`);
  if (GENERAL.some((name) => hit.registers.get(name) === undefined)) throw new Error("a register is missing");
  if ([...hit.memory.values()].some(({ state }) => state !== "present")) throw new Error("the memory is missing");
}

/** What a hit in the middle of a trace sends. */
async function packetsOfOneHit(options: TraceOptions): Promise<readonly Buffer[]> {
  const wire = new Wire();
  await using session = await attach(text, { memory: "rsp", taps: [wire] });
  let packets: readonly Buffer[] = [];
  for await (const { hit } of session.trace(LOOP_ADDRESS, { ...options, count: 10 })) {
    if (hit === 4) wire.restart();
    if (hit === 5) packets = wire.packets;
  }
  return packets;
}

/** Packets as writes: what is sent after the step makes a second one. A packet has one reply; that to a resume is its stop. */
function stepsOf(all: readonly Buffer[]): readonly Step[] {
  const second = all.findIndex((packet) => packet.toString("latin1").startsWith("$Z0"));
  return [all.slice(0, second), all.slice(second)].map((group) => ({
    bytes: Buffer.concat(group),
    replies: group.length,
  }));
}

function bare(name: string, steps: readonly Step[]): Contender {
  return bareLoop(name, address, steps, { turn: HITS, first: FIRST_HITS });
}
