/**
 * Which UEFI service a bad branch meant: the pointer it went through, held against the tables as the firmware had them before the exit.
 *
 * Source: UEFI 7.4.6: after ExitBootServices boot services must not be called; edk2 clears the table, so that a call through it goes to 0.
 */
import type { BranchTrace } from "../code/index.ts";
import { type EfiTable, type EfiTables, type FieldPlace, fieldAt } from "../efi/tables.ts";

export interface CalledService extends FieldPlace {
  /** The table when the call went through it. */
  readonly state: EfiTable["state"];
  /** What the pointer was before the exit; undefined when that is not known. */
  readonly before: bigint | undefined;
  /** What it was when it was called. */
  readonly at: bigint | undefined;
  /** The address of the call. */
  readonly call: bigint;
}

/** The service whose pointer a call went through; undefined when the call loaded its target from no table that is known. */
export function calledService(
  branch: BranchTrace | undefined,
  before: EfiTables,
  atFault: EfiTables,
): CalledService | undefined {
  if (branch?.site.kind !== "call") return undefined;
  const { address: call } = branch.site;
  for (const { value } of branch.hops) {
    const place = value.loadedFrom?.known ? fieldAt(before, value.loadedFrom.value) : undefined;
    if (place === undefined) continue;
    const now = atFault.tables.find(({ name }) => name === place.table.name);
    const at = now?.fields.get(place.field);
    return { ...place, state: now?.state ?? "unreadable", before: place.table.fields.get(place.field), at, call };
  }
  return undefined;
}
