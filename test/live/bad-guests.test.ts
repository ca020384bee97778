/**
 * Everything that can be wrong with the guest, or goes wrong with it while it runs: each failure is told with its code and a next step, ends with the right exit code within its
 * deadline, and leaves the guest as it was found.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AT_ONCE_MS,
  CLEAN,
  endlessMachine,
  endsWithin,
  expectFailure,
  expectPartial,
  SILENCE_MS,
} from "../support/bad-input.ts";
import {
  ebscope,
  ebscopeJson,
  failure,
  Guest,
  guestAtShell,
  LINUX,
  type Running,
  START_HANDOFF,
  startEbscope,
  temporaryFolder,
} from "../support/live.ts";

const endless = endlessMachine();
const NO_FIRMWARE = endless.options;
afterAll(() => endless[Symbol.dispose]());

describe("a guest without UEFI", () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await new Guest(NO_FIRMWARE).listening();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  it("no-system-table when --find-timeout is over, exit code 4; the guest runs on", async () => {
    const run = await ebscope("capture", "--find-timeout", "2", "--gdb", guest.address);
    expectFailure(run, 4, "no-system-table", 2_000 + AT_ONCE_MS);
    expect(run.ms).toBeGreaterThan(2_000);
    expect(await guest.status()).toBe("running");
  });

  it("Ctrl-C while waiting for the firmware: exit code 1, the guest runs on", async () => {
    const running = startEbscope("capture", "--gdb", guest.address);
    await running.stderrShows(/waiting for the firmware/);
    running.child.kill("SIGINT");
    expectFailure(await endsWithin(running, 3_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(await guest.status()).toBe("running");
  });
});

describe("a guest at the UEFI shell", () => {
  const disk = temporaryFolder();
  const folder = temporaryFolder();
  const out = join(folder.path, "now.ebs");
  let guest: Guest;
  beforeAll(async () => {
    guest = await guestAtShell(disk.path);
  });
  afterAll(async () => {
    await guest?.[Symbol.asyncDispose]();
    disk[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  it("nobody calls ExitBootServices: timed-out, exit code 4, the guest runs on", async () => {
    const run = await ebscope("capture", "--timeout", "3", "-o", out, "--gdb", guest.address);
    expectFailure(run, 4, "timed-out", 3_000 + AT_ONCE_MS);
    expect(run.ms).toBeGreaterThan(3_000);
    expect(existsSync(out)).toBe(false);
    expect(await guest.status()).toBe("running");
  });

  it("Ctrl-C while waiting for the call: exit code 1, the guest runs on", async () => {
    const running = startEbscope("capture", "-o", out, "--gdb", guest.address);
    await running.stderrShows(/waiting for the call/);
    running.child.kill("SIGINT");
    expectFailure(await endsWithin(running, 3_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(existsSync(out)).toBe(false);
    expect(await guest.status()).toBe("running");
  });

  it("no breakpoint stayed: the call that comes now stops nowhere", async () => {
    guest.type(START_HANDOFF);
    await guest.shows(/guest: done/);
    expect(await guest.status()).toBe("running");
  });

  it("boot services are left now: already-exited within seconds, and the guest runs on", async () => {
    const run = await ebscope("capture", "-o", out, "--gdb", guest.address);
    expectFailure(run, 1, "already-exited");
    expect(existsSync(out)).toBe(false);
    expect(await guest.status()).toBe("running");
  });

  it("a snapshot shows it all the same", async () => {
    const run = await ebscope("snapshot", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(await guest.status()).toBe("running");
    expect((await ebscopeJson<object[]>("show", out, "mappings")).length).toBeGreaterThan(20);
  });
});

describe("a running Linux", () => {
  it("is told from a firmware within seconds, and boots on; a snapshot shows its mappings", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "linux.ebs");
    // Debugging output slows the kernel down, so that it is looked at while it boots.
    const append = "console=ttyAMA0 earlycon ignore_loglevel initcall_debug";
    await using guest = await new Guest({ kernel: LINUX, append }).listening();
    await guest.shows(/Linux version/);
    expectFailure(await ebscope("capture", "-o", out, "--gdb", guest.address), 1, "already-exited");
    expect(await guest.status()).toBe("running");
    const run = await ebscope("snapshot", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(await guest.status()).toBe("running");
    expect(guest.console).not.toContain("end Kernel panic");
    await guest.shows(/end Kernel panic/);
    const mappings = await ebscopeJson<{ va: string; pa: string }[]>("show", out, "mappings");
    expect(mappings.filter(({ va }) => BigInt(va) >> 48n === 0xffffn).length).toBeGreaterThan(20);
  });
});

describe("the guest is lost", () => {
  /** A capture of a guest that is about to make the call, until stderr shows the pattern. */
  async function captureUntil(guest: Guest, out: string, pattern: RegExp, watch = "120"): Promise<Running> {
    const running = startEbscope("capture", "--watch", watch, "-o", out, "--gdb", guest.address);
    await running.stderrShows(pattern);
    return running;
  }

  it.each([
    ["recorded before", /recorded before/],
    ["recorded after", /recorded after/],
  ])("QEMU is killed once it has %s: kept and partial, connection-lost", async (_, pattern) => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest({ kernel: LINUX, append: "" }, true).listening();
    const running = await captureUntil(guest, out, pattern);
    guest.child.kill("SIGKILL");
    const run = await endsWithin(running, 5_000);
    expectFailure(run, 1, "connection-lost", Number.POSITIVE_INFINITY);
    expect(run.stderr).toContain("(partial)");
    // Nobody is told of the state of a guest that is gone.
    expect(run.stderr).not.toMatch(/the guest (runs on|is paused)/);
    await expectPartial(out, "connection-lost");
  });

  it("QEMU is told to quit while it is watched: kept and partial", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest(CLEAN, true).listening();
    const running = await captureUntil(guest, out, /watching for a fault/);
    // The answer may never come.
    guest.monitor("quit").catch(() => undefined);
    const run = await endsWithin(running, 5_000);
    const { exit, code } = failure(run);
    expect(exit).toBe(1);
    expect(code).toMatch(/^(connection-lost|guest-ended)$/);
    await expectPartial(out, code);
  });

  it("the guest powers itself off while it is watched: kept and partial, guest-ended", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    // Without a root file system Linux panics, then reboots at once, and QEMU ends.
    const options = { kernel: LINUX, append: "console=ttyAMA0 panic=-1", extra: ["-no-reboot"] };
    await using guest = await new Guest(options, true).listening();
    const running = await captureUntil(guest, out, /watching for a fault/);
    const run = await endsWithin(running, 60_000);
    expectFailure(run, 1, "guest-ended", Number.POSITIVE_INFINITY);
    await expectPartial(out, "guest-ended");
  });

  it("QEMU is stopped (SIGSTOP) while it is watched: kept and partial, stub-silent", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest(CLEAN, true).listening();
    const running = await captureUntil(guest, out, /watching for a fault/, "1");
    guest.child.kill("SIGSTOP");
    // The watch, the interrupt that is not answered, and once more on the way out.
    const run = await endsWithin(running, 1_000 + 2 * SILENCE_MS + 4_000);
    expectFailure(run, 1, "stub-silent", Number.POSITIVE_INFINITY);
    expect(run.stderr).not.toMatch(/the guest (runs on|is paused)/);
    await expectPartial(out, "stub-silent");
  });

  it("and Ctrl-C twice does not wait for a QEMU that does not answer", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest(CLEAN, true).listening();
    const running = await captureUntil(guest, join(folder.path, "x.ebs"), /watching for a fault/);
    guest.child.kill("SIGSTOP");
    running.child.kill("SIGINT");
    await running.stderrShows(/again to quit at once/);
    running.child.kill("SIGINT");
    expect((await endsWithin(running, 2_000)).code).toBe(1);
  });
});
