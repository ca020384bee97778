import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { canonicalRegisterName } from "../../src/target/register-names.ts";

/** The names in system-registers.xml of QEMU 7.2.22, in its order; max is -M virt,secure=on,virtualization=on. */
function stubNames(cpu: string): string[] {
  const text = readFileSync(new URL(`fixtures/registers-${cpu}-qemu-7.2.22.txt`, import.meta.url), "utf8");
  return text.trim().split("\n");
}

describe("canonicalRegisterName", () => {
  // Left: QEMU 7.2.22, -cpu max. Right: Arm ARM DDI 0487, D24.
  it.each([
    ["SCTLR", "SCTLR_EL1"],
    ["VBAR", "VBAR_EL1"],
    ["CPACR", "CPACR_EL1"],
    ["CNTKCTL", "CNTKCTL_EL1"],
    ["CSSELR", "CSSELR_EL1"],
    ["CCSIDR", "CCSIDR_EL1"],
    ["AIDR", "AIDR_EL1"],
    ["ID_ISAR6", "ID_ISAR6_EL1"],
    ["ID_MMFR0", "ID_MMFR0_EL1"],
    ["AMAIR0", "AMAIR_EL1"],
    ["SPSR_IRQ", "SPSR_irq"],
    ["SPSR_ABT", "SPSR_abt"],
    ["ID_AA64MMFR3_EL1_RESERVED", "ID_AA64MMFR3_EL1"],
    ["APIAKEYLO_EL1", "APIAKeyLo_EL1"],
    ["APGAKEYHI_EL1", "APGAKeyHi_EL1"],
  ])("%s is %s", (stubName, name) => {
    expect(canonicalRegisterName(stubName)).toBe(name);
  });

  it.each([
    ...["SCTLR_EL1", "SCTLR_EL2", "VBAR_EL2", "TTBR0_EL1", "TCR_EL1", "AMAIR_EL1", "AMAIR_EL2", "CNTKCTL_EL1"],
    ...["x0", "sp", "pc", "cpsr", "v0", "fpcr", "SPSR_EL1", "ID_AA64MMFR2_EL1", "PMEVTYPER4_EL0"],
    ...["APIAKEYLO_EL2", "APXAKEYLO_EL1", "SOMETHING_NEW", "constructor", "toString", "__proto__", ""],
  ])("%j stays as it is", (name) => {
    expect(canonicalRegisterName(name)).toBe(name);
  });

  it.each([
    ["cortex-a57", 160],
    ["max", 268],
  ])("gives each register of %s a name of its own that says its exception level", (cpu, count) => {
    const stub = stubNames(cpu);
    const names = stub.map(canonicalRegisterName);
    expect(stub).toHaveLength(count);
    expect(new Set(names).size).toBe(count);
    // All but the registers that the Arm ARM names without one, and encodings that are still reserved.
    const rest = names.filter((name) => !/_EL[0-3]$|_EL[01]2$/.test(name));
    expect(rest.filter((name) => !/_RESERVED$|^RES_|^SPSR_(abt|fiq|irq|und)$|^(FPCR|FPSR|SVCR)$/.test(name))).toEqual(
      [],
    );
  });

  it.each(["SCTLR", "AMAIR0", "APIAKEYLO_EL1"])("a canonical name of %s is its own", (stubName) => {
    const name = canonicalRegisterName(stubName);
    expect(canonicalRegisterName(name)).toBe(name);
  });
});
