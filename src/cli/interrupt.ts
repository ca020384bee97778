/** Stopping a verb that has a guest in its hands. */
import { EbscopeError } from "../base/error.ts";
import { EXIT } from "./exit-code.ts";
import { progress } from "./output.ts";

/** Ctrl-C, a polite kill, and the terminal that is closed. */
const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Turns the first Ctrl-C into an abort, so that the guest is left as it was found; the second ends at once. */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  // One handler throughout: without any, a second signal would end this program before it could end a launched guest.
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.failed);
    progress("stopping: leaving the guest as it was found (again to quit at once)");
    controller.abort(new EbscopeError("interrupted", "Stopped on request"));
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of STOP_SIGNALS) process.removeListener(name, onSignal);
  }
}
