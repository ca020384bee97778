/** The random worlds that decoders are held against: they never ask for what is not modelled, and they have everything. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { type SlowTranslation, slowTranslate } from "../support/slow-decoder.ts";
import { anyWorld, randomWorld, type World } from "../support/tables.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const WORLDS = 1200;
const ADDRESSES = 10;

function kindOf({ regime, twoStages }: World, result: SlowTranslation): string {
  const where = twoStages ? "both stages" : regime;
  if (result.outcome === "mapped") return `${where}: mapped`;
  if (result.outcome === "unreadable") return `unreadable, stage ${result.stage}`;
  return `stage ${result.stage}${result.onWalk ? " on the walk" : ""}: ${result.kind}`;
}

describe("random worlds", () => {
  const features = new Map<string, number>();
  const outcomes = new Map<string, number>();
  const letters = new Set<string>();
  const count = (counts: Map<string, number>, key: string): void => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };

  beforeAll(() => {
    for (let seed = 0; seed < WORLDS; seed++) {
      const world = anyWorld(seed);
      for (const feature of new Set(world.features)) count(features, feature);
      for (let i = 0; i < ADDRESSES; i++) {
        const result = slowTranslate(world.machine, world.regime, world.address());
        count(outcomes, kindOf(world, result));
        if (result.outcome === "mapped") count(outcomes, `level ${result.level}`);
        if (result.outcome === "mapped") letters.add(result.privileged);
      }
    }
  });

  it.each([
    ...["EL1&0", "EL2", "EL2&0", "EL3", "stage2", "EL1&0 through stage 2"],
    ...[4, 16, 64].flatMap((kib) => [`stage 1, granule ${kib} KiB`, `stage 2, granule ${kib} KiB`]),
    ...[-1, 0, 1, 2, 3].flatMap((level) => [`stage 1, first level ${level}`, `stage 2, first level ${level}`]),
    ...[1, 2].flatMap((stage) => ["DS", "52 bits with 64 KiB", "large range"].map((what) => `stage ${stage}, ${what}`)),
    ...["stage 1, small range", "stage 2, small range", "stage 2 cannot start"],
    ...["PIE", "POE", "E0POE", "AIE", "PnCH", "WXN", "TBI", "EPD", "E0PD", "caches off"],
    ...["big-endian tables", "stage 2, big-endian tables", "S2PIE", "FWB", "no FWB", "XNX", "no XNX"],
    ...[2, 4, 8, 16].map((tables) => `${tables} tables side by side`),
    ...["VM", "DC", "PTW", "CD", "TGE", "E2H"],
  ])("have %s", (feature) => {
    expect(features.get(feature)).toBeGreaterThanOrEqual(8);
  });

  it.each([
    ...["EL1&0", "EL2", "EL2&0", "EL3", "stage2", "both stages"].map((where) => `${where}: mapped`),
    ...["stage 1: translation", "stage 1: address size", "stage 2: translation", "stage 2: address size"],
    ...["translation", "address size", "permission", "access flag"].map((kind) => `stage 2 on the walk: ${kind}`),
    ...["unreadable, stage 1", "unreadable, stage 2"],
    ...[null, 0, 1, 2, 3].map((level) => `level ${level}`),
  ])("end as %s", (outcome) => {
    expect(outcomes.get(outcome)).toBeGreaterThanOrEqual(40);
  });

  it("have all combinations of permissions, and unknown ones", () => {
    const all = ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx", "???"];
    expect([...letters]).toEqual(expect.arrayContaining(all));
  });

  it("are the same for the same seed", () => {
    const lines = [0, 1].map(() => [3, 5, 8].map((seed) => String(anyWorld(seed).address())).join());
    expect(lines[0]).toBe(lines[1]);
    expect([...anyWorld(7).registers]).toEqual([...anyWorld(7).registers]);
  });

  it("that are plain have 4 KiB tables of stage 1 only", () => {
    const all = new Set(Array.from({ length: 200 }, (_, seed) => randomWorld(seed).features).flat());
    const plain = ["EL1&0", "EL2", "EL2&0", "EL3", "WXN", "EPD", "translation on", "stage 1, granule 4 KiB"];
    expect([...all].sort()).toEqual([...plain, ...[0, 1, 2].map((level) => `stage 1, first level ${level}`)].sort());
  });
});
