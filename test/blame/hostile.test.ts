/** Records and tables that mean harm: every replay ends soon, says what it does not tell, and never makes an author up. */
import { describe, expect, it, vi } from "vitest";
import { attribute, descriptorChanges, maintenanceGaps, type Replay, replayBlame } from "../../src/blame/index.ts";
import { diffPoints } from "../../src/diff/diff.ts";
import { BLAME_KINDS, type BlameEvent, type BlameKind } from "../../src/snapshot/blame.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { Random } from "../support/random.ts";
import { encodingOfRegister, type RecordedGuest } from "../support/recorded-guest.ts";
import {
  EL1_VALUES,
  LEVEL_1,
  LEVEL_2,
  LEVEL_3,
  leafOf,
  pageAt,
  READ_ONLY,
  SPARE,
  smallGuest,
} from "../support/small-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

/** Generous: it is seconds where something is not bounded. */
const SOON = 20_000;

const TTBR0 = encodingOfRegister("TTBR0_EL1");
/** Another first table. */
const OTHER = 0x4001_0000n;
const PAGES = [LEVEL_1, LEVEL_2, LEVEL_3, SPARE, OTHER];

function replayed(capture: Capture, bounds: Parameters<typeof replayBlame>[1] = {}): Replay {
  const start = performance.now();
  const replay = replayBlame(capture, bounds);
  expect(performance.now() - start).toBeLessThan(SOON);
  if (replay === undefined) throw new Error("no replay");
  return replay;
}

function table(stop: number, address: bigint, value: bigint): BlameEvent {
  return { ...event(stop), kind: "table", address, new: value };
}

function event(stop: number): BlameEvent {
  const nothing = { pc: undefined, word: undefined, old: undefined, new: undefined, stack: undefined };
  return { kind: "memory", stop, cpu: 0, address: 0n, ...nothing };
}

/** Points `a` and `b`, and between them what is made. */
function guestWith(
  count: number,
  make: (i: number) => BlameEvent,
  prepare?: (guest: RecordedGuest) => void,
): RecordedGuest {
  const guest = smallGuest();
  guest.memory.bytes(SPARE);
  guest.memory.bytes(OTHER);
  prepare?.(guest);
  guest.point("a", PAGES);
  for (let i = 0; i < count; i++) guest.events.push(make(i));
  guest.write(leafOf(0n), pageAt(0x4000_0000n, READ_ONLY), { missed: true });
  guest.point("b", PAGES);
  return guest;
}

async function unattributed(guest: RecordedGuest, replay: Replay): Promise<readonly number[] | undefined> {
  const [a, b] = guest.points;
  if (a === undefined || b === undefined) throw new Error("no points");
  const blame = attribute(await diffPoints(replay.capture, [], a, b), replay);
  return blame?.mappings.map((each) => each.unattributed);
}

describe("a table that refers to itself", () => {
  it("is replayed, leaves and links", () => {
    const everywhere = (guest: RecordedGuest): void => {
      for (let i = 1n; i < 512n; i++) guest.memory.setWord(LEVEL_1 + i * 8n, LEVEL_1 | 3n);
    };
    const make = (i: number): BlameEvent =>
      i % 3 === 0
        ? table(i + 9, LEVEL_1 + BigInt((i % 511) + 1) * 8n, i % 2 === 0 ? 0n : LEVEL_1 | 3n)
        : table(i + 9, leafOf(BigInt(i % 512) << 12n), BigInt(i) << 12n);
    const replay = replayed(guestWith(600, make, everywhere).capture(), { visits: 2 ** 17, uses: 2 ** 20 });
    expect(replay.untoldFrom).toBeDefined();
    expect(replay.notes.join()).toContain("What changed is not told from event");
  });
});

describe("more than is looked at", () => {
  it("of tables linked and unlinked ends in a note, and what follows is unattributed", async () => {
    const make = (i: number): BlameEvent => table(i + 9, LEVEL_2 + 16n, i % 2 === 0 ? SPARE | 3n : 0n);
    const guest = guestWith(4000, make);
    const replay = replayed(guest.capture(), { visits: 2 ** 12 });
    expect(replay.untoldFrom).toBeLessThan(1000);
    expect(await unattributed(guest, replay)).toEqual([1]);
  });

  it("of comparisons leaves what they would tell untold, and goes on with the leaves", async () => {
    const prepare = (guest: RecordedGuest): void => {
      guest.memory.setWord(OTHER, LEVEL_2 | 3n);
      guest.memory.setWord(OTHER + 8n, 0x8000_0000n | 0x701n);
    };
    const make = (i: number): BlameEvent => {
      if (i % 2 === 0) return table(i + 9, leafOf(0x3000n), pageAt(0x4000_3000n, BigInt((i / 2) % 2) << 7n));
      return { ...event(i + 9), kind: "register", address: TTBR0, new: i % 4 === 1 ? OTHER : LEVEL_1 };
    };
    const guest = guestWith(2000, make, prepare);
    const replay = replayed(guest.capture(), { comparisons: 100 });
    expect(replay.untoldFrom).toBeUndefined();
    expect(replay.notes.join()).toMatch(/What \d+ writes to registers changed is not told/);
    expect(replay.effects.filter(({ kind }) => kind === "leaf").length).toBe(1001);
    expect(await unattributed(guest, replay)).toEqual([1]);
  });

  it("of register values ends in a note", () => {
    const make = (i: number): BlameEvent => ({
      ...event(i + 9),
      ...{ kind: "register", address: TTBR0, new: BigInt(i) << 12n },
    });
    const replay = replayed(guestWith(20_000, make).capture());
    expect(replay.untoldFrom).toBeDefined();
  });

  it("of ASIDs is not more than one", () => {
    const make = (i: number): BlameEvent => ({
      ...event(i + 9),
      ...{ kind: "register", address: TTBR0, new: LEVEL_1 | (BigInt(i) << 48n) },
    });
    const replay = replayed(guestWith(40_000, make).capture());
    expect(replay.notes).toEqual([]);
    expect(replay.effects.filter(({ kind }) => kind === "register")).toEqual([]);
  });
});

