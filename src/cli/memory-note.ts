/** What is said of the way guest memory is read: only where it was asked for, or something is worth knowing. */
import type { MemoryChannel, MemoryChoice } from "../target/memory/channel.ts";

/** For the progress of a session that begins; undefined when there is nothing to say. */
export function memoryNote(asked: MemoryChoice | undefined, channel: MemoryChannel): string | undefined {
  if (asked !== undefined && asked !== "auto") return `guest memory is read from ${channel.name}`;
  const denied = channel.refusals.find((refusal) => refusal.denied);
  if (channel.kind !== "rsp" || denied === undefined) return undefined;
  return `guest memory is read through the stub, which is slower: ${denied.why}`;
}
