/** What both entries offer. */
export type { BridgeEvent, EventFilter, EventKind } from "../api/events.ts";
export type { BreakpointJson, CaptureJson, MethodName, Params, Result, TargetJson } from "../api/protocol.ts";
export { printable } from "../base/text.ts";
export type { CallOptions } from "./calls.ts";
export { type CallableMethod, Client, type ClientOptions, type Domain } from "./client.ts";
export type { TokenSource } from "./dialer.ts";
export { BridgeError, type BridgeErrorCode, EventsGone, type Gap } from "./errors.ts";
export type { EventOptions, EventStream } from "./event-stream.ts";
export type { ClientState } from "./link.ts";
