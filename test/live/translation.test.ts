/**
 * QEMU's own translation as the witness, on firmware: 2,000 addresses per machine. Linux is asked about in linux.test.ts, Xen and what runs
 * behind its stage 2 in xen.test.ts.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AAVMF_2025, ebscope, Guest, type MachineOptions, QEMU_10, temporaryFolder } from "../support/live.ts";
import { decoderMismatches } from "../support/plain-capture.ts";
import { registerMismatches, translationMismatches } from "../support/witness.ts";

const MACHINES = [
  { name: "QEMU 7.2, EL1", regime: "EL1&0", options: {} },
  { name: "QEMU 7.2, EL2", regime: "EL2", options: { machine: "virt,virtualization=on" } },
  {
    name: "QEMU 10.0, EL2 with E2H",
    regime: "EL2&0",
    options: { qemu: QEMU_10, machine: "virt,virtualization=on", cpu: "max", firmware: AAVMF_2025 },
  },
] as const;

/** A machine paused at the prompt of the UEFI shell. */
async function pausedAtShell(options: MachineOptions): Promise<Guest> {
  const guest = new Guest(options);
  try {
    await guest.listening();
    await guest.shows(/to skip/);
    guest.type("\x1b");
    await guest.shows(/Shell>/);
    await guest.monitor("stop");
    return guest;
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}

describe.each(MACHINES)("a snapshot of the UEFI shell on $name", ({ regime, options }) => {
  it("has the translations of QEMU and the registers of gdb", async () => {
    using folder = temporaryFolder();
    await using guest = await pausedAtShell(options);
    const file = join(folder.path, "now.ebs");
    const { code, stderr } = await ebscope("snapshot", "--pause", "--gdb", guest.address, "-o", file);
    expect(code, stderr).toBe(0);
    expect(await guest.status()).toBe("paused");
    expect(await translationMismatches(guest, file, regime)).toEqual([]);
    expect(await decoderMismatches(file, "now", regime, 2000)).toEqual([]);
    const { compared, mismatches } = await registerMismatches(guest, file);
    expect(compared).toBeGreaterThan(100);
    expect(mismatches).toEqual([]);
  });
});
