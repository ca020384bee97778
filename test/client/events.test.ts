/** Events through `ebscope/client`: one order, nothing lost, nothing twice, whatever becomes of connections, readers and the log. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NewEvent } from "../../src/bridge/ports.ts";
import { type BridgeEvent, type Client, connect, EventsGone, type Gap } from "../../src/client/index.ts";
import { MemoryLog, progressEvent } from "../server/support/memory-log.ts";
import { eventually } from "../server/support/serve.ts";
import { Random } from "../support/random.ts";
import { QUICK, rejection, type Served, serve } from "./support.ts";

const SEED = Number(process.env.EBSCOPE_SEED ?? 20_260_101);

let log: MemoryLog;
let served: Served;
let client: Client;
beforeEach(async () => {
  log = new MemoryLog();
  served = await serve({ log, keepTokens: true, limits: { behind: 500, unsent: 100_000 } });
  client = await connect({ url: served.url, token: served.tokens().control ?? "", ...QUICK });
});
afterEach(async () => {
  await client.close();
  await served.end();
});

function appendMany(count: number, text = "x"): void {
  for (let i = 0; i < count; i++) log.appendAll([progressEvent(text)]);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** Sequence numbers up to `last`. */
async function sequence(events: AsyncIterable<BridgeEvent>, last: number): Promise<number[]> {
  const seen: number[] = [];
  for await (const { seq } of events) {
    seen.push(seq);
    if (seq >= last) break;
  }
  return seen;
}

const CHANGE: NewEvent = {
  ...{ kind: "registers.changed", target: "t1", capture: null },
  data: { registers: [{ cpu: 0, name: "SCTLR_EL1", before: "0x0", after: "0x1", class: "control", fields: [] }] },
};

describe("events", () => {
  it("come as they are in the log, those that are kept and those that happen", async () => {
    appendMany(3);
    const events = client.events({ after: 1 });
    const first = await events.next();
    expect(first).toEqual({ done: false, value: { seq: 2, time: "2026-01-02T03:04:05.000Z", ...progressEvent("x") } });
    expect((await events.next()).value?.seq).toBe(3);
    const next = events.next();
    log.appendAll([CHANGE]);
    expect(await next).toMatchObject({ done: false, value: { seq: 4, ...CHANGE } });
  });

  it("are all that are kept after 0, and those from now on when no place is given", async () => {
    appendMany(5);
    log.drop(2);
    const [all, fresh] = [client.events({ after: 0 }), client.events()];
    await client.Target.list();
    appendMany(2);
    expect(await sequence(all, 7)).toEqual([3, 4, 5, 6, 7]);
    expect(await sequence(fresh, 7)).toEqual([6, 7]);
  });

  it("from now on are those of what is called afterwards", async () => {
    const events = client.events();
    const listed = client.Target.list().then(() => appendMany(1));
    expect((await events.next()).value?.seq).toBe(1);
    await listed;
  });

  it("are of the kinds that the filter names, and are typed so", async () => {
    const events = client.events({ after: 0, filter: { kinds: ["registers.changed"], registers: ["SCTLR_EL1"] } });
    appendMany(3);
    log.appendAll([CHANGE]);
    const { value } = await events.next();
    expect(value?.seq).toBe(4);
    expect(value?.data.registers[0]?.name).toBe("SCTLR_EL1");
  });

  it("come to whoever asks, in the order of asking", async () => {
    const events = client.events({ after: 0 });
    const asked = numbers(1, 5).map(() => events.next());
    appendMany(5);
    expect((await Promise.all(asked)).map(({ value }) => value?.seq)).toEqual([1, 2, 3, 4, 5]);
  });

  it("end when the loop is left, and with them the subscription", async () => {
    appendMany(10);
    expect(await sequence(client.events({ after: 0 }), 3)).toEqual([1, 2, 3]);
    await eventually(() => log.listeners === 0);
    {
      await using events = client.events();
      await eventually(() => log.listeners === 1);
      expect(events).toBeDefined();
    }
    await eventually(() => log.listeners === 0);
  });

  it("end with the reason of the signal", async () => {
    const controller = new AbortController();
    const events = client.events({ signal: controller.signal });
    const next = rejection(events.next());
    await eventually(() => log.listeners === 1);
    controller.abort("enough");
    expect(await next).toBe("enough");
    expect(await events.next()).toEqual({ done: true, value: undefined });
    await eventually(() => log.listeners === 0);
    expect(await rejection(client.events({ signal: AbortSignal.abort("never") }).next())).toBe("never");
  });

  it("are not had with a place, a queue or a filter that is none", async () => {
    for (const options of [{ after: -1 }, { after: 1.5 }, { after: Number.NaN }, { queue: 0 }]) {
      expect(() => client.events(options)).toThrow(expect.objectContaining({ code: "usage" }));
    }
    const targets = [1n as unknown as string];
    expect(() => client.events({ filter: { targets } })).toThrow(expect.objectContaining({ code: "usage" }));
    const wrong = client.events({ filter: { kinds: ["nothing" as "finding"] } });
    expect(await rejection(wrong.next())).toMatchObject({ code: "usage", rpcCode: -32602 });
    expect(client.state.kind).toBe("open");
  });

  it("of a seventeenth iterator are refused, and those of the others come on", async () => {
    const streams = numbers(1, 16).map(() => client.events());
    await eventually(() => log.listeners === 16);
    const tooMany = rejection(client.events().next());
    expect(await tooMany).toMatchObject({ code: "too-many-requests" });
    appendMany(1);
    for (const stream of streams) expect((await stream.next()).value?.seq).toBe(1);
  }, 20_000);
});

