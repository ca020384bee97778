/** Who wrote, of records made by hand: what nobody was seen to do, call chains, several vCPUs, where the watch ended, and bounds. */
import { describe, expect, it } from "vitest";
import { BlameJson } from "../../src/api/blame.ts";
import { DiffJson } from "../../src/api/schemas.ts";
import { virt } from "../../src/base/address.ts";
import { WATCH_ENDED } from "../../src/snapshot/blame.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { run, runJson, withCapture } from "../cli/run.ts";
import {
  addressOf,
  blamedGuest,
  CODE,
  entryOf,
  NEVER_EXECUTED,
  page,
  READ_ONLY,
  STACK,
} from "../support/blamed-guest.ts";

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function diff(capture: Capture, ...args: readonly string[]) {
  return withCapture(capture, (file) => runJson(DiffJson, "diff", file, ...args));
}

function blame(capture: Capture, ...args: readonly string[]): Promise<string> {
  return withCapture(capture, (file) => run("blame", file, ...args));
}

function blameJson(capture: Capture, ...args: readonly string[]) {
  return withCapture(capture, (file) => runJson(BlameJson, "blame", file, ...args));
}

describe("a change that nobody was seen to make", () => {
  function halfSeen(): Capture {
    const guest = blamedGuest();
    guest.point("before");
    guest.write(entryOf(0), page(addressOf(0), READ_ONLY), { pc: CODE + 0x100n });
    guest.write(entryOf(1), page(addressOf(1), READ_ONLY), { missed: true });
    guest.point("after");
    return guest.capture();
  }

  it("is unattributed for as many bytes as it has", async () => {
    const { mappings } = await diff(halfSeen());
    expect(mappings).toHaveLength(1);
    expect(mappings[0]).toMatchObject({ size: "0x2000", unattributed: "0x1000" });
    expect(mappings[0]?.by?.map(({ pc, count, last }) => [pc, count, last])).toEqual([
      [hex(CODE + 0x100n), 1, "0x1000"],
    ]);
  });

  it("is said to be so before anything else, and where the address is asked for", async () => {
    const text = await blame(halfSeen());
    expect(text.split("\n")[2]).toBe("! Nobody was seen to do: 1 change of a table.");
    expect(await blame(halfSeen(), hex(addressOf(1)))).toContain("nobody was seen to do it: RWX → RO+X");
    expect(await withCapture(halfSeen(), (file) => run("diff", file))).toMatch(
      /by 0x40200100; 4 KiB nobody who was seen/,
    );
  });

  it("has nobody, and not null, where it was watched and nobody was seen at all", async () => {
    const guest = blamedGuest();
    guest.point("before");
    guest.write(entryOf(7), page(addressOf(7), NEVER_EXECUTED), { missed: true });
    guest.point("after");
    const { mappings } = await diff(guest.capture());
    expect(mappings.map(({ by, unattributed }) => [by, unattributed])).toEqual([[[], "0x1000"]]);
  });
});

/** BL to the next instruction, and RET: Arm ARM DDI 0487, C6.2. */
const BL = 0x9400_0001;
const RET = 0xd65f_03c0;
/** STP X29, X30, [SP, #-16]! and LDP X29, X30, [SP], #16 */
const PROLOGUE = 0xa9bf_7bfd;
const EPILOGUE = 0xa8c1_7bfd;

describe("a call chain", () => {
  /** Calls at 0x…210 and 0x…310 in functions with frame records; the innermost one stores at 0x…104. */
  function chained(code: ReadonlyMap<bigint, number>): Capture {
    const guest = blamedGuest();
    const [first, second] = [STACK + 0x100n, STACK + 0x180n];
    const words = [first, second, first + 8n, CODE + 0x214n, second, 0n, second + 8n, CODE + 0x314n];
    guest.stacks.push({ sp: STACK + 0x100n, fp: first, lr: CODE + 0x214n, cpsr: 0x3c5n, words });
    guest.point("before");
    guest.write(entryOf(2), page(addressOf(2), READ_ONLY), { pc: CODE + 0x104n, stack: 0 });
    guest.point("after");
    const bytes = new DataView(new ArrayBuffer(4096));
    for (const [offset, word] of code) bytes.setUint32(Number(offset), word, true);
    return guest.capture({ code: new Map([[virt(CODE), new Uint8Array(bytes.buffer)]]) });
  }

  const CODE_WORDS = new Map([
    [0x100n, PROLOGUE],
    [0x108n, EPILOGUE],
    [0x10cn, RET],
    [0x200n, PROLOGUE],
    [0x210n, BL],
    [0x300n, PROLOGUE],
    [0x310n, BL],
  ]);

  it("is followed over the words and the code that were recorded", async () => {
    const { mappings } = await diff(chained(CODE_WORDS));
    const frames = mappings[0]?.by?.[0]?.backtrace ?? [];
    expect(frames.map(({ pc, call, trust }) => [pc, call, trust])).toEqual([
      [hex(CODE + 0x104n), null, "sure"],
      [hex(CODE + 0x214n), hex(CODE + 0x210n), "sure"],
      [hex(CODE + 0x314n), hex(CODE + 0x310n), "sure"],
    ]);
  });

  it("says what it doubts: a word before a return address that is no call", async () => {
    const words = new Map(CODE_WORDS).set(0x310n, RET);
    const entries = await blameJson(chained(words), hex(addressOf(2)));
    const frames = entries.flatMap(({ by }) => by?.backtrace ?? []);
    expect(frames.at(-1)).toMatchObject({ pc: hex(CODE + 0x314n), trust: "doubtful" });
    expect(frames.at(-1)?.doubts.join()).toMatch(/no call/);
  });

  it("is null where no stack was recorded", async () => {
    const guest = blamedGuest();
    guest.point("before");
    guest.write(entryOf(2), page(addressOf(2), READ_ONLY), { pc: CODE });
    guest.point("after");
    const { mappings } = await diff(guest.capture());
    expect(mappings[0]?.by?.map(({ backtrace }) => backtrace)).toEqual([null]);
  });
});

