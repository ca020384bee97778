/**
 * Everything that can be wrong with what ebscope is given: each failure is told with its code and a next step, ends with the right
 * exit code within its deadline, and leaves the guest as it was found.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ebscope,
  ebscopeJson,
  type Finished,
  failure,
  Guest,
  guestAtShell,
  HANDOFF,
  LINUX,
  type MachineOptions,
  machine,
  need,
  processRuns,
  type Running,
  START_HANDOFF,
  startEbscope,
  temporaryFolder,
} from "../support/live.ts";

/** For what is known at once; starting Node on a busy machine takes most of it. */
const AT_ONCE_MS = 8_000;
/** A request that is not answered: 5 s, and the start of Node. */
const SILENCE_MS = 5_000;
const CLEAN: MachineOptions = { kernel: HANDOFF, append: "mode=clean" };
/** Instead of a firmware an instruction that branches to itself. */
const endless = temporaryFolder();
const NO_FIRMWARE: MachineOptions = { firmware: join(endless.path, "endless.bin") };
beforeAll(() => writeFileSync(join(endless.path, "endless.bin"), Uint8Array.of(0, 0, 0, 0x14)));
afterAll(() => endless[Symbol.dispose]());

function expectFailure(run: Finished, exit: number, code: string, withinMs = AT_ONCE_MS): void {
  expect(failure(run), run.stderr).toEqual({ exit, code });
  expect(run.ms).toBeLessThan(withinMs);
}

/** Waits until ebscope has ended, no longer than `withinMs` from now. */
async function endsWithin(running: Running, withinMs: number): Promise<Finished> {
  const started = performance.now();
  const finished = await running.finished;
  expect(performance.now() - started, finished.stderr).toBeLessThan(withinMs);
  return finished;
}

interface DiffOutput {
  readonly partial: { readonly code: string } | null;
  readonly mappings: readonly object[];
}

/** The capture is labelled partial with this code, and what it has can be looked at. */
async function expectPartial(file: string, code: string): Promise<void> {
  const points = await ebscopeJson<{ id: string; complete: boolean }[]>("show", file, "points");
  const ids = points.map(({ id }) => id);
  expect(ids[0]).toMatch(/^before/);
  const listed = await ebscope("show", file, "points");
  expect(listed.stdout).toContain("PARTIAL: ");
  expect((await ebscope("show", file, "mappings")).code).toBe(0);
  if (ids.length === 1) {
    const diff = await ebscope("diff", file);
    expectFailure(diff, 1, "no-such-point");
    expect(diff.stderr).toContain("only the point before");
    return;
  }
  const ends = ids.includes("after") ? [] : ["--from", ids[0] ?? "", "--to", ids.at(-1) ?? ""];
  const diff = await ebscopeJson<DiffOutput>("diff", file, ...ends);
  expect(diff.partial?.code).toBe(code);
  const { code: exit, stdout } = await ebscope("diff", file, ...ends);
  expect(exit).toBe(0);
  expect(stdout).toMatch(/^PARTIAL: /m);
}

describe("the command line", () => {
  it.each([
    ["a verb that does not exist", ["captur"]],
    ["an option that does not exist", ["capture", "--nope"]],
    ["no guest", ["capture"]],
    ["two guests", ["capture", "--gdb", "localhost:1", "--", "true"]],
    ["no capture to write", ["snapshot", "--gdb", "localhost:1"]],
    ["an address without a port", ["capture", "--gdb", "nonsense"]],
    ["a port out of range", ["capture", "--gdb", "localhost:99999"]],
    ["a unix address without a path", ["snapshot", "-o", "/tmp/x.ebs", "--gdb", "unix:"]],
    ["a time that is none", ["capture", "--gdb", "localhost:1", "--watch", "soon"]],
    ["--keep of what was not launched", ["capture", "--gdb", "localhost:1", "--keep"]],
    ["-s in the command", ["capture", "--", "qemu-system-aarch64", "-M", "virt", "-s"]],
    ["-S in the command", ["capture", "--", "qemu-system-aarch64", "-M", "virt", "-S"]],
    ["-gdb in the command", ["capture", "--", "qemu-system-aarch64", "-gdb", "tcp::1234"]],
    ["-daemonize in the command", ["capture", "--", "qemu-system-aarch64", "-daemonize"]],
    ["something to show that does not exist", ["show", "x.ebs", "everything"]],
    ["an address to explain that is none", ["explain", "test/fixtures/boot-service.ebs", "main"]],
  ])("%s: usage, exit code 2", async (_, args) => {
    const run = await ebscope(...args);
    expectFailure(run, 2, "usage");
    expect(run.stdout).toBe("");
  });
});

