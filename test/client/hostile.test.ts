/** What is no bridge, or a broken one: a clear error, and never a hang or an uncaught exception. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocketServer } from "ws";
import { type Client, type ClientOptions, connect } from "../../src/client/index.ts";
import { eventually } from "../server/support/serve.ts";
import { Random } from "../support/random.ts";
import { Liar, QUICK, rejection } from "./support.ts";

let liar: Liar | undefined;
let client: Client | undefined;
afterEach(async () => {
  await client?.close();
  await liar?.end();
  [liar, client] = [undefined, undefined];
});

/** A client of a server that answers as it is told. */
async function against(answer: Parameters<typeof Liar.start>[0], options: ClientOptions = {}): Promise<Client> {
  liar = await Liar.start(answer);
  client = await connect({ url: liar.url, token: "x", ...QUICK, ...options });
  return client;
}

const RESULT = { subscription: "s1", head: 9, oldest: 1 };

function event(seq: unknown, more: object = {}, subscription: unknown = "s1"): object {
  const head = { seq, time: "2026-01-02T03:04:05.000Z", target: "t1", capture: null, kind: "target.resumed" };
  return { jsonrpc: "2.0", method: "Stream.event", params: { subscription, event: { ...head, data: {}, ...more } } };
}

function lagged(from: unknown, to: unknown): object {
  return { jsonrpc: "2.0", method: "Stream.lagged", params: { subscription: "s1", from, to } };
}

describe("an answer that is none", () => {
  const ID = 1;
  it.each<[string, unknown]>([
    ["text that is no JSON", "hello"],
    ["nothing", ""],
    ["a list", [{ jsonrpc: "2.0", id: ID, result: [] }]],
    ["null", "null"],
    ["another version", { jsonrpc: "1.0", id: ID, result: [] }],
    ["neither a result nor an error", { jsonrpc: "2.0", id: ID }],
    ["both a result and an error", { jsonrpc: "2.0", id: ID, result: 1, error: { code: 1, message: "x" } }],
    ["the id of a call that was not made", { jsonrpc: "2.0", id: 77, result: [] }],
    ["an id that is no number", { jsonrpc: "2.0", id: "1", result: [] }],
    ["a negative id", { jsonrpc: "2.0", id: -1, result: [] }],
    ["no id", { jsonrpc: "2.0", id: null, error: { code: -32700, message: "what?" } }],
    ["an error that is no object", { jsonrpc: "2.0", id: ID, error: "no" }],
    ["an error without a message", { jsonrpc: "2.0", id: ID, error: { code: 1 } }],
    ["an error whose data is a list", { jsonrpc: "2.0", id: ID, error: { code: 1, message: "x", data: [] } }],
    ["lists in lists", `{"jsonrpc":"2.0","id":1,"result":${"[".repeat(100_000)}`],
    ["more than a message may have", "x".repeat(100_001)],
    ["a binary message", Buffer.from('{"jsonrpc":"2.0","id":1,"result":[]}')],
    ["an event without a number", event("1")],
    ["an event before the first", event(0)],
    ["an event without data", event(1, { data: null })],
    ["an event of no kind", event(1, { kind: 7 })],
    ["an event of a guest without a name", event(1, { target: 1 })],
    ["an event of no subscription", event(1, {}, 1)],
    ["an event that is none", { jsonrpc: "2.0", method: "Stream.event", params: { subscription: "s1" } }],
    ["a notification without parameters", { jsonrpc: "2.0", method: "Stream.event" }],
    ["a lag the wrong way round", lagged(9, 3)],
    ["a lag of no numbers", lagged("1", "2")],
  ])("(%s) ends the connection for good, with the reason", async (_name, bad) => {
    const user = await against((_call, ws) => void ws.send(toSend(bad)), { maxMessage: 100_000 });
    const error = await rejection(user.Target.list());
    expect(error.code).toBe("protocol-error");
    await eventually(() => user.state.kind === "closed");
    expect(user.state).toMatchObject({ kind: "closed", error: { code: "protocol-error" } });
    expect(await rejection(user.Target.list())).toMatchObject({ code: "protocol-error" });
    expect(await rejection(user.events().next())).toMatchObject({ code: "protocol-error" });
    expect(liar?.sockets.length).toBe(1);
  });

  it("but an error with less than a bridge says is told as it is, safe to print", async () => {
    const user = await against(({ id }) => ({ jsonrpc: "2.0", id, error: { code: 5, message: "\u001b[31m\u202eno" } }));
    const error = await rejection(user.Target.list());
    expect(error).toMatchObject({ code: "internal", rpcCode: 5, next: "", message: "\\x1b[31m\\u{202e}no" });
    expect(user.state.kind).toBe("open");
  });

  it("but what a later version may say is passed over", async () => {
    const user = await against(({ id }, ws) => {
      ws.send(JSON.stringify({ jsonrpc: "2.0", method: "Stream.comment", params: 5 }));
      ws.send(JSON.stringify(event(1, {}, "s9")));
      return { jsonrpc: "2.0", id, result: [], more: true };
    });
    expect(await user.Target.list()).toEqual([]);
  });

  it("but a second answer is passed over", async () => {
    const user = await against(({ id }, ws) => {
      ws.send(JSON.stringify({ jsonrpc: "2.0", id, result: ["first"] }));
      return { jsonrpc: "2.0", id, result: ["second"] };
    });
    expect(await user.Target.list()).toEqual(["first"]);
    expect(await user.Target.list()).toEqual(["first"]);
  });
});

