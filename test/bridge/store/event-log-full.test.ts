import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemError } from "../../../src/base/system-error.ts";
import { openEventLog } from "../../../src/bridge/store/index.ts";
import { failure } from "../../support/failure.ts";
import { freshFolder } from "./support.ts";
import { appendAll, jsonOf, logFiles, numbers, progress, readText, readWhole } from "./support-files.ts";

const folder = freshFolder();

/** A disk that fails as it is told: `room` bytes are written, then the write fails. */
class BadDisk {
  room = Number.POSITIVE_INFINITY;
  code = "ENOSPC";
  syncs = true;
  truncates = true;

  readonly openFile = async (path: string, flags: string, mode: number): Promise<FileHandle> => {
    const file = await open(path, flags, mode);
    const write = async (bytes: Uint8Array, at: number, length: number, position: number) => {
      if (this.room <= 0) throw systemError(this.code);
      const taken = Math.min(length, this.room);
      this.room -= taken;
      return file.write(bytes, at, taken, position);
    };
    const datasync = async () => (this.syncs ? file.datasync() : Promise.reject(systemError("EIO")));
    const truncate = async (size: number) =>
      this.truncates ? file.truncate(size) : Promise.reject(systemError("EIO"));
    return { write, datasync, truncate, close: () => file.close() } as unknown as FileHandle;
  };
}

describe("a log on a full disk", () => {
  it.each(["ENOSPC", "EDQUOT", "EFBIG", "EIO"])(
    "says so by %s, can be read, and goes on when there is room",
    async (code) => {
      const disk = new BadDisk();
      const log = await openEventLog(folder(), { openFile: disk.openFile, memoryBytes: 1 });
      const before = jsonOf(await appendAll(log, numbers(5)));
      Object.assign(disk, { room: 40, code });
      const failed = log.append(progress("no room"));
      const error = await failure(failed);
      expect([error.code, error.message.startsWith("Cannot log an event: ")]).toEqual(["store-full", true]);
      expect([log.head, log.failure]).toEqual([5, error]);
      expect((await failure(log.append(progress("still none")))).code).toBe("store-full");
      expect(jsonOf((await readWhole(log)).events)).toEqual(before);
      disk.room = Number.POSITIVE_INFINITY;
      expect((await log.append(progress("room again"))).event.seq).toBe(6);
      expect(log.failure).toBeUndefined();
      await log.close();
      const again = await openEventLog(folder());
      expect([again.head, again.cut, again.damage]).toEqual([6, 0, undefined]);
      expect(jsonOf((await readWhole(again)).events).slice(0, 5)).toEqual(before);
      await again.close();
    },
  );

  it("tells listeners nothing of an event that was not stored, and no partial line stays", async () => {
    const disk = new BadDisk();
    const log = await openEventLog(folder(), { openFile: disk.openFile });
    const heard: number[] = [];
    log.listen((events) => heard.push(...events.map(({ event }) => event.seq)));
    await log.append(progress("a"));
    const { size } = await stat(join(folder(), "events-0000000000000001.log"));
    disk.room = 10;
    const results = await Promise.allSettled(numbers(8).map((text) => log.append(progress(text))));
    expect(results.map(({ status }) => status)).toEqual(Array(8).fill("rejected"));
    expect(heard).toEqual([1]);
    expect((await stat(join(folder(), "events-0000000000000001.log"))).size).toBe(size);
    await log.close();
  });

  it("makes one new file however often it fails", async () => {
    const disk = new BadDisk();
    const log = await openEventLog(folder(), { openFile: disk.openFile });
    await log.append(progress("a"));
    for (let i = 0; i < 10; i++) {
      disk.room = i;
      await failure(log.append(progress("b")));
    }
    disk.room = Number.POSITIVE_INFINITY;
    await log.append(progress("c"));
    await log.close();
    expect(await logFiles(folder())).toEqual(["events-0000000000000001.log", "events-0000000000000002.log"]);
  });

  it("announces nothing that was not synced, also where it cannot be taken back", async () => {
    const disk = new BadDisk();
    const log = await openEventLog(folder(), { openFile: disk.openFile, memoryBytes: 1 });
    await log.append(progress("a"));
    Object.assign(disk, { syncs: false, truncates: false });
    expect((await failure(log.append(progress("written, not synced")))).code).toBe("store-full");
    expect(await readText(folder(), "events-0000000000000001.log")).toContain("written, not synced");
    expect(jsonOf((await readWhole(log)).events).join()).not.toContain("written");
    Object.assign(disk, { syncs: true, truncates: true });
    const { json } = await log.append(progress("b"));
    await log.close();
    const again = await openEventLog(folder());
    expect(again.head).toBe(2);
    const { events } = await readWhole(again);
    expect(jsonOf(events).slice(1)).toEqual([json]);
    await again.close();
  });
});
