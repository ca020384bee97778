/** The stream of events: one order for all, no gap, nothing twice, and slow readers that harm nobody. */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WebSocket } from "ws";
import type { LoggedEvent, NewEvent } from "../../src/bridge/ports.ts";
import type { Handlers } from "../../src/server/handlers.ts";
import { DEFAULT_LIMITS } from "../../src/server/limits.ts";
import { RpcConnection } from "../../src/server/rpc/connection.ts";
import { SharedFrames } from "../../src/server/stream/frames.ts";
import { MemoryLog, progressEvent } from "./support/memory-log.ts";
import { type Client, eventually, type Served, serve } from "./support/serve.ts";

let log: MemoryLog;
let served: Served;
beforeEach(async () => {
  log = new MemoryLog();
  served = await serve({ log, limits: { requestBurst: 1e6, behind: 500, unsent: 100_000 } });
});
afterEach(() => served.stop());

function appendMany(count: number, text = "x"): void {
  for (let i = 0; i < count; i++) log.appendAll([progressEvent(text)]);
}

/** `from` to `to`, both included. */
function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

async function subscribe(client: Client, params: object = {}): Promise<string> {
  const { result } = await client.call("Stream.subscribe", params);
  return result.subscription as string;
}

describe("a subscription", () => {
  it("tells its name, and where the log begins and ends, before any event", async () => {
    appendMany(5);
    log.drop(2);
    const client = await served.open();
    const { result } = await client.call("Stream.subscribe", { after: 2 });
    expect(result).toEqual({ subscription: "s1", head: 5, oldest: 3 });
    await client.until(({ params }) => params?.event.seq === 5);
    expect(client.messages[0]?.result).toBeDefined();
    expect(client.sequence("s1")).toEqual([3, 4, 5]);
  });

  it("sends the event as it is in the log", async () => {
    const client = await served.open();
    const name = await subscribe(client);
    const { event } = await log.append(progressEvent('quote " \u2028 \u{1f600} \\ '));
    const { params } = await client.until(({ method }) => method === "Stream.event");
    expect(params).toEqual({ subscription: name, event });
  });

  it("without `after` sends new events only, with 0 all that are kept", async () => {
    appendMany(3);
    log.drop(1);
    const client = await served.open();
    const [live, all] = [await subscribe(client), await subscribe(client, { after: 0 })];
    appendMany(1);
    await eventually(() => client.sequence(live).length === 1 && client.sequence(all).length === 3);
    expect(client.sequence(live)).toEqual([4]);
    expect(client.sequence(all)).toEqual([2, 3, 4]);
  });

  it("is refused after events that are not kept any more, and after those of another log", async () => {
    appendMany(10);
    log.drop(5);
    const client = await served.open();
    const [gone, other] = [
      await client.call("Stream.subscribe", { after: 4 }),
      await client.call("Stream.subscribe", { after: 11 }),
    ];
    expect(gone.error?.data.code).toBe("events-gone");
    expect(other.error?.data.code).toBe("events-gone");
    expect((await client.call("Stream.subscribe", { after: 5 })).result.oldest).toBe(6);
    expect((await client.call("Stream.subscribe", { after: 10 })).result.head).toBe(10);
  });

  it("ends by its name, which no other connection has", async () => {
    const [client, other] = [await served.open(), await served.open()];
    const name = await subscribe(client);
    expect((await other.call("Stream.unsubscribe", { subscription: name })).error?.data.code).toBe(
      "no-such-subscription",
    );
    expect((await client.call("Stream.unsubscribe", { subscription: name })).result).toEqual({});
    expect((await client.call("Stream.unsubscribe", { subscription: name })).error?.data.code).toBe(
      "no-such-subscription",
    );
    expect(log.listeners).toBe(0);
  });

  it("is one of 16 at most, and all end with the connection", async () => {
    const client = await served.open();
    for (let i = 0; i < 16; i++) await subscribe(client);
    expect((await client.call("Stream.subscribe")).error).toMatchObject({ code: -32002 });
    expect(log.listeners).toBe(16);
    client.ws.terminate();
    await eventually(() => log.listeners === 0);
  });

  it("that is made in a batch sends nothing before its name is told", async () => {
    appendMany(2);
    const client = await served.open();
    client.send([
      { jsonrpc: "2.0", id: 1, method: "Stream.subscribe", params: { after: 0 } },
      { jsonrpc: "2.0", id: 2, method: "Capture.get", params: { capture: "c1" } },
    ]);
    await client.until(({ params }) => params?.event.seq === 2);
    expect(client.messages.slice(0, 2).map(({ id }) => id)).toEqual([1, 2]);
  });

  it("sends all in order when the log answers late, in pieces, and more comes meanwhile", async () => {
    log.piece = 7;
    log.beforeRead = () => new Promise((resolve) => setImmediate(resolve));
    appendMany(40);
    const client = await served.open();
    const name = await subscribe(client, { after: 3 });
    for (let i = 0; i < 30; i++) {
      log.appendAll(Array.from({ length: i % 4 }, () => progressEvent("y")));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => client.sequence(name).at(-1) === log.head);
    expect(client.sequence(name)).toEqual(numbers(4, log.head));
  });

  it("says that it lagged when the log drops what it wants", async () => {
    appendMany(100);
    log.piece = 10;
    let reads = 0;
    log.beforeRead = async () => {
      if (++reads === 3) log.drop(60);
    };
    const client = await served.open();
    const name = await subscribe(client, { after: 0 });
    const { params } = await client.until(({ method }) => method === "Stream.lagged");
    expect(params).toEqual({ subscription: name, from: 21, to: 60 });
    expect(client.sequence(name)).toEqual(numbers(1, 20));
    expect(log.listeners).toBe(0);
  });

  it("says that it lagged up to where the log goes on behind what is damaged", async () => {
    appendMany(20);
    const damaged = Object.assign(log, { nextReadable: async (from: number) => Math.max(from, 8) });
    damaged.piece = 3;
    const read = log.read.bind(log);
    log.read = async (from, to) => {
      if (from >= 4 && from < 8) throw new Error("bad sector");
      return read(from, to);
    };
    const client = await served.open();
    const name = await subscribe(client, { after: 0 });
    const { params } = await client.until(({ method }) => method === "Stream.lagged");
    expect(params).toEqual({ subscription: name, from: 4, to: 7 });
    const again = await subscribe(client, { after: params.to });
    await eventually(() => client.sequence(again).at(-1) === 20);
    expect([...client.sequence(name), ...client.sequence(again)]).toEqual([1, 2, 3, ...numbers(8, 20)]);
  });

  it("that was asked for by a client that went away meanwhile is none", async () => {
    const socket = new EventEmitter();
    const client = { OPEN: 1, readyState: 1, isPaused: true, bufferedAmount: 0, send: () => undefined };
    const ws = Object.assign(new EventEmitter(), client);
    const services = { handlers: {}, log, frames: new SharedFrames(), limits: DEFAULT_LIMITS, name: "x", version: "1" };
    new RpcConnection(ws as unknown as WebSocket, socket as unknown as Socket, "read", services);
    const call = (id: number, method: string) => Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, method }));
    ws.emit("message", call(1, "Stream.subscribe"), false);
    ws.emit("message", call(2, "Stream.subscribe"), false);
    ws.isPaused = false;
    socket.emit("drain");
    await Promise.resolve();
    ws.readyState = 3;
    ws.emit("close");
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(log.listeners).toBe(0);
  });

  it("ends the connection when the log cannot be read", async () => {
    appendMany(10);
    log.beforeRead = async () => {
      throw new Error("bad sector");
    };
    const client = await served.open();
    client.send({ jsonrpc: "2.0", id: 1, method: "Stream.subscribe", params: { after: 0 } });
    expect((await client.closed()).code).toBe(1011);
  });
});

