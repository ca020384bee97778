import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import type { SessionEvent, Stop } from "../../src/session/index.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import { failure } from "../support/failure.ts";
import { EXIT_BOOT_SERVICES, GET_MEMORY_MAP } from "../support/handoff-target.ts";
import { BOOT_SERVICES, fakeSession, SERVICES, SERVICES_CODE } from "./support.ts";

const A = 0x4400_0000n;
const B = 0x4400_0100n;
const DATA = 0x4600_0000n;

function service(name: string): bigint {
  return SERVICES_CODE + BigInt(SERVICES.indexOf(name) * 64);
}

/** `count` visits of a place, x0 counting from 1. */
function rounds(pc: bigint, count: number, cpu = 0) {
  return Array.from({ length: count }, (_, i) => ({ pc, cpu, registers: { x0: BigInt(i + 1) } }));
}

describe("places", () => {
  it.each([
    ["gBS->ExitBootServices", EXIT_BOOT_SERVICES],
    ["gBS->Stall", service("Stall")],
    ["DxeCore+0x1234", 0x474f_1234n],
    ["dxecore+0x10", 0x474f_0010n],
    ["0x44000000", A],
    ["vector(sync)", 0x4740_0200n],
    ["vector(irq, lower-64, EL1)", 0x4740_0480n],
  ])("%s is found", async (text, address) => {
    const { session } = fakeSession([]);
    expect((await session.place(text)).address).toBe(address);
  });

  it("an address stands for itself, a place that was found too", async () => {
    const { session } = fakeSession([]);
    const found = await session.place(A);
    expect(found).toEqual({ address: A, name: "0x44000000" });
    expect(await session.place(found)).toBe(found);
  });

  it("services are listed as the table has them", async () => {
    const { session } = fakeSession([]);
    const services = await session.services("gBS");
    expect(services.map(({ name }) => name)).toEqual(
      SERVICES.filter((name) => name !== "Reserved").map((name) => `gBS->${name}`),
    );
    expect(services.find(({ name }) => name === "gBS->Stall")?.address).toBe(service("Stall"));
  });

  it.each([
    ["gBS->ExitBootService", "no-such-place", "Did you mean gBS->ExitBootServices?"],
    ["gBS->Reserved", "no-such-place", undefined],
    ["gBS->Hdr", "no-such-place", undefined],
    ["gST->ConOut", "no-such-place", "Services are those of gBS and gRT: gBS->ExitBootServices."],
    ["DxeCor+0x10", "no-such-place", "Did you mean DxeCore?"],
    ["CoreExit", "no-such-place", undefined],
    ["DxeCore+0x11", "no-such-place", "Give an address that is a multiple of 4."],
    ["write(0x1000, 8)", "bad-expression", "Watch it: watchWrite(address, size)."],
    ["gBS->", "bad-expression", undefined],
  ])("%s is refused (%s)", async (text, code, next) => {
    const { session } = fakeSession([]);
    const error = await failure(session.place(text));
    expect(error.code).toBe(code);
    if (next !== undefined) expect(error.next).toContain(next);
  });

  it("that would need the guest to run are not looked for while breakpoints are in it", async () => {
    const { session, target } = fakeSession([]);
    await session.breakpoint(A);
    target.memory.bytes(0x47c0_0000n).fill(0);
    expect((await failure(session.place("gBS->Stall"))).code).toBe("target-busy");
    expect(target.running).toBe(false);
  });
});

