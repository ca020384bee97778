/** A listening server over fakes, and clients of it. */
import { connect, type Socket } from "node:net";
import { WebSocket } from "ws";
import type { CaptureJson, TargetJson } from "../../../src/api/protocol.ts";
import { EbscopeError } from "../../../src/base/error.ts";
import type { CaptureForms, Handlers } from "../../../src/server/handlers.ts";
import type { Limits } from "../../../src/server/limits.ts";
import type { Listen } from "../../../src/server/listen.ts";
import { makeTokens, type Tokens } from "../../../src/server/security/tokens.ts";
import { type BridgeServer, startServer } from "../../../src/server/server.ts";
import { MemoryLog } from "./memory-log.ts";

export const TARGET: TargetJson = {
  target: "t1",
  gdb: "localhost:1234",
  state: "stopped",
  qemuVersion: "7.2.22",
  cpus: 1,
  stop: { cpu: 0, pc: "0x40000000", why: "attach" },
  capture: null,
  error: null,
};

export const CAPTURE: CaptureJson = {
  capture: "c1",
  target: null,
  state: "complete",
  createdAt: "2026-01-02T03:04:05.000Z",
  size: 3,
  points: [],
  error: null,
};

/** `Capture.wait` waits until it is aborted; `Memory.read` says how long what it was asked for is; the others answer at once. */
export function fakeHandlers(): Handlers {
  return {
    "Target.list": async () => [TARGET],
    "Target.status": async ({ target }) => ({ ...TARGET, target }),
    "Target.resume": async ({ target }) => ({ ...TARGET, target, state: "running", stop: null }),
    "Memory.read": async ({ address, length }) => ({ address, bytes: "A".repeat(length), code: null }),
    "Capture.list": async () => [CAPTURE],
    "Capture.get": async ({ capture }) => found(capture),
    "Capture.findings": async ({ capture }) => {
      found(capture);
      return [{ rule: "guest-faulted", severity: "error", title: "It \u202edied\u001b[31m", evidence: [] }];
    },
    "Capture.wait": (_params, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
  };
}

function found(capture: string): CaptureJson {
  if (capture === CAPTURE.capture) return CAPTURE;
  throw new EbscopeError("no-such-capture", `Cannot read the capture ${capture}: there is none`);
}

export const FORMS: CaptureForms = {
  html: async (capture) => {
    found(capture);
    return `<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'"><p>x`;
  },
  markdown: async (capture) => `# ${found(capture).capture}\n`,
  file: async (capture) => {
    found(capture);
    return Uint8Array.of(0x45, 0x00, 0xff);
  },
};

export interface Served {
  readonly server: BridgeServer;
  readonly log: MemoryLog;
  readonly tokens: Tokens;
  readonly port: number;
  /** Of the control token unless told. */
  open(token?: string): Promise<Client>;
  /** The status, headers and body of a GET, with the token for reading unless told. */
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  stop(): Promise<void>;
}

export interface ServeOptions {
  readonly handlers?: Handlers;
  readonly forms?: CaptureForms;
  readonly limits?: Partial<Limits>;
  readonly listen?: readonly Listen[];
  readonly log?: MemoryLog;
}

export async function serve(options: ServeOptions = {}): Promise<Served> {
  const log = options.log ?? new MemoryLog();
  const tokens = makeTokens();
  const server = await startServer({
    handlers: options.handlers ?? fakeHandlers(),
    log,
    forms: options.forms ?? FORMS,
    tokens,
    version: "1.2.3",
    listen: options.listen ?? [{ address: "127.0.0.1", port: 0 }],
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const [place] = server.places;
  const port = place !== undefined && "port" in place ? place.port : 0;
  return {
    server,
    log,
    tokens,
    port,
    open: (token = tokens.control) => Client.open(`ws://127.0.0.1:${port}/rpc`, token ?? ""),
    get: (path, headers = { authorization: `Bearer ${tokens.read}` }) =>
      fetch(`http://127.0.0.1:${port}${path}`, { headers }),
    stop: () => server.close(),
  };
}

/** Any answer or notification. */
export interface Received {
  readonly id?: string | number | null;
  readonly method?: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
  readonly params?: any;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
  readonly result?: any;
  readonly error?: { readonly code: number; readonly message: string; readonly data: { code: string; next: string } };
}

/** A client that knows nothing of the server's code: `ws`, JSON, and the order in which things came. */
export class Client {
  readonly ws: WebSocket;
  readonly messages: Received[] = [];
  #closed: { code: number; reason: string } | undefined;
  #wake: (() => void)[] = [];
  #id = 0;

  constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on("message", (data) => {
      const value = JSON.parse(String(data)) as Received | Received[];
      this.messages.push(...(Array.isArray(value) ? value : [value]));
      this.#wakeAll();
    });
    ws.on("error", () => undefined);
    ws.on("close", (code, reason) => {
      this.#closed = { code, reason: String(reason) };
      this.#wakeAll();
    });
  }

  static async open(url: string, token: string): Promise<Client> {
    const client = new Client(new WebSocket(url, { headers: { authorization: `Bearer ${token}` } }));
    await new Promise<void>((resolve, reject) => {
      client.ws.once("open", resolve);
      client.ws.once("error", reject);
    });
    return client;
  }

  send(value: unknown): void {
    this.ws.send(typeof value === "string" ? value : JSON.stringify(value));
  }

  /** The whole answer to a call. */
  async call(method: string, params: unknown = {}, id: string | number = `call ${++this.#id}`): Promise<Received> {
    this.send({ jsonrpc: "2.0", id, method, params });
    return this.until((message) => message.id === id);
  }

  /** The first message that fits, waiting for it; throws when the connection closes before. */
  async until(fits: (message: Received) => boolean): Promise<Received> {
    for (;;) {
      const found = this.messages.find(fits);
      if (found !== undefined) return found;
      if (this.#closed !== undefined) throw new Error(`closed: ${this.#closed.code} ${this.#closed.reason}`);
      await this.#woken();
    }
  }

  async closed(): Promise<{ code: number; reason: string }> {
    while (this.#closed === undefined) await this.#woken();
    return this.#closed;
  }

  /** Sequence numbers of the events of a subscription, in the order in which they came. */
  sequence(subscription: string): number[] {
    const events = this.messages.filter((each) => each.method === "Stream.event");
    return events.filter(({ params }) => params.subscription === subscription).map(({ params }) => params.event.seq);
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
    });
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** A raw connection: what is sent byte for byte, and all that comes back until it ends. */
export class RawSocket {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(place: { port: number } | { path: string }) {
    this.socket = connect("port" in place ? { port: place.port, host: "127.0.0.1" } : place);
    this.socket.on("data", (chunk) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Waits until what came fits, or the other side ended. */
  async until(fits: (text: string) => boolean): Promise<string> {
    while (!this.#ended && !fits(this.bytes.toString("latin1"))) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.bytes.toString("latin1");
  }

  /** Waits for the end; nothing is looked into before. */
  async end(): Promise<string> {
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.bytes.toString("latin1");
  }
}

/** Resolves when `fits` does; looks whenever the event loop comes round. */
export async function eventually(fits: () => boolean): Promise<void> {
  while (!fits()) await new Promise((resolve) => setTimeout(resolve, 2));
}
