/** Rules over registers, findings and the run, on a capture of AAVMF 2022.11 whose guest calls a boot service after the exit. */
import { describe, expect, it } from "vitest";
import type { BaselineComparison } from "../../src/gate/index.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { atPoint, CAPTURE, changed, later, missingPage, registers, TABLE_OF_STACK } from "../diagnose/rules/scenes.ts";
import { messages, resultOf, verdictOf } from "./support.ts";

const SCTLR = 0x30d0_198dn;

describe("no-control-register-changes", () => {
  const rule = (except: string): string => `no-control-register-changes: { except: [${except}] }`;
  const off = registers("after", { SCTLR_EL1: SCTLR & ~5n });

  it("is kept where none changed", async () => {
    expect((await resultOf(rule(""))).state).toBe("kept");
  });

  it("names the register, both values and the fields", async () => {
    const result = await resultOf(rule(""), off);
    expect(messages(result)).toEqual(["SCTLR_EL1 of vCPU 0 changed from before to after: 0x30d0198d → 0x30d01988"]);
    expect(result.violations[0]?.evidence).toEqual([
      "SCTLR_EL1.C: 0x1 → 0x0 (Non-cacheable)",
      "SCTLR_EL1.M: 0x1 → 0x0 (MMU off)",
    ]);
  });

  it.each([
    ["{ register: SCTLR_EL1 }", "kept"],
    ["{ register: SCTLR_* }", "kept"],
    ["{ register: SCTLR_EL1.M }, { register: SCTLR_EL1.C }", "kept"],
    ["{ register: SCTLR_EL1.M }", "broken"],
    ["{ register: TCR_EL1 }", "broken"],
    ["{ register: SCTLR_EL2 }", "broken"],
  ])("with the exceptions %s is %s", async (except, state) => {
    expect((await resultOf(rule(except), off)).state).toBe(state);
  });

  it("does not mind registers of other classes", async () => {
    expect((await resultOf(rule(""), registers("after", { x5: 7n, ESR_EL1: 1n }))).state).toBe("kept");
  });

  it("is unknown where a register could not be read, at one point or at both", async () => {
    const one = await resultOf(rule(""), registers("after", { TCR_EL1: undefined }));
    expect(messages(one)).toEqual(["whether TCR_EL1 of vCPU 0 changed is not known: it could not be read at after"]);
    const unread = [registers("before", { TCR_EL1: undefined }), registers("after", { TCR_EL1: undefined })];
    expect((await resultOf(rule(""), ...unread)).state).toBe("unknown");
    expect((await resultOf(rule("{ register: TCR_EL1 }"), ...unread)).state).toBe("kept");
  });
});

