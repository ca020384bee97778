/**
 * Attributed writes a second: a guest stores thousands of times to one live descriptor inside ExitBootServices, and a capture records each of
 * the writes with who did it, with and without the call chain. The floor is a bare socket that takes the same stops on the same guest and
 * looks into nothing: see lib/bare-blame.ts.
 *
 * Each turn boots a guest of its own. Its own count is held against what was recorded; its console is held against that of a guest that
 * nobody watched.
 *
 *   npm run bench:blame [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import type { BlameOptions } from "../src/capture/blame/blame-watch.ts";
import { captureExitBootServices } from "../src/capture/exit-boot-services.ts";
import type { BlameEvent } from "../src/snapshot/blame.ts";
import { attachQemu } from "../src/target/qemu.ts";
import { bareBurst, type Setting, settingOf } from "./lib/bare-blame.ts";
import { type Burst, type BurstGuest, burstGuest, JUST_LAUNCHED } from "./lib/burst.ts";
import { Wire } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { type Contender, race, ratio } from "./lib/race.ts";
import { heading, inRate, named, printGoal, printTable } from "./lib/report.ts";

/** Stores of a turn; each is timed. */
const STORES = 3000;
/** Of the first turn, from which the packets are taken. */
const FIRST_STORES = 64;
const WATCH_MS = 50;

const { burst: first, setting } = await firstBurst();
const unwatched = await consoleUnwatched();
const results = await race(
  [
    contender("bare socket", (guest) => bareBurst(guest, { ...first, count: STORES }, setting)),
    contender("ebscope, no backtraces", (guest) => ebscopeBurst(guest, { tables: true, backtraces: false })),
    contender("ebscope", (guest) => ebscopeBurst(guest, { tables: true })),
  ],
  flags.rounds,
);
heading(`blame: writes to a live table, ${setting.traps.length} breakpoints and watchpoints in the guest`, STORES);
printTable(results, { show: inRate("writes", 1), against: ["bare socket"] });
const rate = (a: string, b: string): number => ratio(named(results, b), named(results, a));
printGoal("rate of ebscope without backtraces / bare socket", rate("ebscope, no backtraces", "bare socket"), {
  least: 0.85,
});
printGoal("rate of ebscope with backtraces / bare socket", rate("ebscope", "bare socket"), { least: 0.6 });
console.log(
  `  each turn had ${STORES} stops, as many as its guest says; what it printed is what a guest prints that nobody watches`,
);

/** A turn of a guest of its own; `work` returns what each store took, in milliseconds. */
function contender(name: string, work: (guest: BurstGuest) => Promise<readonly number[]>): Contender {
  const turn = async (): Promise<readonly number[]> => {
    await using guest = await burstGuest(flags.qemu, STORES);
    const times = await work(guest);
    const burst = await guest.over();
    if (burst.count !== STORES || burst.pc !== first.pc || burst.at !== first.at) {
      throw new Error(`this boot's burst is another one: ${burst.count} stores`);
    }
    sameConsole(guest.lines);
    return times;
  };
  return { name, turn };
}

/** What each store took, in milliseconds, from one event to the next: but for the first. */
async function ebscopeBurst(guest: BurstGuest, blame: BlameOptions, wire?: Wire): Promise<readonly number[]> {
  const seen: { readonly event: BlameEvent; readonly at: number }[] = [];
  const target = await attachQemu(guest.address, { ...JUST_LAUNCHED, ...(wire !== undefined && { taps: [wire] }) });
  const { error } = await captureExitBootServices(target, "bench", {
    blame,
    watchMs: WATCH_MS,
    onBlame: (event) => seen.push({ event, at: performance.now() }),
  });
  await target.release(true);
  if (error !== undefined) throw error;
  const burst = await guest.over();
  const stores = seen.filter(
    ({ event: { kind, pc, address } }) => kind === "table" && pc === burst.pc && address === burst.at,
  );
  const stops = new Set(stores.map(({ event }) => event.stop));
  if (stores.length !== burst.count || stops.size !== burst.count) {
    throw new Error(`${stores.length} writes at ${stops.size} stops were recorded of ${burst.count}`);
  }
  const untold = blame.backtraces !== false && stores.some(({ event }) => event.stack === undefined);
  if (untold) throw new Error("a write is without its call chain");
  return stores.slice(1).map(({ at }, i) => at - (stores[i]?.at ?? at));
}

/** Where the burst is, and what is sent for it. */
async function firstBurst(): Promise<{ readonly burst: Burst; readonly setting: Setting }> {
  await using guest = await burstGuest(flags.qemu, FIRST_STORES);
  const wire = new Wire();
  await ebscopeBurst(guest, { tables: true }, wire);
  const burst = await guest.over();
  return { burst, setting: settingOf(wire.packets, burst) };
}

/** What a guest prints that runs from reset to its end without anybody looking. */
async function consoleUnwatched(): Promise<readonly string[]> {
  await using guest = await burstGuest(flags.qemu, STORES);
  const target = await attachQemu(guest.address, JUST_LAUNCHED);
  await target.resume();
  await target.release(true);
  await guest.over();
  return guest.lines;
}

/** Line by line, addresses and map key included: none of them depends on being watched. */
function sameConsole(lines: readonly string[]): void {
  const differs = lines.findIndex((line, i) => line !== unwatched[i]);
  if (differs < 0 && lines.length === unwatched.length) return;
  throw new Error(
    `the guest printed ${JSON.stringify(lines[differs])}, unwatched ${JSON.stringify(unwatched[differs])}`,
  );
}
