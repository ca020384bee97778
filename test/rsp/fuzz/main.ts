/**
 * `npm run fuzz`: a million inputs of every kind, or as many as FUZZ_INPUTS says; FUZZ_SEED repeats a run. Prints what became of them.
 */
import { runFuzz } from "./run.ts";

const inputs = Number(process.env.FUZZ_INPUTS ?? 1_000_000);
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
console.log(`${inputs} inputs, FUZZ_SEED=${seed}`);
const started = performance.now();
const report = await runFuzz(inputs, seed);
for (const [name, kind] of Object.entries(report.kinds)) {
  const outcomes = Object.entries(kind.outcomes).map(([outcome, count]) => `${outcome} ${count}`);
  console.log(`${name}: ${kind.inputs} inputs in ${(kind.ms / 1000).toFixed(1)} s (${outcomes.join(", ")})`);
}
const seconds = ((performance.now() - started) / 1000).toFixed(1);
const growth = (report.heapGrowth / 2 ** 20).toFixed(1);
console.log(`${report.inputs} inputs in ${seconds} s, heap growth ${growth} MiB, ${report.errors.length} errors`);
for (const error of report.errors) console.error(error);
process.exitCode = report.errors.length > 0 ? 1 : 0;
