/** What reading one symbol file costs, in a process of its own: its path stands in the arguments, a line of JSON is printed. */
import { readFileSync, writeFileSync } from "node:fs";
import { EbscopeError } from "../../src/base/error.ts";
import { readSymbolFile, type SymbolFile } from "../../src/symbols/symbol-file.ts";

export interface Cost {
  readonly outcome: string;
  /**
   * In milliseconds, the lesser of what passed and what processors worked: other programs on the machine make the one longer, threads that
   * compile and collect garbage the other.
   */
  readonly readMs: number;
  /** A thousand addresses looked up, and ten names. */
  readonly lookupMs: number;
  readonly findMs: number;
  /** Growth of the resident set, at its highest. */
  readonly bytes: number;
}

/** The highest resident set since it was last reset: proc(5), VmHWM. getrusage's would begin with that of the parent process. */
function highest(): number {
  const [, kilobytes = ""] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/** proc(5), clear_refs: 5 resets VmHWM. */
function resetHighest(): number {
  writeFileSync("/proc/self/clear_refs", "5");
  return highest();
}

/** What it returns tells the milliseconds since. */
function stopwatch(): () => number {
  const [started, used] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(used);
    return Math.min(performance.now() - started, (user + system) / 1000);
  };
}

async function cost(path: string): Promise<Cost> {
  const before = resetHighest();
  const reading = stopwatch();
  let file: SymbolFile | undefined;
  let outcome = "read";
  try {
    file = await readSymbolFile(path);
  } catch (error) {
    if (!(error instanceof EbscopeError)) throw error;
    outcome = error.message.split(": ").slice(1).join(": ");
  }
  const readMs = reading();
  const looking = stopwatch();
  if (file !== undefined) lookUp(file);
  const lookupMs = looking();
  const finding = stopwatch();
  if (file !== undefined) for (let i = 0; i < 10; i++) file.symbols.find(`hyp_traps_vector${"s".repeat(i)}`);
  const findMs = finding();
  const bytes = highest() - before;
  return { outcome, readMs, lookupMs, findMs, bytes };
}

function lookUp({ symbols }: SymbolFile): void {
  const last = symbols.at(symbols.length - 1)?.value ?? 0n;
  for (let i = 0; i < 1000; i++) symbols.lookup((last * BigInt(i)) / 999n + BigInt(i % 64));
}

console.log(JSON.stringify(await cost(process.argv[2] ?? "")));
