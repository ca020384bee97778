import { defineConfig } from "vitest/config";

const HALF_A_MINUTE = 30_000;
const A_GUEST = 180_000;

/**
 * Live tests that wait for a moment of a guest which runs meanwhile, or measure what a stub does: one file at a time, as a machine under TCG
 * takes a core, and ebscope and gdb want the other one. Of the others two at a time are as good as one.
 */
const ALONE = [
  ...["bad-running", "conformance", "conformance-example", "conformance-running", "conformance-table"],
  ...["blame-watch", "death", "leaving", "linux", "transcripts-attached"],
].map((name) => `test/live/${name}.test.ts`);
const LIVE = ["test/live/**/*.test.ts"];

export default defineConfig({
  test: {
    // Of all cores: vitest would leave one idle, which on two is half of them.
    maxWorkers: "100%",
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/live/**"],
          testTimeout: HALF_A_MINUTE,
        },
      },
      {
        test: {
          name: "live",
          include: ALONE,
          testTimeout: A_GUEST,
          hookTimeout: A_GUEST,
          fileParallelism: false,
        },
      },
      { test: { name: "live-pairs", include: LIVE, exclude: ALONE, testTimeout: A_GUEST, hookTimeout: A_GUEST } },
    ],
  },
});
