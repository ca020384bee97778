/**
 * The stream of events beside a bare `ws` server that does the same: so many clients, so many events a second of so many bytes, clients that go
 * away at random and come back for what they missed. Turn and turn about in one run, each server in a process of its own, all clients in another.
 *
 * A delivery is the time from when the event was made to when a client had it, of clients that were there when it was made. ebscope's events go
 * through the durable log (written and synced before they are told) with `--log disk`; the bare server writes nothing, so that `--log memory`
 * is what is held against it.
 *
 *   npm run bench:stream [-- --clients 200 --rate 100 --size 2048 --seconds 60 --stalled 20 --log memory|disk]
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { WebSocket, WebSocketServer } from "ws";
import type { BridgeEvent } from "../src/api/events.ts";
import type { EventLog, LoggedEvent, NewEvent } from "../src/bridge/ports.ts";
import { openEventLog } from "../src/bridge/store/event-log.ts";
import { makeTokens } from "../src/server/security/tokens.ts";
import { startServer } from "../src/server/server.ts";

const { values: flags } = parseArgs({
  options: {
    role: { type: "string", default: "main" },
    clients: { type: "string", default: "200" },
    rate: { type: "string", default: "100" },
    size: { type: "string", default: "2048" },
    seconds: { type: "string", default: "60" },
    stalled: { type: "string", default: "20" },
    log: { type: "string", default: "memory" },
  },
});
const [CLIENTS, RATE, SIZE] = [Number(flags.clients), Number(flags.rate), Number(flags.size)];
/** Seconds of one turn. */
const TURN = 5;
/** Events that the bare server keeps for clients that come back. */
const KEPT = 20_000;

type Order = { readonly run: boolean } | { readonly stall: number };
type Place = { readonly port: number; readonly token: string };
type FromServer = { readonly place: Place } | { readonly rss: number; readonly cpu: number };
type ClientOrder =
  | { readonly places: readonly Place[] }
  | { readonly turn: number | null }
  | { readonly results: true };

/** What one server's clients saw. */
interface Seen {
  readonly deliveries: number[];
  events: number;
  lost: number;
  twice: number;
  comebacks: number;
  lagged: number;
}

/** Nanoseconds of a clock that all processes of the machine share. */
function now(): number {
  return Number(process.hrtime.bigint());
}

/** Calls `make` so many times a second while it is on. */
function producer(make: (text: string) => void): (on: boolean) => void {
  const padding = "x".repeat(SIZE);
  let timer: NodeJS.Timeout | undefined;
  return (on) => {
    clearInterval(timer);
    if (!on) return;
    let made = 0;
    const start = now();
    timer = setInterval(() => {
      const due = ((now() - start) / 1e9) * RATE;
      for (; made < due; made++) make(`${now()} ${padding}`);
    }, 2);
  };
}

function serveOrders(produce: (on: boolean) => void): void {
  process.on("message", (order: Order) => {
    if ("run" in order) produce(order.run);
  });
  process.on("disconnect", () => process.exit());
  setInterval(() => {
    const { user, system } = process.cpuUsage();
    process.send?.({ rss: process.memoryUsage().rss, cpu: (user + system) / 1e6 } satisfies FromServer);
  }, 250);
}

/** A log without a disk: what the server costs by itself. */
class MemoryLog implements EventLog {
  readonly #events: LoggedEvent[] = [];
  readonly #listeners = new Set<(events: readonly LoggedEvent[]) => void>();
  head = 0;

  get oldest(): number {
    return this.head - this.#events.length + 1;
  }

