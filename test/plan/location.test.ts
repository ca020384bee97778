/** Places, as plans and the TypeScript API have them in text. */
import { describe, expect, it } from "vitest";
import { parseLocation, parseLocations } from "../../src/plan/index.ts";

describe("a place", () => {
  it.each([
    ["0x47801000", { kind: "address", address: 0x4780_1000n }],
    ["0xffff_0000_1234_5678", { kind: "address", address: 0xffff_0000_1234_5678n }],
    ["1202720768", { kind: "address", address: 1202720768n }],
    ["CoreExitBootServices", { kind: "symbol", name: "CoreExitBootServices" }],
    ["  foo.isra.0 ", { kind: "symbol", name: "foo.isra.0" }],
    ["DxeCore!CoreStall", { kind: "symbol", name: "CoreStall", image: "DxeCore" }],
    ["xen-syms!start_xen", { kind: "symbol", name: "start_xen", image: "xen-syms" }],
    ['"my image"!"operator new"', { kind: "symbol", name: "operator new", image: "my image" }],
    ["DxeCore+0x3160", { kind: "image", image: "DxeCore", offset: 0x3160n }],
    ["vmlinuz-6.1 + 16", { kind: "image", image: "vmlinuz-6.1", offset: 16n }],
    ["vector", { kind: "symbol", name: "vector" }],
    ["gBS->ExitBootServices", { kind: "service", table: "gBS", name: "ExitBootServices" }],
    ["gRT -> SetVirtualAddressMap", { kind: "service", table: "gRT", name: "SetVirtualAddressMap" }],
    ["vector(sync)", { kind: "vector", exception: "sync", from: "current-spx" }],
    ["vector(irq, lower-64)", { kind: "vector", exception: "irq", from: "lower-64" }],
    ["vector( serror , lower-32 , el2 )", { kind: "vector", exception: "serror", from: "lower-32", level: 2 }],
    ["vector(fiq, EL1)", { kind: "vector", exception: "fiq", from: "current-spx", level: 1 }],
  ])("%s is read for what it is", (text, location) => {
    expect(parseLocation(text)).toEqual(location);
  });

  it.each([
    ["write(0x47800000)", "0x47800000", 8n],
    ["write(x0 + 8, 4)", "x0 + 8", 4n],
    ["write( u64[gBS + 0xe8], 4KiB )", "u64[gBS + 0xe8]", 4096n],
    ["write(slt(x0, 1), 1)", "slt(x0, 1)", 1n],
  ])("%s is a write to memory", (text, address, size) => {
    expect(parseLocation(text)).toMatchObject({ kind: "write", address: { text: address }, size });
  });

  it("may be several vectors: faults from anywhere are eight", () => {
    const faults = parseLocations("vector(fault, any)");
    expect(faults.map((each) => (each.kind === "vector" ? `${each.exception} ${each.from}` : ""))).toEqual([
      "sync current-sp0",
      "sync current-spx",
      "sync lower-64",
      "sync lower-32",
      "serror current-sp0",
      "serror current-spx",
      "serror lower-64",
      "serror lower-32",
    ]);
    expect(parseLocations("vector(any, any, EL3)").length).toBe(16);
    expect(() => parseLocation("vector(fault)")).toThrow(/several vectors are meant/);
  });

  it.each([
    ["", 1, /it is empty/],
    ["gXX->Foo", 1, /gXX->Foo is no service/],
    ["gBS->", 1, /is no service/],
    ["DxeCore+", 1, /is no place/],
    ["DxeCore+zz", 9, /zz is no 64-bit number/],
    ["a+0x10000000000000000", 3, /is no 64-bit number/],
    ["0x10000000000000000", 1, /is no 64-bit number/],
    ["  12x", 3, /12x is no 64-bit number/],
    ["DxeCore!Stall+4", 14, /an offset behind a symbol/],
    ["vektor(sync)", 1, /vektor\( \) is no place/],
    ["vector(sync", 12, /a parenthesis is not closed/],
    ["vector()", 8, /nothing stands for no vector/],
    ["vector(synch)", 8, /synch stands for no vector/],
    ["vector(sync, lower)", 14, /lower stands for no vector/],
    ["vector(sync, lower-64, EL0)", 24, /EL0 is no level/],
    ["vector(sync, any, EL1, 4)", 8, /vector takes/],
    ["write(x0 +)", 11, /it ends too early/],
    ["write(x0, 0)", 11, /0 is no size/],
    ["write(x0, 4097)", 11, /4097 is no size/],
    ["write(x0, x1)", 11, /x1 is no size/],
    ["write(x0, 1, 2)", 7, /write takes/],
    ["eval(1)", 1, /eval\( \) is no place/],
    ["constructor + x", 15, /x is no 64-bit number/],
    ["a".repeat(5000), 1, /longer than 4096/],
  ])("that is none is told with its column: %j at %i", (text, column, why) => {
    const wanted = { code: "bad-expression", message: expect.stringMatching(why) };
    expect(() => parseLocation(text)).toThrow(expect.objectContaining(wanted));
    expect(() => parseLocation(text)).toThrow(`column ${column}: `);
  });
});
