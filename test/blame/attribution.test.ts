import { describe, expect, it } from "vitest";
import { attribute, type DifferenceBlame, replayBlame } from "../../src/blame/index.ts";
import { type Difference, diffPoints } from "../../src/diff/diff.ts";
import type { BlameEvent } from "../../src/snapshot/blame.ts";
import type { Point } from "../../src/snapshot/model.ts";
import { encodingOfRegister, type RecordedGuest, type RecordParts } from "../support/recorded-guest.ts";
import { LEVEL_1, LEVEL_2, leafOf, NEVER, pageAt, READ_ONLY, SPARE, smallGuest } from "../support/small-guest.ts";

const RAM = 0x4000_0000n;
const readOnly = (va: bigint): bigint => pageAt(RAM + va, READ_ONLY);
const never = (va: bigint): bigint => pageAt(RAM + va, NEVER);

async function blamed(
  guest: RecordedGuest,
  parts: RecordParts = {},
  [a, b] = [0, 1],
): Promise<DifferenceBlame | undefined> {
  const capture = guest.capture(parts);
  const difference: Difference = await diffPoints(capture, [], capture.points[a] as Point, capture.points[b] as Point);
  return attribute(difference, replayBlame(capture));
}

/** One line a run: `0x1000+0x1000 changed: pc pages/last, …; N unattributed`. */
function lines(blame: DifferenceBlame | undefined): string[] {
  return (blame?.mappings ?? []).map(({ change, by, unattributed }) => {
    const authors = by?.map(
      ({ pc, events, lastPages }) => `${hex(pc)} ${events.map(({ pages }) => pages).join("+")} last ${lastPages}`,
    );
    const rest = unattributed === 0 ? "" : `; ${unattributed} unattributed`;
    return `${hex(change.va)}+${hex(change.size)} ${change.kind}: ${authors?.join(", ") ?? "not watched"}${rest}`;
  });
}

function hex(value: bigint | undefined): string {
  return value === undefined ? "?" : `0x${value.toString(16)}`;
}

describe("the changes of a difference", () => {
  it("belong to whoever wrote the descriptors", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { pc: 0xa0n });
    guest.write(leafOf(0x3000n), never(0x3000n), { pc: 0xb0n });
    guest.point("b");
    expect(lines(await blamed(guest))).toEqual([
      "0x1000+0x1000 changed: 0xa0 1 last 1",
      "0x3000+0x1000 changed: 0xb0 1 last 1",
    ]);
  });

  it("name the earlier ones too, and who was last for each page", async () => {
    const guest = smallGuest();
    guest.point("a");
    for (const va of [0x1000n, 0x2000n, 0x3000n]) guest.write(leafOf(va), never(va), { pc: 0xa0n });
    guest.write(leafOf(0x2000n), readOnly(0x2000n), { pc: 0xb0n });
    guest.write(leafOf(0x2000n), never(0x2000n), { pc: 0xc0n });
    guest.point("b");
    const blame = await blamed(guest);
    expect(lines(blame)).toEqual(["0x1000+0x3000 changed: 0xa0 1+1+1 last 2, 0xb0 1 last 0, 0xc0 1 last 1"]);
    expect(blame?.mappings[0]?.last.map(({ va, size, event }) => [va, size, event])).toEqual([
      [0x1000n, 0x1000n, 1],
      [0x2000n, 0x1000n, 5],
      [0x3000n, 0x1000n, 3],
    ]);
  });

  it("leave out writes of the same value and what was put back", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), pageAt(RAM + 0x1000n), { pc: 0xa0n });
    guest.write(leafOf(0x2000n), readOnly(0x2000n), { pc: 0xb0n });
    guest.write(leafOf(0x2000n), pageAt(RAM + 0x2000n), { pc: 0xc0n });
    // A bit for software only.
    guest.write(leafOf(0x3000n), pageAt(RAM + 0x3000n, 1n << 55n), { pc: 0xd0n });
    guest.point("b");
    expect(lines(await blamed(guest))).toEqual([]);
  });

  it("tell two call chains to one instruction apart", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { pc: 0xa0n, stack: 0 });
    guest.write(leafOf(0x2000n), readOnly(0x2000n), { pc: 0xa0n, stack: 1 });
    guest.point("b");
    const blame = await blamed(guest);
    expect(blame?.mappings[0]?.by?.map(({ pc, stack }) => [pc, stack])).toEqual([
      [0xa0n, 0],
      [0xa0n, 1],
    ]);
  });

  it("come from a table that takes the place of a block, and from what is written to it later", async () => {
    const guest = smallGuest();
    for (let i = 0n; i < 512n; i++) guest.memory.setWord(SPARE + i * 8n, pageAt(0x4020_0000n + i * 0x1000n));
    guest.point("a");
    guest.write(LEVEL_2 + 8n, SPARE | 3n, { pc: 0xa0n });
    guest.write(SPARE + 8n, pageAt(0x4020_1000n, READ_ONLY), { pc: 0xb0n });
    guest.point("b");
    expect(lines(await blamed(guest))).toEqual([
      "0x200000+0x1000 changed: 0xa0 1 last 1",
      "0x201000+0x1000 changed: 0xa0 1 last 0, 0xb0 1 last 1",
      "0x202000+0x1fe000 changed: 0xa0 510 last 510",
    ]);
  });

  it("come from a switch of TTBR0; the old tables are nobody's any more", async () => {
    const guest = smallGuest();
    guest.memory.setWord(SPARE, LEVEL_2 | 3n);
    guest.memory.setWord(SPARE + 8n, 0x8000_0000n | 0x701n);
    guest.point("a");
    guest.setRegister("TTBR0_EL1", SPARE, { pc: 0xa0n });
    expect(guest.write(LEVEL_1 + 16n, 0xc000_0000n | 0x701n, { pc: 0xb0n })).toBeUndefined();
    guest.write(leafOf(0x5000n), readOnly(0x5000n), { pc: 0xc0n });
    guest.point("b");
    const blame = await blamed(guest);
    expect(lines(blame)).toEqual([
      "0x5000+0x1000 changed: 0xc0 1 last 1",
      "0x40000000+0x40000000 added: 0xa0 262144 last 262144",
    ]);
    const registers = blame?.registers.map(({ change, by }) => [change.name, by?.map(({ pc }) => pc)]);
    expect(registers).toEqual([["TTBR0_EL1", [0xa0n]]]);
  });

  it("come from translation being turned off and on", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.setRegister("SCTLR_EL1", 0x1004n, { pc: 0xa0n });
    guest.point("b");
    guest.setRegister("SCTLR_EL1", 0x1005n, { pc: 0xb0n });
    guest.point("c");
    for (const [pair, pc] of [
      [[0, 1], "0xa0"],
      [[1, 2], "0xb0"],
    ] as const) {
      const all = lines(await blamed(guest, {}, [...pair]));
      expect(all.length).toBeGreaterThan(2);
      expect(all.filter((line) => !line.includes(`: ${pc} `) || line.includes("unattributed"))).toEqual([]);
    }
    expect(lines(await blamed(guest, {}, [0, 2]))).toEqual([]);
  });
});