function toSend(bad: unknown): string | Buffer {
  return typeof bad === "string" || Buffer.isBuffer(bad) ? bad : JSON.stringify(bad);
}

describe("a stream that breaks its promise", () => {
  it.each<[string, object[]]>([
    ["leaves out an event", [event(1), event(3)]],
    ["repeats an event", [event(1), event(1)]],
    ["goes back", [event(1), event(2), event(1)]],
    ["says that it left out what it sent", [event(1), event(2), lagged(2, 5)]],
    ["leaves out an event before a lag", [event(1), lagged(4, 5)]],
  ])("(%s) ends with an error behind what came before", async (_name, messages) => {
    const user = await against(({ id, method }, ws) => {
      if (method !== "Stream.subscribe") return undefined;
      ws.send(JSON.stringify({ jsonrpc: "2.0", id, result: RESULT }));
      for (const message of messages) ws.send(JSON.stringify(message));
      return undefined;
    });
    const events = user.events({ after: 0 });
    const seen: (number | undefined)[] = [];
    const error = await rejection(
      (async () => {
        for (;;) seen.push((await events.next()).value?.seq);
      })(),
    );
    expect(error).toMatchObject({ code: "protocol-error" });
    expect(seen).toEqual(seen.length === 1 ? [1] : [1, 2]);
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  it.each<[string, unknown]>([
    ["null", null],
    ["no name", { head: 1, oldest: 1 }],
    ["a name that is none", { subscription: "../x", head: 1, oldest: 1 }],
    ["numbers that are none", { subscription: "s1", head: -1, oldest: 0 }],
  ])("(is answered with %s) ends with an error", async (_name, result) => {
    const user = await against(({ id }) => ({ jsonrpc: "2.0", id, result }));
    expect(await rejection(user.events().next())).toMatchObject({ code: "protocol-error" });
  });

  it("(lags for ever without sending anything) ends with an error", async () => {
    let to = 10;
    const user = await against(({ id, method }, ws) => {
      if (method !== "Stream.subscribe") return undefined;
      ws.send(JSON.stringify({ jsonrpc: "2.0", id, result: RESULT }));
      return lagged(1, to++);
    });
    expect(await rejection(user.events({ after: 0 }).next())).toMatchObject({ code: "protocol-error" });
    expect(liar?.received.length).toBeLessThan(20);
  });

  it("(says that events are gone which it has) ends with an error", async () => {
    const gone = { code: -32000, message: "gone", data: { code: "events-gone", next: "" } };
    const user = await against(({ id, params }) =>
      params.after === 0 ? { jsonrpc: "2.0", id, result: RESULT } : { jsonrpc: "2.0", id, error: gone },
    );
    expect(await rejection(user.events({ after: 5 }).next())).toMatchObject({ code: "protocol-error" });
    await user.close();
    await liar?.end();
    const never = await against(({ id }) => ({ jsonrpc: "2.0", id, error: gone }));
    expect(await rejection(never.events({ after: 5 }).next())).toMatchObject({ code: "events-gone" });
  });

  it("(sends on what nobody wants) fills no memory: what is not subscribed is dropped", async () => {
    const user = await against(({ id, method }, ws) => {
      if (method !== "Stream.subscribe") return { jsonrpc: "2.0", id, result: {} };
      ws.send(JSON.stringify({ jsonrpc: "2.0", id, result: RESULT }));
      for (let seq = 1; seq <= 5000; seq++) ws.send(JSON.stringify(event(seq)));
      return undefined;
    });
    const events = user.events({ after: 0, queue: 10 });
    await user.Target.list();
    await eventually(() => liar?.received.some(({ method }) => method === "Stream.unsubscribe") ?? false);
    await user.close();
    const left: number[] = [];
    for await (const { seq } of events) left.push(seq);
    expect(left.length).toBeLessThanOrEqual(10);
  });
});

describe("a server that never answers", () => {
  it("is waited for until the deadline of the call", async () => {
    const user = await against(() => undefined);
    expect(await rejection(user.Target.list({}, { timeoutMs: 20 }))).toMatchObject({ code: "timed-out" });
    await eventually(
      () => liar?.received.some(({ method, params }) => method === "Bridge.cancel" && params.id === 1) === true,
    );
  });

  it("is left by closing, whether it heeds that or not", async () => {
    const user = await against((_call, ws) => ws.pause());
    const call = rejection(user.Target.list());
    await eventually(() => liar?.received.length === 1);
    await user.close();
    expect(await call).toMatchObject({ code: "interrupted" });
  });
});

describe("a server that selects no subprotocol, or another", () => {
  it.each([false, "other"])("is no bridge (%s)", async (selected) => {
    const wss = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => selected as false });
    await new Promise((resolve) => wss.once("listening", resolve));
    const { port } = wss.address() as { port: number };
    const error = await rejection(connect({ url: `ws://127.0.0.1:${port}`, token: "x" }));
    expect(["connect-failed", "protocol-error"]).toContain(error.code);
    expect(error.message).toMatch(/subprotocol/i);
    wss.close();
  });
});

