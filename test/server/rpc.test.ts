/** JSON-RPC 2.0 over WebSocket: what the specification says, and what this protocol adds. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { METHODS } from "../../src/api/protocol.ts";
import type { Handlers } from "../../src/server/handlers.ts";
import { CAPTURE, type Client, eventually, fakeHandlers, type Served, serve, TARGET } from "./support/serve.ts";

let served: Served;
let client: Client;
beforeAll(async () => {
  served = await serve({ limits: { requestBurst: 1e6, callsInFlight: 4 } });
  client = await served.open();
});
afterAll(() => served.stop());

/** What comes back for a text up to the answer to a call that is sent behind it. */
async function answersTo(text: string): Promise<unknown[]> {
  const before = client.messages.length;
  client.send(text);
  const marker = `marker ${before} ${Math.random()}`;
  await client.call("Bridge.version", {}, marker);
  await Promise.resolve();
  return client.messages.slice(before).filter(({ id }) => id !== marker);
}

describe("/rpc", () => {
  it("answers a call with the result under the call's id", async () => {
    const answer = await client.call("Target.list", {}, 7);
    expect(answer).toEqual({ jsonrpc: "2.0", id: 7, result: [TARGET] });
  });

  it("takes no parameters for empty ones", async () => {
    expect(await answersTo('{"jsonrpc":"2.0","id":"a","method":"Capture.list"}')).toEqual([
      { jsonrpc: "2.0", id: "a", result: [CAPTURE] },
    ]);
  });

  it.each([
    ["no JSON", "{", -32700],
    ["an empty message", "", -32700],
    ["a string", '"Target.list"', -32600],
    ["a null", "null", -32600],
    ["an empty batch", "[]", -32600],
    ["another version", '{"jsonrpc":"1.0","id":1,"method":"Target.list"}', -32600],
    ["no version", '{"id":1,"method":"Target.list"}', -32600],
    ["a method that is no string", '{"jsonrpc":"2.0","id":1,"method":1}', -32600],
    ["an answer", '{"jsonrpc":"2.0","id":1,"result":1}', -32600],
    ["an id that is a list", '{"jsonrpc":"2.0","id":[],"method":"Target.list"}', -32600],
    ["an id that a double does not hold", '{"jsonrpc":"2.0","id":9007199254740993,"method":"Target.list"}', -32600],
    ["an id beyond all numbers", '{"jsonrpc":"2.0","id":1e999,"method":"Target.list"}', -32600],
    ["a long id", `{"jsonrpc":"2.0","id":"${"x".repeat(65)}","method":"Target.list"}`, -32600],
    ["lists in lists", "[".repeat(100_000), -32600],
    [
      "a batch that is too long",
      `[${Array(33).fill('{"jsonrpc":"2.0","id":1,"method":"Target.list"}').join()}]`,
      -32600,
    ],
  ])("answers %s with %i... and the id null", async (_name, text, code) => {
    const [answer, ...others] = (await answersTo(text)) as { id: unknown; error: { code: number; data: unknown } }[];
    expect(others).toEqual([]);
    expect(answer).toMatchObject({ jsonrpc: "2.0", id: null, error: { code, data: { code: "usage" } } });
  });

  it("does not answer notifications, nor do anything for them", async () => {
    expect(await answersTo('{"jsonrpc":"2.0","method":"Target.resume","params":{"target":"t1"}}')).toEqual([]);
    expect(await answersTo('[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","method":"y"}]')).toEqual([]);
  });

  it("answers a batch with one list of the answers to its calls", async () => {
    const calls = [
      { jsonrpc: "2.0", id: 1, method: "Capture.get", params: { capture: "c1" } },
      { jsonrpc: "2.0", method: "Target.list" },
      7,
      { jsonrpc: "2.0", id: 2, method: "Nothing.like" },
    ];
    const lists: unknown[] = [];
    client.ws.on("message", (data) => lists.push(JSON.parse(String(data))));
    client.send(calls);
    await client.until(({ id }) => id === 2);
    expect(lists[0]).toMatchObject([
      { id: 1, result: CAPTURE },
      { id: null, error: { code: -32600 } },
      { id: 2, error: { code: -32601 } },
    ]);
  });

  it("names the methods that somebody may have meant", async () => {
    const { error } = await client.call("Target.lst");
    expect(error).toMatchObject({ code: -32601, data: { code: "usage" } });
    expect(error?.data.next).toMatch(/^Did you mean Target\.list/);
    expect((await client.call("constructor")).error?.code).toBe(-32601);
    expect((await client.call("__proto__")).error?.code).toBe(-32601);
  });

  it("answers a method that the bridge does not have as one that is unknown", async () => {
    expect((await client.call("Target.detach", { target: "t1" })).error?.code).toBe(-32601);
  });

  it.each([
    ["a list", "Target.status", ["t1"], "by name"],
    ["null", "Target.status", null, "must be object"],
    ["a parameter that is missing", "Target.status", {}, "target"],
    ["one that is none", "Target.status", { target: "t1", verbose: true }, "verbose"],
    ["a prototype", "Target.status", JSON.parse('{"target":"t1","__proto__":{}}'), "__proto__"],
    ["a number for a string", "Target.status", { target: 1 }, "target must be string"],
    ["another form", "Target.status", { target: "../t1" }, "target"],
    ["too much", "Memory.read", { target: "t1", address: "0x0", length: 1048577 }, "length must be <="],
    ["an address that is no hex", "Memory.read", { target: "t1", address: "12", length: 1 }, "address"],
    ["a fraction", "Memory.read", { target: "t1", address: "0x0", length: 1.5 }, "length"],
  ])("refuses %s as parameters, and says which", async (_name, method, params, told) => {
    const { error } = await client.call(method, params);
    expect(error?.code).toBe(-32602);
    expect(error?.message).toContain(told);
    expect(error?.data.code).toBe("usage");
  });

  it("hands the registry's code and advice on", async () => {
    const { error } = await client.call("Capture.get", { capture: "none" });
    expect(error).toMatchObject({ code: -32000, data: { code: "no-such-capture" } });
    expect(error?.data.next).toContain("Capture.list");
  });

  it("keeps guests' strings as data: what a terminal or a CI job would act on is escaped, its value the same", async () => {
    let raw = "";
    client.ws.once("message", (data) => {
      raw = String(data);
    });
    const { result } = await client.call("Capture.findings", { capture: "c1" });
    expect(result[0].title).toBe("It \u202edied\u001b[31m");
    expect(raw).toMatch(/^[\x20-\x7e]*$/);
  });

  it("tells its version, its methods and limits, and the whole protocol", async () => {
    expect((await client.call("Bridge.version")).result).toEqual({
      name: "ebscope",
      version: "1.2.3",
      protocol: 1,
      access: "control",
    });
    const { result } = await client.call("Bridge.capabilities");
    expect(result.limits).toEqual({ message: 1048576, memoryRead: 1048576, requestsPerSecond: 1000 });
    expect(result.methods).toContain("Stream.subscribe");
    expect(result.methods).not.toContain("Target.detach");
    const { result: document } = await client.call("Bridge.describe");
    expect(document.methods.map(({ name }: { name: string }) => name)).toEqual(Object.keys(METHODS));
  });
});