describe("what nobody was seen to do", () => {
  it("is unattributed, and found at the next point", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { pc: 0xa0n });
    guest.write(leafOf(0x2000n), readOnly(0x2000n), { pc: 0xb0n, missed: true });
    guest.point("b");
    guest.write(leafOf(0x3000n), readOnly(0x3000n), { pc: 0xc0n });
    guest.point("c");
    expect(lines(await blamed(guest))).toEqual(["0x1000+0x2000 changed: 0xa0 1 last 1; 1 unattributed"]);
    expect(lines(await blamed(guest, {}, [1, 2]))).toEqual(["0x3000+0x1000 changed: 0xc0 1 last 1"]);
    expect(lines(await blamed(guest, {}, [0, 2]))).toEqual([
      "0x1000+0x3000 changed: 0xa0 1 last 1, 0xc0 1 last 1; 1 unattributed",
    ]);
  });

  it("is not given to whoever wrote before it", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), never(0x1000n), { pc: 0xa0n });
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { missed: true });
    guest.point("b");
    expect(lines(await blamed(guest))).toEqual(["0x1000+0x1000 changed: 0xa0 1 last 0; 1 unattributed"]);
  });

  it("shows at the next write to the same doubleword", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), never(0x1000n), { missed: true });
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { pc: 0xa0n });
    guest.point("b");
    const replay = replayBlame(guest.capture());
    expect(replay?.effects.map(({ event, seen }) => [event, seen])).toEqual([
      [1, false],
      [1, true],
    ]);
    expect(lines(await blamed(guest))).toEqual(["0x1000+0x1000 changed: 0xa0 1 last 1"]);
  });

  it("is what the record says was not seen", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { missed: true });
    guest.event("unseen-table", leafOf(0x1000n), { old: pageAt(RAM + 0x1000n), new: readOnly(0x1000n) });
    guest.point("b");
    expect(lines(await blamed(guest))).toEqual(["0x1000+0x1000 changed: ; 1 unattributed"]);
  });

  it("is a table that comes with contents that could not be read", async () => {
    const guest = smallGuest();
    guest.memory.setWord(SPARE, pageAt(0x5000_0000n));
    guest.point("a");
    guest.write(LEVEL_2 + 16n, SPARE | 3n, { pc: 0xa0n });
    guest.point("b");
    const events = guest.events.map(
      (event): BlameEvent => (event.kind === "table-found" ? { ...event, new: undefined } : event),
    );
    expect(lines(await blamed(guest, { events }))).toEqual(["0x400000+0x1000 added: ; 1 unattributed"]);
    expect(lines(await blamed(guest))).toEqual(["0x400000+0x1000 added: 0xa0 1 last 1"]);
  });

  it("is not told where nobody watched", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { missed: true });
    guest.setRegister("VBAR_EL1", 0n, { missed: true });
    guest.point("b");
    expect(lines(await blamed(guest, { tables: false }))).toEqual([
      "0x1000+0x1000 changed: not watched; 1 unattributed",
    ]);
    expect((await blamed(guest))?.registers).toMatchObject([{ by: undefined, unattributed: true }]);
    const events = guest.events.filter(({ kind, address }) => kind !== "point" || address === 0n);
    expect(await blamed(guest, { events })).toBeUndefined();
    expect(await blamed(guest, {}, [1, 0])).toBeUndefined();
  });
});

