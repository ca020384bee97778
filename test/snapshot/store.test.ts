import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkWritable, readCapture, writeCapture } from "../../src/snapshot/store.ts";
import { captureText, sampleCapture } from "../support/captures.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-store-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("a capture on disk", () => {
  it("is read as it was written, and nothing else is left beside it", async () => {
    const path = join(folder, "a.ebs");
    await writeCapture(path, sampleCapture());
    expect(captureText(await readCapture(path))).toBe(captureText(sampleCapture()));
    expect(await readdir(folder)).toEqual(["a.ebs"]);
  });

  it("replaces the one that was there", async () => {
    const path = join(folder, "a.ebs");
    await writeCapture(path, sampleCapture());
    await writeCapture(path, { ...sampleCapture(), notes: ["second"] });
    expect((await readCapture(path)).notes).toEqual(["second"]);
  });

  it("is whole at every moment while it is being replaced", async () => {
    const path = join(folder, "a.ebs");
    await writeCapture(path, sampleCapture());
    let writing = true;
    const writes = (async () => {
      for (let i = 0; i < 25; i++) await writeCapture(path, { ...sampleCapture(), notes: [`${i}`] });
    })().finally(() => {
      writing = false;
    });
    let reads = 0;
    while (writing) {
      await readCapture(path);
      reads++;
    }
    await writes;
    expect(reads).toBeGreaterThan(0);
    expect((await readCapture(path)).notes).toEqual(["24"]);
  });
});

describe("a file that cannot be read", () => {
  it("says that there is none", async () => {
    const path = join(folder, "none.ebs");
    await expect(readCapture(path)).rejects.toMatchObject({
      code: "file-unreadable",
      message: `Cannot read ${path}: no such file or folder`,
      cause: { code: "ENOENT" },
    });
  });

  it("says that it is a folder, or lies below a file", async () => {
    await writeFile(join(folder, "file"), "");
    const message = (end: string) => ({ code: "file-unreadable", message: expect.stringMatching(end) });
    await expect(readCapture(folder)).rejects.toMatchObject(message("it is a folder$"));
    await expect(readCapture(join(folder, "file", "a.ebs"))).rejects.toMatchObject(message("is no folder$"));
  });

  it("says that permission is denied", async () => {
    const path = join(folder, "a.ebs");
    await writeFile(path, "");
    await chmod(path, 0o000);
    // Root may read everything: it steps back for this one test.
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.("nobody");
    try {
      await expect(readCapture(path)).rejects.toMatchObject({ code: "file-unreadable", cause: { code: "EACCES" } });
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  it("is not read at all when it is larger than any capture", async () => {
    const path = join(folder, "large.ebs");
    const file = await open(path, "w");
    await file.truncate(2 ** 30 + 1);
    await file.close();
    await expect(readCapture(path)).rejects.toMatchObject({ code: "not-a-capture" });
  });

  it("is not read when it is a device or a pipe, which may never end", async () => {
    const pipe = join(folder, "read-pipe");
    execFileSync("mkfifo", [pipe]);
    for (const path of [pipe, "/dev/zero"]) {
      await expect(readCapture(path)).rejects.toMatchObject({
        code: "not-a-capture",
        message: expect.stringContaining("no regular file"),
      });
    }
  });

  it("is no capture when it is empty or something else", async () => {
    const path = join(folder, "a.ebs");
    for (const contents of ["", "hello, world, this is long"]) {
      await writeFile(path, contents);
      await expect(readCapture(path)).rejects.toMatchObject({ code: "not-a-capture" });
    }
  });
});

describe("a file that cannot be written", () => {
  it("says that its folder is not there", async () => {
    const path = join(folder, "none", "a.ebs");
    await expect(writeCapture(path, sampleCapture())).rejects.toMatchObject({
      code: "file-unwritable",
      message: `Cannot write ${path}: no such file or folder`,
      cause: { code: "ENOENT" },
    });
  });

  it("leaves nothing behind when a folder stands in its place", async () => {
    const path = join(folder, "a.ebs");
    await mkdir(join(path, "inside"), { recursive: true });
    await expect(writeCapture(path, sampleCapture())).rejects.toMatchObject({ code: "file-unwritable" });
    expect(await readdir(folder)).toEqual(["a.ebs"]);
    expect(await readdir(path)).toEqual(["inside"]);
  });

  it("leaves the old capture as it was when the new one cannot be put into bytes", async () => {
    const path = join(folder, "a.ebs");
    await writeCapture(path, sampleCapture());
    const old = await readFile(path);
    const broken = { ...sampleCapture(), notes: null as never };
    await expect(writeCapture(path, broken)).rejects.toThrow(TypeError);
    expect(await readFile(path)).toEqual(old);
    expect(await readdir(folder)).toEqual(["a.ebs"]);
  });
});

describe("asking whether a capture can be written", () => {
  it("leaves everything as it was when it can", async () => {
    const path = join(folder, "a.ebs");
    await checkWritable(path);
    expect(await readdir(folder)).toEqual([]);
    await writeFile(path, "old");
    await checkWritable(path);
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["a.ebs"]);
  });

  it("fails as writing would", async () => {
    await mkdir(join(folder, "a.ebs"));
    await expect(checkWritable(join(folder, "a.ebs"))).rejects.toMatchObject({ code: "file-unwritable" });
    await expect(checkWritable(join(folder, "none", "a.ebs"))).rejects.toMatchObject({ code: "file-unwritable" });
  });

  it("refuses what is no regular file, as writing does: a rename would put a file in its place", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const refused = { code: "file-unwritable", message: `Cannot write ${pipe}: it is no regular file` };
    await expect(checkWritable(pipe)).rejects.toMatchObject(refused);
    await expect(writeCapture(pipe, sampleCapture())).rejects.toMatchObject(refused);
    expect((await stat(pipe)).isFIFO()).toBe(true);
    expect(await readdir(folder)).toEqual(["pipe"]);
  });
});
