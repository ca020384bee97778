/**
 * What a bridge sends, as values: JSON-RPC 2.0 (jsonrpc.org/specification, 5) and the two notifications of the stream (api/protocol.ts). Heads are
 * checked, as the client acts on them; results and the data of events are what the bridge says they are.
 */
import type { BridgeEvent } from "../api/events.ts";
import { isDeeperThan } from "../base/json-depth.ts";
import { BridgeError, protocolError } from "./errors.ts";

export type Outcome =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly error: BridgeError };

export type Incoming =
  | { readonly kind: "answer"; readonly id: number; readonly outcome: Outcome }
  | { readonly kind: "event"; readonly subscription: string; readonly event: BridgeEvent }
  | { readonly kind: "lagged"; readonly subscription: string; readonly from: number; readonly to: number }
  /** A notification that this version does not know. */
  | { readonly kind: "unknown" };

/** Levels of lists and objects; the deepest answer, Bridge.describe, has fewer than 40. */
const MAX_DEPTH = 200;

type Fields = Readonly<Record<string, unknown>>;

/** Throws a protocol error for what no bridge sends. */
export function readMessage(text: string): Incoming {
  const message = fieldsOf(parseJson(text), "a message is no object");
  if (message.jsonrpc !== "2.0") throw protocolError("a message is not of JSON-RPC 2.0");
  if (typeof message.method === "string") return readNotification(message.method, message.params);
  return { kind: "answer", id: readId(message), outcome: readOutcome(message) };
}

function parseJson(text: string): unknown {
  if (isDeeperThan(text, MAX_DEPTH)) throw protocolError(`a message nests more than ${MAX_DEPTH} deep`);
  try {
    return JSON.parse(text);
  } catch {
    throw protocolError("a message is no JSON");
  }
}

function fieldsOf(value: unknown, otherwise: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw protocolError(otherwise);
}

/** Ids are numbers here, as those of the calls are. */
function readId({ id, error }: Fields): number {
  if (Number.isSafeInteger(id)) return id as number;
  const why = (error as Fields | undefined)?.message;
  throw protocolError(typeof why === "string" ? `it could not read a call (${why})` : "an answer has no id of a call");
}

function readOutcome(message: Fields): Outcome {
  const [hasResult, hasError] = [Object.hasOwn(message, "result"), Object.hasOwn(message, "error")];
  if (hasResult === hasError) throw protocolError("an answer has not one of `result` and `error`");
  return hasResult ? { ok: true, result: message.result } : { ok: false, error: readError(message.error) };
}

function readError(value: unknown): BridgeError {
  const { code: rpcCode, message, data = {} } = fieldsOf(value, "an error is no object");
  if (typeof rpcCode !== "number" || typeof message !== "string")
    throw protocolError("an error has no code or message");
  const { code, next } = fieldsOf(data, "the data of an error is no object");
  return new BridgeError(typeof code === "string" ? code : "internal", message, {
    next: typeof next === "string" ? next : "",
    rpcCode,
  });
}

function readNotification(method: string, params: unknown): Incoming {
  if (method !== "Stream.event" && method !== "Stream.lagged") return { kind: "unknown" };
  const fields = fieldsOf(params, `${method} has no parameters`);
  const { subscription } = fields;
  if (typeof subscription !== "string") throw protocolError(`${method} names no subscription`);
  if (method === "Stream.event") return { kind: "event", subscription, event: readEvent(fields.event) };
  const { from, to } = fields;
  if (!isSequence(from) || !isSequence(to) || from > to) throw protocolError("Stream.lagged tells no range");
  return { kind: "lagged", subscription, from, to };
}

function readEvent(value: unknown): BridgeEvent {
  const event = fieldsOf(value, "an event is no object");
  const { seq, time, kind, target, capture, data } = event;
  const named = [target, capture].every((name) => name === null || typeof name === "string");
  if (!isSequence(seq) || typeof time !== "string" || typeof kind !== "string" || !named) {
    throw protocolError("an event has no proper head");
  }
  fieldsOf(data, "an event has no data");
  // `data` is taken as the one of its kind: the bridge made it from the same types.
  return event as BridgeEvent;
}

/** Of an event: 1 is the first. */
export function isSequence(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
