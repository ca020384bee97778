/** A WebSocket in Node: that of `ws`, which also tells what a bridge says when it lets nobody in. */
import { WebSocket } from "ws";
import { BridgeError } from "./errors.ts";
import { listenTo, type OpenSocket, type StandardWebSocket } from "./socket.ts";

/** Bytes of what is read of a refusal. */
const MAX_REFUSAL = 16_384;

export const openNodeSocket: OpenSocket = (url, protocols, maxMessage, to) => {
  const ws = new WebSocket(url, [...protocols], { perMessageDeflate: false, maxPayload: maxMessage });
  let refusal: BridgeError | undefined;
  ws.on("unexpected-response", (_request, response) => {
    let body = "";
    const answered = (): void => {
      refusal ??= refusalOf(response.statusCode ?? 0, body, url);
      ws.terminate();
    };
    response.setEncoding("utf8");
    response.on("data", (text: string) => {
      body += text;
      if (body.length > MAX_REFUSAL) answered();
    });
    response.on("close", answered);
    response.on("error", answered);
  });
  // `ws` has the WHATWG interface, typed with its own events.
  listenTo(ws as unknown as StandardWebSocket, to, () => (refusal === undefined ? {} : { refusal }));
  return ws;
};

/** HTTP's statuses (RFC 9110, 15): those of 500 and above pass, the others do not. */
function refusalOf(status: number, body: string, url: string): BridgeError {
  const { code, message, next } = problemIn(body);
  const passing = status === 503 ? "too-many-requests" : "connect-failed";
  return new BridgeError(
    status >= 500 ? passing : (code ?? "request-refused"),
    `Cannot connect to ${url}: it answered ${status}${message === undefined ? "" : `: ${message}`}`,
    { next: next ?? "Check the address: no ebscope bridge seems to be there." },
  );
}

/** The bridge's own words (api/http.ts, ProblemJson), when it was a bridge that answered. */
function problemIn(body: string): { code?: string; message?: string; next?: string } {
  try {
    const { error } = JSON.parse(body) as { error?: Record<string, unknown> };
    const { code, message, next } = error ?? {};
    return typeof code === "string" && typeof message === "string" && typeof next === "string"
      ? { code, message, next }
      : {};
  } catch {
    return {};
  }
}
