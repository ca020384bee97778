/** Proposed for test/snapshot/: what RecordingMemory shares with the last record of the same memory. */
import { describe, expect, it } from "vitest";
import { type PhysAddr, phys } from "../../src/base/address.ts";
import type { MemoryRead, PhysMemory } from "../../src/base/memory.ts";
import { RecordingMemory } from "../../src/snapshot/page-memory.ts";

const PAGES = [0x1000n, 0x2000n, 0x3000n].map(phys);
const SPANS = PAGES.map((address) => ({ address, length: 4096 }));

/** A machine that answers a batch out of one allocation, as the stub's channel does; `values` fill its pages. */
function machine(values: Map<bigint, number>): PhysMemory {
  const read = async (spans: readonly { address: bigint; length: number }[]): Promise<MemoryRead[]> => {
    const all = new Uint8Array(spans.length * 4096);
    return spans.map(({ address }, i) => {
      const value = values.get(address);
      if (value === undefined) return { state: "unreadable", code: "read-failed" };
      return { state: "present", bytes: all.subarray(i * 4096, (i + 1) * 4096).fill(value) };
    });
  };
  return { read };
}

async function record(memory: PhysMemory, way: "read" | "read ahead"): Promise<ReadonlyMap<PhysAddr, MemoryRead>> {
  const recording = new RecordingMemory(memory);
  if (way === "read ahead") await recording.readAhead(PAGES);
  await recording.read(SPANS);
  return recording.pages;
}

const bytesOf = (pages: ReadonlyMap<PhysAddr, MemoryRead>, i: number): Uint8Array => {
  const read = pages.get(PAGES[i] as PhysAddr);
  if (read?.state !== "present") throw new Error(`page ${i} is ${read?.state}`);
  return read.bytes;
};

describe.each(["read", "read ahead"] as const)("a second record of the same memory, %s", (way) => {
  it("has the objects of the first where nothing changed, and new bytes where something did", async () => {
    const values = new Map([0x1000n, 0x2000n, 0x3000n].map((page, i) => [page, i + 1]));
    const memory = machine(values);
    const first = await record(memory, way);
    values.set(0x2000n, 0x77);
    const second = await record(memory, way);
    expect(bytesOf(second, 0)).toBe(bytesOf(first, 0));
    expect(bytesOf(second, 2)).toBe(bytesOf(first, 2));
    expect(bytesOf(second, 1)[4095]).toBe(0x77);
    expect(bytesOf(first, 1)[4095]).toBe(2);
    // The batch that it came in is not kept for its sake.
    expect(bytesOf(second, 1).buffer.byteLength).toBe(4096);
  });

  it("is unreadable where it cannot be read any more, and present where it can by then", async () => {
    const values = new Map([0x1000n, 0x2000n].map((page) => [page, 5]));
    const memory = machine(values);
    await record(memory, way);
    values.delete(0x1000n);
    values.set(0x3000n, 6);
    const second = await record(memory, way);
    expect(second.get(phys(0x1000n))).toEqual({ state: "unreadable", code: "read-failed" });
    expect(bytesOf(second, 2)[0]).toBe(6);
  });
});

it("another memory shares nothing, whatever it holds", async () => {
  const values = new Map([0x1000n, 0x2000n, 0x3000n].map((page) => [page, 9]));
  const [first, second] = [await record(machine(values), "read"), await record(machine(values), "read")];
  expect(bytesOf(second, 0)).toEqual(bytesOf(first, 0));
  expect(bytesOf(second, 0)).not.toBe(bytesOf(first, 0));
});

it("a whole page that is read is the kept page itself", async () => {
  const recording = new RecordingMemory(machine(new Map([[0x1000n, 3]])));
  const [read] = await recording.read([{ address: phys(0x1000n), length: 4096 }]);
  expect(read).toBe(recording.page(phys(0x1000n)));
});
