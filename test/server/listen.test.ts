/** Where a bridge listens, under which names, and where its tokens lie. */
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { allowedName, allowedNames, isLoopback } from "../../src/server/security/names.ts";
import { accessOf, makeTokens, writeTokens } from "../../src/server/security/tokens.ts";
import { Client, RawSocket, serve } from "./support/serve.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-listen-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

describe("tokens", () => {
  it("are 256 bits each, in letters that a header and a subprotocol may hold, and new each time", () => {
    const [first, second] = [makeTokens(), makeTokens()];
    const all = [first.control ?? "", first.read, second.control ?? "", second.read];
    for (const token of all) {
      expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(Buffer.from(token, "base64url").length).toBe(32);
    }
    expect(new Set(all).size).toBe(4);
  });

  it("say what may be done with them, and nothing else does", () => {
    const tokens = makeTokens();
    expect(accessOf(tokens, tokens.control ?? "")).toBe("control");
    expect(accessOf(tokens, tokens.read)).toBe("read");
    for (const other of ["", "undefined", tokens.read.slice(1), `${tokens.read}x`, tokens.read.toLowerCase(), "\0"]) {
      expect(accessOf(tokens, other)).toBeUndefined();
    }
  });

  it("let nobody control a bridge that is for reading", () => {
    const tokens = makeTokens({ readOnly: true });
    expect(tokens.control).toBeUndefined();
    expect(accessOf(tokens, "undefined")).toBeUndefined();
    expect(accessOf(tokens, "")).toBeUndefined();
    expect(accessOf(tokens, tokens.read)).toBe("read");
  });

  it("lie in files that only their owner may read, and are gone at the end", async () => {
    const tokens = makeTokens();
    const files = await writeTokens(join(folder, "data"), tokens);
    expect(await modeOf(join(folder, "data"))).toBe(0o700);
    for (const [path, token] of [
      [files.control ?? "", tokens.control],
      [files.read, tokens.read],
    ] as const) {
      expect(await modeOf(path)).toBe(0o600);
      expect(await readFile(path, "utf8")).toBe(`${token}\n`);
    }
    await files.remove();
    await expect(stat(files.read)).rejects.toThrow("ENOENT");
  });

  it("take the place of those of a bridge before, not that of a file to which somebody put a link", async () => {
    const elsewhere = join(folder, "elsewhere");
    await writeFile(elsewhere, "precious", { mode: 0o644 });
    await symlink(elsewhere, join(folder, "read.token"));
    await writeFile(join(folder, "control.token"), "old", { mode: 0o644 });
    const files = await writeTokens(folder, makeTokens({ readOnly: true }));
    expect(files.control).toBeUndefined();
    await expect(stat(join(folder, "control.token"))).rejects.toThrow("ENOENT");
    expect(await readFile(elsewhere, "utf8")).toBe("precious");
    expect(await modeOf(files.read)).toBe(0o600);
  });
});

describe("the names of a bridge", () => {
  it("are those of the loopback interface with its port", () => {
    expect([...allowedNames("127.0.0.1", 8624).hosts]).toEqual(
      ["127.0.0.1:8624", "localhost:8624", "[::1]:8624", "127.0.0.1:8624"].slice(0, 3),
    );
    expect([...allowedNames("127.0.0.1", 8624).origins]).toEqual([
      "http://127.0.0.1:8624",
      "http://localhost:8624",
      "http://[::1]:8624",
    ]);
  });

  it("are also without a port on port 80, which clients leave out", () => {
    const { hosts, origins } = allowedNames("127.0.0.1", 80);
    expect(hosts.has("localhost")).toBe(true);
    expect(hosts.has("localhost:80")).toBe(true);
    expect(origins.has("http://localhost")).toBe(true);
  });

  it("are an address of its own too, and none for an address that stands for all", () => {
    expect(allowedNames("192.0.2.7", 1).hosts.has("192.0.2.7:1")).toBe(true);
    expect(allowedNames("2001:db8::7", 1).hosts.has("[2001:db8::7]:1")).toBe(true);
    expect(allowedNames("0.0.0.0", 1).hosts.size).toBe(3);
    expect(allowedNames("::", 1).hosts.size).toBe(3);
  });

  it("are those that were allowed, with the port that was given, or without and with the bridge's", () => {
    const { hosts, origins } = allowedNames("127.0.0.1", 1, ["lab.example", "lab2.example:8080", "[2001:db8::7]"]);
    expect([...hosts].slice(3)).toEqual([
      "lab.example",
      "lab.example:1",
      "lab2.example:8080",
      "[2001:db8::7]",
      "[2001:db8::7]:1",
    ]);
    expect(origins.has("https://lab.example")).toBe(true);
    expect(origins.has("http://lab2.example:8080")).toBe(true);
    expect(origins.has("https://localhost:1")).toBe(false);
  });

  it.each([
    "*",
    "",
    "Lab.example",
    "lab.example/",
    "http://lab.example",
    "lab.example:0",
    "lab.example:x",
    "a b",
    "lab.",
    ".lab",
    "u@lab",
    "lab\r\nx: y",
  ])("are none that no client would send: %j", (text) => {
    expect(() => allowedName(text)).toThrow("Cannot allow the host");
  });

  it("know which addresses are this machine's alone", () => {
    for (const address of ["127.0.0.1", "127.5.5.5", "::1", "localhost"]) expect(isLoopback(address)).toBe(true);
    for (const address of [
      "0.0.0.0",
      "::",
      "192.168.0.1",
      "127.evil.example",
      "127.0.0.999",
      "127.1",
      "localhost.evil",
    ]) {
      expect(isLoopback(address)).toBe(false);
    }
  });
});

