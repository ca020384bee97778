/** What is recorded when not all can be: stubs that refuse, limits, guests that end in the middle, and those that mean harm. */
import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../../src/base/error.ts";
import type { VirtSpan } from "../../../src/base/memory.ts";
import { parseRange } from "../../../src/capture/blame/ranges.ts";
import type { Cpu, SteppedAside, Stop } from "../../../src/target/target.ts";
import {
  block,
  CODE,
  captureBlame,
  entryOf,
  L1,
  L2,
  lapses,
  leaf,
  msr,
  ON,
  SPARE,
  store,
  table,
  told,
} from "../../support/blame-machine.ts";
import { FakeTarget, type Visit } from "../../support/fake-target.ts";
import { BOOT_SERVICES, RAM_SIZE, RAM_START } from "../../support/firmware.ts";
import { EXIT_BOOT_SERVICES, STACK } from "../../support/handoff-target.ts";

const PAGE = 0x4611_0000n;
const ENTRY = entryOf(PAGE);
const flips = (count: number): Visit[] =>
  Array.from({ length: count }, (_, i) => store(CODE, ENTRY, i % 2 === 0 ? 0n : leaf(PAGE)));
const tables = (record: { events: readonly { kind: string }[] }): number =>
  record.events.filter(({ kind }) => kind === "table").length;

/** By virtual address nothing is to be read but RAM. */
function expectOnlyRam(reads: readonly VirtSpan[]): void {
  const outside = reads.filter(({ address, length }) => {
    return address < RAM_START || address + BigInt(length) > RAM_START + RAM_SIZE;
  });
  expect(outside).toEqual([]);
}

describe("a stub that takes no watchpoints", () => {
  it("has the registers watched all the same, says so, and gives a whole capture", async () => {
    const { record, error, capture } = await captureBlame([...flips(2), msr(CODE + 4n, "VBAR_EL1", 0x4741_0000n)], {
      code: { [`${CODE + 4n}`]: "msr vbar_el1, x0" },
      prepare: (target) => {
        target.takesWatchpoints = false;
      },
    });
    expect(error).toBeUndefined();
    expect(capture?.partial).toBeUndefined();
    expect(record.tables).toBe(false);
    expect(record.notes.join()).toMatch(/Who writes to the tables cannot be seen/);
    expect(record.events.map(({ kind }) => kind)).toEqual(["point", "lapse", "register", "point", "lapse", "point"]);
    expect(capture?.points.map(({ kind }) => kind)).toEqual(["before", "after", "later"]);
  });

  it("has memory that was asked for not watched, and says so", async () => {
    const { record, error } = await captureBlame([], {
      blame: { ranges: [parseRange("gBS+0xe8")] },
      prepare: (target) => {
        target.takesWatchpoints = false;
      },
    });
    expect(error).toBeUndefined();
    expect(record.ranges).toEqual([]);
    expect(record.notes.join()).toMatch(/gBS\+0xe8 are not watched/);
  });
});

describe("more writes than are kept", () => {
  it("leave exactly as many, are said to be more, and do not keep the guest", async () => {
    const { record, error, target, capture } = await captureBlame(flips(50), {
      blame: { tables: true, maxEvents: 10 },
    });
    expect(error).toBeUndefined();
    expect(tables(record)).toBe(10);
    expect(record.events.filter(({ kind }) => kind === "point")).toHaveLength(3);
    expect(lapses(record)).toHaveLength(1);
    expect(record.notes.join()).toMatch(/10 events were recorded, as many as may be/);
    expect(target.left).toBe(0);
    expect(target.watchpoints.size).toBe(0);
    expect(target.memory.word(ENTRY)).toBe(leaf(PAGE));
    expect(capture?.points.map(({ kind }) => kind)).toEqual(["before", "after", "later"]);
  });

  it("are not watched again at the next call", async () => {
    const { record, error } = await captureBlame(flips(4), {
      failing: flips(20),
      blame: { tables: true, maxEvents: 5 },
    });
    expect(error).toBeUndefined();
    expect(lapses(record)).toHaveLength(1);
    expect(tables(record)).toBe(5);
  });
});

