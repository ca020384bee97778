/**
 * The documents that describe the bridge, made from the schemas that it checks with:
 * OpenRPC 1.3 (spec.open-rpc.org), OpenAPI 3.1 (spec.openapis.org), AsyncAPI 3.0 (asyncapi.com/docs/reference).
 *
 * A schema with a name stands once, under `components/schemas`, and is referred to elsewhere.
 */
import { type TSchema, Type } from "typebox";
import { EventFilter, EventJson } from "./events.ts";
import { ImageJson } from "./firmware.ts";
import { FailedJson, LaggedJson, ProblemJson, ROUTES, type Route } from "./http.ts";
import { Hex, Place } from "./parts.ts";
import {
  BreakpointJson,
  CaptureJson,
  METHODS,
  type Method,
  NOTIFICATIONS,
  RPC_ERRORS,
  TargetJson,
} from "./protocol.ts";
import * as schemas from "./schemas.ts";

const NAMED: Readonly<Record<string, TSchema>> = {
  Breakpoint: BreakpointJson,
  Capture: CaptureJson,
  Coverage: schemas.CoverageJson,
  Diff: schemas.DiffJson,
  Event: EventJson,
  EventFilter,
  Failed: FailedJson,
  Explanation: schemas.ExplainJson,
  Finding: schemas.FindingJson,
  Hex,
  Image: ImageJson,
  Lagged: LaggedJson,
  Mapping: schemas.MappingJson,
  Place,
  Point: schemas.PointJson,
  Problem: ProblemJson,
  Register: schemas.RegisterJson,
  Target: TargetJson,
};

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = { readonly [name: string]: Json };

function plain(schema: unknown): Json {
  return JSON.parse(JSON.stringify(schema)) as Json;
}

/** By their text: a schema that was made optional or nullable is another object. */
const NAMES = new Map(Object.entries(NAMED).map(([name, schema]) => [JSON.stringify(plain(schema)), name]));

/** The schema with a reference wherever a named one stands in it. */
function referring(schema: unknown): Json {
  return refer(plain(schema));
}

function refer(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  const name = NAMES.get(JSON.stringify(value));
  return name === undefined ? referInside(value) : { $ref: `#/components/schemas/${name}` };
}

function referInside(value: JsonObject | readonly Json[]): Json {
  if (Array.isArray(value)) return value.map(refer);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, refer(each)]));
}

/** The named schemas themselves, each with references to the others. */
function namedSchemas(): JsonObject {
  return Object.fromEntries(
    Object.entries(NAMED).map(([name, schema]) => [name, referInside(plain(schema) as JsonObject)]),
  );
}

function info(title: string, version: string, description: string): JsonObject {
  return { title, version, description, license: { name: "Apache-2.0" } };
}

export interface Documents {
  readonly openRpc: JsonObject;
  readonly openApi: JsonObject;
  readonly asyncApi: JsonObject;
}

/** All documents of a version of ebscope. Each takes some milliseconds to make: it is made when it is first asked for, and once. */
export function documentsOf(version: string): Documents {
  const once = (make: (version: string) => JsonObject): (() => JsonObject) => {
    let made: JsonObject | undefined;
    return () => {
      made ??= make(version);
      return made;
    };
  };
  const [openRpc, openApi, asyncApi] = [once(openRpcDocument), once(openApiDocument), once(asyncApiDocument)];
  return {
    get openRpc() {
      return openRpc();
    },
    get openApi() {
      return openApi();
    },
    get asyncApi() {
      return asyncApi();
    },
  };
}

/** What `Bridge.describe` answers. `version`: of ebscope. */
export function openRpcDocument(version: string): JsonObject {
  const about = "JSON-RPC 2.0 over WebSocket at /rpc, parameters by name. docs/api.md tells more.";
  return {
    openrpc: "1.3.2",
    info: info("ebscope bridge", version, about),
    methods: Object.entries<Method>(METHODS).map(([name, method]) => openRpcMethod(name, method)),
    components: { schemas: namedSchemas() },
    "x-notifications": Object.entries(NOTIFICATIONS).map(([name, params]) => ({ name, params: referring(params) })),
  };
}

function openRpcMethod(name: string, method: Method): JsonObject {
  const { properties, required = [] } = plain(method.params) as {
    readonly properties: JsonObject;
    readonly required?: readonly string[];
  };
  const params = Object.entries(properties).map(([each, schema]) => ({
    name: each,
    required: required.includes(each),
    schema: refer(schema),
  }));
  return {
    name,
    summary: method.summary,
    paramStructure: "by-name",
    params,
    result: { name: "result", schema: referring(method.result) },
    errors: method.errors.length === 0 ? [] : [openRpcError(method.errors)],
    "x-access": method.access,
  };
}

/** All failures have one number, and OpenRPC wants each number once: `x-codes` has what `data.code` is known to be. */
function openRpcError(codes: readonly string[]): JsonObject {
  return { code: RPC_ERRORS.failed, message: "It failed: `data.code` says how.", "x-codes": [...codes] };
}

