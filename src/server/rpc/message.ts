/**
 * The text of a client's message as calls: JSON-RPC 2.0 (jsonrpc.org/specification), nothing of what the methods mean.
 *
 * A call without an id is a notification: "The Server MUST NOT reply" (4.1). This protocol has none for the server, so they are ignored.
 * What cannot be a call is answered with the error of section 5.1 and the id null.
 */
import { RPC_ERRORS } from "../../api/protocol.ts";
import { isDeeperThan } from "../../base/json-depth.ts";
import { printable } from "../../base/text.ts";
import { RpcError } from "./rpc-error.ts";

/** null is allowed, though discouraged (4). */
export type CallId = string | number | null;

export interface Call {
  readonly id: CallId;
  readonly method: string;
  /** Not checked yet; `{}` when it was left out. */
  readonly params: unknown;
}

/** A call; an answer to what is none; undefined for a notification. */
export type Part = Call | RpcError | undefined;

export interface Message {
  /** Answers go out together, in one list (6). */
  readonly batch: boolean;
  readonly parts: readonly Part[];
}

/** An id is sent back and kept: that bounds it. */
const MAX_ID = 64;
/** Levels of lists and objects in one message; the deepest parameters of the protocol have four, a batch one more. */
const MAX_DEPTH = 32;

/** Throws an RpcError for what is no JSON, and for a batch that is empty or too long. */
export function parseMessage(text: string, maxBatch: number): Message {
  const value = parseJson(text);
  if (!Array.isArray(value)) return { batch: false, parts: [partOf(value)] };
  if (value.length === 0) throw refused("a batch is a list of calls, and this one is empty");
  if (value.length > maxBatch) throw refused(`a batch has at most ${maxBatch} calls, and this one has ${value.length}`);
  return { batch: true, parts: value.map(partOf) };
}

function parseJson(text: string): unknown {
  if (isDeeperThan(text, MAX_DEPTH)) throw refused(`it has lists in lists, more than ${MAX_DEPTH} deep`);
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = printable(error instanceof Error ? error.message : "", 120);
    throw new RpcError(RPC_ERRORS.parse, "usage", `Cannot read the message: it is no JSON (${why})`, {
      next: "Send one JSON-RPC 2.0 request, or a list of them, in each text message.",
    });
  }
}

function refused(state: string): RpcError {
  return new RpcError(RPC_ERRORS.request, "usage", `Cannot take the message: ${state}`, {
    next: "Send one JSON-RPC 2.0 request, or a list of them, in each text message.",
  });
}

function partOf(value: unknown): Part {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refused("a call is an object");
  const { jsonrpc, method, id, params = {} } = value as Readonly<Record<string, unknown>>;
  if (jsonrpc !== "2.0") return refused('`jsonrpc` is not "2.0"');
  if (typeof method !== "string") return refused("`method` is no string");
  if (!Object.hasOwn(value, "id")) return undefined;
  if (!isId(id)) return refused(`\`id\` is no string of at most ${MAX_ID} characters, no safe number and not null`);
  return { id, method, params };
}

/** A number that a double does not hold would be sent back as another one. */
function isId(id: unknown): id is CallId {
  if (typeof id === "string") return id.length <= MAX_ID;
  if (typeof id === "number") return Math.abs(id) <= Number.MAX_SAFE_INTEGER;
  return id === null;
}
