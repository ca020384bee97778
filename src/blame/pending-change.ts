/** A change of a valid descriptor that no TLB maintenance has covered yet. */
import type { TlbiScope } from "../aarch64/tlbi.ts";
import type { Effect } from "./effect.ts";
import type { VcpuMode } from "./vcpu-mode.ts";

export interface PendingChange {
  readonly effect: Effect;
  /** Of what the entry translates, in 4 KiB pages. */
  readonly start: number;
  readonly end: number;
  /** What wrote the descriptor ran, or had its stack, where the descriptor maps: then it is no sign of use when it goes on. */
  readonly byItself: boolean;
}

/** `writer`: what wrote the descriptor. */
export function pendingChange(effect: Effect, writer: SeenUse | undefined): PendingChange {
  const start = Number(effect.va >> 12n);
  const change = { effect, start, end: start + Number(effect.size >> 12n), byItself: false };
  return { ...change, byItself: writer !== undefined && isIn(writer, change) };
}

/** Where an instruction was, its stack, and what it loaded or stored to where that was waited for, in 4 KiB pages. */
export interface SeenUse {
  readonly cpu: number;
  readonly regime: string | undefined;
  readonly pc: number;
  readonly sp: number | undefined;
  readonly data: number | undefined;
}

/** Whether it executed, had its stack, or loaded or stored, where an entry maps. */
export function isIn({ cpu, regime, pc, sp, data }: SeenUse, { effect, start, end }: PendingChange): boolean {
  const inside = [pc, sp, data].some((page) => page !== undefined && page >= start && page < end);
  return inside && regime === effect.regime && effect.cpus.includes(cpu);
}

/** AF [10] of a leaf is 0: no TLB holds it. A table has no AF. */
export function mayBeCached({ before, level }: Effect): boolean {
  return before !== undefined && (before & 1n) === 1n && (isTable(before, level) || ((before >> 10n) & 1n) === 1n);
}

function isTable(descriptor: bigint, level: number | undefined): boolean {
  return level !== 3 && (descriptor & 3n) === 3n;
}

/**
 * Whether a TLBI that a vCPU executed covers the old translation. In doubt it does: one address of a table's range is enough, and so is one of
 * the vCPUs that have the regime, for what is not broadcast.
 */
export function covers(scope: TlbiScope, cpu: number, { effect, start, end }: PendingChange): boolean {
  const { regime, cpus, before = 0n, level } = effect;
  if (!scope.regimes.includes(regime)) return false;
  if (scope.broadcast === "none" && !cpus.includes(cpu)) return false;
  const table = isTable(before, level);
  if (table && scope.lastLevel) return false;
  if (!table && scope.level !== undefined && scope.level !== level) return false;
  // nG [11] is 0: a global entry belongs to no ASID.
  if (scope.kind === "asid") return table || ((before >> 11n) & 1n) === 1n;
  if (scope.kind === "all" || scope.va === undefined) return true;
  const first = Number(scope.va >> 12n);
  const pages = scope.size === undefined ? 1 : Number(scope.size >> 12n);
  return first < end && first + pages > start;
}

/** The regime that code runs in; undefined when its level is not known. */
export function regimeIn({ level, e2h, tge }: VcpuMode): string | undefined {
  switch (level) {
    case undefined:
      return undefined;
    case 3:
      return "EL3";
    case 2:
      return e2h ? "EL2&0" : "EL2";
    case 1:
      return "EL1&0";
    case 0:
      return e2h && tge ? "EL2&0" : "EL1&0";
  }
}
