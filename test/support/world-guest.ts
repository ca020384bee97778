/** Random worlds with stage 2: alone, and under a guest's EL1&0. */
import { FakeMemory } from "./fake-memory.ts";
import type { Random } from "./random.ts";
import { slowIntermediate, stage2InForce } from "./slow-decoder.ts";
import {
  fillPool,
  machineOf,
  randomOutputs,
  randomPlace,
  randomVa,
  stage1Style,
  tagged,
  type World,
} from "./world-common.ts";
import { type Features, randomFeatures, randomPs, stage1Layout, stage2Layout } from "./world-plan.ts";
import {
  layoutLabels,
  type Registers,
  type Stage1Plan,
  setStage1Registers,
  setTcr2Controls,
  stage1Labels,
} from "./world-registers.ts";
import { guestHcr, Hypervisor, randomTable, type Stage2Plan, setStage2Registers, stage2Style } from "./world-stage2.ts";
import { type Root, randomInput, randomPool, randomRoot, rootBits, type TableStore, wideRoot } from "./world-tables.ts";

interface Stage2World {
  readonly features: Features;
  readonly registers: Registers;
  readonly plan: Stage2Plan;
}

function stage2Base(random: Random, certain: boolean): Stage2World {
  const features = randomFeatures(random);
  const registers: Registers = new Map(features.idRegisters);
  const ps = randomPs(random, features);
  const dsBit = random.chance(0.6);
  const layout = stage2Layout(random, features, ps, dsBit);
  const size = 8n << BigInt(Math.max(rootBits(layout), 3));
  const root = (randomTable(random, layout) / size) * size;
  const plan = { layout, ps, dsBit, root, fwb: random.chance(0.4), certain };
  return { features, registers, plan };
}

function bigEndianStage2(registers: Registers): boolean {
  return ((registers.get("SCTLR_EL2") as bigint) >> 25n) % 2n === 1n;
}

function stage2Labels({ registers, plan, features }: Stage2World): string[] {
  const { layout } = plan;
  const beside = rootBits(layout) - (layout.granuleBits - 3);
  const labels = layoutLabels(layout, 2);
  if (beside > 0 && beside <= 4) labels.push(`${2 ** beside} tables side by side`);
  if (beside > 4 || rootBits(layout) < 1) labels.push("stage 2 cannot start");
  labels.push(plan.fwb ? "FWB" : "no FWB", features.xnx ? "XNX" : "no XNX");
  if (bigEndianStage2(registers)) labels.push("stage 2, big-endian tables");
  if (((registers.get("VTCR_EL2") as bigint) >> 36n) % 2n === 1n) labels.push("S2PIE");
  return labels;
}

/** Stage 2 alone. */
export function stage2World(random: Random): World {
  const base = stage2Base(random, false);
  const { registers, plan } = base;
  const { layout } = plan;
  const memory = new FakeMemory();
  const place = (): bigint => randomPlace(random, layout);
  const pool = randomPool(random, layout, place, { memory, bigEndian: false, physical: (address) => address });
  const beside = Math.max(0, Math.min(4, rootBits(layout) - (layout.granuleBits - 3)));
  const subtables = beside > 0 ? [0, random.below(2 ** beside), 2 ** beside - 1] : [];
  const root = beside > 0 ? wideRoot(plan.root, pool, subtables) : randomRoot(random, pool);
  setStage2Registers(random, registers, { ...plan, root: root.table });
  registers.set("HCR_EL2", (random.chance(0.85) ? 1n : 1n << 12n) | (plan.fwb ? 1n << 46n : 0n));
  const store = { memory, bigEndian: bigEndianStage2(registers), physical: (address: bigint) => address };
  const roots = subtables.map((sub) => root.table + (BigInt(sub) << BigInt(layout.granuleBits)));
  fillPool(
    random,
    { ...pool, present: [...pool.present, ...roots], levels: [...pool.levels, ...roots.map(() => layout.level)] },
    stage2Style(plan, randomOutputs(random, layout)),
    store,
  );
  const machine = machineOf(registers, memory);
  const address = (): bigint => (random.chance(0.03) ? random.word() : randomInput(random, pool, root));
  return {
    regime: "stage2",
    twoStages: false,
    registers,
    memory,
    machine,
    address,
    features: ["stage2", ...stage2Labels(base)],
  };
}

/** Addresses that a hypervisor has seen: more of them are mapped than of others. */
const SEEN = 16;

