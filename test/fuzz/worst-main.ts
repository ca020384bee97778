import { worstCosts } from "./worst.ts";

for await (const [name, { outcome, readMs, lookupMs, findMs, bytes }] of worstCosts(process.argv[2]))
  console.log(
    `${name.padEnd(34)} ${readMs.toFixed(0).padStart(6)} ms  ${(bytes / 2 ** 20).toFixed(0).padStart(4)} MiB  lookups ${lookupMs.toFixed(0)} ms, finds ${findMs.toFixed(0)} ms  ${outcome}`,
  );
