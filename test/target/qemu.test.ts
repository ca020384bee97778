import { afterEach, describe, expect, it, vi } from "vitest";
import { phys, virt } from "../../src/base/address.ts";
import type { ErrorCode } from "../../src/base/error.ts";
import type { PhysSpan } from "../../src/base/memory.ts";
import { registersOf } from "../../src/base/registers.ts";
import { connectTransport } from "../../src/rsp/transport.ts";
import { type AttachOptions, attachQemu, openQemu } from "../../src/target/qemu.ts";
import type { Target } from "../../src/target/target.ts";
import { failure } from "../support/failure.ts";
import {
  type Answer,
  raw,
  reply,
  type Script,
  type ScriptedStub,
  type StubOptions,
  silence,
  startStub,
} from "../support/scripted-stub.ts";
import { physicalByte, registerHex, SYSTEM_REGISTERS, TARGET_XML } from "../support/stub-machine.ts";

/** A deadline that is waited for; a busy machine must keep it where the stub does answer. */
const SHORT = 250;

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

async function attached(options: StubOptions = {}, attachOptions: AttachOptions = {}) {
  const stub = await stubOf(options);
  return { stub, target: await attach(stub, attachOptions) };
}

/** Answers some requests as told, the others as QEMU would. */
function script(pattern: RegExp, answer: Answer | ((request: string) => Answer | undefined)): Script {
  return {
    answer: (request) =>
      pattern.test(request) ? (typeof answer === "function" ? answer(request) : answer) : undefined,
  };
}

const span = (address: number | bigint, length: number): PhysSpan => ({ address: phys(address), length });

function expectedBytes(address: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => physicalByte(address + i)));
}

/** The requests since `from`, without what tells nothing. */
function requestsSince(stub: ScriptedStub, from: number): string[] {
  return stub.session.requests.slice(from);
}

const ended = (stub: ScriptedStub): Promise<void> =>
  vi.waitFor(() => expect(stub.session.ended).toBe(true), { timeout: 5000, interval: 1 });

const running = (stub: ScriptedStub): Promise<void> =>
  vi.waitFor(() => expect(stub.running).toBe(true), { timeout: 5000, interval: 1 });

describe("attaching", () => {
  it("learns version, vCPUs and registers", async () => {
    const { target } = await attached();
    expect(target.info).toMatchObject({
      qemuVersion: "7.2.22",
      architecture: "aarch64",
      wasRunning: false,
      cpus: [
        { index: 0, thread: "01" },
        { index: 1, thread: "02" },
      ],
    });
    const { registers } = target.info;
    expect(registers).toHaveLength(34 + Object.keys(SYSTEM_REGISTERS).length);
    expect(registers[33]).toEqual({
      name: "cpsr",
      stubName: "cpsr",
      number: 33,
      bits: 32,
      feature: "org.gnu.gdb.aarch64.core",
    });
    expect(registers.at(-1)).toEqual({
      name: "VBAR_EL1",
      stubName: "VBAR",
      number: 300,
      bits: 64,
      feature: "org.qemu.gdb.arm.sys.regs",
    });
  });

  it("works over tcp", async () => {
    const { target } = await attached({ listen: "tcp" });
    expect(target.info.qemuVersion).toBe("7.2.22");
  });

  it("reads a description that comes in many pieces", async () => {
    const answer = (request: string): Answer | undefined => {
      const [, annex = "", offset = ""] = /^qXfer:features:read:([^:]*):([0-9a-f]+),/.exec(request) ?? [];
      const rest = TARGET_XML[annex]?.slice(Number.parseInt(offset, 16));
      return rest === undefined ? undefined : reply((rest.length > 50 ? "m" : "l") + rest.slice(0, 50));
    };
    const { target } = await attached({ script: { answer } });
    expect(target.info.registers).toHaveLength(34 + Object.keys(SYSTEM_REGISTERS).length);
  });

  it("knows by the unsolicited stop that the guest was running", async () => {
    const { stub, target } = await attached({ running: true });
    expect(target.info.wasRunning).toBe(true);
    expect(stub.running).toBe(false);
  });

  it("asks `?` once, as the stub drops breakpoints on it", async () => {
    const { stub } = await attached();
    expect(stub.session.requests.filter((request) => request === "?")).toHaveLength(1);
  });

  it("takes the vCPU of the first stop reply as the stopped one", async () => {
    const { target } = await attached({ script: script(/^\?$/, reply("T05thread:02;")) });
    expect(target.stoppedCpu).toEqual({ index: 1, thread: "02" });
  });

  it("reads the description before any register, which QEMU 7.2 needs", async () => {
    const { target } = await attached();
    const [row] = await target.readRegisters(target.info.cpus.slice(0, 1), target.info.registers);
    expect(row?.map(({ state }) => state)).toEqual(target.info.registers.map(() => "present"));
  });

  it("tells the RAM and ROM ranges", async () => {
    const { target } = await attached();
    expect(await target.memoryRanges()).toEqual([
      { start: 0n, size: 0x400_0000n, kind: "rom", name: "virt.flash0" },
      { start: 0x4000_0000n, size: 0x1000_0000n, kind: "ram", name: "mach-virt.ram" },
    ]);
  });
});