describe("random messages", () => {
  const SEED = Number(process.env.EBSCOPE_SEED ?? 20_260_101);
  const PIECES = [
    '{"jsonrpc":"2.0",',
    '"id":1',
    '"result":',
    '"error":{"code":1,"message":"x"}',
    '"method":"Stream.event"',
  ];
  const MORE = [
    '"params":',
    '{"subscription":"s1"',
    ',"event":{"seq":1',
    "}",
    "]",
    "[",
    ",",
    "null",
    "1e999",
    '"',
    "\\u0000",
    "\u{1f600}",
  ];

  it("end in an answer or an error, each of 500", async () => {
    const random = new Random(SEED);
    const pieces = [...PIECES, ...MORE];
    const makeText = (): string => Array.from({ length: random.between(1, 8) }, () => random.pick(pieces)).join("");
    const kinds = new Set<string>();
    liar = await Liar.start(() => makeText());
    for (let i = 0; i < 500; i++) {
      const each = await connect({ url: liar.url, token: "x", ...QUICK });
      const outcome = await each.Target.list({}, { timeoutMs: 5000 }).then(
        () => "answered",
        (error: { code: string }) => error.code,
      );
      kinds.add(outcome);
      await each.close();
    }
    expect([...kinds].filter((kind) => !["answered", "protocol-error", "internal"].includes(kind))).toEqual([]);
    expect(kinds.has("protocol-error")).toBe(true);
  });
});

describe("a bridge that falls silent", () => {
  afterEach(() => void vi.useRealTimers());

  it("is asked for a sign of life after half a minute, and left when it gives none", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    let answers = true;
    const user = await against(({ id }) => (answers ? { jsonrpc: "2.0", id, result: {} } : undefined));
    const asked = (): number => liar?.received.filter(({ method }) => method === "Bridge.version").length ?? 0;
    vi.advanceTimersByTime(20_000);
    expect(asked()).toBe(0);
    vi.advanceTimersByTime(10_000);
    await eventually(() => asked() === 1);
    await user.Target.list();
    vi.advanceTimersByTime(50_000);
    await eventually(() => asked() === 2);
    expect(user.state.kind).toBe("open");
    await user.Target.list();
    answers = false;
    vi.advanceTimersByTime(50_000);
    await eventually(() => asked() === 3);
    expect(user.state.kind).toBe("open");
    const lost = new Promise((resolve) => user.onState(resolve));
    vi.advanceTimersByTime(10_000);
    expect(await lost).toMatchObject({ kind: "waiting", error: { code: "connection-lost" } });
    await eventually(() => user.state.kind === "open");
  });
});