describe("stops", () => {
  it("are told of one after the other, and the guest stands still when the loop is left", async () => {
    const { session, target } = fakeSession([...rounds(A, 3), { pc: B }, ...rounds(A, 2)]);
    const [a, b] = [await session.breakpoint(A), await session.breakpoint(B)];
    const seen: [unknown, number, bigint | undefined][] = [];
    for await (const stop of session.stops()) {
      seen.push([stop.breakpoint, stop.hit, stop.pc]);
      if (stop.breakpoint === b) break;
    }
    expect(seen).toEqual([
      [a, 1, A],
      [a, 2, A],
      [a, 3, A],
      [b, 1, B],
    ]);
    expect(target.running).toBe(false);
    expect(target.left).toBe(2);
    expect(session.isRunning).toBe(false);
  });

  it("have the general registers at hand, and all others on demand", async () => {
    const { session } = fakeSession([{ pc: A, registers: { x0: 7n, SCTLR_EL1: 5n } }]);
    await session.breakpoint(A);
    const stop = await session.next();
    expect(stop.general.get("x0")).toBe(7n);
    expect(stop.general.get("SCTLR_EL1")).toBeUndefined();
    expect((await stop.registers()).get("SCTLR_EL1")).toBe(5n);
    expect((await stop.registersNamed(new Set(["SCTLR_EL1"]))).get("SCTLR_EL1")).toBe(5n);
  });

  it("cannot be asked of any more when the guest has gone on", async () => {
    const { session, target } = fakeSession(rounds(A, 2));
    await session.breakpoint(A);
    const first = await session.next();
    await session.next();
    expect(await failure(first.registers())).toMatchObject({ code: "target-running" });
    expect(await failure(first.memory(DATA, 8))).toMatchObject({ code: "target-running" });
    expect(() => first.snapshot("late")).toThrow(EbscopeError);
    // What came with the stop stays.
    expect(first.general.get("x0")).toBe(1n);
    expect(target.left).toBe(0);
  });

  it("of two breakpoints at one address are one stop with both", async () => {
    const { session, target } = fakeSession(rounds(A, 2));
    const first = await session.breakpoint(A);
    const second = await session.breakpoint(A, { condition: "x0 == 2" });
    expect((await session.next()).hits.map(({ breakpoint }) => breakpoint)).toEqual([first]);
    expect((await session.next()).hits).toEqual([
      { breakpoint: first, hit: 2 },
      { breakpoint: second, hit: 1 },
    ]);
    await first[Symbol.asyncDispose]();
    expect(target.breakpoints.has(A)).toBe(true);
    await second[Symbol.asyncDispose]();
    expect(target.breakpoints.has(A)).toBe(false);
  });

  it("of several vCPUs name the one that stopped", async () => {
    const { session } = fakeSession([...rounds(A, 1, 1), ...rounds(A, 1, 0), ...rounds(A, 1, 1)], { cpus: 2 });
    await session.breakpoint(A);
    expect([(await session.next()).cpu, (await session.next()).cpu, (await session.next()).cpu]).toEqual([1, 0, 1]);
  });

  it("that nobody comes to end with the time given, the guest halted", async () => {
    const { session, target } = fakeSession([]);
    await session.breakpoint(A);
    expect(await failure(session.next({ timeoutMs: 10 }))).toMatchObject({ code: "timed-out" });
    expect(target.running).toBe(false);
  });

  it.each(["of the wait", "of the session"])("are waited for until the signal %s is aborted", async (whose) => {
    const abort = new AbortController();
    const { session, target } = fakeSession([], whose === "of the session" ? { signal: abort.signal } : {});
    await session.breakpoint(A);
    const waiting = session.next(whose === "of the wait" ? { signal: abort.signal } : {});
    setTimeout(() => abort.abort(), 5);
    expect(await failure(waiting)).toMatchObject({ code: "interrupted" });
    expect(target.running).toBe(false);
  });

  it("end where the guest does", async () => {
    const { session, target } = fakeSession(rounds(A, 1));
    await session.breakpoint(A);
    const seen: Stop[] = [];
    for await (const stop of session.stops()) {
      seen.push(stop);
      setTimeout(() => target.lose(new EbscopeError("guest-ended", "The guest ended: it exited with status 0")), 5);
    }
    expect(seen).toHaveLength(1);
    expect(await failure(session.next())).toMatchObject({ code: "guest-ended" });
  });

  it("by a step tell where the vCPU is then; one instruction is done", async () => {
    const { session } = fakeSession([{ pc: A }, { pc: A + 4n }, { pc: A + 8n }]);
    await using breakpoint = await session.breakpoint(A);
    await session.next();
    const stop = await session.step();
    expect(stop).toMatchObject({ reason: "step", pc: A + 4n, cpu: 0, hit: 0 });
    expect(breakpoint.hits).toBe(1);
  });

  it("by an interrupt are told as such; a halted guest has none", async () => {
    const { session } = fakeSession([]);
    expect(await session.interrupt()).toBeUndefined();
    await session.resume();
    expect(session.isRunning).toBe(true);
    expect(await session.interrupt()).toMatchObject({ reason: "interrupt" });
    expect(session.isRunning).toBe(false);
  });
});

