/** Waiting with an end: every wait for a guest takes an AbortSignal. */
import { EbscopeError } from "./error.ts";

/** Throws the signal's reason as an EbscopeError when it has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** The error an aborted signal stands for: its own EbscopeError, or `interrupted`. */
export function abortError(signal: AbortSignal): EbscopeError {
  if (signal.reason instanceof EbscopeError) return signal.reason;
  return new EbscopeError("interrupted", "Stopped on request", { cause: signal.reason });
}

/** Resolves after `milliseconds`, or rejects as soon as the signal is aborted. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(abortError(signal as AbortSignal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
