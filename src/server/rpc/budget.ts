/** How many requests a connection may still make: so many a second on average, and a burst at once (a token bucket). */

/** Bytes that cost as much as one more request: parsing takes time by length. */
const BYTES_A_REQUEST = 8192;

export class Budget {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;
  #left: number;
  #at: number;

  /** `now`: milliseconds that never go back. */
  constructor(
    limits: { readonly requestsPerSecond: number; readonly requestBurst: number },
    now = () => performance.now(),
  ) {
    this.#perSecond = limits.requestsPerSecond;
    this.#burst = limits.requestBurst;
    this.#now = now;
    this.#left = this.#burst;
    this.#at = now();
  }

  /** Takes a message of so many calls and bytes. `over`: it is not to be served. `flood`: so much came nonetheless that enough is enough. */
  take(requests: number, bytes: number): "served" | "over" | "flood" {
    this.#refill();
    this.#left -= requests + Math.floor(bytes / BYTES_A_REQUEST);
    if (this.#left >= 0) return "served";
    return this.#left > -this.#burst ? "over" : "flood";
  }

  #refill(): void {
    const now = this.#now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
  }
}
