/**
 * Guest memory by every way that there is: through the stub, out of the QEMU process, out of a shared file. QEMU's own `pmemsave` and the
 * firmware's image are the second witnesses.
 */
import { chmodSync, closeSync, copyFileSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PAGE_SIZE, phys } from "../../src/base/address.ts";
import type { PhysSpan } from "../../src/base/memory.ts";
import { parseStubAddress } from "../../src/rsp/transport.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import type { MemoryKind } from "../../src/target/memory/channel.ts";
import { type AttachOptions, attachQemu } from "../../src/target/qemu.ts";
import type { Target } from "../../src/target/target.ts";
import {
  AAVMF_2022,
  ebscope,
  type Finished,
  failure,
  Guest,
  HANDOFF,
  type MachineOptions,
  machine,
  need,
  QEMU_7,
  QEMU_10,
  ROOT,
  sleep,
  start,
  temporaryFolder,
} from "../support/live.ts";
import { Random } from "../support/random.ts";

const MIB = 1 << 20;
const RAM = 0x4000_0000;

/** A machine with its RAM in a file. */
function ramInFile(path: string, megabytes: number, share: "on" | "off" = "on"): MachineOptions {
  return {
    machine: "virt,highmem=on,memory-backend=ram0",
    memory: megabytes,
    extra: ["-object", `memory-backend-file,id=ram0,size=${megabytes}M,mem-path=${path},share=${share}`],
  };
}

/** Reads guest memory at an address, so many bytes. */
type Look = (at: number, length: number) => Buffer;

/** A piece of guest memory as QEMU itself writes it down. */
async function witness(guest: Guest, folder: string, from: number, length: number): Promise<Look & Disposable> {
  const path = join(folder, `memory-at-${from.toString(16)}`);
  await guest.monitor(`pmemsave 0x${from.toString(16)} 0x${length.toString(16)} "${path}"`);
  const file = openSync(path, "r");
  rmSync(path);
  const look: Look = (at, count) => {
    const bytes = Buffer.alloc(count);
    if (readSync(file, bytes, 0, count, at - from) !== count) throw new Error(`the witness ends before ${at + count}`);
    return bytes;
  };
  return Object.assign(look, { [Symbol.dispose]: () => closeSync(file) });
}

function randomPages(seed: number, from: number, length: number, count: number): PhysSpan[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => {
    return { address: phys(from + random.below(Math.floor(length / PAGE_SIZE)) * PAGE_SIZE), length: PAGE_SIZE };
  });
}

/** The addresses that were read as something else than the witness says; `telling` counts the pieces that were not blank. */
async function differences(
  target: Target,
  spans: readonly PhysSpan[],
  look: Look,
): Promise<{ readonly wrong: string[]; readonly telling: number }> {
  const reads = await target.memory.read(spans);
  const wrong: string[] = [];
  let telling = 0;
  spans.forEach(({ address, length }, i) => {
    const read = reads[i];
    const truth = look(Number(address), length);
    if (truth.some((byte) => byte !== truth[0])) telling++;
    if (read?.state !== "present" || !truth.equals(read.bytes)) wrong.push(`0x${address.toString(16)}`);
  });
  return { wrong, telling };
}

/** Attaches, works and leaves the guest paused. */
async function attached<T>(address: string, options: AttachOptions, work: (target: Target) => Promise<T>): Promise<T> {
  const target = await attachQemu(parseStubAddress(address), options);
  try {
    return await work(target);
  } finally {
    await target.release(false);
  }
}

/** Moves the guest's stub to a tcp port of this host. */
async function overTcp(guest: Guest): Promise<string> {
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = server.address() as { port: number };
      server.close(() => resolve(free));
    });
  });
  await guest.monitor("gdbserver none");
  expect(await guest.monitor(`gdbserver tcp:127.0.0.1:${port}`)).toMatch(/^Waiting for gdb connection/);
  return `127.0.0.1:${port}`;
}

const EVERY_WAY: readonly MemoryKind[] = ["rsp", "process", "file"];

