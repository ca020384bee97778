/** The documents that are made from the schemas, and the pages that people read, held against the methods, routes and kinds of events. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Check } from "typebox/schema";
import { describe, expect, it } from "vitest";
import { faultsOf } from "../../src/api/check.ts";
import { asyncApiDocument, documentsOf, type Json, openApiDocument, openRpcDocument } from "../../src/api/documents.ts";
import { EVENT_KINDS, EventJson } from "../../src/api/events.ts";
import { ROUTES } from "../../src/api/http.ts";
import { METHODS, NOTIFICATIONS, RPC_ERRORS } from "../../src/api/protocol.ts";
import { ERROR_CODES } from "../../src/base/error.ts";
import { DEFAULT_LIMITS } from "../../src/server/limits.ts";
import { REFUSALS } from "../../src/server/security/refusal.ts";
import { progressEvent } from "./support/memory-log.ts";
import { CAPTURE, TARGET } from "./support/serve.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const api = readFileSync(join(ROOT, "docs/api.md"), "utf8");
const security = readFileSync(join(ROOT, "docs/security.md"), "utf8");

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into wherever it may lead.
type Document = any;

const DOCUMENTS: readonly [string, Document][] = [
  ["OpenRPC", openRpcDocument("1.2.3")],
  ["OpenAPI", openApiDocument("1.2.3")],
  ["AsyncAPI", asyncApiDocument("1.2.3")],
];

/** Every object in a document. */
function* objectsIn(value: Json): Generator<Record<string, Json>> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield value as Record<string, Json>;
  for (const each of Object.values(value)) yield* objectsIn(each as Json);
}

/** What a reference leads to (RFC 6901). */
function resolved(document: Document, ref: string): unknown {
  const names = ref.replace(/^#\//, "").split("/");
  return names.reduce((value, name) => value?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], document);
}

