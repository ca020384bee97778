import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { phys } from "../../../src/base/address.ts";
import { FileMemory } from "../../../src/target/memory/file-memory.ts";
import { pread, readHost } from "../../../src/target/memory/host-reader.ts";
import type { TreeRange } from "../../../src/target/memory-map.ts";

const SIZE = 64 << 10;
let folder = "";
let memory: FileMemory | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "file-memory-"));
});
afterEach(() => {
  memory?.close();
  memory = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const byteAt = (position: number): number => (position * 13 + (position >> 8)) % 256;

function fileOf(size: number, name = "ram"): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    Uint8Array.from({ length: size }, (_, i) => byteAt(i)),
  );
  return path;
}

interface Backend {
  readonly path: string;
  readonly share?: unknown;
  readonly size?: unknown;
  /** Undefined: this QEMU does not know the property. */
  readonly offset?: unknown;
}

/** A monitor that has these backends, and answers as QEMU 7.2 and 10.0 do. */
function monitorOf(backends: Readonly<Record<string, Backend>>) {
  const asked: string[] = [];
  const monitor = async (command: string): Promise<string> => {
    asked.push(command);
    const [, id = "", property = ""] = /^qom-get \/objects\/(\S+) (\S+)$/.exec(command) ?? [];
    const backend = backends[id];
    if (backend === undefined) return `Error: Device '/objects/${id}' not found\r\n`;
    const values: Record<string, unknown> = { share: true, size: SIZE, ...backend, "mem-path": backend.path };
    const value = values[property];
    if (value !== undefined) return `${JSON.stringify(value)}\r\n`;
    return `Error: Property 'memory-backend-file.${property}' not found\r\n`;
  };
  return { asked, monitor };
}

const ram = (start = 0x4000_0000, size = SIZE, regionOffset = 0, name = "ram0"): TreeRange => ({
  start: phys(start),
  size: BigInt(size),
  kind: "ram",
  name,
  regionOffset: BigInt(regionOffset),
});

function locate(backends: Readonly<Record<string, Backend>>, ranges: readonly TreeRange[] = [ram()]) {
  memory = new FileMemory(monitorOf(backends).monitor);
  return memory.locate(ranges);
}

describe("a shared file", () => {
  it("has the guest's RAM", async () => {
    const path = fileOf(SIZE);
    const { windows } = await locate({ ram0: { path } });
    expect(windows).toMatchObject([{ start: 0x4000_0000n, size: BigInt(SIZE), position: 0 }]);
    expect(memory?.name).toBe(path);
    const [window] = windows;
    const read = readHost(pread, [{ fd: window?.fd ?? -1, position: 1000, length: 3 }]);
    expect(read.ok && [...(read.bytes[0] ?? [])]).toEqual([byteAt(1000), byteAt(1001), byteAt(1002)]);
  });

  it("has each range at its offset in the region, after the backend's offset in the file", async () => {
    const path = fileOf(SIZE * 2);
    const ranges = [ram(0x4000_0000, 0x4000), ram(0x8000_0000, 0xc000, 0x4000)];
    const { windows } = await locate({ ram0: { path, offset: SIZE } }, ranges);
    expect(windows.map(({ start, position }) => [start, position])).toEqual([
      [0x4000_0000n, SIZE],
      [0x8000_0000n, SIZE + 0x4000],
    ]);
  });

  it("is asked for under canonical names too, and one file may be for each of several backends", async () => {
    const [one, other] = [fileOf(SIZE, "one"), fileOf(SIZE, "other")];
    const ranges = [ram(0, SIZE, 0, "/objects/ram-a.0"), ram(SIZE, SIZE, 0, "ram_b")];
    const { windows } = await locate({ "ram-a.0": { path: one }, ram_b: { path: other } }, ranges);
    expect(windows.map(({ start }) => start)).toEqual([0n, BigInt(SIZE)]);
    expect(new Set(windows.map(({ fd }) => fd)).size).toBe(2);
    expect(memory?.name).toBe(`${one}, ${other}`);
  });

  it("does not have ROM, nor RAM of another kind: that is left out", async () => {
    const path = fileOf(SIZE);
    const ranges: TreeRange[] = [{ ...ram(0), kind: "rom", name: "ram0" }, ram(), ram(0x9000_0000, SIZE, 0, "sram")];
    expect((await locate({ ram0: { path } }, ranges)).windows.map(({ start }) => start)).toEqual([0x4000_0000n]);
  });

  it("stays the file that was opened, when another takes its name", async () => {
    const path = fileOf(SIZE);
    const [before] = (await locate({ ram0: { path } })).windows;
    unlinkSync(path);
    writeFileSync(path, new Uint8Array(SIZE));
    const [after] = (await memory?.locate([ram()]))?.windows ?? [];
    expect(after).toEqual(before);
    const read = readHost(pread, [{ fd: after?.fd ?? -1, position: 5, length: 1 }]);
    expect(read.ok && read.bytes[0]?.[0]).toBe(byteAt(5));
  });

  it("may be behind a link", async () => {
    symlinkSync(fileOf(SIZE), join(folder, "link"));
    expect((await locate({ ram0: { path: join(folder, "link") } })).windows).toHaveLength(1);
  });
});