describe("calls of ExitBootServices", () => {
  it("that fail first are watched like the one that succeeds", async () => {
    const { record, capture } = await captureBlame([store(CODE, ENTRY, leaf(PAGE))], { failing: flips(1) });
    expect(tables(record)).toBe(2);
    expect(capture?.points.map(({ id }) => id)).toEqual(["before-1", "failed-1", "before", "after", "later"]);
    const marks = record.events.filter(({ kind }) => kind === "point").map(({ address }) => address);
    expect(marks).toEqual([0n, 1n, 2n, 3n, 4n]);
  });

  it("are watched to the end when that is asked for", async () => {
    const later = flips(3);
    expect(tables((await captureBlame([], { later, blame: { tables: true, until: "end" } })).record)).toBe(3);
    expect(tables((await captureBlame([], { later })).record)).toBe(0);
  });
});

describe("a guest that goes", () => {
  it("leaves what was recorded, labelled", async () => {
    const end: Visit = { pc: CODE + 8n };
    let target: FakeTarget | undefined;
    const { record, error, capture } = await captureBlame(
      [...flips(5), { ...end, does: () => target?.lose() }, ...flips(5)],
      {
        prepare: (fake) => {
          target = fake;
        },
      },
    );
    expect(error?.code).toBe("connection-lost");
    expect(capture?.partial).toMatchObject({ code: "connection-lost" });
    expect(tables(record)).toBe(5);
  });

  it("or a user that does, leaves nothing in it after the release", async () => {
    const stopping = new AbortController();
    const { record, error, target } = await captureBlame(flips(5000), {
      signal: stopping.signal,
      onBlame: ({ kind }) => void (kind === "table" && stopping.abort(new EbscopeError("interrupted", "Stopped"))),
    });
    expect(error?.code).toBe("interrupted");
    expect(tables(record)).toBeGreaterThan(0);
    expect(target.left).toBeGreaterThan(0);
    expect(target.watchpoints.size).toBeGreaterThan(0);
    await target.release(true);
    expect(target.watchpoints.size + target.breakpoints.size).toBe(0);
  });
});

describe("no device is read", () => {
  const UART = 0x0900_0000n;
  const PLACES = [
    ["a device", UART],
    ["where nothing is mapped", 0x80_0000_0000n],
    ["an address that is none", 0x1234_5678_9abc_def0n],
    ["the last doubleword", 0xffff_ffff_ffff_fff8n],
    ["the end of RAM", RAM_START + RAM_SIZE - 8n],
  ] as const;

  it.each(PLACES)("where frame pointers lead to %s", async (_, place) => {
    const visits = [
      store(CODE, ENTRY, 0n, { registers: { x29: place, sp: place & ~0xfn } }),
      store(CODE, ENTRY, leaf(PAGE), { registers: { x29: STACK + 0x200n } }),
    ];
    const { record, target, error } = await captureBlame(visits, {
      prepare: (__, memory) => {
        memory.setWord(STACK + 0x200n, place);
        memory.setWord(STACK + 0x208n, place);
      },
    });
    expect(error).toBeUndefined();
    expect(tables(record)).toBe(2);
    expectOnlyRam(target.virtualReads);
  });

  it.each(PLACES)("where the instruction is at %s", async (_, place) => {
    const { record, target } = await captureBlame([store(place & ~3n, ENTRY, 0n)]);
    expect(told(record).at(-1)).toContain(`0x${ENTRY.toString(16)}: 0x${leaf(PAGE).toString(16)} -> 0x0`);
    expectOnlyRam(target.virtualReads);
  });

  it("where the stack was before its page was mapped to a device", async () => {
    const stackEntry = entryOf(STACK);
    const { record, target } = await captureBlame([
      ...flips(2),
      store(CODE, stackEntry, UART | 0x707n),
      ...flips(2),
      store(CODE, L2 + 8n * 48n, block(UART & ~0x1f_ffffn) | 4n),
    ]);
    expect(tables(record)).toBeGreaterThan(4);
    const from = target.virtualReads.findLastIndex(({ address }) => address >= STACK && address < STACK + 0x1000n);
    const mapped = target.virtualReads.findIndex(({ address }) => address === stackEntry);
    expect(mapped).toBeGreaterThan(0);
    expect(from).toBeLessThan(mapped + 2);
  });

  it("where a table is linked that lies in one", async () => {
    const { record, target, error } = await captureBlame([
      store(CODE, L2 + 8n * 49n, table(UART)),
      store(CODE + 4n, UART + 8n, 1n),
    ]);
    expect(error).toBeUndefined();
    expect(told(record)[1]).toBe(`table-found 0x${UART.toString(16)}: ? -> ? at ?`);
    expectOnlyRam(target.virtualReads);
  });

  it("where watched memory was, when the tables are not watched", async () => {
    const [address, mapped] = [0x4500_0000n, L2 + 8n * 40n];
    const { target, error, record } = await captureBlame(
      [
        store(CODE, address, 1n),
        { pc: CODE + 4n, does: (memory) => memory.setWord(mapped, block(UART & ~0x1f_ffffn) | 4n) },
        store(CODE + 8n, address, 2n),
      ],
      {
        blame: { ranges: [parseRange("0x45000000")] },
        prepare: (fake, memory) => {
          memory.setWord(address, 0n);
          fake.physical = (at) =>
            at >> 21n === address >> 21n && (memory.word(mapped) ?? 0n) & 4n ? 0x0900_0000n : at;
        },
      },
    );
    expect(error).toBeUndefined();
    expect(told(record)).toEqual([
      `memory 0x45000000: 0x0 -> 0x1 at 0x${CODE.toString(16)}`,
      `memory 0x45000000: 0x1 -> ? at 0x${(CODE + 8n).toString(16)}`,
    ]);
    const reads = target.virtualReads.filter((span) => span.address === address).length;
    // When it was placed, before the first point, and after the first write; the second one is not looked at.
    expect(reads).toBeLessThanOrEqual(3);
  });
});

