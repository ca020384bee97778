/** Xen 4.17's EFI binary on AAVMF: at EL1, where it faults, and at EL2, where it boots a kernel. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ebscope, ebscopeJson, LINUX, machine, need, temporaryFolder, XEN } from "../support/live.ts";
import { decoderMismatches } from "../support/plain-capture.ts";

interface DiffOutput {
  status: string | null;
  registers: { name: string; class: string }[];
  mappings: { regime: string; size: string; expected: object | null }[];
  findings: { rule: string; evidence: string[] }[];
}

/** A disk that the firmware boots by itself: Xen as the removable-media loader, its configuration and a kernel. */
function xenDisk(folder: string): string[] {
  need(XEN, LINUX);
  const boot = join(folder, "EFI", "BOOT");
  mkdirSync(boot, { recursive: true });
  copyFileSync(XEN, join(boot, "BOOTAA64.EFI"));
  copyFileSync(LINUX, join(boot, "vmlinuz"));
  writeFileSync(
    join(boot, "BOOTAA64.cfg"),
    "[global]\ndefault=dom0\n\n[dom0]\noptions=console=dtuart noreboot dom0_mem=512M\nkernel=vmlinuz console=hvc0 earlycon=xenboot\n",
  );
  return ["-drive", `file=fat:rw:${folder},format=raw,if=none,id=d`, "-device", "virtio-blk-device,drive=d"];
}

function expectOnlyExpected(diff: DiffOutput, regime: string): void {
  expect(diff.status).toBe("0x0");
  expect(diff.mappings.reduce((sum, { size }) => sum + BigInt(size), 0n)).toBe(560n * 4096n);
  expect(diff.mappings.every((change) => change.regime === regime && change.expected !== null)).toBe(true);
  expect(diff.registers.filter((change) => change.class === "control")).toEqual([]);
}

describe("Xen 4.17", () => {
  it("at EL1 faults after the call with ESR 0x2000000: exit code 3", async () => {
    using folder = temporaryFolder();
    using out = temporaryFolder();
    const file = join(out.path, "xen.ebs");
    const command = machine({ extra: xenDisk(folder.path) });
    const { code, stdout, stderr } = await ebscope("capture", "--json", "-o", file, "--", ...command);
    expect(code, stderr).toBe(3);
    const diff = JSON.parse(stdout) as DiffOutput;
    expectOnlyExpected(diff, "EL1&0");
    const registers = await ebscopeJson<{ name: string; value: string }[]>("show", file, "registers", "--at", "fault");
    const at = (name: string) => registers.find((each) => each.name === name)?.value;
    expect(at("ESR_EL1")).toBe("0x2000000");
    const instruction = at("ELR_EL1");
    expect(diff.findings.find(({ rule }) => rule === "guest-faulted")?.evidence.join()).toContain(instruction);
  });

  it("at EL2 (virtualization=on, acpi=off) does not fault and boots a kernel: exit code 0, regime EL2", async () => {
    using folder = temporaryFolder();
    using out = temporaryFolder();
    const file = join(out.path, "xen.ebs");
    const command = machine({ machine: "virt,virtualization=on,acpi=off", extra: xenDisk(folder.path) });
    const { code, stdout, stderr } = await ebscope("capture", "--json", "--watch", "6", "-o", file, "--", ...command);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/\(XEN\).*Xen version 4\.17|Booting Linux on physical CPU/);
    expectOnlyExpected(JSON.parse(stdout) as DiffOutput, "EL2");
    const points = await ebscopeJson<{ id: string; regimes: string[] }[]>("show", file, "points");
    expect(points.map(({ id }) => id)).toEqual(["before", "after", "later"]);
    expect(points[0]?.regimes).toEqual(["EL2"]);
    for (const point of ["before", "after", "later"]) {
      expect(await decoderMismatches(file, point, "EL2", 2000), point).toEqual([]);
    }
    // Xen has switched to its own tables and runs a guest behind stage 2: what is not decoded is said.
    expect(points[2]?.regimes).toContain("EL2");
    const later = await ebscopeJson<{ coverage: { code: string }[] }>("diff", file, "--from", "after", "--to", "later");
    if (points[2]?.regimes.includes("stage2"))
      expect(later.coverage.map(({ code: gap }) => gap)).toContain("regime-not-decoded");
  });
});
