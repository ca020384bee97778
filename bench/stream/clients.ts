/** All clients of all servers, in one process: they count what comes, go away at random, and come back for what they missed. */
import { WebSocket } from "ws";
import { type ClientOrder, flags, type Lasts, now, type Place, type Seen, summaryOf } from "./common.ts";

/** Seconds between two times that a restless client goes away, on average, and until it is back, at most. */
const STAYS = 10;
const AWAY = 0.5;

/** What the clients of one server saw since it was last told. */
class Counts {
  deliveries: number[] = [];
  events = 0;
  lost = 0;
  twice = 0;
  comebacks = 0;
  lagged = 0;
}

class BenchClient {
  readonly #place: Place;
  readonly #counts: () => Counts;
  #ws: WebSocket | undefined;
  last: number;
  /** When it was subscribed again; later than any event until then. */
  #since = Number.POSITIVE_INFINITY;
  #leave: NodeJS.Timeout | undefined;

  constructor(place: Place, counts: () => Counts) {
    this.#place = place;
    this.#counts = counts;
    this.last = place.head;
    this.#connect();
  }

  /** Whether it goes away now and then. */
  restless(on: boolean): void {
    clearTimeout(this.#leave);
    if (!on) return;
    const stays = -Math.log(1 - Math.random()) * STAYS * 1000;
    this.#leave = setTimeout(() => {
      this.#goAway();
      this.restless(true);
    }, stays);
  }

  #goAway(): void {
    if (this.#ws === undefined) return;
    this.#counts().comebacks++;
    this.#ws.removeAllListeners("message");
    this.#ws.terminate();
    this.#ws = undefined;
    setTimeout(() => this.#connect(), Math.random() * AWAY * 1000);
  }

  #connect(): void {
    const { port, token } = this.#place;
    const headers = { authorization: `Bearer ${token}` };
    const ws = new WebSocket(`ws://127.0.0.1:${port}/rpc`, { headers, perMessageDeflate: false });
    this.#ws = ws;
    this.#since = Number.POSITIVE_INFINITY;
    ws.on("open", () => ws.send(subscription(token, this.last)));
    ws.on("message", (data) => this.#take(data as Buffer));
    ws.on("error", () => undefined);
  }

  /** Looks for what it needs in the bytes, for all servers alike: parsing all of it would be what is measured. */
  #take(data: Buffer): void {
    const head = data.toString("latin1", 0, 256);
    const counts = this.#counts();
    const seq = Number(/"seq":(\d+)/.exec(head)?.[1]);
    if (!(seq > 0)) {
      if (head.includes("Stream.lagged")) counts.lagged++;
      else this.#since = now();
      return;
    }
    const made = Number(/"text":"(\d+) /.exec(head)?.[1]);
    counts.events++;
    if (seq <= this.last) counts.twice++;
    else counts.lost += seq - this.last - 1;
    this.last = Math.max(seq, this.last);
    if (made > this.#since) counts.deliveries.push((now() - made) / 1e6);
  }
}

/** A bare server is told the number alone. */
function subscription(token: string, after: number): string {
  if (token === "") return String(after);
  return JSON.stringify({ jsonrpc: "2.0", id: 1, method: "Stream.subscribe", params: { after } });
}

class Crowd {
  readonly #clients: readonly BenchClient[];
  #counts = new Counts();

  constructor(place: Place) {
    this.#clients = Array.from({ length: flags.clients }, () => new BenchClient(place, () => this.#counts));
  }

  restless(on: boolean): void {
    for (const client of this.#clients) client.restless(on);
  }

  get last(): number {
    return this.#clients.reduce((least, each) => Math.min(least, each.last), Number.POSITIVE_INFINITY);
  }

  report(): Seen {
    const counts = this.#counts;
    this.#counts = new Counts();
    return { ...counts, deliveries: summaryOf(counts.deliveries) };
  }
}

export function clients(): void {
  let crowds: readonly Crowd[] = [];
  process.on("message", (order: ClientOrder) => {
    if ("places" in order) crowds = order.places.map((place) => new Crowd(place));
    else if ("restless" in order) for (const [i, crowd] of crowds.entries()) crowd.restless(order.restless === i);
    else if (order.ask === "report") process.send?.(crowds.map((crowd) => crowd.report()));
    else process.send?.({ lasts: crowds.map(({ last }) => last) } satisfies Lasts);
  });
  process.on("disconnect", () => process.exit());
}

/** Seconds that a reader hangs before another one takes its place; who answers no ping is cut off after 40 to 60. */
const HANGS = 50;

/** Readers that ask for all events and take none. One that was cut off would not know it, as it does not read: each gives way after a while. */
export class StalledReaders {
  readonly #place: Place;
  readonly #sockets = new Set<WebSocket>();
  #ended = false;
  connections = 0;

  constructor(place: Place, count: number) {
    this.#place = place;
    // One after the other: those that read the same at the same time would be sent the same bytes of memory.
    for (let i = 0; i < count; i++) setTimeout(() => this.#connect(), i * 75);
  }

  end(): void {
    this.#ended = true;
    for (const ws of this.#sockets) ws.terminate();
  }

  #connect(): void {
    if (this.#ended) return;
    const { port, token } = this.#place;
    const ws = new WebSocket(`ws://127.0.0.1:${port}/rpc`, { headers: { authorization: `Bearer ${token}` } });
    this.#sockets.add(ws);
    this.connections++;
    ws.on("error", () => undefined);
    ws.on("open", () => {
      ws.send(subscription(token, 0));
      ws.pause();
    });
    const away = setTimeout(() => ws.terminate(), HANGS * 1000);
    ws.on("close", () => {
      clearTimeout(away);
      this.#sockets.delete(ws);
      setTimeout(() => this.#connect(), 100);
    });
  }
}
