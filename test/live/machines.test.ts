/** Other machines and another QEMU: the capture is the same thing everywhere. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  AAVMF_2025,
  ebscope,
  ebscopeJson,
  HANDOFF,
  type MachineOptions,
  machine,
  QEMU_7,
  QEMU_10,
  temporaryFolder,
} from "../support/live.ts";

interface RegisterOutput {
  cpu: number;
  name: string;
  stubName: string;
  value: string | null;
}

interface Captured {
  readonly code: number | null;
  readonly stderr: string;
  readonly registers: readonly RegisterOutput[];
  readonly regimes: readonly string[];
  readonly pages: number;
  readonly control: readonly string[];
}

async function capture(options: MachineOptions): Promise<Captured> {
  using folder = temporaryFolder();
  const file = join(folder.path, "machine.ebs");
  const command = machine({ kernel: HANDOFF, append: "mode=boot-service", ...options });
  const { code, stderr, stdout } = await ebscope("capture", "--json", "-o", file, "--", ...command);
  if (stdout === "") throw new Error(`ebscope ended with ${code} and no output:\n${stderr}`);
  const diff = JSON.parse(stdout) as {
    mappings: { size: string; expected: object | null }[];
    registers: { name: string; class: string }[];
  };
  const points = await ebscopeJson<{ regimes: string[] }[]>("show", file, "points");
  return {
    code,
    stderr,
    registers: await ebscopeJson<RegisterOutput[]>("show", file, "registers", "--at", "fault"),
    regimes: points[0]?.regimes ?? [],
    pages: diff.mappings.reduce((sum, { size, expected }) => sum + (expected === null ? 0 : Number(size) / 4096), 0),
    control: diff.registers.filter((change) => change.class === "control").map(({ name }) => name),
  };
}

function fault(captured: Captured, el: number): (string | null | undefined)[] {
  const at = (name: string) => captured.registers.find((each) => each.name === name && each.cpu === 0)?.value;
  return [at(`ELR_EL${el}`), at(`ESR_EL${el}`)];
}

describe("a capture", () => {
  it("on four vCPUs has the registers of all four, and sees the fault on the one that called", async () => {
    const captured = await capture({ smp: 4 });
    expect(captured.code, captured.stderr).toBe(3);
    expect(new Set(captured.registers.map(({ cpu }) => cpu))).toEqual(new Set([0, 1, 2, 3]));
    expect(fault(captured, 1)).toEqual(["0x0", "0x86000007"]);
    expect(captured.pages).toBe(560);
  });

  it("on -cpu max with more than 3 GiB of RAM is the same", async () => {
    const captured = await capture({ cpu: "max", memory: 4096 });
    expect(captured.code, captured.stderr).toBe(3);
    expect(fault(captured, 1)).toEqual(["0x0", "0x86000007"]);
    expect(captured.pages).toBe(560);
    expect(captured.control).toEqual([]);
    expect(captured.registers.length).toBeGreaterThan(250);
  });

  it("on firmware at EL2 with HCR_EL2.E2H (AAVMF 2025, QEMU 10.0) is in the regime EL2&0", async () => {
    const captured = await capture({
      qemu: QEMU_10,
      machine: "virt,virtualization=on",
      cpu: "max",
      firmware: AAVMF_2025,
    });
    expect(captured.code, captured.stderr).toBe(3);
    expect(captured.regimes).toEqual(["EL2&0"]);
    expect(fault(captured, 2)).toEqual(["0x0", "0x86000007"]);
    expect(captured.control).toEqual([]);
  });
});

describe("QEMU 7.2 and 10.0", () => {
  it.each(["cortex-a57", "max"])(
    "give the registers of %s the same names, each with the stub's own beside it",
    async (cpu) => {
      const [old, recent] = [await capture({ qemu: QEMU_7, cpu }), await capture({ qemu: QEMU_10, cpu })];
      expect([old.code, recent.code], recent.stderr).toEqual([3, 3]);
      const names = (captured: Captured) => new Set(captured.registers.map(({ name }) => name));
      // 10.0 offers more than 7.2, and everything of 7.2 under the same name.
      expect([...names(old)].filter((name) => !names(recent).has(name))).toEqual([]);
      const stubName = (captured: Captured, name: string) =>
        captured.registers.find((each) => each.name === name)?.stubName;
      expect(stubName(old, "SCTLR_EL1")).toBe("SCTLR");
      expect(stubName(old, "ID_AA64ISAR2_EL1")).not.toBe(stubName(recent, "ID_AA64ISAR2_EL1"));
      for (const name of [
        "SCTLR_EL1",
        "VBAR_EL1",
        "CPACR_EL1",
        "AMAIR_EL1",
        "CNTKCTL_EL1",
        "TTBR0_EL1",
        "TCR_EL1",
        "MAIR_EL1",
      ]) {
        expect(names(old), name).toContain(name);
        expect(names(recent), name).toContain(name);
      }
      expect(fault(old, 1)).toEqual(fault(recent, 1));
      expect(old.pages).toBe(recent.pages);
    },
  );
});
