/**
 * `npm run fuzz:symbols`: 200,000 broken inputs, or as many as FUZZ_INPUTS says, and the dearest files. FUZZ_SEED repeats a run;
 * FUZZ_KIND takes one kind only, so with FUZZ_INPUTS=1 the one input whose seed a report names.
 */
import type { Cost } from "./cost.ts";
import { fuzz, KINDS, type KindReport } from "./run.ts";
import { worstCosts } from "./worst.ts";

const inputs = Number(process.env.FUZZ_INPUTS ?? 200_000);
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const only = process.env.FUZZ_KIND ?? "";
/** What a file may cost. */
const MAX_MS = 1000;
const MAX_BYTES = 256 << 20;
const MAX_IMAGE_BYTES = 64 << 10;

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
let failures = 0;

function print({ name, inputs, outcomes, slowest, growth, imageBytes, errors, uncaught }: KindReport): void {
  const counts = [...outcomes].sort(([, a], [, b]) => b - a).map(([outcome, count]) => `${outcome} ${count}`);
  console.log(`${name}: ${inputs} inputs, ${uncaught} uncaught`);
  console.log(`  ${counts.slice(0, 24).join(", ")}${counts.length > 24 ? ", …" : ""}`);
  console.log(`  slowest ${slowest.value.toFixed(1)} ms (seed ${slowest.seed})`);
  console.log(`  most memory over one input ${mebibytes(growth.value)} (seed ${growth.seed})`);
  if (imageBytes.value > 0) console.log(`  most read of an image ${imageBytes.value} bytes (seed ${imageBytes.seed})`);
  for (const error of errors) console.error(error);
  const dear = slowest.value > MAX_MS || growth.value > MAX_BYTES || imageBytes.value > MAX_IMAGE_BYTES;
  if (uncaught > 0 || dear) failures++;
}

function printCost(name: string, { outcome, readMs, lookupMs, findMs, bytes }: Cost): void {
  const dear = readMs > MAX_MS || bytes > MAX_BYTES;
  const costs = `${readMs.toFixed(0).padStart(5)} ms ${mebibytes(bytes).padStart(10)}`;
  const after = `1,000 look-ups ${lookupMs.toFixed(0)} ms, 10 names ${findMs.toFixed(0)} ms`;
  console.log(`${name.padEnd(32)} ${costs}  ${after}  ${outcome}${dear ? "  TOO DEAR" : ""}`);
  if (dear) failures++;
}

console.log(`${inputs} inputs, FUZZ_SEED=${seed}`);
const started = performance.now();
let total = 0;
for await (const report of fuzz(
  inputs,
  seed,
  KINDS.filter(({ name }) => name.includes(only)),
)) {
  print(report);
  total += report.inputs;
}
console.log(`${total} inputs in ${((performance.now() - started) / 1000).toFixed(1)} s`);
if (only === "") for await (const [name, cost] of worstCosts(MAX_MS)) printCost(name, cost);
process.exitCode = failures > 0 ? 1 : 0;
