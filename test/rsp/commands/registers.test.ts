import { describe, expect, it } from "vitest";
import { readRegister, readRegisters, writeRegister, writeRegisters } from "../../../src/rsp/commands/registers.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");
const present = (...bytes: number[]) => ({ state: "present", bytes: Uint8Array.from(bytes) });
const unavailable = { state: "unavailable" };
const usage = expect.objectContaining({ code: "usage" });

/** What a reply was read as, with bytes as plain arrays so that a Buffer equals an array of the same bytes. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, v) =>
      v?.type === "Buffer" ? v.data : ArrayBuffer.isView(v) ? [...(v as Uint8Array)] : v,
    ),
  );
}

describe("g", () => {
  it("goes out as the letter alone", () => expect(readRegisters([8]).payload).toBe("g"));

  it.each<[string, number[], unknown]>([
    ["0100000000000000d00dfeed", [8, 4], [present(1, 0, 0, 0, 0, 0, 0, 0), present(0xd0, 0x0d, 0xfe, 0xed)]],
    // The example of the manual: registers 0 and 2 are unavailable.
    [
      "xxxxxxxx00000000xxxxxxxx00000000",
      [4, 4, 4, 4],
      [unavailable, present(0, 0, 0, 0), unavailable, present(0, 0, 0, 0)],
    ],
    // Registers behind those that the reply holds are read with p.
    ["0102", [1, 1, 8], [present(1), present(2)]],
    ["AbCd", [2], [present(0xab, 0xcd)]],
  ])("reads %s", (reply, sizes, value) => {
    expect(plain(readRegisters(sizes).decode(wire(reply)))).toEqual(plain({ kind: "ok", value }));
  });

  it.each<[string, string, number[]]>([
    ["that ends inside a register", "010203", [2, 2]],
    ["longer than all registers", "01020304", [1, 1]],
    ["with a half byte", "010", [1, 1]],
    ["with a register that is half there", "xx010203", [4]],
    ["with capital X", "XXXX", [2]],
    ["of other characters", "zz", [1]],
    ["OK", "OK", [1]],
    ["an ENN with more behind it", "E0100", [1, 1]],
  ])("takes a reply %s for malformed", (_, reply, sizes) => {
    expect(readRegisters(sizes).decode(wire(reply)).kind).toBe("malformed");
  });

  it("is unsupported when the reply is empty, an error when it is one", () => {
    expect(readRegisters([8]).decode(wire(""))).toEqual({ kind: "unsupported" });
    expect(readRegisters([8]).decode(wire("E14"))).toEqual({ kind: "error", code: 0x14, text: "E14" });
  });

  it.each([[[]], [[0]], [[-1]], [[1.5]], [[1 << 18]], [[8, Number.NaN]]])("refuses the widths %j", (sizes) => {
    expect(() => readRegisters(sizes)).toThrowError(usage);
  });
});

describe("p", () => {
  it("names the register in hex", () => {
    expect(readRegister(33).payload).toBe("p21");
    expect(readRegister(0).payload).toBe("p0");
  });

  it.each<[string, number | undefined, unknown]>([
    ["0000004000000000", 8, present(0, 0, 0, 0x40, 0, 0, 0, 0)],
    ["0000004000000000", undefined, present(0, 0, 0, 0x40, 0, 0, 0, 0)],
    ["xxxxxxxxxxxxxxxx", 8, unavailable],
    ["E140", undefined, undefined],
    // 16 bytes asked for, 8 given: a wrong-length reply is no value.
    ["0000004000000000", 16, undefined],
    ["00000040000000000", 8, undefined],
    ["0000004", undefined, undefined],
    ["xxxx0000", 4, undefined],
    ["OK", undefined, undefined],
  ])("reads %s with width %s", (reply, size, value) => {
    const read = readRegister(5, size).decode(wire(reply));
    if (value === undefined && reply !== "E140") expect(read.kind).toBe("malformed");
    else if (reply === "E140") expect(plain(read)).toEqual(plain({ kind: "ok", value: present(0xe1, 0x40) }));
    else expect(plain(read)).toEqual(plain({ kind: "ok", value }));
  });

  it("is unsupported when QEMU 7.2 was not asked for target.xml yet, an error for a register it does not have", () => {
    expect(readRegister(0, 8).decode(wire(""))).toEqual({ kind: "unsupported" });
    expect(readRegister(0x5000, 8).decode(wire("E14"))).toEqual({ kind: "error", code: 20, text: "E14" });
  });

  it("refuses a register that is no number, and a width that is none", () => {
    expect(() => readRegister(-1)).toThrowError(usage);
    expect(() => readRegister(1.5)).toThrowError(usage);
    expect(() => readRegister(1, 0)).toThrowError(usage);
  });
});

describe("P and G", () => {
  it("carry the bytes in hex", () => {
    expect(writeRegister(33, Uint8Array.of(0, 0, 0, 0x40, 0, 0, 0, 0)).payload).toBe("P21=0000004000000000");
    expect(writeRegisters(Uint8Array.of(1, 0xff)).payload).toBe("G01ff");
  });

  it("are done with OK only", () => {
    for (const { decode } of [writeRegister(1, Uint8Array.of(1)), writeRegisters(Uint8Array.of(1))]) {
      expect(decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
      expect(decode(wire(""))).toEqual({ kind: "unsupported" });
      expect(decode(wire("E.read only"))).toEqual({ kind: "error", code: undefined, text: "E.read only" });
      expect(decode(wire("OKAY")).kind).toBe("malformed");
      expect(decode(wire("ok")).kind).toBe("malformed");
    }
  });

  it("refuse no bytes", () => {
    expect(() => writeRegister(1, new Uint8Array())).toThrowError(usage);
    expect(() => writeRegisters(new Uint8Array())).toThrowError(usage);
  });
});
