/**
 * The stream of events beside bare `ws` servers that do the same: so many clients, so many events a second of so many bytes, clients that go
 * away at random and come back for what they missed. Turn and turn about in one run, each server in a process of its own, all clients in
 * another:
 *
 * - `ebscope`: its server over its log, in which each event is on disk before anybody is told of it;
 * - `beside stalled readers`: another one, on which readers hang that asked for everything and take nothing;
 * - `bare ws`: events come from memory, and nothing is written;
 * - `bare ws, logged`: each event is written and synced before it is sent, as ebscope does.
 *
 * A delivery is the time from when an event was due to when a client had it, of clients that were subscribed then.
 *
 *   npm run bench:stream [-- --clients 200 --rate 100 --size 2048 --seconds 60 --turn 5 --stalled 20 --alone --json]
 */
import { fileURLToPath } from "node:url";
import { ClientsChild, ServerChild } from "./stream/child.ts";
import { clients, StalledReaders } from "./stream/clients.ts";
import { flags, type Seen, wait } from "./stream/common.ts";
import { bareServer, ebscopeServer } from "./stream/servers.ts";

/** Seconds after which an event that has not come counts as lost. */
const PATIENCE = 20;

const ALL = [
  { name: "ebscope", role: "ebscope" },
  { name: "beside stalled readers", role: "ebscope" },
  { name: "bare ws", role: "bare" },
  { name: "bare ws, logged", role: "logged" },
] as const;
const [EBSCOPE, BESIDE, BARE, LOGGED] = [0, 1, 2, 3] as const;
/** Those that are compared with each other side by side. */
const ORDER = flags.alone ? [EBSCOPE, BESIDE] : [BARE, EBSCOPE, BESIDE, LOGGED];
const CONTENDERS = flags.alone ? ALL.slice(0, BARE) : ALL;

class Run {
  readonly #servers: readonly ServerChild[];
  readonly #crowd: ClientsChild;
  readonly #turns: Seen[][] = CONTENDERS.map(() => []);

  constructor() {
    const module = fileURLToPath(import.meta.url);
    this.#servers = CONTENDERS.map(({ role }) => new ServerChild(module, role));
    this.#crowd = new ClientsChild(module);
  }

