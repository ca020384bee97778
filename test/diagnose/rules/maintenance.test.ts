/** What is said of TLB maintenance that a watch did not see: of records made by hand, through the study that all verbs make. */
import { describe, expect, it } from "vitest";
import { findingsOf } from "../../../src/diagnose/findings.ts";
import { studyCapture } from "../../../src/diagnose/study.ts";
import { addressOf, blamedGuest, CODE, entryOf, page, READ_ONLY } from "../../support/blamed-guest.ts";
import type { RecordedGuest, RecordParts } from "../../support/recorded-guest.ts";

/** TLBI VMALLE1: op0 1, op1 0, CRn 8, CRm 7, op2 0. */
const VMALLE1 = BigInt((1 << 14) | (8 << 7) | (7 << 3));
const OTHER = 0x4060_5000n;

async function findings(does: (guest: RecordedGuest) => void, parts: RecordParts = {}) {
  const guest = blamedGuest();
  guest.point("before");
  does(guest);
  guest.point("after");
  const study = await studyCapture(guest.capture(parts), "none");
  return findingsOf(study, undefined).filter(({ rule }) => /maintenance|break/.test(rule));
}

const flip = (guest: RecordedGuest): unknown =>
  guest.write(entryOf(3), page(addressOf(3), READ_ONLY), { pc: CODE + 0x40n });
const move = (guest: RecordedGuest): unknown => guest.write(entryOf(4), page(OTHER), { pc: CODE + 0x80n });
const invalidate = (guest: RecordedGuest): unknown =>
  guest.event("maintenance", VMALLE1, { new: 0n }, { pc: CODE + 0xc0n });

describe("a live mapping that was changed", () => {
  it("with no TLBI afterwards: who changed it, from what to what, and what was searched", async () => {
    const [finding, ...others] = await findings(flip);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      rule: "tlb-maintenance-missing",
      severity: "warning",
      title: "1 change of a live mapping that no TLBI followed in time, as far as was seen.",
    });
    const [line, searched] = finding?.evidence ?? [];
    expect(line).toContain("EL1&0 0x40403000 + 0x1000, descriptor 0x40403707 → 0x40403787 by 0x40200040 (event 1)");
    expect(line).toContain("up to the point after");
    expect(searched).toContain("what other code did is not seen");
  });

  it("and used before a TLBI: where it was used", async () => {
    const [finding] = await findings((guest) => {
      guest.write(entryOf(3), page(addressOf(3), READ_ONLY), { pc: CODE + 0x40n });
      // The next write executes in the page.
      guest.write(entryOf(7), page(addressOf(7)), { pc: addressOf(3) + 8n });
      invalidate(guest);
    });
    expect(finding?.title).toBe(
      "1 change of a live mapping that no TLBI followed in time, as far as was seen; 1 of 1 were used before one.",
    );
    expect(finding?.evidence[0]).toContain("(at 0x40403008, event 2)");
  });

  it("and loaded or stored through, where that was waited for", async () => {
    const [finding] = await findings((guest) => {
      flip(guest);
      guest.event("use", addressOf(3), {}, { pc: CODE + 0x100n });
      invalidate(guest);
    });
    expect(finding?.evidence[0]).toContain("used before a TLBI that covers them was seen (at 0x40200100, event 2)");
    const other = await findings((guest) => {
      flip(guest);
      guest.event("use", addressOf(4), {}, { pc: CODE + 0x100n });
      invalidate(guest);
    });
    expect(other).toEqual([]);
  });

  it("to another address while it stayed valid: break-before-make", async () => {
    const found = await findings((guest) => {
      move(guest);
      invalidate(guest);
    });
    expect(found.map(({ rule, title }) => `${rule}: ${title}`)).toEqual([
      "break-before-make-missing: 1 change of a live mapping without break-before-make, where the architecture asks for it.",
    ]);
    expect(found[0]?.evidence[0]).toContain("the output address changed");
  });

  it("is not told of when it was done right", async () => {
    const right = (guest: RecordedGuest): void => {
      flip(guest);
      invalidate(guest);
      guest.write(entryOf(4), 0n, { pc: CODE });
      invalidate(guest);
      guest.write(entryOf(4), page(OTHER), { pc: CODE });
    };
    expect(await findings(right)).toEqual([]);
  });

  it("is not told of where nobody watched for TLBI, and after a lapse", async () => {
    expect(await findings(flip, { maintenance: false })).toEqual([]);
    const lapsed = (guest: RecordedGuest): void => {
      guest.event("lapse", 0n);
      flip(guest);
    };
    expect(await findings(lapsed, { notes: ["no more"] })).toEqual([]);
  });

  it("a hundred times: twenty lines, and how many more", async () => {
    const [finding] = await findings((guest) => {
      for (let i = 0; i < 100; i++) guest.write(entryOf(i), page(addressOf(i), READ_ONLY), { pc: CODE });
    });
    expect(finding?.title).toContain("100 changes of live mappings");
    expect(finding?.evidence).toHaveLength(22);
    expect(finding?.evidence[20]).toBe("… and 80 more");
  });
});