/** A schema without references, for a check by somebody else's code. */
function whole(document: Document, schema: Json): Json {
  if (typeof schema !== "object" || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map((each) => whole(document, each));
  const { $ref } = schema as { $ref?: string };
  if ($ref !== undefined) return whole(document, resolved(document, $ref) as Json);
  return Object.fromEntries(Object.entries(schema).map(([key, each]) => [key, whole(document, each)]));
}

describe.each(DOCUMENTS)("the %s document", (_name, document) => {
  it("is JSON, with a title and the version of ebscope", () => {
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
    expect(document.info).toMatchObject({ version: "1.2.3", license: { name: "Apache-2.0" } });
    expect(document.info.title).toContain("ebscope");
  });

  it("has no reference that leads nowhere, and refers to every schema that has a name", () => {
    const refs = [...objectsIn(document)].flatMap(({ $ref }) => (typeof $ref === "string" ? [$ref] : []));
    expect(refs.length).toBeGreaterThan(20);
    expect(refs.filter((ref) => resolved(document, ref) === undefined)).toEqual([]);
    for (const [name, schema] of Object.entries<Document>(document.components.schemas)) {
      expect(schema.$ref, name).toBeUndefined();
      expect(Object.keys(schema).length, name).toBeGreaterThan(0);
    }
  });
});

describe("OpenRPC 1.3", () => {
  const document = openRpcDocument("1.2.3") as Document;

  it("has every method with its parameters by name, its result and its errors", () => {
    expect(document.openrpc).toMatch(/^1\.3\.\d$/);
    expect(document.methods.map(({ name }: Document) => name)).toEqual(Object.keys(METHODS));
    for (const method of document.methods as Document[]) {
      expect(method.paramStructure).toBe("by-name");
      expect(method.result).toMatchObject({ name: "result", schema: {} });
      for (const param of method.params) expect(Object.keys(param)).toEqual(["name", "required", "schema"]);
      const names = method.params.map(({ name }: Document) => name);
      expect(new Set(names).size).toBe(names.length);
    }
    const codes = document.methods.flatMap((method: Document) =>
      method.errors.flatMap((each: Document) => each["x-codes"]),
    );
    expect(codes.filter((code: string) => !(code in ERROR_CODES))).toEqual([]);
    expect(codes).toContain("events-gone");
  });

  it("has each number of an error once, and parameters that may be left out behind those that may not", () => {
    for (const { name, errors, params } of document.methods as Document[]) {
      for (const error of errors) expect(Object.keys(error)).toEqual(["code", "message", "x-codes"]);
      const numbers = errors.map(({ code }: Document) => code);
      expect([name, new Set(numbers).size]).toEqual([name, numbers.length]);
      const optional = params.map(({ required }: Document) => !required);
      expect([name, optional]).toEqual([name, optional.toSorted()]);
    }
  });

  it("tells which parameters there must be", () => {
    const { params } = document.methods.find(({ name }: Document) => name === "Memory.read");
    const required = params.map(({ name, required: must }: Document) => [name, must]);
    expect(required).toEqual([
      ["target", true],
      ["address", true],
      ["length", true],
      ["physical", false],
      ["cpu", false],
    ]);
  });

  it("has schemas that results of these methods fit, and others do not", () => {
    const schemaOf = (method: string) =>
      whole(document, document.methods.find(({ name }: Document) => name === method).result.schema) as object;
    expect(Check(schemaOf("Target.list"), [TARGET])).toBe(true);
    expect(Check(schemaOf("Target.list"), [{ ...TARGET, state: "asleep" }])).toBe(false);
    expect(Check(schemaOf("Capture.get"), CAPTURE)).toBe(true);
    expect(Check(schemaOf("Capture.get"), { ...CAPTURE, size: "3" })).toBe(false);
  });

  it("has what is sent without being asked for", () => {
    expect(document["x-notifications"].map(({ name }: Document) => name)).toEqual(Object.keys(NOTIFICATIONS));
  });
});

describe("OpenAPI 3.1", () => {
  const document = openApiDocument("1.2.3") as Document;

  it("has every route, its parameters and its answers", () => {
    expect(document.openapi).toBe("3.1.0");
    const paths = Object.values(ROUTES).map(({ path }) => path.replaceAll(/:(\w+)/g, "{$1}"));
    expect(Object.keys(document.paths)).toEqual(paths);
    for (const [path, { get }] of Object.entries<Document>(document.paths)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const inPath = get.parameters.filter(({ in: place }: Document) => place === "path");
      expect(inPath.map(({ name }: Document) => name)).toEqual(named);
      expect(inPath.every(({ required }: Document) => required)).toBe(true);
      expect(Object.keys(get.responses)).toContain("200");
      for (const response of Object.values<Document>(get.responses)) expect(response.description).not.toBe("");
    }
    const ids = Object.values<Document>(document.paths).map(({ get }) => get.operationId);
    expect(new Set(ids).size).toBe(paths.length);
  });

  it("asks for the token everywhere but at /healthz", () => {
    expect(document.security).toEqual([{ token: [] }]);
    const open = Object.entries<Document>(document.paths).filter(([, { get }]) => get.security !== undefined);
    expect(open.map(([path, { get }]) => [path, get.security])).toEqual([["/healthz", []]]);
    expect(Object.keys(document.paths["/healthz"].get.responses)).not.toContain("401");
    expect(Object.keys(document.paths["/captures"].get.responses)).toContain("401");
  });
});

describe("AsyncAPI 3", () => {
  const document = asyncApiDocument("1.2.3") as Document;

  it("has the three ways to the events, each with an event and a word for who lagged", () => {
    expect(document.asyncapi).toBe("3.0.0");
    expect(Object.values<Document>(document.channels).map(({ address }) => address)).toEqual([
      "/rpc",
      "/events",
      "/events.ndjson",
    ]);
    for (const [name, operation] of Object.entries<Document>(document.operations)) {
      expect(operation.action).toBe("send");
      expect(operation.channel.$ref).toBe(`#/channels/${name}`);
      const sent = Object.keys(document.channels[name].messages);
      expect(sent).toEqual(name === "rpc" ? ["event", "lagged"] : ["event", "lagged", "failed"]);
      const refs = sent.map((each) => ({ $ref: `#/channels/${name}/messages/${each}` }));
      expect(operation.messages).toEqual(refs);
    }
  });

  it("has servers of the protocols that it names, a way to get in for each, and channels that are on one of them", () => {
    for (const [name, { host, protocol, variables, security }] of Object.entries<Document>(document.servers)) {
      expect([name, protocol]).toEqual([name, name === "bridge" ? "ws" : "http"]);
      for (const [, variable] of host.matchAll(/\{(\w+)\}/g)) expect(Object.keys(variables)).toContain(variable);
      for (const { $ref } of security) expect(resolved(document, $ref)).toEqual({ type: "http", scheme: "bearer" });
    }
    for (const { servers } of Object.values<Document>(document.channels)) {
      for (const { $ref } of servers) expect($ref).toMatch(/^#\/servers\/(bridge|http)$/);
    }
  });

  it("has a schema that a notification fits, and one of another kind does not", () => {
    const schema = whole(document, document.channels.rpc.messages.event.payload) as object;
    const event = { seq: 1, time: "2026-01-02T03:04:05.000Z", ...progressEvent("x") };
    const sent = (each: object) => ({
      jsonrpc: "2.0",
      method: "Stream.event",
      params: { subscription: "s1", event: each },
    });
    expect(Check(schema, sent(event))).toBe(true);
    expect(Check(schema, sent({ ...event, kind: "something" }))).toBe(false);
    expect(Check(schema, { ...sent(event), method: "Stream.lagged" })).toBe(false);
  });
});

describe("the documents of one bridge", () => {
  it("are made once", () => {
    const { openRpc, openApi, asyncApi } = documentsOf("1.2.3");
    expect([openRpc, openApi, asyncApi]).toEqual(DOCUMENTS.map(([, document]) => document));
    const documents = documentsOf("1.2.3");
    expect(documents.openRpc).toBe(documents.openRpc);
    expect(documents.asyncApi).not.toBe(documents.openApi);
  });
});

/** The JSON that the page shows: in its blocks of JSON, and what wscat sent (`>`) and got (`<`) in its sessions. What is cut (`…`) is left out. */
function examples(): { readonly where: string; readonly value: Document }[] {
  const blocks = [...api.matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);
  const lines = [...api.matchAll(/^[<>] (\{.*)$/gm)].map(([, text = ""]) => text);
  return [...blocks, ...lines]
    .filter((text) => !text.includes("…"))
    .map((where) => ({ where, value: JSON.parse(where) }));
}

describe("the examples of docs/api.md", () => {
  const all = examples();
  const called = new Map<unknown, keyof typeof METHODS>(
    all.flatMap(({ value: { id, method } }) => (id && method ? [[id, method]] : [])),
  );

  it("are many, of each kind", () => {
    const kinds = all.map(({ value }) =>
      value.result ? "result" : value.error ? "error" : value.id ? "call" : (value.method ?? "event"),
    );
    expect(new Set(kinds)).toEqual(new Set(["result", "error", "call", "Stream.event", "Stream.lagged", "event"]));
    expect(all.length).toBeGreaterThan(10);
  });

  it.each(all)("fit what the methods take, answer and send: $where", ({ value }) => {
    if (value.error !== undefined) {
      expect(Object.values(RPC_ERRORS)).toContain(value.error.code);
      expect(ERROR_CODES[value.error.data.code as keyof typeof ERROR_CODES]).toBe(value.error.data.next);
    } else if (value.result !== undefined) {
      expect(faultsOf(METHODS[called.get(value.id) as keyof typeof METHODS].result, value.result)).toBeUndefined();
    } else if (value.id !== undefined) {
      expect(faultsOf(METHODS[value.method as keyof typeof METHODS].params, value.params ?? {})).toBeUndefined();
    } else if (value.method !== undefined) {
      expect(faultsOf(NOTIFICATIONS[value.method as keyof typeof NOTIFICATIONS], value.params)).toBeUndefined();
    } else {
      expect(faultsOf(EventJson, value)).toBeUndefined();
    }
  });
});

describe("docs/api.md", () => {
  const rows = [...api.matchAll(/^\| `([\w./:]+)` \| (.*) \|$/gm)].map(([, name = "", rest = ""]) => ({ name, rest }));
  const named = (pattern: RegExp): string[] => rows.map(({ name }) => name).filter((name) => pattern.test(name));

  it("has each method with what it does and what access it needs, and no other", () => {
    expect(named(/^[A-Z]\w+\.\w+$/)).toEqual(Object.keys(METHODS));
    for (const [name, { access, summary }] of Object.entries(METHODS)) {
      expect(rows.find((row) => row.name === name)?.rest).toBe(`${access} | ${summary}`);
    }
  });

  it("has each kind of event, and no other", () => {
    expect(named(/^[a-z]+(\.[a-z]+)?$/).filter((name) => name.includes(".") || name === "finding")).toEqual([
      ...EVENT_KINDS,
    ]);
  });

  it("has each route, and no other", () => {
    expect(named(/^\//)).toEqual(Object.values(ROUTES).map(({ path }) => path));
  });

  it("has each of JSON-RPC's codes that is used", () => {
    for (const code of Object.values(RPC_ERRORS)) expect(api).toContain(`| ${code} | `);
  });

  it("has the limits as they are", () => {
    const { message, fragments, requestsPerSecond, requestBurst, callsInFlight, subscriptions, answer, batch, behind } =
      DEFAULT_LIMITS;
    expect(api).toContain(`${message / 2 ** 20} MiB, in ${fragments.toLocaleString("en")} fragments`);
    expect(api).toContain(`${requestsPerSecond} on average, ${requestBurst} at once`);
    expect(api).toContain(`| calls that are not answered | ${callsInFlight} |`);
    expect(api).toContain(`| subscriptions | ${subscriptions} |`);
    expect(api).toContain(`| an answer, or the answers to one batch | ${answer / 2 ** 20} MiB |`);
    const { httpRequests, httpStreams, idle } = DEFAULT_LIMITS;
    expect(api).toContain(`${httpRequests} requests and ${httpStreams} streams of events`);
    expect(api).toContain(`for ${idle / 60_000} minutes`);
    expect(api).toContain(`a list of at most ${batch} of them`);
    expect(api).toContain(`more than ${behind.toLocaleString("en")}\nevents`);
  });

  it("begins with a session of wscat", () => {
    expect(api.indexOf("wscat -H")).toBeLessThan(api.indexOf("\n## "));
  });
});

describe("the refusals", () => {
  it("stand in the documents, each with its code", () => {
    const text = api + security;
    expect(Object.keys(REFUSALS).filter((code) => code !== "request-refused" && !text.includes(`\`${code}\``))).toEqual(
      [],
    );
  });
});
