/**
 * How long the guest stands still for a point of a capture, beside gdb and beside the floor: a bare socket that sends the same packets
 * in one write and counts the replies. ebscope has to look into what came to know what it has to ask for next.
 *
 * As in a capture, `before` is taken at the entry of ExitBootServices by somebody who knows which pages were looked at when the call was
 * located, early in the boot, and `after` at its return, knowing what `before` needed. gdb does less: registers, the tables by a walk in
 * its Python, and the memory map; nothing of UEFI.
 *
 *   npm run bench:snapshot [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import type { PhysAddr } from "../src/base/address.ts";
import { takePoint } from "../src/capture/point.ts";
import type { MemoryChoice } from "../src/target/memory/channel.ts";
import type { Target } from "../src/target/target.ts";
import { bareContender } from "./lib/bare-socket.ts";
import { ebscopeContender, recordWire, withTarget } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { gdbContender } from "./lib/gdb.ts";
import { firmwareGuest } from "./lib/guest.ts";
import { race, ratio } from "./lib/race.ts";
import { heading, inMilliseconds, named, printGoal, printTable } from "./lib/report.ts";

const REPEATS = 12;

interface Kind {
  readonly id: "before" | "after";
  /** Pages that are expected to be needed, as a capture knows them. */
  readonly expect: ReadonlySet<PhysAddr>;
}

await using guest = await firmwareGuest(flags.qemu);
const { address, pid, located } = guest;

const before: Kind = { id: "before", expect: located.pages };
const needed = await withTarget(address, takeFirst, { memory: "rsp" });
await compare(before, "at the entry of ExitBootServices, with the list of images");
await guest.toReturn();
await compare({ id: "after", expect: needed }, "at its return");

/** Takes the point; returns the pages that the next one will need. */
async function take(target: Target, { id, expect }: Kind): Promise<ReadonlySet<PhysAddr>> {
  const request = { id, kind: id, images: id === "before", efi: located.roots, expect };
  const { lost, needed: pages } = await takePoint(target, request);
  if (lost !== undefined) throw lost;
  return pages;
}

/** The first one: what a capture takes is never as quick as what is taken again and again. */
async function takeFirst(target: Target): Promise<ReadonlySet<PhysAddr>> {
  const started = performance.now();
  const pages = await take(target, before);
  const milliseconds = performance.now() - started;
  console.log(
    `\nsnapshot: the first \`before\` of this process (rsp), nothing compiled yet: ${inMilliseconds(milliseconds)}`,
  );
  return pages;
}

async function compare(kind: Kind, where: string): Promise<void> {
  const wire = await recordWire(address, (target) => take(target, kind));
  const names = await withTarget(address, async ({ info }) => info.registers.map(({ stubName }) => stubName));
  const gdb = gdbContender("snapshot", address, { registers: names, repeats: 3 });
  const ours = (name: string, memory: MemoryChoice) =>
    ebscopeContender(name, address, REPEATS, (target) => take(target, kind), { memory, pid });
  const results = await race(
    [
      ours("ebscope, rsp", "rsp"),
      bareContender("bare socket", address, REPEATS, (socket) => socket.exchange(wire.packets, wire.replies)),
      ours("ebscope, auto", "auto"),
      gdb,
    ],
    flags.rounds,
  );
  const size = `${wire.packets.length} packets out, ${(wire.bytesReceived / 1024).toFixed(0)} KiB in`;
  heading(`snapshot: ${kind.id}, ${where}; ${size}`, REPEATS);
  printTable(results, { against: ["bare socket", gdb.name] });
  const floor = named(results, "bare socket");
  for (const name of ["ebscope, rsp", "ebscope, auto"]) {
    printGoal(`pause of ${name} / bare socket`, ratio(named(results, name), floor), { most: 1.5 });
  }
}
