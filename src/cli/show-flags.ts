/** Which flags of `show` fit what is shown: the others are refused, as they would be silently without effect. */
import { EbscopeError } from "../base/error.ts";
import type { SymbolFlags } from "./commands/open.ts";
import type { Shown } from "./defaults.ts";
import { type MappingFlags, refuseMappingFlags } from "./mapping-filter.ts";

export interface ShowFlags extends MappingFlags, SymbolFlags {
  readonly at?: string;
  readonly regime?: string;
  readonly cpu?: number;
  readonly all?: boolean;
  readonly json?: boolean;
}

const FITTING: Readonly<Record<"at" | "regime" | "cpu" | "all", readonly Shown[]>> = {
  at: ["registers", "mappings", "tables", "memmap", "efi", "backtrace"],
  regime: ["mappings", "tables"],
  cpu: ["registers", "mappings", "tables", "backtrace"],
  all: ["images", "memmap", "backtrace", "findings"],
};

/** Throws a usage error for the first flag that says nothing about what is shown. */
export function refuseOtherFlags(flags: ShowFlags, shown: Shown): void {
  if (shown !== "mappings") refuseMappingFlags(flags, shown);
  for (const flag of ["at", "regime", "cpu", "all"] as const) {
    if (flags[flag] === undefined || FITTING[flag].includes(shown)) continue;
    throw new EbscopeError("usage", `Cannot show ${shown} with --${flag}: it is for ${FITTING[flag].join(", ")}`);
  }
}
