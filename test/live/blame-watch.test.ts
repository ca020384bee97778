/**
 * Watching who writes, on running guests: as many writes as the guest says that it did, bounds, ends in the middle, and what is left in QEMU
 * afterwards. The truth is what the guest blame prints; see examples/guests/blame/README.md.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { BlameRecord } from "../../src/snapshot/blame.ts";
import { decodeCapture } from "../../src/snapshot/file.ts";
import { parseBlameLog } from "../support/blame-log.ts";
import {
  ebscope,
  Guest,
  type MachineOptions,
  QEMU_7,
  QEMU_10,
  ROOT,
  startEbscope,
  temporaryFolder,
} from "../support/live.ts";

const BLAME = join(ROOT, "examples/guests/blame/blame.efi");
const QEMUS = [
  ["7.2", QEMU_7],
  ["10.0", QEMU_10],
] as const;

const guestOf = (append: string, options: MachineOptions = {}): MachineOptions => ({
  kernel: BLAME,
  append,
  ...options,
});

function recordIn(file: string): { record: BlameRecord; partial: unknown } {
  const capture = decodeCapture(readFileSync(file), file);
  if (capture.blame === undefined) throw new Error("no record in the capture");
  return { record: capture.blame, partial: capture.partial };
}

/** Stores that were seen at an address, by vCPU. */
function storesAt({ events }: BlameRecord, address: bigint | undefined): Map<number, number> {
  const found = new Map<number, number>();
  for (const event of events) {
    if (event.kind === "table" && event.address === address) found.set(event.cpu, (found.get(event.cpu) ?? 0) + 1);
  }
  return found;
}

/** Captures a machine that is started paused, until ebscope ends or `during` ends it. */
async function capture(
  options: MachineOptions,
  args: readonly string[],
  use: (all: { guest: Guest; running: ReturnType<typeof startEbscope>; file: string }) => Promise<void>,
): Promise<void> {
  using folder = temporaryFolder();
  await using guest = new Guest(options, true);
  await guest.listening();
  const file = join(folder.path, "capture.ebs");
  const running = startEbscope("capture", "--gdb", guest.address, "--out", file, "--blame", "--watch", "1", ...args);
  await use({ guest, running, file });
}

/** The lines of the guest that are no addresses of the firmware's. */
function saidBy(console: string): string[] {
  return console.split(/\r?\n/).filter((line) => /^(blame|guest): /.test(line));
}

/** A packet with its checksum. */
function packet(payload: string): string {
  const sum = [...payload].reduce((total, char) => (total + char.charCodeAt(0)) % 256, 0);
  return `$${payload}#${sum.toString(16).padStart(2, "0")}`;
}

