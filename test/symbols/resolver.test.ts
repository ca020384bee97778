import { describe, expect, it } from "vitest";
import { SymbolResolver } from "../../src/symbols/resolver.ts";
import { readSymbolFile } from "../../src/symbols/symbol-file.ts";
import { FOLDER, parsed } from "./files.ts";

const MODULE = await readSymbolFile(`${FOLDER}Module.debug`);
const XEN = await parsed("0000000000200000 T _start\n0000000000257800 T hyp_traps_vector\n0000000000336000 B _end\n");
const BASE = 0x7c40_0000n;

describe("a resolver", () => {
  it("names an address in an image and gives the address back for the name", () => {
    const resolver = new SymbolResolver();
    resolver.add({ name: "Module" }, MODULE, BASE);
    expect(resolver.resolve(BASE + 0x1020n)).toEqual({
      image: { name: "Module" },
      file: MODULE,
      symbol: "shown",
      offset: 8n,
    });
    expect(resolver.addressOf("shown")).toEqual([BASE + 0x1018n]);
    expect(resolver.addressOf("hidden")).toEqual([BASE + 0x1000n, BASE + 0x1098n]);
    expect(resolver.addressOf("nothing")).toEqual([]);
  });

  it("says the image where no symbol covers the address, and nothing outside of it", () => {
    const resolver = new SymbolResolver();
    resolver.add({ name: "Module" }, MODULE, BASE);
    expect(resolver.resolve(BASE + 0x800n)).toMatchObject({
      image: { name: "Module" },
      symbol: undefined,
      offset: 0x800n,
    });
    expect(resolver.resolve(BASE - 1n)).toBeUndefined();
    expect(resolver.resolve(BASE + 0x2088n)).toBeUndefined();
  });

  it("knows a file at two places", () => {
    const resolver = new SymbolResolver();
    resolver.add({ name: "as the firmware loaded it" }, XEN, 0x7c30_9000n - 0x20_0000n);
    resolver.add({ name: "at its own place" }, XEN, 0n);
    expect(resolver.addressOf("hyp_traps_vector")).toEqual([0x25_7800n, 0x7c36_0800n]);
    expect(resolver.resolve(0x25_7804n)).toMatchObject({ image: { name: "at its own place" }, offset: 4n });
    expect(resolver.resolve(0x7c36_0804n)).toMatchObject({ image: { name: "as the firmware loaded it" }, offset: 4n });
    expect(resolver.files).toEqual([XEN]);
  });

  it("takes an image that lies below where it was linked", async () => {
    const linux = await parsed("ffff800008000000 T _text\nffff800008010800 T vectors\nffff800009000000 B _end\n");
    const resolver = new SymbolResolver();
    resolver.add({ name: "Linux" }, linux, 0x4020_0000n - 0xffff_8000_0800_0000n);
    expect(resolver.resolve(0x4021_0810n)).toMatchObject({ symbol: "vectors", offset: 0x10n });
    expect(resolver.addressOf("vectors")).toEqual([0x4021_0800n]);
  });

  it("takes a name out of a table for the address itself, where no file knows better", () => {
    const names = new Map([
      [BASE + 0x1018n, "ExitBootServices"],
      [BASE + 0x900n, "Stall"],
      [0x5000n, "Stall"],
    ]);
    const resolver = new SymbolResolver(names);
    expect(resolver.resolve(0x5000n)).toEqual({ image: undefined, file: undefined, symbol: "Stall", offset: 0n });
    expect(resolver.resolve(0x5004n)).toBeUndefined();
    expect(resolver.addressOf("Stall")).toEqual([0x5000n, BASE + 0x900n]);
    resolver.add({ name: "Module" }, MODULE, BASE);
    expect(resolver.resolve(BASE + 0x1018n)?.symbol).toBe("shown");
    expect(resolver.resolve(BASE + 0x900n)).toMatchObject({ image: { name: "Module" }, symbol: "Stall" });
  });
});
