/** How ebscope leaves a guest: running or paused as it was found, without breakpoints, in QEMU's usual mode, and for the next debugger. */
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ebscope,
  ebscopeJson,
  failure,
  Guest,
  gdb,
  guestAtShell,
  HANDOFF,
  LINUX,
  type MachineOptions,
  machine,
  processRuns,
  QEMU_7,
  QEMU_10,
  type Running,
  START_HANDOFF,
  sleep,
  start,
  startEbscope,
  temporaryFolder,
} from "../support/live.ts";

const CLEAN: MachineOptions = { kernel: HANDOFF, append: "mode=clean" };
const QEMUS = [
  ["7.2", QEMU_7],
  ["10.0", QEMU_10],
] as const;

/** Waits for what QEMU says of the machine. */
async function becomes(guest: Guest, status: string): Promise<void> {
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(50)) {
    if ((await guest.status()) === status) return;
  }
  expect(await guest.status()).toBe(status);
}

/** A breakpoint as a debugger leaves it that just goes away: the connection is closed without a `D`. */
async function leaveBreakpoint(guest: Guest, address: bigint): Promise<void> {
  const socket: Socket = connect(guest.gdbPath);
  const payload = `Z0,${address.toString(16)},4`;
  const sum = Buffer.from(payload).reduce((total, byte) => (total + byte) & 0xff, 0);
  socket.write(`$${payload}#${sum.toString(16).padStart(2, "0")}`);
  let text = "";
  while (!text.includes("$OK#9a")) text += String((await once(socket, "data"))[0]);
  socket.end("+");
  await once(socket, "close");
}

/** gdb, attached and waiting in `continue`. Ctrl-C makes it tell where it stopped, and detach. */
async function gdbContinuing(guest: Guest): Promise<Running> {
  const commands = [
    "set architecture aarch64",
    `target remote ${guest.gdbPath}`,
    "shell echo going on >&2",
    "continue",
  ];
  const running = start("gdb-multiarch", ["-nx", "-batch", ...commands.flatMap((each) => ["-ex", each])]);
  await running.stderrShows(/going on/);
  await becomes(guest, "running");
  return running;
}

describe.each(QEMUS)("a running guest, QEMU %s", (_, qemu) => {
  it("runs on after a capture; the next debugger finds the usual memory mode, and after it comes ebscope again", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest({ ...CLEAN, qemu }).listening();
    const run = await ebscope("capture", "--watch", "0.5", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain("the guest runs on");
    await guest.shows(/guest: done/);
    expect(await guest.status()).toBe("running");
    // gdb leaves QEMU with the multiprocess extension on, in which a plain `D` is refused.
    expect(await gdb(guest, "maint packet qqemu.PhyMemMode")).toContain('received: "0"');
    expect(await guest.status()).toBe("running");
    const again = await ebscope("snapshot", "-o", out, "--gdb", guest.address);
    expect(again.code, again.stderr).toBe(0);
    expect(await guest.status()).toBe("running");
    expect(failure(await ebscope("capture", "-o", out, "--gdb", guest.address))).toMatchObject({
      code: "already-exited",
    });
    expect(await guest.status()).toBe("running");
  });
});

