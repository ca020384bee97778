import { describe, expect, it } from "vitest";
import { MemoryTypes } from "../../src/diagnose/memory-types.ts";
import type { MemoryDescriptor } from "../../src/efi/memory-map.ts";

function types(...rows: readonly (readonly [type: string, start: bigint, pages: bigint])[]): MemoryTypes {
  const descriptors = rows.map(([typeName, physicalStart, pages]): MemoryDescriptor => {
    return { type: 0, typeName, physicalStart, pages, virtualStart: 0n, attribute: 0n, attributes: [] };
  });
  const map = { state: "read", descriptors, sorted: false, problems: [] } as const;
  return new MemoryTypes({ point: "before", source: "GetMemoryMap", map });
}

describe("the type of a range of memory", () => {
  // In no order: b behind a, a gap, then two neighbours of one type.
  const known = types(["b", 0x3000n, 1n], ["a", 0x1000n, 2n], ["c", 0x9000n, 1n], ["c", 0x8000n, 1n]);

  it.each<[bigint, bigint, string | null]>([
    [0x1000n, 0x2000n, "a"],
    [0x2fffn, 1n, "a"],
    [0x3000n, 0x1000n, "b"],
    [0x2000n, 0x2000n, "several"],
    [0x8000n, 0x2000n, "c"],
    [0x3000n, 0x2000n, "several"],
    [0x7000n, 0x2000n, "several"],
    [0x4000n, 0x4000n, null],
    [0x0n, 0x1000n, null],
    [0xa000n, 0x1000n, null],
  ])("at 0x%x of %d bytes", (start, size, type) => {
    expect(known.of(start, size)).toBe(type);
  });

  it("is not known without a map, or with one that could not be read", () => {
    expect(new MemoryTypes(undefined).of(0n, 1n)).toBeNull();
    const map = { state: "unreadable", why: "" } as const;
    expect(new MemoryTypes({ point: "before", source: "GetMemoryMap", map }).of(0n, 1n)).toBeNull();
  });

  it("of overlapping descriptors is that of the one that begins first, as far as that reaches", () => {
    const damaged = types(["a", 0x1000n, 4n], ["b", 0x2000n, 1n], ["c", 0x3000n, 4n], ["none", 0x0n, 0n]);
    expect([0x2000n, 0x4000n, 0x5000n].map((at) => damaged.of(at, 0x1000n))).toEqual(["a", "a", "c"]);
  });
});
