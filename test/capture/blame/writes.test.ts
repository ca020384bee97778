/** Who wrote to the tables, inside a call of ExitBootServices that is written down: what is recorded is what the places say that they stored. */
import { describe, expect, it } from "vitest";
import {
  block,
  CODE,
  captureBlame,
  entryOf,
  L1,
  L2,
  L3,
  leaf,
  ON,
  SPARE,
  setWord32,
  store,
  table,
  told,
  WORDS,
} from "../../support/blame-machine.ts";
import { STACK } from "../../support/handoff-target.ts";

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const wrote = (at: bigint, old: bigint, now: bigint, pc: bigint): string =>
  `table ${hex(at)}: ${hex(old)} -> ${hex(now)} at ${hex(pc)}`;
const PAGE = 0x4611_0000n;
const ENTRY = entryOf(PAGE);
const READ_ONLY = leaf(PAGE) | 0x80n;

describe("a store to a table", () => {
  it("is recorded with what was there, what is, and who stored", async () => {
    const { record, error, target } = await captureBlame([
      store(CODE, ENTRY, READ_ONLY),
      store(CODE + 4n, ENTRY, leaf(PAGE)),
      store(CODE, ENTRY, READ_ONLY),
    ]);
    expect(error).toBeUndefined();
    expect(told(record)).toEqual([
      wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE),
      wrote(ENTRY, READ_ONLY, leaf(PAGE), CODE + 4n),
      wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE),
    ]);
    expect(record).toMatchObject({ tables: true, uncounted: 0 });
    const stops = record.events.filter(({ kind }) => kind === "table").map(({ stop }) => stop);
    expect(new Set(stops).size).toBe(3);
    expect(target.memory.word(ENTRY)).toBe(READ_ONLY);
  });

  it("that changes nothing is one too", async () => {
    const { record } = await captureBlame([store(CODE, ENTRY, leaf(PAGE))]);
    expect(told(record)).toEqual([wrote(ENTRY, leaf(PAGE), leaf(PAGE), CODE)]);
  });

  it("has its call chain, and each chain is kept once", async () => {
    const many = Array.from({ length: 10 }, (_, i) => store(CODE, ENTRY, i % 2 === 0 ? READ_ONLY : leaf(PAGE)));
    const { record } = await captureBlame(many);
    expect(record.stacks).toHaveLength(1);
    expect(record.stacks[0]).toMatchObject({
      fp: STACK + 0x100n,
      words: [
        ...[STACK + 0x100n, STACK + 0x140n, STACK + 0x108n, CODE + 0x804n],
        ...[STACK + 0x140n, 0n, STACK + 0x148n, CODE + 0x904n],
      ],
    });
    expect(record.events.filter(({ stack }) => stack === 0)).toHaveLength(10);
    expect([...record.code.keys()]).toContain(CODE);
  });

  it("of two descriptors by one instruction is told as two of one stop", async () => {
    const next = entryOf(PAGE + 0x1000n);
    const { record } = await captureBlame(
      [
        {
          ...store(CODE, ENTRY, READ_ONLY, { registers: { x2: 0n } }),
          writes: [
            { address: ENTRY, word: READ_ONLY },
            { address: next, word: 0n },
          ],
        },
      ],
      { code: { [`${CODE}`]: "stp x0, x2, [x1]" } },
    );
    expect(told(record)).toEqual([
      wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE),
      wrote(next, leaf(PAGE + 0x1000n), 0n, CODE),
    ]);
    expect(new Set(record.events.filter(({ kind }) => kind === "table").map(({ stop }) => stop)).size).toBe(1);
  });

  it("of a byte is told as the doubleword", async () => {
    const { record } = await captureBlame([store(CODE, ENTRY, READ_ONLY)], { code: { [`${CODE}`]: "strb w0, [x1]" } });
    expect(told(record)).toEqual([wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE)]);
  });

  it("by a pointer with a tag is told at the address without it", async () => {
    const { record } = await captureBlame([
      { ...store(CODE, ENTRY, READ_ONLY), registers: { x0: READ_ONLY, x1: ENTRY | (0xaan << 56n), sp: STACK } },
    ]);
    expect(told(record)).toEqual([wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE)]);
  });

  it("by an instruction that is not decoded is found by comparing, and is its", async () => {
    const { record } = await captureBlame([store(CODE, ENTRY, READ_ONLY)], {
      code: { [`${CODE}`]: "st1d {z0.d}, p0, [x1]" },
    });
    expect(told(record)).toEqual([wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE)]);
  });

  it("is not blamed on an instruction that stores nothing", async () => {
    const { record } = await captureBlame([store(CODE, ENTRY, READ_ONLY)], { code: { [`${CODE}`]: "nop" } });
    expect(told(record)).toEqual([`unseen-table ${hex(ENTRY)}: ${hex(leaf(PAGE))} -> ${hex(READ_ONLY)} at ?`]);
  });

  it("by code that has been replaced since is told by what is there now", async () => {
    const other = entryOf(PAGE + 0x1000n);
    const { record } = await captureBlame([
      store(CODE, ENTRY, READ_ONLY),
      {
        ...store(CODE, ENTRY, 0n, { registers: { x2: 0n } }),
        does: (memory) => setWord32(memory, CODE, WORDS["stp x0, x2, [x1]"]),
        writes: [
          { address: ENTRY, word: 0n },
          { address: other, word: 0n },
        ],
      },
      store(CODE + 4n, entryOf(PAGE + 0x2000n), 0n),
    ]);
    // The first is seen; of the replaced one nothing is claimed that was not seen: what it left behind is.
    expect(told(record)).toContain(wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE));
    const of = (at: bigint): string[] => told(record).filter((line) => line.includes(`${hex(at)}:`));
    expect(of(other)).toHaveLength(1);
    expect(of(other)[0]).toContain(`${hex(leaf(PAGE + 0x1000n))} -> 0x0`);
    expect(of(ENTRY).at(-1)).toContain("-> 0x0");
    expect(of(ENTRY)).toHaveLength(2);
  });

  it("that nothing stopped at is found at the point", async () => {
    const unseen = {
      pc: CODE,
      does: (memory: { setWord(at: bigint, word: bigint): void }) => memory.setWord(ENTRY, 0n),
    };
    const { record } = await captureBlame([unseen]);
    expect(told(record)).toEqual([`unseen-table ${hex(ENTRY)}: ${hex(leaf(PAGE))} -> 0x0 at ?`]);
    const [before, found, after] = record.events;
    expect([before?.kind, found?.kind, after?.kind]).toEqual(["point", "unseen-table", "point"]);
  });
});

