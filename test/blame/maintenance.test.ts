import { describe, expect, it } from "vitest";
import { maintenanceGaps, replayBlame } from "../../src/blame/index.ts";
import type { By, RecordedGuest, RecordParts } from "../support/recorded-guest.ts";
import { LEVEL_2, leafOf, notGlobal, pageAt, READ_ONLY, SPARE, smallGuest } from "../support/small-guest.ts";

const VA = 0x1000n;
const PA = 0x4000_1000n;
const LEAF = leafOf(VA);
const OLD = pageAt(PA);

/** op0 1, op1 0, CRn 8: CRm and op2 of TLBI operations of EL1. */
const tlbi = (crm: number, op2: number, op1 = 0): bigint =>
  BigInt((1 << 14) | (op1 << 11) | (8 << 7) | (crm << 3) | op2);
const VMALLE1 = tlbi(7, 0);
const VAE1 = tlbi(7, 1);
const ASIDE1 = tlbi(7, 2);
const VALE1 = tlbi(7, 5);
const VAE1IS = tlbi(3, 1);
const ALLE2 = tlbi(7, 0, 4);

function gaps(
  steps: (guest: RecordedGuest) => void,
  parts: RecordParts = {},
  values: Readonly<Record<string, bigint>> = {},
): string[] | undefined {
  const guest = smallGuest([values, values]);
  for (let i = 0n; i < 512n; i++) guest.memory.setWord(SPARE + i * 8n, pageAt(0x4020_0000n + i * 0x1000n));
  guest.point("a");
  steps(guest);
  guest.point("b");
  const replay = replayBlame(guest.capture(parts));
  const found = replay && maintenanceGaps(replay);
  return found?.gaps.map(
    ({ kind, event, va, seenUse, why }) => `${kind} ${event} 0x${va.toString(16)} ${seenUse} ${why}`,
  );
}

function invalidate(guest: RecordedGuest, encoding: bigint, operand = 0n, by: By = {}): void {
  guest.event("maintenance", encoding, { new: operand }, by);
}

describe("a changed descriptor", () => {
  const flip = (guest: RecordedGuest): unknown => guest.write(LEAF, pageAt(PA, READ_ONLY), { pc: 0xa_0000n });

  it("that no TLBI follows is told of", () => {
    expect(gaps(flip)).toEqual(["no-tlbi 1 0x1000 undefined no TLBI that covers it was seen up to the point b"]);
  });

  it.each([
    ["VMALLE1", VMALLE1, 0n, true],
    ["VAE1 of its page", VAE1, VA >> 12n, true],
    ["VAE1IS of its page, with an ASID", VAE1IS, (VA >> 12n) | (5n << 48n), true],
    ["VALE1 of its page", VALE1, VA >> 12n, true],
    ["VAE1 of its page, level 3 of 4 KiB", VAE1, (VA >> 12n) | (0b0111n << 44n), true],
    ["VAE1 of its page, level 2 of 4 KiB", VAE1, (VA >> 12n) | (0b0110n << 44n), false],
    ["VAE1 of another page", VAE1, 2n, false],
    ["ASIDE1, as it is global", ASIDE1, 0n, false],
    ["ALLE2", ALLE2, 0n, false],
  ])("is covered by TLBI %s or not", (_, encoding, operand, covered) => {
    const found = gaps((guest) => {
      flip(guest);
      // At EL2, so that TLBI ALLE2 can be executed.
      guest.stacks.push({ sp: 0n, fp: 0n, lr: 0n, cpsr: encoding === ALLE2 ? 0x3c9n : 0x3c5n, words: [] });
      invalidate(guest, encoding, operand, { stack: 0 });
    });
    expect(found?.length).toBe(covered ? 0 : 1);
  });

  it("of one ASID is covered by TLBI ASIDE1", () => {
    const steps = (guest: RecordedGuest): void => {
      guest.write(LEAF, notGlobal(OLD));
      invalidate(guest, VMALLE1);
      guest.write(LEAF, notGlobal(pageAt(PA, READ_ONLY)));
      invalidate(guest, ASIDE1);
    };
    expect(gaps(steps)).toEqual([]);
  });

  it("is not covered by a TLBI before it, nor by one of another vCPU's own", () => {
    expect(
      gaps((guest) => {
        invalidate(guest, VMALLE1);
        flip(guest);
      }),
    ).toHaveLength(1);
    const guest = smallGuest([{}, { TTBR0_EL1: LEVEL_2 }]);
    guest.point("a");
    flip(guest);
    invalidate(guest, VMALLE1, 0n, { cpu: 1 });
    guest.point("b");
    const replay = replayBlame(guest.capture());
    expect(replay && maintenanceGaps(replay)?.gaps.filter(({ regime }) => regime === "EL1&0").length).toBeGreaterThan(
      0,
    );
  });

  it("that was a table is covered by TLBI VAE1 of one of its pages, but not by VALE1", () => {
    const unlink =
      (encoding: bigint) =>
      (guest: RecordedGuest): void => {
        guest.write(LEVEL_2, 0n);
        invalidate(guest, encoding, VA >> 12n);
      };
    expect(gaps(unlink(VAE1))).toEqual([]);
    expect(gaps(unlink(VALE1))).toHaveLength(1);
  });

  it("that is used before a TLBI is told of with its use", () => {
    const steps = (guest: RecordedGuest): void => {
      flip(guest);
      guest.write(leafOf(0x9000n), 0n, { pc: VA + 8n });
      invalidate(guest, VMALLE1);
    };
    expect(gaps(steps)).toEqual(["no-tlbi 1 0x1000 2 its addresses were used before a TLBI that covers them was seen"]);
  });

  it("that what runs in it made is not told of for running on", () => {
    const steps = (guest: RecordedGuest): void => {
      guest.write(LEAF, pageAt(PA, READ_ONLY), { pc: VA });
      guest.event("maintenance", VMALLE1, { new: 0n }, { pc: VA + 8n });
    };
    expect(gaps(steps)).toEqual([]);
  });

  it("that was invalid, or had AF 0, is in no TLB", () => {
    const steps = (guest: RecordedGuest): void => {
      guest.write(LEAF, 0n);
      invalidate(guest, VMALLE1);
      guest.write(LEAF, OLD & ~(1n << 10n));
      guest.write(LEAF, OLD);
    };
    expect(gaps(steps)).toEqual([]);
  });

  it("is not told of after a lapse, nor where maintenance was not watched", () => {
    const lapsed = (guest: RecordedGuest): void => {
      guest.event("lapse", 0n);
      flip(guest);
    };
    expect(gaps(lapsed)).toEqual([]);
    expect(gaps(flip, { maintenance: false })).toBeUndefined();
  });
});

