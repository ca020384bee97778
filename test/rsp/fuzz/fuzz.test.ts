/** Inputs of every kind that comes from a stub, as many as a test run has time for; `npm run fuzz` takes a million. */
import { expect, it } from "vitest";
import { runFuzz } from "./run.ts";

const INPUTS = 50_000;

it(`${INPUTS} inputs raise no uncaught error, make nothing hang and leave no memory behind`, async () => {
  const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
  const { errors, inputs, kinds, heapGrowth } = await runFuzz(INPUTS, seed);
  expect(errors).toEqual([]);
  expect(inputs, `seed ${seed}`).toBeGreaterThanOrEqual(INPUTS);
  expect(heapGrowth, `seed ${seed}`).toBeLessThan(16 << 20);
  // Every kind saw inputs of which something became, and others that were refused.
  for (const [name, { outcomes }] of Object.entries(kinds)) {
    if (name !== "what was encoded") expect(Object.keys(outcomes).length, `${name}, seed ${seed}`).toBeGreaterThan(1);
  }
}, 180_000);
