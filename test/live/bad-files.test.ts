/**
 * Everything that can be wrong with the files that ebscope writes and reads: each failure is told with its code and a next step, ends with the right exit code within its
 * deadline, and leaves the guest as it was found.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLEAN, expectFailure } from "../support/bad-input.ts";
import { ebscope, machine, temporaryFolder } from "../support/live.ts";

describe("a capture that cannot be written", () => {
  it.each([
    ["in a folder that does not exist", "/nowhere/x.ebs", "no such file or folder"],
    ["where nobody can write", "/proc/x.ebs", "no such file or folder"],
    ["below a file", "/etc/passwd/x.ebs", "a part of the path is no folder"],
    ["in the place of a folder", "/tmp", "it is a folder"],
  ])("%s: file-unwritable, before QEMU is started", async (_, out, why) => {
    using folder = temporaryFolder();
    const pidFile = join(folder.path, "pid");
    const run = await ebscope("capture", "-o", out, "--", ...machine(CLEAN), "-pidfile", pidFile);
    expectFailure(run, 1, "file-unwritable");
    expect(run.stderr).toContain(why);
    expect(run.stderr).not.toContain("waiting");
    expectFailure(await ebscope("snapshot", "-o", out, "--gdb", "unix:/nowhere"), 1, "file-unwritable");
  });

  it("in the place of a pipe, as which a device would be replaced", async () => {
    using folder = temporaryFolder();
    const pipe = join(folder.path, "pipe");
    execFileSync("mkfifo", [pipe]);
    const run = await ebscope("capture", "-o", pipe, "--gdb", "unix:/nowhere");
    expectFailure(run, 1, "file-unwritable");
    expect(run.stderr).toContain("it is no regular file");
    expect(readdirSync(folder.path)).toEqual(["pipe"]);
  });

  it("because nothing was captured: what stands under that name stays, and nothing else is left", async () => {
    using folder = temporaryFolder();
    const out = join(folder.path, "x.ebs");
    writeFileSync(out, "mine");
    expectFailure(await ebscope("capture", "-o", out, "--gdb", "unix:/nowhere"), 1, "connect-failed");
    expect(readFileSync(out, "latin1")).toBe("mine");
    expect(readdirSync(folder.path)).toEqual(["x.ebs"]);
  });
});

describe("a file to read", () => {
  const folder = temporaryFolder();
  const good = join(folder.path, "good.ebs");
  const bad = join(folder.path, "bad.ebs");
  let bytes: Buffer;
  beforeAll(async () => {
    const run = await ebscope("capture", "-q", "--watch", "0", "-o", good, "--", ...machine(CLEAN));
    expect(run.code, run.stderr).toBe(0);
    bytes = readFileSync(good);
  });
  afterAll(() => folder[Symbol.dispose]());

  /** All verbs that read a capture. */
  const READERS: readonly (readonly [string, readonly string[]])[] = [
    ["diff", []],
    ["show", ["mappings"]],
    ["explain", ["0x40000000"]],
  ];

  async function expectUnreadable(file: string, code: string): Promise<void> {
    for (const run of await Promise.all(READERS.map(([verb, rest]) => ebscope(verb, file, ...rest)))) {
      expectFailure(run, 1, code);
      expect(run.stdout).toBe("");
    }
  }

  async function expectBad(contents: Buffer, code: string): Promise<void> {
    writeFileSync(bad, contents);
    await expectUnreadable(bad, code);
  }

  function changed(at: number, change: (byte: number) => number): Buffer {
    const copy = Buffer.from(bytes);
    copy.writeUInt8(change(copy.readUInt8(at)) & 0xff, at);
    return copy;
  }

  it("is whole to begin with", async () => {
    for (const [verb, rest] of READERS) {
      const run = await ebscope(verb, good, ...rest);
      expect(run.code, run.stderr).toBe(0);
    }
  });

  it("is missing, or a folder", async () => {
    await expectUnreadable(join(folder.path, "missing.ebs"), "file-unreadable");
    await expectUnreadable(folder.path, "file-unreadable");
  });

  it("is garbage, text or nothing", async () => {
    await expectBad(randomBytes(5_000), "not-a-capture");
    await expectBad(Buffer.from("EFI handoff\n".repeat(100)), "not-a-capture");
    await expectBad(Buffer.alloc(0), "not-a-capture");
  });

  it("is a capture that was mangled as text", async () => {
    await expectBad(Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1"), "not-a-capture");
  });

  it("ends too early, wherever", async () => {
    for (const length of [1, 8, 15, 16, 27, 200, bytes.length >> 1, bytes.length - 12, bytes.length - 1]) {
      await expectBad(bytes.subarray(0, length), "capture-truncated");
    }
  });

  it("has one wrong bit, wherever", async () => {
    // The description, its checksum, the pages, and the checksum of the end.
    for (const at of [24, 28, 300, bytes.length >> 1, bytes.length - 40, bytes.length - 1]) {
      await expectBad(
        changed(at, (byte) => byte ^ (1 << (at % 8))),
        "capture-corrupt",
      );
    }
    await expectBad(
      changed(0, (byte) => byte ^ 1),
      "not-a-capture",
    );
  });

  it("is of a newer format", async () => {
    const next = bytes.readUInt32LE(8) + 1;
    await expectBad(
      changed(8, () => next),
      "capture-newer",
    );
    await expectBad(
      changed(11, () => 0xff),
      "capture-newer",
    );
  });

  it("has no such point", async () => {
    const unknown = [
      ["diff", good, "--from", "yesterday"],
      ["diff", good, "--to", "tomorrow"],
      ["show", good, "registers", "--at", "never"],
      ["show", good, "fault"],
    ];
    for (const args of unknown) expectFailure(await ebscope(...args), 1, "no-such-point");
    expect((await ebscope("show", good, "registers", "--at", "never")).stderr).toContain("before");
  });

  it("has no such regime or vCPU", async () => {
    const wrong = [
      ["show", good, "mappings", "--regime", "EL9"],
      ["show", good, "mappings", "--cpu", "7"],
      ["show", good, "registers", "--cpu", "1"],
      ["show", good, "registers", "--cpu", "x"],
      ["explain", good, "0x40000000", "--regime", "EL9"],
      ["explain", good, "0x40000000", "--cpu", "1"],
      ["explain", good, "0x1ffffffffffffffff"],
      ["explain", good, "here"],
    ];
    for (const args of wrong) expectFailure(await ebscope(...args), 2, "usage");
  });
});
