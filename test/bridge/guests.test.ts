import { describe, expect, it, vi } from "vitest";
import type { EventKind } from "../../src/api/events.ts";
import { EbscopeError } from "../../src/base/error.ts";
import type { Target } from "../../src/target/target.ts";
import { failure } from "../support/failure.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { FakeTarget, type Visit } from "../support/fake-target.ts";
import { type Bridged, bridged, told } from "./support.ts";

const LOOP = 0x4000_0100n;
const NEXT = 0x4000_0104n;

interface Attached extends Bridged {
  readonly target: FakeTarget;
}

/** A bridge that has attached to one guest, which stands still as t1. */
async function attached(visits: readonly Visit[] = [], cpus = 1): Promise<Attached> {
  const target = new FakeTarget(new FakeMemory(), visits, cpus);
  const all = await bridged({ 1: target });
  await all.call("Target.attach", { gdb: "localhost:1" });
  return { ...all, target };
}

const T1 = { target: "t1" };

/** The kinds after attaching. */
const kindsSince = ({ log }: Bridged): EventKind[] => log.kinds.slice(3);

describe("attaching", () => {
  it("tells of the guest and where it stands, and leaves it there", async () => {
    const { log, target, call } = await attached();
    expect(log.events).toMatchObject([
      { seq: 1, kind: "bridge.started", target: null, data: { version: "0.0.0", cut: 0 } },
      { seq: 2, kind: "target.attached", target: "t1", data: { gdb: "localhost:1", qemuVersion: null, cpus: 1 } },
      { seq: 3, kind: "target.stopped", target: "t1", data: { cpu: 0, pc: "0x0", why: "attach" } },
    ]);
    expect(target.running).toBe(false);
    expect(await call("Target.status", T1)).toEqual({
      ...{ target: "t1", gdb: "localhost:1", state: "stopped", qemuVersion: null, cpus: 1 },
      ...{ stop: { cpu: 0, pc: "0x0", why: "attach" }, capture: null, error: null },
    });
  });

  it("lets the guest run when that is asked for", async () => {
    const target = new FakeTarget(new FakeMemory(), []);
    const all = await bridged({ 1: target });
    expect(await all.call("Target.attach", { gdb: ":1", run: true })).toMatchObject({ state: "running", stop: null });
    expect(all.log.kinds).toEqual(["bridge.started", "target.attached", "target.stopped", "target.resumed"]);
    expect(target.running).toBe(true);
  });

  it("twice to one stub gives the one guest, however the address is written", async () => {
    const { call } = await attached();
    expect(await call("Target.attach", { gdb: "tcp:localhost:1" })).toMatchObject({ target: "t1" });
    expect(await call("Target.list", {})).toHaveLength(1);
  });

  it("by several at once gives all of them the one guest", async () => {
    const all = await bridged({ 1: new FakeTarget(new FakeMemory(), []) });
    const answers = await Promise.all([1, 2, 3].map(() => all.call("Target.attach", { gdb: ":1" })));
    expect(answers.map(({ target }) => target)).toEqual(["t1", "t1", "t1"]);
    expect(all.log.of("target.attached")).toHaveLength(1);
  });

  it("that fails for the first is tried by the next who waits", async () => {
    const target = new FakeTarget(new FakeMemory(), []);
    let tries = 0;
    const attach = async (): Promise<Target> => {
      if (tries++ === 0) throw new EbscopeError("connect-failed", "Cannot connect: nothing listens there");
      return target;
    };
    const all = await bridged({}, { attach });
    const both = [1, 2].map(() => all.call("Target.attach", { gdb: ":1" }));
    expect((await failure(both[0] as Promise<unknown>)).code).toBe("connect-failed");
    expect(await both[1]).toMatchObject({ target: "t1" });
  });

  it.each([
    ["replay:/etc/passwd", "usage"],
    ["nonsense", "usage"],
    ["localhost:2", "connect-failed"],
  ])("to %s is refused as %s, and nothing is told", async (gdb, code) => {
    const all = await bridged({});
    expect((await failure(all.call("Target.attach", { gdb }))).code).toBe(code);
    expect(all.log.kinds).toEqual(["bridge.started"]);
  });

  it("ends at 64 guests, and a lost one makes place", async () => {
    const targets = Array.from({ length: 66 }, () => new FakeTarget(new FakeMemory(), []));
    const all = await bridged(Object.fromEntries(targets.map((target, i) => [i + 1, target])));
    for (let i = 1; i <= 64; i++) await all.call("Target.attach", { gdb: `:${i}` });
    expect((await failure(all.call("Target.attach", { gdb: ":65" }))).code).toBe("usage");
    targets[9]?.lose();
    await told(all, "target.lost");
    expect(await all.call("Target.attach", { gdb: ":66" })).toMatchObject({ target: "t65" });
    expect((await failure(all.call("Target.status", { target: "t10" }))).code).toBe("no-such-target");
  });
});