describe("access", () => {
  it("lets whoever may read read, and refuses everything else with what to do", async () => {
    const reader = await served.open(served.tokens.read);
    expect((await reader.call("Bridge.version")).result.access).toBe("read");
    for (const [name, { access }] of Object.entries(METHODS)) {
      const { error } = await reader.call(name, {});
      if (access === "control" && name in fakeHandlers())
        expect(error).toMatchObject({ code: -32001, data: { code: "access-refused" } });
      else expect(error?.code).not.toBe(-32001);
    }
    const { error } = await reader.call("Target.resume", { target: "t1" });
    expect(error?.code).toBe(-32001);
    expect((await client.call("Target.resume", { target: "t1" })).result.state).toBe("running");
  });
});

describe("a call", () => {
  const forever = { capture: "c1" };

  it("is cancelled by its id, by its caller only, and then answered with `interrupted`", async () => {
    client.send({ jsonrpc: "2.0", id: "long", method: "Capture.wait", params: forever });
    const other = await served.open();
    expect((await other.call("Bridge.cancel", { id: "long" })).result).toEqual({ cancelled: false });
    expect((await client.call("Bridge.cancel", { id: "long" })).result).toEqual({ cancelled: true });
    const answer = await client.until(({ id }) => id === "long");
    expect(answer.error).toMatchObject({ code: -32000, data: { code: "interrupted" } });
    expect((await client.call("Bridge.cancel", { id: "long" })).result).toEqual({ cancelled: false });
  });

  it("is answered when it is cancelled although its handler goes on, whose place stays taken", async () => {
    let done: (value: []) => void = () => undefined;
    const stubborn: Handlers = { "Target.list": () => new Promise((resolve) => (done = resolve)) };
    const own = await serve({ handlers: stubborn, limits: { callsInFlight: 1 } });
    const caller = await own.open();
    caller.send({ jsonrpc: "2.0", id: 1, method: "Target.list" });
    await caller.call("Bridge.cancel", { id: 1 });
    expect((await caller.until(({ id }) => id === 1)).error?.data.code).toBe("interrupted");
    expect((await caller.call("Target.list")).error?.code).toBe(-32002);
    done([]);
    const again = caller.call("Target.list", {}, 3);
    await caller.call("Bridge.version");
    done([]);
    expect((await again).result).toEqual([]);
    await own.stop();
  });

  it("has an id that no other call has which is not answered", async () => {
    client.send({ jsonrpc: "2.0", id: 5, method: "Capture.wait", params: forever });
    client.send({ jsonrpc: "2.0", id: 5, method: "Target.list" });
    expect((await client.until(({ id }) => id === 5)).error?.code).toBe(-32600);
    // A string is another id.
    expect((await client.call("Target.list", {}, "5")).result).toEqual([TARGET]);
    expect((await client.call("Bridge.cancel", { id: 5 })).result).toEqual({ cancelled: true });
  });

  it("is refused when too many are not answered, and the bridge's own are not", async () => {
    const caller = await served.open();
    for (let id = 0; id < 4; id++) caller.send({ jsonrpc: "2.0", id, method: "Capture.wait", params: forever });
    expect((await caller.call("Target.list")).error).toMatchObject({
      code: -32002,
      data: { code: "too-many-requests" },
    });
    expect((await caller.call("Bridge.cancel", { id: 2 })).result).toEqual({ cancelled: true });
    expect((await caller.call("Target.list")).result).toEqual([TARGET]);
  });

  it("is aborted when its connection ends", async () => {
    const reasons: string[] = [];
    const own = await serve({
      handlers: {
        "Target.list": (_params, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => {
              reasons.push(signal.reason.code);
              reject(signal.reason);
            });
          }),
      },
    });
    const caller = await own.open();
    for (const id of [1, 2, null]) caller.send({ jsonrpc: "2.0", id, method: "Target.list" });
    await caller.call("Bridge.version");
    caller.ws.terminate();
    await eventually(() => reasons.length === 3);
    expect(reasons).toEqual(["interrupted", "interrupted", "interrupted"]);
    await own.stop();
  });

  it("whose handler throws what is no error of the registry is answered as a defect", async () => {
    const own = await serve({
      handlers: {
        "Target.list": () => {
          throw new TypeError("x is not a function");
        },
      },
    });
    const { error } = await (await own.open()).call("Target.list");
    expect(error).toMatchObject({ code: -32603, data: { code: "internal" } });
    await own.stop();
  });

  it("whose answer is too large is answered with that", async () => {
    const own = await serve({ limits: { answer: 1000 } });
    const caller = await own.open();
    const { error } = await caller.call("Memory.read", { target: "t1", address: "0x0", length: 1000 });
    expect(error).toMatchObject({ code: -32000, data: { code: "answer-too-large" } });
    await own.stop();
  });
});