  async run(): Promise<void> {
    try {
      const places = await Promise.all(this.#servers.map(({ place }) => place));
      this.#crowd.send({ places });
      await wait(Math.min(3, flags.turn));
      for (const index of ORDER) await this.#turn(index);
      const stalled = new StalledReaders(places[BESIDE] as (typeof places)[number], flags.stalled);
      await wait(Math.min(2, flags.turn));
      await this.#rounds();
      stalled.end();
      this.#print(stalled.connections);
    } finally {
      for (const child of [...this.#servers, this.#crowd]) child.process.disconnect();
    }
  }

  /** Both of ebscope's servers have the load: each has half of the time. */
  async #rounds(): Promise<void> {
    for (let done = 0; done < flags.seconds; done += 2 * flags.turn) {
      for (const index of ORDER) this.#turns[index]?.push(await this.#turn(index));
    }
  }

  async #turn(index: number): Promise<Seen> {
    const server = this.#servers[index] as ServerChild;
    server.send({ run: true });
    this.#crowd.send({ restless: index });
    await wait(flags.turn);
    server.send({ run: false });
    this.#crowd.send({ restless: null });
    const missing = await this.#missing(index);
    const seen = (await this.#crowd.report())[index] as Seen;
    return { ...seen, lost: seen.lost + missing };
  }

  /** Events that the clients have not got although those that were away came back, and time went by. */
  async #missing(index: number): Promise<number> {
    // Until it has told its head.
    await wait(0.3);
    const { head } = (this.#servers[index] as ServerChild).vitals;
    for (let left = PATIENCE; ; left -= 0.2) {
      const missing = Math.max(head - ((await this.#crowd.lasts())[index] as number), 0);
      if (missing === 0 || left <= 0) return missing;
      await wait(0.2);
    }
  }

  #print(stalledConnections: number): void {
    const turns = this.#turns;
    const [without, beside] = [EBSCOPE, BESIDE].map((index) => this.#costs(index).rssMiB);
    const found = {
      servers: CONTENDERS.map(({ name }, i) => ({ name, ...totals(turns[i] ?? []), ...this.#costs(i) })),
      ratio: this.#ratio(EBSCOPE, BARE),
      ratioLogged: this.#ratio(EBSCOPE, LOGGED),
      ratioStalled: this.#ratio(BESIDE, EBSCOPE),
      grownMiB: (beside ?? 0) - (without ?? 0),
      stalledConnections,
    };
    if (flags.json) console.log(JSON.stringify(found));
    else printFound(found);
  }

  #costs(index: number): { rssMiB: number; cpu: number } {
    const { mostRss, vitals } = this.#servers[index] as ServerChild;
    return { rssMiB: mostRss / 2 ** 20, cpu: vitals.cpu };
  }

  /** Of the p99s of turns that were side by side, the median. */
  #ratio(one: number, other: number): number {
    const p99 = (index: number, round: number): number => this.#turns[index]?.[round]?.deliveries.p99 ?? Number.NaN;
    return median((this.#turns[one] ?? []).map((_, round) => p99(one, round) / p99(other, round)));
  }
}

function totals(turns: readonly Seen[]) {
  const sum = (of: (turn: Seen) => number): number => turns.reduce((all, each) => all + of(each), 0);
  return {
    p50: median(turns.map(({ deliveries }) => deliveries.p50)),
    p99: median(turns.map(({ deliveries }) => deliveries.p99)),
    most: Math.max(...turns.map(({ deliveries }) => deliveries.most)),
    deliveries: sum(({ deliveries }) => deliveries.count),
    events: sum(({ events }) => events),
    lost: sum(({ lost }) => lost),
    twice: sum(({ twice }) => twice),
    lagged: sum(({ lagged }) => lagged),
    comebacks: sum(({ comebacks }) => comebacks),
  };
}

type ServerFound = ReturnType<typeof totals> & {
  readonly name: string;
  readonly rssMiB: number;
  readonly cpu: number;
};

interface Found {
  readonly servers: readonly ServerFound[];
  readonly ratio: number;
  readonly ratioLogged: number;
  readonly ratioStalled: number;
  readonly grownMiB: number;
  readonly stalledConnections: number;
}

function printFound({ servers, ratio, ratioLogged, ratioStalled, grownMiB, stalledConnections }: Found): void {
  const { clients, rate, size, seconds, turn, stalled } = flags;
  console.log(`${clients} clients × ${rate} events/s × ${size} bytes; ebscope ${seconds} s, in turns of ${turn} s`);
  for (const each of servers) {
    const [p50, p99, most] = [each.p50.toFixed(2), each.p99.toFixed(2), each.most.toFixed(0)];
    console.log(`  ${each.name}: p50 ${p50} ms, p99 ${p99} ms (medians of the turns), most ${most} ms`);
    const costs = `RSS at most ${each.rssMiB.toFixed(0)} MiB, ${each.cpu.toFixed(1)} s of a processor`;
    const { events, lost, twice, lagged, comebacks } = each;
    console.log(
      `    events ${events}, lost ${lost}, twice ${twice}, lagged ${lagged}, comebacks ${comebacks}; ${costs}`,
    );
  }
  console.log("p99s of turns side by side, medians of the rounds:");
  if (!flags.alone) {
    goal("ebscope / bare ws", ratio, 1.25);
    console.log(`  ebscope / bare ws that logs, too: ${ratioLogged.toFixed(2)}`);
  }
  goal(`beside ${stalled} stalled readers / without`, ratioStalled, 1.2);
  goal("MiB of memory more beside them", grownMiB, 64);
  console.log(`  (${stalledConnections} of them, one after the other)`);
}

function goal(what: string, seen: number, most: number): void {
  console.log(`  ${what}: ${seen.toFixed(2)}; goal <= ${most}: ${seen <= most ? "met" : "MISSED"}`);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

switch (flags.role) {
  case "ebscope":
    await ebscopeServer();
    break;
  case "bare":
  case "logged":
    await bareServer(flags.role === "logged");
    break;
  case "clients":
    clients();
    break;
  default:
    await new Run().run();
}
