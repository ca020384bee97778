/**
 * Everything that can be wrong with the command line, and with what listens at the address: each failure is told with its code and a next step, ends with the right exit code within its
 * deadline, and leaves the guest as it was found.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { AT_ONCE_MS, endlessMachine, expectFailure, SILENCE_MS } from "../support/bad-input.ts";
import { ebscope, type Finished, failure, Guest, need, startEbscope, temporaryFolder } from "../support/live.ts";

const endless = endlessMachine();
const NO_FIRMWARE = endless.options;
afterAll(() => endless[Symbol.dispose]());

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
