/** Runs the fuzzing in another process and watches over it: one that does not come back is a hang, and is told with its seed. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What came of the inputs of one kind. */
export interface KindReport {
  readonly inputs: number;
  readonly ms: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

export type FuzzMessage =
  | { readonly kind: "alive"; readonly name: string; readonly done: number }
  | { readonly kind: "done"; readonly name: string; readonly report: KindReport }
  | { readonly kind: "end"; readonly errors: readonly string[]; readonly heapGrowth: number };

export interface FuzzReport {
  readonly seed: number;
  readonly inputs: number;
  readonly kinds: Readonly<Record<string, KindReport>>;
  /** In bytes, over the whole run, garbage aside. */
  readonly heapGrowth: number;
  /** Each says its seed. Empty when all went as it should. */
  readonly errors: readonly string[];
}

/** Longer than any number of inputs takes between two of its messages. */
const HANG_MS = 60_000;

/** `inputs` inputs, the same for the same seed. */
export function runFuzz(inputs: number, seed: number): Promise<FuzzReport> {
  const path = fileURLToPath(new URL("worker.ts", import.meta.url));
  const execArgv = ["--import", "tsx", "--expose-gc"];
  const worker = fork(path, [String(inputs), String(seed)], { execArgv });
  return new Promise((resolve) => {
    const kinds: Record<string, KindReport> = {};
    let at = "starting";
    const end = (errors: readonly string[], heapGrowth: number): void => {
      clearTimeout(timer);
      worker.kill("SIGKILL");
      const total = Object.values(kinds).reduce((sum, kind) => sum + kind.inputs, 0);
      resolve({ seed, inputs: total, kinds, heapGrowth, errors: errors.map((error) => `seed ${seed}: ${error}`) });
    };
    const timer = setTimeout(() => end([`it hangs: ${at}`], Number.NaN), HANG_MS);
    worker.once("exit", (code) => end([`it ended with ${code}: ${at}`], Number.NaN));
    worker.on("message", (message: FuzzMessage) => {
      timer.refresh();
      if (message.kind === "end") end(message.errors, message.heapGrowth);
      else {
        at = message.name;
        if (message.kind === "done") kinds[message.name] = message.report;
      }
    });
  });
}
