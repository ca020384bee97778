/** What goes wrong with a call, as JSON-RPC 2.0 tells it (5.1): a number, a message, and here `data: { code, next }`. */
import { type MethodName, RPC_ERRORS } from "../../api/protocol.ts";
import { asEbscopeError, type ErrorCode } from "../../base/error.ts";
import { REFUSALS, type RefusalCode } from "../security/refusal.ts";

type RpcCode = (typeof RPC_ERRORS)[keyof typeof RPC_ERRORS];

/** The `error` of a response. */
export interface ErrorObject {
  readonly code: RpcCode;
  readonly message: string;
  readonly data: { readonly code: ErrorCode | RefusalCode; readonly next: string };
}

/** A call that is refused before it reaches the bridge. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly object: ErrorObject;

  constructor(code: RpcCode, name: ErrorCode | RefusalCode, message: string, options: { readonly next: string }) {
    super(message);
    this.object = { code, message, data: { code: name, next: options.next } };
  }
}

/** Anything that was thrown while a call was served. */
export function errorObject(error: unknown): ErrorObject {
  if (error instanceof RpcError) return error.object;
  const { code, message, next } = asEbscopeError(error);
  const rpcCode = code === "internal" ? RPC_ERRORS.internal : RPC_ERRORS.failed;
  return { code: rpcCode, message, data: { code, next } };
}

export function tooMany(message: string): RpcError {
  return new RpcError(RPC_ERRORS.rate, "too-many-requests", message, { next: REFUSALS["too-many-requests"] });
}

export function forbidden(method: MethodName): RpcError {
  const message = `Cannot call ${method}: this connection may only read`;
  return new RpcError(RPC_ERRORS.forbidden, "access-refused", message, { next: REFUSALS["access-refused"] });
}