describe("conditions", () => {
  const seenWith = async (condition: string): Promise<bigint[]> => {
    const { session, target } = fakeSession([...rounds(A, 6), { pc: B }]);
    target.memory.setWord(DATA, 4n);
    await session.breakpoint(A, { condition });
    const end = await session.breakpoint(B);
    const seen: bigint[] = [];
    for await (const stop of session.stops()) {
      if (stop.breakpoint === end) break;
      seen.push(stop.general.get("x0") ?? 0n);
    }
    return seen;
  };

  it.each([
    ["x0 == 3", [3n]],
    ["x0 & 1", [1n, 3n, 5n]],
    [`x0 >= u64[${DATA}]`, [4n, 5n, 6n]],
    ["x0 > 4 && SCTLR_EL1.M == 0", [5n, 6n]],
    ["gBS != 0 && x0 == 2", [2n]],
    ["DxeCore == 0x474f0000 && x0 == 2", [2n]],
    ["0", []],
  ])("%s", async (condition, expected) => {
    expect(await seenWith(condition)).toEqual(expected);
  });

  it("that cannot be decided are no hits, and are counted", async () => {
    const { session } = fakeSession([...rounds(A, 3), { pc: B }]);
    const unknown = await session.breakpoint(A, { condition: "u64[0x10] == 0" });
    const end = await session.breakpoint(B);
    expect((await session.next()).breakpoint).toBe(end);
    expect(unknown).toMatchObject({ arrivals: 3, hits: 0, undecided: 3 });
  });

  it("may be functions, which look at the stop", async () => {
    const { session } = fakeSession(rounds(A, 3));
    const condition = async (stop: Stop): Promise<boolean> => (await stop.registers()).get("x0") === 2n;
    await session.breakpoint(A, { condition });
    expect((await session.next()).general.get("x0")).toBe(2n);
  });

  it("that are no expressions are refused before anything is put in", async () => {
    const { session, target } = fakeSession([]);
    expect(await failure(session.breakpoint(A, { condition: "x0 ==" }))).toMatchObject({ code: "bad-expression" });
    expect(target.breakpoints.size).toBe(0);
  });
});

describe("hits", () => {
  it("of a range are told, those before it counted; behind it the breakpoint is taken out", async () => {
    const { session, target } = fakeSession([...rounds(A, 6), { pc: B }]);
    const breakpoint = await session.breakpoint(A, { hits: { from: 3, to: 4 } });
    const end = await session.breakpoint(B);
    expect((await session.next()).hit).toBe(3);
    expect((await session.next()).hit).toBe(4);
    expect(breakpoint.isRemoved).toBe(true);
    expect(target.breakpoints.has(A)).toBe(false);
    expect((await session.next()).breakpoint).toBe(end);
  });

  it("the n-th alone is told when a number is given", async () => {
    const { session } = fakeSession(rounds(A, 6));
    await session.breakpoint(A, { hits: 5, condition: "x0 != 1" });
    expect((await session.next()).general.get("x0")).toBe(6n);
  });

  it.each([0, -1, 1.5, { from: 3, to: 2 }, { to: 0 }])("%j are none", async (hits) => {
    const { session } = fakeSession([]);
    expect(await failure(session.breakpoint(A, { hits }))).toMatchObject({ code: "usage" });
  });
});