describe("registers", () => {
  it("come in the order asked for, for each vCPU its own", async () => {
    const { target } = await attached();
    const definitions = [...target.info.registers].reverse();
    const rows = await target.readRegisters(target.info.cpus, definitions);
    expect(rows).toHaveLength(2);
    rows.forEach((row, cpu) => {
      expect(
        row.map((read) => (read.state === "present" ? Buffer.from(read.bytes).toString("hex") : read.state)),
      ).toEqual(definitions.map(({ number, bits }) => registerHex(cpu, number, bits)));
    });
    const registers = registersOf(definitions, rows[1] ?? []);
    expect(registers.get("SCTLR_EL1")).toBe(0xa1_00_00_00_00_00_00_56n);
    expect(registers.get("cpsr")).toBe(0xa1_00_00_21n);
  });

  it("are asked for in one go", async () => {
    const { stub, target } = await attached();
    const from = stub.session.wire.length;
    await target.readRegisters(target.info.cpus, target.info.registers);
    const wire = stub.session.wire.slice(from);
    expect(wire.slice(1, wire.lastIndexOf("$p"))).not.toContain("+");
  });

  it.each([
    ["no hex", "zz00000000000000"],
    ["an error", "E14"],
    ["empty", ""],
  ])("of which the reply is %s are unreadable, and only they", async (_, payload) => {
    const { target } = await attached({ script: script(/^p56$/, reply(payload)) });
    const [row] = await target.readRegisters(target.info.cpus.slice(0, 1), target.info.registers);
    row?.forEach((read, i) => {
      const { number } = target.info.registers[i] ?? {};
      expect(read.state, `register ${number}`).toBe(number === 0x56 ? "unreadable" : "present");
    });
  });

  it.each([
    ["too short", "00000000"],
    ["too long", "000000000000000000"],
  ])("of which the reply is %s end the read: the stub is not what it says it is", async (_, payload) => {
    const { target } = await attached({ script: script(/^p56$/, reply(payload)) });
    const error = await failure(target.readRegisters(target.info.cpus.slice(0, 1), target.info.registers));
    expect(error.code).toBe("protocol-error");
    expect(error.message).toContain("SCTLR_EL1");
  });

  it("that the stub has no value for are unavailable", async () => {
    const { target } = await attached({ script: script(/^p56$/, reply("xxxxxxxxxxxxxxxx")) });
    const sctlr = target.info.registers.filter(({ name }) => name === "SCTLR_EL1");
    expect(await target.readRegisters(target.info.cpus.slice(0, 1), sctlr)).toEqual([[{ state: "unavailable" }]]);
  });

  it("of a vCPU that cannot be selected are unreadable, not another vCPU's", async () => {
    const { target } = await attached({ script: script(/^Hg02$/, reply("E22")) });
    const pc = target.info.registers.filter(({ name }) => name === "pc");
    expect((await target.readRegisters(target.info.cpus, pc)).map(([read]) => read?.state)).toEqual([
      "present",
      "unreadable",
    ]);
  });
});