/** EL1&0 through stage 2: the tables of stage 1 lie at IPAs, which a hypervisor maps. */
export function guestWorld(random: Random): World {
  const base = stage2Base(random, true);
  const { registers, plan, features } = base;
  const memory = new FakeMemory();
  setStage2Registers(random, registers, plan);
  registers.set("HCR_EL2", guestHcr(random, plan.fwb));
  if (random.chance(0.03)) registers.set("SCR_EL3", (1n << 43n) | (1n << 38n));
  else setTcr2Controls(random, registers);
  const hypervisor = new Hypervisor(random, memory, plan, bigEndianStage2(registers));
  const machine = machineOf(registers, memory);
  const guest = guestStage1(random, base, memory, hypervisor.shift);
  const inForce = stage2InForce(machine, "EL1&0");
  if (inForce) for (const table of guest.tables) mapTable(random, hypervisor, table, guest.tableBytes);
  const seen = Array.from({ length: SEEN }, guest.address);
  for (const va of inForce ? seen : []) {
    const first = slowIntermediate(machine, va);
    if (first.outcome === "mapped" && random.chance(0.85)) hypervisor.map(first.output, false);
  }
  const labels = [
    "EL1&0 through stage 2",
    ...guest.labels,
    ...stage2Labels({ registers, plan, features }),
    ...hcrLabels(registers),
  ];
  const address = (): bigint => (random.chance(0.7) ? random.pick(seen) : guest.address());
  return { regime: "EL1&0", twoStages: inForce, registers, memory, machine, address, features: labels };
}

function mapTable(random: Random, hypervisor: Hypervisor, table: bigint, bytes: number): void {
  if (random.chance(0.03)) return;
  for (let offset = 0; offset < bytes; offset += 4096) {
    if (random.chance(0.98)) hypervisor.map(table + BigInt(offset), true);
  }
}

interface Guest {
  readonly tables: readonly bigint[];
  /** The largest of the tables. */
  readonly tableBytes: number;
  readonly address: () => bigint;
  readonly labels: readonly string[];
}

function guestStage1(
  random: Random,
  { features, registers, plan: stage2 }: Stage2World,
  memory: FakeMemory,
  shift: bigint,
): Guest {
  const ps = randomPs(random, features);
  const dsBit = random.chance(0.6);
  const width = Math.min(stage2.layout.inputBits, random.pick([32, 36, 40]));
  const place = (): bigint => random.word() & ((1n << BigInt(width)) - 1n) & ~0xffffn;
  const store = (bigEndian: boolean): TableStore => ({ memory, bigEndian, physical: (ipa) => ipa + shift });
  const pools = [0, 1].map(() => randomPool(random, stage1Layout(random, features, ps, dsBit), place, store(false)));
  const roots = pools.map((pool) => randomRoot(random, pool));
  const halves = pools.map(({ layout }, i) => ({ layout, root: (roots[i] as Root).table }));
  const plan: Stage1Plan = { regime: "EL1&0", features, ps, dsBit, halves, plain: false, certain: true };
  setStage1Registers(random, registers, plan);
  const sctlr = registers.get("SCTLR_EL1") as bigint;
  const outputs = [0n, place(), place(), place()];
  for (const pool of pools)
    fillPool(random, pool, stage1Style(pool.layout, outputs, true), store((sctlr >> 25n) % 2n === 1n));
  const flat = ((registers.get("HCR_EL2") as bigint) & ((1n << 12n) | (1n << 27n))) !== 0n || sctlr % 2n === 0n;
  return {
    tables: pools.flatMap(({ present }) => present),
    tableBytes: Math.max(...pools.map(({ layout }) => 2 ** layout.granuleBits)),
    address: () =>
      flat && random.chance(0.8)
        ? place() + BigInt(random.below(65536))
        : randomVa(random, { pools, roots, tags: tagged(registers, plan), enabled: true }),
    labels: stage1Labels(registers, plan),
  };
}

function hcrLabels(registers: Registers): string[] {
  const hcr = registers.get("HCR_EL2") as bigint;
  const names: readonly (readonly [string, number])[] = [
    ["VM", 0],
    ["PTW", 2],
    ["DC", 12],
    ["TGE", 27],
    ["CD", 32],
    ["E2H", 34],
  ];
  return names.filter(([, position]) => (hcr >> BigInt(position)) % 2n === 1n).map(([name]) => name);
}
