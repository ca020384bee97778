/** Calls through `ebscope/client` to a listening server: answers, errors, deadlines, cancellation, lost connections. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { METHODS } from "../../src/api/protocol.ts";
import { BridgeError, type CallableMethod, type Client, connect } from "../../src/client/index.ts";
import type { Handlers } from "../../src/server/handlers.ts";
import { CAPTURE, eventually, fakeHandlers, TARGET } from "../server/support/serve.ts";
import { Liar, QUICK, rejection, type Served, serve } from "./support.ts";

let waits: AbortSignal[];
let resumed: number;
let served: Served;
let client: Client;

function handlers(): Handlers {
  const fakes = fakeHandlers();
  return {
    ...fakes,
    "Capture.wait": (params, context) => {
      waits.push(context.signal);
      return fakes["Capture.wait"]?.(params, context) as never;
    },
    "Target.resume": async ({ target }) => {
      resumed++;
      return { ...TARGET, target, state: "running", stop: null };
    },
  };
}

beforeEach(async () => {
  [waits, resumed] = [[], 0];
  served = await serve({ handlers: handlers(), keepTokens: true });
  client = await connect({ url: served.url, token: served.tokens().control ?? "", ...QUICK });
});
afterEach(async () => {
  await client.close();
  await served.end();
});

describe("a call", () => {
  it("is answered with the result of its method", async () => {
    expect(await client.call("Target.list")).toEqual([TARGET]);
    expect(await client.call("Target.status", { target: "t7" })).toEqual({ ...TARGET, target: "t7" });
    expect(await client.Capture.get({ capture: "c1" })).toEqual(CAPTURE);
    expect(await client.Bridge.version()).toMatchObject({ version: "1.2.3", access: "control" });
  });

  it("rejects with what the bridge says of its failure", async () => {
    const error = await rejection(client.Capture.get({ capture: "c9" }));
    expect(error).toBeInstanceOf(BridgeError);
    expect(error).toMatchObject({
      code: "no-such-capture",
      rpcCode: -32000,
      message: "Cannot read the capture c9: there is none",
      next: "`Capture.list` has the captures of this bridge.",
    });
  });

  it("rejects when the token only lets read", async () => {
    await using reader = await connect({ url: served.url, token: served.tokens().read });
    expect(await rejection(reader.Target.resume({ target: "t1" }))).toMatchObject({
      code: "access-refused",
      rpcCode: -32001,
    });
  });

  it("rejects with the signal's reason when it is aborted, and ends on the bridge", async () => {
    const controller = new AbortController();
    const call = rejection(client.Capture.wait({ capture: "c1" }, { signal: controller.signal }));
    await eventually(() => waits.length === 1);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await call).toBe(reason);
    await eventually(() => waits[0]?.aborted === true);
    expect(await client.Target.list()).toEqual([TARGET]);
  });

  it("is not made when its signal is aborted already", async () => {
    const reason = await rejection(client.Capture.wait({ capture: "c1" }, { signal: AbortSignal.abort("no") }));
    expect(reason).toBe("no");
    await client.Target.list();
    expect(waits).toEqual([]);
  });

  it("rejects at its deadline, and ends on the bridge", async () => {
    const error = await rejection(client.Capture.wait({ capture: "c1" }, { timeoutMs: 20 }));
    expect(error).toMatchObject({ code: "timed-out", message: expect.stringContaining("Capture.wait") });
    await eventually(() => waits[0]?.aborted === true);
  });

  it("is one of any number at once: no more are under way than the bridge takes", async () => {
    const lengths = Array.from({ length: 300 }, (_, i) => i + 1);
    const answers = await Promise.all(
      lengths.map((length) => client.Memory.read({ target: "t1", address: "0x0", length })),
    );
    expect(answers.map(({ bytes }) => bytes?.length)).toEqual(lengths);
  });

  it("whose parameters are no JSON or too long harms no other", async () => {
    const waiting = client.Capture.wait({ capture: "c1" }, { timeoutMs: 2000 }).catch((error) => error.code);
    const bigint = { target: "t1", address: 0x4000n as unknown as string };
    expect(await rejection(client.Breakpoint.insert(bigint))).toMatchObject({ code: "usage" });
    const names = Array.from({ length: 4096 }, () => "é".repeat(200));
    expect(await rejection(client.Registers.get({ target: "t1", names }))).toMatchObject({ code: "usage" });
    expect(await client.Target.list()).toEqual([TARGET]);
    expect(client.state.kind).toBe("open");
    served.line.cut();
    expect(await waiting).toBe("connection-lost");
  });
});

describe("a call and a lost connection", () => {
  it("rejects when it was under way, and is not made again", async () => {
    const call = rejection(client.Capture.wait({ capture: "c1" }));
    await eventually(() => waits.length === 1);
    served.line.cut();
    const error = await call;
    expect(error).toMatchObject({
      code: "connection-lost",
      next: expect.stringContaining("may have been carried out"),
    });
    expect(error.message).toContain("Capture.wait");
    expect(await client.Target.list()).toEqual([TARGET]);
    expect(waits.length).toBe(1);
  });

  it("waits for the next one when there is none, and is made once", async () => {
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "waiting");
    const call = client.Target.resume({ target: "t1" });
    await eventually(() => served.line.made > 4);
    expect(resumed).toBe(0);
    served.line.up = true;
    expect((await call).state).toBe("running");
    expect(resumed).toBe(1);
  });

  it("rejects at its deadline when none comes", async () => {
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "waiting");
    const error = await rejection(client.Target.resume({ target: "t1" }, { timeoutMs: 30 }));
    expect(error).toMatchObject({ code: "timed-out" });
    served.line.up = true;
    await client.Target.list();
    expect(resumed).toBe(0);
  });
});

describe("closing", () => {
  it("rejects what is under way and what is called afterwards, and ends iterations", async () => {
    const call = rejection(client.Capture.wait({ capture: "c1" }));
    const next = client.events().next();
    await eventually(() => waits.length === 1);
    await client.close();
    expect(await call).toMatchObject({ code: "interrupted" });
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await rejection(client.Target.list())).toMatchObject({ code: "interrupted" });
    expect(await client.events({ after: 0 }).next()).toEqual({ done: true, value: undefined });
    expect(client.state).toEqual({ kind: "closed", error: undefined });
    await eventually(() => waits[0]?.aborted === true);
  });

  it("while there is no connection ends the attempts", async () => {
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "waiting");
    await client.close();
    const { made } = served.line;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(served.line.made).toBe(made);
  });
});

describe("the sugar", () => {
  it("calls each method by its name, with its parameters as they are", async () => {
    const liar = await Liar.start(({ id, method, params }) => ({ jsonrpc: "2.0", id, result: { method, params } }));
    await using echoing = await connect({ url: liar.url, token: "x" });
    const own = /^Stream\.|^Bridge\.cancel$/;
    const names = Object.keys(METHODS).filter((name) => !own.test(name)) as CallableMethod[];
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) {
      const [domain, short] = name.split(".") as [string, string];
      const domains = echoing as unknown as Record<string, Record<string, (params?: object) => Promise<unknown>>>;
      expect(await domains[domain]?.[short]?.({ a: 1 })).toEqual({ method: name, params: { a: 1 } });
      expect(await domains[domain]?.[short]?.()).toEqual({ method: name, params: {} });
    }
    await liar.end();
  });

  it("can be awaited without being called", async () => {
    expect(await client.Target).toBe(client.Target);
  });
});
