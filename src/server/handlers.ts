/** What the server needs of the bridge: methods by name, the log (bridge/ports.ts), and captures in the forms that are handed on. */
import type { CallContext } from "../bridge/handlers.ts";

export type { CallContext, Handler, Handlers } from "../bridge/handlers.ts";

/** What whoever calls may do. */
export type Access = CallContext["access"];

/** Captures in the forms that are handed on; all reject with `no-such-capture`, or with what is wrong with it. */
export interface CaptureForms {
  html(capture: string, signal: AbortSignal): Promise<string>;
  markdown(capture: string, signal: AbortSignal): Promise<string>;
  /** The .ebs file. */
  file(capture: string, signal: AbortSignal): Promise<Uint8Array>;
}
