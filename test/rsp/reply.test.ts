import { describe, expect, it } from "vitest";
import { errorReply, parseStopReply, parseSupported } from "../../src/rsp/reply.ts";

describe("parseStopReply", () => {
  it.each([
    ["S05", { kind: "signal", signal: 5, thread: undefined, watch: undefined }],
    ["T05thread:01;", { kind: "signal", signal: 5, thread: "01", watch: undefined }],
    ["T02thread:p1.2;core:0;", { kind: "signal", signal: 2, thread: "p1.2", watch: undefined }],
    ["T05core:01;", { kind: "signal", signal: 5, thread: undefined, watch: undefined }],
    [
      "T05thread:02;watch:40001000;",
      { kind: "signal", signal: 5, thread: "02", watch: { kind: "write", address: 0x40001000n } },
    ],
    [
      "T05rwatch:ffffffff80000000;",
      { kind: "signal", signal: 5, thread: undefined, watch: { kind: "read", address: 0xffffffff80000000n } },
    ],
    ["T05awatch:0;", { kind: "signal", signal: 5, thread: undefined, watch: { kind: "access", address: 0n } }],
    ["W00", { kind: "exited", status: 0 }],
    ["W7f;process:1", { kind: "exited", status: 127 }],
    ["X0B", { kind: "terminated", signal: 11 }],
  ])("reads %s", (text, stop) => {
    expect(parseStopReply(text)).toEqual(stop);
  });

  it.each(["", "OK", "T", "T5", "Tzz", "E01", "N", "t05thread:01;", "w00", "x0b", "xxxxxxxx"])(
    "takes %j for none",
    (text) => {
      expect(parseStopReply(text)).toBeUndefined();
    },
  );

  it("drops a thread id that is none, an address that is too long and a key that it does not know", () => {
    expect(parseStopReply("T05thread:\x1b[2J;watch:10000000000000000;constructor:0;")).toEqual({
      kind: "signal",
      signal: 5,
      thread: undefined,
      watch: undefined,
    });
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

  it("keeps what is not supported apart, and drops what is no feature", () => {
    expect([...parseSupported("a-;b?;c=x=y;;=z;noise")]).toEqual([
      ["a", "-"],
      ["b", "?"],
      ["c", "x=y"],
    ]);
  });
});
