import { expect, it } from "vitest";
import { mostPoints } from "../../src/snapshot/meta.ts";

it.each([
  [1, 4096],
  [16, 4096],
  [17, 3855],
  [512, 128],
])("a capture of %i vCPUs has room for %i points, as each has a row of registers a vCPU", (vcpus, points) => {
  expect(mostPoints(vcpus)).toBe(points);
});
