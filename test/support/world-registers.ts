/** The registers of stage 1 in a random machine. */
import type { Random } from "./random.ts";
import { bits } from "./slow-bits.ts";
import { mairMemory, type SlowRegime } from "./slow-decoder.ts";
import type { Layout } from "./slow-walk.ts";
import { type Features, fields } from "./world-plan.ts";
import { ttbrFields } from "./world-tables.ts";

export type Registers = Map<string, bigint>;

export interface HalfRegisters {
  readonly layout: Layout;
  readonly root: bigint;
}

export interface Stage1Plan {
  readonly regime: Exclude<SlowRegime, "stage2">;
  readonly features: Features;
  readonly ps: number;
  readonly dsBit: boolean;
  readonly halves: readonly HalfRegisters[];
  /** 4 KiB tables and the registers of the first walkers: no TBI, indirection, big-endian tables or caches off. */
  readonly plain: boolean;
  /** Nothing that makes a word unknown or reserved. */
  readonly certain: boolean;
}

/** Those that firmware sets, more often than all the others. */
const COMMON_MAIR = [0x00, 0x04, 0x0c, 0x33, 0x40, 0x44, 0x4f, 0x77, 0xa0, 0xbb, 0xee, 0xf0, 0xf4, 0xff];
const PLAIN_MAIR = [...COMMON_MAIR, 0x01, 0x08];
const ALL_MAIR = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => mairMemory(byte) !== undefined);

export function levelOf(regime: Stage1Plan["regime"]): 1 | 2 | 3 {
  return regime === "EL1&0" ? 1 : regime === "EL3" ? 3 : 2;
}

function flag(random: Random, probability: number, position: number): bigint {
  return random.chance(probability) ? 1n << BigInt(position) : 0n;
}

function randomMair(random: Random, plain: boolean): bigint {
  const byte = (): number => random.pick(plain ? PLAIN_MAIR : random.chance(0.7) ? COMMON_MAIR : ALL_MAIR);
  return fields(...Array.from({ length: 8 }, (_, i) => [byte(), i * 8] as const));
}

/** SCTLR, TCR, TTBR, MAIR of the regime's Exception level, and what belongs to TCR2. */
export function setStage1Registers(random: Random, registers: Registers, plan: Stage1Plan): void {
  const el = levelOf(plan.regime);
  registers.set(`SCTLR_EL${el}`, randomSctlr(random, plan));
  registers.set(`MAIR_EL${el}`, randomMair(random, plan.plain));
  const single = plan.regime === "EL2" || plan.regime === "EL3";
  let tcr = single ? singleTcr(random, plan) : doubleTcr(random, plan);
  plan.halves.forEach(({ layout, root }, i) => {
    const asid = single ? 0n : BigInt(random.next() & 0xffff) << 48n;
    registers.set(`TTBR${i}_EL${el}`, asid | ttbrFields(layout, root) | BigInt(random.below(2)));
  });
  if (!plan.plain && random.chance(0.6)) tcr |= setExtensions(random, registers, plan);
  registers.set(`TCR_EL${el}`, tcr);
}

function randomSctlr(random: Random, { plain }: Stage1Plan): bigint {
  const rest = plain ? 1n << 2n : flag(random, 0.85, 2) | flag(random, 0.2, 25);
  return flag(random, 0.97, 0) | flag(random, 0.3, 19) | flag(random, 0.5, 12) | rest;
}

const TG0 = { 12: 0, 16: 1, 14: 2 } as const;
const TG1 = { 14: 1, 12: 2, 16: 3 } as const;

/** SH as it counts with DS; 0b01 is reserved. */
function randomSh(random: Random, { certain }: Stage1Plan): number {
  return random.pick(certain ? [0, 2, 3] : [0, 1, 2, 3, 0, 2, 3]);
}

function singleTcr(random: Random, plan: Stage1Plan): bigint {
  const layout = (plan.halves[0] as HalfRegisters).layout;
  const tbi = plan.plain ? 0n : flag(random, 0.3, 20);
  const size = fields(
    [64 - layout.inputBits, 0],
    [randomSh(random, plan), 12],
    [TG0[layout.granuleBits], 14],
    [plan.ps, 16],
  );
  const ds = plan.dsBit ? 1n << 32n : 0n;
  return size | tbi | ds | flag(random, 0.5, 21) | flag(random, 0.5, 22) | flag(random, 0.25, 24);
}

