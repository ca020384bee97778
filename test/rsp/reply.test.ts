import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeStopReply, errorReply, parseStopReply, parseSupported, type StopReason } from "../../src/rsp/reply.ts";

const signal = (number: number, details: object = {}) => ({
  kind: "signal",
  signal: number,
  thread: undefined,
  threadId: undefined,
  core: undefined,
  watch: undefined,
  reasons: [],
  registers: new Map(),
  ...details,
});
const thread = (text: string, id: bigint, process?: bigint) => ({ thread: text, threadId: { process, thread: id } });
const watchpoint = (kind: "write" | "read" | "access", address: bigint) => ({
  watch: { kind, address },
  reasons: [{ kind: "watchpoint", watch: { kind, address } }],
});

describe("parseStopReply", () => {
  it.each<[string, object]>([
    ["S05", signal(5)],
    ["T05", signal(5)],
    // QEMU 7.2, QEMU 7.2 with the multiprocess extension, QEMU 11.1.
    ["T05thread:01;", signal(5, thread("01", 1n))],
    ["T05thread:p01.01;", signal(5, thread("p01.01", 1n, 1n))],
    ["T05core:01;", signal(5, { core: 1 })],
    ["T02thread:p1.2;core:0;", signal(2, { ...thread("p1.2", 2n, 1n), core: 0 })],
    ["T05thread:02;watch:40001000;", signal(5, { ...thread("02", 2n), ...watchpoint("write", 0x40001000n) })],
    ["T05rwatch:ffffffff80000000;", signal(5, watchpoint("read", 0xffffffff80000000n))],
    ["T05awatch:0;", signal(5, watchpoint("access", 0n))],
    // Several, from a stub that cannot tell which one was hit.
    [
      "T05watch:10;rwatch:20;",
      signal(5, {
        watch: { kind: "write", address: 0x10n },
        reasons: [
          { kind: "watchpoint", watch: { kind: "write", address: 0x10n } },
          { kind: "watchpoint", watch: { kind: "read", address: 0x20n } },
        ],
      }),
    ],
    ["W00", { kind: "exited", status: 0, process: undefined }],
    ["W7f;process:1", { kind: "exited", status: 127, process: 1n }],
    ["Wc0000005;process:2a", { kind: "exited", status: 0xc0000005, process: 42n }],
    ["X0B", { kind: "terminated", signal: 11, process: undefined }],
    // gdbserver 13 with the multiprocess extension: one digit.
    ["X9;process:cc1", { kind: "terminated", signal: 9, process: 0xcc1n }],
    ["W0;process:c89", { kind: "exited", status: 0, process: 0xc89n }],
    ["W00;process:", { kind: "exited", status: 0, process: undefined }],
    ["W00;future:1", { kind: "exited", status: 0, process: undefined }],
    ["w0;p1.2", { kind: "thread-exited", status: 0, ...thread("p1.2", 2n, 1n) }],
    ["wff;9fb", { kind: "thread-exited", status: 255, ...thread("9fb", 0x9fbn) }],
    ["N", { kind: "no-resumed" }],
  ])("reads %s", (text, stop) => {
    expect(parseStopReply(text)).toEqual(stop);
  });

  it.each<[string, StopReason]>([
    ["swbreak:", { kind: "software-breakpoint" }],
    ["hwbreak:", { kind: "hardware-breakpoint" }],
    ["library:", { kind: "library" }],
    ["library:ignored", { kind: "library" }],
    ["replaylog:begin", { kind: "replay-log", at: "begin" }],
    ["replaylog:end", { kind: "replay-log", at: "end" }],
    ["fork:p2.2", { kind: "fork", child: { process: 2n, thread: 2n } }],
    ["vfork:3", { kind: "vfork", child: { process: undefined, thread: 3n } }],
    ["clone:p1.4", { kind: "clone", child: { process: 1n, thread: 4n } }],
    ["vforkdone:", { kind: "vfork-done" }],
    ["create:", { kind: "thread-created" }],
    ["exec:2f62696e2f7368", { kind: "exec", path: "/bin/sh" }],
    ["exec:1b5b324a", { kind: "exec", path: "\\x1b[2J" }],
    ["syscall_entry:5d", { kind: "syscall-entry", number: 93n }],
    ["syscall_return:5d", { kind: "syscall-return", number: 93n }],
  ])("reads the reason %s", (pair, reason) => {
    expect(parseStopReply(`T05${pair};thread:01;`)).toEqual(signal(5, { ...thread("01", 1n), reasons: [reason] }));
  });

  it("reads the registers that gdbserver 13 sends along on x86-64", () => {
    const stop = parseStopReply(
      "T0506:0000000000000000;07:20e8ffffff7f0000;10:704bfef7ff7f0000;thread:p9cd.9cd;core:1;",
    );
    expect(stop).toEqual(
      signal(5, {
        ...thread("p9cd.9cd", 0x9cdn, 0x9cdn),
        core: 1,
        registers: new Map([
          [0x06, Buffer.from("0000000000000000", "hex")],
          [0x07, Buffer.from("20e8ffffff7f0000", "hex")],
          [0x10, Buffer.from("704bfef7ff7f0000", "hex")],
        ]),
      }),
    );
  });

  it("reads what lldb-server 14 sends, and passes over what only LLDB knows", () => {
    const stop = parseStopReply(
      "T13thread:eaf;name:e;threads:eaf;jstopinfo:5b5d;00:0000000000000000;17:2b00000000000000;memory:0x10=ab;reason:signal;",
    );
    expect(stop).toEqual(
      signal(0x13, {
        ...thread("eaf", 0xeafn),
        registers: new Map([
          [0x00, Buffer.from("0000000000000000", "hex")],
          [0x17, Buffer.from("2b00000000000000", "hex")],
        ]),
      }),
    );
  });

  it.each([
    "",
    "OK",
    "T",
    "T5",
    "Tzz",
    "E01",
    "NO",
    "t05thread:01;",
    "w00",
    "w00;",
    "w;1",
    "w0;zz",
    "x0b",
    "xxxxxxxx",
    "W",
    "Wzz",
    "W123456789",
    "W0process:1",
    "O48690a",
    `T05${"thread:01;".repeat(100_000)}`,
  ])("takes %.20j for none", (text) => {
    expect(parseStopReply(text)).toBeUndefined();
  });

  it("drops a thread id that is none, an address that is too long and a key that it does not know", () => {
    expect(parseStopReply("T05thread:\x1b[2J;watch:10000000000000000;constructor:0;")).toEqual(signal(5));
  });

  it("drops pairs that cannot be read, and keeps the others", () => {
    const text =
      "T05:;;x;thread;thread:zz;core:zz;123456789:00;07:0;08:;09:zz;replaylog:middle;fork:p-1.1;exec:2;watch:;core:2;";
    expect(parseStopReply(text)).toEqual(signal(5, { core: 2 }));
  });

  it("keeps no more reasons than it has a use for", () => {
    const stop = parseStopReply(`T05${"watch:1;".repeat(5000)}`);
    expect(stop?.kind === "signal" && stop.reasons.length).toBe(64);
  });

  it("never throws, whatever it is given", () => {
    const pair = fc.tuple(
      fc.constantFrom("thread", "core", "watch", "fork", "exec", "replaylog", "create", "06", "__proto__", "x"),
      fc.oneof(fc.constantFrom("p1.2", "-1", "0", "zz", "2f", ""), fc.string()),
    );
    const text = fc
      .tuple(fc.constantFrom("S05", "T05", "W00", "X0b", "w0", "N", "T"), fc.array(pair), fc.string())
      .map(([head, pairs, tail]) => head + pairs.map(([key, value]) => `${key}:${value};`).join("") + tail);
    fc.assert(
      fc.property(fc.oneof(text, fc.string({ unit: "binary-ascii" })), (given) => {
        const stop = parseStopReply(given);
        if (stop === undefined) return;
        expect("STWXwN").toContain(given[0]);
        if (stop.kind === "signal") expect(stop.thread === undefined).toBe(stop.threadId === undefined);
      }),
    );
  });
});

