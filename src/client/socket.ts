/**
 * A WebSocket as the client sees it: the part of the WHATWG interface (websockets.spec.whatwg.org) that browsers and the package `ws` share.
 */
import { type BridgeError, usageError } from "./errors.ts";

/** What a socket tells. */
export interface SocketListener {
  opened(): void;
  /** Text, or something else for a binary message. */
  received(data: unknown): void;
  /** Once, the last thing told. */
  ended(end: SocketEnd): void;
}

export interface SocketEnd {
  /** RFC 6455, 7.4; 1006 when the connection just ended. */
  readonly code: number;
  readonly reason: string;
  /** What the system says of it; browsers say nothing. */
  readonly failure?: string | undefined;
  /** What the other side answered to the handshake instead of letting it through; browsers do not tell. */
  readonly refusal?: BridgeError | undefined;
}

export interface Socket {
  /** The subprotocol that the other side selected. */
  readonly protocol: string;
  /** 1 while messages go both ways; 2 when either side is closing it. */
  readonly readyState: number;
  send(text: string): void;
  close(code: number, reason: string): void;
  /** Ends the connection without waiting for the other side, where that can be done. */
  terminate(): void;
}

/** Opens a WebSocket. `maxMessage`: bytes of one message, where the socket can be told. Throws what a bad address makes it throw. */
export type OpenSocket = (url: string, protocols: readonly string[], maxMessage: number, to: SocketListener) => Socket;

/** What browsers' WebSocket and that of `ws` both have. */
export interface StandardWebSocket {
  readonly protocol: string;
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: unknown;
  onmessage: unknown;
  onerror: unknown;
  onclose: unknown;
}

/** Tells the listener what happens to the socket. `about` is asked at the end for what only one kind of socket knows. */
export function listenTo(socket: StandardWebSocket, to: SocketListener, about: () => Partial<SocketEnd> = () => ({})) {
  let failure: string | undefined;
  socket.onopen = () => to.opened();
  socket.onmessage = (event: { readonly data: unknown }) => to.received(event.data);
  socket.onerror = (event: { readonly message?: unknown }) => {
    if (typeof event.message === "string") failure = event.message;
  };
  socket.onclose = ({ code, reason }: { readonly code: number; readonly reason: string }) => {
    to.ended({ code, reason, failure, ...about() });
  };
}

const SCHEMES: Readonly<Record<string, string>> = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" };
const UNIX = "ws+unix:";

/** The address of the bridge's WebSocket for what a user gives: ws://, http:// and the like, and ws+unix:PATH; throws a usage error. */
export function socketUrl(given: string): string {
  if (given.startsWith(UNIX)) return given.endsWith(":/rpc") ? given : `${given}:/rpc`;
  const url = parseUrl(given);
  const scheme = SCHEMES[url?.protocol ?? ""];
  // A name and a password would be sent to whoever answers, and tokens in an address end up in logs.
  if (url === undefined || scheme === undefined || url.username !== "" || url.search !== "" || url.hash !== "") {
    throw usageError(
      `Cannot connect to ${JSON.stringify(given.slice(0, 200))}: it is no address of a bridge`,
      "Give what `ebscope serve` printed: ws://HOST:PORT/rpc, http://HOST:PORT or ws+unix:PATH.",
    );
  }
  return `${scheme}//${url.host}${url.pathname === "/" ? "/rpc" : url.pathname}`;
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
