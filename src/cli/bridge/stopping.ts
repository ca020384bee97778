/** How a verb ends that has guests in its hands until it is stopped: whatever happens, the guests are left as they were found. */
import { asEbscopeError, EbscopeError } from "../../base/error.ts";
import { EXIT } from "../exit-code.ts";
import { printError, progress, whenOutputFails } from "../output.ts";

/** Ctrl-C, a polite kill, and the terminal that is closed. */
const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** When to stop, and what is to be closed then. */
export class Stopping {
  readonly #controller = new AbortController();
  readonly #closers: (() => Promise<void>)[] = [];
  #asked = false;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Closed at the end, the last that was added first, each whatever becomes of the others. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Stops; `ended` rejects with the reason unless it is `interrupted`. */
  stop(reason: EbscopeError): void {
    this.#controller.abort(reason);
  }

  /** The user asks: the first time politely. */
  ask(): void {
    if (this.#asked) process.exit(EXIT.failed);
    this.#asked = true;
    progress("stopping: leaving the guests as they were found (again to quit at once)");
    this.stop(onRequest());
  }

  /** Resolves when somebody asked to stop. */
  async ended(): Promise<void> {
    const { signal } = this;
    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    }
    const reason = asEbscopeError(signal.reason);
    if (reason.code !== "interrupted") throw reason;
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) {
      await close().catch((error: unknown) => printError(asEbscopeError(error)));
    }
  }
}

/** Does the work, which ends when it is told to stop, and closes everything. Resolves with the exit code. */
export async function untilStopped(work: (stopping: Stopping) => Promise<void>): Promise<number> {
  const stopping = new Stopping();
  const onSignal = (): void => stopping.ask();
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  // Without a reader nobody is told what happens; the guests must not stay as they are for it.
  const restore = whenOutputFails((error) => stopping.stop(error ?? onRequest()));
  try {
    await work(stopping);
    return EXIT.done;
  } catch (error) {
    // Stopped before all was there: whoever asked for it knows.
    if (stopping.signal.aborted && asEbscopeError(error).code === "interrupted") return EXIT.failed;
    throw error;
  } finally {
    await stopping.close();
    restore();
    for (const name of STOP_SIGNALS) process.removeListener(name, onSignal);
  }
}

function onRequest(): EbscopeError {
  return new EbscopeError("interrupted", "Stopped on request");
}