describe.each([
  { version: "7.2", qemu: QEMU_7 },
  { version: "10.0", qemu: QEMU_10 },
])("a paused guest of QEMU $version with its RAM in a shared file", ({ qemu }) => {
  const SIZE = 256 * MIB;
  let folder: ReturnType<typeof temporaryFolder>;
  let guest: Guest;
  let look: Look & Disposable;

  beforeAll(async () => {
    folder = temporaryFolder();
    guest = await new Guest({ qemu, ...ramInFile(join(folder.path, "ram"), SIZE / MIB) }).listening();
    await guest.shows(/Shell>/);
    await guest.monitor("stop");
    look = await witness(guest, folder.path, RAM, SIZE);
  });
  afterAll(async () => {
    look?.[Symbol.dispose]();
    await guest?.[Symbol.asyncDispose]();
    folder?.[Symbol.dispose]();
  });

  // Half of the pages from the top of RAM, where the firmware lies.
  const spans: readonly PhysSpan[] = [
    ...randomPages(1, RAM, SIZE, 1024),
    ...randomPages(2, RAM + SIZE - 64 * MIB, 64 * MIB, 1024),
    { address: phys(RAM), length: 2 * MIB },
    { address: phys(RAM + SIZE - 3), length: 3 },
  ];

  const readsAlike = async (address: string, memory: MemoryKind): Promise<void> => {
    await attached(address, { memory }, async (target) => {
      expect(target.memoryChannel).toMatchObject({ kind: memory, proven: true, note: undefined });
      const { wrong, telling } = await differences(target, spans, look);
      expect(wrong).toEqual([]);
      expect(telling).toBeGreaterThan(200);
      expect(target.memoryChannel).toMatchObject({ kind: memory, note: undefined });
    });
  };

  it.each(EVERY_WAY)("reads as QEMU itself does, by %s", async (memory) => {
    await readsAlike(guest.address, memory);
  });

  it.each(EVERY_WAY)("reads flash as the firmware's image has it, by %s", async (memory) => {
    const image = readFileSync(AAVMF_2022);
    await attached(guest.address, { memory }, async (target) => {
      const flash = randomPages(3, 0, image.length, 200);
      const { wrong, telling } = await differences(target, flash, (at, count) => image.subarray(at, at + count));
      expect(wrong).toEqual([]);
      expect(telling).toBeGreaterThan(100);
    });
  });

  it("has the same pages in a capture by every way", async () => {
    const captured: ReadonlyMap<bigint, { readonly state: string; readonly bytes?: Uint8Array }>[] = [];
    for (const memory of EVERY_WAY) {
      const file = join(folder.path, `${memory}.ebs`);
      const { code, stderr } = await ebscope(
        "snapshot",
        "--pause",
        "--memory",
        memory,
        "--gdb",
        guest.address,
        "-o",
        file,
      );
      expect(code, stderr).toBe(0);
      const from = { rsp: "the stub", process: "process \\d+", file: "\\S+/ram" }[memory];
      expect(stderr).toMatch(new RegExp(`^guest memory is read from ${from}$`, "m"));
      expect(stderr).not.toMatch(/any more/);
      captured.push((await readCapture(file)).points[0]?.pages ?? new Map());
    }
    const [rsp, process, file] = captured;
    expect(rsp?.size).toBeGreaterThan(100);
    expect([process?.size, file?.size]).toEqual([rsp?.size, rsp?.size]);
    for (const [page, { state, bytes }] of rsp ?? []) {
      const others = [process?.get(page), file?.get(page)];
      expect(others.map((other) => other?.state)).toEqual([state, state]);
      const truth = page >= BigInt(RAM) ? look(Number(page), PAGE_SIZE) : Buffer.from(bytes ?? []);
      const all = [bytes, ...others.map((other) => other?.bytes)];
      expect(
        all.every((each) => each !== undefined && truth.equals(each)),
        `page ${page}`,
      ).toBe(true);
    }
  });

  it("takes the process when nothing else is asked for", async () => {
    await attached(guest.address, {}, async ({ memoryChannel }) => {
      expect(memoryChannel).toMatchObject({ kind: "process", proven: true, refusals: [] });
    });
  });

  it("reads alike over tcp, by every way", async () => {
    const address = await overTcp(guest);
    for (const memory of EVERY_WAY) await readsAlike(address, memory);
    const { stdout, code, stderr } = await ebscope("doctor", "--gdb", address);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/--memory process: read from process \d+$/m);
  });
});

describe("a guest with RAM above 4 GiB", () => {
  it("reads there as QEMU itself does, by every way", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest(ramInFile(join(folder.path, "ram"), 4096)).listening();
    await guest.shows(/Shell>/);
    await guest.monitor("stop");
    const [above, length] = [0x1_3800_0000, 128 * MIB];
    using look = await witness(guest, folder.path, above, length);
    const spans = [...randomPages(5, above, length, 512), ...randomPages(6, above + length - 64 * MIB, 64 * MIB, 512)];
    for (const memory of EVERY_WAY) {
      await attached(guest.address, { memory }, async (target) => {
        const ranges = await target.memoryRanges();
        expect(ranges.at(-1)).toEqual({ start: BigInt(RAM), size: 4096n << 20n, kind: "ram", name: "ram0" });
        const { wrong, telling } = await differences(target, spans, look);
        expect(wrong, memory).toEqual([]);
        expect(telling).toBeGreaterThan(100);
        expect(target.memoryChannel).toMatchObject({ kind: memory, proven: true, note: undefined });
      });
    }
  });
});

