/** Connecting `ebscope/client`: addresses, tokens, refusals, and connecting again. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BridgeError, type ClientState, connect } from "../../src/client/index.ts";
import { socketUrl } from "../../src/client/socket.ts";
import { startServer } from "../../src/server/server.ts";
import { MemoryLog } from "../server/support/memory-log.ts";
import { eventually, FORMS, fakeHandlers, TARGET } from "../server/support/serve.ts";
import { Liar, QUICK, rejection, type Served, serve } from "./support.ts";

let served: Served;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-client-"));
  served = await serve();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await served.end();
  await rm(folder, { recursive: true });
});

const control = (): string => served.tokens().control ?? "";

describe("an address", () => {
  it.each([
    ["ws://127.0.0.1:8624/rpc", "ws://127.0.0.1:8624/rpc"],
    ["http://127.0.0.1:8624", "ws://127.0.0.1:8624/rpc"],
    ["http://localhost:8624/", "ws://localhost:8624/rpc"],
    ["https://bridge.example/lab/rpc", "wss://bridge.example/lab/rpc"],
    ["ws://[::1]:1/", "ws://[::1]:1/rpc"],
    ["ws+unix:/run/x", "ws+unix:/run/x:/rpc"],
    ["ws+unix:/run/x:/rpc", "ws+unix:/run/x:/rpc"],
  ])("%s is that of %s", (given, url) => {
    expect(socketUrl(given)).toBe(url);
  });

  it.each([
    "",
    "127.0.0.1:8624",
    "localhost:8624",
    "ftp://127.0.0.1/",
    "ws://127.0.0.1:8624/rpc?token=abc",
    "ws://a:b@127.0.0.1/",
    "ws://127.0.0.1/#x",
    "ws://",
  ])("is not %s", async (url) => {
    const error = await rejection(connect({ url, token: "x" }));
    expect(error).toMatchObject({ code: "usage", next: expect.stringContaining("ws://HOST:PORT/rpc") });
  });
});

describe("connecting", () => {
  it("takes the http:// address that curl takes", async () => {
    await using client = await connect({ url: `http://127.0.0.1:${served.line.port}`, token: control() });
    expect(await client.Target.list()).toEqual([TARGET]);
    expect(client.state).toEqual({ kind: "open" });
  });

  it("goes over a Unix socket", async () => {
    const socket = join(folder, "s");
    const server = await startServer({
      ...{ handlers: fakeHandlers(), log: new MemoryLog(), forms: FORMS, version: "1" },
      ...{ tokens: served.tokens(), listen: [{ socket }] },
    });
    for (const url of [`ws+unix:${socket}`, `ws+unix:${socket}:/rpc`]) {
      await using client = await connect({ url, token: control() });
      expect(await client.Target.list()).toEqual([TARGET]);
    }
    await server.close();
  });

  it("reads the token from a file, white space around it aside", async () => {
    const tokenFile = join(folder, "t");
    await writeFile(tokenFile, `${control()}\n`);
    await using client = await connect({ url: served.url, tokenFile });
    expect((await client.Bridge.version()).access).toBe("control");
  });

  it("finds the token of the user's own bridge: that for control, else that for reading", async () => {
    vi.stubEnv("XDG_DATA_HOME", folder);
    const missing = await rejection(connect({ url: served.url }));
    expect(missing).toMatchObject({ code: "file-unreadable", message: expect.stringContaining("control.token") });
    await mkdir(join(folder, "ebscope"));
    await writeFile(join(folder, "ebscope", "read.token"), served.tokens().read);
    await using reader = await connect({ url: served.url });
    expect((await reader.Bridge.version()).access).toBe("read");
    await writeFile(join(folder, "ebscope", "control.token"), control());
    await using controller = await connect({ url: served.url });
    expect((await controller.Bridge.version()).access).toBe("control");
  });

  it.each([
    "ws://bridge.example/rpc",
    "http://127.0.0.1.nip.io:8624",
    "ws://localhost.example",
    "ws://10.0.0.1:8624/rpc",
  ])("sends the user's own token to no other machine: %s", async (url) => {
    vi.stubEnv("XDG_DATA_HOME", folder);
    expect(await rejection(connect({ url }))).toMatchObject({ code: "usage", next: expect.stringContaining("token") });
  });

  it("ends with what the bridge says when it refuses the token, and tries no more", async () => {
    const error = await rejection(connect({ url: served.url, token: "wrong", ...QUICK }));
    expect(error).toBeInstanceOf(BridgeError);
    expect(error.code).toBe("token-refused");
    expect(error.message).toContain("401: Cannot serve this request: its token is none of this bridge's");
    expect(error.next).toContain("ebscope serve");
    expect(served.line.made).toBe(1);
  });

  it("ends with what the bridge says when it refuses the name it is asked for by", async () => {
    const url = `ws://[::ffff:7f00:1]:${served.line.port}/rpc`;
    const error = await rejection(connect({ url, token: control() }));
    expect(error).toMatchObject({ code: "host-refused", next: expect.stringContaining("--allow-host") });
    expect(error.message).toContain("403");
  });

  it.each(["", "two words", "line\nbreak", "ü", "x".repeat(600)])("takes no token %j", async (token) => {
    const error = await rejection(connect({ url: served.url, token }));
    expect(["usage", "file-unreadable"]).toContain(error.code);
    expect(served.line.made).toBe(0);
  });

  it("says that nothing listens", async () => {
    const { port } = served.line;
    await served.line.close();
    const error = await rejection(connect({ url: `ws://127.0.0.1:${port}/rpc`, token: "x" }));
    expect(error).toMatchObject({ code: "connect-failed", message: expect.stringContaining("ECONNREFUSED") });
  });

  it("says that it is no bridge that answers", async () => {
    const web = createServer((_request, response) => response.writeHead(404).end("\u001b[31m<h1>404</h1>"));
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    const error = await rejection(connect({ url, token: "x" }));
    expect(error).toMatchObject({ code: "request-refused", message: expect.stringContaining("it answered 404") });
    web.close();
    const other = await Liar.start(() => undefined);
    const { port } = new URL(other.url);
    await other.end();
    expect((await rejection(connect({ url: `ws://127.0.0.1:${port}`, token: "x" }))).code).toBe("connect-failed");
  });

  it("reads a little of a refusal that does not end, and no more", async () => {
    const endless = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 403 No\r\ncontent-type: text/plain\r\n\r\n");
      const more = (): void => void (socket.writable && socket.write("x".repeat(65_536), () => setImmediate(more)));
      more();
    });
    await new Promise<void>((resolve) => endless.listen(0, "127.0.0.1", resolve));
    const url = `ws://127.0.0.1:${(endless.address() as AddressInfo).port}/rpc`;
    expect(await rejection(connect({ url, token: "x" }))).toMatchObject({ code: "request-refused" });
    endless.close();
  });

  it("has a deadline", async () => {
    const silent = createTcpServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const url = `ws://127.0.0.1:${(silent.address() as AddressInfo).port}/rpc`;
    const error = await rejection(connect({ url, token: "x", connectTimeoutMs: 50 }));
    expect(error).toMatchObject({ code: "connect-timeout", message: expect.stringContaining("50 ms") });
    const controller = new AbortController();
    const connecting = rejection(connect({ url, token: "x", signal: controller.signal }));
    setTimeout(() => controller.abort("changed my mind"), 5);
    expect(await connecting).toBe("changed my mind");
    silent.close();
  });
});

describe("connecting again", () => {
  it("tells the states it goes through", async () => {
    await using client = await connect({ url: served.url, token: control(), ...QUICK });
    const states: ClientState[] = [];
    client.onState((state) => states.push(state));
    served.line.up = false;
    served.line.cut();
    await eventually(() => states.length >= 5);
    served.line.up = true;
    await eventually(() => client.state.kind === "open");
    const kinds = states.map(({ kind }) => kind);
    expect(kinds.slice(0, 5)).toEqual(["waiting", "connecting", "waiting", "connecting", "waiting"]);
    expect(kinds.at(-1)).toBe("open");
    const waits = states.filter((state) => state.kind === "waiting");
    expect(waits.map(({ attempt }) => attempt)).toEqual(waits.map((_, index) => index + 1));
    expect(waits[0]?.error.code).toBe("connection-lost");
    for (const { attempt, delayMs } of waits) {
      const longest = Math.min(2 ** (attempt - 1), 10);
      expect(delayMs).toBeGreaterThanOrEqual(longest / 2);
      expect(delayMs).toBeLessThanOrEqual(longest);
    }
  });

  it("gets the token anew: a bridge that was started again has another", async () => {
    await using client = await connect({ url: served.url, token: () => control(), ...QUICK });
    await served.restart();
    expect(await client.Target.list()).toEqual([TARGET]);
  });

  it("waits for the token's file, which is not there while no bridge runs", async () => {
    const tokenFile = join(folder, "t");
    await writeFile(tokenFile, control());
    await using client = await connect({ url: served.url, tokenFile, ...QUICK });
    const errors: string[] = [];
    client.onState((state) => state.kind === "waiting" && errors.push(state.error.code));
    await rm(tokenFile);
    served.line.cut();
    await eventually(() => errors.includes("file-unreadable"));
    await writeFile(tokenFile, "");
    await writeFile(tokenFile, control());
    expect(await client.Target.list()).toEqual([TARGET]);
  });

  it("ends when the token is refused: of a token that may change, the second time", async () => {
    const [fixed, asked] = [control(), control()];
    const first = await connect({ url: served.url, token: fixed, ...QUICK });
    const second = await connect({ url: served.url, token: async () => asked, ...QUICK });
    const [iterating, calling] = [rejection(first.events().next()), rejection(second.Capture.wait({ capture: "c1" }))];
    await served.restart();
    await eventually(() => first.state.kind === "closed" && second.state.kind === "closed");
    expect(await iterating).toMatchObject({ code: "token-refused" });
    expect(await calling).toMatchObject({ code: "connection-lost" });
    expect(await rejection(second.Target.list())).toMatchObject({ code: "token-refused" });
    expect(await rejection(second.events().next())).toMatchObject({ code: "token-refused" });
  });

  it("is given up after a time", async () => {
    const client = await connect({ url: served.url, token: control(), giveUpAfterMs: 30, ...QUICK });
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "closed");
    expect(await rejection(client.Target.list())).toMatchObject({ code: expect.stringMatching(/^connect/) });
  });

  it("is not kept from happening by a listener that throws", async () => {
    const thrown: unknown[] = [];
    const onUncaught = (error: unknown): void => void thrown.push(error);
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", onUncaught);
    try {
      await using client = await connect({ url: served.url, token: control(), ...QUICK });
      const stop = client.onState(() => {
        stop();
        throw new Error("mine");
      });
      served.line.cut();
      await eventually(() => thrown.length > 0 && client.state.kind === "open");
      expect(await client.Target.list()).toEqual([TARGET]);
      expect(thrown).toEqual([new Error("mine")]);
    } finally {
      process.removeListener("uncaughtException", onUncaught);
      for (const listener of before) process.on("uncaughtException", listener);
    }
  });
});
