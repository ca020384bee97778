import { describe, expect, it } from "vitest";
import {
  probeBinaryRead,
  readMemory,
  readMemoryBinary,
  writeMemory,
  writeMemoryBinary,
} from "../../../src/rsp/commands/memory.ts";
import { encodePacket } from "../../../src/rsp/packet.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");
const usage = expect.objectContaining({ code: "usage" });

/** The bytes of an `ok` reply, or its kind. */
function result(reply: { kind: string; value?: unknown }): unknown {
  return reply.kind === "ok" ? [...(reply.value as Uint8Array)] : reply.kind;
}

describe("m", () => {
  it.each<[bigint | number, number, string]>([
    [0x4000_0000n, 8, "m40000000,8"],
    [0, 2048, "m0,800"],
    [0xffff_ffff_ffff_ffffn, 1, "mffffffffffffffff,1"],
  ])("goes out with address %s and length %i in hex", (address, length, payload) => {
    expect(readMemory(address, length).payload).toBe(payload);
  });

  it.each<[string, number, unknown]>([
    ["d00dfeed00100000", 8, [0xd0, 0x0d, 0xfe, 0xed, 0, 0x10, 0, 0]],
    ["D00DFEED", 4, [0xd0, 0x0d, 0xfe, 0xed]],
    // A stub may give less than was asked for.
    ["d00d", 8, [0xd0, 0x0d]],
    ["d00dfeed", 3, "malformed"],
    ["d00dfee", 4, "malformed"],
    ["d0 dfeed", 4, "malformed"],
    ["xxxxxxxx", 4, "malformed"],
    ["OK", 1, "malformed"],
    ["", 8, "unsupported"],
    ["E22", 4096, "error"],
    ["E.cannot read", 8, "error"],
    // Bytes that begin with 0xe0 are no error.
    ["E014", 2, [0xe0, 0x14]],
  ])("reads %j for %i bytes", (reply, length, expected) => {
    expect(result(readMemory(0n, length).decode(wire(reply)))).toEqual(expected);
  });

  it("says what it reads", () => {
    const { label } = readMemory(0x4000_0000n, 16);
    expect(typeof label === "function" ? label() : label).toBe("reading 16 bytes at 0x40000000");
  });

  it.each<[bigint | number, number]>([
    [-1n, 4],
    [2n ** 64n, 4],
    [-1, 4],
    [0.5, 4],
    [Number.NaN, 4],
    [2 ** 60, 4],
    [0n, 0],
    [0n, -1],
    [0n, 1.5],
  ])("refuses address %s with length %s", (address, length) => {
    expect(() => readMemory(address, length)).toThrowError(usage);
    expect(() => readMemoryBinary(address, length)).toThrowError(usage);
  });
});

describe("x", () => {
  it("goes out like m", () => expect(readMemoryBinary(0x1000n, 0x1000).payload).toBe("x1000,1000"));

  it.each<[string, number, unknown]>([
    ["b\xd0\x0d\xfe\xed", 4, [0xd0, 0x0d, 0xfe, 0xed]],
    ["bE01", 3, [0x45, 0x30, 0x31]],
    ["b\xd0", 4, [0xd0]],
    ["b", 4, []],
    ["b\xd0\x0d", 1, "malformed"],
    ["\xd0\x0d\xfe\xed", 4, "malformed"],
    ["E01", 4, "error"],
    ["", 4, "unsupported"],
  ])("reads GDB's %j for %i bytes", (reply, length, expected) => {
    expect(result(readMemoryBinary(0n, length).decode(wire(reply)))).toEqual(expected);
  });

  it.each<[string, number, unknown]>([
    ["\xd0\x0d\xfe\xed", 4, [0xd0, 0x0d, 0xfe, 0xed]],
    ["b\x01", 2, [0x62, 1]],
    ["T05thread", 9, [...wire("T05thread")]],
    ["\xd0", 4, [0xd0]],
    ["\xd0\x0d", 1, "malformed"],
    ["E08", 4, "error"],
    // It may be memory, too: then m reads it.
    ["E08", 3, "error"],
    ["E.", 2, "error"],
    ["E0", 2, [0x45, 0x30]],
    ["", 4, "unsupported"],
  ])("reads LLDB's %j for %i bytes", (reply, length, expected) => {
    expect(result(readMemoryBinary(0n, length, "raw").decode(wire(reply)))).toEqual(expected);
  });

  it("says that LLDB's answer may begin as a stop reply does", () => {
    expect(readMemoryBinary(0n, 4, "raw").anyBytes).toBe(true);
    expect(readMemoryBinary(0n, 4).anyBytes).toBe(false);
  });

  it("keeps its bytes when the reply's are overwritten", () => {
    const reply = wire("b\x01\x02");
    const read = readMemoryBinary(0n, 2).decode(reply);
    reply.fill(0xff);
    expect(result(read)).toEqual([1, 2]);
  });

  it.each<[string, string]>([
    ["b", "prefixed"],
    ["OK", "raw"],
    ["", "unsupported"],
    ["E01", "error"],
    ["bb", "malformed"],
    ["\x00", "malformed"],
  ])("a probe that is answered with %j finds %s", (reply, style) => {
    const read = probeBinaryRead().decode(wire(reply));
    expect(read.kind === "ok" ? read.value : read.kind).toBe(style);
  });

  it("a probe asks for no bytes", () => expect(probeBinaryRead(0x1000n).payload).toBe("x1000,0"));
});

describe("M and X", () => {
  it("carry address, length and bytes", () => {
    expect(writeMemory(0x4000_0000n, Uint8Array.of(1, 2, 0xff)).payload).toBe("M40000000,3:0102ff");
    expect([...wire("X40000000,4:"), 0x23, 0x24, 0x7d, 0x2a]).toEqual([
      ...(writeMemoryBinary(0x4000_0000n, Uint8Array.of(0x23, 0x24, 0x7d, 0x2a)).payload as Uint8Array),
    ]);
  });

  it("X is escaped by the framing, once", () => {
    const packet = Buffer.from(encodePacket(writeMemoryBinary(0n, Uint8Array.of(0x23, 0x41)).payload));
    expect(packet.subarray(0, -2).toString("latin1")).toBe("$X0,2:}\x03A#");
  });

  it("X without bytes asks whether the stub knows it", () => {
    expect(Buffer.from(writeMemoryBinary(0n, new Uint8Array()).payload as Uint8Array).toString()).toBe("X0,0:");
  });

  it("are done with OK only", () => {
    for (const { decode } of [writeMemory(0n, Uint8Array.of(1)), writeMemoryBinary(0n, Uint8Array.of(1))]) {
      expect(decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
      expect(decode(wire("")).kind).toBe("unsupported");
      expect(decode(wire("E14")).kind).toBe("error");
      expect(decode(wire("OK ")).kind).toBe("malformed");
    }
  });
});