describe("a connection that is lost again and again, in the middle of anything", () => {
  it.each([0, 1, 2])("loses and repeats nothing for five iterators (%s)", async (round) => {
    const random = new Random(SEED + round);
    const total = 1000;
    served.line.cutAfter = () => random.between(200, 60_000);
    log.beforeRead = () => (random.chance(0.3) ? new Promise((resolve) => setImmediate(resolve)) : undefined);
    log.piece = random.between(1, 300);
    appendMany(200);
    const readers = [
      sequence(client.events({ after: 0 }), total),
      sequence(client.events({ after: 100 }), total),
      sequence(client.events({ after: 0, queue: 7 }), total),
      sequence(slowly(client.events({ after: 0, queue: 50 }), random), total),
      sequence(client.events({ after: 0, filter: { kinds: ["registers.changed"] } }), total),
    ];
    const changes = new Set<number>();
    while (log.head < total) {
      for (let i = random.below(20); i > 0 && log.head < total - 1; i--) {
        const change = random.chance(0.1);
        if (change) changes.add(log.head + 1);
        log.appendAll([change ? CHANGE : progressEvent("y".repeat(random.below(300)))]);
      }
      if (log.head === total - 1) changes.add(total);
      if (log.head === total - 1) log.appendAll([CHANGE]);
      if (random.chance(0.05)) served.line.cut();
      await new Promise((resolve) => setTimeout(resolve, random.below(3)));
    }
    const [all, later, narrow, slow, filtered] = await Promise.all(readers);
    expect(all).toEqual(numbers(1, total));
    expect(later).toEqual(numbers(101, total));
    expect(narrow).toEqual(numbers(1, total));
    expect(slow).toEqual(numbers(1, total));
    expect(filtered).toEqual([...changes]);
    expect(served.line.made).toBeGreaterThan(5);
  });

  it("loses nothing when the bridge is started again meanwhile", async () => {
    const reading = sequence(client.events({ after: 0 }), 400);
    appendMany(100);
    for (let i = 0; i < 3; i++) {
      await served.restart();
      appendMany(100);
    }
    expect(await reading).toEqual(numbers(1, 400));
  });

  it("begins with the events from now on where it began first, not where it came back", async () => {
    appendMany(5);
    const events = client.events();
    // It knows where it began: the answers to both calls come in the order of the calls.
    await client.Target.list();
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "waiting");
    appendMany(3);
    served.line.up = true;
    expect(await sequence(events, 8)).toEqual([6, 7, 8]);
  });
});

/** Takes a break now and then. */
async function* slowly(events: AsyncIterable<BridgeEvent>, random: Random): AsyncGenerator<BridgeEvent> {
  for await (const event of events) {
    if (random.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, 1));
    yield event;
  }
}