/** A client of its own: connects, lets the guest run and collects what the stub says until the guest has come to its end. */
async function runBare(guest: Guest, wanted: RegExp): Promise<string> {
  const socket = connect(guest.gdbPath);
  let heard = "";
  socket.on("data", (chunk) => {
    heard += chunk.toString("latin1");
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  await new Promise((resolve) => setTimeout(resolve, 200));
  heard = "";
  socket.write(`+${packet("c")}`);
  try {
    await guest.shows(wanted, 20_000);
  } finally {
    socket.destroy();
  }
  return heard;
}

describe.each(QEMUS)("QEMU %s", (_, qemu) => {
  it("stops at as many writes as may be recorded, and the guest runs on unwatched", () =>
    capture(guestOf("mode=many n=3000", { qemu }), ["--blame-limit", "1000"], async ({ guest, running, file }) => {
      const { code, stderr } = await running.finished;
      expect(code, stderr).toBe(0);
      const { record, partial } = recordIn(file);
      expect(partial).toBeUndefined();
      expect(record.events.filter(({ kind }) => kind !== "point" && kind !== "lapse")).toHaveLength(1000);
      expect(record.notes.join()).toMatch(/1,000 events were recorded/);
      await guest.shows(/blame: done/);
      const [many] = parseBlameLog(guest.console);
      expect(many?.count).toBe(3000n);
    }));

  it("has each write of two vCPUs once", () =>
    capture(guestOf("mode=twocpus n=500", { qemu, smp: 2 }), [], async ({ guest, running, file }) => {
      const { code, stderr } = await running.finished;
      expect(code, stderr).toBe(0);
      await guest.shows(/blame: done/);
      const deeds = parseBlameLog(guest.console).filter(({ kind }) => kind === "many");
      expect(deeds.map(({ cpu, count }) => [cpu, count])).toEqual([
        [0, 500n],
        [1, 500n],
      ]);
      const { record } = recordIn(file);
      for (const { at, cpu } of deeds) expect(storesAt(record, at)).toEqual(new Map([[cpu, 500]]));
    }));
});

describe("an end in the middle of the writes", () => {
  const MANY = guestOf("mode=many n=200000");
  /** Some time after the call, when the writes are under way. */
  const underWay = async (guest: Guest, running: ReturnType<typeof startEbscope>): Promise<void> => {
    await running.stderrShows(/watching/i);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(guest.console).not.toMatch(/blame: done/);
  };

  it("by the death of QEMU keeps what was recorded", () =>
    capture(MANY, [], async ({ guest, running, file }) => {
      await underWay(guest, running);
      guest.child.kill("SIGKILL");
      const { code } = await running.finished;
      expect(code).toBe(1);
      const { record, partial } = recordIn(file);
      expect(partial).toBeDefined();
      expect(record.events.filter(({ kind }) => kind === "table").length).toBeGreaterThan(100);
    }));

  it("by SIGINT keeps what was recorded, and leaves no watchpoint", () =>
    capture(MANY, [], async ({ guest, running, file }) => {
      await underWay(guest, running);
      running.child.kill("SIGINT");
      const { code } = await running.finished;
      expect(code).toBe(1);
      expect(recordIn(file).record.events.length).toBeGreaterThan(100);
      // Unwatched it takes a moment; with one stop a write, minutes.
      expect(await runBare(guest, /blame: done/)).not.toMatch(/T05/);
    }));

  it("by the death of ebscope leaves the machine halted; a client that attaches and detaches takes the watchpoints out", () =>
    capture(MANY, [], async ({ guest, running }) => {
      await underWay(guest, running);
      running.child.kill("SIGKILL");
      await running.finished;
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await guest.status()).toMatch(/^(paused|debug)$/);
      const socket = connect(guest.gdbPath);
      await new Promise((resolve) => socket.once("connect", resolve));
      const answer = new Promise((resolve) => socket.once("data", resolve));
      socket.write(`+${packet("D")}`);
      await answer;
      await guest.shows(/blame: done/, 20_000);
      socket.destroy();
    }));
});

describe("a guest that is watched", () => {
  it.each(["flips", "newtable", "switch", "registers"])(
    "prints the same in mode %s as one that is not",
    async (mode) => {
      await using alone = new Guest(guestOf(`mode=${mode}`));
      await alone.shows(/blame: done/);
      await capture(guestOf(`mode=${mode}`), [], async ({ guest, running }) => {
        const { code, stderr } = await running.finished;
        expect(code, stderr).toBe(0);
        await guest.shows(/blame: done/);
        expect(saidBy(guest.console)).toEqual(saidBy(alone.console));
      });
    },
  );

  it("that ran before is let go without a watchpoint in it", async () => {
    using folder = temporaryFolder();
    await using guest = new Guest(guestOf("mode=many n=2000"));
    await guest.listening();
    const file = join(folder.path, "capture.ebs");
    const { code, stderr } = await ebscope("capture", "--gdb", guest.address, "--out", file, "--blame", "--watch", "1");
    expect(code, stderr).toBe(0);
    await guest.shows(/blame: done/);
    expect(await guest.status()).toBe("running");
    const [many] = parseBlameLog(guest.console);
    expect(storesAt(recordIn(file).record, many?.at)).toEqual(new Map([[0, 2000]]));
  });
});
