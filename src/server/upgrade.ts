/**
 * The handshake of `/rpc` (RFC 6455, 4.2). Whoever is not let in gets an HTTP response that says why, and the connection ends: no byte of
 * WebSocket is spoken with it.
 */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { RPC_PATH } from "../api/http.ts";
import type { Access } from "./handlers.ts";
import type { Limits } from "./limits.ts";
import { admit, type GateRules, protocolsOf, SUBPROTOCOL } from "./security/gate.ts";
import { SECURITY_HEADERS } from "./security/headers.ts";
import { problemOf, Refusal } from "./security/refusal.ts";

const SUBPROTOCOL_NEXT = `Offer the subprotocol \`${SUBPROTOCOL}\` too: a browser ends a connection for which none was selected.`;

export type Connected = (ws: WebSocket, socket: Socket, access: Access) => void;

export class Upgrades {
  readonly #wss: WebSocketServer;
  readonly #mostSockets: number;
  readonly #connected: Connected;
  #open = 0;

  constructor(
    { message, fragments, sockets }: Pick<Limits, "message" | "fragments" | "sockets">,
    connected: Connected,
  ) {
    this.#mostSockets = sockets;
    this.#connected = connected;
    this.#wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Compression costs memory by connection, and lengths of compressed texts tell what is in them.
      perMessageDeflate: false,
      maxPayload: message,
      maxFragments: fragments,
      maxBufferedChunks: 16_384,
      closeTimeout: 5000,
      handleProtocols: (offered) => offered.has(SUBPROTOCOL) && SUBPROTOCOL,
    } as ConstructorParameters<typeof WebSocketServer>[0]);
    this.#wss.on("wsClientError", (error, socket) => {
      refuse(socket as Socket, new Refusal(400, "request-refused", `Cannot open a WebSocket: ${error.message}`));
    });
  }

  /** Of node's `upgrade` event. Never throws. */
  handle(request: IncomingMessage, socket: Socket, head: Buffer, rules: GateRules): void {
    // A client that goes away during the handshake is no failure of the bridge.
    socket.on("error", () => socket.destroy());
    try {
      const access = admit(request, rules);
      this.#check(request);
      this.#wss.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, socket, access));
    } catch (error) {
      refuse(socket, error);
    }
  }

  #check(request: IncomingMessage): void {
    const [path] = (request.url ?? "").split("?");
    const isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket";
    if (path !== RPC_PATH || !isWebSocket) {
      throw new Refusal(
        404,
        "request-refused",
        `Cannot upgrade this connection: there is a WebSocket at ${RPC_PATH} only`,
      );
    }
    const protocols = protocolsOf(request);
    if (protocols.length > 0 && !protocols.includes(SUBPROTOCOL)) {
      throw new Refusal(400, "request-refused", "Cannot open a WebSocket with these subprotocols", SUBPROTOCOL_NEXT);
    }
    if (this.#open >= this.#mostSockets) {
      throw new Refusal(503, "too-many-requests", `Cannot open a WebSocket: ${this.#mostSockets} are open`);
    }
  }

  #accept(ws: WebSocket, socket: Socket, access: Access): void {
    this.#open++;
    ws.on("close", () => {
      this.#open--;
    });
    this.#connected(ws, socket, access);
  }
}

/** The response of HTTP/1.1, written by hand: the socket is no longer node's. */
function refuse(socket: Socket, error: unknown): void {
  const refusal = error instanceof Refusal ? error : new Refusal(500, "request-refused", "Cannot serve this request");
  const body = `${JSON.stringify(problemOf(refusal))}\n`;
  const headers = {
    ...SECURITY_HEADERS,
    ...(refusal.status === 401 ? { "www-authenticate": "Bearer" } : {}),
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.once("finish", () => socket.destroy());
  socket.end(`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines.join("")}\r\n${body}`);
}
