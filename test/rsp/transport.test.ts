import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Tap, type TapEnd, tapped } from "../../src/rsp/tap.ts";
import { connectTransport, parseStubAddress, type StubAddress, stubAddressText } from "../../src/rsp/transport.ts";
import { failure } from "../support/failure.ts";
import { FakeTransport, settled } from "../support/fake-transport.ts";

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "transport-"));
  cleanup.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function listen(onSocket: (socket: Socket) => void): Promise<{ server: Server; address: StubAddress }> {
  const path = join(folder(), "s");
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanup.push(() => server.close());
  return { server, address: { kind: "unix", path } };
}

describe("parseStubAddress", () => {
  it.each([
    ["localhost:1234", { kind: "tcp", host: "localhost", port: 1234 }, "localhost:1234"],
    [":1234", { kind: "tcp", host: "localhost", port: 1234 }, "localhost:1234"],
    ["tcp::1234", { kind: "tcp", host: "localhost", port: 1234 }, "localhost:1234"],
    ["tcp:guest.example:65535", { kind: "tcp", host: "guest.example", port: 65535 }, "guest.example:65535"],
    ["10.0.0.7:1", { kind: "tcp", host: "10.0.0.7", port: 1 }, "10.0.0.7:1"],
    ["[::1]:1234", { kind: "tcp", host: "::1", port: 1234 }, "[::1]:1234"],
    ["[fe80::1%eth0]:1234", { kind: "tcp", host: "fe80::1%eth0", port: 1234 }, "[fe80::1%eth0]:1234"],
    ["unix:/tmp/gdb.sock", { kind: "unix", path: "/tmp/gdb.sock" }, "unix:/tmp/gdb.sock"],
    ["unix:relative:1", { kind: "unix", path: "relative:1" }, "unix:relative:1"],
    ["replay:session.txt", { kind: "replay", path: "session.txt" }, "replay:session.txt"],
    ["replay:1234", { kind: "replay", path: "1234" }, "replay:1234"],
    ["tcp:replay:1234", { kind: "tcp", host: "replay", port: 1234 }, "tcp:replay:1234"],
  ] as const)("reads %s", (text, address, again) => {
    expect(parseStubAddress(text)).toEqual(address);
    expect(stubAddressText(address)).toBe(again);
  });

  it.each([
    "",
    "1234",
    "unix:",
    "replay:",
    "localhost",
    "localhost:",
    "localhost:0",
    "localhost:65536",
    "::1:1234",
    "a b:1",
    "x:1\n",
  ])("refuses %j", (text) => {
    expect(() => parseStubAddress(text)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  it("shows no control characters of what it refuses", () => {
    expect(() => parseStubAddress("\x1b[31m")).toThrow(/^Cannot read the stub address "\\\\x1b\[31m"$/);
  });
});

describe("connectTransport", () => {
  it("says that nothing listens at a tcp port", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
    );
    await new Promise((resolve) => server.close(resolve));
    const error = await failure(connectTransport({ kind: "tcp", host: "localhost", port }));
    expect(error).toMatchObject({
      code: "connect-failed",
      message: `Cannot connect to localhost:${port}: nothing listens there`,
    });
  });

  it("says that there is no such socket", async () => {
    const error = await failure(connectTransport({ kind: "unix", path: join(folder(), "none") }));
    expect(error.code).toBe("connect-failed");
    expect(error.message).toMatch(/no such socket$/);
  });

  it("says that a file is no listening socket", async () => {
    const path = join(folder(), "file");
    writeFileSync(path, "");
    const error = await failure(connectTransport({ kind: "unix", path }));
    expect(error.code).toBe("connect-failed");
  });

  it("refuses a path that no socket can have, as a typed error", async () => {
    const error = await failure(connectTransport({ kind: "unix", path: `/tmp/${"long/".repeat(50)}s` }));
    expect(error.code).toBe("connect-failed");
  });

  it.runIf(process.platform === "linux")("has the system look for a silent machine within half a minute", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanup.push(() => server.close());
    const { port } = server.address() as { port: number };
    const arrived = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const transport = await connectTransport({ kind: "tcp", host: "127.0.0.1", port });
    await arrived;
    // proc(5), /proc/net/tcp: local and remote address, state (01: established), queues, the timer (02: keepalive) and when it ends.
    const remote = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
    const rows = readFileSync("/proc/net/tcp", "latin1").split("\n");
    const established = / \S+ \S+(:\S{4}) 01 \S+ (\d\d):([0-9A-F]{8}) /;
    const ours = rows.map((row) => established.exec(row)).find((row) => row?.[1] === remote);
    const [, , timer = "", ticks = ""] = ours ?? [];
    expect(timer).toBe("02");
    // Hundredths of a second.
    expect(Number.parseInt(ticks, 16)).toBeLessThanOrEqual(3000);
    await transport.close();
  });

  it("does not connect when it was aborted before", async () => {
    let arrived = 0;
    const { address } = await listen(() => arrived++);
    const error = await failure(connectTransport(address, { signal: AbortSignal.abort() }));
    expect(error.code).toBe("interrupted");
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(arrived).toBe(0);
  });
});