describe("a hundred thousand writes to leaves", () => {
  it("are replayed and attributed", async () => {
    const make = (i: number): BlameEvent => {
      const va = BigInt(i % 512) << 12n;
      return table(i + 9, leafOf(va), pageAt(0x4000_0000n + va, BigInt((i >> 9) % 2) << 7n));
    };
    const guest = guestWith(100_000, make);
    const replay = replayed(guest.capture());
    expect(replay.effects.length).toBeGreaterThan(99_000);
    expect(descriptorChanges(replay).length).toBeGreaterThan(99_000);
    // The last write to the first page was event 99,841, and it left there what the second point has.
    const [a, b] = guest.points;
    if (a === undefined || b === undefined) throw new Error("no points");
    const blame = attribute(await diffPoints(replay.capture, [], a, b), replay);
    expect(blame?.mappings.map(({ last }) => last)).toEqual([[{ va: 0n, size: 0x1000n, event: 99_841 }]]);
    expect(blame?.mappings[0]?.by?.[0]?.events.length).toBe(195);
  });
});

describe("random records", () => {
  const random = new Random(20261123);
  const addresses = [...PAGES, 0n, 8n, LEVEL_3 + 8n, (1n << 64n) - 8n, 1n << 56n, 0xffff_0000_0000_0000n];

  function randomEvent(stop: number, kinds: readonly BlameKind[]): BlameEvent {
    const maybe = (): bigint | undefined =>
      random.chance(0.2) ? undefined : random.chance(0.5) ? random.word() : BigInt(random.below(4));
    const names = Object.keys(EL1_VALUES).filter((name) => /^(SCTLR|TCR|TTBR|MAIR|VBAR)/.test(name));
    const kind = random.pick(kinds);
    const isRegister = kind === "register" || kind === "unseen-register";
    const place = random.pick(addresses) + BigInt(random.below(520)) * (random.chance(0.9) ? 8n : 1n);
    const address = isRegister
      ? encodingOfRegister(random.pick(names))
      : kind === "point"
        ? BigInt(random.below(40))
        : BigInt.asUintN(64, place);
    const value = random.chance(0.5) ? random.pick(addresses) | BigInt(random.below(4)) : maybe();
    return {
      ...{ kind, stop: random.chance(0.9) ? stop : random.below(100), cpu: random.below(3), address },
      ...{ old: maybe(), new: value, stack: random.chance(0.5) ? random.below(9) : undefined },
      ...{ pc: random.chance(0.2) ? undefined : (random.word() as never), word: random.next() },
    };
  }

  it("end in what is known, whatever they say", async () => {
    let named = 0;
    for (let i = 0; i < 150; i++) {
      const guest = smallGuest([{}, {}]);
      guest.stacks.push({ sp: random.word(), fp: 0n, lr: 0n, cpsr: random.word(), words: [] });
      guest.contents.push(new Uint8Array(4096).fill(0xff), new Uint8Array(12), new Uint8Array(4096));
      guest.memory.bytes(OTHER);
      guest.point("a", random.chance(0.5) ? PAGES : []);
      const kinds = random.chance(0.5) ? BLAME_KINDS : BLAME_KINDS.filter((kind) => !kind.endsWith("register"));
      const events = Array.from({ length: random.below(60) }, (_, k) => randomEvent(k + 2, kinds));
      guest.events.push(...events);
      guest.write(leafOf(0x1000n), pageAt(0x7000_0000n), { missed: random.chance(0.5) });
      guest.point("b", PAGES);
      const replay = replayed(guest.capture(), { visits: 2 ** 14, uses: 2 ** 20 });
      const [a, b] = guest.points;
      if (a === undefined || b === undefined) throw new Error("no points");
      const blame = attribute(await diffPoints(replay.capture, [], a, b), replay);
      maintenanceGaps(replay);
      for (const { change, by, last, unattributed: left } of blame?.mappings ?? []) {
        const pages = last.reduce((sum, { size }) => sum + size, 0n);
        expect(pages).toBe(change.size);
        const claimed = (by ?? []).reduce((sum, { lastPages }) => sum + lastPages, 0);
        expect(claimed + left).toBe(Number(change.size >> 12n));
        for (const { event: index } of last)
          if (index !== undefined) expect(guest.events[index]?.kind).toMatch(/^(table|register)$/);
        named += claimed;
      }
    }
    expect(named).toBeGreaterThan(10);
  });
});