describe("registers", () => {
  it("belong to the vCPU's own writes", async () => {
    const guest = smallGuest([{}, {}]);
    guest.point("a");
    guest.setRegister("VBAR_EL1", 0x1000n, { pc: 0xa0n, cpu: 0 });
    guest.setRegister("VBAR_EL1", 0x2000n, { pc: 0xb0n, cpu: 1 });
    guest.setRegister("VBAR_EL1", 0x3000n, { pc: 0xc0n, cpu: 1 });
    guest.setRegister("VBAR_EL1", 0x3000n, { pc: 0xd0n, cpu: 1 });
    guest.setRegister("MAIR_EL1", 0x4401ffn, { pc: 0xe0n, cpu: 1 });
    guest.setRegister("MAIR_EL1", 0x4402ffn, { cpu: 1, missed: true });
    guest.point("b");
    const blame = await blamed(guest);
    const text = blame?.registers.map(
      ({ change, by, unattributed }) => `${change.cpu} ${change.name} ${by?.map(({ pc }) => hex(pc))} ${unattributed}`,
    );
    expect(text).toEqual(["0 VBAR_EL1 0xa0 false", "1 MAIR_EL1 0xe0 true", "1 VBAR_EL1 0xb0,0xc0 false"]);
  });

  it("belong bit by bit to the last write that changed the bit", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.setRegister("MAIR_EL1", 0x0000_00ff_0044_00ffn, { pc: 0xa0n });
    // By code that was not watched: it is found before the next write that is.
    guest.setRegister("MAIR_EL1", 0x0000_04ff_0044_00ffn, { missed: true });
    const found = { old: 0x0000_00ff_0044_00ffn, new: 0x0000_04ff_0044_00ffn };
    guest.event("unseen-register", encodingOfRegister("MAIR_EL1"), found);
    guest.setRegister("MAIR_EL1", 0x0004_04ff_0044_00ffn, { pc: 0xb0n });
    guest.point("b");
    const [mair] = (await blamed(guest))?.registers ?? [];
    expect(mair?.by?.map(({ pc }) => pc)).toEqual([0xa0n, 0xb0n]);
    expect([mair?.unattributed, mair?.unseenBits]).toEqual([true, 0x0000_0400_0000_0000n]);
  });

  it("that code computes with are watched for by nobody", async () => {
    const guest = smallGuest();
    guest.point("a");
    guest.registers[0]?.set("pc", 0x20_0000n);
    guest.setRegister("VBAR_EL1", 0x1000n, { pc: 0xa0n });
    guest.point("b");
    expect((await blamed(guest))?.registers.map(({ change, by }) => [change.name, by === undefined])).toEqual([
      ["pc", true],
      ["VBAR_EL1", false],
    ]);
  });

  it("of another vCPU change nothing in this one's regime; its stores to the tables that both have do", async () => {
    const guest = smallGuest([{}, {}]);
    guest.point("a");
    guest.setRegister("TTBR0_EL1", LEVEL_2, { pc: 0xa0n, cpu: 1 });
    guest.write(leafOf(0x1000n), readOnly(0x1000n), { pc: 0xb0n, cpu: 1 });
    guest.point("b");
    expect(lines(await blamed(guest))).toEqual(["0x1000+0x1000 changed: 0xb0 1 last 1"]);
  });
});
