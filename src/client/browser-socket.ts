/** The WebSocket of a browser. */
import { usageError } from "./errors.ts";
import { listenTo, type OpenSocket, type StandardWebSocket } from "./socket.ts";

type Constructor = new (url: string, protocols: string[]) => StandardWebSocket;

export const openBrowserSocket: OpenSocket = (url, protocols, _maxMessage, to) => {
  const { WebSocket } = globalThis as { WebSocket?: Constructor };
  if (WebSocket === undefined)
    throw usageError("Cannot connect: there is no WebSocket here", "In Node, use `ebscope/client`.");
  const socket = new WebSocket(url, [...protocols]);
  listenTo(socket, to);
  return {
    get protocol() {
      return socket.protocol;
    },
    get readyState() {
      return socket.readyState;
    },
    send: (text) => socket.send(text),
    // Pages may close with 1000 and 3000 to 4999 only (WebSockets Standard, "close").
    close: (code, reason) => socket.close(code, reason),
    terminate: () => undefined,
  };
};
