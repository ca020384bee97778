/** Regimes of random worlds and of small ones that a test spells out. */

import { readRegime } from "../../src/aarch64/regime.ts";
import type { Regime, RegimeName } from "../../src/aarch64/regime-model.ts";
import type { Registers } from "../../src/base/registers.ts";
import type { World } from "./tables.ts";

export function registersFrom(values: Readonly<Record<string, bigint>>): Registers {
  const known = new Map(Object.entries(values));
  return { get: (name) => known.get(name) };
}

export function regimeOf({ regime, registers }: World): Regime {
  return readRegime(regime, { get: (name) => registers.get(name) });
}

/** TCR_EL1: 4 KiB granules, 48-bit output addresses; the upper range disabled unless t1sz is given. */
export function tcrEl1(options: { t0sz?: number; t1sz?: number; extra?: bigint } = {}): bigint {
  const upper = options.t1sz === undefined ? 1n << 23n : BigInt(options.t1sz) << 16n;
  return BigInt(options.t0sz ?? 16) | upper | (0b10n << 30n) | (0b101n << 32n) | (options.extra ?? 0n);
}

/** EL1&0 with translation on and data cached; MAIR: 0 Normal WB RAWA, 1 Device-nGnRnE, 2 Normal NC. */
export function el1Regime(values: Readonly<Record<string, bigint>> = {}, name: RegimeName = "EL1&0"): Regime {
  const registers = { SCTLR_EL1: 5n, TCR_EL1: tcrEl1(), MAIR_EL1: 0x4400ffn, TTBR0_EL1: 0n, TTBR1_EL1: 0n };
  return readRegime(name, registersFrom({ ...registers, ...values }));
}
