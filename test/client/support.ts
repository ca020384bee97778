/** Bridges to connect to: real servers over fakes behind lines that can be cut, and servers that keep to no protocol. */
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { Handlers } from "../../src/server/handlers.ts";
import type { Limits } from "../../src/server/limits.ts";
import { makeTokens, type Tokens } from "../../src/server/security/tokens.ts";
import { type BridgeServer, startServer } from "../../src/server/server.ts";
import { MemoryLog } from "../server/support/memory-log.ts";
import { FORMS, fakeHandlers } from "../server/support/serve.ts";

/** A line to a server: everything passes it, until it is cut in the middle of whatever goes over it. */
export class Line {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #to: () => number;
  /** Called for each connection: after how many bytes from the server it is cut; Infinity is never. */
  cutAfter: () => number = () => Number.POSITIVE_INFINITY;
  /** Connections that were made. */
  made = 0;
  /** Whether connections get through. */
  up = true;

  /** `to`: the port it leads to now. */
  private constructor(to: () => number) {
    this.#to = to;
    this.#server = createServer((socket) => this.#pass(socket));
  }

  static async open(to: () => number): Promise<Line> {
    const line = new Line(to);
    await new Promise<void>((resolve) => line.#server.listen(0, "127.0.0.1", resolve));
    return line;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(near: Socket): void {
    this.made++;
    if (!this.up) {
      near.destroy();
      return;
    }
    const far = connectTcp(this.#to(), "127.0.0.1");
    let left = this.cutAfter();
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on("data", (chunk) => {
        const kept = from === far ? chunk.subarray(0, left) : chunk;
        if (from === far) left -= chunk.length;
        to.write(kept);
        if (left <= 0) to.end();
      });
    }
  }
}

/** A server over fakes, and a line to it. */
export interface Served {
  readonly log: MemoryLog;
  readonly line: Line;
  /** Of the line. */
  readonly url: string;
  readonly tokens: () => Tokens;
  /** Ends the server and starts another on the same port, with tokens of its own, or without starting it yet. */
  restart(): Promise<void>;
  end(): Promise<void>;
}

export interface ServeOptions {
  readonly handlers?: Handlers;
  readonly limits?: Partial<Limits>;
  readonly log?: MemoryLog;
  /** A restarted bridge has the tokens of the one before. */
  readonly keepTokens?: boolean;
}

export async function serve(options: ServeOptions = {}): Promise<Served> {
  const log = options.log ?? new MemoryLog();
  let port = 0;
  let tokens = makeTokens();
  let server: BridgeServer;
  const line = await Line.open(() => port);
  const start = async (): Promise<void> => {
    server = await startServer({
      handlers: options.handlers ?? fakeHandlers(),
      ...{ log, forms: FORMS, tokens, version: "1.2.3" },
      listen: [{ address: "127.0.0.1", port }],
      allowedHosts: [`127.0.0.1:${line.port}`],
      limits: { requestBurst: 1e6, requestsPerSecond: 1e6, ...options.limits },
    });
    const [place] = server.places;
    port = place !== undefined && "port" in place ? place.port : 0;
  };
  await start();
  return {
    ...{ log, line, tokens: () => tokens },
    url: `ws://127.0.0.1:${line.port}/rpc`,
    restart: async () => {
      await server.close();
      if (!options.keepTokens) tokens = makeTokens();
      await start();
    },
    end: async () => {
      await line.close();
      await server.close();
    },
  };
}

/** A server that speaks WebSocket and answers as it is told. */
export class Liar {
  readonly #wss: WebSocketServer;
  readonly sockets: WebSocket[] = [];
  /** Parsed messages of clients. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
  readonly received: any[] = [];

  private constructor(wss: WebSocketServer) {
    this.#wss = wss;
  }

  /** `answer`: what is sent for a message, if anything; `opened`: for a connection. */
  static async start(
    // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
    answer: (call: any, ws: WebSocket) => unknown,
    opened: (ws: WebSocket) => void = () => undefined,
  ): Promise<Liar> {
    const wss = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "ebscope.v1" });
    const liar = new Liar(wss);
    wss.on("connection", (ws) => {
      liar.sockets.push(ws);
      ws.on("error", () => undefined);
      ws.on("message", (data) => {
        const call = JSON.parse(String(data));
        liar.received.push(call);
        const text = answer(call, ws);
        if (text !== undefined) ws.send(typeof text === "string" ? text : JSON.stringify(text));
      });
      opened(ws);
    });
    await new Promise((resolve) => wss.once("listening", resolve));
    return liar;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#wss.address() as AddressInfo).port}/rpc`;
  }

  async end(): Promise<void> {
    for (const ws of this.sockets) ws.terminate();
    await new Promise((resolve) => this.#wss.close(resolve));
  }
}

/** What a promise rejects with; throws when it resolves. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever was thrown.
export async function rejection(promise: PromiseLike<unknown>): Promise<any> {
  return Promise.resolve(promise).then(
    (value) => {
      throw new Error(`it succeeded: ${JSON.stringify(value)}`);
    },
    (reason: unknown) => reason,
  );
}

/** Quick, for tests. */
export const QUICK = { pauseMs: { first: 1, longest: 10 } } as const;