describe("a file that the guest does not share", () => {
  it("is refused, with the reason; the process still has the memory", async () => {
    using folder = temporaryFolder();
    await using guest = await new Guest(ramInFile(join(folder.path, "ram"), 512, "off")).listening();
    await guest.shows(/Shell>/);
    await guest.monitor("stop");
    const file = join(folder.path, "now.ebs");
    const refused = await ebscope("snapshot", "--pause", "--memory", "file", "--gdb", guest.address, "-o", file);
    expect(failure(refused)).toEqual({ exit: 1, code: "memory-unavailable" });
    expect(refused.stderr).toContain(
      "Cannot read guest memory from its file: ram0 is not shared with its file (share=on)",
    );
    expect(await guest.status()).toBe("paused");
    using look = await witness(guest, folder.path, RAM + 448 * MIB, 64 * MIB);
    await attached(guest.address, { memory: "process" }, async (target) => {
      const { wrong, telling } = await differences(target, randomPages(7, RAM + 448 * MIB, 64 * MIB, 512), look);
      expect(wrong).toEqual([]);
      expect(telling).toBeGreaterThan(100);
    });
  });

  it("is none where the RAM is in no file at all", async () => {
    await using guest = await new Guest({}, true).listening();
    const { code, message } = await attachQemu(parseStubAddress(guest.address), { memory: "file" }).then(
      () => new Error("it attached") as Error & { code?: string },
      (error: Error & { code?: string }) => error,
    );
    expect([code, message]).toEqual([
      "memory-unavailable",
      "Cannot read guest memory from its file: mach-virt.ram is no memory-backend-file",
    ]);
    expect(await guest.status()).toBe("prelaunch");
  });
});

describe.each([QEMU_7, QEMU_10])("a guest of %s that starts from nothing", (qemu) => {
  it("is read right while it fills its RAM, and its process proves itself on the way", async () => {
    await using guest = await new Guest({ qemu }, true).listening();
    const target = await attachQemu(parseStubAddress(guest.address), { memory: "process" });
    expect(target.memoryChannel.kind).toBe("process");
    const spans = randomPages(8, RAM + 960 * MIB, 64 * MIB, 256);
    for (let seconds = 0; seconds < 60 && !/Shell>/.test(guest.console); seconds++) {
      await target.resume();
      await sleep(1000);
      await target.interrupt();
      await target.memoryRanges();
      await target.memory.read(spans);
    }
    using folder = temporaryFolder();
    using look = await witness(guest, folder.path, RAM + 960 * MIB, 64 * MIB);
    const { wrong, telling } = await differences(target, spans, look);
    expect(wrong).toEqual([]);
    expect(telling).toBeGreaterThan(50);
    expect(target.memoryChannel).toMatchObject({ kind: "process", proven: true, note: undefined });
    await target.release(false);
  });
});

describe("a QEMU that is killed", () => {
  it.each(["process", "file"] as const)(
    "is not taken for alive by %s: what is read afterwards is nothing",
    async (memory) => {
      using folder = temporaryFolder();
      await using guest = await new Guest(ramInFile(join(folder.path, "ram"), 256)).listening();
      await guest.shows(/Shell>/);
      const target = await attachQemu(parseStubAddress(guest.address), { memory });
      expect(target.memoryChannel).toMatchObject({ kind: memory, proven: true });
      const spans = randomPages(4, RAM, 256 * MIB, 100);
      expect((await target.memory.read(spans)).every(({ state }) => state === "present")).toBe(true);
      guest.child.kill("SIGKILL");
      await expect(target.memory.read(spans)).rejects.toMatchObject({ code: "connection-lost" });
      await target.release(false);
    },
  );
});

describe("a launched guest", () => {
  const script = '"$@" &\nchild=$!\ntrap "kill $child" TERM\nwait $child\n';

  it.each([
    ["itself", []],
    ["by a script around it", ["sh", "-c", script, "sh"]],
  ])("is captured from its process when it was started %s", async (_, around) => {
    using folder = temporaryFolder();
    const file = join(folder.path, "handoff.ebs");
    const command = [...around, ...machine({ kernel: HANDOFF, append: "mode=boot-service" })];
    const options = ["--json", "--memory", "process", "-o", file];
    const { code, stderr, stdout } = await ebscope("capture", ...options, "--", ...command);
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/^guest memory is read from process \d+$/m);
    expect(stderr).not.toMatch(/any more/);
    const { mappings, coverage } = JSON.parse(stdout) as {
      mappings: { size: string; expected: object | null }[];
      coverage: object[];
    };
    const expected = mappings.filter((each) => each.expected !== null);
    // FACTS of AAVMF 2022.11: its runtime images, whoever makes the call.
    expect(expected.reduce((sum, { size }) => sum + Number(size) / PAGE_SIZE, 0)).toBe(560);
    expect(coverage).toEqual([]);
  });
});

