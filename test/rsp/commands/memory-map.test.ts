import { describe, expect, it } from "vitest";
import { parseMemoryMap } from "../../../src/rsp/commands/memory-map.ts";

const map = (regions: string): string =>
  `<?xml version="1.0"?>
<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/gdb/gdb-memory-map.dtd">
<memory-map>${regions}</memory-map>`;

const protocolError = (message: RegExp) =>
  expect.objectContaining({ code: "protocol-error", message: expect.stringMatching(message) });

describe("parseMemoryMap", () => {
  it("reads RAM, ROM and flash, ascending", () => {
    const text = map(`
      <memory type="ram" start="0x20000000" length="0x5000"/>
      <memory type="flash" start="0x8000000" length="0x20000"><property name="blocksize">0x400</property></memory>
      <memory type="rom" start="0" length="4096"></memory>`);
    expect(parseMemoryMap(text)).toEqual([
      { kind: "rom", start: 0n, size: 4096n },
      { kind: "flash", start: 0x8000000n, size: 0x20000n, blockSize: 0x400n },
      { kind: "ram", start: 0x20000000n, size: 0x5000n },
    ]);
  });

  it("reads a region up to the end of the address space", () => {
    const text = map(`<memory type="ram" start="0xffffffffffff0000" length="0x10000"/>`);
    expect(parseMemoryMap(text)).toEqual([{ kind: "ram", start: 0xffffffffffff0000n, size: 0x10000n }]);
  });

  it("passes over what it does not know, and drops regions of no bytes", () => {
    const text = map(
      `<memory type="ram" start="0x1000" length="0"/><!-- - --><future><memory type="no" start="z"/></future><memory type="ram" start="0x1000" length="16" device="x"><property name="speed">9</property></memory>`,
    );
    expect(parseMemoryMap(text)).toEqual([{ kind: "ram", start: 0x1000n, size: 16n }]);
  });

  it("knows a map without regions", () => expect(parseMemoryMap(map(""))).toEqual([]));

  it.each<[string, string, RegExp]>([
    [
      "regions that overlap",
      `<memory type="ram" start="0" length="17"/><memory type="rom" start="16" length="1"/>`,
      /overlap at 0x10/,
    ],
    ["a region twice", `<memory type="ram" start="0" length="1"/>`.repeat(2), /overlap/],
    ["a region past the end", `<memory type="ram" start="0xffffffffffffffff" length="2"/>`, /usable start and length/],
    ["no start", `<memory type="ram" length="2"/>`, /usable start/],
    ["a start that GDB would take for octal", `<memory type="ram" start="010" length="2"/>`, /usable start/],
    ["a length of 65 bits", `<memory type="ram" start="0" length="0x10000000000000000"/>`, /usable start/],
    ["a negative start", `<memory type="ram" start="-1" length="1"/>`, /usable start/],
    ["a type of its own", `<memory type="mmio" start="0" length="1"/>`, /type "mmio"/],
    ["no type", `<memory start="0" length="1"/>`, /type ""/],
    ["flash without blocks", `<memory type="flash" start="0" length="1"/>`, /block size/],
    [
      "flash with blocks of 0",
      `<memory type="flash" start="0" length="1"><property name="blocksize">0</property></memory>`,
      /block size/,
    ],
    ["an include", `<xi:include href="more.xml"/>`, /includes another document/],
  ])("refuses %s", (_, regions, message) => {
    expect(() => parseMemoryMap(map(regions))).toThrowError(protocolError(message));
  });

  it.each<[string, string]>([
    ["nothing", ""],
    ["no XML", "hello"],
    ["another document", "<threads/>"],
    ["XML that breaks off", `<memory-map><memory type="ram" start="0" length="1"/>`],
    ["two documents", "<memory-map/><memory-map/>"],
    ["an attribute twice", `<memory-map><memory type="ram" start="0" start="1" length="1"/></memory-map>`],
  ])("refuses %s", (_, text) =>
    expect(() => parseMemoryMap(text)).toThrowError(protocolError(/^Cannot use the stub's memory-map/)),
  );

  it("expands no entity that the document declares", () => {
    const bomb = `<!DOCTYPE memory-map [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><memory-map><memory type="&b;" start="0" length="1"/></memory-map>`;
    expect(() => parseMemoryMap(bomb)).toThrowError(protocolError(/no XML/));
  });

  it("refuses 100,000 regions, 100,000 elements, a million levels and a long document", () => {
    const regions = `<memory type="ram" start="1" length="1"/>`.repeat(100_000);
    expect(() => parseMemoryMap(map(regions))).toThrowError(protocolError(/too many regions/));
    expect(() => parseMemoryMap(map("<a/>".repeat(100_000)))).toThrowError(protocolError(/too many elements/));
    expect(() => parseMemoryMap(map("<a>".repeat(1_000_000)))).toThrowError(protocolError(/too many elements/));
    expect(() => parseMemoryMap(map(" ".repeat(5 << 20)))).toThrowError(protocolError(/too long/));
  });
});
