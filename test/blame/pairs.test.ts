import { describe, expect, it } from "vitest";
import { descriptorChanges, replayBlame } from "../../src/blame/index.ts";
import type { RecordedGuest } from "../support/recorded-guest.ts";
import { leafOf, NEVER, pageAt, READ_ONLY, smallGuest } from "../support/small-guest.ts";

const PA = 0x4000_1000n;
const LEAF = leafOf(0x1000n);
const OLD = pageAt(PA);
const NEW = pageAt(PA, READ_ONLY);

function changes(guest: RecordedGuest): string[] {
  const replay = replayBlame(guest.capture());
  if (replay === undefined) throw new Error("no replay");
  return descriptorChanges(replay).map(
    ({ kind, before, after, events, cpu }) =>
      `${kind} ${before.toString(16)} ${after.toString(16)} ${events} cpu ${cpu}`,
  );
}

function played(steps: (guest: RecordedGuest) => void): string[] {
  const guest = smallGuest([{}, {}]);
  guest.point("a");
  steps(guest);
  guest.point("b");
  return changes(guest);
}

const hex = (value: bigint): string => value.toString(16);

describe("writes to a descriptor", () => {
  it("that make it invalid and valid again are one change", () => {
    const list = played((guest) => {
      guest.write(LEAF, 0n);
      guest.write(leafOf(0x2000n), 0n);
      guest.write(LEAF, NEW);
    });
    expect(list).toEqual([
      `replaced ${hex(OLD)} ${hex(NEW)} 1,3 cpu 0`,
      `broken ${hex(pageAt(0x4000_2000n))} 0 2 cpu 0`,
    ]);
  });

  it("from one valid one to another are direct", () => {
    expect(played((guest) => guest.write(LEAF, NEW))).toEqual([`direct ${hex(OLD)} ${hex(NEW)} 1 cpu 0`]);
  });

  it("by another vCPU, or with another write in between, are not joined", () => {
    const apart = [`broken ${hex(OLD)} 0 1 cpu 0`, `made 0 ${hex(NEW)} 2 cpu 1`];
    const byOther = played((guest) => {
      guest.write(LEAF, 0n);
      guest.write(LEAF, NEW, { cpu: 1 });
    });
    expect(byOther).toEqual(apart);
    const withNote = played((guest) => {
      guest.write(LEAF, 0n);
      guest.write(LEAF, 0x10n);
      guest.write(LEAF, NEW);
    });
    expect(withNote).toEqual([`broken ${hex(OLD)} 0 1 cpu 0`, `made 10 ${hex(NEW)} 3 cpu 0`]);
    const withUnseen = played((guest) => {
      guest.write(LEAF, 0n);
      guest.write(LEAF, 0x10n, { missed: true });
      guest.write(LEAF, NEW);
    });
    expect(withUnseen).toEqual([`broken ${hex(OLD)} 0 1 cpu 0`, `made 10 ${hex(NEW)} 2 cpu 0`]);
  });

  it("are told apart again and again", () => {
    const list = played((guest) => {
      for (const value of [0n, NEW, 0n, OLD, pageAt(PA, NEVER), 0n]) guest.write(LEAF, value);
    });
    expect(list.map((line) => line.split(" ")[0])).toEqual(["replaced", "replaced", "direct", "broken"]);
  });

  it("that were not seen are no change of anybody's", () => {
    expect(played((guest) => guest.write(LEAF, NEW, { missed: true }))).toEqual([]);
  });
});
