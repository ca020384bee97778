/**
 * Timers that go off when the test says so, in the place of node's: thousands of sessions that wait for a deadline take no time. Only
 * setTimeout, clearTimeout and performance.now are replaced; leave with `using`.
 */
interface Timer {
  readonly at: number;
  readonly call: () => void;
}

export class VirtualTime implements Disposable {
  #now = 0;
  readonly #timers = new Set<Timer>();
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;

  constructor() {
    const start = (call: () => void, milliseconds = 0): Timer => {
      const timer = { at: this.#now + Math.max(1, milliseconds), call };
      this.#timers.add(timer);
      return timer;
    };
    const stop = (timer: unknown): void => void this.#timers.delete(timer as Timer);
    globalThis.setTimeout = start as unknown as typeof setTimeout;
    globalThis.clearTimeout = stop as typeof clearTimeout;
    performance.now = () => this.#now;
  }

  get waiting(): number {
    return this.#timers.size;
  }

  /** Lets time pass until the next timer goes off; nothing when there is none. */
  next(): void {
    const first = this.#first();
    if (first !== undefined) this.#goOff(first);
  }

  /** Lets so much time pass. */
  pass(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (let first = this.#first(); first !== undefined && first.at <= end; first = this.#first()) this.#goOff(first);
    this.#now = end;
  }

  #first(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (first === undefined || timer.at < first.at) first = timer;
    return first;
  }

  #goOff(timer: Timer): void {
    this.#timers.delete(timer);
    this.#now = timer.at;
    timer.call();
  }

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#setTimeout;
    globalThis.clearTimeout = this.#clearTimeout;
    // The replacement hides what the prototype has.
    Reflect.deleteProperty(performance, "now");
  }
}