describe("what is no such file is refused, with the reason", () => {
  const refused = async (backend: Partial<Backend>, range = ram()): Promise<string> => {
    const { windows, why } = await locate({ ram0: { path: fileOf(SIZE), ...backend } }, [range]);
    expect(windows).toEqual([]);
    return why;
  };

  it.each([false, null, "on", 1])("share=%j: the guest writes to a private copy", async (share) => {
    expect(await refused({ share })).toBe("ram0 is not shared with its file (share=on)");
  });

  it("a backend that is not one", async () => {
    expect((await locate({})).why).toBe("ram0 is no memory-backend-file");
  });

  it("no RAM at all", async () => {
    expect(await locate({}, [])).toEqual({ windows: [], why: "the guest has no RAM" });
  });

  it("a file that is not there, or that this user may not open", async () => {
    expect(await refused({ path: join(folder, "nothing") })).toBe(
      `${join(folder, "nothing")} cannot be opened (ENOENT)`,
    );
    expect(await refused({ path: join(fileOf(1, "plain"), "x") })).toMatch(/cannot be opened \(ENOTDIR\)$/);
  });

  it("a folder, in which QEMU makes a file without a name", async () => {
    mkdirSync(join(folder, "huge"));
    expect(await refused({ path: join(folder, "huge") })).toMatch(/is a folder: .* without a name$/);
  });

  it("a FIFO, which nobody opens", async () => {
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    // Goes on as soon as anyone opens the other end.
    const writer = spawn("sh", ["-c", 'echo > "$0"', path], { stdio: "ignore" });
    const ended = once(writer, "exit");
    expect(await refused({ path })).toMatch(/is not a regular file$/);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(writer.exitCode).toBeNull();
    writer.kill("SIGKILL");
    await ended;
  });

  it.each(["/dev/zero", "/dev/mem", "/dev/tty"])("the device %s", async (path) => {
    expect(await refused({ path })).toMatch(/is not a regular file$|cannot be opened/);
  });

  it("a file without a size, such as those of /proc", async () => {
    expect(await refused({ path: "/proc/self/maps" })).toBe("the file behind ram0 is too short");
  });

  it("a file that is too short, by a byte", async () => {
    expect(await refused({ path: fileOf(SIZE - 1, "short") })).toBe("the file behind ram0 is too short");
    expect(await refused({ offset: 1 })).toBe("the file behind ram0 is too short");
  });

  it("a backend that is smaller than what the guest has of it", async () => {
    const why = "ram0 is smaller than what the guest has of it";
    expect(await refused({ path: fileOf(SIZE * 2, "long"), size: SIZE }, ram(0, SIZE, 1))).toBe(why);
    expect(await refused({ size: SIZE }, ram(0, SIZE, 2 ** 53))).toBe(why);
  });

  it.each([{ size: -1 }, { size: 1.5 }, { size: "65536" }, { size: 1e300 }, { offset: -4096 }, { offset: "0" }])(
    "numbers that are none: %j",
    async (numbers) => {
      expect(await refused(numbers)).toBe("the size and offset of ram0 cannot be used");
    },
  );

  it.each([
    ["empty", ""],
    ["with a zero byte", "/tmp/a\0b"],
    ["endless", `/${"a".repeat(5000)}`],
  ])("a path that is %s", async (_, path) => {
    expect(await refused({ path })).toBe("ram0 is no memory-backend-file");
  });

  it.each(["ram0 mem-path /objects/x", "../ram0", "", "ram0\nquit", "0ram"])(
    "a region called %j, which nobody asks the monitor for",
    async (name) => {
      const { asked, monitor } = monitorOf({ ram0: { path: fileOf(SIZE) } });
      memory = new FileMemory(monitor);
      expect((await memory.locate([ram(0, SIZE, 0, name)])).windows).toEqual([]);
      expect(asked).toEqual([]);
    },
  );
});