describe("nothing listens", () => {
  it("on a tcp port", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    const port = await portOf(server);
    server.close();
    const run = await ebscope("capture", "--gdb", `127.0.0.1:${port}`);
    expectFailure(run, 1, "connect-failed");
    expect(run.stderr).toContain("nothing listens there");
  });

  it("on a unix path", async () => {
    const run = await ebscope("capture", "--gdb", "unix:/nowhere/gdb.sock");
    expectFailure(run, 1, "connect-failed");
    expect(run.stderr).toContain("no such socket");
  });
});

async function portOf(server: Server): Promise<number> {
  if (!server.listening) await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** What capture says of a server on a port of its own. */
async function captureFrom(server: Server): Promise<Finished> {
  using folder = temporaryFolder();
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  try {
    const out = join(folder.path, "x.ebs");
    const run = await ebscope("capture", "-o", out, "--gdb", `127.0.0.1:${await portOf(server)}`);
    expect(existsSync(out)).toBe(false);
    return run;
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

describe("something else listens", () => {
  it("an HTTP server", async () => {
    const run = await captureFrom(createHttpServer((_, response) => response.end("hello")));
    expectFailure(run, 1, "not-a-gdbstub");
    expect(run.stderr).toContain("it is an HTTP server");
  });

  it("an SSH server's greeting", async () => {
    const run = await captureFrom(createServer((socket) => socket.write("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")));
    expectFailure(run, 1, "not-a-gdbstub");
    expect(run.stderr).toContain("it is an SSH server");
  });

  it("noise without end", async () => {
    const run = await captureFrom(
      createServer((socket) => {
        const noise = randomBytes(65_536);
        const more = (): void => {
          while (!socket.destroyed && socket.write(noise));
        };
        socket.on("drain", more);
        more();
      }),
    );
    expect(failure(run)).toEqual({ exit: 1, code: expect.stringMatching(/^(not-a-gdbstub|protocol-error)$/) });
    expect(run.ms).toBeLessThan(AT_ONCE_MS);
  });

  it("a server that hangs up", async () => {
    expectFailure(await captureFrom(createServer((socket) => socket.end())), 1, "connection-lost");
  });

  it("the monitors of a QEMU, which serve on", async () => {
    using folder = temporaryFolder();
    const human = join(folder.path, "monitor.sock");
    await using guest = await new Guest(
      { ...NO_FIRMWARE, extra: ["-monitor", `unix:${human},server=on,wait=off`] },
      true,
    ).listening();
    const qmp = await ebscope("capture", "--gdb", `unix:${guest.qmpPath}`);
    expectFailure(qmp, 1, "not-a-gdbstub");
    expect(qmp.stderr).toContain("it is a QMP monitor");
    const hmp = await ebscope("capture", "--gdb", `unix:${human}`);
    expectFailure(hmp, 1, "not-a-gdbstub");
    expect(hmp.stderr).toContain("it is QEMU's human monitor");
    expect(await guest.status()).toBe("prelaunch");
  });

  it.each([
    ["paused", true, "prelaunch"],
    ["running", false, "running"],
  ])("an x86 guest, which is left %s", async (_, paused, status) => {
    const firmware = "/usr/share/seabios/bios-256k.bin";
    need(firmware);
    const options = { qemu: "qemu-system-x86_64", machine: "pc", cpu: "qemu64", memory: 64, firmware };
    await using guest = await new Guest(options, paused).listening();
    for (const verb of ["capture", "snapshot"]) {
      using folder = temporaryFolder();
      const run = await ebscope(verb, "-o", join(folder.path, "x.ebs"), "--gdb", guest.address);
      expectFailure(run, 1, "not-aarch64");
      expect(run.stderr).toContain("x86-64");
      expect(await guest.status()).toBe(status);
    }
  });

  it("an x86 guest to launch and keep: it is ended, as there is nothing to keep it for", async () => {
    using folder = temporaryFolder();
    const pidFile = join(folder.path, "pid");
    const options = ["--keep", "-o", join(folder.path, "x.ebs")];
    const command = ["qemu-system-x86_64", "-display", "none", "-pidfile", pidFile];
    const running = startEbscope("capture", ...options, "--", ...command);
    expectFailure(await running.finished, 1, "not-aarch64", AT_ONCE_MS);
    expect(existsSync(pidFile)).toBe(false);
  });
});

describe("a stub that does not answer", () => {
  it("a server that says nothing: given up after 5 s", async () => {
    const run = await captureFrom(createServer(() => undefined));
    expectSilence(run);
  });

  it("a second debugger: the first goes on undisturbed", async () => {
    await using guest = await new Guest(NO_FIRMWARE, true).listening();
    const first = new RawStub(guest.gdbPath);
    expect(await first.ask("?")).toMatch(/^T/);
    const run = await ebscope("capture", "--gdb", guest.address);
    expectSilence(run);
    expect(run.stderr).toContain("one debugger at a time");
    expect(await first.ask("qqemu.PhyMemMode")).toBe("0");
    expect(await guest.status()).toBe("prelaunch");
    first.close();
  });

  it("a QEMU that is stopped (SIGSTOP)", async () => {
    await using guest = await new Guest(NO_FIRMWARE, true).listening();
    guest.child.kill("SIGSTOP");
    expectSilence(await ebscope("capture", "--gdb", guest.address));
    guest.child.kill("SIGCONT");
    expect(await guest.status()).toBe("prelaunch");
  });
});

function expectSilence(run: Finished): void {
  expectFailure(run, 1, "stub-silent", SILENCE_MS + AT_ONCE_MS);
  expect(run.ms).toBeGreaterThan(SILENCE_MS - 100);
}

/** A debugger of a few lines: one request at a time. */
class RawStub {
  readonly #socket: Socket;
  #text = "";

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.on("data", (chunk) => {
      this.#text += chunk.toString("latin1");
      this.#socket.emit("heard");
    });
  }

  async ask(payload: string): Promise<string> {
    const sum = Buffer.from(payload).reduce((total, byte) => (total + byte) & 0xff, 0);
    this.#text = "";
    this.#socket.write(`+$${payload}#${sum.toString(16).padStart(2, "0")}`);
    const deadline = AbortSignal.timeout(5_000);
    for (;;) {
      const reply = /\$([^#]*)#../.exec(this.#text)?.[1];
      if (reply !== undefined) return reply;
      await once(this.#socket, "heard", { signal: deadline });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

describe("a guest without UEFI", () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await new Guest(NO_FIRMWARE).listening();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  it("no-system-table when --find-timeout is over, exit code 4; the guest runs on", async () => {
    const run = await ebscope("capture", "--find-timeout", "2", "--gdb", guest.address);
    expectFailure(run, 4, "no-system-table", 2_000 + AT_ONCE_MS);
    expect(run.ms).toBeGreaterThan(2_000);
    expect(await guest.status()).toBe("running");
  });

  it("Ctrl-C while waiting for the firmware: exit code 1, the guest runs on", async () => {
    const running = startEbscope("capture", "--gdb", guest.address);
    await running.stderrShows(/waiting for the firmware/);
    running.child.kill("SIGINT");
    expectFailure(await endsWithin(running, 3_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(await guest.status()).toBe("running");
  });
});

describe("a guest at the UEFI shell", () => {
  const disk = temporaryFolder();
  const folder = temporaryFolder();
  const out = join(folder.path, "now.ebs");
  let guest: Guest;
  beforeAll(async () => {
    guest = await guestAtShell(disk.path);
  });
  afterAll(async () => {
    await guest?.[Symbol.asyncDispose]();
    disk[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  it("nobody calls ExitBootServices: timed-out, exit code 4, the guest runs on", async () => {
    const run = await ebscope("capture", "--timeout", "3", "-o", out, "--gdb", guest.address);
    expectFailure(run, 4, "timed-out", 3_000 + AT_ONCE_MS);
    expect(run.ms).toBeGreaterThan(3_000);
    expect(existsSync(out)).toBe(false);
    expect(await guest.status()).toBe("running");
  });

  it("Ctrl-C while waiting for the call: exit code 1, the guest runs on", async () => {
    const running = startEbscope("capture", "-o", out, "--gdb", guest.address);
    await running.stderrShows(/waiting for the call/);
    running.child.kill("SIGINT");
    expectFailure(await endsWithin(running, 3_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(existsSync(out)).toBe(false);
    expect(await guest.status()).toBe("running");
  });

  it("no breakpoint stayed: the call that comes now stops nowhere", async () => {
    guest.type(START_HANDOFF);
    await guest.shows(/guest: done/);
    expect(await guest.status()).toBe("running");
  });

  it("boot services are left now: already-exited within seconds, and the guest runs on", async () => {
    const run = await ebscope("capture", "-o", out, "--gdb", guest.address);
    expectFailure(run, 1, "already-exited");
    expect(existsSync(out)).toBe(false);
    expect(await guest.status()).toBe("running");
  });

  it("a snapshot shows it all the same", async () => {
    const run = await ebscope("snapshot", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(await guest.status()).toBe("running");
    expect((await ebscopeJson<object[]>("show", out, "mappings")).length).toBeGreaterThan(20);
  });
});

describe("a running Linux", () => {
  it("is told from a firmware within seconds, and boots on; a snapshot shows its mappings", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "linux.ebs");
    // Debugging output slows the kernel down, so that it is looked at while it boots.
    const append = "console=ttyAMA0 earlycon ignore_loglevel initcall_debug";
    await using guest = await new Guest({ kernel: LINUX, append }).listening();
    await guest.shows(/Linux version/);
    expectFailure(await ebscope("capture", "-o", out, "--gdb", guest.address), 1, "already-exited");
    expect(await guest.status()).toBe("running");
    const run = await ebscope("snapshot", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(await guest.status()).toBe("running");
    expect(guest.console).not.toContain("end Kernel panic");
    await guest.shows(/end Kernel panic/);
    const mappings = await ebscopeJson<{ va: string; pa: string }[]>("show", out, "mappings");
    expect(mappings.filter(({ va }) => BigInt(va) >> 48n === 0xffffn).length).toBeGreaterThan(20);
  });
});

describe("a machine that was reset", () => {
  it("is not taken for one that has left boot services, though RAM still looks so", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "again.ebs");
    await using guest = await new Guest(CLEAN).listening();
    await guest.shows(/guest: done/);
    await guest.monitor("stop");
    await guest.monitor("system_reset");
    const run = await ebscope("capture", "--watch", "0", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain("the machine was reset");
  });
});

describe("the guest is lost", () => {
  /** A capture of a guest that is about to make the call, until stderr shows the pattern. */
  async function captureUntil(guest: Guest, out: string, pattern: RegExp, watch = "120"): Promise<Running> {
    const running = startEbscope("capture", "--watch", watch, "-o", out, "--gdb", guest.address);
    await running.stderrShows(pattern);
    return running;
  }

  it.each([
    ["recorded before", /recorded before/],
    ["recorded after", /recorded after/],
  ])("QEMU is killed once it has %s: kept and partial, connection-lost", async (_, pattern) => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest({ kernel: LINUX, append: "" }, true).listening();
    const running = await captureUntil(guest, out, pattern);
    guest.child.kill("SIGKILL");
    const run = await endsWithin(running, 5_000);
    expectFailure(run, 1, "connection-lost", Number.POSITIVE_INFINITY);
    expect(run.stderr).toContain("(partial)");
    // Nobody is told of the state of a guest that is gone.
    expect(run.stderr).not.toMatch(/the guest (runs on|is paused)/);
    await expectPartial(out, "connection-lost");
  });

  it("QEMU is told to quit while it is watched: kept and partial", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest(CLEAN, true).listening();
    const running = await captureUntil(guest, out, /watching for a fault/);
    // The answer may never come.
    guest.monitor("quit").catch(() => undefined);
    const run = await endsWithin(running, 5_000);
    const { exit, code } = failure(run);
    expect(exit).toBe(1);
    expect(code).toMatch(/^(connection-lost|guest-ended)$/);
    await expectPartial(out, code);
  });

  it("the guest powers itself off while it is watched: kept and partial, guest-ended", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    // Without a root file system Linux panics, then reboots at once, and QEMU ends.
    const options = { kernel: LINUX, append: "console=ttyAMA0 panic=-1", extra: ["-no-reboot"] };
    await using guest = await new Guest(options, true).listening();
    const running = await captureUntil(guest, out, /watching for a fault/);
    const run = await endsWithin(running, 60_000);
    expectFailure(run, 1, "guest-ended", Number.POSITIVE_INFINITY);
    await expectPartial(out, "guest-ended");
  });

  it("QEMU is stopped (SIGSTOP) while it is watched: kept and partial, stub-silent", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest(CLEAN, true).listening();
    const running = await captureUntil(guest, out, /watching for a fault/, "1");
    guest.child.kill("SIGSTOP");
    // The watch, the interrupt that is not answered, and once more on the way out.
    const run = await endsWithin(running, 1_000 + 2 * SILENCE_MS + 4_000);
    expectFailure(run, 1, "stub-silent", Number.POSITIVE_INFINITY);
    expect(run.stderr).not.toMatch(/the guest (runs on|is paused)/);
    await expectPartial(out, "stub-silent");
  });

  it("and Ctrl-C twice does not wait for a QEMU that does not answer", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest(CLEAN, true).listening();
    const running = await captureUntil(guest, join(folder.path, "x.ebs"), /watching for a fault/);
    guest.child.kill("SIGSTOP");
    running.child.kill("SIGINT");
    await running.stderrShows(/again to quit at once/);
    running.child.kill("SIGINT");
    expect((await endsWithin(running, 2_000)).code).toBe(1);
  });
});

describe("Ctrl-C while a fault is watched for", () => {
  it.each([
    ["running", false, "running"],
    ["paused", true, "paused"],
  ])("the guest is left %s, as it was found; the capture is kept and partial", async (_, paused, status) => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest(CLEAN, paused).listening();
    const running = startEbscope("capture", "--watch", "120", "-o", out, "--gdb", guest.address);
    await running.stderrShows(/watching for a fault/);
    running.child.kill("SIGINT");
    expectFailure(await endsWithin(running, 5_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(await guest.status()).toBe(status);
    await expectPartial(out, "interrupted");
  });

  it.each(["SIGINT", "SIGTERM"] as const)("%s: a launched QEMU is gone, with its socket", async (signal) => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    const pidFile = join(folder.path, "pid");
    const command = [...machine(CLEAN), "-pidfile", pidFile];
    const running = startEbscope("capture", "--watch", "120", "-o", out, "--", ...command);
    await running.stderrShows(/watching for a fault/);
    const pid = Number(readFileSync(pidFile, "latin1"));
    const socket = /unix:([^,\0]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, "latin1"))?.[1] ?? "";
    expect(existsSync(socket)).toBe(true);
    running.child.kill(signal);
    expectFailure(await endsWithin(running, 5_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(processRuns(pid)).toBe(false);
    expect(existsSync(dirname(socket))).toBe(false);
    await expectPartial(out, "interrupted");
  });
});

describe("launching", () => {
  it("a program that does not exist", async () => {
    const run = await ebscope("capture", "--", "no-such-qemu");
    expectFailure(run, 1, "launch-failed");
    expect(run.stderr).toContain("no such program");
  });

  it("a program that ends at once", async () => {
    const run = await ebscope("capture", "--", "false");
    expectFailure(run, 1, "launch-failed");
    expect(run.stderr).toContain("it ended with status 1");
  });

  it("a QEMU that does not like its options: its own words are passed on", async () => {
    const run = await ebscope("capture", "--", "qemu-system-aarch64", "-M", "no-such-machine");
    expectFailure(run, 1, "launch-failed");
    expect(run.stderr).toMatch(/^qemu\| .*unsupported machine type/m);
  });
});

describe("a capture that cannot be written", () => {
  it.each([
    ["in a folder that does not exist", "/nowhere/x.ebs", "no such file or folder"],
    ["where nobody can write", "/proc/x.ebs", "no such file or folder"],
    ["below a file", "/etc/passwd/x.ebs", "a part of the path is no folder"],
    ["in the place of a folder", "/tmp", "it is a folder"],
  ])("%s: file-unwritable, before QEMU is started", async (_, out, why) => {
    using folder = temporaryFolder();
    const pidFile = join(folder.path, "pid");
    const run = await ebscope("capture", "-o", out, "--", ...machine(CLEAN), "-pidfile", pidFile);
    expectFailure(run, 1, "file-unwritable");
    expect(run.stderr).toContain(why);
    expect(run.stderr).not.toContain("waiting");
    expectFailure(await ebscope("snapshot", "-o", out, "--gdb", "unix:/nowhere"), 1, "file-unwritable");
  });

  it("in the place of a pipe, as which a device would be replaced", async () => {
    using folder = temporaryFolder();
    const pipe = join(folder.path, "pipe");
    execFileSync("mkfifo", [pipe]);
    const run = await ebscope("capture", "-o", pipe, "--gdb", "unix:/nowhere");
    expectFailure(run, 1, "file-unwritable");
    expect(run.stderr).toContain("it is no regular file");
    expect(readdirSync(folder.path)).toEqual(["pipe"]);
  });

  it("any more, because the folder went away meanwhile: file-unwritable, and the guest is let go", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest(CLEAN).listening();
    const running = startEbscope("capture", "--watch", "2", "-o", join(folder.path, "x.ebs"), "--gdb", guest.address);
    await running.stderrShows(/watching for a fault/);
    rmSync(folder.path, { recursive: true });
    expectFailure(await endsWithin(running, 2_000 + AT_ONCE_MS), 1, "file-unwritable", Number.POSITIVE_INFINITY);
    expect(await guest.status()).toBe("running");
  });

  it("because nothing was captured: what stands under that name stays, and nothing else is left", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    writeFileSync(out, "mine");
    expectFailure(await ebscope("capture", "-o", out, "--gdb", "unix:/nowhere"), 1, "connect-failed");
    expect(readFileSync(out, "latin1")).toBe("mine");
    expect(readdirSync(folder.path)).toEqual(["x.ebs"]);
  });
});

describe("a file to read", () => {
  const folder = temporaryFolder();
  const good = join(folder.path, "good.ebs");
  const bad = join(folder.path, "bad.ebs");
  let bytes: Buffer;
  beforeAll(async () => {
    const run = await ebscope("capture", "-q", "--watch", "0", "-o", good, "--", ...machine(CLEAN));
    expect(run.code, run.stderr).toBe(0);
    bytes = readFileSync(good);
  });
  afterAll(() => folder[Symbol.dispose]());

  /** All verbs that read a capture. */
  const READERS: readonly (readonly [string, readonly string[]])[] = [
    ["diff", []],
    ["show", ["mappings"]],
    ["explain", ["0x40000000"]],
  ];

  async function expectUnreadable(file: string, code: string): Promise<void> {
    for (const run of await Promise.all(READERS.map(([verb, rest]) => ebscope(verb, file, ...rest)))) {
      expectFailure(run, 1, code);
      expect(run.stdout).toBe("");
    }
  }

  async function expectBad(contents: Buffer, code: string): Promise<void> {
    writeFileSync(bad, contents);
    await expectUnreadable(bad, code);
  }

  function changed(at: number, change: (byte: number) => number): Buffer {
    const copy = Buffer.from(bytes);
    copy.writeUInt8(change(copy.readUInt8(at)) & 0xff, at);
    return copy;
  }

  it("is whole to begin with", async () => {
    for (const [verb, rest] of READERS) {
      const run = await ebscope(verb, good, ...rest);
      expect(run.code, run.stderr).toBe(0);
    }
  });

  it("is missing, or a folder", async () => {
    await expectUnreadable(join(folder.path, "missing.ebs"), "file-unreadable");
    await expectUnreadable(folder.path, "file-unreadable");
  });

  it("is garbage, text or nothing", async () => {
    await expectBad(randomBytes(5_000), "not-a-capture");
    await expectBad(Buffer.from("EFI handoff\n".repeat(100)), "not-a-capture");
    await expectBad(Buffer.alloc(0), "not-a-capture");
  });

  it("is a capture that was mangled as text", async () => {
    await expectBad(Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1"), "not-a-capture");
  });

  it("ends too early, wherever", async () => {
    for (const length of [1, 8, 15, 16, 27, 200, bytes.length >> 1, bytes.length - 12, bytes.length - 1]) {
      await expectBad(bytes.subarray(0, length), "capture-truncated");
    }
  });

  it("has one wrong bit, wherever", async () => {
    // The description, its checksum, the pages, and the checksum of the end.
    for (const at of [24, 28, 300, bytes.length >> 1, bytes.length - 40, bytes.length - 1]) {
      await expectBad(
        changed(at, (byte) => byte ^ (1 << (at % 8))),
        "capture-corrupt",
      );
    }
    await expectBad(
      changed(0, (byte) => byte ^ 1),
      "not-a-capture",
    );
  });

  it("is of a newer format", async () => {
    const next = bytes.readUInt32LE(8) + 1;
    await expectBad(
      changed(8, () => next),
      "capture-newer",
    );
    await expectBad(
      changed(11, () => 0xff),
      "capture-newer",
    );
  });

  it("has no such point", async () => {
    const unknown = [
      ["diff", good, "--from", "yesterday"],
      ["diff", good, "--to", "tomorrow"],
      ["show", good, "registers", "--at", "never"],
      ["show", good, "fault"],
    ];
    for (const args of unknown) expectFailure(await ebscope(...args), 1, "no-such-point");
    expect((await ebscope("show", good, "registers", "--at", "never")).stderr).toContain("before");
  });

  it("has no such regime or vCPU", async () => {
    const wrong = [
      ["show", good, "mappings", "--regime", "EL9"],
      ["show", good, "mappings", "--cpu", "7"],
      ["show", good, "registers", "--cpu", "1"],
      ["show", good, "registers", "--cpu", "x"],
      ["explain", good, "0x40000000", "--regime", "EL9"],
      ["explain", good, "0x40000000", "--cpu", "1"],
      ["explain", good, "0x1ffffffffffffffff"],
      ["explain", good, "here"],
    ];
    for (const args of wrong) expectFailure(await ebscope(...args), 2, "usage");
  });
});