describe("a guest that means harm", () => {
  it("has 20,000 different stacks: bounded, and each write told", async () => {
    const stacks = Array.from({ length: 20_000 }, (_, i) =>
      store(CODE, ENTRY, i % 2 === 0 ? 0n : leaf(PAGE), { registers: { x30: BigInt(i), x29: 0n } }),
    );
    const { record } = await captureBlame(stacks, { timeoutMs: 20_000 });
    expect(tables(record)).toBe(20_000);
    expect(record.stacks).toHaveLength(20_000);
    expect(record.code.size).toBeLessThan(100);
  });

  it("has tables that refer to themselves", async () => {
    const started = performance.now();
    const root = SPARE + 0x1000n;
    const link = root + 8n;
    const { record, error } = await captureBlame(
      [store(CODE, link, table(SPARE)), store(CODE + 4n, SPARE + 8n, 0n), store(CODE + 8n, link, 0n)],
      {
        timeoutMs: 20_000,
        prepare: (target, memory) => {
          // 48 bits, from level 0 on.
          target.setRegisters({ TTBR0_EL1: root, TCR_EL1: (ON.TCR_EL1 & ~0x3fn) | 16n });
          memory.setWord(root, table(L1));
          fillWith(memory, SPARE, table(SPARE));
        },
      },
    );
    expect(error).toBeUndefined();
    expect(tables(record)).toBe(3);
    expect(record.notes).toContain("There are more uses of tables than are followed.");
    expect(performance.now() - started).toBeLessThan(15_000);
  });

  it("maps a table at 10,000 addresses: some are watched, and that not all are is told once", async () => {
    const visits = Array.from({ length: 20 }, (_, i) => store(CODE, L2 + 8n * BigInt(100 + i), table(SPARE)));
    const { record, error, target } = await captureBlame([...visits, store(CODE, ENTRY, 0n)], {
      timeoutMs: 20_000,
      prepare: (_, memory) => fillWith(memory, SPARE, leaf(L2)),
    });
    expect(error).toBeUndefined();
    expect(tables(record)).toBe(21);
    expect(lapses(record)).toEqual(["Tables can be written to at more addresses than are watched."]);
    expect(Math.max(...target.seen.map(({ breakpoints }) => breakpoints.size))).toBeLessThan(50);
  });

  it("changes its tables again and again while not all can be watched: that is told once", async () => {
    const visits = Array.from({ length: 40 }, (_, i) => store(CODE, L2 + 8n * 60n, i % 2 === 0 ? table(SPARE) : 0n));
    const { record } = await captureBlame(visits, {
      timeoutMs: 20_000,
      prepare: (_, memory) => fillWith(memory, SPARE, leaf(L2)),
    });
    expect(lapses(record)).toHaveLength(1);
  });
});

function fillWith(memory: { setWord(at: bigint, word: bigint): void }, page: bigint, word: bigint): void {
  for (let i = 0n; i < 512n; i++) memory.setWord(page + 8n * i, word);
}

/** A stub that tells of stops that are none, from the call on. */
class Lying extends FakeTarget {
  lies: ((cpu: Cpu) => Stop) | undefined;
  /** Steps lead nowhere. */
  stands = false;

  override async waitForStop(signal?: AbortSignal): Promise<Stop> {
    if (this.lies === undefined) return super.waitForStop(signal);
    if (this.running) await super.interrupt();
    return this.lies(this.stoppedCpu);
  }

