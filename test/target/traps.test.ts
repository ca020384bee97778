/** Breakpoints and watchpoints on the wire, and steps past them. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { virt } from "../../src/base/address.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import type { Target } from "../../src/target/target.ts";
import { failure } from "../support/failure.ts";
import { reply, type ScriptedStub, type StubOptions, startStub } from "../support/scripted-stub.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

async function attached(options: StubOptions = {}): Promise<{ stub: ScriptedStub; target: Target }> {
  const stub = await startStub(options);
  cleanup.push(() => stub.close());
  const target = await attachQemu(stub.address);
  cleanup.push(() => target.release(false));
  return { stub, target };
}

const CPU = { index: 0, thread: "01" };
const running = (stub: ScriptedStub): Promise<void> =>
  vi.waitFor(() => expect(stub.running).toBe(true), { timeout: 5000, interval: 1 });

/** The requests that `work` sends. */
async function requestsOf(stub: ScriptedStub, work: () => Promise<unknown>): Promise<string[]> {
  const from = stub.session.requests.length;
  await work();
  return stub.session.requests.slice(from);
}

describe("a watchpoint", () => {
  it("is put in once, with its length, and taken out with the last that want it", async () => {
    const { stub, target } = await attached();
    const first = await target.insertWatchpoint(virt(0x4000_0000), 8);
    const second = await target.insertWatchpoint(virt(0x4000_0000), 8);
    expect(first).toMatchObject({ address: 0x4000_0000n, length: 8 });
    expect(stub.breakpoints).toEqual(["2,40000000,8"]);
    await first[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual(["2,40000000,8"]);
    await second[Symbol.asyncDispose]();
    expect(stub.breakpoints).toEqual([]);
  });

  it("is another one at another length, and beside a breakpoint", async () => {
    const { stub, target } = await attached();
    await target.insertWatchpoint(virt(0x1000), 8);
    await target.insertWatchpoint(virt(0x1000), 4);
    await target.insertBreakpoint(virt(0x1000));
    expect(stub.breakpoints).toEqual(["2,1000,8", "2,1000,4", "0,1000,4"]);
    await target.release(false);
    expect(stub.breakpoints).toEqual([]);
  });

  it("that the stub does not take is refused, and named", async () => {
    const { stub, target } = await attached();
    stub.rescript({ answer: (request) => (request.startsWith("Z2") ? reply("E22") : undefined) });
    expect(await failure(target.insertWatchpoint(virt(0x1000), 8))).toMatchObject({
      code: "stub-refused",
      message: 'Cannot insert a watchpoint at 0x1000: the stub says "E22"',
    });
  });

  it("tells where it begins when it stops the guest", async () => {
    const { stub, target } = await attached();
    await target.resume();
    await running(stub);
    const stop = target.waitForStop();
    stub.stop("T05thread:02;watch:0000000040000000;");
    expect(await stop).toEqual({ kind: "watchpoint", cpu: { index: 1, thread: "02" }, address: 0x4000_0000n });
    expect(target.stoppedCpu.index).toBe(1);
  });
});

describe("a step", () => {
  it("with everything out of the way leaves everything in, in the order in which it was", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    await target.insertWatchpoint(virt(0x2000), 8);
    const sent = await requestsOf(stub, () => target.step(CPU, "everything"));
    expect(sent).toEqual(["z0,1000,4", "z2,2000,8", "vCont;s:01", "Z0,1000,4", "Z2,2000,8"]);
    expect(stub.breakpoints).toEqual(["0,1000,4", "2,2000,8"]);
  });

  it("with nothing out of the way is a step and nothing else", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    expect(await requestsOf(stub, () => target.step(CPU, "nothing"))).toEqual(["vCont;s:01"]);
  });

  it("takes what is asked for in between with it, before the guest is resumed", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    const read = (): Promise<unknown> => target.readVirtual(CPU, [{ address: virt(0x4000_0000), length: 4 }]);
    const sent = await requestsOf(stub, async () => {
      await target.resumePast(CPU, virt(0x1000), read);
      await running(stub);
    });
    expect(sent).toEqual(["z0,1000,4", "vCont;s:01", "Z0,1000,4", "m40000000,4", "c"]);
    expect(stub.session.stray).toBe("");
  });

  it("that comes upon a watchpoint does not resume the guest: it is the next stop", async () => {
    const { stub, target } = await attached();
    await target.insertBreakpoint(virt(0x1000));
    await target.insertWatchpoint(virt(0x2000), 8);
    stub.rescript({ onResume: () => stub.stop("T05thread:01;watch:2000;") });
    const sent = await requestsOf(stub, () => target.resumePast(CPU, virt(0x1000)));
    expect(sent).toEqual(["z0,1000,4", "vCont;s:01", "Z0,1000,4"]);
    expect(await target.waitForStop()).toEqual({ kind: "watchpoint", cpu: CPU, address: 0x2000n });
    expect(stub.running).toBe(false);
  });
});

describe("virtual memory through the stub", () => {
  it("is asked for as the vCPU sees it, in pieces that the stub reads at once", async () => {
    const { stub, target } = await attached();
    const sent = await requestsOf(stub, () =>
      target.readVirtual({ index: 1, thread: "02" }, [
        { address: virt(0x4000_0000), length: 2049 },
        { address: virt(-8n), length: 8 },
      ]),
    );
    expect(sent).toEqual(["Hg02", "m40000000,800", "m40000800,1", "mfffffffffffffff8,8"]);
  });

  it("is not asked for in the physical mode that was found, which is put back", async () => {
    const { stub, target } = await attached({ physMode: "1" });
    const sent = await requestsOf(stub, () => target.readVirtual(CPU, [{ address: virt(0x10), length: 1 }]));
    expect(sent).toEqual(["Hg01", "Qqemu.PhyMemMode:0", "m10,1", "Qqemu.PhyMemMode:1"]);
    expect(stub.physMode).toBe("1");
  });

  it.each([
    ["an error", "E14"],
    ["too short", "00"],
    ["no hex", "zzzzzzzz"],
  ])("whose reply is %s is unreadable, and only that", async (_, payload) => {
    const { stub, target } = await attached();
    stub.rescript({
      answer: (request) => (request === "m10,4" ? reply(payload) : request === "m20,4" ? reply("01020304") : undefined),
    });
    expect(
      await target.readVirtual(CPU, [
        { address: virt(0x10), length: 4 },
        { address: virt(0x20), length: 4 },
      ]),
    ).toEqual([
      { state: "unreadable", code: "read-failed" },
      { state: "present", bytes: Uint8Array.of(1, 2, 3, 4) },
    ]);
  });

  it("of a vCPU that cannot be selected is unreadable, not another vCPU's", async () => {
    const { stub, target } = await attached();
    stub.rescript({ answer: (request) => (request === "Hg02" ? reply("E22") : undefined) });
    expect(await target.readVirtual({ index: 1, thread: "02" }, [{ address: virt(0x10), length: 4 }])).toEqual([
      { state: "unreadable", code: "read-failed" },
    ]);
  });
});