describe("the frames of notifications", () => {
  it("are the same bytes for all who have the same event a moment later, however long it is", async () => {
    const frames = new SharedFrames();
    for (const length of [10, 6 << 20, 3000]) {
      const logged = await log.append(progressEvent("x".repeat(length)));
      const frame = frames.of("s1", logged);
      expect(frames.of("s1", logged)).toBe(frame);
      expect(frames.of("s2", logged)).not.toBe(frame);
    }
  });

  it("are not kept for ever", async () => {
    const frames = new SharedFrames();
    const first = await log.append(progressEvent("x"));
    const frame = frames.of("s1", first);
    const [long] = log.appendAll([progressEvent("x".repeat(6 << 20))]);
    frames.of("s1", long as LoggedEvent);
    expect(frames.of("s1", first)).not.toBe(frame);
    expect(frames.of("s1", first)).toEqual(frame);
  });
});

describe("three subscribers that come and go", () => {
  /** Reads `total` events, going away at random and resuming after the last one it has. */
  async function reader(total: number, random: () => number): Promise<number[]> {
    const seen: number[] = [];
    while ((seen.at(-1) ?? 0) < total) {
      const client = await served.open();
      const name = await subscribe(client, { after: seen.at(-1) ?? 0 });
      const until = client.messages.length + 1 + Math.floor(random() * 150);
      await eventually(() => client.messages.length >= until || (client.sequence(name).at(-1) ?? 0) >= total);
      client.ws.terminate();
      seen.push(...client.sequence(name));
    }
    return seen;
  }

  it("see the same sequence, without a gap and nothing twice", async () => {
    const total = 3000;
    const readers = [11, 22, 33].map((seed) => reader(total, randomOf(seed)));
    const random = randomOf(44);
    while (log.head < total) {
      const some = Math.min(total - log.head, Math.floor(random() * 6));
      log.appendAll(Array.from({ length: some }, () => progressEvent("x".repeat(random() * 2000))));
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const seen of await Promise.all(readers)) expect(seen).toEqual(numbers(1, total));
  }, 60_000);
});

