/** Putting points together to a capture. */
import type { Capture, Partial, Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";

/** A capture of these points, with what the target says of itself; `partial` is why it is not whole. */
export function assemble(
  target: Target,
  createdBy: string,
  parts: { points: readonly Point[]; partial: Partial | undefined } & { [K in keyof Capture]?: Capture[K] },
): Capture {
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
    ...parts,
    notes: [...(parts.notes ?? []), ...lostChannel],
    partial: parts.partial === undefined ? undefined : { code: parts.partial.code, message: parts.partial.message },
  };
}
