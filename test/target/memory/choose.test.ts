import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { phys } from "../../../src/base/address.ts";
import type { PhysMemory } from "../../../src/base/memory.ts";
import type { Tap } from "../../../src/rsp/tap.ts";
import { connectTransport } from "../../../src/rsp/transport.ts";
import { chooseChannel } from "../../../src/target/memory/choose.ts";
import { type AttachOptions, attachQemu, openQemu } from "../../../src/target/qemu.ts";
import type { Target } from "../../../src/target/target.ts";
import { failure } from "../../support/failure.ts";
import { FakeMachine } from "../../support/fake-host.ts";
import { type ScriptedStub, type StubOptions, startStub } from "../../support/scripted-stub.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

async function stubOf(options: StubOptions = {}): Promise<ScriptedStub> {
  const stub = await startStub(options);
  cleanup.push(() => stub.close());
  return stub;
}

async function attach(stub: ScriptedStub, options: AttachOptions = {}): Promise<Target> {
  const target = await attachQemu(stub.address, options);
  cleanup.push(() => target.release(false));
  return target;
}

const monitorCommands = (stub: ScriptedStub): string[] =>
  stub.session.requests.flatMap((request) => {
    const [, hex] = /^qRcmd,(.*)$/.exec(request) ?? [];
    return hex === undefined ? [] : [Buffer.from(hex, "hex").toString()];
  });

const deaf: Tap = { bytes: () => undefined, ended: () => undefined };

// The stub is part of the test's own process: neither its memory nor a file of it is taken for a guest's.
describe("attaching to a stub without a process of its own", () => {
  it.each(["unix", "tcp"] as const)("over %s reads memory through the stub, and says why", async (listen) => {
    const stub = await stubOf({ listen });
    const target = await attach(stub);
    expect(target.memoryChannel).toEqual({
      kind: "rsp",
      name: "the stub",
      proven: true,
      refusals: [
        { kind: "process", why: "the stub is part of this program", denied: false },
        { kind: "file", why: "the stub is part of this program", denied: false },
      ],
      note: undefined,
    });
    const [read] = await target.memory.read([{ address: phys(0x4000_0000), length: 16 }]);
    expect(read?.state).toBe("present");
  });

  it.each([
    ["process", "Cannot read guest memory from the QEMU process: the stub is part of this program"],
    ["file", "Cannot read guest memory from its file: the stub is part of this program"],
  ] as const)("with the wish for the %s fails, and lets the guest run on that ran", async (memory, message) => {
    const stub = await stubOf({ running: true });
    expect(await failure(attachQemu(stub.address, { memory }))).toMatchObject({ code: "memory-unavailable", message });
    await vi.waitFor(() => expect(stub.session.ended).toBe(true));
    expect(stub.running).toBe(true);
    expect(stub.session.stray).toBe("");
  });

  it("with the wish for the stub asks for nothing else", async () => {
    const stub = await stubOf();
    const target = await attach(stub, { memory: "rsp" });
    expect(target.memoryChannel).toMatchObject({ kind: "rsp", refusals: [] });
    expect(monitorCommands(stub)).toEqual(["info version", "info mtree -f"]);
  });

  it("over a transport that leads who knows where takes the stub", async () => {
    const stub = await stubOf();
    const target = await openQemu(await connectTransport(stub.address));
    cleanup.push(() => target.release(false));
    expect(target.memoryChannel.refusals.map(({ why }) => why)).toEqual([
      "it is not known where the stub runs",
      "it is not known where the stub runs",
    ]);
  });
});

describe("a session that is listened to", () => {
  it("reads memory through the stub, as nothing else can be heard", async () => {
    const target = await attach(await stubOf(), { taps: [deaf] });
    expect(target.memoryChannel).toMatchObject({ kind: "rsp", refusals: [] });
  });

  it.each(["process", "file"] as const)(
    "cannot be had with the wish for the %s: it does not even begin",
    async (memory) => {
      const stub = await stubOf({ running: true });
      const { code, message } = await failure(attachQemu(stub.address, { memory, taps: [deaf] }));
      expect([code, message]).toEqual([
        "usage",
        `Cannot record a session that does not read through the stub (--memory ${memory})`,
      ]);
      expect(stub.sessions).toEqual([]);
    },
  );
});

describe("a process that was found", () => {
  /** A process, some of its memory, and a stub that says it is the guest's. */
  async function setUp() {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    cleanup.push(async () => child.kill("SIGKILL"));
    await once(child, "spawn");
    const [, first = "", last = ""] =
      /^([0-9a-f]+)-([0-9a-f]+) r/m.exec(readFileSync(`/proc/${child.pid}/maps`, "latin1")) ?? [];
    const base = Number.parseInt(first, 16);
    const bytes = Buffer.alloc(Number.parseInt(last, 16) - base);
    const file = openSync(`/proc/${child.pid}/mem`, "r");
    readSync(file, bytes, 0, bytes.length, base);
    closeSync(file);
    const memory: PhysMemory = {
      read: async (spans) =>
        spans.map(({ address, length }) => {
          return { state: "present", bytes: bytes.subarray(Number(address), Number(address) + length) };
        }),
    };
    const monitor = async (command: string): Promise<string> => {
      const [, address = ""] = /^gpa2hva (.*)$/.exec(command) ?? [];
      return `Host virtual address for ${address} (ram) is 0x${(base + Number(address)).toString(16)}\r\n`;
    };
    const ranges = [
      { start: phys(0), size: BigInt(bytes.length), kind: "ram" as const, name: "ram", regionOffset: 0n },
    ];
    // Nobody listens there: the process is known as the one that was launched.
    const request = { choice: "auto" as const, address: { kind: "unix" as const, path: "/nonexistent/gdb.sock" } };
    return { pid: child.pid, bytes, stub: { memory, monitor, ranges }, request: { ...request, pid: child.pid } };
  }

  it("is taken when its memory is what the stub reads", async () => {
    const { pid, stub, request } = await setUp();
    const { channel, refusals } = await chooseChannel(request, stub);
    expect([channel?.source.name, channel?.failure, refusals]).toEqual([`process ${pid}`, undefined, []]);
    channel?.close();
  });

  it("is refused when a page of it is not what the stub reads", async () => {
    const { pid, bytes, stub, request } = await setUp();
    bytes[0] = 0;
    const { channel, refusals } = await chooseChannel(request, stub);
    expect(channel).toBeUndefined();
    expect(refusals).toEqual([
      {
        kind: "process",
        why: `process ${pid}: it does not hold what the stub reads at physical 0x0`,
        denied: false,
      },
      { kind: "file", why: "ram is no memory-backend-file", denied: false },
    ]);
  });
});

describe("a stub that is lost while a channel is looked for", () => {
  it("is told of as such", async () => {
    const machine = new FakeMachine([{ start: 0, size: 4096 }]);
    const lost = new Error("the connection is lost");
    const stub = {
      memory: machine,
      monitor: () => Promise.reject(lost),
      ranges: [{ start: phys(0), size: 4096n, kind: "ram" as const, name: "ram0", regionOffset: 0n }],
    };
    // Nobody listens there, so that only the file is looked for.
    const address = { kind: "unix" as const, path: "/nonexistent/gdb.sock" };
    await expect(chooseChannel({ choice: "file", address }, stub)).rejects.toBe(lost);
  });
});
