/** From a call to the handler of its method: is there such a method, may the caller, are the parameters what the schema asks for. */
import { faultsOf } from "../../api/check.ts";
import { METHODS, type MethodName, type Params, RPC_ERRORS } from "../../api/protocol.ts";
import { abortError } from "../../base/abort.ts";
import { nearNames } from "../../base/near.ts";
import { printable } from "../../base/text.ts";
import type { CallContext, Handler, Handlers } from "../handlers.ts";
import type { Call } from "./message.ts";
import { forbidden, RpcError } from "./rpc-error.ts";

/** The method of a call with all that was to be checked before it is let in; throws an RpcError when it is not. */
export function admitCall(
  call: Call,
  handlers: Handlers,
  access: CallContext["access"],
): (signal: AbortSignal) => Promise<unknown> {
  const method = knownMethod(call.method, handlers);
  if (METHODS[method].access === "control" && access !== "control") throw forbidden(method);
  checkParams(method, call.params);
  // The schema has just said that they are the method's.
  const handler = handlers[method] as Handler<MethodName>;
  const params = call.params as Params<MethodName>;
  return async (signal) => handler(params, { signal, access });
}

function knownMethod(name: string, handlers: Handlers): MethodName {
  if (Object.hasOwn(METHODS, name) && handlers[name as MethodName] !== undefined) return name as MethodName;
  const near = nearNames(name, Object.keys(handlers));
  const next = near.length > 0 ? `Did you mean ${near.join(" or ")}?` : "`Bridge.describe` has all methods.";
  const message = `Cannot call ${JSON.stringify(printable(name, 60))}: there is no such method`;
  throw new RpcError(RPC_ERRORS.method, "usage", message, { next });
}

function checkParams(method: MethodName, params: unknown): void {
  const faults = Array.isArray(params)
    ? "parameters go by name, in an object"
    : faultsOf(METHODS[method].params, params);
  if (faults === undefined) return;
  const next = `\`Bridge.describe\` has the parameters of ${method}.`;
  throw new RpcError(RPC_ERRORS.params, "usage", `Cannot call ${method}: ${faults}`, { next });
}

/** The promise's outcome, or the signal's reason as soon as it is aborted: a cancelled call is answered whatever its handler does. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
