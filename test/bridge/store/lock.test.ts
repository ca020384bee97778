import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openEventLog } from "../../../src/bridge/store/index.ts";
import { lockFolder } from "../../../src/bridge/store/lock.ts";
import { failure } from "../../support/failure.ts";
import { freshFolder } from "./support.ts";

const folder = freshFolder();
const NO_WAIT = 0;

describe("a lock on a folder", () => {
  it("is one's alone until it is released, and leaves nothing", async () => {
    const lock = await lockFolder(folder(), "a", NO_WAIT);
    const error = await failure(lockFolder(folder(), "a", 30));
    expect([error.code, error.message]).toEqual([
      "store-locked",
      `Cannot use ${folder()}: process ${process.pid} does`,
    ]);
    await (await lockFolder(folder(), "b", NO_WAIT)).release();
    await lock.release();
    await (await lockFolder(folder(), "a", NO_WAIT)).release();
    expect(await readdir(folder())).toEqual([]);
  });

  it("is waited for", async () => {
    const lock = await lockFolder(folder(), "a", NO_WAIT);
    const second = lockFolder(folder(), "a", 60_000);
    await lock.release();
    await (await second).release();
  });

  it("is held by one at a time of many who want it", async () => {
    let holders = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        const lock = await lockFolder(folder(), "a", 60_000);
        most = Math.max(most, ++holders);
        await new Promise(setImmediate);
        holders--;
        await lock.release();
      }),
    );
    expect([most, holders]).toEqual([1, 0]);
  });

  it("is taken over from a process that was killed, and not from one that lives", async () => {
    const child = spawn("sleep", ["1000"]);
    const start = startTime(await readFile(`/proc/${child.pid}/stat`, "latin1"));
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).slice(0, 8);
    await writeFile(join(folder(), `a.lock-${child.pid}-${start}-${boot}-00000000`), "");
    expect((await failure(lockFolder(folder(), "a", NO_WAIT))).message).toContain(`process ${child.pid} does`);
    child.kill("SIGKILL");
    await once(child, "exit");
    await (await lockFolder(folder(), "a", NO_WAIT)).release();
    expect(await readdir(folder())).toEqual([]);
  });

  it.each([
    ["another process with the same id", "1", undefined],
    ["the same id and start in another boot", undefined, "12345678"],
  ])("is taken over from %s", async (_, otherStart, otherBoot) => {
    const start = otherStart ?? startTime(await readFile(`/proc/${process.pid}/stat`, "latin1"));
    const boot = otherBoot ?? (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).slice(0, 8);
    await writeFile(join(folder(), `a.lock-${process.pid}-${start}-${boot}-00000000`), "");
    await (await lockFolder(folder(), "a", NO_WAIT)).release();
  });

  it("is not a file that only looks like one", async () => {
    for (const name of ["a.lock", "a.lock-0-0-00000000-00000000", "a.lock-99999999-0-00000000-00000000", "a.lock-1"]) {
      await writeFile(join(folder(), name), "");
    }
    await (await lockFolder(folder(), "a", NO_WAIT)).release();
    expect((await readdir(folder())).length).toBe(4);
  });

  it("keeps a second bridge from the log, until the first has closed it", async () => {
    const log = await openEventLog(folder());
    expect((await failure(openEventLog(folder()))).code).toBe("store-locked");
    await log.close();
    await (await openEventLog(folder())).close();
  });
});

/** Field 22 of /proc/PID/stat, for a process whose name has no spaces. */
function startTime(stat: string): string {
  return stat.split(" ")[21] ?? "";
}