function doubleTcr(random: Random, plan: Stage1Plan): bigint {
  const [lower, upper] = plan.halves.map(({ layout }) => layout) as [Layout, Layout];
  const sizes = fields([64 - lower.inputBits, 0], [64 - upper.inputBits, 16], [plan.ps, 32]);
  const granules = fields([TG0[lower.granuleBits], 14], [TG1[upper.granuleBits], 30]);
  const sh = fields([randomSh(random, plan), 12], [randomSh(random, plan), 28]);
  const walks = flag(random, 0.06, 7) | flag(random, 0.06, 23) | flag(random, 0.25, 41) | flag(random, 0.25, 42);
  const hardware = flag(random, 0.5, 39) | flag(random, 0.5, 40);
  const more = plan.plain
    ? 0n
    : flag(random, 0.3, 37) | flag(random, 0.3, 38) | flag(random, 0.15, 55) | flag(random, 0.15, 56);
  return sizes | granules | sh | walks | hardware | more | (plan.dsBit ? 1n << 59n : 0n);
}

/** PnCH, PIE, E0POE, POE, AIE, in TCR2 or (EL3, returned) in TCR itself; the registers that they use; some are not there. */
function setExtensions(random: Random, registers: Registers, plan: Stage1Plan): bigint {
  const el = levelOf(plan.regime);
  const pick = (probability: number): bigint => BigInt(random.chance(probability));
  const [pnch, pie, e0poe, poe, aie] = [pick(0.3), pick(0.55), pick(0.4), pick(0.4), pick(0.4)];
  const there = (name: string, value: bigint): void => {
    if (plan.certain || random.chance(0.93)) registers.set(name, value);
  };
  there(`PIR_EL${el}`, randomPermissions(random));
  if (el !== 3 && plan.regime !== "EL2") there(`PIRE0_EL${el}`, randomPermissions(random));
  if (plan.regime !== "EL2" && plan.regime !== "EL3") there("POR_EL0", randomOverlays(random));
  there(`POR_EL${el}`, randomOverlays(random));
  there(`MAIR2_EL${el}`, randomMair(random, false));
  if (plan.regime === "EL3") return fields([pnch, 34], [pie, 35], [poe, 36], [aie, 37]);
  registers.set(
    `TCR2_EL${el}`,
    fields([pnch, 0], [pie, 1], [plan.regime === "EL2" ? 0n : e0poe, 2], [poe, 3], [aie, 4]),
  );
  return 0n;
}

function randomPermissions(random: Random): bigint {
  return random.word();
}

/** Overlays, most of them not reserved. */
function randomOverlays(random: Random): bigint {
  return random.chance(0.8) ? random.word() & 0x7777_7777_7777_7777n : random.word();
}

/** SCR_EL3 and HCRX_EL2, which decide whether TCR2 counts; NS is 1. */
export function setTcr2Controls(random: Random, registers: Registers): void {
  if (random.chance(0.25)) {
    registers.set("SCR_EL3", 1n | flag(random, 0.5, 18) | flag(random, 0.9, 38) | flag(random, 0.9, 43));
  }
  if (random.chance(0.35)) registers.set("HCRX_EL2", flag(random, 0.85, 14));
}

/** For the list of what a world has: the names of what these registers switch on. */
export function stage1Labels(
  registers: ReadonlyMap<string, bigint>,
  { regime, halves, features }: Stage1Plan,
): string[] {
  const el = levelOf(regime);
  const [tcr, sctlr] = [registers.get(`TCR_EL${el}`) ?? 0n, registers.get(`SCTLR_EL${el}`) ?? 0n];
  const tcr2 = el === 3 ? bits(tcr, 37, 34) : (registers.get(`TCR2_EL${el}`) ?? 0n);
  const names = el === 3 ? ["PnCH", "PIE", "POE", "AIE"] : ["PnCH", "PIE", "E0POE", "POE", "AIE"];
  const two = halves.length === 2;
  const switches: readonly (readonly [string, bigint, number])[] = [
    ...names.map((name, i) => [name, tcr2, i] as const),
    ...([
      ["translation on", sctlr, 0],
      ["WXN", sctlr, 19],
      ["big-endian tables", sctlr, 25],
    ] as const),
    ["TBI", tcr, two ? 37 : 20],
    ...(two
      ? ([
          ["EPD", tcr, 7],
          ["E0PD", features.e0pd ? tcr : 0n, 55],
        ] as const)
      : []),
  ];
  const on = switches.filter(([, value, position]) => bits(value, position, position) === 1n).map(([name]) => name);
  return [
    ...on,
    ...(bits(sctlr, 2, 2) === 0n ? ["caches off"] : []),
    ...halves.flatMap(({ layout }) => layoutLabels(layout, 1)),
  ];
}

export function layoutLabels({ granuleBits, level, inputBits, ds, lpa, ps52 }: Layout, stage: 1 | 2): string[] {
  const labels = [`stage ${stage}, granule ${2 ** (granuleBits - 10)} KiB`, `stage ${stage}, first level ${level}`];
  if (ds) labels.push(`stage ${stage}, DS`);
  if (granuleBits === 16 && lpa && ps52) labels.push(`stage ${stage}, 52 bits with 64 KiB`);
  if (inputBits < 25) labels.push(`stage ${stage}, small range`);
  if (inputBits > 48) labels.push(`stage ${stage}, large range`);
  return labels;
}
