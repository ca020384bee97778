/** Captures from which pages and registers were taken at random, with random exceptions: no rule throws, and what is said is text. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RegisterRead } from "../../../src/base/registers.ts";
import { RULES } from "../../../src/diagnose/findings.ts";
import type { Capture, Point } from "../../../src/snapshot/model.ts";
import { CAPTURE, CODE, changed, factsOf, findings, registers, syndrome, VBAR, words } from "./scenes.ts";

interface Damage {
  /** Of 100, how many registers and pages go. */
  readonly registers: number;
  readonly pages: number;
  readonly seed: number;
  readonly ec: number;
  readonly iss: number;
  readonly address: bigint;
  readonly instruction: number;
  readonly sctlr: bigint;
  readonly kinds: boolean;
  readonly status: bigint | undefined;
  readonly efi: boolean;
  readonly flips: number;
}

const interesting = fc.constantFrom(
  0n,
  8n,
  CODE,
  VBAR,
  VBAR + 0x200n,
  0x9000_0000n,
  0x7ec9_7000n,
  2n ** 64n - 8n,
  2n ** 55n,
);

const damage: fc.Arbitrary<Damage> = fc.record({
  registers: fc.constantFrom(0, 0, 5, 50, 100),
  pages: fc.constantFrom(0, 0, 10, 60, 100),
  seed: fc.nat(),
  ec: fc.nat({ max: 0x3f }),
  iss: fc.oneof(fc.nat({ max: 0x7f }), fc.nat({ max: 0x1ff_ffff })),
  address: fc.oneof(interesting, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  instruction: fc.nat({ max: 0xffff_ffff }),
  sctlr: fc.constantFrom(0x30d0_198dn, 0x30d0_1988n),
  kinds: fc.boolean(),
  status: fc.constantFrom(0n, 0n, undefined, 1n << 63n),
  efi: fc.boolean(),
  flips: fc.constantFrom(0, 0, 40),
});

/** xorshift32: which of many things go is decided by the seed alone. */
function* numbers(seed: number): Generator<number, never> {
  let state = (seed | 1) >>> 0;
  for (;;) {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    yield state;
  }
}

function damaged(capture: Capture, { registers: lost, pages, seed, kinds, flips, status, efi }: Damage): Capture {
  const random = numbers(seed);
  const hit = (of100: number): boolean => random.next().value % 100 < of100;
  const points = capture.points.map((point): Point => {
    const kept = [...point.pages].filter(() => !hit(pages));
    for (let i = 0; i < flips && kept.length > 0; i++) {
      const at = random.next().value % kept.length;
      const [pa, read] = kept[at] as (typeof kept)[number];
      if (read.state !== "present") continue;
      const bytes = Uint8Array.from(read.bytes);
      bytes[random.next().value & 0xfff] = random.next().value & 0xff;
      kept[at] = [pa, { state: "present", bytes }];
    }
    const rows = point.registers.map((row) =>
      row.map((read): RegisterRead => (hit(lost) ? { state: "unreadable" } : read)),
    );
    const later = kinds && point.kind === "fault";
    return { ...point, ...(later && { id: "later", kind: "later" as const }), registers: rows, pages: new Map(kept) };
  });
  const attempts = capture.attempts.map((attempt) => ({ ...attempt, status }));
  return { ...capture, points, attempts, efi: efi ? capture.efi : undefined };
}

describe("every rule", () => {
  it("has an answer for captures from which pages and registers are missing", async () => {
    await fc.assert(
      fc.asyncProperty(damage, async (each) => {
        const { ec, iss, address, instruction, sctlr } = each;
        const values = { ESR_EL1: syndrome(ec, iss), FAR_EL1: address, x0: address, SCTLR_EL1: sctlr };
        const at = ec % 3 === 0 ? address : CODE;
        const capture = changed(words("fault", CODE, instruction), registers("fault", { ...values, ELR_EL1: at }));
        for (const finding of await findings(damaged(capture, each))) {
          expect(finding.title).toMatch(/^[^\n]+[.]$/);
          expect(`${finding.title} ${finding.evidence.join(" ")}`).not.toMatch(/undefined|NaN|\[object/);
        }
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  it("has an answer for a single point, and for none", async () => {
    for (const points of [...CAPTURE.points.map((point) => [point]), []]) {
      const facts = await factsOf({ ...CAPTURE, points });
      for (const rule of Object.values(RULES)) expect(() => rule(facts)).not.toThrow();
    }
  });
});