describe("run control", () => {
  it("tells of the stop of a running guest without being asked", async () => {
    const all = await attached();
    const { breakpoint } = await all.call("Breakpoint.insert", { ...T1, address: "0x40000100" });
    expect(breakpoint).toBe("b1");
    await all.call("Target.resume", T1);
    all.target.goOn({ pc: LOOP });
    expect(await told(all, "target.stopped", 2)).toMatchObject([
      {},
      { target: "t1", capture: null, data: { cpu: 0, pc: "0x40000100", why: "breakpoint" } },
    ]);
    expect(await all.call("Target.status", T1)).toMatchObject({
      state: "stopped",
      stop: { pc: "0x40000100", why: "breakpoint" },
    });
  });

  it("resumes past the breakpoint where the guest stands", async () => {
    const all = await attached([{ pc: LOOP }, { pc: LOOP }]);
    await all.call("Breakpoint.insert", { ...T1, address: "0x40000100" });
    for (const count of [2, 3]) {
      await all.call("Target.resume", T1);
      await told(all, "target.stopped", count);
    }
    expect(kindsSince(all).filter((kind) => !kind.startsWith("registers"))).toEqual([
      ...["target.resumed", "target.stopped", "target.resumed", "target.stopped"],
    ]);
  });

  it("interrupts a running guest, and tells nothing of one that stands still", async () => {
    const all = await attached();
    await all.call("Target.resume", T1);
    for (let i = 0; i < 2; i++) {
      expect(await all.call("Target.interrupt", T1)).toMatchObject({ state: "stopped", stop: { why: "interrupt" } });
    }
    expect(kindsSince(all)).toEqual(["target.resumed", "target.stopped"]);
  });

  it("tells of one stop where a breakpoint and an interrupt meet", async () => {
    const all = await attached();
    await all.call("Breakpoint.insert", { ...T1, address: "0x40000100" });
    await all.call("Target.resume", T1);
    all.target.goOn({ pc: LOOP });
    const stops = await Promise.all([all.call("Target.interrupt", T1), all.call("Target.interrupt", T1)]);
    expect(stops).toMatchObject([{ stop: { why: "breakpoint" } }, { stop: { why: "breakpoint" } }]);
    await all.call("Target.resume", T1);
    expect(kindsSince(all).filter((kind) => kind === "target.stopped")).toHaveLength(1);
  });

  it("steps one instruction on the vCPU that is named", async () => {
    const all = await attached([{ pc: NEXT }], 2);
    expect(await all.call("Target.step", { ...T1, cpu: 1 })).toMatchObject({
      stop: { cpu: 1, pc: "0x40000104", why: "step" },
    });
    expect(kindsSince(all)).toEqual(["target.stopped", "registers.changed"]);
    expect((await failure(all.call("Target.step", { ...T1, cpu: 2 }))).code).toBe("usage");
  });

  it.each([
    ["Target.resume", T1],
    ["Target.step", T1],
    ["Breakpoint.insert", { ...T1, address: "0x1000" }],
    ["Breakpoint.remove", { ...T1, breakpoint: "b1" }],
    ["Registers.get", T1],
    ["Memory.read", { ...T1, address: "0x1000", length: 4 }],
    ["PageTable.explain", { ...T1, va: "0x1000" }],
    ["PageTable.list", T1],
  ] as const)("%s of a running guest is refused", async (method, params) => {
    const all = await attached();
    await all.call("Target.resume", T1);
    expect(await failure(all.call(method, params as never))).toMatchObject({ code: "target-running" });
    expect(all.target.running).toBe(true);
  });

  it("does one thing after the other, and nothing of what was given up while it waited", async () => {
    const all = await attached();
    const order: string[] = [];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    vi.spyOn(all.target, "memoryRanges").mockImplementation(async () => {
      order.push("read begins");
      await gate;
      order.push("read ends");
      return [];
    });
    vi.spyOn(all.target, "insertBreakpoint").mockImplementation(async () => {
      order.push("insert");
      throw new EbscopeError("stub-refused", "no");
    });
    const given = new AbortController();
    const read = all.call("Memory.read", { ...T1, address: "0x40000000", length: 4, physical: true });
    const insert = failure(all.call("Breakpoint.insert", { ...T1, address: "0x1000" }));
    const step = failure(all.call("Target.step", T1, given.signal));
    given.abort();
    expect((await step).code).toBe("interrupted");
    open();
    await Promise.all([read, insert]);
    expect(order).toEqual(["read begins", "read ends", "insert"]);
    expect(kindsSince(all)).toEqual([]);
  });

  it("turns callers away when too many wait", async () => {
    const all = await attached();
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    vi.spyOn(all.target, "memoryRanges").mockImplementation(() => gate.then(() => []));
    const params = { ...T1, address: "0x40000000", length: 1, physical: true };
    const codes = Array.from({ length: 300 }, () =>
      all.call("Memory.read", params).then(
        ({ code }) => code,
        ({ code }: EbscopeError) => code,
      ),
    );
    expect(await Promise.all(codes.slice(290))).toEqual(Array.from({ length: 10 }, () => "target-busy"));
    open();
    expect((await Promise.all(codes)).filter((code) => code === "outside-memory").length).toBeGreaterThan(200);
  });
});

