import { describe, expect, it } from "vitest";
import {
  physicalMemoryMode,
  qemuSupported,
  setPhysicalMemoryMode,
  setSingleStepMask,
  singleStepBits,
  singleStepMask,
} from "../../../src/rsp/commands/qemu.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");

// The replies are those of QEMU 7.2.22 and 10.0.
describe("qqemu.Supported", () => {
  it("reads system and user-mode emulation's", () => {
    expect(qemuSupported().decode(wire("sstepbits;sstep;PhyMemMode"))).toEqual({
      kind: "ok",
      value: new Set(["sstepbits", "sstep", "PhyMemMode"]),
    });
    expect(qemuSupported().decode(wire("sstepbits;sstep"))).toEqual({
      kind: "ok",
      value: new Set(["sstepbits", "sstep"]),
    });
  });

  it.each([";", "a;", "a b", "a".repeat(2000)])("takes %.10s for malformed", (reply) => {
    expect(qemuSupported().decode(wire(reply)).kind).toBe("malformed");
  });
});

describe("qqemu.sstepbits", () => {
  it("reads the bits", () => {
    expect(singleStepBits().decode(wire("ENABLE=1,NOIRQ=2,NOTIMER=4"))).toEqual({
      kind: "ok",
      value: new Map([
        ["ENABLE", 1],
        ["NOIRQ", 2],
        ["NOTIMER", 4],
      ]),
    });
    expect(singleStepBits().decode(wire("ENABLE=1"))).toEqual({ kind: "ok", value: new Map([["ENABLE", 1]]) });
  });

  it.each(["ENABLE", "ENABLE=", "=1", "ENABLE=1,", "ENABLE=0x1", "ENABLE=123456789", "OK"])(
    "takes %s for malformed",
    (reply) => {
      expect(singleStepBits().decode(wire(reply)).kind).toBe("malformed");
    },
  );
});

describe("qqemu.sstep", () => {
  it.each([
    ["0x7", { kind: "ok", value: 7 }],
    ["0x0", { kind: "ok", value: 0 }],
    ["7", { kind: "ok", value: 7 }],
    ["", { kind: "unsupported" }],
    ["E22", { kind: "error", code: 0x22, text: "E22" }],
    ["0x", { kind: "malformed", text: "0x" }],
    ["0x0x7", { kind: "malformed", text: "0x0x7" }],
    ["OK", { kind: "malformed", text: "OK" }],
  ])("reads %j", (reply, read) => expect(singleStepMask().decode(wire(reply))).toEqual(read));

  it("is set in hex", () => {
    expect(setSingleStepMask(0x1f).payload).toBe("Qqemu.sstep=0x1f");
    expect(setSingleStepMask(7).decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
    expect(setSingleStepMask(0xff).decode(wire("E22")).kind).toBe("error");
    for (const mask of [-1, 1.5, 2 ** 32]) {
      expect(() => setSingleStepMask(mask)).toThrowError(expect.objectContaining({ code: "usage" }));
    }
  });
});

describe("qqemu.PhyMemMode", () => {
  it.each([
    ["0", { kind: "ok", value: false }],
    ["1", { kind: "ok", value: true }],
    ["", { kind: "unsupported" }],
    ["2", { kind: "malformed", text: "2" }],
    ["01", { kind: "malformed", text: "01" }],
  ])("reads %j", (reply, read) => expect(physicalMemoryMode().decode(wire(reply))).toEqual(read));

  it("is switched", () => {
    expect(setPhysicalMemoryMode(true).payload).toBe("Qqemu.PhyMemMode:1");
    expect(setPhysicalMemoryMode(false).payload).toBe("Qqemu.PhyMemMode:0");
    expect(setPhysicalMemoryMode(true).decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
  });
});
