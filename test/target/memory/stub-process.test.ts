import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { processesBehind } from "../../../src/target/memory/stub-process.ts";

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "stub-process-"));
  cleanup.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A process that listens where it is told and accepts; it prints the port it got. */
async function listener(where: string, cwd: string): Promise<{ readonly child: ChildProcess; readonly said: string }> {
  const script = `
    const server = require("node:net").createServer((socket) => socket.write("+"));
    const where = JSON.parse(process.argv[1]);
    server.listen(where, () => console.log(JSON.stringify(server.address())));`;
  const child = spawn(process.execPath, ["-e", script, where], { stdio: ["ignore", "pipe", "inherit"], cwd });
  cleanup.push(() => child.kill("SIGKILL"));
  const [said] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  return { child, said: String(said) };
}

async function connected(to: { path: string } | { port: number; host: string }): Promise<Socket> {
  const socket = connect(to);
  cleanup.push(() => socket.destroy());
  // Connected is one thing, accepted another: a stub that has answered holds its end.
  await once(socket, "data");
  return socket;
}

describe("the process behind a unix socket", () => {
  it.each([
    ["by its path", (path: string) => path],
    ["by its path through a link", (path: string) => path.replace("/real/", "/link/")],
    ["by a path with detours", (path: string) => path.replace("/real/", "/real/../real/./")],
  ])("is found %s", async (_, spelled) => {
    const home = folder();
    mkdirSync(join(home, "real"));
    symlinkSync(join(home, "real"), join(home, "link"));
    const path = join(home, "real", "gdb.sock");
    const { child } = await listener(JSON.stringify({ path }), home);
    await connected({ path });
    expect(processesBehind({ kind: "unix", path: spelled(path) })).toMatchObject({ pids: [child.pid], local: true });
  });

  it("is found when it bound a path that counts from its own folder, and one of the same name elsewhere is not", async () => {
    const [here, elsewhere] = [folder(), folder()];
    const { child } = await listener(JSON.stringify({ path: "gdb.sock" }), here);
    await listener(JSON.stringify({ path: "gdb.sock" }), elsewhere);
    const path = join(here, "gdb.sock");
    await connected({ path });
    expect(processesBehind({ kind: "unix", path }).pids).toEqual([child.pid]);
  });

  it("is none when nobody holds it", () => {
    const path = join(folder(), "gdb.sock");
    expect(processesBehind({ kind: "unix", path })).toMatchObject({ pids: [], local: true });
    expect(processesBehind({ kind: "unix", path }).why).toMatch(/holds the stub's socket$/);
  });

  it("is the launched process and what it started, when the socket cannot be found", async () => {
    const child = spawn("sh", ["-c", "sleep 60 & echo $!; wait"], { stdio: ["ignore", "pipe", "inherit"] });
    cleanup.push(() => child.kill("SIGKILL"));
    const [said] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    const sleeper = Number(said);
    cleanup.push(() => process.kill(sleeper, "SIGKILL"));
    const { pids } = processesBehind({ kind: "unix", path: join(folder(), "gdb.sock") }, child.pid);
    expect(pids).toEqual([child.pid, sleeper]);
  });

  it("is never this one", async () => {
    const path = join(folder(), "gdb.sock");
    const server = createServer((socket) => {
      cleanup.push(() => socket.destroy());
      socket.write("+");
    });
    cleanup.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await connected({ path });
    expect(processesBehind({ kind: "unix", path })).toEqual({
      pids: [],
      local: false,
      why: "the stub is part of this program",
      denied: false,
    });
  });
});

describe("the process behind a tcp port", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["0.0.0.0", "127.0.0.1"],
    // An IPv6 socket that takes IPv4 connections as well.
    ["::", "127.0.0.1"],
  ])("is found when it listens on %s and we came by %s", async (listens, host) => {
    const { child, said } = await listener(JSON.stringify({ port: 0, host: listens }), tmpdir());
    const { port } = JSON.parse(said) as { port: number };
    await connected({ port, host });
    expect(processesBehind({ kind: "tcp", host, port })).toMatchObject({ pids: [child.pid], local: true });
  });

  it("is not another one that listens on the same port of another address", async () => {
    const { child, said } = await listener(JSON.stringify({ port: 0, host: "127.0.0.1" }), tmpdir());
    const { port } = JSON.parse(said) as { port: number };
    const other = await listener(JSON.stringify({ port, host: "127.0.0.2" }), tmpdir());
    await connected({ port, host: "127.0.0.1" });
    expect(processesBehind({ kind: "tcp", host: "localhost", port }).pids).toEqual([child.pid]);
    await connected({ port, host: "127.0.0.2" });
    expect(new Set(processesBehind({ kind: "tcp", host: "localhost", port }).pids)).toEqual(
      new Set([child.pid, other.child.pid]),
    );
  });

  it("is not one whose connection has the same two ports at other addresses", async () => {
    const { child, said } = await listener(JSON.stringify({ port: 0, host: "127.0.0.1" }), tmpdir());
    const { port } = JSON.parse(said) as { port: number };
    await listener(JSON.stringify({ port, host: "127.0.0.2" }), tmpdir());
    const socket = await connected({ port, host: "127.0.0.1" });
    const there = { host: "127.0.0.2", port, localAddress: "127.0.0.2", localPort: socket.localPort };
    const script = `require("node:net").connect(JSON.parse(process.argv[1])).on("data", () => console.log("connected"))`;
    const args = ["-e", script, JSON.stringify(there)];
    const client = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    cleanup.push(() => client.kill("SIGKILL"));
    await once(client.stdout, "data");
    expect(processesBehind({ kind: "tcp", host: "localhost", port }).pids).toEqual([child.pid]);
  });

  it("is not on this host when the other end of our connection is not", async () => {
    const { said } = await listener(JSON.stringify({ port: 0, host: "127.0.0.1" }), tmpdir());
    const { port } = JSON.parse(said) as { port: number };
    // Nobody here is connected to it.
    expect(processesBehind({ kind: "tcp", host: "192.0.2.1", port })).toEqual({
      pids: [],
      local: false,
      why: "the stub is not on this host",
      denied: false,
    });
  });
});

describe("a replayed session", () => {
  it("has no process", () => {
    expect(processesBehind({ kind: "replay", path: "session.txt" })).toMatchObject({ pids: [], local: false });
  });
});
