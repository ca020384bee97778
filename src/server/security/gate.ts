/**
 * Who is let in. Every request passes here before anything else looks at it, the upgrade to WebSocket too (RFC 6455, 10.2: the server
 * checks the Origin header; 4.2.2: it may answer with any HTTP status instead).
 *
 * Three checks, in this order:
 * 1. Host, against an exact list. A page whose name was made to lead to 127.0.0.1 (DNS rebinding) is of its own origin for the browser and
 *    sends no Origin with a GET, but its name stands in Host.
 * 2. Origin, against an exact list. Programs send none; browsers cannot leave it out of a WebSocket handshake.
 * 3. The token. It is taken from headers only: a URL stays in histories, logs and Referer. There are no cookies: nothing that a browser
 *    would send along by itself lets anybody in.
 */
import type { Access } from "../handlers.ts";
import { Refusal } from "./refusal.ts";
import { accessOf, type Tokens } from "./tokens.ts";

export interface GateRules {
  /** Values of Host, byte for byte; undefined on a Unix socket, where no name leads. */
  readonly hosts: ReadonlySet<string> | undefined;
  /** Values of Origin, byte for byte. */
  readonly origins: ReadonlySet<string>;
  readonly tokens: Tokens;
}

/** Of node's IncomingMessage. */
export interface RequestHead {
  readonly url?: string | undefined;
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[];
}

/** The subprotocol of every version of this protocol so far; the bridge selects it, so that the token's is never sent back. */
export const SUBPROTOCOL = "ebscope.v1";
const TOKEN_PROTOCOL = "ebscope.token.";

/** What the sender of a request may do; throws a Refusal when it is not let in. `open`: no token is asked for. */
export function admit(head: RequestHead, rules: GateRules, open = false): Access {
  checkTarget(head);
  checkHost(only(head, "host"), rules.hosts);
  checkOrigin(only(head, "origin"), rules.origins);
  if (open) return "read";
  return checkToken(head, rules.tokens);
}

function valuesOf({ rawHeaders }: RequestHead, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) values.push(rawHeaders[i + 1] ?? "");
  }
  return values;
}

/** A header that may be there once: of two, another reader might see the other one. */
function only(head: RequestHead, name: "host" | "origin" | "authorization"): string | undefined {
  const [value, ...others] = valuesOf(head, name);
  if (others.length > 0) throw new Refusal(400, "request-refused", `Cannot serve a request with two ${name} headers`);
  return value;
}

/** `GET http://name/path` would overrule Host (RFC 9112, 3.2.2). */
function checkTarget({ url = "" }: RequestHead): void {
  if (!url.startsWith("/")) throw new Refusal(400, "request-refused", "Cannot serve a request whose target is no path");
}

function checkHost(host: string | undefined, hosts: GateRules["hosts"]): void {
  if (hosts === undefined || (host !== undefined && hosts.has(host))) return;
  const state = host === undefined ? "it has no Host header" : "its Host header names none of this bridge's addresses";
  throw new Refusal(403, "host-refused", `Cannot serve this request: ${state}`);
}

/** `null` is the origin of sandboxed pages and files: anybody's. */
function checkOrigin(origin: string | undefined, origins: ReadonlySet<string>): void {
  if (origin === undefined || origins.has(origin)) return;
  throw new Refusal(403, "origin-refused", "Cannot serve this request: it comes from a page of another origin");
}

function checkToken(head: RequestHead, tokens: Tokens): Access {
  const given = tokensIn(head);
  const [token] = given;
  const access = token === undefined ? undefined : accessOf(tokens, token);
  if (access !== undefined && given.length === 1) return access;
  throw new Refusal(401, "token-refused", `Cannot serve this request: ${tokenState(given)}`);
}

function tokenState({ length }: readonly string[]): string {
  if (length === 0) return "it has no token";
  return length === 1 ? "its token is none of this bridge's" : "it has several tokens";
}

function tokensIn(head: RequestHead): string[] {
  const authorization = only(head, "authorization");
  // The scheme's name is the same in capitals (RFC 9110, 11.1).
  const bearer = authorization === undefined ? undefined : (/^bearer +(\S+)$/i.exec(authorization)?.[1] ?? "");
  const protocols = protocolsOf(head).filter((each) => each.startsWith(TOKEN_PROTOCOL));
  return [...(bearer === undefined ? [] : [bearer]), ...protocols.map((each) => each.slice(TOKEN_PROTOCOL.length))];
}

/** The subprotocols that are offered, in their order. */
export function protocolsOf(head: RequestHead): string[] {
  return valuesOf(head, "sec-websocket-protocol").flatMap((value) => value.split(",").map((each) => each.trim()));
}
