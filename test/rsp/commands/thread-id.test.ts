import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ALL_THREADS,
  ANY_THREAD,
  formatThreadId,
  parseThreadId,
  sameThread,
  type ThreadId,
} from "../../../src/rsp/commands/thread-id.ts";

const MAX = 2n ** 64n - 1n;

describe("parseThreadId", () => {
  it.each<[string, ThreadId]>([
    ["1", { process: undefined, thread: 1n }],
    ["01", { process: undefined, thread: 1n }],
    ["b69", { process: undefined, thread: 0xb69n }],
    ["B69", { process: undefined, thread: 0xb69n }],
    ["-1", ALL_THREADS],
    ["0", ANY_THREAD],
    ["00", ANY_THREAD],
    ["p01.02", { process: 1n, thread: 2n }],
    ["p9cd.9fb", { process: 0x9cdn, thread: 0x9fbn }],
    ["p1", { process: 1n, thread: "all" }],
    ["p1.-1", { process: 1n, thread: "all" }],
    ["p1.0", { process: 1n, thread: "any" }],
    ["p0.0", { process: "any", thread: "any" }],
    ["p-1", { process: "all", thread: "all" }],
    ["p-1.-1", { process: "all", thread: "all" }],
    ["pffffffffffffffff.ffffffffffffffff", { process: MAX, thread: MAX }],
  ])("reads %s", (text, id) => expect(parseThreadId(text)).toEqual(id));

  it.each([
    "",
    "p",
    "p.",
    "p.1",
    "p1.",
    "p1.2.3",
    "p-1.5",
    "p-1.0",
    "-2",
    "--1",
    "-01",
    "+1",
    "0x1",
    "1 ",
    " 1",
    "1,2",
    "g",
    "P1.2",
    "10000000000000000",
    "p1.10000000000000000",
    "0".repeat(5000),
    "f".repeat(5000),
  ])("takes %j for none", (text) => expect(parseThreadId(text)).toBeUndefined());
});

describe("formatThreadId", () => {
  it.each<[ThreadId, string]>([
    [{ process: undefined, thread: 0x1an }, "1a"],
    [ALL_THREADS, "-1"],
    [ANY_THREAD, "0"],
    [{ process: 1n, thread: 2n }, "p1.2"],
    [{ process: 1n, thread: "all" }, "p1.-1"],
    [{ process: "any", thread: "any" }, "p0.0"],
    [{ process: "all", thread: "all" }, "p-1.-1"],
    [{ process: MAX, thread: MAX }, "pffffffffffffffff.ffffffffffffffff"],
  ])("writes %o as %s", (id, text) => expect(formatThreadId(id)).toBe(text));

  it.each<ThreadId>([
    { process: "all", thread: 5n },
    { process: "all", thread: "any" },
    { process: undefined, thread: 0n },
    { process: 1n, thread: -1n },
    { process: 2n ** 64n, thread: 1n },
  ])("refuses %o, which the protocol does not have", (id) => {
    expect(() => formatThreadId(id)).toThrowError(expect.objectContaining({ code: "usage" }));
  });

  it("writes what parseThreadId reads as the same id", () => {
    const part = fc.oneof(fc.bigInt({ min: 1n, max: MAX }), fc.constantFrom("all" as const, "any" as const));
    const id = fc
      .record({ process: fc.option(part, { nil: undefined }), thread: part })
      .filter(({ process, thread }) => process !== "all" || thread === "all");
    fc.assert(
      fc.property(id, (given) => {
        const read = parseThreadId(formatThreadId(given));
        expect(read).toEqual(given);
        expect(read !== undefined && sameThread(read, given)).toBe(true);
      }),
    );
  });
});

describe("sameThread", () => {
  it("tells processes apart, and a thread with a process from one without", () => {
    expect(sameThread({ process: 1n, thread: 1n }, { process: 2n, thread: 1n })).toBe(false);
    expect(sameThread({ process: 1n, thread: 1n }, { process: undefined, thread: 1n })).toBe(false);
    expect(sameThread({ process: 1n, thread: 1n }, { process: 1n, thread: 2n })).toBe(false);
  });
});
