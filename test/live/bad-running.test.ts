/**
 * What goes wrong with a guest that boots while ebscope attaches to it: each failure is told with its code and a next step, ends with the right exit
 * code within its deadline, and leaves the guest as it was found.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { AT_ONCE_MS, CLEAN, endsWithin, expectFailure, expectPartial } from "../support/bad-input.ts";
import { ebscope, Guest, machine, processRuns, startEbscope, temporaryFolder } from "../support/live.ts";

describe("a machine that was reset", () => {
  it("is not taken for one that has left boot services, though RAM still looks so", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "again.ebs");
    await using guest = await new Guest(CLEAN).listening();
    await guest.shows(/guest: done/);
    await guest.monitor("stop");
    await guest.monitor("system_reset");
    const run = await ebscope("capture", "--watch", "0", "-o", out, "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain("the machine was reset");
  });
});

describe("Ctrl-C while a fault is watched for", () => {
  it.each([
    ["running", false, "running"],
    ["paused", true, "paused"],
  ])("the guest is left %s, as it was found; the capture is kept and partial", async (_, paused, status) => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    await using guest = await new Guest(CLEAN, paused).listening();
    const running = startEbscope("capture", "--watch", "120", "-o", out, "--gdb", guest.address);
    await running.stderrShows(/watching for a fault/);
    running.child.kill("SIGINT");
    expectFailure(await endsWithin(running, 5_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(await guest.status()).toBe(status);
    await expectPartial(out, "interrupted");
  });

  it.each(["SIGINT", "SIGTERM"] as const)("%s: a launched QEMU is gone, with its socket", async (signal) => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    const pidFile = join(folder.path, "pid");
    const command = [...machine(CLEAN), "-pidfile", pidFile];
    const running = startEbscope("capture", "--watch", "120", "-o", out, "--", ...command);
    await running.stderrShows(/watching for a fault/);
    const pid = Number(readFileSync(pidFile, "latin1"));
    const socket = /unix:([^,\0]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, "latin1"))?.[1] ?? "";
    expect(existsSync(socket)).toBe(true);
    running.child.kill(signal);
    expectFailure(await endsWithin(running, 5_000), 1, "interrupted", Number.POSITIVE_INFINITY);
    expect(processRuns(pid)).toBe(false);
    expect(existsSync(dirname(socket))).toBe(false);
    await expectPartial(out, "interrupted");
  });
});

describe("a capture that cannot be written", () => {
  it("any more, because the folder went away meanwhile: file-unwritable, and the guest is let go", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest(CLEAN).listening();
    const running = startEbscope("capture", "--watch", "2", "-o", join(folder.path, "x.ebs"), "--gdb", guest.address);
    await running.stderrShows(/watching for a fault/);
    rmSync(folder.path, { recursive: true });
    expectFailure(await endsWithin(running, 2_000 + AT_ONCE_MS), 1, "file-unwritable", Number.POSITIVE_INFINITY);
    expect(await guest.status()).toBe("running");
  });
});