describe("breakpoints", () => {
  it("of two clients at one address are one in the guest, until the last is removed", async () => {
    const { call, target } = await attached();
    await call("Breakpoint.insert", { ...T1, address: "0x1000" });
    await call("Breakpoint.insert", { ...T1, address: "0x1000" });
    expect(await call("Breakpoint.list", T1)).toEqual([
      { breakpoint: "b1", target: "t1", address: "0x1000" },
      { breakpoint: "b2", target: "t1", address: "0x1000" },
    ]);
    await call("Breakpoint.remove", { ...T1, breakpoint: "b1" });
    expect([...target.breakpoints]).toEqual([0x1000n]);
    await call("Breakpoint.remove", { ...T1, breakpoint: "b2" });
    expect([...target.breakpoints]).toEqual([]);
    expect((await failure(call("Breakpoint.remove", { ...T1, breakpoint: "b2" }))).code).toBe("no-such-breakpoint");
  });

  it("that the stub refuses are none", async () => {
    const { call, target } = await attached();
    target.refuses.add(0x1000n);
    expect((await failure(call("Breakpoint.insert", { ...T1, address: "0x1000" }))).code).toBe("stub-refused");
    expect(await call("Breakpoint.list", T1)).toEqual([]);
  });

  it("lie at 64-bit addresses", async () => {
    const { call } = await attached();
    const error = await failure(call("Breakpoint.insert", { ...T1, address: "0x10000000000000000" }));
    expect(error.code).toBe("usage");
  });
});

