/** The single point `now` of a guest in any state. */

import { findSystemTable, readBootServices } from "../efi/system-table.ts";
import type { EfiRoots } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import { assemble } from "./assemble.ts";
import type { CaptureOutcome } from "./exit-boot-services.ts";
import { takePoint } from "./point.ts";

/** Takes the point of a halted guest. Does not throw for what happens in the guest; leaves it halted. */
export async function captureNow(
  target: Target,
  createdBy: string,
  options: { readonly maxTables?: number } = {},
): Promise<CaptureOutcome> {
  const efi = await findEfi(target);
  const { point, lost } = await takePoint(target, {
    ...options,
    id: "now",
    kind: "now",
    efi,
    images: efi !== undefined,
  });
  if (point === undefined) return { capture: undefined, error: lost };
  return { capture: assemble(target, createdBy, { points: [point], efi, partial: lost }), error: lost };
}

/** Where UEFI's tables are, in a guest that is still in boot services; undefined in any other, or when the stub is lost. */
export async function findEfi(target: Target): Promise<EfiRoots | undefined> {
  try {
    const search = await findSystemTable(target.memory, await target.memoryRanges());
    if (search.state !== "found") return undefined;
    const services = await readBootServices(target.memory, search.table);
    if (services.state !== "valid") return undefined;
    const { address, bootServices } = search.table;
    return { systemTable: address, bootServices, exitBootServices: services.exitBootServices };
  } catch {
    // The point that is taken next fails for the same reason, and says so.
    return undefined;
  }
}