describe("a reader that takes its time", () => {
  it("has a full queue and no more: the log keeps the rest, and it gets all of it", async () => {
    const events = client.events({ after: 0, queue: 10 });
    expect((await Promise.all([events.next(), appendMany(1)]))[0].value?.seq).toBe(1);
    for (let i = 0; i < 50; i++) {
      appendMany(20, "z".repeat(1000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => log.listeners === 0);
    expect(await sequence(events, 1001)).toEqual(numbers(2, 1001));
  });

  it("keeps no more than some megabytes of long events", async () => {
    const megabyte = "m".repeat(1 << 20);
    const events = client.events({ after: 0 });
    for (let i = 0; i < 40; i++) appendMany(1, megabyte);
    let reads = 0;
    log.beforeRead = () => {
      reads++;
      return undefined;
    };
    await eventually(() => log.listeners === 0 && reads === 0);
    expect(await sequence(events, 40)).toEqual(numbers(1, 40));
    expect(reads).toBeGreaterThan(1);
  });

  it("that the bridge says lags gets what it missed", async () => {
    let listened = 0;
    const listen = log.listen.bind(log);
    log.listen = (listener) => {
      listened++;
      return listen(listener);
    };
    let answer: (() => void) | undefined;
    log.beforeRead = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    appendMany(10);
    const events = client.events({ after: 0 });
    await eventually(() => answer !== undefined);
    const late = answer;
    log.beforeRead = () => undefined;
    // The log answers while more comes than a reader may fall behind: its subscription ends with Stream.lagged.
    appendMany(2000);
    late?.();
    expect(await sequence(events, 2010)).toEqual(numbers(1, 2010));
    expect(listened).toBe(2);
  });
});

describe("events that are gone", () => {
  async function cutOff(drop: number): Promise<void> {
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "waiting");
    appendMany(10);
    log.drop(drop);
    served.line.up = true;
  }

  it("end the iteration behind those that came before, with their numbers", async () => {
    appendMany(5);
    const events = client.events({ after: 0 });
    await eventually(() => log.listeners === 1);
    await client.Target.list();
    await cutOff(8);
    await eventually(() => client.state.kind === "open");
    for (const seq of numbers(1, 5)) expect((await events.next()).value?.seq).toBe(seq);
    const error = await rejection(events.next());
    expect(error).toBeInstanceOf(EventsGone);
    expect(error).toMatchObject({ code: "events-gone", from: 6, to: 8, next: expect.stringContaining("after: 8") });
    expect(await events.next()).toEqual({ done: true, value: undefined });
    expect(await sequence(client.events({ after: error.to }), 15)).toEqual(numbers(9, 15));
  });

  it("are told to onGap in their place, and the iteration goes on behind them", async () => {
    const order: (number | Gap)[] = [];
    appendMany(5);
    const events = client.events({ after: 0, onGap: (gap) => order.push(gap) });
    await eventually(() => log.listeners === 1);
    await client.Target.list();
    await cutOff(8);
    for await (const { seq } of events) {
      order.push(seq);
      if (seq === 15) break;
    }
    expect(order).toEqual([1, 2, 3, 4, 5, { from: 6, to: 8 }, ...numbers(9, 15)]);
  });

  it("before the first that came are told too, also where the stream began with all that are kept", async () => {
    const gaps: Gap[] = [];
    const events = client.events({ after: 0, onGap: (gap) => gaps.push(gap) });
    await eventually(() => log.listeners === 1);
    // Answered behind the subscription: it is known to the client from then on where the stream began.
    await client.call("Bridge.version", {});
    await cutOff(4);
    expect(await sequence(events, 10)).toEqual(numbers(5, 10));
    expect(gaps).toEqual([{ from: 1, to: 4 }]);
  });

  it("end the first subscription after them as well", async () => {
    appendMany(10);
    log.drop(6);
    expect(await rejection(client.events({ after: 3 }).next())).toMatchObject({ from: 4, to: 6 });
    expect(await sequence(client.events({ after: 6 }), 10)).toEqual([7, 8, 9, 10]);
  });

  it("end the iteration with what onGap throws", async () => {
    appendMany(10);
    log.drop(6);
    const onGap = (): never => {
      throw new Error("not with me");
    };
    const events = client.events({ after: 3, onGap });
    expect(await rejection(events.next())).toEqual(new Error("not with me"));
    await eventually(() => log.listeners === 0);
  });

  it("and all others end the iteration when the bridge has another log, onGap or not", async () => {
    appendMany(3);
    const gaps: Gap[] = [];
    const error = await rejection(client.events({ after: 100, onGap: (gap) => gaps.push(gap) }).next());
    expect(error).toBeInstanceOf(EventsGone);
    expect(error).toMatchObject({ from: 101, to: undefined, next: expect.stringContaining("after: 0") });
    expect(gaps).toEqual([]);
    await eventually(() => log.listeners === 0);
  });

  it("in the middle of the log, as the same Stream.lagged says twice, are a gap", async () => {
    appendMany(30);
    const gaps: Gap[] = [];
    // A log that has damage from 11 to 20, as the durable one tells of it.
    const read = log.read.bind(log);
    log.read = async (from, to) => {
      if (from >= 11 && from <= 20) throw new Error("damaged");
      return read(from, from <= 10 ? Math.min(to, 10) : to);
    };
    Object.assign(log, { nextReadable: async () => 21 });
    expect(await sequence(client.events({ after: 0, onGap: (gap) => gaps.push(gap) }), 30)).toEqual([
      ...numbers(1, 10),
      ...numbers(21, 30),
    ]);
    expect(gaps).toEqual([{ from: 11, to: 20 }]);
    expect(await rejection(sequence(client.events({ after: 0 }), 30))).toMatchObject({ from: 11, to: 20 });
  });
});