describe("physical memory", () => {
  it.each([
    [0x1000, 2048],
    [0x20020, 65536],
    // More than the framing takes in one packet.
    [0x1000_0000, 512 << 10],
  ])("with PacketSize %i is read in pieces of at most %i bytes, put together in order", async (packetSize, most) => {
    const { stub, target } = await attached({ packetSize });
    const from = stub.session.requests.length;
    const length = most * 2 + 100;
    const reads = await target.memory.read([span(0x4000_0ffe, length), span(0x20, 8), span(0x4fff_fff8, 8)]);
    const bytes = reads.map((read) => (read.state === "present" ? Buffer.from(read.bytes) : Buffer.from(read.state)));
    // Not toEqual: a mebibyte is more than it compares in reasonable time.
    expect(bytes[0]?.equals(expectedBytes(0x4000_0ffe, length))).toBe(true);
    expect(bytes.slice(1)).toEqual([expectedBytes(0x20, 8), expectedBytes(0x4fff_fff8, 8)]);
    const sizes = requestsSince(stub, from).flatMap((request) => /^m.*,(.*)$/.exec(request)?.[1] ?? []);
    expect(sizes.map((size) => Number.parseInt(size, 16))).toEqual([most, most, 100, 8, 8]);
    expect(stub.badReads).toEqual([]);
  });

  it("is read in physical mode, and the mode is put back at the end of each batch", async () => {
    const { stub, target } = await attached();
    const from = stub.session.requests.length;
    await target.memory.read([span(0x4000_0000, 8), span(0x4000_1000, 8)]);
    expect(requestsSince(stub, from)).toEqual([
      "Qqemu.PhyMemMode:1",
      "m40000000,8",
      "m40001000,8",
      "Qqemu.PhyMemMode:0",
    ]);
    expect(stub.physMode).toBe("0");
  });

  it("puts back the mode that was found, whatever it was", async () => {
    const { stub, target } = await attached({ physMode: "1" });
    await target.memory.read([span(0x4000_0000, 8)]);
    await target.release(false);
    expect(stub.physMode).toBe("1");
  });

  it.each([
    ["a device", 0x900_0000n, 4],
    ["a hole", 0x3000_0000n, 4096],
    ["a span that leaves RAM", 0x4fff_fffcn, 8],
    ["a span that begins before RAM", 0x3fff_fffcn, 8],
    ["the last byte of the address space", 0xffff_ffff_ffff_ffffn, 1],
  ])("%s is absent, and never asked for", async (_, address, length) => {
    const { stub, target } = await attached();
    const from = stub.session.requests.length;
    expect(await target.memory.read([span(address, length)])).toEqual([{ state: "absent", code: "outside-memory" }]);
    expect(requestsSince(stub, from)).toEqual([]);
  });

  it("absent and present spans keep their order", async () => {
    const { target } = await attached();
    const reads = await target.memory.read([span(0x900_0000, 4), span(0, 4), span(0x3000_0000, 4), span(4, 4)]);
    expect(reads.map(({ state }) => state)).toEqual(["absent", "present", "absent", "present"]);
    expect(reads[3]).toEqual({ state: "present", bytes: expectedBytes(4, 4) });
  });

  it.each([
    ["an error", "E14"],
    ["empty", ""],
    ["short", "0000"],
    ["long", "00".repeat(9)],
    ["no hex", "zz".repeat(8)],
    ["of half bytes", "0".repeat(15)],
  ])("whose reply is %s is unreadable, and not zero", async (_, payload) => {
    const { target } = await attached({ script: script(/^m40000000,/, reply(payload)) });
    expect(await target.memory.read([span(0x4000_0000, 8), span(0x4000_0008, 8)])).toEqual([
      { state: "unreadable", code: "read-failed" },
      { state: "present", bytes: expectedBytes(0x4000_0008, 8) },
    ]);
  });

  it.each([0, 1, 2])("of which piece %i of three fails is unreadable as a whole", async (piece) => {
    const bad = `m${(0x4000_0000 + piece * 2048).toString(16)},800`;
    const { target } = await attached({ script: script(new RegExp(`^${bad}$`), reply("E14")) });
    expect(await target.memory.read([span(0x4000_0000, 3 * 2048)])).toEqual([
      { state: "unreadable", code: "read-failed" },
    ]);
  });

  it("is not believed when the stub refuses the physical mode", async () => {
    const { target } = await attached({ script: script(/^Qqemu\.PhyMemMode:1$/, reply("")) });
    expect((await failure(target.memory.read([span(0x4000_0000, 8)]))).code).toBe("stub-refused");
  });

  it("an empty batch asks nothing", async () => {
    const { stub, target } = await attached();
    const from = stub.session.requests.length;
    expect(await target.memory.read([])).toEqual([]);
    expect(requestsSince(stub, from)).toEqual([]);
  });

  it("keeps the ranges it knew when they cannot be read again", async () => {
    const { stub, target } = await attached();
    stub.rescript(script(/^qRcmd/, reply("E01")));
    expect((await failure(target.memoryRanges())).code).toBe("stub-unsupported");
    expect(await target.memory.read([span(0, 4)])).toEqual([{ state: "present", bytes: expectedBytes(0, 4) }]);
  });
});