describe("a table that is linked", () => {
  const NEW = SPARE;
  const LINK = L2 + 8n * 49n;
  const FROM = 0x4620_0000n;
  const prepare = (_: unknown, memory: { setWord(at: bigint, word: bigint): void }): void => {
    for (let i = 0n; i < 512n; i++) memory.setWord(NEW + 8n * i, leaf(FROM + (i << 12n)));
  };

  it("is told with its contents and watched before the guest goes on", async () => {
    const { record, target } = await captureBlame([store(CODE, LINK, table(NEW)), store(CODE + 4n, NEW + 8n, 0n)], {
      prepare,
    });
    expect(told(record)).toEqual([
      wrote(LINK, block(FROM), table(NEW), CODE),
      `table-found ${hex(NEW)}: ? -> 0x0 at ?`,
      wrote(NEW + 8n, leaf(FROM + 0x1000n), 0n, CODE + 4n),
    ]);
    const contents = record.contents[0] as Uint8Array;
    expect(new DataView(contents.buffer, contents.byteOffset).getBigUint64(16, true)).toBe(leaf(FROM + 0x2000n));
    expect(target.watchpoints.size).toBe(0);
  });

  it("is not watched any more when it is unlinked", async () => {
    const { record } = await captureBlame(
      [store(CODE, LINK, table(NEW)), store(CODE + 4n, LINK, 0n), store(CODE + 8n, NEW + 8n, 0n)],
      { prepare },
    );
    expect(told(record).at(-1)).toBe(wrote(LINK, table(NEW), 0n, CODE + 4n));
  });

  it("comes with all below it", async () => {
    const { record } = await captureBlame([store(CODE, L1 + 16n, table(NEW)), store(CODE + 4n, NEW + 0x1000n, 0n)], {
      prepare: (_, memory) => {
        memory.setWord(NEW, table(NEW + 0x1000n));
        memory.setWord(NEW + 0x1000n, leaf(0x4630_0000n));
      },
    });
    expect(told(record)).toEqual([
      wrote(L1 + 16n, 0n, table(NEW), CODE),
      `table-found ${hex(NEW)}: ? -> 0x0 at ?`,
      `table-found ${hex(NEW + 0x1000n)}: ? -> 0x1 at ?`,
      wrote(NEW + 0x1000n, leaf(0x4630_0000n), 0n, CODE + 4n),
    ]);
  });
});

