/**
 * What is served over HTTP beside `/rpc`: the one source for the server's routes, for checking what they are given, and for OpenAPI.
 * Names are promises to users.
 */
import { type Static, type TSchema, Type } from "typebox";
import { BlameJson } from "./blame.ts";
import { EventJson, Sequence } from "./events.ts";
import { RegimeName } from "./parts.ts";
import { CaptureJson } from "./protocol.ts";
import { DiffJson, FindingJson } from "./schemas.ts";

/** Where the WebSocket is. */
export const RPC_PATH = "/rpc";

/** What every refusal and failure over HTTP looks like. */
export const ProblemJson = Type.Object({
  error: Type.Object({
    /** Of the error registry. */
    code: Type.String(),
    message: Type.String(),
    /** What to do about it. */
    next: Type.String(),
  }),
});
export type ProblemJson = Static<typeof ProblemJson>;

/** The last line of `/events.ndjson`, and the data of `lagged` in `/events`: ask again with `after` = `from` - 1. */
export const LaggedJson = Type.Object({ from: Sequence, to: Sequence });

/** The last line of a stream that cannot go on, and the data of `failed` in `/events`: a code of the error registry, and what it is about. */
export const FailedJson = Type.Object({ code: Type.String(), message: Type.String() });

export interface Route {
  readonly operation: string;
  readonly path: string;
  readonly summary: string;
  readonly params: TSchema | undefined;
  readonly query: TSchema | undefined;
  readonly type: string;
  /** What one answer holds; of the two streams, one event. */
  readonly result: TSchema;
  /** Statuses it may answer with beside 200, and 400, 401, 403, 500 and 503, which all may. */
  readonly failures: readonly number[];
  /** True: no token is asked for. */
  readonly open: boolean;
}

const JSON_TYPE = "application/json; charset=utf-8";
const captureParams = Type.Object({ capture: CaptureJson.properties.capture });
const pointName = Type.Optional(Type.String({ maxLength: 40 }));
const pointsQuery = Type.Object({ from: pointName, to: pointName }, { additionalProperties: false });
const list = Type.Optional(Type.String({ maxLength: 4096 }));

/** Lists are parted by commas. What is left out lets everything through. */
export const EventsQuery = Type.Object(
  {
    /** Only events after this sequence number: 0 for all that are kept; left out, only new ones. */
    after: Type.Optional(Type.String({ pattern: "^(0|[1-9][0-9]{0,15})$" })),
    targets: list,
    kinds: list,
    registers: list,
    /** START-END, END not included, such as `0x40000000-0x40200000`. */
    ranges: list,
    /** `false`: ends with the last event there is. */
    follow: Type.Optional(Type.Enum(["true", "false"])),
  },
  { additionalProperties: false },
);
export type EventsQuery = Static<typeof EventsQuery>;

interface Given {
  readonly params?: TSchema;
  readonly query?: TSchema;
  readonly type?: string;
  readonly result: TSchema;
  readonly failures?: readonly number[];
  readonly open?: boolean;
}

function route(operation: string, path: string, summary: string, given: Given): Route {
  const { params, query, type = JSON_TYPE, result, failures = [], open = false } = given;
  return { operation, path, summary, params, query, type, result, failures, open };
}

const ofCapture = { params: captureParams, failures: [404] } as const;
const document = { result: Type.Unknown() } as const;

export const ROUTES = {
  health: route("health", "/healthz", "Whether the bridge answers. Asks for no token and tells nothing else.", {
    result: Type.Object({ status: Type.Enum(["ok"]) }),
    open: true,
  }),
  captures: route("captures", "/captures", "All captures of the store, the newest first, as `Capture.list`.", {
    result: Type.Array(CaptureJson),
  }),
  capture: route("capture", "/captures/:capture", "One capture, as `Capture.get`.", {
    ...ofCapture,
    result: CaptureJson,
  }),
  diff: route("diff", "/captures/:capture/diff", "What `ebscope diff FILE --json` prints.", {
    ...ofCapture,
    query: pointsQuery,
    result: DiffJson,
  }),
  findings: route("findings", "/captures/:capture/findings", "What `ebscope show FILE findings --json` prints.", {
    ...ofCapture,
    result: Type.Array(FindingJson),
  }),
  blame: route("blame", "/captures/:capture/blame", "What `ebscope blame FILE --json` prints.", {
    ...ofCapture,
    query: Type.Object(
      { what: Type.Optional(Type.String({ maxLength: 100 })), regime: Type.Optional(RegimeName) },
      { additionalProperties: false },
    ),
    result: BlameJson,
  }),
  html: route("html", "/captures/:capture/report.html", "The report as one page that loads and runs nothing.", {
    ...ofCapture,
    type: "text/html; charset=utf-8",
    result: Type.String(),
  }),
  markdown: route("markdown", "/captures/:capture/report.md", "The report for a bug report.", {
    ...ofCapture,
    type: "text/markdown; charset=utf-8",
    result: Type.String(),
  }),
  file: route("file", "/captures/:capture/file", "The capture itself: an .ebs file for every verb of `ebscope`.", {
    ...ofCapture,
    type: "application/octet-stream",
    result: Type.String({ contentMediaType: "application/octet-stream" }),
  }),
  events: route(
    "events",
    "/events",
    "Events as server-sent events; `id` is the sequence number, and Last-Event-ID resumes.",
    {
      query: EventsQuery,
      type: "text/event-stream; charset=utf-8",
      result: EventJson,
      failures: [410],
    },
  ),
  ndjson: route("ndjson", "/events.ndjson", "Events, one JSON object a line.", {
    query: EventsQuery,
    type: "application/x-ndjson; charset=utf-8",
    result: EventJson,
    failures: [410],
  }),
  openapi: route("openapi", "/openapi.json", "These routes as an OpenAPI document.", document),
  openrpc: route("openrpc", "/openrpc.json", "The methods of /rpc as an OpenRPC document.", document),
  asyncapi: route("asyncapi", "/asyncapi.json", "The stream of events as an AsyncAPI document.", document),
} as const satisfies Record<string, Route>;