describe("registers", () => {
  const rule = (text: string, more = ""): string => `registers:\n  - assert: ${text}${more}`;

  it.each([
    ["SCTLR_EL1.M == 1", "kept"],
    ["SCTLR_ELx.M == 1", "kept"],
    ["SCTLR_EL1 == 0x30d0198d", "kept"],
    ["SCTLR_EL1 & 0x80000 == 0x80000", "broken"],
    ["TCR_EL1.T0SZ >= 20", "kept"],
    ["TCR_EL1.T0SZ > 20", "broken"],
    ["VBAR_EL1 == 0x7faf3800", "kept"],
    ["SCTLR_EL3.M == 1", "unknown"],
  ])("%s is %s", async (text, state) => {
    expect((await resultOf(rule(text))).state).toBe(state);
  });

  it("say what the register holds, and of one that is not known why", async () => {
    const broken = await resultOf(rule("SCTLR_EL1.M == 0"));
    expect(broken.violations).toEqual([
      {
        message: "SCTLR_EL1.M == 0 does not hold on vCPU 0 at before: SCTLR_EL1.M is 0x1",
        where: { point: "before", cpu: 0, register: "SCTLR_EL1.M" },
        evidence: ["SCTLR_EL1 = 0x30d0198d: M is 0x1 (MMU on)"],
      },
    ]);
    const unread = await resultOf(rule("SCTLR_EL1.M == 0"), registers("before", { SCTLR_EL1: undefined }));
    expect(unread.undecided[0]?.evidence).toEqual(["SCTLR_EL1 could not be read, or there is no such vCPU"]);
    const missing = await resultOf(rule("SCTLR_EL3.M == 0"));
    expect(missing.undecided[0]?.evidence).toEqual(["the stub does not offer SCTLR_EL3"]);
  });

  it("are looked at where and on which vCPU they are told to be", async () => {
    const off = registers("after", { SCTLR_EL1: SCTLR & ~1n });
    expect((await resultOf(rule("SCTLR_EL1.M == 1"), off)).state).toBe("kept");
    const both = await resultOf(rule("SCTLR_EL1.M == 1", "\n    at: [before, after]\n    cpu: all"), off);
    expect(messages(both)).toEqual(["SCTLR_EL1.M == 1 does not hold on vCPU 0 at after: SCTLR_EL1.M is 0x0"]);
    expect((await resultOf(rule("SCTLR_EL1.M == 1", "\n    cpu: 1"))).state).toBe("unknown");
  });

  it("are rules each: one can be broken alone", async () => {
    const { state, rules } = await verdictOf(
      "registers:\n  - assert: SCTLR_EL1.M == 1\n  - assert: SCTLR_EL1.M == 0\n    severity: warning",
      CAPTURE,
    );
    expect([state, ...rules.map((each) => each.state)]).toEqual(["kept", "kept", "broken"]);
  });
});

describe("no-findings", () => {
  it("is broken by errors and warnings, and by what is normal where that is asked for", async () => {
    const { violations } = await resultOf("no-findings: {}");
    expect(violations.map(({ where }) => where.finding)).toEqual(["service-called-after-exit", "guest-faulted"]);
    expect((await resultOf("no-findings: {}", later)).state).toBe("kept");
    const info = await resultOf("no-findings: { minimum: info, findings: boot-* }", later);
    expect(info.violations.map(({ where }) => where.finding)).toEqual(["boot-services-zeroed"]);
  });

  it("lets exceptions pass, and tells those that were not needed", async () => {
    const rule = "no-findings: { except: [{ finding: service-* }, { finding: guest-faulted }, { finding: serror }] }";
    const { state, unused } = await resultOf(rule);
    expect(state).toBe("kept");
    expect(unused.map(({ text }) => text)).toEqual(["exception 3"]);
  });
});

describe("exit-succeeded", () => {
  const attempts =
    (...statuses: readonly (bigint | undefined)[]) =>
    (capture: Capture): Capture => ({
      ...capture,
      attempts: statuses.map((status, i) => ({ imageHandle: 1n, mapKey: BigInt(i), returnAddress: 4n, status })),
    });
  const INVALID = (1n << 63n) | 2n;

  it.each([
    ["", [0n], "kept"],
    ["", [INVALID, INVALID, 0n], "kept"],
    ["attempts: 2", [INVALID, 0n], "kept"],
    ["attempts: 1", [INVALID, 0n], "broken"],
    ["", [INVALID], "broken"],
    ["", [undefined], "unknown"],
    ["", [], "unknown"],
  ])("with { %s } and the statuses %s is %s", async (demand, statuses, state) => {
    expect((await resultOf(`exit-succeeded: { ${demand} }`, attempts(...statuses))).state).toBe(state);
  });

  it("says what was returned, and how often it was called", async () => {
    const failed = await resultOf("exit-succeeded: {}", attempts(INVALID));
    expect(messages(failed)).toEqual(["ExitBootServices returned EFI_INVALID_PARAMETER (0x8000000000000002)"]);
    const often = await resultOf("exit-succeeded: { attempts: 1 }", attempts(INVALID, INVALID, 0n));
    expect(messages(often)).toEqual(["ExitBootServices succeeded at the 3rd call, and 1 call is allowed"]);
  });
});