describe("running and stopping", () => {
  it("a breakpoint stops the guest, and names the vCPU", async () => {
    const { stub, target } = await attached();
    const breakpoint = await target.insertBreakpoint(virt(0xffff_0000_4000_1000n));
    expect(breakpoint.address).toBe(0xffff_0000_4000_1000n);
    expect(stub.breakpoints).toEqual(["0,ffff000040001000,4"]);
    await target.resume();
    await running(stub);
    const stop = target.waitForStop();
    stub.stop("T05thread:02;");
    expect(await stop).toEqual({ kind: "breakpoint", cpu: { index: 1, thread: "02" } });
    expect(target.stoppedCpu).toEqual({ index: 1, thread: "02" });
    await breakpoint[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual([]);
    expect(stub.session.stray).toBe("");
  });

  it("nothing but 0x03 reaches the guest while it runs", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    await target.readRegisters(target.info.cpus, target.info.registers);
    await target.memory.read([span(0, 8)]);
    const from = stub.session.wire.length;
    for (let round = 0; round < 3; round++) {
      await target.resume();
      await running(stub);
      expect((await failure(target.readRegisters(target.info.cpus, target.info.registers))).code).toBe("internal");
      expect((await failure(target.memory.read([span(0, 8)]))).code).toBe("internal");
      expect(await target.interrupt()).toEqual({ kind: "interrupt", cpu: { index: 0, thread: "01" } });
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: 0x03 is the protocol's interrupt.
    expect(stub.session.wire.slice(from)).toMatch(/^\+*(\$c#63\x03\+?){2}\$c#63\x03$/);
    expect(stub.session).toMatchObject({ stray: "", interrupts: 3 });
  });

  it("an interrupt of a halted guest sends nothing", async () => {
    const { stub, target } = await attached();
    expect(await target.interrupt()).toBeUndefined();
    await target.release(false);
    await ended(stub);
    expect(stub.session.wire).not.toContain("\x03");
  });

  it("an interrupt tells of the breakpoint that was hit just before it", async () => {
    const { stub, target } = await attached();
    await target.resume();
    await running(stub);
    const stop = target.interrupt();
    stub.stop("T05thread:01;");
    expect(await stop).toMatchObject({ kind: "breakpoint" });
    // The 0x03 arrives at a halted machine, which takes no notice.
    expect(await target.readRegisters(target.info.cpus, target.info.registers)).toHaveLength(2);
  });

  it("resuming past an address steps the one vCPU that stands there, then lets all run", async () => {
    const { stub, target } = await attached();
    const from = stub.session.requests.length;
    await target.resumePast({ index: 1, thread: "02" }, virt(0x1000));
    await running(stub);
    expect(requestsSince(stub, from)).toEqual(["vCont;s:02", "c"]);
    expect(target.stoppedCpu.index).toBe(1);
    expect(stub.session.stray).toBe("");
  });

  it("resuming past a breakpoint takes it out for the step, and leaves it in and removable", async () => {
    const { stub, target } = await attached();
    const breakpoint = await target.insertBreakpoint(virt(0x1000));
    await target.insertBreakpoint(virt(0x2000));
    const from = stub.session.requests.length;
    await target.resumePast({ index: 0, thread: "01" }, virt(0x1000));
    await running(stub);
    expect(requestsSince(stub, from)).toEqual(["z0,1000,4", "vCont;s:01", "Z0,1000,4", "c"]);
    expect(stub.breakpoints).toEqual(["0,2000,4", "0,1000,4"]);
    expect(stub.session.stray).toBe("");
    await breakpoint[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual(["0,2000,4"]);
    await target.release(false);
    expect(stub.breakpoints).toEqual([]);
  });

  it("a breakpoint that cannot be taken out for the step is told of", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    stub.rescript(script(/^z0/, reply("E22")));
    expect(await failure(target.resumePast({ index: 0, thread: "01" }, virt(0x1000)))).toMatchObject({
      code: "stub-refused",
    });
  });

  it.each([
    ["W00", "it exited with status 0"],
    ["X0b", "it was ended by signal 11"],
  ])("a guest that ends (%s) is told of, not taken for a stop", async (payload, why) => {
    const { stub, target } = await attached();
    await target.resume();
    await running(stub);
    const stop = target.waitForStop();
    stub.stop(payload);
    expect(await stop).toEqual({ kind: "ended", why });
  });

  it("a guest that ends in a step is an error", async () => {
    const { stub, target } = await attached();
    stub.rescript({ onResume: () => stub.stop("W01") });
    expect(await failure(target.resumePast({ index: 0, thread: "01" }, virt(0x1000)))).toMatchObject({
      code: "guest-ended",
    });
  });

  it("a wait can be given up, and the guest then runs on", async () => {
    const { stub, target } = await attached();
    await target.resume();
    const controller = new AbortController();
    const stop = failure(target.waitForStop(controller.signal));
    controller.abort();
    expect((await stop).code).toBe("interrupted");
    await running(stub);
  });

  it("a guest that does not stop for an interrupt is told of within the deadline", async () => {
    const { stub, target } = await attached({ script: { deaf: true } }, { deadlineMs: SHORT });
    await target.resume();
    await running(stub);
    const started = performance.now();
    const error = await failure(target.interrupt());
    expect(performance.now() - started).toBeLessThan(SHORT + 1000);
    expect(error).toMatchObject({
      code: "stub-silent",
      message: "Cannot stop the guest: no answer to the interrupt within 0.25 s",
    });
  });

  it("steps one instruction on one vCPU, with the breakpoint where it stands out of the way", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    const from = stub.session.requests.length;
    const cpu = { index: 1, thread: "02" };
    expect(await target.step(cpu, virt(0x1000))).toEqual({ kind: "breakpoint", cpu });
    expect(requestsSince(stub, from)).toEqual(["z0,1000,4", "vCont;s:02", "Z0,1000,4"]);
    expect(stub.running).toBe(false);
  });

  it("a vCPU that waits in a step is interrupted, with the breakpoint back in", async () => {
    const { stub, target } = await attached({}, { deadlineMs: SHORT });
    await target.insertBreakpoint(virt(0x1000));
    stub.rescript({ onResume: () => undefined });
    const cpu = { index: 0, thread: "01" };
    expect(await target.step(cpu, virt(0x1000))).toEqual({ kind: "interrupt", cpu });
    expect(stub.breakpoints).toEqual(["0,1000,4"]);
    expect(stub.session).toMatchObject({ interrupts: 1, stray: "" });
  });

  it("a breakpoint that several want is put in once, and taken out with the last of them", async () => {
    const { stub, target } = await attached();
    const at = virt(0x1000);
    const from = stub.session.requests.length;
    const [one, two] = await Promise.all([target.insertBreakpoint(at), target.insertBreakpoint(at)]);
    const three = await target.insertBreakpoint(at);
    expect(requestsSince(stub, from)).toEqual(["Z0,1000,4"]);
    await one[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    await three[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual(["0,1000,4"]);
    await two[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual([]);
    await target.insertBreakpoint(at);
    expect(stub.breakpoints).toEqual(["0,1000,4"]);
  });

  it("a breakpoint that cannot be taken out for a step is not put in twice", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    stub.rescript(script(/^z0/, reply("E22")));
    expect((await failure(target.step({ index: 0, thread: "01" }, virt(0x1000)))).code).toBe("stub-refused");
    expect(stub.breakpoints).toEqual(["0,1000,4"]);
  });

  it("the end of the session is told of while nothing is asked", async () => {
    const { stub, target } = await attached();
    stub.hangUp();
    expect(await target.ended).toMatchObject({
      code: "connection-lost",
      message: "Cannot talk to the stub: the stub closed the connection",
    });
  });

  it("a release ends the session too", async () => {
    const { target } = await attached();
    await target.release(false);
    expect((await target.ended).code).toBe("connection-lost");
  });

  it("a step that does not end, interrupted or not, is told of within the deadline", async () => {
    const { target } = await attached({ script: { onResume: () => undefined, deaf: true } }, { deadlineMs: SHORT });
    const started = performance.now();
    const error = await failure(target.resumePast({ index: 0, thread: "01" }, virt(0x1000)));
    expect(performance.now() - started).toBeLessThan(2 * SHORT + 1000);
    expect(error.code).toBe("stub-silent");
  });
});

describe("breakpoints", () => {
  it("that the stub refuses are an error and not removed later", async () => {
    const { stub, target } = await attached({ script: script(/^Z0,/, reply("E22")) });
    expect(await failure(target.insertBreakpoint(virt(0x1000)))).toMatchObject({
      code: "stub-refused",
      message: 'Cannot insert a breakpoint at 0x1000: the stub says "E22"',
    });
    await target.release(false);
    expect(stub.session.requests.filter((request) => request.startsWith("z"))).toEqual([]);
  });

  it("at one address go in once, and out at once", async () => {
    const { stub, target } = await attached();
    const first = await target.insertBreakpoint(virt(0x1000));
    const second = await target.insertBreakpoint(virt(0x1000));
    expect(stub.breakpoints).toEqual(["0,1000,4"]);
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual([]);
    expect(stub.session.requests.filter((request) => request.startsWith("z"))).toEqual(["z0,1000,4"]);
  });

  it("that are disposed of while the guest runs halt it first", async () => {
    const { stub, target } = await attached();
    {
      await using breakpoint = await target.insertBreakpoint(virt(0x1000));
      expect(breakpoint.address).toBe(0x1000n);
      await target.resume();
      await running(stub);
    }
    expect(stub.breakpoints).toEqual([]);
    expect(stub.running).toBe(false);
    expect(stub.session.stray).toBe("");
  });
});

/** What a session must leave behind, however it ended. */
async function expectLeft(stub: ScriptedStub, { runs }: { runs: boolean }): Promise<void> {
  await ended(stub);
  expect(stub.breakpoints).toEqual([]);
  expect(stub.physMode).toBe(stub.foundPhysMode);
  expect(stub.session.stray).toBe("");
  expect(stub.running).toBe(runs);
  expect(stub.session.requests.filter((request) => request === "D")).toHaveLength(runs ? 1 : 0);
  if (runs) expect(stub.session.wire).toMatch(/\$D#44\+?$/);
}

describe("release", () => {
  const use = async (target: Target): Promise<void> => {
    await target.insertBreakpoint(virt(0x1000));
    await target.insertBreakpoint(virt(0x2000));
    await target.memory.read([span(0, 8)]);
    await target.readRegisters(target.info.cpus, target.info.registers);
  };

  it.each([
    ["runs on", true],
    ["stays halted", false],
  ])("of a halted guest that %s: breakpoints out, memory mode back, D only if it runs", async (_, run) => {
    const { stub, target } = await attached({ running: run });
    await use(target);
    await target.release(run);
    await expectLeft(stub, { runs: run });
  });

  it.each([
    ["runs on", true],
    ["stays halted", false],
  ])("of a running guest that %s halts it first", async (_, run) => {
    const { stub, target } = await attached({ physMode: "1" });
    await use(target);
    await target.resume();
    await running(stub);
    await target.release(run);
    await expectLeft(stub, { runs: run });
    expect(stub.session.interrupts).toBe(1);
  });

  it.each([
    ["runs on", true],
    ["stays halted", false],
  ])("of a guest that %s, with reads in flight, waits for the memory mode to be put back", async (_, run) => {
    const { stub, target } = await attached({}, { maxInFlight: 4 });
    const reads = target.memory.read(Array.from({ length: 200 }, (__, i) => span(i * 4096, 8)));
    await target.release(run);
    expect((await reads).every(({ state }) => state === "present")).toBe(true);
    await expectLeft(stub, { runs: run });
  });

  it("lets the guest go although the stub does not give a breakpoint back", async () => {
    const { stub, target } = await attached({ running: true, script: script(/^z0,1000,/, reply("E22")) });
    await use(target);
    await target.release(true);
    await expectLeft(stub, { runs: true });
  });

  it("takes the other breakpoints out although the stub does not give one back", async () => {
    const { stub, target } = await attached({ script: script(/^z0,1000,/, reply("E22")) });
    await use(target);
    await target.release(false);
    await ended(stub);
    expect(stub.breakpoints).toEqual(["0,1000,4"]);
  });

  it("refuses whatever is asked afterwards: it would stop the guest again", async () => {
    const { stub, target } = await attached({ running: true });
    const released = target.release(true);
    expect((await failure(target.memory.read([span(0, 8)]))).message).toContain("let go");
    expect((await failure(target.insertBreakpoint(virt(0x1000)))).message).toContain("let go");
    expect((await failure(target.resume())).message).toContain("let go");
    expect((await failure(target.resumePast({ index: 0, thread: "01" }, virt(0x1000)))).message).toContain("let go");
    await failure(target.readRegisters(target.info.cpus, target.info.registers));
    await released;
    await failure(target.readRegisters(target.info.cpus, target.info.registers));
    await expectLeft(stub, { runs: true });
  });

  it("twice is once, and both wait for the end", async () => {
    const { stub, target } = await attached({ running: true });
    const released = [target.release(true), target.release(true)];
    await released[1];
    expect(stub.running).toBe(true);
    await released[0];
    await expectLeft(stub, { runs: true });
  });

  it("after the connection is lost does nothing, and does not throw", async () => {
    const { stub, target } = await attached();
    await use(target);
    await target.resume();
    const stop = failure(target.waitForStop());
    await running(stub);
    stub.hangUp();
    expect((await stop).code).toBe("connection-lost");
    await target.release(true);
  });

  it("of a guest that ended does not throw", async () => {
    const { stub, target } = await attached({}, { deadlineMs: SHORT });
    await use(target);
    await target.resume();
    await running(stub);
    stub.rescript(script(/./, silence));
    stub.stop("W00");
    expect(await target.waitForStop()).toMatchObject({ kind: "ended" });
    await target.release(true);
  });

  it("of a stub that fell silent ends within the deadline, and does not throw", async () => {
    const { stub, target } = await attached({}, { deadlineMs: SHORT });
    await use(target);
    stub.rescript(script(/./, silence));
    const started = performance.now();
    await target.release(true);
    expect(performance.now() - started).toBeLessThan(SHORT + 1000);
  });

  it("of a guest that cannot be halted ends within the deadline, and does not throw", async () => {
    const { stub, target } = await attached({ script: { deaf: true } }, { deadlineMs: SHORT });
    await target.resume();
    await running(stub);
    const started = performance.now();
    await target.release(true);
    expect(performance.now() - started).toBeLessThan(SHORT + 1000);
    expect(stub.session.stray).toBe("");
  });
});

const X86_XML =
  '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>i386:x86-64</architecture>' +
  '<feature name="org.gnu.gdb.i386.core"><reg name="rax" bitsize="64" regnum="0"/></feature></target>';

const annex = (text: string): Answer => reply(`l${text}`);
const xfer = (answer: Answer | ((request: string) => Answer)): Script => script(/^qXfer/, answer);

/** A stub that cannot be used, and what is said about it. */
const UNUSABLE: readonly (readonly [what: string, script: Script, code: ErrorCode, says: string])[] = [
  ["is of an x86 guest", xfer(annex(X86_XML)), "not-aarch64", "it is i386:x86-64, not aarch64"],
  [
    "is of a guest with escape sequences in its name",
    xfer(annex("<target><architecture>&#x9b;31m</architecture></target>")),
    "not-aarch64",
    "it is \\x9b31m, not aarch64",
  ],
  ["names no architecture", xfer(annex("<target/>")), "not-aarch64", "it is another architecture"],
  ["sends no XML", xfer(annex("<target")), "protocol-error", "target.xml is no XML"],
  [
    "includes one new document in each",
    xfer((request) => {
      const number = Number(/:a(\d+)\.xml:/.exec(request)?.[1] ?? 0);
      return annex(`<target><xi:include href="a${number + 1}.xml"/></target>`);
    }),
    "protocol-error",
    "it includes too many documents",
  ],
  [
    "includes a path",
    xfer(annex('<target><xi:include href="../../etc/passwd"/></target>')),
    "protocol-error",
    'it includes "../../etc/passwd"',
  ],
  [
    "includes a request of its own",
    xfer(annex('<target><xi:include href="a:0,1#&#x202e;c"/></target>')),
    "protocol-error",
    String.raw`it includes "a:0,1#\\u{202e}c"`,
  ],
  ["sends a description that does not end", xfer(reply(`m${" ".repeat(4000)}`)), "protocol-error", "longer than"],
  ["sends a description that does not end, byte by byte", xfer(reply("m ")), "protocol-error", "it does not end"],
  ["sends a description in pieces of nothing", xfer(reply("m")), "protocol-error", "features target.xml"],
  ["refuses the description", xfer(reply("E00")), "stub-refused", 'the stub says "E00"'],
  [
    "has no description",
    script(/^qSupported/, reply("PacketSize=1000")),
    "stub-unsupported",
    "it does not describe its registers",
  ],
  ["lists no vCPU", script(/^qfThreadInfo/, reply("l")), "protocol-error", "Cannot list the vCPUs"],
  ["lists vCPUs without end", script(/^q[fs]ThreadInfo/, reply("m01,02")), "protocol-error", "does not end"],
  [
    "lists a vCPU that would be another request",
    script(/^qfThreadInfo/, reply("m01;c")),
    "protocol-error",
    "thread list is unusable",
  ],
  ["has no monitor", script(/^qRcmd/, reply("")), "stub-unsupported", "`info mtree -f`"],
  ["has no physical memory mode", script(/^qqemu/, reply("")), "stub-unsupported", "no physical memory mode"],
];

describe("a stub that cannot be used is refused, the guest left as it was found, and a good one works then: it", () => {
  it.each(UNUSABLE)("%s", async (_, misbehaviour, code, says) => {
    const stub = await stubOf({ script: misbehaviour });
    for (const wasRunning of [false, true]) {
      if (wasRunning) stub.run();
      const error = await failure(attachQemu(stub.address, { deadlineMs: 3000 }));
      expect(error.code).toBe(code);
      expect(error.message).toContain(says);
      await expectLeft(stub, { runs: wasRunning });
    }
    stub.rescript({});
    expect((await attach(stub)).info.wasRunning).toBe(true);
  });

  it("includes itself, which is harmless", async () => {
    const text = TARGET_XML["target.xml"]?.replace("<xi", '<xi:include href="target.xml"/><xi') ?? "";
    const { target } = await attached({ script: script(/^qXfer:features:read:target\.xml:/, annex(text)) });
    expect(target.info.registers).toHaveLength(34 + Object.keys(SYSTEM_REGISTERS).length);
  });
});

/** How a stub can go wrong at any moment, and the codes that it may be told under. */
const FAILURES: readonly (readonly [what: string, answer: Answer, code: ErrorCode])[] = [
  ["falls silent", silence, "stub-silent"],
  ["hangs up", { kind: "raw-then-close", bytes: "" }, "connection-lost"],
  ["hangs up in the middle of a packet", { kind: "raw-then-close", bytes: "+$m0" }, "connection-lost"],
  ["sends a wrong checksum", raw("+$m01#00"), "protocol-error"],
  ["sends a packet that never ends", { kind: "endless", head: "+$", bytes: "a".repeat(1 << 16) }, "protocol-error"],
];

describe("a stub that", () => {
  describe.each(FAILURES)("%s", (_, answer, code) => {
    // Short where it is waited for; long where something else is to come first, on a busy machine too.
    const waitedFor = code === "stub-silent" || answer.kind === "raw";
    const deadlineMs = waitedFor ? SHORT : 3000;

    it("at any request while attaching is told of in time, and a good one works then", async () => {
      const stub = await stubOf();
      await (await attach(stub)).release(false);
      const { length } = stub.session.requests;
      expect(length).toBeGreaterThan(8);
      for (let good = 0; good < length; good++) {
        stub.rescript({ answer: (__, index) => (index < good ? undefined : answer) });
        const started = performance.now();
        const error = await failure(attachQemu(stub.address, { deadlineMs: waitedFor ? 40 : 3000 }));
        expect(performance.now() - started, `after ${good} requests`).toBeLessThan(deadlineMs + 1000);
        expect(error.code, `after ${good} requests`).toBe(code);
        expect(stub.session.stray).toBe("");
      }
      stub.rescript({});
      expect((await attach(stub)).info.cpus).toHaveLength(2);
    });

    it.each([
      ["registers are read", (target: Target) => target.readRegisters(target.info.cpus, target.info.registers)],
      ["memory is read", (target: Target) => target.memory.read([span(0, 8192)])],
      ["ranges are read", (target: Target) => target.memoryRanges()],
      ["a breakpoint is set", (target: Target) => target.insertBreakpoint(virt(0x1000))],
    ])("while %s is told of in time", async (__, act) => {
      const { stub, target } = await attached({}, { deadlineMs });
      const good = stub.session.requests.length + 1;
      stub.rescript({ answer: (request, index) => (index < good && request[0] !== "Z" ? undefined : answer) });
      const started = performance.now();
      const error = await failure(act(target).then(() => target.memoryRanges()));
      expect(performance.now() - started).toBeLessThan(2 * deadlineMs + 1000);
      expect(error.code).toBe(code);
      await target.release(true);
      stub.rescript({});
      expect((await attach(stub)).info.cpus).toHaveLength(2);
    });
  });

  it("is busy with another debugger is told of in time, and works when that has gone", async () => {
    const { stub, target } = await attached();
    const error = await failure(attachQemu(stub.address, { deadlineMs: 100 }));
    expect(error.code).toBe("stub-silent");
    await target.release(false);
    expect((await attach(stub)).info.cpus).toHaveLength(2);
  });
});

describe("an abort while attaching", () => {
  it("lets a guest that ran run on", async () => {
    for (let request = 0; request < 11; request++) {
      const controller = new AbortController();
      const stub = await stubOf({
        running: true,
        script: {
          answer: (_, index) => {
            if (index === request) controller.abort();
            return undefined;
          },
        },
      });
      expect((await failure(attachQemu(stub.address, { signal: controller.signal }))).code).toBe("interrupted");
      await expectLeft(stub, { runs: true });
    }
  });

  it("before the first answer, which tells that the guest ran, lets it run on too", async () => {
    const stub = await stubOf({ running: true });
    const transport = await connectTransport(stub.address);
    const controller = new AbortController();
    const opening = failure(openQemu(transport, { signal: controller.signal }));
    controller.abort();
    expect((await opening).code).toBe("interrupted");
    await expectLeft(stub, { runs: true });
  });

  it("leaves a halted guest halted", async () => {
    const controller = new AbortController();
    const stub = await stubOf({ script: { answer: () => void controller.abort() } });
    expect((await failure(attachQemu(stub.address, { signal: controller.signal }))).code).toBe("interrupted");
    await ended(stub);
    expect(stub.session.requests).not.toContain("D");
  });

  it("before it does not touch the guest at all", async () => {
    const stub = await stubOf({ running: true });
    expect((await failure(attachQemu(stub.address, { signal: AbortSignal.abort() }))).code).toBe("interrupted");
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(stub.sessions).toEqual([]);
    expect(stub.running).toBe(true);
  });

  it("of a silent stub ends in time", async () => {
    const controller = new AbortController();
    const stub = await stubOf({ script: { answer: () => silence } });
    const attaching = failure(attachQemu(stub.address, { signal: controller.signal, deadlineMs: 60_000 }));
    await vi.waitFor(() => expect(stub.sessions).toHaveLength(1));
    const started = performance.now();
    controller.abort();
    expect((await attaching).code).toBe("interrupted");
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