/** Numbers from 0 to 1, the same for a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("a reader that stops reading", () => {
  it("has a bounded number of bytes wait for it, is told what it missed, catches up from the log, and harms nobody", async () => {
    const [stalled, healthy] = [await served.open(), await served.open()];
    const [slow, quick] = [await subscribe(stalled), await subscribe(healthy)];
    const socketOf = (client: Client) =>
      (client.ws as unknown as { _socket: { pause(): void; resume(): void } })._socket;
    socketOf(stalled).pause();
    const event = progressEvent("x".repeat(20_000));
    for (let i = 0; i < 4000; i++) {
      log.appendAll([event]);
      // The healthy reader reads what is sent; its list of messages is not what is measured.
      if (i % 50 === 0) await eventually(() => healthy.sequence(quick).at(-1) === log.head);
      if (i % 50 === 0) for (const { params } of healthy.messages) if (params?.event) params.event.data.text = "";
    }
    await eventually(() => healthy.sequence(quick).at(-1) === log.head);
    expect(healthy.sequence(quick)).toEqual(numbers(1, 4000));
    socketOf(stalled).resume();
    const { params } = await stalled.until(({ method }) => method === "Stream.lagged");
    expect(stalled.sequence(slow)).toEqual(numbers(1, params.from - 1));
    // What was sent nonetheless lay in the buffers of the system's sockets: 100,000 bytes and one event in the process, of 80 MB.
    expect(params.from * 20_000).toBeLessThan(20e6);
    expect(params.to).toBeGreaterThan(params.from + 498);
    expect(params.to).toBeLessThan(4001);
    const again = await subscribe(stalled, { after: params.from - 1 });
    await eventually(() => stalled.sequence(again).at(-1) === 4000);
    expect(stalled.sequence(again)).toEqual(numbers(params.from, 4000));
  }, 60_000);

  it("and starts again before it missed too much goes on without a gap", async () => {
    const client = await served.open();
    const name = await subscribe(client);
    const socket = (client.ws as unknown as { _socket: { pause(): void; resume(): void } })._socket;
    socket.pause();
    appendMany(400, "x".repeat(50_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.resume();
    await eventually(() => client.sequence(name).length === 400);
    expect(client.sequence(name)).toEqual(numbers(1, 400));
    expect(client.messages.some(({ method }) => method === "Stream.lagged")).toBe(false);
  });

  it("but goes on asking is not read from until it reads, and then every call is answered", async () => {
    let calls = 0;
    const bytes = "A".repeat(1 << 18);
    const handlers: Handlers = {
      "Memory.read": async ({ address }) => {
        calls++;
        return { address, bytes, code: null };
      },
    };
    const own = await serve({ handlers, limits: { requestBurst: 1e6, unsent: 100_000 } });
    const client = await own.open();
    const socket = (client.ws as unknown as { _socket: { pause(): void; resume(): void } })._socket;
    socket.pause();
    for (let id = 1; id <= 800; id++) {
      client.send({ jsonrpc: "2.0", id, method: "Memory.read", params: { target: "t1", address: "0x0", length: 1 } });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const other = await own.open();
    expect((await other.call("Bridge.version")).result.name).toBe("ebscope");
    // 200 MiB of answers were asked for; the buffers of the system's sockets hold some of them.
    expect(calls).toBeLessThan(200);
    socket.resume();
    const answers = [];
    for (let id = 1; id <= 800; id++) answers.push(await client.until((each) => each.id === id));
    // Those that came together may have been too many at once.
    expect(answers.every(({ result, error }) => result?.bytes === bytes || error?.code === -32002)).toBe(true);
    expect(answers.filter(({ result }) => result !== undefined).length).toBe(calls);
    await own.stop();
  }, 60_000);
});

describe("filters", () => {
  const register = (name: string) => ({
    cpu: 0,
    name,
    before: "0x0",
    after: "0x1",
    class: "control" as const,
    fields: [],
  });
  const mapping = (va: string, size: string) =>
    ({
      regime: "EL1&0",
      kind: "removed",
      va,
      size,
      before: null,
      after: null,
      owner: null,
      expected: null,
      memoryType: null,
    }) as const;
  const EVENTS: readonly NewEvent[] = [
    { kind: "target.resumed", target: "t1", capture: null, data: {} },
    { kind: "target.resumed", target: "t2", capture: null, data: {} },
    { kind: "bridge.started", target: null, capture: null, data: { version: "1", cut: 0 } },
    {
      kind: "registers.changed",
      target: "t1",
      capture: null,
      data: { registers: [register("X0"), register("SCTLR_EL1")] },
    },
    { kind: "registers.changed", target: "t1", capture: null, data: { registers: [register("X0")] } },
    {
      kind: "mappings.changed",
      target: "t1",
      capture: null,
      data: { mappings: [mapping("0x1000", "0x1000"), mapping("0xffff800000000000", "0x1000")], complete: true },
    },
    {
      kind: "mappings.changed",
      target: "t1",
      capture: null,
      data: { mappings: [mapping("0x5000", "0x1000")], complete: true },
    },
  ];

  async function through(filter: object): Promise<{ seq: number; data: unknown }[]> {
    const client = await served.open();
    const { result } = await client.call("Stream.subscribe", { after: 0, filter });
    const all = await subscribe(client, { after: 0 });
    await eventually(() => client.sequence(all).length === EVENTS.length);
    const events = client.messages.filter(
      ({ method, params }) => method && params.subscription === result.subscription,
    );
    return events.map(({ params }) => params.event);
  }

  beforeEach(() => {
    log.appendAll(EVENTS);
  });

  it.each<[string, object, number[]]>([
    ["an empty filter", {}, [1, 2, 3, 4, 5, 6, 7]],
    ["kinds", { kinds: ["target.resumed", "bridge.started"] }, [1, 2, 3]],
    ["targets, which events of no target are not of", { targets: ["t2"] }, [2]],
    ["both", { kinds: ["target.resumed"], targets: ["t1"] }, [1]],
    ["an empty list, which lets nothing through", { kinds: [] }, []],
    ["registers, which are for register events alone", { registers: ["SCTLR_EL1"] }, [1, 2, 3, 4, 6, 7]],
    ["no registers", { registers: [] }, [1, 2, 3, 6, 7]],
    ["ranges, which are for mapping events alone", { ranges: [{ start: "0x1fff", size: "0x1" }] }, [1, 2, 3, 4, 5, 6]],
    ["a range that ends where a mapping begins", { ranges: [{ start: "0x0", size: "0x1000" }] }, [1, 2, 3, 4, 5]],
    ["a range of no size", { ranges: [{ start: "0x1800", size: "0x0" }] }, [1, 2, 3, 4, 5]],
    [
      "a range to the end of the addresses",
      { ranges: [{ start: "0xffff800000000fff", size: "0x7fffffffffff" }] },
      [1, 2, 3, 4, 5, 6],
    ],
  ])("let through by %s", async (_name, filter, expected) => {
    expect((await through(filter)).map(({ seq }) => seq)).toEqual(expected);
  });

  it("leave in an event what they let through", async () => {
    const [registers] = await through({ kinds: ["registers.changed"], registers: ["SCTLR_EL1", "TCR_EL1"] });
    expect(registers?.data).toEqual({ registers: [register("SCTLR_EL1")] });
    const [mappings] = await through({
      kinds: ["mappings.changed"],
      ranges: [{ start: "0xffff800000000000", size: "0x1" }],
    });
    expect(mappings?.data).toEqual({ mappings: [mapping("0xffff800000000000", "0x1000")], complete: true });
  });

  it.each([{ kinds: ["nothing"] }, { color: 1 }, { ranges: [{ start: "1", size: "0x1" }] }, { targets: "t1" }])(
    "are refused when they are none: %j",
    async (filter) => {
      const client = await served.open();
      expect((await client.call("Stream.subscribe", { filter })).error?.code).toBe(-32602);
    },
  );
});
