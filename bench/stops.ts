/**
 * Stop, read the general registers, go on, again and again, with a breakpoint in a loop of three instructions. Going on means: the
 * breakpoint out of the way, a step over it, the breakpoint back, on to the next stop. ebscope, gdb and the bare socket all do that, and
 * the guest's own count of its rounds shows that none left a stop out.
 *
 * Two ways of it: one looks at the registers before it goes on, the other goes on whatever they are (a trace), so that reading and
 * stepping share a round trip. The bare socket's packets are ebscope's, in as few writes as either way allows.
 *
 *   npm run bench:stops [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import { type RegisterDefinition, registersOf } from "../src/base/registers.ts";
import type { Target } from "../src/target/target.ts";
import { bareLoop, checkRounds } from "./lib/bare-loop.ts";
import type { Step } from "./lib/bare-socket.ts";
import { Wire, withTarget } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { gdbContender } from "./lib/gdb.ts";
import { LOOP_ADDRESS, loopGuest } from "./lib/guest.ts";
import { type Contender, race, ratio, timed } from "./lib/race.ts";
import { heading, inRate, named, printGoal, printTable } from "./lib/report.ts";

/** Stops in one turn; each is timed. */
const STOPS = 250;
/** Stops of the first turn, which warms up. */
const FIRST_STOPS = 4000;

/** At a stop: reads the registers and goes on to the next stop. */
type Cycle = (target: Target, core: readonly RegisterDefinition[]) => Promise<void>;

const looking: Cycle = async (target, core) => {
  const cpu = target.stoppedCpu;
  const [row] = await target.readRegisters([cpu], core);
  if (registersOf(core, row ?? []).get("pc") !== LOOP_ADDRESS) throw new Error("it stopped somewhere else");
  await target.resumePast(cpu, LOOP_ADDRESS);
  await target.waitForStop();
};

const tracing: Cycle = async (target, core) => {
  const cpu = target.stoppedCpu;
  await Promise.all([target.readRegisters([cpu], core), target.resumePast(cpu, LOOP_ADDRESS)]);
  await target.waitForStop();
};

await using guest = await loopGuest(flags.qemu);
const { address } = guest;
const inGdb = { address: Number(LOOP_ADDRESS), stops: STOPS };
const gdb = gdbContender("stops", address, { ...inGdb, way: "continue" });
const hook = gdbContender("stops", address, { ...inGdb, way: "hook" }, ", in Breakpoint.stop");

const packets = await packetsOfOneCycle();
const results = await race(
  [
    ebscope("ebscope", looking),
    bare("bare socket", stepsOf(packets, /^\$[zZ]0/)),
    ebscope("ebscope, a trace", tracing),
    bare("bare socket, a trace", stepsOf(packets, /^\$Z0/)),
    bare("bare socket, one by one", stepsOf(packets, /^/, "+")),
    gdb,
    hook,
  ],
  flags.rounds,
);
heading(`stops: ${packets.length} packets a stop (registers, step over, go on)`, STOPS);
printTable(results, { show: inRate("stops", 1), against: ["bare socket", gdb.name] });
const rate = (a: string, b: string): number => ratio(named(results, b), named(results, a));
printGoal("rate of ebscope / bare socket", rate("ebscope", "bare socket"), { least: 0.9 });
printGoal("rate of ebscope, a trace / bare socket, a trace", rate("ebscope, a trace", "bare socket, a trace"), {
  least: 0.9,
});
for (const { name } of [gdb, hook]) printGoal(`rate of ebscope / ${name}`, rate("ebscope", name), { least: 2 });

function ebscope(name: string, cycle: Cycle): Contender {
  const turn = (warmUp: boolean): Promise<number[]> => {
    const stops = warmUp ? FIRST_STOPS : STOPS;
    return atBreakpoint(stops, (target, core) => timed(stops, () => cycle(target, core)));
  };
  return { name, turn };
}

/** Does something with the guest at the breakpoint; checks the guest's count against the stops there should have been. */
async function atBreakpoint<T>(
  stops: number,
  work: (target: Target, core: readonly RegisterDefinition[]) => Promise<T>,
  wire?: Wire,
): Promise<T> {
  const inside = async (target: Target): Promise<T> => {
    const core = target.info.registers.filter(({ feature }) => feature === "org.gnu.gdb.aarch64.core");
    const count = async (): Promise<bigint> => {
      const [row] = await target.readRegisters([target.stoppedCpu], core);
      return registersOf(core, row ?? []).get("x0") ?? 0n;
    };
    const breakpoint = await target.insertBreakpoint(LOOP_ADDRESS);
    await target.resume();
    await target.waitForStop();
    const before = await count();
    const result = await work(target, core);
    checkRounds(before, await count(), stops);
    await breakpoint[Symbol.asyncDispose]();
    return result;
  };
  return withTarget(address, inside, wire === undefined ? {} : { taps: [wire] });
}

function packetsOfOneCycle(): Promise<readonly Buffer[]> {
  const wire = new Wire();
  const work: (...at: Parameters<Cycle>) => Promise<readonly Buffer[]> = async (target, core) => {
    wire.restart();
    await looking(target, core);
    return wire.packets;
  };
  return atBreakpoint(1, work, wire);
}

/** Packets as writes: each packet that matches `first` starts one. A packet has one reply; that to a resume is its stop. */
function stepsOf(all: readonly Buffer[], first: RegExp, prefix = ""): readonly Step[] {
  const groups: Buffer[][] = [];
  for (const packet of all) {
    const group = groups.at(-1);
    if (group === undefined || first.test(packet.toString("latin1"))) groups.push([packet]);
    else group.push(packet);
  }
  return groups.map((group) => ({ bytes: Buffer.concat([Buffer.from(prefix), ...group]), replies: group.length }));
}

function bare(name: string, steps: readonly Step[]): Contender {
  return bareLoop(name, address, steps, { turn: STOPS, first: FIRST_STOPS });
}
