import { defineConfig } from "vitest/config";

const HALF_A_MINUTE = 30_000;
const A_GUEST = 180_000;

/** Live tests that launch their guests paused and wait for no moment: two files at a time are as good as one. */
const PAIRS = [
  ...["address-translation", "bridge", "browser-origin", "causes", "firmware", "guest-modes", "linux"],
  ...["machines", "memory-map", "symbols", "translation", "xen"],
].map((name) => `test/live/${name}.test.ts`);

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
          include: ["test/live/**/*.test.ts"],
          exclude: PAIRS,
          testTimeout: A_GUEST,
          hookTimeout: A_GUEST,
          // One file at a time: a machine under TCG takes a core, and ebscope and gdb want the other one.
          fileParallelism: false,
        },
      },
      { test: { name: "live-pairs", include: PAIRS, testTimeout: A_GUEST, hookTimeout: A_GUEST } },
    ],
  },
});
