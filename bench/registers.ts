/**
 * All registers of a vCPU as one batch, beside gdb and beside a bare socket that sends the same packets. The floor writes once and counts
 * what comes; one packet at a time shows what pipelining is worth.
 *
 *   npm run bench:registers [-- --rounds 11 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import type { Target } from "../src/target/target.ts";
import { bareContender, naiveContender } from "./lib/bare-socket.ts";
import { ebscopeContender, recordWire, withTarget } from "./lib/ebscope.ts";
import { flags } from "./lib/flags.ts";
import { gdbContender } from "./lib/gdb.ts";
import { firmwareGuest } from "./lib/guest.ts";
import { race } from "./lib/race.ts";
import { heading, printTable } from "./lib/report.ts";

const REPEATS = 30;

await using guest = await firmwareGuest(flags.qemu);
const { address } = guest;
const gdb = await withTarget(address, async ({ info }) =>
  gdbContender("registers", address, {
    registers: info.registers.map(({ stubName }) => stubName),
    repeats: REPEATS / 3,
  }),
);
const readAll = (target: Target): Promise<unknown> => target.readRegisters(target.info.cpus, target.info.registers);
const wire = await recordWire(address, readAll);

heading(`registers: one vCPU, ${wire.packets.length} packets out, ${wire.bytesReceived} bytes in`, REPEATS);
const results = await race(
  [
    ebscopeContender("ebscope", address, REPEATS, readAll),
    bareContender("bare socket", address, REPEATS, (socket) => socket.exchange(wire.packets)),
    naiveContender("bare socket, one by one", address, REPEATS, wire.packets),
    gdb,
  ],
  flags.rounds,
);
printTable(results, { against: ["bare socket", gdb.name] });