/** `/openapi.json`. `version`: of ebscope. */
export function openApiDocument(version: string): JsonObject {
  const paths = Object.values<Route>(ROUTES).map((route) => [braced(route.path), { get: openApiOperation(route) }]);
  return {
    openapi: "3.1.0",
    info: info("ebscope bridge", version, "Captures, reports and events over HTTP. docs/api.md tells more."),
    paths: Object.fromEntries(paths) as JsonObject,
    components: {
      schemas: namedSchemas(),
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
    security: [{ token: [] }],
  };
}

/** `/captures/:capture` as OpenAPI writes it. */
function braced(path: string): string {
  return path.replace(/:(\w+)/g, "{$1}");
}

const ALWAYS = [400, 403, 500, 503] as const;
const STATUS: Readonly<Record<number, string>> = {
  400: "What was asked for is not understood.",
  401: "No token, or not one of this bridge.",
  403: "The Host or Origin header is none of this bridge's.",
  404: "There is no such thing.",
  410: "Events that old are not kept any more.",
  500: "It failed.",
  503: "So many requests are being answered that no more are taken.",
};

function openApiOperation(route: Route): JsonObject {
  const failures = [...ALWAYS, ...(route.open ? [] : [401]), ...route.failures].sort((a, b) => a - b);
  const problem = { "application/json": { schema: referring(ProblemJson) } };
  const refusals = failures.map((status) => [status, { description: STATUS[status] ?? "", content: problem }]);
  const ok = { description: route.summary, content: { [mediaType(route)]: { schema: referring(route.result) } } };
  return {
    operationId: route.operation,
    summary: route.summary,
    parameters: [...parametersOf(route.params, "path"), ...parametersOf(route.query, "query")],
    responses: Object.fromEntries([[200, ok], ...refusals]) as JsonObject,
    ...(route.open ? { security: [] } : {}),
  };
}

function mediaType({ type }: Route): string {
  return type.split(";")[0] ?? type;
}

function parametersOf(schema: TSchema | undefined, place: "path" | "query"): JsonObject[] {
  if (schema === undefined) return [];
  const { properties, required = [] } = plain(schema) as {
    readonly properties: JsonObject;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, each]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: refer(each),
  }));
}

/** `/asyncapi.json`: what is sent of events, over each of the three ways. `version`: of ebscope. */
export function asyncApiDocument(version: string): JsonObject {
  const rpc = channel("/rpc", "bridge", {
    event: rpcMessage("Stream.event"),
    lagged: rpcMessage("Stream.lagged"),
  });
  const streams = {
    rpc,
    sse: channel("/events", "http", {
      event: streamMessage(EventJson),
      lagged: streamMessage(LaggedJson),
      failed: streamMessage(FailedJson),
    }),
    ndjson: channel("/events.ndjson", "http", {
      event: streamMessage(EventJson),
      lagged: streamMessage(Type.Object({ lagged: LaggedJson })),
      failed: streamMessage(Type.Object({ failed: FailedJson })),
    }),
  };
  return {
    asyncapi: "3.0.0",
    info: info("ebscope bridge: events", version, "One log of events for all guests. docs/api.md tells more."),
    defaultContentType: "application/json",
    servers: { bridge: asyncServer("ws"), http: asyncServer("http") },
    channels: streams,
    operations: Object.fromEntries(
      Object.entries(streams).map(([name, { messages }]) => [name, operationOf(name, Object.keys(messages))]),
    ),
    components: {
      schemas: namedSchemas(),
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
  };
}

/** The port is chosen when the bridge starts. */
function asyncServer(protocol: "ws" | "http"): JsonObject {
  return {
    host: "127.0.0.1:{port}",
    protocol,
    variables: { port: { description: "What `ebscope serve` prints." } },
    security: [{ $ref: "#/components/securitySchemes/token" }],
  };
}

interface Channel {
  readonly address: string;
  readonly servers: readonly Json[];
  readonly messages: JsonObject;
  readonly [name: string]: Json;
}

function channel(address: string, server: string, messages: JsonObject): Channel {
  return { address, servers: [{ $ref: `#/servers/${server}` }], messages };
}

function rpcMessage(name: keyof typeof NOTIFICATIONS): JsonObject {
  const payload = {
    type: "object",
    required: ["jsonrpc", "method", "params"],
    properties: {
      jsonrpc: { const: "2.0" },
      method: { const: name },
      params: referring(NOTIFICATIONS[name]),
    },
  };
  return { name, payload };
}

function streamMessage(payload: unknown): JsonObject {
  return { payload: referring(payload) };
}

function operationOf(name: string, sent: readonly string[]): JsonObject {
  const messages = sent.map((each) => ({ $ref: `#/channels/${name}/messages/${each}` }));
  return { action: "send", channel: { $ref: `#/channels/${name}` }, messages };
}
