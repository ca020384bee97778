import { beforeEach, describe, expect, it, vi } from "vitest";
import { virt } from "../../src/base/address.ts";
import { WriteBatches, type Writes } from "../../src/bridge/write-batches.ts";
import type { BlameEvent, BlameKind } from "../../src/snapshot/blame.ts";

const HERE = { images: [] };

function event(kind: BlameKind, address = 0x47ff_f000n): BlameEvent {
  const what = { word: undefined, old: 1n, new: 2n, stack: undefined };
  return { kind, stop: 0, cpu: 0, pc: virt(0x1000n), address, ...what };
}

/** What was told, with when; `slow`: telling takes until it is released. */
function told(slow = false) {
  const all: (Writes & { readonly at: number })[] = [];
  const teller = {
    isHolding: false,
    release: () => undefined as unknown,
    tell: (writes: Writes) => {
      all.push({ ...writes, at: Date.now() });
      if (!slow) return Promise.resolve();
      return new Promise<void>((resolve) => {
        teller.release = resolve;
      });
    },
  };
  return { all, teller, batches: new WriteBatches(teller) };
}

const sizes = (all: readonly Writes[]) => all.map(({ writes, total }) => [writes.length, total]);

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  return () => vi.useRealTimers();
});

describe("writes that are told together", () => {
  it("wait a tenth of a second for others, and no longer", async () => {
    const { all, batches } = told();
    batches.add(event("table"), HERE);
    await vi.advanceTimersByTimeAsync(60);
    batches.add(event("table"), HERE);
    expect(all).toEqual([]);
    await vi.advanceTimersByTimeAsync(40);
    expect(all).toMatchObject([{ at: 100, total: 2 }]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(all.length).toBe(1);
  });

  it("are told at once when there are 256 of them", async () => {
    const { all, batches } = told();
    for (let i = 0; i < 256 * 2 + 1; i++) {
      batches.add(event("table"), HERE);
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(sizes(all)).toEqual([
      [256, 256],
      [256, 512],
    ]);
    batches.flush();
    expect(sizes(all).at(-1)).toEqual([1, 513]);
  });

  it("are counted by their events in the record, of which not all are writes", () => {
    const { all, batches } = told();
    const kinds = ["point", "table-found", "table", "lapse", "unseen-register", "maintenance"] as const;
    for (const kind of kinds) batches.add(event(kind, 0n), HERE);
    batches.flush();
    expect(all[0]?.writes.map((write) => [write.event, write.kind])).toEqual([
      [2, "table"],
      [4, "register"],
      [5, "maintenance"],
    ]);
    expect(all[0]?.total).toBe(3);
  });

  it("wait for the one that is being told: a slow disk has fewer events, and all writes", async () => {
    const { all, teller, batches } = told(true);
    for (let i = 0; i < 256; i++) batches.add(event("table"), HERE);
    for (let i = 0; i < 600; i++) batches.add(event("table"), HERE);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sizes(all)).toEqual([[256, 256]]);
    teller.release();
    await vi.advanceTimersByTimeAsync(100);
    expect(sizes(all).slice(1)).toEqual([
      [256, 512],
      [256, 768],
      [88, 856],
    ]);
  });

  it("wait while the log cannot be written, but not beyond the end", async () => {
    const { all, teller, batches } = told();
    teller.isHolding = true;
    for (let i = 0; i < 300; i++) batches.add(event("table"), HERE);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(all).toEqual([]);
    batches.flush();
    expect(sizes(all)).toEqual([
      [256, 256],
      [44, 300],
    ]);
  });

  it("beyond 20,000 are only counted, once a second", async () => {
    const { all, batches } = told();
    for (let i = 0; i < 20_100; i++) batches.add(event("table"), HERE);
    await vi.advanceTimersByTimeAsync(100);
    const listed = all.reduce((sum, { writes }) => sum + writes.length, 0);
    expect(listed).toBe(20_000);
    expect(sizes(all).at(-1)).toEqual([20_000 % 256, 20_100]);
    const before = all.length;
    for (let second = 0; second < 3; second++) {
      for (let i = 0; i < 1_000; i++) batches.add(event("table"), HERE);
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(sizes(all).slice(before)).toEqual([
      [0, 21_100],
      [0, 22_100],
      [0, 23_100],
    ]);
  });
});