  override async stepAside(cpu: Cpu, pc: Parameters<FakeTarget["stepAside"]>[1]): Promise<SteppedAside> {
    if (this.lies === undefined || !this.stands) return super.stepAside(cpu, pc);
    return { stop: { kind: "breakpoint", cpu }, putBack: async () => undefined };
  }
}

describe("a stub that lies", () => {
  /** From the first place inside the call on. */
  const lying = (lies: (cpu: Cpu) => Stop, stands: boolean, start: Visit = { pc: CODE }) => {
    let target: Lying | undefined;
    const begin = (): void => {
      if (target !== undefined) Object.assign(target, { lies, stands });
    };
    return captureBlame([{ ...start, does: begin }, ...flips(4)], {
      timeoutMs: 60_000,
      machine: (memory, visits, cpus) => {
        target = new Lying(memory, visits, cpus);
        return target;
      },
    });
  };

  it.each([
    ["where a watchpoint is, and steps nowhere", L1 & ~0xfffn, true],
    ["at an address that was made up", 0x1234_5678n, false],
    ["at an address beyond all", 0xffff_ffff_ffff_ffffn, true],
  ])("tells of watched writes for ever, %s: that is an error", async (_, address, stands) => {
    const { error, capture } = await lying((cpu) => ({ kind: "watchpoint", cpu, address }), stands);
    expect(error?.message).toMatch(/stops again and again/);
    expect(capture?.partial).toMatchObject({ code: "protocol-error" });
    expect(capture?.points.map(({ id }) => id)).toEqual(["before"]);
  });

  it("says that its steps lead nowhere at an instruction that writes a register", async () => {
    let target: Lying | undefined;
    const { error, record } = await captureBlame(
      [
        {
          ...msr(CODE, "VBAR_EL1", 0n),
          does: () => {
            if (target !== undefined)
              Object.assign(target, { lies: (cpu: Cpu) => ({ kind: "breakpoint", cpu }), stands: true });
          },
        },
      ],
      {
        timeoutMs: 60_000,
        code: { [`${CODE}`]: "msr vbar_el1, x0" },
        machine: (memory, visits, cpus) => {
          target = new Lying(memory, visits, cpus);
          target.hitsAgain = true;
          return target;
        },
      },
    );
    expect(error?.message).toMatch(/stops again and again/);
    expect(record.events.length).toBeLessThan(5);
  });

  it("does not give a watchpoint back: what was captured is kept", async () => {
    class Keeping extends FakeTarget {
      override async stepAside(): Promise<SteppedAside> {
        throw new EbscopeError("stub-refused", "Cannot remove the watchpoint: the stub says E22");
      }
    }
    const { error, capture } = await captureBlame(flips(3), { machine: (...parts) => new Keeping(...parts) });
    expect(error?.code).toBe("stub-refused");
    expect(capture?.partial).toMatchObject({ code: "stub-refused" });
    expect(capture?.points.map(({ id }) => id)).toEqual(["before"]);
  });
});

describe("watched memory", () => {
  it("has each write told, from before the call to the end", async () => {
    const address = BOOT_SERVICES + 0xe8n;
    const { record, error } = await captureBlame([store(CODE + 4n, address, 2n)], {
      blame: { ranges: [parseRange("gBS + 0xe8")] },
      before: [store(CODE, address, EXIT_BOOT_SERVICES)],
      later: [store(CODE + 8n, address, 3n)],
    });
    expect(error).toBeUndefined();
    const line = (old: bigint, now: bigint, pc: bigint): string =>
      `memory 0x${address.toString(16)}: 0x${old.toString(16)} -> 0x${now.toString(16)} at 0x${pc.toString(16)}`;
    // The table is zeroed when the call returns, by nobody that is seen here.
    expect(told(record)).toEqual([
      line(EXIT_BOOT_SERVICES, EXIT_BOOT_SERVICES, CODE),
      line(EXIT_BOOT_SERVICES, 2n, CODE + 4n),
      `unseen-memory 0x${address.toString(16)}: 0x2 -> 0x0 at ?`,
      line(0n, 3n, CODE + 8n),
    ]);
    expect(record.ranges).toEqual([{ name: "gBS + 0xe8", address, length: 8 }]);
  });

  it("that is nowhere is refused", async () => {
    const range = parseRange("0x90000000");
    await expect(captureBlame([], { blame: { ranges: [range] } })).rejects.toThrow(/there is no memory at its address/);
    expect(ON.TTBR0_EL1).toBe(L1);
  });
});
