/** One thing after the other: what is done with a guest never interleaves on its stub. */
import { abortError } from "../base/abort.ts";

export class Queue {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** How much has not been begun. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Does `work` when all before it is done. Where the signal is aborted before that, rejects at once and `work` is never done; work that was
   * begun is finished.
   */
  add<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(abortError(signal));
    this.#waiting++;
    return new Promise((resolve, reject) => {
      let begun = false;
      const onAbort = (): void => {
        if (!begun) reject(abortError(signal as AbortSignal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#tail = this.#tail.then(async () => {
        begun = true;
        this.#waiting--;
        signal?.removeEventListener("abort", onAbort);
        if (!signal?.aborted) await work().then(resolve, reject);
      });
    });
  }
}
