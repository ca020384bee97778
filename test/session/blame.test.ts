/** Recording who writes in a session: what the guest of the test does against what is recorded, and what the program is told of. */
import { describe, expect, it } from "vitest";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { failure } from "../support/failure.ts";
import type { Visit } from "../support/fake-target.ts";
import { DXE_CORE, STACK } from "../support/handoff-target.ts";
import { type FakeSession, fakeSession } from "./support.ts";

const A = 0x4400_0000n;
const B = 0x4400_0100n;
const WRITER = 0x4400_0200n;
const DATA = 0x4600_0000n;
/** `msr VBAR_EL1, x0`, in an image; with the test's guest it changes nothing. */
const MSR = 0xd518_c000;
const VBAR = 0x4740_0000n;
const SITE = DXE_CORE.base + 0x1300n;
/** `str x1, [x0]` */
const STORE = 0xf900_0001;
const RANGE = { ranges: ["0x46000000,16"] };

function store(word: bigint, address = DATA): Visit {
  return { pc: WRITER, registers: { x0: address, x1: word, sp: STACK }, writes: { address, word } };
}

function blameSession(visits: readonly Visit[]): FakeSession {
  const all = fakeSession(visits);
  const { memory } = all.target;
  for (const [pc, word] of [
    [WRITER, STORE],
    [SITE, MSR],
  ] as const) {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, word, true);
    memory.write(pc, bytes);
  }
  return all;
}

/** What was recorded of writes: by whom, and what. */
function written({ blame }: Capture) {
  const events = blame?.events.filter(({ kind }) => kind !== "point" && kind !== "lapse") ?? [];
  return events.map((event) => [event.kind, event.pc, event.new]);
}

describe("who writes between two stops", () => {
  it("is recorded, and the program is told of its own stops alone", async () => {
    const visits = [{ pc: A }, store(1n), store(9n, 0x4500_0000n), store(2n, DATA + 8n), { pc: B }, store(3n)];
    const { session, target } = blameSession(visits);
    await session.breakpoint(A);
    await session.breakpoint(B);
    await session.next();
    const seen: (bigint | undefined)[] = [];
    const watch = await session.blame({ ...RANGE, onEvent: (event) => seen.push(event.new) });
    expect((await session.next()).pc).toBe(B);
    const capture = await watch.end();
    expect(written(capture)).toEqual([
      ["memory", WRITER, 1n],
      ["memory", WRITER, 2n],
    ]);
    expect(seen.filter((each) => each !== undefined)).toEqual([1n, 2n]);
    expect(capture.points.map(({ id, kind }) => [id, kind])).toEqual([
      ["from", "now"],
      ["to", "now"],
    ]);
    expect(capture.blame?.ranges).toEqual([{ name: "0x46000000,16", address: DATA, length: 16 }]);
    expect(target.watchpoints.size).toBe(0);
    expect([...target.breakpoints]).toEqual([A, B]);
    // The session's own capture is another one.
    expect(session.capture.points).toEqual([]);
    expect(written(decodeCapture(encodeCapture(capture), "test.ebs"))).toEqual(written(capture));
    await session.resume();
    expect(target.left).toBe(0);
  });

  it("is parted by points that are taken in between", async () => {
    const { session } = blameSession([store(1n), { pc: A }, store(2n), { pc: B }]);
    await session.breakpoint(A);
    await session.breakpoint(B);
    const watch = await session.blame(RANGE);
    await session.next();
    await watch.snapshot("between");
    await session.next();
    const { blame, points } = await watch.end("last");
    expect(points.map(({ id }) => id)).toEqual(["from", "between", "last"]);
    const kept = blame?.events.filter(({ kind }) => kind !== "lapse");
    const order = kept?.map(({ kind, address, new: value }) => (kind === "point" ? `p${address}` : value));
    expect(order).toEqual(["p0", 1n, "p1", 2n, "p2"]);
  });

  it("is recorded at a single step over the write, which then is done", async () => {
    const { session, target } = blameSession([{ pc: A }, store(5n), { pc: B }]);
    await session.breakpoint(A);
    await session.next();
    const watch = await session.blame(RANGE);
    await session.step();
    const stop = await session.step();
    expect([stop.reason, stop.pc]).toEqual(["step", WRITER + 4n]);
    expect(target.memory.word(DATA)).toBe(5n);
    expect(written(await watch.end())).toEqual([["memory", WRITER, 5n]]);
  });

  it("is recorded when a guest that nobody waited for is interrupted", async () => {
    const { session, target } = blameSession([store(5n)]);
    const watch = await session.blame(RANGE);
    await session.resume();
    expect((await session.interrupt())?.reason).toBe("interrupt");
    expect(session.isRunning).toBe(false);
    expect(target.memory.word(DATA)).toBe(5n);
    expect(written(await watch.end())).toEqual([["memory", WRITER, 5n]]);
  });

  it("is recorded up to the write at which a wait is ended, and from there on", async () => {
    const { session, target } = blameSession([store(1n), store(2n), store(3n), { pc: A }]);
    await session.breakpoint(A);
    const abort = new AbortController();
    const watch = await session.blame({ ...RANGE, onEvent: (event) => event.new === 1n && abort.abort() });
    expect((await failure(session.next({ signal: abort.signal }))).code).toBe("interrupted");
    expect([session.isRunning, target.running]).toEqual([false, false]);
    expect(target.left).toBeGreaterThan(0);
    await session.next();
    expect(written(await watch.end()).map(([, , value]) => value)).toEqual([1n, 2n, 3n]);
  });

  it("has an end: beyond the limit the guest runs unwatched, and that is said", async () => {
    const { session, target } = blameSession([store(1n), store(2n), store(3n), { pc: A }]);
    await session.breakpoint(A);
    const watch = await session.blame({ ...RANGE, maxEvents: 1 });
    await session.next();
    expect(target.watchpoints.size).toBe(0);
    const capture = await watch.end();
    expect(written(capture)).toEqual([["memory", WRITER, 1n]]);
    expect(capture.blame?.events.some(({ kind }) => kind === "lapse")).toBe(true);
    expect(capture.notes.join()).toMatch(/as many as may be/);
  });
});