describe("a bridge on a Unix socket", () => {
  const get = (token: string, host: string): string =>
    `GET /captures HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`;

  async function ask(path: string, request: string): Promise<string> {
    const raw = new RawSocket({ path });
    raw.socket.write(request);
    return raw.end();
  }

  it("is open to its owner only, asks for the token, and for no name", async () => {
    const path = join(folder, "ebscope.sock");
    const umask = process.umask();
    const served = await serve({ listen: [{ socket: path }] });
    expect(process.umask()).toBe(umask);
    expect(await modeOf(path)).toBe(0o600);
    expect(await ask(path, get(served.tokens.read, "whatever"))).toMatch(/^HTTP\/1.1 200/);
    expect(await ask(path, get("none", "localhost"))).toMatch(/^HTTP\/1.1 401/);
    const origin = get(served.tokens.read, "localhost").replace("\r\n", "\r\nOrigin: http://localhost\r\n");
    expect(await ask(path, origin)).toMatch(/^HTTP\/1.1 403/);
    const client = await Client.open(`ws+unix:${path}:/rpc`, served.tokens.control ?? "");
    expect((await client.call("Bridge.version")).result.access).toBe("control");
    await served.stop();
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  it("takes the place of a socket that nothing listens on any more", async () => {
    const path = join(folder, "ebscope.sock");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    const { spawnSync } = await import("node:child_process");
    spawnSync(process.execPath, ["-e", script]);
    expect((await stat(path)).isSocket()).toBe(true);
    const served = await serve({ listen: [{ socket: path }] });
    expect(await ask(path, get(served.tokens.read, "x"))).toMatch(/^HTTP\/1.1 200/);
    await served.stop();
  });

  it("takes neither the place of another that lives nor that of a file", async () => {
    const path = join(folder, "ebscope.sock");
    const served = await serve({ listen: [{ socket: path }] });
    await expect(serve({ listen: [{ socket: path }] })).rejects.toMatchObject({ code: "usage" });
    expect(await ask(path, get(served.tokens.read, "x"))).toMatch(/^HTTP\/1.1 200/);
    await served.stop();
    const file = join(folder, "notes");
    await writeFile(file, "precious");
    await expect(serve({ listen: [{ socket: file }] })).rejects.toMatchObject({ code: "usage" });
    expect(await readFile(file, "utf8")).toBe("precious");
  });
});

describe("a bridge on TCP", () => {
  it("listens on the loopback interface, on several places at once if told so", async () => {
    const path = join(folder, "both.sock");
    const served = await serve({ listen: [{ address: "127.0.0.1", port: 0 }, { socket: path }] });
    expect(served.server.places).toEqual([{ address: "127.0.0.1", port: served.port }, { socket: path }]);
    expect((await served.get("/captures")).status).toBe(200);
    await served.stop();
  });

  it("says who it is that a port cannot be had, and lets go of what it had", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as { port: number };
    const path = join(folder, "first.sock");
    const both = serve({ listen: [{ socket: path }, { address: "127.0.0.1", port }] });
    await expect(both).rejects.toThrow(`Cannot listen on 127.0.0.1 port ${port}: something else does`);
    await expect(stat(path)).rejects.toThrow("ENOENT");
    other.close();
  });

  it("ends all connections when it ends, those that do not heed it too", async () => {
    const served = await serve();
    const [heeds, stream] = [await served.open(), new RawSocket({ port: served.port })];
    stream.socket.write(
      `GET /events HTTP/1.1\r\nHost: localhost:${served.port}\r\nAuthorization: Bearer ${served.tokens.read}\r\n\r\n`,
    );
    await stream.until((text) => text.includes("\r\n\r\n"));
    const deaf = await served.open();
    (deaf.ws as unknown as { _socket: { pause(): void } })._socket.pause();
    const half = new RawSocket({ port: served.port });
    half.socket.write("GET /rpc HTTP/1.1\r\nHost: ");
    await served.stop();
    expect((await heeds.closed()).code).toBe(1001);
    await stream.end();
    await half.end();
    expect(served.log.listeners).toBe(0);
    expect(deaf.ws.readyState).not.toBe(WebSocket.CONNECTING);
    deaf.ws.terminate();
  });
});
