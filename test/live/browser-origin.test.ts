/**
 * Pages of other origins in a real browser, against a bridge that runs: whatever they try, with the token for control too, is refused before
 * anything is upgraded; they read nothing. The same script succeeds in a page whose origin is allowed, so that it is not the script that fails.
 *
 * A relay stands before the bridge and keeps what was asked and answered: the browser tells a page nothing of a refusal.
 */
import { writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Chromium, startChromium } from "../support/chromium.ts";
import { temporaryFolder } from "../support/live.ts";
import { type LiveBridge, startBridge } from "../support/live-bridge.ts";

const PAGE = "<!DOCTYPE html><title>a page</title>";
/** A name that leads to this machine, as that of an attacker does whose DNS server says so (DNS rebinding). */
const REBOUND = "rebound.example";

/** What went over one connection. */
interface Conversation {
  readonly asked: string;
  readonly answered: string;
}

/** Between the browser and the bridge. `/page` is what an attacker's server answered before its name led here. */
class Relay {
  readonly conversations: Conversation[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Of the bridge. */
  to = 0;

  constructor() {
    this.#server = createServer((socket) => this.#relay(socket));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(socket: Socket): void {
    const found = { asked: "", answered: "" };
    let bridge: Socket | undefined;
    this.#keep(socket);
    socket.on("data", (chunk) => {
      found.asked += chunk.toString("latin1");
      if (found.asked.startsWith("GET /page ")) {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n${PAGE}`);
        return;
      }
      bridge ??= this.#toBridge(socket, found);
      bridge.write(chunk);
    });
    socket.on("close", () => bridge?.destroy());
  }

  #toBridge(socket: Socket, found: { answered: string }): Socket {
    this.conversations.push(found as Conversation);
    const bridge = connect({ port: this.to, host: "127.0.0.1" });
    this.#keep(bridge);
    bridge.on("data", (chunk) => {
      found.answered += chunk.toString("latin1");
      socket.write(chunk);
    });
    bridge.on("close", () => socket.end());
    return bridge;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

const folder = temporaryFolder();
const relay = new Relay();
/** Serves pages on any of its names: an origin of its own for each. */
const pages = createHttpServer((_request, response) => {
  response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
});
let bridge: LiveBridge;
let chromium: Chromium;
let relayPort: number;
let pagesPort: number;

beforeAll(async () => {
  relayPort = await relay.listen();
  await new Promise<void>((resolve) => pages.listen(0, "127.0.0.1", resolve));
  pagesPort = (pages.address() as AddressInfo).port;
  // The relay's address stands in Host. `localhost`, and that name alone, is where pages come from that are let in.
  const hosts = [`127.0.0.1:${relayPort}`, `localhost:${pagesPort}`];
  bridge = await startBridge(folder.path, ...hosts.flatMap((host) => ["--allow-host", host]));
  relay.to = Number(new URL(bridge.url).port);
  chromium = await startChromium(`--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`);
});

afterAll(async () => {
  await chromium?.close();
  await bridge?.stop();
  relay.close();
  pages.close();
  folder[Symbol.dispose]();
});

/** What a page saw of what it tried, by its name. */
type Tried = Readonly<Record<string, string>>;

/** A script for a page. `name`: by which it calls the bridge. */
function attempts(name: string): string {
  const given = { at: `${name}:${relayPort}`, control: bridge.control };
  return `(async ({ at, control }) => {
    const socket = (protocols) => new Promise((resolve) => {
      const ws = new WebSocket("ws://" + at + "/rpc", protocols);
      ws.onopen = () => ws.send('{"jsonrpc":"2.0","id":1,"method":"Bridge.version"}');
      ws.onmessage = ({ data }) => { resolve("read: " + data); ws.close(); };
      ws.onclose = ({ code }) => resolve("closed: " + code);
    });
    const get = async (path, more) => {
      try {
        const response = await fetch("http://" + at + path, more);
        return "read: " + response.type + " " + response.status + " " + await response.text();
      } catch (error) {
        return "failed: " + error.name;
      }
    };
    const element = (kind, path) => new Promise((resolve) => {
      const made = document.createElement(kind);
      made.onload = () => resolve("loaded");
      made.onerror = () => resolve("failed");
      made.src = "http://" + at + path;
      document.documentElement.append(made);
    });
    const events = () => new Promise((resolve) => {
      const source = new EventSource("http://" + at + "/events?after=0");
      source.onmessage = ({ data }) => resolve("read: " + data);
      source.onerror = () => { source.close(); resolve("failed"); };
    });
    return {
      "a WebSocket": await socket([]),
      "a WebSocket with a wrong token": await socket(["ebscope.v1", "ebscope.token.x"]),
      "a WebSocket with the token for control": await socket(["ebscope.v1", "ebscope.token." + control]),
      "fetch": await get("/captures"),
      "fetch with the token": await get("/captures", { headers: { authorization: "Bearer " + control } }),
      "fetch without CORS": await get("/captures", { mode: "no-cors", credentials: "include" }),
      "fetch of what is open": await get("/healthz"),
      "POST": await get("/captures", { method: "POST", body: "{}" }),
      "events": await events(),
      "a script": await element("script", "/captures"),
      "an image": await element("img", "/captures"),
      "a script of what is open": await element("script", "/healthz"),
    };
  })(${JSON.stringify(given)})`;
}

/** Runs the script in a page, and tells what the page saw, and what the bridge was asked and answered meanwhile. */
async function tryFrom(url: string, script: string): Promise<{ seen: Tried; went: readonly Conversation[] }> {
  relay.conversations.length = 0;
  const page = await chromium.open(url);
  const seen = await page.evaluate<Tried>(script);
  await page.close();
  return { seen, went: [...relay.conversations] };
}

/** In a frame of a page, with an origin that is nobody's. */
function inSandbox(script: string): string {
  const html = `<script>${script}.then((seen) => parent.postMessage(seen, "*"))</script>`;
  return `new Promise((resolve) => {
    addEventListener("message", ({ data }) => resolve(data));
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.srcdoc = ${JSON.stringify(html).replaceAll("</", "<\\/")};
    document.documentElement.append(frame);
  })`;
}

function handshakes(went: readonly Conversation[]): readonly Conversation[] {
  return went.filter(({ asked }) => /^upgrade: websocket\r$/im.test(asked));
}

function statuses(went: readonly Conversation[]): number[] {
  return went.flatMap(({ answered }) => [...answered.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, code]) => Number(code)));
}

const NOTHING_READ = /^(failed|closed: 1006|failed: TypeError|read: opaque 0 )$/;

describe("a page whose origin is allowed", () => {
  it("reads and calls with the token through its WebSocket, and nothing without", async () => {
    const { seen, went } = await tryFrom(`http://localhost:${pagesPort}/`, attempts("127.0.0.1"));
    const { "a WebSocket with the token for control": allowed, ...others } = seen;
    expect(allowed).toMatch(/^read: .*"access":"control"/);
    expect(Object.entries(others).filter(([, outcome]) => !NOTHING_READ.test(outcome))).toEqual([]);
    expect(statuses(handshakes(went))).toEqual([401, 401, 101]);
  });
});

describe.each<[string, () => string, string, (script: string) => string, string, string]>([
  ["of another port", () => `http://127.0.0.1:${pagesPort}/`, "127.0.0.1", String, "http://127.0.0.1:PAGES", "origin"],
  ["of a file", () => fileUrl(), "127.0.0.1", String, "null|file://", "origin"],
  ["in a sandbox of an allowed page", () => `http://localhost:${pagesPort}/`, "127.0.0.1", inSandbox, "null", "origin"],
  [
    "of a name that was made to lead to the bridge",
    () => `http://${REBOUND}:${relayPort}/page`,
    REBOUND,
    String,
    `http://${REBOUND}:RELAY`,
    "host",
  ],
])("a page %s", (_name, url, asking, wrap, origin, refusal) => {
  let seen: Tried;
  let went: readonly Conversation[];
  beforeAll(async () => {
    ({ seen, went } = await tryFrom(url(), wrap(attempts(asking))));
  });

  it("opens no WebSocket, reads nothing, and runs nothing", () => {
    expect(Object.keys(seen).length).toBe(12);
    // Of a page that is of the bridge's own name for the browser only the refusal can be read.
    const refused = /^read: basic 403 \{"error":\{"code":"host-refused",/;
    const told = refusal === "host" ? new RegExp(`${NOTHING_READ.source}|${refused.source}`) : NOTHING_READ;
    expect(Object.entries(seen).filter(([, outcome]) => !told.test(outcome))).toEqual([]);
  });

  it("is refused each handshake with 403 before the upgrade, and what to do", () => {
    const found = handshakes(went);
    expect(found.length).toBe(3);
    expect(found.some(({ asked }) => asked.includes(`ebscope.token.${bridge.control}`))).toBe(true);
    const expected = origin.replace("PAGES", String(pagesPort)).replace("RELAY", String(relayPort));
    for (const { asked, answered } of found) {
      expect(expected.split("|")).toContain(/^origin: (.*)\r$/im.exec(asked)?.[1]);
      expect(answered).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
      expect(answered).toMatch(new RegExp(`"code":"${refusal}-refused","message":".{20,}","next":".{20,}"`));
      expect(answered).not.toMatch(/sec-websocket-accept/i);
    }
  });

  it("gets no answer but refusals, and none that allows another origin anything", () => {
    const others = went.filter((each) => !handshakes(went).includes(each));
    expect(others.length).toBeGreaterThan(0);
    for (const { answered } of others) expect(answered.toLowerCase()).not.toMatch(/access-control-|set-cookie/);
    // Without CORS a browser names no origin: what is open is answered, and kept from the page.
    const open = others.filter(({ asked }) => /^GET \/healthz /m.test(asked) && !/^origin: /im.test(asked));
    const closed = others.filter((each) => !open.includes(each));
    expect(new Set(statuses(closed)).size).toBeGreaterThan(0);
    expect(statuses(closed).filter((status) => ![401, 403, 404].includes(status))).toEqual([]);
  });
});

function fileUrl(): string {
  const path = join(folder.path, "page.html");
  writeFileSync(path, PAGE);
  return `file://${path}`;
}
