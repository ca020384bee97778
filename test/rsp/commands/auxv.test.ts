import { describe, expect, it } from "vitest";
import { auxiliaryName, parseAuxiliaryVector } from "../../../src/rsp/commands/auxv.ts";

/** Words of 8 bytes, little-endian. */
function words(...values: (bigint | number)[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(value), 8 * i);
  });
  return bytes;
}

const protocolError = expect.objectContaining({ code: "protocol-error" });

describe("parseAuxiliaryVector", () => {
  it("reads the beginning of what lldb-server 14 gives of a process", () => {
    const bytes = Buffer.from(
      "21000000000000000080fcf7ff7f00003300000000000000300d0000000000000600000000000000001000000000000000000000000000000000000000000000",
      "hex",
    );
    expect(parseAuxiliaryVector(bytes, { wordSize: 8 })).toEqual([
      { type: 33n, value: 0x7ffff7fc8000n },
      { type: 51n, value: 0xd30n },
      { type: 6n, value: 4096n },
    ]);
  });

  it("reads nothing behind AT_NULL, as qemu-aarch64 sends zeros there", () => {
    expect(parseAuxiliaryVector(words(6, 4096, 0, 0, 7, 7), { wordSize: 8 })).toEqual([{ type: 6n, value: 4096n }]);
  });

  it("reads words of 4 bytes, and big-endian ones", () => {
    const bytes = Buffer.from("00000006000010000000000000000000", "hex");
    expect(parseAuxiliaryVector(bytes, { wordSize: 4, bigEndian: true })).toEqual([{ type: 6n, value: 4096n }]);
    expect(parseAuxiliaryVector(Buffer.from("0600000000100000", "hex"), { wordSize: 4 })).toEqual([
      { type: 6n, value: 4096n },
    ]);
  });

  it("reads bytes that lie anywhere in their buffer", () => {
    const shifted = Buffer.concat([Buffer.alloc(3), words(6, 4096)]).subarray(3);
    expect(parseAuxiliaryVector(shifted, { wordSize: 8 })).toEqual([{ type: 6n, value: 4096n }]);
  });

  it("knows an empty one", () => expect(parseAuxiliaryVector(new Uint8Array(), { wordSize: 8 })).toEqual([]));

  it("refuses one that ends inside an entry, and one without end", () => {
    expect(() => parseAuxiliaryVector(words(6, 4096, 7), { wordSize: 8 })).toThrowError(protocolError);
    expect(() => parseAuxiliaryVector(words(6, 4096).subarray(0, 15), { wordSize: 8 })).toThrowError(protocolError);
    expect(() => parseAuxiliaryVector(Buffer.alloc(4 << 20, 1), { wordSize: 8 })).toThrowError(protocolError);
  });
});

describe("auxiliaryName", () => {
  it.each([
    [6n, "AT_PAGESZ"],
    [9n, "AT_ENTRY"],
    [33n, "AT_SYSINFO_EHDR"],
    [4711n, "AT_4711"],
  ])("knows %s", (type, name) => expect(auxiliaryName(type)).toBe(name));
});