describe("vectors", () => {
  it("count while the vector base is what it was", async () => {
    const vector = 0x4740_0200n;
    const { session } = fakeSession([
      { pc: vector },
      { pc: vector, registers: { VBAR_EL1: 0x4741_0000n } },
      { pc: vector, registers: { VBAR_EL1: 0x4740_0000n } },
    ]);
    const breakpoint = await session.vector({ exception: "sync", from: "current-spx" });
    expect(breakpoint).toMatchObject({ kind: "vector", address: vector, name: "vector(sync, current-spx, EL1)" });
    await session.next();
    await session.next();
    expect(breakpoint).toMatchObject({ arrivals: 3, hits: 2 });
  });
});

describe("watched writes", () => {
  const write = (address: bigint, word: bigint, pc = A) => ({ pc, writes: { address, word } });
  const wordOf = (read: { state: string; bytes?: Uint8Array } | undefined): bigint | undefined =>
    read?.state === "present" ? Buffer.from(read.bytes ?? []).readBigUInt64LE() : undefined;

  it("are told when they are done, with what was there before and after", async () => {
    const { session, target } = fakeSession([write(DATA, 1n), write(DATA + 8n, 9n), write(DATA, 2n), { pc: B }]);
    target.memory.setWord(DATA, 0x77n);
    const watch = await session.watchWrite(DATA, 8);
    const seen: (bigint | undefined)[][] = [];
    for (let i = 0; i < 2; i++) {
      const stop = await session.next();
      expect(stop).toMatchObject({ reason: "watchpoint", pc: A, hit: i + 1, breakpoint: watch });
      seen.push([wordOf(stop.written?.before), wordOf(stop.written?.after)]);
    }
    expect(seen).toEqual([
      [0x77n, 1n],
      [1n, 2n],
    ]);
    expect(target.memory.word(DATA + 8n)).toBe(9n);
    await watch[Symbol.asyncDispose]();
    expect(target.watchpoints.size).toBe(0);
  });

  it("of an instruction with a breakpoint are told behind it, each once", async () => {
    const { session } = fakeSession([write(DATA, 1n), write(DATA, 2n)]);
    await session.breakpoint(A);
    await session.watchWrite(DATA, 8);
    const reasons: string[] = [];
    for (let i = 0; i < 4; i++) reasons.push((await session.next()).reason);
    expect(reasons).toEqual(["breakpoint", "watchpoint", "breakpoint", "watchpoint"]);
  });

  it("where no memory is are told without values", async () => {
    const { session } = fakeSession([write(0x900_0000n, 1n)]);
    await session.watchWrite(0x900_0000n, 4);
    const { written } = await session.next();
    expect(written).toMatchObject({
      before: { state: "absent", code: "outside-memory" },
      after: { state: "absent", code: "outside-memory" },
    });
  });

  it.each([0, 4097, 1.5, -8])("of %d bytes cannot be watched", async (size) => {
    const { session } = fakeSession([]);
    expect(await failure(session.watchWrite(DATA, size))).toMatchObject({ code: "usage" });
  });
});

