import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/**/*.test.ts"], exclude: ["test/live/**"] } },
      {
        test: {
          name: "live",
          include: ["test/live/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // Each live test boots a machine under TCG: two cores carry two at a time.
          maxWorkers: 2,
        },
      },
    ],
  },
});
