/** The routes of api/http.ts. What they answer is what the methods of `/rpc` answer: the same handlers, the same checks. */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { faultsOf } from "../../api/check.ts";
import type { Documents } from "../../api/documents.ts";
import { ROUTES, type Route, RPC_PATH } from "../../api/http.ts";
import { asEbscopeError, EbscopeError } from "../../base/error.ts";
import { printableJson } from "../../base/text.ts";
import type { EventLog } from "../../bridge/ports.ts";
import type { CallContext, CaptureForms, Handlers } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import { reportPolicy, SECURITY_HEADERS } from "../security/headers.ts";
import { problemOf, Refusal } from "../security/refusal.ts";
import { EventStreams } from "./events.ts";

export interface AppOptions {
  readonly handlers: Handlers;
  readonly forms: CaptureForms;
  readonly log: EventLog;
  readonly limits: Limits;
  readonly documents: Documents;
}

/** What a route is given, checked; the answer's body, or undefined when it was sent already. */
type Serve = (request: Given, reply: FastifyReply, context: CallContext) => Promise<unknown>;

interface Given {
  readonly params: { readonly capture: string };
  readonly query: Readonly<Record<string, string>>;
  readonly headers: FastifyRequest["headers"];
}

export function createApp(options: AppOptions): FastifyInstance {
  // Only GET is served: a body is nothing to wait for.
  const app = Fastify({
    logger: false,
    bodyLimit: 1024,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    frameworkErrors: (error, _request, reply) => void sendFailure(reply, error),
  });
  app.setErrorHandler((error, _request, reply) => sendFailure(reply, error));
  app.setNotFoundHandler((request, reply) => {
    if (request.url.split("?")[0] === RPC_PATH) return sendFailure(reply.header("upgrade", "websocket"), NO_WEBSOCKET);
    const what = request.method === "GET" ? "there is no such path" : `${request.method} is not served`;
    return sendFailure(reply, new Refusal(404, "request-refused", `Cannot serve this request: ${what}`));
  });
  const serve = servers(options, new EventStreams(options.log, options.limits));
  for (const name of Object.keys(ROUTES) as (keyof typeof ROUTES)[]) addRoute(app, ROUTES[name], serve[name]);
  return app;
}

/** RFC 9110, 15.5.22. */
const NO_WEBSOCKET = new Refusal(
  426,
  "request-refused",
  `Cannot serve ${RPC_PATH} like this: it is a WebSocket`,
  "Connect with a client for WebSocket (RFC 6455); docs/api.md has one.",
);

function addRoute(app: FastifyInstance, route: Route, serve: Serve): void {
  app.get(route.path, async (request, reply) => {
    const given = checked(route, request);
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort());
    reply.headers(SECURITY_HEADERS).type(route.type);
    const body = await serve(given, reply, { signal: gone.signal, access: "read" });
    if (body === undefined) return reply;
    const isText = typeof body === "string" || body instanceof Uint8Array;
    return reply.send(isText ? body : `${printableJson(JSON.stringify(body))}\n`);
  });
}

function checked(route: Route, { params, query, headers }: FastifyRequest): Given {
  const faults =
    (route.params && faultsOf(route.params, params)) ??
    faultsOf(route.query ?? EMPTY, { ...(query as Record<string, string>) });
  if (faults !== undefined) throw new Refusal(400, "request-refused", `Cannot serve ${route.path}: ${faults}`);
  return { params, query, headers } as Given;
}

const EMPTY = { type: "object", additionalProperties: false };

function servers(options: AppOptions, streams: EventStreams): Readonly<Record<keyof typeof ROUTES, Serve>> {
  const { forms, documents } = options;
  const call = callsOf(options.handlers);
  return {
    health: async () => ({ status: "ok" }),
    captures: (_given, _reply, context) => call("Capture.list", {}, context),
    capture: ({ params }, _reply, context) => call("Capture.get", params, context),
    diff: ({ params, query }, _reply, context) => call("Capture.diff", { ...params, ...query }, context),
    findings: ({ params }, _reply, context) => call("Capture.findings", params, context),
    blame: ({ params, query }, _reply, context) => call("Capture.blame", { ...params, ...query }, context),
    html: async ({ params: { capture } }, reply, { signal }) => {
      const html = await forms.html(capture, signal);
      reply.header("content-security-policy", reportPolicy(html));
      return html;
    },
    markdown: ({ params: { capture } }, _reply, { signal }) => forms.markdown(capture, signal),
    file: async ({ params: { capture } }, reply, { signal }) => {
      const file = await forms.file(capture, signal);
      reply.header("content-disposition", `attachment; filename="${capture}.ebs"`);
      return file;
    },
    events: async ({ query, headers }, reply) => streams.serverSent(query, headers["last-event-id"], reply),
    ndjson: async ({ query }, reply) => streams.lines(query, reply),
    openapi: async () => documents.openApi,
    openrpc: async () => documents.openRpc,
    asyncapi: async () => documents.asyncApi,
  };
}

type ReadMethod = "Capture.list" | "Capture.get" | "Capture.diff" | "Capture.findings" | "Capture.blame";

function callsOf(handlers: Handlers) {
  return async (method: ReadMethod, params: object, context: CallContext): Promise<unknown> => {
    const handler = handlers[method] as ((params: object, context: CallContext) => Promise<unknown>) | undefined;
    if (handler === undefined)
      throw new EbscopeError("internal", `Cannot answer ${method}: the bridge does not have it`);
    return handler({ ...params }, context);
  };
}

/** Of errors that stand for a state of the bridge, not for a defect of it. */
const STATUS: Partial<Record<EbscopeError["code"], number>> = {
  "no-such-capture": 404,
  "no-such-point": 404,
  "no-blame": 404,
  "answer-too-large": 400,
  "events-gone": 410,
  usage: 400,
  interrupted: 503,
  "store-full": 507,
};

async function sendFailure(reply: FastifyReply, error: unknown): Promise<FastifyReply> {
  const { status, code, message, next } = failureOf(error);
  reply.headers(SECURITY_HEADERS).code(status).type("application/json; charset=utf-8");
  return reply.send(`${printableJson(JSON.stringify(problemOf({ code, message, next })))}\n`);
}

function failureOf(error: unknown): { status: number; code: string; message: string; next: string } {
  if (error instanceof Refusal) return error;
  const status = (error as { readonly statusCode?: unknown }).statusCode;
  if (typeof status === "number" && status >= 400 && status < 500) {
    return new Refusal(status, "request-refused", "Cannot serve this request: it is not understood");
  }
  const { code, message, next } = asEbscopeError(error);
  return { status: STATUS[code] ?? 500, code, message, next };
}