describe("a page of a table that is mapped twice", () => {
  const ALIAS = 0x4611_5000n;

  it("is watched at the other address from the write that maps it there", async () => {
    const { record } = await captureBlame(
      [store(CODE, entryOf(ALIAS), leaf(L3)), store(CODE + 4n, ALIAS + (ENTRY & 0xfffn), 0n)],
      { prepare: (target) => (target.physical = (at) => (at >= ALIAS && at < ALIAS + 0x1000n ? at - ALIAS + L3 : at)) },
    );
    expect(told(record)).toEqual([
      wrote(entryOf(ALIAS), leaf(ALIAS), leaf(L3), CODE),
      wrote(ENTRY, leaf(PAGE), 0n, CODE + 4n),
    ]);
  });

  it("is not blamed for what is written there when something else is mapped there", async () => {
    let isAlias = true;
    const remap = (): void => {
      isAlias = false;
    };
    const { record } = await captureBlame(
      [store(CODE, entryOf(ALIAS), leaf(SPARE)), store(CODE + 4n, ALIAS + 8n, 0x1234n, { does: remap })],
      {
        prepare: (target, memory) => {
          memory.setWord(entryOf(ALIAS), leaf(L3));
          memory.bytes(SPARE);
          target.physical = (at) => (at >= ALIAS && at < ALIAS + 0x1000n ? at - ALIAS + (isAlias ? L3 : SPARE) : at);
        },
      },
    );
    expect(told(record)).toEqual([wrote(entryOf(ALIAS), leaf(L3), leaf(SPARE), CODE)]);
  });
});

describe("several vCPUs", () => {
  it("that come to stores together are each told once, each with its own", async () => {
    const other = entryOf(PAGE + 0x1000n);
    const { record, error } = await captureBlame(
      [
        store(CODE, ENTRY, READ_ONLY, { together: store(CODE + 0x40n, other, 0n, { cpu: 1 }) }),
        store(CODE + 8n, ENTRY, 0n),
      ],
      { cpus: 2 },
    );
    expect(error).toBeUndefined();
    expect([...told(record)].sort()).toEqual(
      [
        wrote(ENTRY, leaf(PAGE), READ_ONLY, CODE),
        wrote(other, leaf(PAGE + 0x1000n), 0n, CODE + 0x40n),
        wrote(ENTRY, READ_ONLY, 0n, CODE + 8n),
      ].sort(),
    );
    expect(record.events.find(({ address }) => address === other)?.cpu).toBe(1);
  });

  it("with tables of their own have them watched each", async () => {
    const [own, page] = [SPARE, SPARE + 0x1000n];
    const { record } = await captureBlame([store(CODE, own + 8n * 48n, 0n), store(CODE + 4n, ENTRY, 0n)], {
      cpus: 2,
      code: { [`${CODE + 0x100n}`]: "nop" },
      before: [{ pc: CODE + 0x100n, cpu: 1, registers: { ...ON, TTBR0_EL1: page } }],
      prepare: (_, memory) => {
        memory.setWord(page + 8n, table(own));
        memory.setWord(own, block(0x4000_0000n));
      },
    });
    expect(told(record)).toEqual([wrote(own + 8n * 48n, 0n, 0n, CODE), wrote(ENTRY, leaf(PAGE), 0n, CODE + 4n)]);
  });
});
