/** Memory by virtual address, through the tables of a regime. */
import { type PhysAddr, virt } from "../base/address.ts";
import type { MemoryRead, PhysMemory, VirtMemory, VirtSpan } from "../base/memory.ts";
import type { Translator } from "./translate.ts";

/**
 * Memory by virtual address: translates through `translator`, then reads through `memory`. An address that is not mapped is absent,
 * one whose tables are not at hand is unreadable.
 */
export function translatedMemory(translator: Translator, memory: PhysMemory): VirtMemory {
  return {
    async read(spans) {
      const pieces = spans.map((span) =>
        splitByPage(span).map((piece) => ({ ...piece, ...locate(translator, piece) })),
      );
      const wanted = pieces.flat().flatMap(({ pa, length }) => (pa === undefined ? [] : [{ address: pa, length }]));
      const reads = (await memory.read(wanted)).values();
      return pieces.map((parts) =>
        joinReads(parts.map(({ missing }) => missing ?? (reads.next().value as MemoryRead))),
      );
    },
  };
}

function locate(
  translator: Translator,
  { address }: VirtSpan,
): { pa: PhysAddr; missing?: undefined } | { pa?: undefined; missing: MemoryRead } {
  const { result } = translator.translate(address);
  if (result.mapped === true) return { pa: result.pa };
  if (result.mapped === false) return { missing: { state: "absent", code: "not-mapped" } };
  return { missing: { state: "unreadable", code: result.why } };
}

function splitByPage({ address, length }: VirtSpan): VirtSpan[] {
  const pieces: VirtSpan[] = [];
  for (let done = 0; done < length; ) {
    const at = virt(address + BigInt(done));
    const size = Math.min(length - done, 4096 - Number(at & 0xfffn));
    pieces.push({ address: at, length: size });
    done += size;
  }
  return pieces;
}

/** One read out of its parts: present only when every part is. */
export function joinReads(parts: readonly MemoryRead[]): MemoryRead {
  const missing = parts.find((part) => part.state !== "present");
  if (missing !== undefined) return missing;
  const bytes = parts.map((part) => (part as MemoryRead & { state: "present" }).bytes);
  return { state: "present", bytes: bytes.length === 1 ? (bytes[0] as Uint8Array) : Buffer.concat(bytes) };
}