describe("arguments", () => {
  it("have the names of the service's prototype, and say which GUID is meant", async () => {
    const guid = Uint8Array.from(Buffer.from("a1311b5b6295d2118e3f00a0c969723b", "hex"));
    const pc = service("HandleProtocol");
    const { session, target } = fakeSession([{ pc, registers: { x0: 0x99n, x1: DATA, x2: 0x123n } }]);
    target.memory.write(DATA, guid);
    await session.breakpoint(pc);
    const stop = await session.next();
    expect(await stop.arguments()).toEqual({
      service: "gBS->HandleProtocol",
      arguments: [
        { name: "Handle", type: "EFI_HANDLE", value: 0x99n, text: undefined },
        { name: "Protocol", type: "EFI_GUID*", value: DATA, text: "EFI_LOADED_IMAGE_PROTOCOL_GUID" },
        { name: "Interface", type: "VOID**", value: 0x123n, text: undefined },
      ],
    });
  });

  it("are cut to their types, and strings are made safe to print", async () => {
    const pc = service("SetWatchdogTimer");
    const { session, target } = fakeSession([{ pc, registers: { x0: 1n, x1: 2n, x2: 8n, x3: DATA } }]);
    target.memory.write(DATA, Uint8Array.from(Buffer.from("a\u001b[31m\0zzz", "utf16le")));
    await session.breakpoint(pc);
    const { arguments: list } = await (await session.next()).arguments();
    expect(list[3]).toMatchObject({ name: "WatchdogData", text: "a\\x1b[31m" });
    const memory = service("AllocatePool");
    target.later({ pc: memory, registers: { x0: 0xdead_0000_0004n } });
    await session.breakpoint(memory);
    expect((await (await session.next()).arguments()).arguments[0]).toMatchObject({ name: "PoolType", value: 4n });
  });

  it("of another function are x0 to x7", async () => {
    const { session } = fakeSession([{ pc: A, registers: { x7: 7n } }]);
    await session.breakpoint(A);
    const found = await (await session.next()).arguments();
    expect(found.service).toBeUndefined();
    expect(found.arguments.map(({ name }) => name)).toEqual(["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"]);
    expect(found.arguments[7]?.value).toBe(7n);
  });
});

describe("snapshots", () => {
  it("make up a capture, which can be compared, written and read", async () => {
    const { session } = fakeSession([
      { pc: EXIT_BOOT_SERVICES, registers: { SCTLR_EL1: 0n } },
      {
        pc: A,
        registers: { SCTLR_EL1: 0x30d0_0000n },
        does: (memory) => memory.write(BOOT_SERVICES, new Uint8Array(24 + SERVICES.length * 8)),
      },
    ]);
    await session.breakpoint("gBS->ExitBootServices");
    await session.breakpoint(A);
    await (await session.next()).snapshot("before", { kind: "before" });
    await (await session.next()).snapshot("after", { kind: "after" });
    const difference = await session.diff();
    expect(difference.registers.find(({ name }) => name === "SCTLR_EL1")).toMatchObject({
      before: 0n,
      after: 0x30d0_0000n,
    });
    expect((await session.findings()).map(({ rule }) => rule)).toEqual(["control-register-changed"]);
    session.addAttempt({ imageHandle: 1n, mapKey: 2n, returnAddress: A, status: 0n });
    expect((await session.findings()).map(({ rule }) => rule)).toContain("boot-services-zeroed");
    session.note("taken by a test");
    const read = decodeCapture(encodeCapture(session.capture), "test.ebs");
    expect(read.points.map(({ id, kind }) => [id, kind])).toEqual([
      ["before", "before"],
      ["after", "after"],
    ]);
    expect(read.notes).toContain("taken by a test");
    expect(read.attempts).toHaveLength(1);
    expect(read.efi?.exitBootServices).toBe(EXIT_BOOT_SERVICES);
  });

  it.each(["", "Before", "a b", "x".repeat(41), "../up"])("cannot be called %j", async (id) => {
    const { session } = fakeSession([]);
    expect(await failure(session.snapshot(id))).toMatchObject({ code: "usage" });
  });

  it("have different names", async () => {
    const { session } = fakeSession([]);
    await session.snapshot("one");
    expect(await failure(session.snapshot("one"))).toMatchObject({ code: "usage" });
  });

  it("are not taken of a running guest", async () => {
    const { session } = fakeSession([]);
    await session.resume();
    expect(await failure(session.snapshot("now"))).toMatchObject({ code: "target-running" });
  });
});

