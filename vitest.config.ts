import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", testTimeout: 30_000, include: ["test/**/*.test.ts"], exclude: ["test/live/**"] } },
      {
        test: {
          name: "live",
          include: ["test/live/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // One file at a time: a machine under TCG takes a core, and ebscope and gdb want the other one.
          fileParallelism: false,
        },
      },
    ],
  },
});
