/**
 * The server of a bridge: HTTP and `/rpc` on the same ports, behind one gate. It knows the bridge as handlers, a log and the forms of a capture,
 * and nothing of guests.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { type Documents, documentsOf } from "../api/documents.ts";
import { EVENT_KINDS } from "../api/events.ts";
import { ROUTES } from "../api/http.ts";
import { METHODS } from "../api/protocol.ts";
import type { EventLog } from "../bridge/ports.ts";
import type { CaptureForms, Handlers } from "./handlers.ts";
import { createApp } from "./http/app.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { type Listen, listenOn } from "./listen.ts";
import { RpcConnection, type Services } from "./rpc/connection.ts";
import { admit, type GateRules } from "./security/gate.ts";
import { SECURITY_HEADERS } from "./security/headers.ts";
import { allowedNames } from "./security/names.ts";
import { problemOf, Refusal } from "./security/refusal.ts";
import type { Tokens } from "./security/tokens.ts";
import { SharedFrames } from "./stream/frames.ts";
import { Upgrades } from "./upgrade.ts";

export interface ServerOptions {
  readonly handlers: Handlers;
  readonly log: EventLog;
  readonly forms: CaptureForms;
  readonly tokens: Tokens;
  /** Of ebscope. */
  readonly version: string;
  /** Port 0 is any that is free. */
  readonly listen: readonly Listen[];
  /** Names beside those of the loopback interface: NAME or NAME:PORT. */
  readonly allowedHosts?: readonly string[];
  readonly limits?: Partial<Limits>;
}

/** Clients that do not heed a close have so many milliseconds. */
const CLOSE_GRACE = 1000;

export class BridgeServer {
  readonly #options: ServerOptions;
  readonly #limits: Limits;
  readonly #app: FastifyInstance;
  readonly #services: Services;
  readonly #upgrades: Upgrades;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<RpcConnection>();
  readonly #places: Listen[] = [];
  #beat: NodeJS.Timeout | undefined;
  #requests = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { log, forms, version } = options;
    const documents = documentsOf(version);
    const handlers = { ...options.handlers, ...aboutProtocol(options.handlers, this.#limits, documents) };
    this.#services = { handlers, log, frames: new SharedFrames(), limits: this.#limits, name: "ebscope", version };
    this.#app = createApp({ handlers, forms, log, limits: this.#limits, documents });
    this.#upgrades = new Upgrades(this.#limits, (ws, socket, access) => {
      const connection = new RpcConnection(ws, socket, access, this.#services);
      this.#connections.add(connection);
      ws.on("close", () => this.#connections.delete(connection));
    });
  }

  /** Where it listens, with the ports that were chosen. */
  get places(): readonly Listen[] {
    return this.#places;
  }

  async start(): Promise<void> {
    await this.#app.ready();
    try {
      for (const place of this.#options.listen) await this.#listen(place);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#beat = setInterval(() => {
      for (const connection of this.#connections) connection.beat();
    }, this.#limits.ping);
  }

  /** Ends every connection; calls that were not answered are aborted. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const connection of this.#connections) connection.goAway();
    for (const server of this.#servers) server.closeAllConnections();
    const kill = setTimeout(() => {
      for (const connection of this.#connections) connection.kill();
    }, CLOSE_GRACE);
    await Promise.all(closed);
    clearTimeout(kill);
    await this.#app.close();
  }

  async #listen(place: Listen): Promise<void> {
    // The gate looks at Host, and says what is wrong with it.
    const server = createServer({
      requireHostHeader: false,
      requestTimeout: 30_000,
      headersTimeout: 20_000,
      connectionsCheckingInterval: 5000,
      keepAliveTimeout: 20_000,
      // A client that went away without a word is found out by the system, where nothing else would be sent to it.
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    });
    server.maxConnections = this.#limits.connections;
    // Who asks and takes no answer has a place that others could have.
    server.timeout = this.#limits.idle;
    let rules: GateRules | undefined;
    // Nobody is let in before the port is known, of which the names are made.
    const whenReady = (): GateRules => rules ?? { hosts: new Set(), origins: new Set(), tokens: this.#options.tokens };
    server.on("request", (request, response) => this.#serve(request, response, whenReady()));
    server.on("upgrade", (request, socket, head) => {
      this.#upgrades.handle(request, socket as Socket, head, whenReady());
    });
    await listenOn(server, place);
    // A connection that could not be accepted, as the system is out of something, is no reason to end.
    server.on("error", () => undefined);
    this.#servers.push(server);
    const found = "socket" in place ? place : { ...place, port: (server.address() as AddressInfo).port };
    rules = this.#rules(found);
    this.#places.push(found);
  }

  #rules(place: Listen): GateRules {
    const { tokens, allowedHosts } = this.#options;
    if ("socket" in place) return { hosts: undefined, origins: new Set(), tokens };
    return { ...allowedNames(place.address, place.port, allowedHosts), tokens };
  }

  #serve(request: IncomingMessage, response: ServerResponse, rules: GateRules): void {
    const [path] = (request.url ?? "").split("?");
    try {
      admit(request, rules, path === ROUTES.health.path);
      this.#count(path, response);
    } catch (error) {
      refuse(response, error);
      return;
    }
    this.#app.routing(request, response);
  }

  #count(path: string | undefined, response: ServerResponse): void {
    // Those have a bound of their own.
    if (path === ROUTES.events.path || path === ROUTES.ndjson.path) return;
    const most = this.#limits.httpRequests;
    if (this.#requests >= most) {
      throw new Refusal(503, "too-many-requests", `Cannot serve this request: ${most} are being answered`);
    }
    this.#requests++;
    response.once("close", () => {
      this.#requests--;
    });
  }
}

/** Starts the server of a bridge. Throws a usage error where it cannot listen. */
export async function startServer(options: ServerOptions): Promise<BridgeServer> {
  const server = new BridgeServer(options);
  await server.start();
  return server;
}

function refuse(response: ServerResponse, error: unknown): void {
  const refusal = error instanceof Refusal ? error : new Refusal(500, "request-refused", "Cannot serve this request");
  response.writeHead(refusal.status, {
    ...SECURITY_HEADERS,
    ...(refusal.status === 401 ? { "www-authenticate": "Bearer" } : {}),
    "content-type": "application/json; charset=utf-8",
    // What else it sends is not waited for.
    connection: "close",
  });
  response.end(`${JSON.stringify(problemOf(refusal))}\n`);
}

/** Bytes; the schema has them. */
const MEMORY_READ = (METHODS["Memory.read"].params.properties.length as { readonly maximum?: number }).maximum ?? 0;

/** The methods that tell what this server serves, the same for all. */
function aboutProtocol(handlers: Handlers, limits: Limits, documents: Documents): Handlers {
  const own = ["Bridge.version", "Bridge.capabilities", "Bridge.describe", "Bridge.cancel"];
  const known = new Set([...Object.keys(handlers), ...own, "Stream.subscribe", "Stream.unsubscribe"]);
  const methods = Object.keys(METHODS).filter((name) => known.has(name));
  const { message, requestsPerSecond } = limits;
  return {
    "Bridge.capabilities": async () => ({
      methods,
      events: [...EVENT_KINDS],
      limits: { message, memoryRead: MEMORY_READ, requestsPerSecond },
    }),
    "Bridge.describe": async () => documents.openRpc,
  };
}