  async append(event: NewEvent): Promise<LoggedEvent> {
    const whole = { seq: ++this.head, time: new Date().toISOString(), ...event } as BridgeEvent;
    const logged = { event: whole, json: JSON.stringify(whole) };
    this.#events.push(logged);
    if (this.#events.length > KEPT) this.#events.shift();
    for (const listener of this.#listeners) listener([logged]);
    return logged;
  }

  async read(from: number, to: number): Promise<readonly LoggedEvent[]> {
    return this.#events.slice(from - this.oldest, to - this.oldest + 1);
  }

  listen(listener: (events: readonly LoggedEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }
}

async function ebscopeServer(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const log = flags.log === "disk" ? await openEventLog(folder) : new MemoryLog();
  const tokens = makeTokens();
  const forms = { html: refuse, markdown: refuse, file: refuse };
  const listen = [{ address: "127.0.0.1", port: 0 }];
  const server = await startServer({ handlers: {}, log, forms, tokens, version: "bench", listen });
  const [place] = server.places;
  serveOrders(
    producer((text) => void log.append({ kind: "capture.progress", target: "t1", capture: "c1", data: { text } })),
  );
  process.send?.({ place: { port: (place as { port: number }).port, token: tokens.read } } satisfies FromServer);
}

async function refuse(): Promise<never> {
  throw new Error("there are no captures here");
}

/** As little as it takes: a list of texts, sent to everybody; `?after=` sends those behind it first. */
async function bareServer(): Promise<void> {
  const texts: string[] = [];
  let head = 0;
  const http = createServer();
  const wss = new WebSocketServer({ server: http });
  wss.on("connection", (ws, request) => {
    const after = Number(new URL(request.url ?? "", "http://x").searchParams.get("after"));
    for (let seq = after + 1; seq <= head; seq++) ws.send(texts[seq - 1 - (head - texts.length)] ?? "");
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  serveOrders(
    producer((text) => {
      head++;
      const event = {
        seq: head,
        time: new Date().toISOString(),
        kind: "capture.progress",
        target: "t1",
        data: { text },
      };
      const json = JSON.stringify({ jsonrpc: "2.0", method: "Stream.event", params: { subscription: "s1", event } });
      texts.push(json);
      if (texts.length > KEPT) texts.shift();
      for (const client of wss.clients) if (client.readyState === WebSocket.OPEN) client.send(json);
    }),
  );
  process.send?.({ place: { port: (http.address() as AddressInfo).port, token: "" } } satisfies FromServer);
}

/** One of many clients of one server. */
class BenchClient {
  readonly #place: Place;
  readonly #seen: Seen;
  #ws: WebSocket | undefined;
  #last = 0;
  /** When it was there again. */
  #since = 0;
  #leave: NodeJS.Timeout | undefined;

  constructor(place: Place, seen: Seen) {
    this.#place = place;
    this.#seen = seen;
    this.#connect();
  }

  /** Whether it goes away now and then. */
  restless(on: boolean): void {
    clearTimeout(this.#leave);
    if (!on) return;
    const wait = -Math.log(1 - Math.random()) * 10_000;
    this.#leave = setTimeout(() => {
      this.#goAway();
      this.restless(true);
    }, wait);
  }

  #goAway(): void {
    if (this.#ws === undefined) return;
    this.#seen.comebacks++;
    this.#ws.removeAllListeners("message");
    this.#ws.terminate();
    this.#ws = undefined;
    setTimeout(() => this.#connect(), Math.random() * 500);
  }

  #connect(): void {
    const { port, token } = this.#place;
    const bare = token === "";
    const url = bare ? `ws://127.0.0.1:${port}/?after=${this.#last}` : `ws://127.0.0.1:${port}/rpc`;
    const ws = new WebSocket(url, { headers: { authorization: `Bearer ${token}` }, perMessageDeflate: false });
    this.#ws = ws;
    const params = { after: this.#last };
    if (!bare)
      ws.on("open", () => ws.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "Stream.subscribe", params })));
    ws.on("open", () => {
      this.#since = now();
    });
    ws.on("message", (data) => this.#take(data as Buffer));
    ws.on("error", () => undefined);
  }

  /** Looks for what it needs in the bytes, for both servers alike: parsing all of it would be what is measured. */
  #take(data: Buffer): void {
    const head = data.toString("latin1", 0, 256);
    if (head.includes("Stream.lagged")) this.#seen.lagged++;
    const seq = Number(/"seq":(\d+)/.exec(head)?.[1]);
    const made = Number(/"text":"(\d+) /.exec(head)?.[1]);
    if (!(seq > 0)) return;
    this.#seen.events++;
    if (seq <= this.#last) this.#seen.twice++;
    else this.#seen.lost += seq - this.#last - 1;
    this.#last = Math.max(seq, this.#last);
    if (made > this.#since) this.#seen.deliveries.push((now() - made) / 1e6);
  }
}

function clients(): void {
  const seen: Seen[] = [];
  const all: BenchClient[][] = [];
  process.on("message", (order: ClientOrder) => {
    if ("places" in order) {
      for (const place of order.places) {
        const own: Seen = { deliveries: [], events: 0, lost: 0, twice: 0, comebacks: 0, lagged: 0 };
        seen.push(own);
        all.push(Array.from({ length: CLIENTS }, () => new BenchClient(place, own)));
      }
    } else if ("turn" in order) {
      for (const [server, some] of all.entries()) {
        for (const client of some) client.restless(order.turn === server);
      }
    } else {
      process.send?.(seen.map((each) => ({ ...each, deliveries: summary(each.deliveries) })));
      for (const each of seen) each.deliveries.length = 0;
    }
  });
  process.on("disconnect", () => process.exit());
}

/** Milliseconds. */
interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

type Results = readonly (Omit<Seen, "deliveries"> & { readonly deliveries: Summary })[];

function summary(times: readonly number[]): Summary {
  const sorted = Float64Array.from(times).sort();
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) };
}

/** Clients that subscribe and never read. */
function stalledReaders(count: number, { port, token }: Place): WebSocket[] {
  return Array.from({ length: count }, () => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}/rpc`, { headers: { authorization: `Bearer ${token}` } });
    ws.on("error", () => undefined);
    ws.on("open", () => {
      ws.send('{"jsonrpc":"2.0","id":1,"method":"Stream.subscribe","params":{}}');
      ws.pause();
    });
    return ws;
  });
}

class Child {
  readonly process: ChildProcess;
  rss = 0;
  most = 0;
  /** Seconds of a processor. */
  cpu = 0;

  constructor(role: string) {
    const options = Object.entries({ ...flags, role }).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.process = fork(fileURLToPath(import.meta.url), options);
    this.process.on("message", (message: FromServer) => {
      if (!("rss" in message)) return;
      this.rss = message.rss;
      this.cpu = message.cpu;
      this.most = Math.max(this.most, message.rss);
    });
  }

  async place(): Promise<Place> {
    const message = await this.next<{ place: Place }>(
      (each) => typeof each === "object" && "place" in (each as object),
    );
    return message.place;
  }

  next<T>(fits: (message: unknown) => boolean): Promise<T> {
    return new Promise((resolve) => {
      const look = (message: unknown): void => {
        if (!fits(message)) return;
        this.process.off("message", look);
        resolve(message as T);
      };
      this.process.on("message", look);
    });
  }

  send(order: Order | ClientOrder): void {
    this.process.send(order);
  }
}

async function main(): Promise<void> {
  const servers = [new Child("ebscope"), new Child("bare")];
  const crowd = new Child("clients");
  try {
    const places = await Promise.all(servers.map((server) => server.place()));
    crowd.send({ places });
    await wait(3);
    await turns(servers, crowd, TURN * 2);
    console.log(`${CLIENTS} clients × ${RATE} events/s × ${SIZE} bytes, ${flags.seconds} s each, log: ${flags.log}`);
    const times = await turns(servers, crowd, Number(flags.seconds));
    print(["ebscope", "bare ws"], times, await results(crowd), servers);
    const ratios = times.map(([ours, bare]) => (ours?.p99 ?? 0) / (bare?.p99 ?? 1));
    goal("p99 of ebscope / bare ws, median of the turns", median(ratios), 1.25);
    await withStalled(servers[0] as Child, crowd, places[0] as Place);
  } finally {
    for (const child of [...servers, crowd]) child.process.disconnect();
  }
}

/** The same load on ebscope without and with readers that stop reading, turn and turn about. */
async function withStalled(server: Child, crowd: Child, place: Place): Promise<void> {
  const count = Number(flags.stalled);
  const times: [number[], number[]] = [[], []];
  let grown = 0;
  for (let done = 0; done < Number(flags.seconds); done += 2 * TURN) {
    const before = await turn(server, crowd, 0);
    const rss = server.rss;
    server.most = rss;
    const stalled = stalledReaders(count, place);
    await wait(1);
    const during = await turn(server, crowd, 0);
    grown = Math.max(grown, server.most - rss);
    for (const ws of stalled) ws.terminate();
    times[0].push(before.p99);
    times[1].push(during.p99);
  }
  console.log(`${count} readers that stop reading beside them`);
  const [without, beside] = times.map(median);
  console.log(`  median p99 of the turns without them ${without?.toFixed(2)} ms, beside them ${beside?.toFixed(2)} ms`);
  goal("p99 beside them / without", (beside ?? 0) / (without ?? 1), 1.2);
  goal("growth of memory in MiB", grown / 2 ** 20, 64);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** What the clients of one server saw in one turn of it. */
async function turn(server: Child, crowd: Child, index: number): Promise<Summary> {
  server.send({ run: true });
  crowd.send({ turn: index });
  await wait(TURN);
  server.send({ run: false });
  crowd.send({ turn: null });
  await wait(1);
  return ((await results(crowd))[index] as Results[number]).deliveries;
}

/** Turn by turn, server by server. */
async function turns(servers: readonly Child[], crowd: Child, seconds: number): Promise<Summary[][]> {
  const all: Summary[][] = [];
  for (let done = 0; done < seconds; done += TURN) {
    const times: Summary[] = [];
    for (const [index, server] of servers.entries()) times.push(await turn(server, crowd, index));
    all.push(times);
  }
  return all;
}

function results(crowd: Child): Promise<Results> {
  const found = crowd.next<Results>(Array.isArray);
  crowd.send({ results: true });
  return found;
}

function print(names: readonly string[], times: Summary[][], seen: Results, servers: readonly Child[]): void {
  for (const [i, name] of names.entries()) {
    const [own, child, each] = [times.map((one) => one[i] as Summary), servers[i] as Child, seen[i] as Results[number]];
    const [p50, p99] = [median(own.map((one) => one.p50)), median(own.map((one) => one.p99))];
    const most = Math.max(...own.map((one) => one.most));
    console.log(
      `  ${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms (medians of the turns), most ${most.toFixed(0)} ms`,
    );
    console.log(
      `    events ${each.events}, lost ${each.lost}, twice ${each.twice}, lagged ${each.lagged}, comebacks ${each.comebacks}; ` +
        `RSS at most ${(child.most / 2 ** 20).toFixed(0)} MiB, ${child.cpu.toFixed(1)} s of a processor`,
    );
  }
}

function goal(what: string, seen: number, most: number): void {
  console.log(`  goal: ${what} <= ${most}: ${seen.toFixed(2)} ${seen <= most ? "(met)" : "(MISSED)"}`);
}

function wait(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

switch (flags.role) {
  case "ebscope":
    await ebscopeServer();
    break;
  case "bare":
    await bareServer();
    break;
  case "clients":
    clients();
    break;
  default:
    await main();
}
