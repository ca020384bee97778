/** Putting points together to a capture. */
import type { Capture, Partial } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";

/** What a session has of a capture; the rest the target tells. */
export type CaptureParts = Pick<Capture, "points"> & { readonly partial: Partial | undefined } & {
  readonly [K in "efi" | "attempts" | "memoryMap" | "notes" | "blame"]?: Capture[K];
};

/** A capture of these points, with what the target says of itself; `partial` is why it is not whole. */
export function assemble(target: Target, createdBy: string, parts: CaptureParts): Capture {
  const { info, memoryChannel } = target;
  const lostChannel = memoryChannel.note === undefined ? [] : [memoryChannel.note];
  return {
    createdAt: new Date().toISOString(),
    createdBy,
    qemuVersion: info.qemuVersion,
    architecture: info.architecture,
    threads: info.cpus.map(({ thread }) => thread),
    registers: info.registers,
    efi: undefined,
    attempts: [],
    memoryMap: undefined,
    symbols: undefined,
    ...parts,
    notes: [...(parts.notes ?? []), ...lostChannel],
    partial: parts.partial === undefined ? undefined : { code: parts.partial.code, message: parts.partial.message },
  };
}