describe("a transport", () => {
  it("closes, and what was written before arrives", async () => {
    let received = "";
    const { address } = await listen((socket) => socket.on("data", (chunk) => (received += chunk.toString("latin1"))));
    const transport = await connectTransport(address);
    transport.start({ data: () => undefined, closed: () => undefined });
    const bytes = Buffer.alloc(100_000, "x");
    transport.write(bytes);
    await transport.close();
    await vi.waitFor(() => expect(received.length).toBe(bytes.length));
    transport.write(bytes);
    await transport.close();
    expect(received.length).toBe(bytes.length);
  });

  it("closes although the other side reads nothing", async () => {
    const { address } = await listen((socket) => {
      socket.pause();
      cleanup.push(() => socket.destroy());
    });
    const transport = await connectTransport(address);
    transport.start({ data: () => undefined, closed: () => undefined });
    transport.write(Buffer.alloc(16 << 20));
    const started = performance.now();
    await transport.close();
    expect(performance.now() - started).toBeLessThan(3000);
  });

  it("tells once that the other side has gone", async () => {
    const { address } = await listen((socket) => socket.destroy());
    const transport = await connectTransport(address);
    let told = 0;
    transport.start({ data: () => undefined, closed: () => told++ });
    await vi.waitFor(() => expect(told).toBe(1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(told).toBe(1);
  });

  it("tells that the other side went before it was started", async () => {
    const server = createServer((socket) => setTimeout(() => socket.resetAndDestroy(), 20));
    cleanup.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const transport = await connectTransport({ kind: "tcp", host: "127.0.0.1", port });
    await new Promise((resolve) => setTimeout(resolve, 100));
    let told = 0;
    transport.start({ data: () => undefined, closed: () => told++ });
    await vi.waitFor(() => expect(told).toBe(1));
    await transport.close();
  });

  it("keeps what arrived before it was started", async () => {
    const { address } = await listen((socket) => socket.write("early"));
    const transport = await connectTransport(address);
    await new Promise((resolve) => setTimeout(resolve, 50));
    let received = "";
    transport.start({ data: (chunk) => (received += Buffer.from(chunk).toString()), closed: () => undefined });
    await vi.waitFor(() => expect(received).toBe("early"));
    await transport.close();
  });
});

describe("a tapped transport", () => {
  /** Everything that a tap was told, in order. */
  class Listener implements Tap {
    readonly heard: string[] = [];
    readonly ends: TapEnd[] = [];
    readonly times: number[] = [];

    bytes(direction: string, bytes: Uint8Array, time: number): void {
      this.heard.push(`${direction} ${Buffer.from(bytes).toString("latin1")}`);
      this.times.push(time);
    }

    ended(end: TapEnd, time: number): void {
      this.heard.push("ended");
      this.ends.push(end);
      this.times.push(time);
    }
  }

  function listenedTo() {
    const inner = new FakeTransport();
    const taps = [new Listener(), new Listener()];
    const transport = tapped(inner, taps);
    const client: string[] = [];
    transport.start({
      data: (chunk) => client.push(Buffer.from(chunk).toString("latin1")),
      closed: (cause) => client.push(`closed ${cause?.message}`),
    });
    return { inner, transport, client, tap: taps[0] as Listener, other: taps[1] as Listener };
  }

  it("is the transport itself when nobody listens", () => {
    const inner = new FakeTransport();
    expect(tapped(inner, [])).toBe(inner);
  });

  it("passes everything on, and tells each tap of it", async () => {
    const { inner, transport, client, tap, other } = listenedTo();
    transport.write(Buffer.from("$?#3f"));
    inner.receive("+");
    inner.receive("$S05#b8");
    await transport.close();
    expect(inner.writes).toEqual(["$?#3f"]);
    expect(inner.closed).toBe(true);
    expect(client).toEqual(["+", "$S05#b8"]);
    expect(tap.heard).toEqual(["sent $?#3f", "received +", "received $S05#b8", "ended"]);
    expect(other.heard).toEqual(tap.heard);
    expect(tap.ends).toEqual([{ by: "client" }]);
    expect(tap.times).toEqual([...tap.times].sort((a, b) => a - b));
  });

  it("tells once that the stub has gone, and why", async () => {
    const { inner, transport, client, tap } = listenedTo();
    const cause = new Error("ECONNRESET");
    inner.hangUp(cause);
    transport.write(Buffer.from("more"));
    inner.receive("late");
    await transport.close();
    expect(tap.heard).toEqual(["ended"]);
    expect(tap.ends).toEqual([{ by: "stub", cause }]);
    expect(client[0]).toBe("closed ECONNRESET");
    expect(inner.writes).toEqual([]);
  });

  it("hears what comes while it is being closed, and of no write that went nowhere", async () => {
    const { inner, transport, tap } = listenedTo();
    let closed = (): void => undefined;
    inner.close = () => new Promise((resolve) => (closed = resolve));
    const closing = transport.close();
    transport.write(Buffer.from("nowhere"));
    inner.receive("last words");
    await settled();
    closed();
    await closing;
    expect(tap.heard).toEqual(["received last words", "ended"]);
  });

  it("has told the taps before the client looks at what came", () => {
    const inner = new FakeTransport();
    const tap = new Listener();
    tapped(inner, [tap]).start({
      data: () => {
        throw new Error("a defect");
      },
      closed: () => undefined,
    });
    expect(() => inner.receive("boom")).toThrow("a defect");
    expect(tap.heard).toEqual(["received boom"]);
  });
});

describe("a stub that was just started", () => {
  it("is tried again while it refuses, for the time that was given", async () => {
    const path = join(folder(), "s");
    const connecting = connectTransport({ kind: "unix", path }, { retryMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    const server = createServer();
    cleanup.push(() => server.close());
    const arrived = new Promise<Socket>((resolve) => server.once("connection", resolve));
    server.listen(path);
    const transport = await connecting;
    (await arrived).destroy();
    await transport.close();
  });

  it("is given up when the time is over, with the reason of the last refusal", async () => {
    const error = await failure(connectTransport({ kind: "unix", path: join(folder(), "s") }, { retryMs: 50 }));
    expect(error).toMatchObject({ code: "connect-failed" });
    expect(error.message).toContain("no such socket");
  });
});
