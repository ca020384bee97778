/** Verbs that run until they are stopped, in this process: what they print, while they run and afterwards. */
import { afterEach, beforeEach, vi } from "vitest";
import { eventually } from "../server/support/serve.ts";

export interface Terminal {
  /** What went to stdout, and to stderr. */
  out: string;
  err: string;
}

/** The terminal of each test of the file. */
export function terminal(): Terminal {
  const printed: Terminal = { out: "", err: "" };
  beforeEach(() => {
    [printed.out, printed.err] = ["", ""];
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      printed.out += String(text);
      return true;
    });
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      printed.err += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  return printed;
}

/** Runs a verb; when `ready`, does what is to be done beside it, and then stops it as Ctrl-C does. Resolves with its exit code. */
export async function held(verb: Promise<number>, ready: () => boolean, use: () => Promise<void>): Promise<number> {
  let isOver = false;
  const over = verb.finally(() => {
    isOver = true;
  });
  over.catch(() => undefined);
  try {
    await eventually(() => isOver || ready());
    if (!isOver) await use();
  } finally {
    if (!isOver) process.emit("SIGINT");
  }
  return over;
}