describe("the guest as it stands", () => {
  it("is read by virtual and physical address; what is no memory is absent, never zeros", async () => {
    const { session, target } = fakeSession([]);
    target.memory.setWord(DATA, 0x1122n);
    const there = { state: "present", bytes: expect.anything() };
    expect(await session.memory(DATA, 8)).toEqual(there);
    expect(await session.memory(DATA, 8, { physical: true })).toEqual(there);
    expect(await session.memory(0x900_0000n, 4)).toMatchObject({ state: "absent" });
    expect(await session.memory((1n << 64n) - 4n, 8)).toMatchObject({ state: "absent" });
    expect(await failure(session.memory(DATA, 0))).toMatchObject({ code: "usage" });
    expect(await failure(session.memory(DATA, 8, { cpu: 3 }))).toMatchObject({ code: "usage" });
  });

  it("has values for expressions, or says that there are none", async () => {
    const { session, target } = fakeSession([]);
    target.memory.setWord(DATA, 42n);
    expect(await session.evaluate(`u64[${DATA}] + 1`)).toEqual({ state: "known", value: 43n });
    expect(await session.evaluate("gBS")).toEqual({ state: "known", value: BOOT_SERVICES });
    expect(await session.evaluate("u64[0x9000000]")).toMatchObject({ state: "unknown" });
    expect(await session.evaluate("NoSuchThing")).toMatchObject({ state: "unknown" });
  });

  it("names what is at an address", async () => {
    const { session } = fakeSession([]);
    expect(await session.placeOf(GET_MEMORY_MAP)).toMatchObject({ symbol: "gBS->GetMemoryMap" });
    expect((await session.placeOf(0x474f_1234n)).image).toBe("DxeCore+0x1234");
  });
});

describe("a session", () => {
  it("tells everything that happens, and ends with why it is over", async () => {
    const { session } = fakeSession(rounds(A, 1));
    const events: SessionEvent[] = [];
    const listening = (async () => {
      for await (const event of session.events()) events.push(event);
    })();
    const breakpoint = await session.breakpoint(A);
    const stop = await session.next();
    await stop.snapshot("here");
    await breakpoint[Symbol.asyncDispose]();
    await session[Symbol.asyncDispose]();
    await listening;
    expect(events.map(({ kind }) => kind)).toEqual([
      ...["breakpoint-added", "resumed", "stopped", "point", "breakpoint-removed", "ended"],
    ]);
  });

  it("has no more events for a listener whose signal is aborted", async () => {
    const { session } = fakeSession([]);
    const abort = new AbortController();
    const events = session.events(abort.signal);
    const next = events.next();
    abort.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it("keeps so many events for a listener that does not come, and says how many it dropped", async () => {
    const { session } = fakeSession([]);
    const events = session.events();
    for (let i = 0; i < 10_007; i++) session.tell({ kind: "resumed" });
    await session[Symbol.asyncDispose]();
    const kinds: SessionEvent[] = [];
    for await (const event of events) kinds.push(event);
    expect(kinds.filter(({ kind }) => kind === "resumed")).toHaveLength(10_000);
    expect(kinds.find(({ kind }) => kind === "dropped")).toEqual({ kind: "dropped", count: 8 });
  });

  it("leaves the guest as it was found, with nothing in it, however often it is disposed of", async () => {
    const { session, target } = fakeSession(rounds(A, 1));
    {
      await using own = session;
      await own.breakpoint(A);
      await own.watchWrite(DATA, 8);
      await own.next();
    }
    await session[Symbol.asyncDispose]();
    expect(target.released).toBe("running");
    expect([target.breakpoints.size, target.watchpoints.size]).toEqual([0, 0]);
  });

  it("whose guest is lost lets its breakpoints be disposed of all the same", async () => {
    const { session, target } = fakeSession([]);
    await expect(
      (async () => {
        await using _breakpoint = await session.breakpoint(A);
        setTimeout(() => target.lose(), 5);
        await session.next();
      })(),
    ).rejects.toMatchObject({ code: "connection-lost" });
  });
});