describe("no breakpoint stays", () => {
  const disk = temporaryFolder();
  const folder = temporaryFolder();
  const out = join(folder.path, "x.ebs");
  let guest: Guest;
  beforeAll(async () => {
    guest = await guestAtShell(disk.path);
  });
  afterAll(async () => {
    await guest?.[Symbol.asyncDispose]();
    disk[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  it("gdb, attached after a capture that timed out, is stopped by nothing but Ctrl-C, though the call comes", async () => {
    const run = await ebscope("capture", "--timeout", "1", "-o", out, "--gdb", guest.address);
    expect(failure(run)).toEqual({ exit: 4, code: "timed-out" });
    expect(await guest.status()).toBe("running");
    const debugging = await gdbContinuing(guest);
    guest.type(START_HANDOFF);
    await guest.shows(/guest: done/);
    expect(await guest.status()).toBe("running");
    debugging.child.kill("SIGINT");
    const { stdout } = await debugging.finished;
    expect(stdout).toContain("SIGINT");
    expect(stdout).not.toContain("SIGTRAP");
    expect(await guest.status()).toBe("running");
  });

  it("nor when nobody reads the progress any more", async () => {
    await guest.monitor("system_reset");
    guest.console = "";
    await guest.shows(/to skip/);
    guest.type("\x1b");
    await guest.shows(/Shell> /);
    const running = startEbscope("capture", "--timeout", "2", "-o", out, "--gdb", guest.address);
    await running.stderrShows(/attaching/);
    running.child.stderr?.destroy();
    expect((await running.finished).code).toBe(4);
    expect(await guest.status()).toBe("running");
    guest.type(START_HANDOFF);
    await guest.shows(/guest: done/);
    expect(await guest.status()).toBe("running");
  });

  it("which would be seen: one that another debugger forgets stops the guest at the call", async () => {
    await using other = await new Guest(CLEAN, true).listening();
    const run = await ebscope("capture", "--watch", "0", "-o", out, "--gdb", other.address);
    expect(run.code, run.stderr).toBe(0);
    expect(await other.status()).toBe("paused");
    const points = await ebscopeJson<{ id: string; pc: string }[]>("show", out, "points");
    const entry = BigInt(points.find(({ id }) => id === "before")?.pc ?? "");
    await other.monitor("system_reset");
    await leaveBreakpoint(other, entry);
    await other.monitor("cont");
    await becomes(other, "debug");
  });
});

describe.each(QEMUS)("a guest that never ran, QEMU %s", (_, qemu) => {
  it("is left so by a snapshot, and by a capture where the last point was recorded", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest({ ...CLEAN, qemu }, true).listening();
    expect((await ebscope("snapshot", "-o", out, "--gdb", guest.address)).code).toBe(0);
    expect(await guest.status()).toBe("prelaunch");
    const run = await ebscope("capture", "--watch", "0.5", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain("the guest is paused");
    expect(await guest.status()).toBe("paused");
    const points = await ebscopeJson<{ id: string; pc: string }[]>("show", out, "points");
    const pc = points.find(({ id }) => id === "later")?.pc;
    expect(await gdb(guest, "info registers pc", "maint packet qqemu.PhyMemMode")).toMatch(
      new RegExp(`pc +${pc} [^]*received: "0"`),
    );
  });
});

// From QEMU 8.1 on the stub does not tell it from a running one; --pause does.
describe.each([
  ["7.2", QEMU_7, []],
  ["10.0", QEMU_10, ["--pause"]],
] as const)("a guest that the monitor stopped, QEMU %s", (_, qemu, flags) => {
  it("is left so by a snapshot, which moves nothing", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest({ qemu, kernel: LINUX, append: "console=ttyAMA0 earlycon" }).listening();
    await guest.shows(/Linux version/);
    await guest.monitor("stop");
    const registers = await guest.monitor("info registers");
    const run = await ebscope("snapshot", ...flags, "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(await guest.status()).toBe("paused");
    expect(await guest.monitor("info registers")).toBe(registers);
    await guest.monitor("cont");
    await guest.shows(/end Kernel panic/);
  });
});

describe("a launched guest", () => {
  /** The process and the stub's socket, while it runs. */
  function launched(pidFile: string): { pid: number; socket: string } {
    const pid = Number(readFileSync(pidFile, "latin1"));
    const socket = /unix:([^,\0]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, "latin1"))?.[1];
    if (socket === undefined) throw new Error("the launched QEMU has no stub");
    return { pid, socket };
  }

  it("without --keep is gone at the end, with its socket and its folder", async () => {
    using folder = temporaryFolder();
    const pidFile = join(folder.path, "pid");
    const command = [...machine(CLEAN), "-pidfile", pidFile];
    const running = startEbscope("capture", "--watch", "1", "-o", join(folder.path, "x.ebs"), "--", ...command);
    await running.stderrShows(/watching for a fault/);
    const { pid, socket } = launched(pidFile);
    expect(existsSync(socket)).toBe(true);
    await running.stderrShows(/wrote /);
    const written = performance.now();
    expect((await running.finished).code).toBe(0);
    expect(performance.now() - written).toBeLessThan(1_500);
    expect(processRuns(pid)).toBe(false);
    expect(existsSync(dirname(socket))).toBe(false);
  });

  it.each([
    ["complete", []],
    ["interrupted", ["SIGINT"]],
  ] as const)(
    "with --keep boots on after a capture that was %s, and its stub serves the next debugger",
    async (_, signals) => {
      using folder = temporaryFolder();
      const out = join(folder.path, "x.ebs");
      const serial = join(folder.path, "serial.log");
      const pidFile = join(folder.path, "pid");
      const options: MachineOptions = { kernel: LINUX, append: "console=ttyAMA0 ignore_loglevel initcall_debug" };
      const command = [...machine(options), "-serial", `file:${serial}`, "-pidfile", pidFile];
      const watch = signals.length > 0 ? "120" : "0";
      const running = startEbscope("capture", "--keep", "--watch", watch, "-o", out, "--", ...command);
      let kept: { pid: number; socket: string } | undefined;
      try {
        await running.stderrShows(/watching for a fault/);
        kept = launched(pidFile);
        for (const signal of signals) running.child.kill(signal);
        const run = await running.finished;
        expect(run.code, run.stderr).toBe(signals.length > 0 ? 1 : 0);
        expect(run.stderr).toContain("the guest runs on");
        expect(run.stderr).toContain(`pid ${kept.pid}, gdbstub unix:${kept.socket}`);
        await shows(serial, /end Kernel panic/);
        expect(processRuns(kept.pid)).toBe(true);
        expect(await gdb({ gdbPath: kept.socket }, "info registers pc")).toMatch(/pc +0xffff/);
      } finally {
        if (kept !== undefined) {
          process.kill(kept.pid, "SIGKILL");
          rmSync(dirname(kept.socket), { recursive: true });
        }
      }
    },
  );
});

async function shows(file: string, pattern: RegExp): Promise<void> {
  const text = (): string => (existsSync(file) ? readFileSync(file, "latin1") : "");
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(100)) {
    if (pattern.test(text())) return;
  }
  throw new Error(`${file} did not show ${pattern} within 60 s:\n${text().slice(-2000)}`);
}