describe("break-before-make", () => {
  const moved = pageAt(0x5000_0000n);
  const direct =
    (value: bigint, address = LEAF) =>
    (guest: RecordedGuest): void => {
      guest.write(address, value);
      invalidate(guest, VMALLE1);
    };

  it.each([
    ["another output address", moved, "the output address changed, and one of the two mappings is writable"],
    ["Non-cacheable", OLD | 8n, "the memory type or cacheability changed from Normal WB RAWA to Normal NC"],
    ["Device", OLD | 4n, "the memory type or cacheability changed from Normal WB RAWA to Device-nGnRnE"],
    ["outer shareable", OLD ^ 0x100n, "the shareability changed"],
  ])("is asked for by %s", (_, value, why) => {
    expect(gaps(direct(value))).toEqual([
      `no-break-before-make 1 0x1000 undefined ${why}, and it was valid all the time`,
    ]);
  });

  it("is asked for by a mapping of one ASID that becomes a global one", () => {
    const steps = (guest: RecordedGuest): void => {
      direct(notGlobal(OLD))(guest);
      direct(OLD)(guest);
    };
    expect(gaps(steps)).toEqual([
      "no-break-before-make 3 0x1000 undefined a mapping of one ASID became a global one, and it was valid all the time",
    ]);
  });

  it("is asked for by a table in place of a block, unless the machine says otherwise", () => {
    const split = direct(SPARE | 3n, LEVEL_2 + 8n);
    expect(gaps(split)).toEqual([
      "no-break-before-make 1 0x200000 undefined a block became a table, and it was valid all the time",
    ]);
    expect(gaps(split, {}, { ID_AA64MMFR2_EL1: 2n << 52n })).toEqual([]);
  });

  it("is not asked for by permissions, by nG being set, or by a read-only page elsewhere", () => {
    expect(gaps(direct(OLD | READ_ONLY))).toEqual([]);
    expect(gaps(direct(notGlobal(OLD)))).toEqual([]);
    const steps = (guest: RecordedGuest): void => {
      direct(OLD | READ_ONLY)(guest);
      direct(moved | READ_ONLY)(guest);
    };
    expect(gaps(steps)).toEqual([]);
  });

  it("needs a TLBI between the two writes", () => {
    const broken =
      (between: bigint | undefined) =>
      (guest: RecordedGuest): void => {
        guest.write(LEAF, 0n);
        if (between !== undefined) invalidate(guest, VAE1, between);
        guest.write(LEAF, moved);
        invalidate(guest, VMALLE1);
      };
    const gap =
      "no-break-before-make 2 0x1000 undefined the output address changed, and one of the two mappings is writable, " +
      "and no TLBI was seen between making it invalid and valid again";
    expect(gaps(broken(undefined))).toEqual([gap]);
    expect(gaps(broken(2n))).toEqual([gap.replace("make 2", "make 3")]);
    expect(gaps(broken(1n))).toEqual([]);
  });

  it("is not asked for while translation is off", () => {
    const steps = (guest: RecordedGuest): void => {
      for (const cpu of [0, 1]) guest.setRegister("SCTLR_EL1", 0x1004n, { cpu });
      guest.event("table", LEAF, { old: OLD, new: moved });
    };
    expect(gaps(steps)).toEqual([]);
  });
});
