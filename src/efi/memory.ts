/**
 * Reading UEFI structures. Before ExitBootServices the firmware's pointers are physical addresses too: UEFI specification 2.10, 2.3.6
 * "AArch64 Platforms": "the MMU … all memory … identity mapped". So structures are found the same way at each point of a capture, also
 * when an operating system has its own tables in force.
 */
import { phys } from "../base/address.ts";
import type { PhysMemory } from "../base/memory.ts";
import { Structure } from "./bytes.ts";

export interface StructureSpan {
  readonly address: bigint;
  readonly length: number;
}

/** Reads structures as one batch; undefined for each that could not be read whole. */
export async function readStructures(
  memory: PhysMemory,
  spans: readonly StructureSpan[],
): Promise<(Structure | undefined)[]> {
  const reads = await memory.read(spans.map(({ address, length }) => ({ address: phys(address), length })));
  return reads.map((read) => (read.state === "present" ? new Structure(read.bytes) : undefined));
}

export async function readStructure(
  memory: PhysMemory,
  address: bigint,
  length: number,
): Promise<Structure | undefined> {
  return (await readStructures(memory, [{ address, length }]))[0];
}
