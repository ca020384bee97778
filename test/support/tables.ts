/**
 * Random worlds: translation tables with the registers that lead to them, for each regime. A seed tells a whole world. They keep to
 * what the architecture defines (world-plan.ts) and what the slow decoder models.
 */
import { FakeMemory } from "./fake-memory.ts";
import { Random } from "./random.ts";
import type { SlowRegime } from "./slow-decoder.ts";
import {
  fillPool,
  machineOf,
  on,
  randomOutputs,
  randomPlace,
  randomVa,
  stage1Style,
  tagged,
  type World,
} from "./world-common.ts";
import { guestWorld, stage2World } from "./world-guest.ts";
import { plainFeatures, plainLayout, randomFeatures, randomPs, stage1Layout } from "./world-plan.ts";
import {
  levelOf,
  type Registers,
  type Stage1Plan,
  setStage1Registers,
  setTcr2Controls,
  stage1Labels,
} from "./world-registers.ts";
import { type Pool, type Root, randomPool, randomRoot, type TableStore } from "./world-tables.ts";

export type { World } from "./world-common.ts";

type Kind = Exclude<SlowRegime, "stage2"> | "stage2" | "guest";

const PLAIN: readonly Kind[] = ["EL1&0", "EL1&0", "EL1&0", "EL2", "EL2&0", "EL2&0", "EL3"];
const KINDS: readonly Kind[] = [
  "EL1&0",
  "EL1&0",
  "EL1&0",
  "EL2",
  "EL2&0",
  "EL2&0",
  "EL3",
  "stage2",
  "stage2",
  "guest",
  "guest",
  "guest",
];

/** Stage 1 with 4 KiB tables and 48-bit addresses, little-endian, caches on, no extensions. */
export function randomWorld(seed: number): World {
  const random = new Random(seed);
  return stage1World(random, random.pick(PLAIN) as Stage1Plan["regime"], true);
}

/** Any regime, format and register form. */
export function anyWorld(seed: number): World {
  const random = new Random(seed);
  const kind = random.pick(KINDS);
  if (kind === "stage2") return stage2World(random);
  return kind === "guest" ? guestWorld(random) : stage1World(random, kind, false);
}

/** The entries of a 4 KiB root table: fewer than 512 where the address size leaves few bits for its level. */
export function rootEntries(txsz: number): number {
  const inputBits = 64 - txsz;
  const bottom = [39, 30, 21].find((each) => inputBits > each) as number;
  return 2 ** (inputBits - bottom);
}

function twoRanges(regime: SlowRegime): boolean {
  return regime === "EL1&0" || regime === "EL2&0";
}

function stage1World(random: Random, regime: Stage1Plan["regime"], plain: boolean): World {
  const features = plain ? plainFeatures(random) : randomFeatures(random);
  const memory = new FakeMemory();
  const registers: Registers = new Map(features.idRegisters);
  const dsBit = !plain && random.chance(0.6);
  const ps = plain ? (random.chance(0.88) ? 5 : random.below(7)) : randomPs(random, features);
  const pools: Pool[] = [];
  const roots: Root[] = [];
  const halves = Array.from({ length: twoRanges(regime) ? 2 : 1 }, () => {
    const layout = plain ? plainLayout(random, features, ps) : stage1Layout(random, features, ps, dsBit);
    const place = (): bigint => randomPlace(random, layout);
    const store: TableStore = { memory, bigEndian: false, physical: (address) => address };
    const pool = randomPool(random, layout, place, store);
    const root = randomRoot(random, pool);
    pools.push(pool);
    roots.push(root);
    return { layout, root: root.table };
  });
  const plan: Stage1Plan = { regime, features, ps, dsBit, halves, plain, certain: false };
  setStage1Registers(random, registers, plan);
  if (!plain) setContext(random, registers, regime);
  else if (regime === "EL2" || regime === "EL2&0") registers.set("HCR_EL2", regime === "EL2" ? 0n : 1n << 34n);
  const bigEndian = ((registers.get(`SCTLR_EL${levelOf(regime)}`) as bigint) >> 25n) % 2n === 1n;
  const store: TableStore = { memory, bigEndian, physical: (address) => address };
  for (const pool of pools)
    fillPool(random, pool, stage1Style(pool.layout, randomOutputs(random, pool.layout), false), store);
  const labels = [regime, ...stage1Labels(registers, plan)];
  const address = (): bigint =>
    randomVa(random, { pools, roots, tags: tagged(registers, plan), enabled: on(registers, plan) });
  return {
    regime,
    twoStages: false,
    registers,
    memory,
    machine: machineOf(registers, memory),
    address,
    features: labels,
  };
}

/** Registers around a regime that has no stage 2. */
function setContext(random: Random, registers: Registers, regime: SlowRegime): void {
  if (regime === "EL2&0") registers.set("HCR_EL2", (1n << 34n) | (random.chance(0.5) ? 1n << 27n : 0n));
  if (regime === "EL2") registers.set("HCR_EL2", random.chance(0.3) ? 1n : 0n);
  if (regime === "EL1&0" && random.chance(0.3)) registers.set("HCR_EL2", random.chance(0.3) ? 1n << 34n : 0n);
  setTcr2Controls(random, registers);
}