describe("decodeStopReply", () => {
  const decode = (text: string) => decodeStopReply(Buffer.from(text, "latin1"));

  it("tells a stop from what a stub says that does not resume", () => {
    expect(decode("S05")).toEqual({ kind: "ok", value: signal(5) });
    expect(decode("")).toEqual({ kind: "unsupported" });
    expect(decode("E22")).toEqual({ kind: "error", code: 0x22, text: "E22" });
    expect(decode("OK")).toEqual({ kind: "malformed", text: "OK" });
  });
});

describe("errorReply", () => {
  it.each(["E22", "E.no such thread"])("knows %s", (text) => expect(errorReply(text)).toBe(text));
  it.each(["", "OK", "E", "E2", "E2222222", "EE", "0E22"])("takes %j for no error", (text) => {
    expect(errorReply(text)).toBeUndefined();
  });
});

describe("parseSupported", () => {
  it("reads what QEMU 7.2 says", () => {
    const features = parseSupported("PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+");
    expect([...features]).toEqual([
      ["PacketSize", "1000"],
      ["qXfer:features:read", "+"],
      ["vContSupported", "+"],
      ["multiprocess", "+"],
    ]);
  });

  it("looks at no more features than any stub has", () => {
    const text = Array.from({ length: 10_000 }, (_, i) => `f${i}+`).join(";");
    expect(parseSupported(text).size).toBe(4096);
  });

  it("keeps what is not supported apart, and drops what is no feature", () => {
    expect([...parseSupported("a-;b?;c=x=y;;=z;noise")]).toEqual([
      ["a", "-"],
      ["b", "?"],
      ["c", "x=y"],
    ]);
  });
});
