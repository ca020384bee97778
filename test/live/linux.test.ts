/** Debian's arm64 kernel (EFI stub): attached at three moments, and looked at while it runs, against QEMU's own translation and gdb. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  ebscope,
  ebscopeJson,
  Guest,
  LINUX,
  need,
  type Running,
  startEbscope,
  temporaryFolder,
} from "../support/live.ts";
import { decoderMismatches } from "../support/plain-capture.ts";
import { registerMismatches, translationMismatches } from "../support/witness.ts";

interface DiffOutput {
  status: string | null;
  registers: { name: string; class: string }[];
  mappings: {
    size: string;
    after: { read: boolean; write: boolean; execute: boolean } | null;
    expected: object | null;
  }[];
  coverage: unknown[];
}

async function expectHandoff(running: Running, file: string): Promise<void> {
  const { code, stdout, stderr } = await running.finished;
  expect(code, stderr).toBe(0);
  const diff = JSON.parse(stdout) as DiffOutput;
  expect(diff.status).toBe("0x0");
  expect(diff.mappings.reduce((sum, { size }) => sum + BigInt(size), 0n)).toBe(560n * 4096n);
  expect(diff.mappings.every(({ after }) => after?.read && after.write && after.execute)).toBe(true);
  expect(diff.mappings.every(({ expected }) => expected !== null)).toBe(true);
  expect(diff.registers.filter((change) => change.class === "control")).toEqual([]);
  expect(diff.coverage).toEqual([]);
  const points = await ebscopeJson<{ id: string }[]>("show", file, "points");
  expect(points.map(({ id }) => id)).toEqual(["before", "after", "later"]);
}

const CONSOLE = "console=ttyAMA0 earlycon";

describe("Linux, attached", () => {
  it("before the first instruction: 560 pages go RWX, and the guest is left paused as it was found", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest({ kernel: LINUX, append: CONSOLE }, true).listening();
    expect(await guest.status()).toBe("prelaunch");
    const file = join(folder.path, "linux.ebs");
    await expectHandoff(startEbscope("capture", "--json", "--gdb", guest.address, "--watch", "2", "-o", file), file);
    expect(await guest.status()).toBe("paused");
    // The kernel's own tables too, by a decoder that knows nothing of ours.
    for (const point of ["before", "after", "later"]) {
      expect(await decoderMismatches(file, point, "EL1&0", 2000), point).toEqual([]);
    }
  });

  it("inside the firmware: the same, and the guest boots on", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest({ kernel: LINUX, append: CONSOLE }).listening();
    await guest.shows(/UEFI firmware/);
    const file = join(folder.path, "linux.ebs");
    await expectHandoff(startEbscope("capture", "--json", "--gdb", guest.address, "--watch", "1", "-o", file), file);
    expect(await guest.status()).toBe("running");
    await guest.shows(/Unable to mount root fs/);
  });

  it("at the UEFI shell: the same; afterwards the running kernel's tables and registers are as QEMU and gdb say", async () => {
    need(LINUX);
    using folder = temporaryFolder();
    copyFileSync(LINUX, join(folder.path, "vmlinuz.efi"));
    const drive = [
      "-drive",
      `file=fat:rw:${folder.path},format=raw,if=none,id=d`,
      "-device",
      "virtio-blk-device,drive=d",
    ];
    await using guest = await new Guest({ extra: drive }).listening();
    await guest.shows(/Shell>/);
    using out = temporaryFolder();
    const file = join(out.path, "linux.ebs");
    const capturing = startEbscope("capture", "--json", "--gdb", guest.address, "--watch", "1", "-o", file);
    await capturing.stderrShows(/waiting for the call/);
    guest.type(`FS0:\\vmlinuz.efi ${CONSOLE}\r`);
    await expectHandoff(capturing, file);
    await guest.shows(/Unable to mount root fs/);
    await guest.monitor("stop");
    const now = join(out.path, "now.ebs");
    const snapshot = await ebscope("snapshot", "--pause", "--gdb", guest.address, "-o", now);
    expect(snapshot.code, snapshot.stderr).toBe(0);
    expect(await guest.status()).toBe("paused");
    expect(await translationMismatches(guest, now, "EL1&0")).toEqual([]);
    const { compared, mismatches } = await registerMismatches(guest, now);
    expect(compared).toBeGreaterThan(100);
    expect(mismatches).toEqual([]);
  });
});