describe("the answers to a batch", () => {
  const read = (id: number, length: number) => ({
    ...{ jsonrpc: "2.0", id, method: "Memory.read" },
    params: { target: "t1", address: "0x0", length },
  });

  it("are together no longer than one answer may be: those without room are answered with that, and the others are there", async () => {
    const own = await serve({ limits: { answer: 1500 } });
    const caller = await own.open();
    caller.send([read(1, 600), read(2, 600), read(3, 600), read(4, 1)]);
    await caller.until(({ id }) => id === 4);
    expect(caller.messages.map(({ id, result, error }) => [id, result?.bytes.length ?? error?.data.code])).toEqual([
      [1, 600],
      [2, 600],
      [3, "answer-too-large"],
      [4, 1],
    ]);
    await own.stop();
  });
});

describe("the budget of a connection", () => {
  it("answers what is over it with -32002, ends who goes on all the same, and lets the others be", async () => {
    const own = await serve({ limits: { requestsPerSecond: 0.001, requestBurst: 10 } });
    const [greedy, modest] = [await own.open(), await own.open()];
    for (let id = 1; id <= 19; id++) greedy.send({ jsonrpc: "2.0", id, method: "Target.list" });
    const last = await greedy.until(({ id }) => id === 19);
    expect(greedy.messages.filter(({ result }) => result !== undefined).map(({ id }) => id)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
    expect(last.error).toMatchObject({ code: -32002, data: { code: "too-many-requests" } });
    for (let i = 0; i < 3; i++) greedy.send("[1]");
    expect(await greedy.closed()).toEqual({ code: 1008, reason: "too many requests" });
    expect((await modest.call("Target.list")).result).toEqual([TARGET]);
    await own.stop();
  });

  it("counts calls of a batch, long messages and pings", async () => {
    const own = await serve({ limits: { requestsPerSecond: 0.001, requestBurst: 10 } });
    const [batches, long, pings] = [await own.open(), await own.open(), await own.open()];
    const calls = Array.from({ length: 11 }, (_, id) => ({ jsonrpc: "2.0", id, method: "Target.list" }));
    batches.send(calls);
    expect((await batches.until(({ id }) => id === 0)).error?.code).toBe(-32002);
    long.send(`"${"x".repeat(200_000)}"`);
    expect((await long.closed()).code).toBe(1008);
    for (let i = 0; i < 30; i++) pings.ws.ping();
    expect((await pings.closed()).code).toBe(1008);
    await own.stop();
  });
});
