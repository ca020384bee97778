import { describe, expect, it } from "vitest";
import { phys, virt } from "../../../src/base/address.ts";
import { parseRange, placeRange, touches } from "../../../src/capture/blame/ranges.ts";
import { failure } from "../../support/failure.ts";
import { BOOT_SERVICES, buildFirmware, RUNTIME_SERVICES, SYSTEM_TABLE } from "../../support/firmware.ts";

const LAST = (1n << 64n) - 8n;

describe("a range", () => {
  it.each([
    ["gBS", "gBS", 0n, 8],
    ["gBS+0xe8", "gBS", 0xe8n, 8],
    ["gST + 24, 16", "gST", 24n, 16],
    ["gRT+0x18,0x20", "gRT", 0x18n, 32],
    ["0x40000000", undefined, 0x4000_0000n, 8],
    ["0x40000000,0x1000", undefined, 0x4000_0000n, 4096],
    ["1073741824,1", undefined, 0x4000_0000n, 1],
    ["0x40000000..0x40001000", undefined, 0x4000_0000n, 4096],
    ["0x40000000,0x100000", undefined, 0x4000_0000n, 1 << 20],
    ["0xfffffffffffffff8", undefined, LAST, 8],
  ])("may be given as %j", (text, base, offset, length) => {
    expect(parseRange(text)).toEqual({ name: text, base, offset, length });
  });

  it.each([
    ["", "it names no place"],
    ["gDS", "it names no place"],
    ["gBS-8", "it names no place"],
    ["gBS+", "it names no place"],
    ["0x", "it names no place"],
    ["0x40000000,", "it names no place"],
    ["0x10000000000000000", "it names no place"],
    ["gBS..0x40000000", "`..` goes between two addresses"],
    ["0x40000000,0", "it has no bytes"],
    ["0x40000000..0x40000000", "it has no bytes"],
    ["0x40000000..0x3fffffff", "it has no bytes"],
    ["0x40000000,0x100001", "it has more than 1048576 bytes"],
    ["0xfffffffffffffff9", "it lies beyond the last address"],
    ["0xffffffffffffffff,2", "it lies beyond the last address"],
  ])("may not be %j: %s", async (text, why) => {
    const error = await failure(Promise.resolve(text).then(parseRange));
    expect(error.code).toBe("usage");
    expect(error.message).toContain(why);
  });

  const roots = { systemTable: phys(SYSTEM_TABLE), bootServices: phys(BOOT_SERVICES), exitBootServices: 0n };

  it.each([
    ["gST+0x60", SYSTEM_TABLE + 0x60n],
    ["gBS+0xe8", BOOT_SERVICES + 0xe8n],
    ["gRT+0x18", RUNTIME_SERVICES + 0x18n],
    ["0x1234", 0x1234n],
  ])("%s lies where UEFI's tables do", async (text, address) => {
    const { memory } = buildFirmware();
    const placed = await placeRange(parseRange(text), roots as never, memory);
    expect(placed).toEqual({ name: text, address, length: 8 });
  });

  it("counted from a table that cannot be read is refused", async () => {
    const { memory } = buildFirmware();
    memory.makeUnreadable(SYSTEM_TABLE & ~0xfffn);
    await expect(placeRange(parseRange("gRT"), roots as never, memory)).rejects.toThrow(/gRT could not be read/);
  });

  it("that begins in a table and goes beyond the last address is refused", async () => {
    const { memory } = buildFirmware();
    const range = parseRange("gBS+0xffffffffffffff00");
    await expect(placeRange(range, roots as never, memory)).rejects.toThrow(/beyond the last address/);
  });

  it("has the doublewords that any of its bytes lie in", () => {
    const range = { name: "", address: virt(0x1006n), length: 3 };
    const found = [0xff8n, 0x1000n, 0x1008n, 0x1010n].filter((at) => touches(range, virt(at)));
    expect(found).toEqual([0x1000n, 0x1008n]);
  });
});