/**
 * A guest into whose process ebscope may not look, and ebscope without the right to. As root: ebscope as another user. Else QEMU from a file
 * that may be run but not read, which no one but root may look into (ptrace(2), "dumpable").
 */
async function forbidden(
  folder: string,
): Promise<{ readonly guest: Guest; readonly run: (...args: string[]) => Promise<Finished> }> {
  const main = join(ROOT, "dist/src/cli/main.js");
  need(main);
  if (process.getuid?.() === 0) {
    const guest = await new Guest({}).listening();
    const other = ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, main];
    return { guest, run: (...args) => start("setpriv", [...other, ...args]).finished };
  }
  const qemu = join(folder, "qemu");
  const path = (process.env.PATH ?? "").split(delimiter).map((each) => join(each, QEMU_7));
  copyFileSync(path.find((each) => readable(each)) ?? QEMU_7, qemu);
  chmodSync(qemu, 0o111);
  return { guest: await new Guest({ qemu }).listening(), run: (...args) => ebscope(...args) };
}

function readable(path: string): boolean {
  try {
    closeSync(openSync(path, "r"));
    return true;
  } catch {
    return false;
  }
}

describe("a QEMU into which this user may not look", () => {
  it("is read through the stub; doctor and the progress say why, and the guest runs on", async () => {
    using folder = temporaryFolder();
    chmodSync(folder.path, 0o777);
    const { guest, run } = await forbidden(folder.path);
    await using _ = guest;
    await guest.shows(/Shell>/);
    const address = await overTcp(guest);
    const why = "no process that this user may look into holds the stub's socket";

    const doctor = await run("doctor", "--json", "--gdb", address);
    const { stub } = JSON.parse(doctor.stdout) as { stub: object };
    expect(stub, doctor.stderr).toMatchObject({
      address,
      qemu: expect.stringMatching(/^7\.2/),
      packetSize: "0x1000",
      cpus: 1,
      running: true,
      memory: {
        channel: "rsp",
        from: "the stub",
        proven: true,
        others: [
          { channel: "process", why },
          { channel: "file", why: "mach-virt.ram is no memory-backend-file" },
        ],
      },
    });
    expect(await guest.status()).toBe("running");
    const told = await run("doctor", "--gdb", address);
    expect(told.stdout).toMatch(/--memory rsp: read from the stub$/m);
    expect(told.stdout).toContain(`not process: ${why}`);

    const file = join(folder.path, "now.ebs");
    const taken = await run("snapshot", "--gdb", address, "-o", file);
    expect(taken.code, taken.stderr).toBe(0);
    expect(taken.stderr).toContain(`guest memory is read through the stub, which is slower: ${why}`);
    const wished = await run("snapshot", "--memory", "process", "--gdb", address, "-o", file);
    expect(failure(wished)).toEqual({ exit: 1, code: "memory-unavailable" });
    expect(await guest.status()).toBe("running");
  });
});

describe("doctor", () => {
  it.each([
    ["runs", true],
    ["stands", false],
  ])("leaves a guest that %s as it was", async (_, runs) => {
    await using guest = await new Guest({ qemu: QEMU_10 }, !runs).listening();
    if (runs) await guest.shows(/UEFI firmware/);
    const { code, stdout, stderr } = await ebscope("doctor", "--json", "--gdb", guest.address);
    expect(code, stderr).toBe(0);
    const { stub } = JSON.parse(stdout) as { stub: { registers: number } };
    expect(stub).toMatchObject({ address: guest.address, cpus: 1, running: runs, memory: { channel: "process" } });
    expect(stub.registers).toBeGreaterThan(150);
    expect(await guest.status()).toBe(runs ? "running" : "prelaunch");
  });

  it("says what is wrong with an address that leads nowhere", async () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "plain"), "");
    expect(failure(await ebscope("doctor", "--gdb", `unix:${folder.path}/none`))).toMatchObject({
      code: "connect-failed",
    });
    expect(failure(await ebscope("doctor", "--gdb", "nonsense"))).toEqual({ exit: 2, code: "usage" });
  });
});
