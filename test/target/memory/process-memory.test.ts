import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { phys } from "../../../src/base/address.ts";
import { pread, readHost } from "../../../src/target/memory/host-reader.ts";
import { openRefusal, ProcessMemory, parseHostAddress } from "../../../src/target/memory/process-memory.ts";
import type { TreeRange } from "../../../src/target/memory-map.ts";

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

async function sleeper(): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  cleanup.push(() => child.kill("SIGKILL"));
  await once(child, "spawn");
  return child as ChildProcess & { readonly pid: number };
}

const range = (start: number, size: number, name = "ram"): TreeRange => ({
  start: phys(start),
  size: BigInt(size),
  kind: "ram",
  name,
  regionOffset: 0n,
});

/** A monitor that has guest memory at `base` of the process, and says so as QEMU does. */
function monitorAt(base: number, also: Readonly<Record<string, string>> = {}) {
  const asked: string[] = [];
  const monitor = async (command: string): Promise<string> => {
    asked.push(command);
    const [, address = ""] = /^gpa2hva (0x[0-9a-f]+)$/.exec(command) ?? [];
    const host = base + Number(address);
    return also[command] ?? `Host virtual address for ${address} (mach-virt.ram) is 0x${host.toString(16)}\r\n`;
  };
  return { asked, monitor };
}

describe("an answer of gpa2hva", () => {
  it.each([
    // As QEMU 7.2.22 and 10.0.2 give them.
    ["Host virtual address for 0x40000000 (ram0) is 0x7ff1abfff000\r\n", 0x7ff1abfff000],
    ["Host virtual address for 0x0 (virt.flash0) is 0x7ff1a7c00000\n", 0x7ff1a7c00000],
    ["Memory at address 0x9000000 is not RAM\r\n", undefined],
    ["No memory is mapped at address 0x90000000\r\n", undefined],
    // As no QEMU gives them.
    ["Host virtual address for 0x0 (ram) is (nil)", undefined],
    ["Host virtual address for 0x0 (ram) is 0x0", undefined],
    ["Host virtual address for 0x0 (ram) is 0xffffffffffffffff", undefined],
    ["Host virtual address for 0x0 (ram) is 0x20000000000000", undefined],
    ["Host virtual address for 0x0 (ram) is 0x1 or 0x2", undefined],
    ["unknown command: 'gpa2hva'", undefined],
    ["", undefined],
  ])("%j is read", (text, address) => {
    expect(parseHostAddress(text)).toBe(address);
  });
});

describe("the memory of a process", () => {
  it("is told where each range lies by its first and last byte", async () => {
    const { pid } = await sleeper();
    const { asked, monitor } = monitorAt(0x7f00_0000_0000);
    const memory = new ProcessMemory(pid, monitor);
    cleanup.push(() => memory.close());
    const { windows } = await memory.locate([range(0, 0x10000, "flash"), range(0x4000_0000, 0x20000)]);
    expect(asked).toEqual(["gpa2hva 0x0", "gpa2hva 0xffff", "gpa2hva 0x40000000", "gpa2hva 0x4001ffff"]);
    expect(windows.map(({ start, size, position }) => ({ start, size, position }))).toEqual([
      { start: 0n, size: 0x10000n, position: 0x7f00_0000_0000 },
      { start: 0x4000_0000n, size: 0x20000n, position: 0x7f00_4000_0000 },
    ]);
    expect(memory.name).toBe(`process ${pid}`);
  });

  it.each([
    ["does not lie in one piece", "Host virtual address for 0x1ffff (ram) is 0x7f0000020000"],
    ["ends before it begins", "Host virtual address for 0x1ffff (ram) is 0x7effffffffff"],
    ["is no RAM at its end", "Memory at address 0x1ffff is not RAM"],
    ["ends beyond what a process has", "Host virtual address for 0x1ffff (ram) is 0x2000000000000000"],
  ])("leaves out a range that %s", async (_, end) => {
    const { pid } = await sleeper();
    const memory = new ProcessMemory(pid, monitorAt(0x7f00_0000_0000, { "gpa2hva 0x1ffff": end }).monitor);
    cleanup.push(() => memory.close());
    const located = await memory.locate([range(0x10000, 0x10000), range(0x50000, 0x1000)]);
    expect(located.windows.map(({ start }) => start)).toEqual([0x50000n]);
  });

  it("says why it has nothing when the stub does not know gpa2hva", async () => {
    const { pid } = await sleeper();
    const memory = new ProcessMemory(pid, async () => undefined);
    cleanup.push(() => memory.close());
    expect(await memory.locate([range(0, 4096)])).toEqual({
      windows: [],
      why: "the stub does not tell where guest memory lies in it (gpa2hva)",
    });
  });

  it("is read where the process has it, until the process has ended", async () => {
    const child = await sleeper();
    const base = Number.parseInt(/^[0-9a-f]+/.exec(readFileSync(`/proc/${child.pid}/maps`, "latin1"))?.[0] ?? "", 16);
    const memory = new ProcessMemory(child.pid, monitorAt(base).monitor);
    cleanup.push(() => memory.close());
    const [window] = (await memory.locate([range(0, 4096)])).windows;
    const span = { fd: window?.fd ?? -1, position: window?.position ?? -1, length: 64 };
    const alive = readHost(pread, [span]);
    expect(alive.ok && Buffer.from(alive.bytes[0] as Uint8Array).subarray(0, 4)).toEqual(
      Buffer.from("\x7fELF", "latin1"),
    );
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    expect(readHost(pread, [span])).toEqual({ ok: false, why: "there is nothing to read any more" });
  });

  it("cannot be read where the process has nothing", async () => {
    const { pid } = await sleeper();
    const memory = new ProcessMemory(pid, monitorAt(0x1000).monitor);
    cleanup.push(() => memory.close());
    const [window] = (await memory.locate([range(0, 4096)])).windows;
    const span = { fd: window?.fd ?? -1, position: window?.position ?? -1, length: 64 };
    expect(readHost(pread, [span])).toEqual({ ok: false, why: "reading it failed (EIO)" });
  });
});

describe("why a process's memory cannot be opened", () => {
  it("is told apart: the user may not, or the process is gone", () => {
    let gone: unknown;
    try {
      new ProcessMemory(2 ** 22 + 1, async () => undefined);
    } catch (error) {
      gone = error;
    }
    expect(openRefusal(7, gone)).toEqual({ why: "the memory of process 7 cannot be opened (ENOENT)", denied: false });
    for (const code of ["EACCES", "EPERM"]) {
      const { why, denied } = openRefusal(7, Object.assign(new Error(code), { code }));
      expect([why, denied]).toEqual([`the system does not let this user read the memory of process 7 (${code})`, true]);
    }
  });
});
