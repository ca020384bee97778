/** Byte pipes to a stub: tcp and unix sockets, and a recording that plays one. Nothing here knows the protocol. */
import { connect, type Socket } from "node:net";
import { abortError, delay } from "../base/abort.ts";
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import { openReplay } from "./replay.ts";

export interface Transport {
  /** Called once, before the first write. `closed` is told at most once. */
  start(handlers: { data(chunk: Uint8Array): void; closed(cause?: Error): void }): void;
  write(bytes: Uint8Array): void;
  /** Sends what was written and closes. */
  close(): Promise<void>;
}

export type StubAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  /** A transcript: there is no stub and no guest. */
  | { readonly kind: "replay"; readonly path: string };

/** Parses `host:port`, `:port`, `[v6]:port`, `tcp:host:port`, `unix:/path` or `replay:file`. */
export function parseStubAddress(text: string): StubAddress {
  const [, kind, path] = /^(unix|replay):(.+)$/s.exec(text) ?? [];
  if (kind !== undefined && path !== undefined) return { kind: kind === "unix" ? "unix" : "replay", path };
  const match = /^(?:tcp:)?(?:\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|([^:[\]/\s]*)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) {
    throw new EbscopeError("usage", `Cannot read the stub address ${JSON.stringify(printable(text))}`, {
      next: "Give host:port, such as localhost:1234, unix:/path/to/socket, or replay:FILE for a recorded session.",
    });
  }
  return { kind: "tcp", host: match[1] ?? (match[2] || "localhost"), port };
}

export function stubAddressText(address: StubAddress): string {
  if (address.kind !== "tcp") return `${address.kind}:${address.path}`;
  const { host, port } = address;
  // Hosts of these names would be read as the other kinds.
  if (host === "unix" || host === "replay") return `tcp:${host}:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

export interface ConnectOptions {
  readonly timeoutMs?: number;
  /** For how long a refusal is no reason to give up: a stub that was just started has its socket a moment before it listens. Default 0. */
  readonly retryMs?: number;
  readonly signal?: AbortSignal;
}

const RETRY_EVERY_MS = 20;
/** Of silence, before the other machine is asked whether it is there. */
const KEEP_ALIVE_MS = 30_000;

/** Connects within `timeoutMs`, by default 5000; a transcript is read whole. */
export function connectTransport(address: StubAddress, options: ConnectOptions = {}): Promise<Transport> {
  // Before anything reaches the stub: a connection alone pauses a guest.
  if (options.signal?.aborted) return Promise.reject(abortError(options.signal));
  return address.kind === "replay" ? openReplay(address.path) : connectPatiently(address, options);
}

type SocketAddress = Exclude<StubAddress, { kind: "replay" }>;

async function connectPatiently(address: SocketAddress, options: ConnectOptions): Promise<Transport> {
  const giveUpAt = performance.now() + (options.retryMs ?? 0);
  for (;;) {
    try {
      return await connectSocket(address, options);
    } catch (error) {
      const refused = error instanceof EbscopeError && error.code === "connect-failed";
      if (!refused || performance.now() >= giveUpAt) throw error;
    }
    await delay(RETRY_EVERY_MS, options.signal);
  }
}

function connectSocket(address: SocketAddress, options: ConnectOptions): Promise<Transport> {
  const where = stubAddressText(address);
  const timeoutMs = options.timeoutMs ?? 5000;
  return new Promise((resolve, reject) => {
    const inlet: Inlet = { data: () => undefined };
    const onread = {
      buffer: Buffer.allocUnsafeSlow(READ_SIZE),
      callback: (length: number, buffer: Uint8Array): boolean => {
        inlet.data(buffer.subarray(0, length));
        return true;
      },
    };
    const socket = connect(address.kind === "unix" ? { path: address.path, onread } : { ...address, onread });
    const fail = (error: EbscopeError): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(abortError(options.signal as AbortSignal));
    const timer = setTimeout(() => {
      fail(new EbscopeError("connect-timeout", `Cannot connect to ${where}: no answer within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    const onError = (cause: NodeJS.ErrnoException): void =>
      fail(new EbscopeError("connect-failed", `Cannot connect to ${where}: ${reason(cause)}`, { cause }));
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError);
    };
    options.signal?.addEventListener("abort", onAbort, { once: true });
    socket.once("error", onError);
    socket.once("connect", () => {
      settle();
      socket.setNoDelay(true);
      // A guest that runs says nothing, for hours: without this nobody would notice that its machine is gone. No effect on a Unix socket.
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      resolve(new SocketTransport(socket, inlet));
    });
  });
}

function reason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "nothing listens there";
    case "ENOENT":
      return "no such socket";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "no such host";
    case "EACCES":
      return "permission denied";
    default:
      return error.code ?? error.message;
  }
}

/** What comes is read into one buffer, over and over: a new one for each piece is the larger part of what receiving costs. */
const READ_SIZE = 64 << 10;

interface Inlet {
  data(chunk: Uint8Array): void;
}

class SocketTransport implements Transport {
  readonly #socket: Socket;
  readonly #inlet: Inlet;
  #done = false;

  constructor(socket: Socket, inlet: Inlet) {
    this.#socket = socket;
    this.#inlet = inlet;
    socket.pause();
    socket.on("error", () => undefined);
  }

  start(handlers: { data(chunk: Uint8Array): void; closed(cause?: Error): void }): void {
    const closed = (cause?: Error): void => {
      if (this.#done) return;
      this.#done = true;
      handlers.closed(cause);
    };
    this.#inlet.data = handlers.data;
    this.#socket.on("end", () => closed());
    this.#socket.on("error", closed);
    this.#socket.on("close", () => closed());
    this.#socket.resume();
  }

  write(bytes: Uint8Array): void {
    if (!this.#done) this.#socket.write(bytes);
  }

  close(): Promise<void> {
    if (this.#done) {
      this.#socket.destroy();
      return Promise.resolve();
    }
    this.#done = true;
    return new Promise((resolve) => {
      const giveUp = setTimeout(() => this.#socket.destroy(), 500);
      this.#socket.once("close", () => {
        clearTimeout(giveUp);
        resolve();
      });
      this.#socket.end();
      // A half-closed peer may stay for ever; what was written has been flushed by then.
      this.#socket.once("finish", () => this.#socket.destroy());
    });
  }
}