describe("a lost guest", () => {
  it("is noticed while it stands still, recorded, and can be attached again", async () => {
    const [first, second] = [1, 2].map(() => new FakeTarget(new FakeMemory(), []));
    const all = await bridged({ 1: [first as FakeTarget, second as FakeTarget] });
    await all.call("Target.attach", { gdb: ":1" });
    first?.lose();
    expect(await told(all, "target.lost")).toMatchObject([{ target: "t1", data: { code: "connection-lost" } }]);
    expect(await all.call("Target.status", T1)).toMatchObject({
      ...{ state: "lost", stop: null },
      error: { code: "connection-lost", message: "Cannot talk to the stub: the stub closed the connection" },
    });
    expect((await failure(all.call("Registers.get", T1))).code).toBe("connection-lost");
    expect(await all.call("Target.attach", { gdb: ":1" })).toMatchObject({ target: "t2", state: "stopped" });
    expect(await all.call("Target.list", {})).toHaveLength(1);
  });

  it("is noticed while it runs", async () => {
    const all = await attached();
    await all.call("Target.resume", T1);
    all.target.lose();
    await told(all, "target.lost");
    expect(await all.call("Target.list", {})).toMatchObject([{ state: "lost" }]);
    expect(kindsSince(all)).toEqual(["target.resumed", "target.lost"]);
  });

  it("that ended by itself is told of as such", async () => {
    const all = await attached();
    await all.call("Target.resume", T1);
    vi.spyOn(all.target, "interrupt").mockResolvedValue({ kind: "ended", why: "it exited with status 0" });
    expect((await failure(all.call("Target.interrupt", T1))).code).toBe("guest-ended");
    expect(await told(all, "target.lost")).toMatchObject([
      { data: { code: "guest-ended", message: "The guest ended: it exited with status 0" } },
    ]);
  });

  it("is lost too when it does not come out of a step", async () => {
    const all = await attached();
    vi.spyOn(all.target, "step").mockRejectedValue(new EbscopeError("stub-silent", "Cannot step the guest"));
    expect((await failure(all.call("Target.step", T1))).code).toBe("stub-silent");
    expect(await all.call("Target.status", T1)).toMatchObject({ state: "lost", error: { code: "stub-silent" } });
    expect(all.target.released).toBe("running");
  });

  it("is forgotten when it is let go", async () => {
    const all = await attached();
    all.target.lose();
    await told(all, "target.lost");
    expect(await all.call("Target.detach", T1)).toEqual({ running: false });
    expect(await all.call("Target.list", {})).toEqual([]);
  });
});

describe("letting go", () => {
  it.each([
    [undefined, "running", true],
    [true, "running", true],
    [false, "halted", false],
  ] as const)("a guest that ran, with run %s, leaves it %s", async (run, released, running) => {
    const all = await attached();
    expect(await all.call("Target.detach", { ...T1, ...(run !== undefined && { run }) })).toEqual({ running });
    expect(all.target.released).toBe(released);
    expect(all.log.events.at(-1)).toMatchObject({ kind: "target.detached", target: "t1", data: { running } });
    expect((await failure(all.call("Target.status", T1))).code).toBe("no-such-target");
  });

  it("when the bridge ends leaves every guest as it was found, and is no loss", async () => {
    const all = await attached();
    await all.call("Target.resume", T1);
    await all.bridge.close();
    expect(all.target.released).toBe("running");
    expect(kindsSince(all)).toEqual(["target.resumed", "target.detached"]);
    expect((await failure(all.call("Target.attach", { gdb: ":1" }))).code).toBe("interrupted");
  });
});

describe("a log that cannot be written", () => {
  it("keeps what happened for later, in order, and begins nothing new meanwhile", async () => {
    const problems: string[] = [];
    const target = new FakeTarget(new FakeMemory(), []);
    const all = await bridged({ 1: target }, { onProblem: ({ error }) => problems.push(error.code) });
    await all.call("Target.attach", { gdb: ":1", run: true });
    all.log.full = true;
    await all.call("Target.interrupt", T1);
    expect((await failure(all.call("Target.resume", T1))).code).toBe("store-full");
    expect(target.running).toBe(false);
    expect(await all.call("Registers.get", { ...T1, names: ["pc"] })).toMatchObject([{ value: "0x0" }]);
    all.log.full = false;
    await all.call("Target.resume", T1);
    expect(all.log.kinds.slice(4)).toEqual(["target.stopped", "target.resumed"]);
    expect(problems).toEqual(["store-full"]);
  });
});