describe("not-faulted", () => {
  it("tells the fault and its cause", async () => {
    const { state, violations } = await resultOf("not-faulted: {}");
    expect(state).toBe("broken");
    expect(violations[0]?.message).toMatch(
      /^The guest faulted after ExitBootServices: Instruction abort .* at PC 0x0$/,
    );
    expect(violations[0]?.evidence[0]).toContain("called gBS->Stall after ExitBootServices");
  });

  it("is kept where the guest was watched and nothing was seen", async () => {
    expect((await resultOf("not-faulted: {}", later)).state).toBe("kept");
  });

  it("is unknown where it was not watched, or not to the end", async () => {
    const ended = (capture: Capture): Capture => ({
      ...capture,
      partial: { code: "connection-lost", message: "gone" },
    });
    const partial = await resultOf("not-faulted: {}", later, ended);
    expect([partial.state, partial.undecided[0]?.evidence]).toEqual(["unknown", ["gone"]]);
    const alone = (capture: Capture): Capture => ({ ...capture, points: capture.points.slice(0, 2) });
    expect((await resultOf("not-faulted: {}", alone)).state).toBe("unknown");
    const unwatched = (capture: Capture): Capture => ({
      ...capture,
      notes: ["The stub does not offer the vector base register: faults are not watched for."],
    });
    expect((await resultOf("not-faulted: {}", later, unwatched)).state).toBe("unknown");
  });
});

describe("same-as", () => {
  const difference = { part: "images", message: "x is of another build", where: { image: "x" }, evidence: [] };
  const comparison: BaselineComparison = { file: "good.ebs", differences: [difference], undecided: [] };

  it("is broken by what differs, but for the parts that are ignored", async () => {
    const broken = await verdictOf("same-as: {}", CAPTURE, comparison);
    expect([broken.state, broken.rules[0]?.violations[0]?.message]).toEqual(["broken", "x is of another build"]);
    expect((await verdictOf("same-as: { ignore: images }", CAPTURE, comparison)).state).toBe("kept");
    expect((await verdictOf("same-as: { ignore: [machine, registers] }", CAPTURE, comparison)).state).toBe("broken");
  });

  it("is unknown where it could not be compared, or there is nothing to compare with", async () => {
    const lost = { ...comparison, differences: [], undecided: [{ ...difference, part: "mappings" }] };
    expect((await verdictOf("same-as: {}", CAPTURE, lost)).rules[0]?.state).toBe("unknown");
    expect((await verdictOf("same-as: { ignore: mappings }", CAPTURE, lost)).rules[0]?.state).toBe("kept");
    expect((await verdictOf("same-as: {}", CAPTURE)).rules[0]?.state).toBe("unknown");
  });
});

describe("a verdict", () => {
  const lost = missingPage("before", TABLE_OF_STACK);
  const rule = (more: string): string =>
    `no-write-execute:\n  except: [{ range: 0x0-0x100000000 }, { range: 0x47600000+0x100000 }]\n  ${more}`;
  const stack = "mappings:\n  - range: 0x4773a000+0x1000\n    must-not: [executable]\n    ";

  it("is broken by a rule that is unknown, unless that is allowed", async () => {
    const capture = changed(lost);
    expect((await verdictOf(`${stack}at: before`, capture)).state).toBe("broken");
    expect((await verdictOf(`${stack}unknown: allow`, capture)).state).toBe("kept");
    expect((await verdictOf(rule(""), capture)).state).toBe("kept");
  });

  it("is not broken by a warning", async () => {
    expect((await verdictOf("not-faulted: { severity: warning }", CAPTURE)).state).toBe("kept");
    expect((await verdictOf("not-faulted: { severity: warning }\nno-findings: {}", CAPTURE)).state).toBe("broken");
  });

  it("says once what breaks a rule a thousand times, and how often", async () => {
    const many = atPoint("before", (point) => point);
    const result = await resultOf("mappings:\n  - range: 0x0+0x80000000\n    must: [executable]", many);
    expect(result.violations).toHaveLength(100);
    expect(result.more).toBeGreaterThan(50);
  });
});
