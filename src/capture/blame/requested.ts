/** What to watch, from how it was asked for: flags of the command line, parameters of the bridge. */
import { EbscopeError } from "../../base/error.ts";
import type { BlameOptions } from "./blame-watch.ts";
import { parseRange } from "./ranges.ts";

export interface BlameRequest {
  readonly blame?: boolean;
  readonly blameMaintenance?: boolean;
  readonly blameBacktraces?: boolean;
  readonly blameUntil?: "after" | "end";
  readonly blameLimit?: number;
  /** `gBS+0xe8`: see ranges.ts. */
  readonly watchWrites?: readonly string[];
}

/** What is to be watched; undefined when nothing is. Raises `usage`. */
export function requestedBlame(request: BlameRequest): BlameOptions | undefined {
  const { blame = false, blameMaintenance = false, blameBacktraces = true, watchWrites = [] } = request;
  const { blameUntil, blameLimit } = request;
  if (blameMaintenance && !blame) {
    throw new EbscopeError("usage", "Cannot watch TLB maintenance alone", {
      next: "Ask for the tables too: --blame --blame-maintenance, or `blame` with `blameMaintenance`.",
    });
  }
  if (!blame && watchWrites.length === 0) return undefined;
  return {
    ...{ tables: blame, maintenance: blameMaintenance, backtraces: blameBacktraces },
    ranges: watchWrites.map(parseRange),
    ...(blameUntil !== undefined && { until: blameUntil }),
    ...(blameLimit !== undefined && { maxEvents: blameLimit }),
  };
}
