import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeFolder } from "../../../src/bridge/store/files.ts";
import { openEventLog } from "../../../src/bridge/store/index.ts";
import { failure } from "../../support/failure.ts";
import { freshFolder } from "./support.ts";

const folder = freshFolder();

describe("a folder that is made", () => {
  it("is made with those above it, for the user alone, once", async () => {
    const path = join(folder(), "a", "b", "c");
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(folder(), "a", "b", "d"))]);
    await makeFolder(path);
    expect(await readdir(join(folder(), "a", "b"))).toEqual(["c", "d"]);
    for (const name of ["a", "a/b", "a/b/c"]) expect((await stat(join(folder(), name))).mode & 0o777).toBe(0o700);
  });

  it("is taken as it is when it is there", async () => {
    await mkdir(join(folder(), "a"), { mode: 0o755 });
    await makeFolder(join(folder(), "a"));
    expect((await stat(join(folder(), "a"))).mode & 0o777).toBe(0o755);
  });

  it("cannot be made below a file", async () => {
    await writeFile(join(folder(), "file"), "");
    expect(await failure(openEventLog(join(folder(), "file", "events")))).toMatchObject({
      code: "file-unwritable",
      message: `Cannot open the log in ${folder()}/file/events: a part of the path is no folder`,
    });
  });

  it.runIf(process.platform === "linux")(
    "cannot be made where the system makes none, and says so at once",
    async () => {
      expect(await failure(openEventLog("/proc/none/events"))).toMatchObject({
        code: "file-unwritable",
        message: "Cannot open the log in /proc/none/events: no such file or folder",
      });
    },
  );
});
