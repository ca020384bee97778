/** Runs the fuzzing in a process of its own: how many inputs and with which seed stands in its arguments. It tells as it goes on. */
import fc from "fast-check";
import { DOCUMENTS } from "./documents.ts";
import { FRAMING } from "./framing.ts";
import type { Fuzz } from "./fuzz.ts";
import { REPLIES } from "./replies.ts";
import type { FuzzMessage } from "./run.ts";
import { SESSIONS } from "./sessions.ts";

const ALL: readonly Fuzz[] = [...FRAMING, ...REPLIES, ...DOCUMENTS, ...SESSIONS];
/** Inputs of each kind before memory is measured: what is compiled and kept once is no growth. */
const WARM_UP = 300;

const [inputs = 0, seed = 0] = process.argv.slice(2).map(Number);
const errors: string[] = [];
process.on("uncaughtException", (error) => errors.push(`uncaught: ${error.stack ?? error.message}`));
process.on("unhandledRejection", (reason) => errors.push(`unhandled: ${String(reason)}`));

function tell(message: FuzzMessage): void {
  process.send?.(message);
}

function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

async function run({ name, property }: Fuzz, numRuns: number): Promise<void> {
  const outcomes = new Map<string, number>();
  const started = performance.now();
  let done = 0;
  const counted = property((outcome) => {
    if (++done % 64 === 0) tell({ kind: "alive", name, done });
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  });
  const details = await fc.check(counted, { numRuns, seed });
  if (details.failed) errors.push(`${name}: ${fc.defaultReportMessage(details) ?? ""}`);
  const ms = performance.now() - started;
  tell({ kind: "done", name, report: { inputs: details.numRuns, ms, outcomes: Object.fromEntries(outcomes) } });
}

async function main(): Promise<void> {
  for (const each of ALL)
    await fc.check(
      each.property(() => undefined),
      { numRuns: Math.min(WARM_UP, each.share * 10), seed },
    );
  const before = heap();
  let most = before;
  for (const each of ALL) {
    await run(each, Math.ceil((inputs * each.share) / 1000));
    most = Math.max(most, heap());
  }
  tell({ kind: "end", errors, heapGrowth: most - before });
  process.disconnect?.();
}

void main();