describe("a register", () => {
  it("has its writes by vCPU, old and new, seen and unseen, and what they changed", async () => {
    const guest = blamedGuest(2);
    const encoding = 0xc510n;
    guest.point("before");
    guest.setRegister("MAIR_EL1", 0x4400n, { cpu: 1, pc: CODE + 8n });
    guest.event("unseen-register", encoding, { old: 0x4400n, new: 0xff00n }, { cpu: 1 });
    guest.registers[1]?.set("MAIR_EL1", 0xff00n);
    guest.setRegister("MAIR_EL1", 0xbb00n, { cpu: 1, pc: CODE + 12n });
    guest.point("after");
    const entries = await blameJson(guest.capture(), "mair_el1", "--cpu", "1");
    const writes = entries.flatMap((each) =>
      each.kind === "register" ? [[each.cpu, each.by?.pc ?? null, each.old, each.new, each.effects.length > 0]] : [],
    );
    expect(writes).toEqual([
      [1, hex(CODE + 8n), "0xff00", "0x4400", true],
      [1, null, "0x4400", "0xff00", true],
      [1, hex(CODE + 12n), "0xff00", "0xbb00", true],
    ]);
    expect(await blameJson(guest.capture(), "mair_el1", "--cpu", "0")).toHaveLength(2);
    const { registers } = await diff(guest.capture());
    expect(
      registers.map(({ cpu, by, unattributed }) => [cpu, by?.map(({ pc, count }) => [pc, count]), unattributed]),
    ).toEqual([
      [
        1,
        [
          [hex(CODE + 8n), 1],
          [hex(CODE + 12n), 1],
        ],
        false,
      ],
    ]);
  });
});

describe("where the watch ended", () => {
  function ended(): Capture {
    const guest = blamedGuest();
    guest.point("before");
    guest.write(entryOf(0), page(addressOf(0), READ_ONLY), { pc: CODE });
    guest.point("after");
    guest.event("lapse", 0n, {}, { sameStop: true });
    guest.write(entryOf(1), page(addressOf(1), READ_ONLY), { missed: true });
    guest.point("later");
    return guest.capture({ notes: [WATCH_ENDED] });
  }

  it("nobody watched: null, and not nobody", async () => {
    const { mappings } = await diff(ended(), "--from", "after", "--to", "later");
    expect(mappings.map(({ va, by, unattributed }) => [va, by, unattributed])).toEqual([
      [hex(addressOf(1)), null, null],
    ]);
  });

  it("what came before is told, and what came after is not called unseen", async () => {
    const text = await blame(ended());
    expect(text).toContain("watched: page tables until after");
    expect(text).not.toContain("!");
    expect(await blame(ended(), hex(addressOf(1)))).toContain("not watched, found here: RWX → RO+X");
    const { mappings } = await diff(ended(), "--from", "before", "--to", "later");
    expect(mappings.map(({ by, unattributed }) => [by?.length, unattributed])).toEqual([[1, "0x1000"]]);
  });
});

describe("a lapse and what was not counted", () => {
  it("come first, with the guest's text made safe to print", async () => {
    const guest = blamedGuest();
    guest.point("before");
    guest.event("lapse", 0n);
    guest.point("after");
    const text = await blame(guest.capture({ notes: ["\x1b[31mno more\n::error::x"], uncounted: 5 }));
    expect(text.split("\n").slice(2, 4)).toEqual([
      "! From event 1 on not all was seen: \\x1b[31mno more\\x0a::error::x",
      "! 5 more events came after as many as are kept: what they did is not told.",
    ]);
  });
});

describe("many writers", () => {
  /** Each by an instruction of its own, to one page. */
  function many(count: number): Capture {
    const guest = blamedGuest();
    guest.point("before");
    for (let i = 0; i < count; i++) {
      guest.write(entryOf(0), page(addressOf(0), i % 2 === 0 ? READ_ONLY : 0n), { pc: CODE + BigInt(4 * i) });
    }
    guest.point("after");
    return guest.capture();
  }

  it("of one change are cut to 64, with the last one among them", async () => {
    const { mappings } = await diff(many(101));
    const by = mappings[0]?.by ?? [];
    expect(by).toHaveLength(64);
    expect(by.filter(({ last }) => last !== "0x0").map(({ pc }) => pc)).toEqual([hex(CODE + 400n)]);
  });

  it("are counted after the first 40 of a summary", async () => {
    const text = await blame(many(101));
    expect(text).toContain("101 writes by 101 instructions");
    expect(text).toContain("… 61 instructions more: --all");
    expect(text.match(/1 write:/g)).toHaveLength(40);
  });

  it("of one address are told of by the first 30 events and the last 10, and all of them on request", async () => {
    const told = async (...args: readonly string[]): Promise<string[]> =>
      (await blame(many(101), hex(addressOf(0)), ...args)).split("\n").filter((line) => line.startsWith("#"));
    expect(await told()).toHaveLength(29 + 9);
    expect(await told("--all")).toHaveLength(101);
    expect((await blame(many(101), "--all")).split("\n").filter((line) => line.startsWith("#"))).toHaveLength(103);
  });
});
