/** Random JSON-RPC messages, thousands of them: each is answered as the specification says, and the server is there afterwards. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { METHODS } from "../../src/api/protocol.ts";
import { type Client, fakeHandlers, type Received, type Served, serve, TARGET } from "./support/serve.ts";

/** 100,000 were run once; `EBSCOPE_MESSAGES` says how many. */
const MESSAGES = Number(process.env.EBSCOPE_MESSAGES ?? 5000);
const SEED = Number(process.env.EBSCOPE_SEED ?? 20_260_101);

let served: Served;
let client: Client;
beforeAll(async () => {
  const { "Capture.wait": _never, ...handlers } = fakeHandlers();
  served = await serve({ handlers, limits: { requestBurst: 1e9, requestsPerSecond: 1e9, subscriptions: 1e9 } });
  client = await served.open();
});
afterAll(() => served.stop());

const NAMES = [...Object.keys(METHODS), "Target.nothing", "toString", "__proto__", ""];
const id = fc.oneof(
  fc.integer(),
  fc.string({ maxLength: 80 }),
  fc.constant(null),
  fc.double({ noNaN: true }),
  fc.jsonValue(),
);
const known = fc.constantFrom<unknown>(
  "t1",
  "c1",
  "0x40000000",
  "0x0",
  1,
  0,
  4096,
  true,
  "s1",
  { kinds: ["finding"] },
  [],
);
const words = fc.constantFrom(
  ...[
    "target",
    "capture",
    "address",
    "length",
    "cpu",
    "after",
    "filter",
    "subscription",
    "id",
    "names",
    "__proto__",
    "x",
  ],
);
const params = fc.oneof(
  fc.dictionary(words, fc.oneof({ weight: 4, arbitrary: known }, fc.jsonValue()), { maxKeys: 4 }),
  fc.jsonValue(),
);
const call = fc.record(
  {
    jsonrpc: fc.oneof({ weight: 20, arbitrary: fc.constant<unknown>("2.0") }, fc.jsonValue()),
    method: fc.oneof({ weight: 20, arbitrary: fc.constantFrom<unknown>(...NAMES) }, fc.jsonValue()),
    id,
    params,
  },
  { requiredKeys: [] },
);
const part = fc.oneof({ weight: 8, arbitrary: call as fc.Arbitrary<unknown> }, fc.jsonValue());
const json = fc
  .oneof({ weight: 8, arbitrary: part }, fc.array(part, { maxLength: 36 }))
  .map((value) => JSON.stringify(value));
/** Texts, whole ones and some with a piece of them gone or doubled. */
const text = fc.oneof(
  { weight: 6, arbitrary: json },
  fc
    .tuple(json, fc.nat(), fc.nat(8))
    .map(([whole, at, n]) => whole.slice(0, at % (whole.length + 1)) + whole.slice((at % (whole.length + 1)) + n)),
  fc.string({ maxLength: 200, unit: "binary" }),
);

type Answer = readonly [id: unknown, refused: boolean];

/** The ids under which a text is answered, and whether with -32600 or -32700: by the specification, not by the server's code. */
function wanted(message: string): Answer[] {
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    return [[null, true]];
  }
  if (!Array.isArray(value)) return wantedOf(value);
  return value.length === 0 || value.length > 32 ? [[null, true]] : value.flatMap(wantedOf);
}

function wantedOf(value: unknown): Answer[] {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[null, true]];
  const object = value as Record<string, unknown>;
  if (object.jsonrpc !== "2.0" || typeof object.method !== "string") return [[null, true]];
  if (!("id" in object)) return [];
  const { id: given } = object;
  if (given === null) return [[null, false]];
  if (typeof given === "string") return given.length <= 64 ? [[given, false]] : [[null, true]];
  return typeof given === "number" && Math.abs(given) <= 2 ** 53 - 1 ? [[given, false]] : [[null, true]];
}

/** Sorted, as answers to one batch are in its order, but those to a marker may come before. */
function sorted(answers: readonly Answer[]): string[] {
  // JSON has no -0.
  return answers.map((answer) => JSON.stringify(answer)).sort();
}

function given({ id: of, error }: Received): Answer {
  // A call whose id is another call's is refused under that id.
  return [of ?? null, of === null && (error?.code === -32600 || error?.code === -32700)];
}

function depth(value: string): number {
  let most = 0;
  let now = 0;
  for (const char of value) {
    if (char === "[" || char === "{") most = Math.max(most, ++now);
    if (char === "]" || char === "}") now--;
  }
  return most;
}

it(
  `answers ${MESSAGES} random messages as JSON-RPC 2.0 says, and goes on`,
  async () => {
    const messages = fc.sample(text, { numRuns: MESSAGES, seed: SEED }).filter((each) => depth(each) <= 32);
    const offences: unknown[] = [];
    const neighbour = await served.open();
    for (const [i, message] of messages.entries()) {
      if (i % 500 === 0) expect((await neighbour.call("Target.list")).result).toEqual([TARGET]);
      client.messages.length = 0;
      const expected = wanted(message);
      client.send(message);
      const marker = "the call behind it";
      await client.call("Target.list", {}, marker);
      const answers = (): Received[] =>
        client.messages.filter((each) => each.id !== marker && each.method === undefined);
      while (answers().length < expected.length) await client.until(() => answers().length >= expected.length);
      const got = answers().map(given);
      if (JSON.stringify(sorted(got)) !== JSON.stringify(sorted(expected))) offences.push({ message, got, expected });
    }
    expect(offences).toEqual([]);
    expect(messages.length).toBeGreaterThan(MESSAGES * 0.9);
    expect((await neighbour.call("Target.list")).result).toEqual([TARGET]);
  },
  60_000 + MESSAGES * 20,
);