describe("an instruction that writes a register", () => {
  const visits = [{ pc: A }, { pc: SITE, registers: { x0: 0x4750_0000n, sp: STACK } }, { pc: B }];

  it("is recorded, and nobody is told of its breakpoint", async () => {
    const { session, target } = blameSession(visits);
    await session.breakpoint(A);
    await session.breakpoint(B);
    await session.next();
    const watch = await session.blame();
    expect(target.breakpoints.has(SITE)).toBe(true);
    expect((await session.next()).pc).toBe(B);
    const capture = await watch.end();
    expect(capture.blame?.sites).toEqual([{ address: SITE, word: MSR }]);
    expect(written(capture)).toEqual([["register", SITE, VBAR]]);
    expect([...target.breakpoints]).toEqual([A, B]);
  });

  it("that has a breakpoint of the program too is told of, and recorded when the guest goes on", async () => {
    const { session, target } = blameSession([...visits, ...visits.slice(1)]);
    await session.breakpoint(A);
    await session.breakpoint(B);
    await session.next();
    const own = await session.breakpoint(SITE);
    const watch = await session.blame();
    const stop = await session.next();
    expect([stop.pc, stop.breakpoint, written(watch.capture).length]).toEqual([SITE, own, 0]);
    expect((await session.next()).pc).toBe(B);
    expect(written(watch.capture)).toEqual([["register", SITE, VBAR]]);
    // Without the program's the other one stays.
    await own[Symbol.asyncDispose]();
    expect(target.breakpoints.has(SITE)).toBe(true);
    expect((await session.next()).pc).toBe(B);
    expect(written(await watch.end()).length).toBe(2);
    expect(target.breakpoints.has(SITE)).toBe(false);
  });

  it("is recorded at a single step too", async () => {
    const { session } = blameSession(visits);
    await session.breakpoint(A);
    await session.next();
    const watch = await session.blame();
    await session.step();
    const stop = await session.step();
    expect([stop.reason, stop.pc]).toEqual(["step", SITE + 4n]);
    expect(written(await watch.end())).toEqual([["register", SITE, VBAR]]);
  });
});

describe("recording", () => {
  it("and stopping at writes exclude each other, with nothing left behind", async () => {
    const { session, target } = blameSession([]);
    const own = await session.watchWrite(DATA, 8);
    expect(await failure(session.blame(RANGE))).toMatchObject({ code: "target-busy" });
    await own[Symbol.asyncDispose]();
    const watch = await session.blame(RANGE);
    expect(await failure(session.watchWrite(DATA, 8))).toMatchObject({
      code: "target-busy",
      next: expect.stringContaining("blame({ ranges })"),
    });
    expect(await failure(session.blame())).toMatchObject({ code: "target-busy" });
    expect((await failure(session.trace(A).next())).code).toBe("target-busy");
    await watch[Symbol.asyncDispose]();
    expect([target.watchpoints.size, target.breakpoints.size]).toEqual([0, 0]);
    await session.watchWrite(DATA, 8);
    expect((await failure(watch.end())).code).toBe("usage");
  });

  it.each([
    [{ ranges: ["gBX"] }, /names no place/],
    [{ ranges: ["0x46000000", "0x8000000"] }, /no memory/],
    [{ ranges: Array.from({ length: 65 }, () => "gBS") }, /65 ranges/],
    [{ maxEvents: 0 }, /0 events/],
  ])("that is asked for with %j is refused, with nothing in the guest", async (options, message) => {
    const { session, target } = blameSession([]);
    const error = await failure(session.blame(options));
    expect(error).toMatchObject({ code: "usage", message: expect.stringMatching(message) });
    expect([target.watchpoints.size, target.breakpoints.size]).toEqual([0, 0]);
    await using watch = await session.blame(RANGE);
    expect(watch.capture.points.length).toBe(1);
  });

  it("is taken out of a guest that runs, which is halted for that", async () => {
    const { session, target } = blameSession([]);
    {
      await using _watch = await session.blame(RANGE);
      await session.resume();
      expect(target.watchpoints.size).toBe(1);
    }
    expect([target.watchpoints.size, session.isRunning]).toEqual([0, false]);
  });

  it("keeps what it has of a guest that is lost", async () => {
    const { session, target } = blameSession([store(1n), { pc: A }]);
    await session.breakpoint(A);
    const watch = await session.blame(RANGE);
    await session.next();
    target.lose();
    expect((await failure(watch.end())).code).toBe("connection-lost");
    await watch[Symbol.asyncDispose]();
    expect(written(watch.capture)).toEqual([["memory", WRITER, 1n]]);
  });
});
