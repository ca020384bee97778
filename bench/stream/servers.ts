/** The contenders, each in a process of its own: ebscope's server over its log on disk, and bare `ws` with and without a file. */
import { mkdtempSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket, WebSocketServer } from "ws";
import type { NewEvent } from "../../src/bridge/ports.ts";
import { openEventLog } from "../../src/bridge/store/event-log.ts";
import { makeTokens } from "../../src/server/security/tokens.ts";
import { startServer } from "../../src/server/server.ts";
import { flags, KEPT, now, type Order, type Place, type Vitals } from "./common.ts";

/**
 * Events that are there before any client: more than the log keeps in memory, and than the buffers of a connection hold, for readers that ask
 * for all and take nothing.
 */
const BEFOREHAND = 10_000;
const PADDING = "x".repeat(flags.size);

/** Events that are made in one go by a server that is behind: one that is too slow would do nothing else any more. */
const AT_ONCE = 4;

type Make = (text: string) => void;

/**
 * Makes events at the rate that was asked for, while it is on. An event has the time at which it was due, as something outside would have made
 * it then: a server that is held up for a while is not to be the one that tells when events happen (coordinated omission).
 */
function producer(make: Make): (on: boolean) => void {
  let timer: NodeJS.Timeout | undefined;
  return (on) => {
    clearInterval(timer);
    if (!on) return;
    let made = 0;
    const start = now();
    const due = (): number => Math.round(start + (made / flags.rate) * 1e9);
    timer = setInterval(() => {
      for (let i = 0; i < AT_ONCE && due() <= now(); i++, made++) make(`${due()} ${PADDING}`);
    }, 1);
  };
}

function serveOrders(place: Place, make: Make, head: () => number): void {
  const produce = producer(make);
  process.on("message", ({ run }: Order) => produce(run));
  process.on("disconnect", () => process.exit());
  // The last of them may come when nobody listens any more.
  process.on("error", () => process.exit());
  process.send?.(place);
  setInterval(() => {
    const { user, system } = process.cpuUsage();
    const vitals: Vitals = { rss: process.memoryUsage().rss, cpu: (user + system) / 1e6, head: head() };
    process.send?.(vitals);
  }, 100);
}

/** A folder that is gone when the process ends. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const eventOf = (text: string): NewEvent => ({
  kind: "capture.progress",
  target: "t1",
  capture: "c1",
  data: { text },
});

export async function ebscopeServer(): Promise<void> {
  const log = await openEventLog(temporaryFolder());
  await Promise.all(Array.from({ length: BEFOREHAND }, () => log.append(eventOf(`0 ${PADDING}`))));
  const tokens = makeTokens();
  const listen = [{ address: "127.0.0.1", port: 0 }];
  const forms = { html: refuse, markdown: refuse, file: refuse };
  const server = await startServer({ handlers: {}, log, forms, tokens, version: "bench", listen });
  const [{ port }] = server.places as unknown as readonly [{ port: number }];
  const make: Make = (text) => void log.append(eventOf(text));
  serveOrders({ port, token: tokens.read, head: log.head }, make, () => log.head);
}

async function refuse(): Promise<never> {
  throw new Error("there are no captures here");
}

/** Texts that go out to everybody, and the latest of them for those who come back. */
class BareServer {
  readonly #texts: string[] = [];
  readonly #subscribed = new Set<WebSocket>();
  head = 0;

  constructor(wss: WebSocketServer) {
    wss.on("connection", (ws) => ws.on("message", (data) => this.#subscribe(ws, Number(data))));
  }

  /** As ebscope's clients do: the answer first, then what was missed; from then on all that comes. */
  #subscribe(ws: WebSocket, after: number): void {
    ws.send('{"id":1}');
    for (let seq = after + 1; seq <= this.head; seq++) ws.send(this.#text(seq));
    this.#subscribed.add(ws);
    ws.on("close", () => this.#subscribed.delete(ws));
  }

  #text(seq: number): string {
    return this.#texts[seq - 1 - (this.head - this.#texts.length)] ?? "";
  }

  textOf(seq: number, text: string): string {
    const event = { seq, time: new Date().toISOString(), ...eventOf(text) };
    return JSON.stringify({ jsonrpc: "2.0", method: "Stream.event", params: { subscription: "s1", event } });
  }

  tell(json: string): void {
    this.head++;
    this.#texts.push(json);
    if (this.#texts.length > KEPT) this.#texts.shift();
    for (const ws of this.#subscribed) if (ws.readyState === WebSocket.OPEN) ws.send(json);
  }
}

/** `logged`: each event is on disk before it is sent; those that wait go into one write. */
export async function bareServer(logged: boolean): Promise<void> {
  const http = createServer();
  const server = new BareServer(new WebSocketServer({ server: http }));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  const file = logged ? await open(join(temporaryFolder(), "log"), "w") : undefined;
  const make = file === undefined ? plainly(server) : onDiskFirst(server, file);
  serveOrders({ port, token: "", head: 0 }, make, () => server.head);
}

function plainly(server: BareServer): Make {
  return (text) => server.tell(server.textOf(server.head + 1, text));
}

function onDiskFirst(server: BareServer, file: FileHandle): Make {
  let waiting: string[] = [];
  let seq = 0;
  let busy = false;
  const write = async (): Promise<void> => {
    busy = true;
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      await file.write(`${batch.join("\n")}\n`);
      await file.datasync();
      for (const json of batch) server.tell(json);
    }
    busy = false;
  };
  return (text) => {
    waiting.push(server.textOf(++seq, text));
    if (!busy) void write();
  };
}
