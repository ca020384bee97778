/** The methods of the protocol by name, as the bridge does them: whoever calls has checked parameters and access. */
import type { MethodName, Params, Result } from "../api/protocol.ts";

export interface CallContext {
  /** Aborted when the call is cancelled or its caller is gone. */
  readonly signal: AbortSignal;
  readonly access: "read" | "control";
}

export type Handler<M extends MethodName> = (params: Params<M>, context: CallContext) => Promise<Result<M>>;
export type Handlers = { readonly [M in MethodName]?: Handler<M> };
