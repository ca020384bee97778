/** Waiting for what somebody else does, as long as one wants to. */
import { abortError } from "../base/abort.ts";

/** What the promise comes to; rejects as soon as the signal is aborted, without any effect on what is waited for. */
export function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(abortError(signal));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
