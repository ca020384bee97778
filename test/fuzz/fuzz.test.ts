/** 20,000 broken inputs, the same in each run: nothing throws, nothing is read beyond measure, no answer is absurd. */
import { describe, expect, it, vi } from "vitest";
import { fuzzKind, KINDS } from "./run.ts";

vi.setConfig({ testTimeout: 180_000 });

const INPUTS = 20_000;
const SHARES = KINDS.reduce((sum, { share }) => sum + share, 0);

describe(`${INPUTS} broken inputs`, () => {
  it.each(KINDS.map((kind) => [kind.name, kind] as const))(
    "of the kind '%s' are read or refused, within 64 KiB an image",
    async (_, kind) => {
      const count = Math.ceil((INPUTS * kind.share) / SHARES);
      const { errors, outcomes, imageBytes, inputs } = await fuzzKind(kind, count, 5);
      expect(errors).toEqual([]);
      expect(inputs).toBe(count);
      expect(imageBytes.value, `seed ${imageBytes.seed}`).toBeLessThanOrEqual(64 << 10);
      const missing = kind.outcomes.filter((outcome) => (outcomes.get(outcome) ?? 0) <= count / 400);
      expect(missing).toEqual([]);
    },
  );
});
