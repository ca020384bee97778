import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseMemoryTree } from "../../src/target/memory-map.ts";

/**
 * What QEMU 7.2.22 (Debian 12) printed for `info mtree -f`, all but two of the virtio-mmio lines of a view left out (sabrelite: all but three
 * of the devices), with \n for \r\n:
 * - virt-a57: -M virt -cpu cortex-a57 -smp 2 -m 5G -bios AAVMF_CODE.fd -device VGA,romfile= -S
 * - virt-secure: -M virt,secure=on,virtualization=on -cpu max -smp 2 -m 256 -S
 * - sabrelite: -M sabrelite -S (a 32-bit board, for its ROM)
 */
function fixture(machine: string): string {
  return readFileSync(new URL(`fixtures/mtree-${machine}-qemu-7.2.22.txt`, import.meta.url), "utf8");
}

const MIB = 1n << 20n;

describe("parseMemoryTree", () => {
  it("finds flash and RAM of a virt machine, and nothing that is a device", () => {
    expect(parseMemoryTree(fixture("virt-a57"))).toEqual([
      { start: 0n, size: 64n * MIB, kind: "rom", name: "virt.flash0" },
      { start: 64n * MIB, size: 64n * MIB, kind: "rom", name: "virt.flash1" },
      { start: 1024n * MIB, size: 5120n * MIB, kind: "ram", name: "mach-virt.ram" },
    ]);
  });

  it("takes the view of the vCPU, not the secure one that stands before it and has more", () => {
    const text = fixture("virt-secure");
    expect(text.indexOf("cpu-secure-memory-0")).toBeLessThan(text.indexOf("cpu-memory-0"));
    expect(parseMemoryTree(text)).toEqual([
      { start: 64n * MIB, size: 64n * MIB, kind: "rom", name: "virt.flash1" },
      { start: 1024n * MIB, size: 256n * MIB, kind: "ram", name: "mach-virt.ram" },
    ]);
  });

  it("finds ROM that is not flash, and RAM regions side by side", () => {
    expect(parseMemoryTree(fixture("sabrelite"))).toEqual([
      { start: 0n, size: 0x18000n, kind: "rom", name: "imx6.rom" },
      { start: 0x100000n, size: 0x4000n, kind: "rom", name: "imx6.caam" },
      { start: 0x900000n, size: 0x40000n, kind: "ram", name: "imx6.ocram" },
      { start: 0x940000n, size: 0x40000n, kind: "ram", name: "imx6.ocram" },
      { start: 0x10000000n, size: 0x8000000n, kind: "ram", name: "sabrelite.ram" },
    ]);
  });

  it.each(["virt-a57", "virt-secure", "sabrelite"])("reads %s with the line ends that the monitor sends", (machine) => {
    const text = fixture(machine);
    expect(parseMemoryTree(text.replaceAll("\n", "\r\n"))).toEqual(parseMemoryTree(text));
  });

  it("leaves out what a device has taken for now: flash that is being written is i/o", () => {
    const busy = fixture("virt-a57").replace("(prio 0, romd): virt.flash1", "(prio 0, i/o): virt.flash1");
    expect(parseMemoryTree(busy).map(({ name }) => name)).toEqual(["virt.flash0", "mach-virt.ram"]);
  });

  it.each([
    ["no text", ""],
    ["an unknown command", "unknown command: 'info mtree'\r\n"],
    ["no view of a vCPU", 'FlatView #0\n AS "I/O", root: io\n  0000000000000000-0000000000000fff (prio 0, ram): x\n'],
    ["a view that is not rendered", 'FlatView #0\n AS "cpu-memory-0", root: system\n  No rendered FlatView\n'],
  ])("finds nothing in %s", (_, text) => {
    expect(parseMemoryTree(text)).toEqual([]);
  });

  const view = (...lines: string[]): string =>
    ["FlatView #7", ' AS "cpu-memory-0", root: system', " Root memory region: system", ...lines].join("\n");

  it("sorts ranges, and takes them to the end of the address space", () => {
    const text = view(
      "  fffffffffffff000-ffffffffffffffff (prio 0, ram): top",
      "  0000000000001000-0000000000001fff (prio -1, rom): low @0000000000001000",
    );
    expect(parseMemoryTree(text)).toEqual([
      { start: 0x1000n, size: 0x1000n, kind: "rom", name: "low @0000000000001000" },
      { start: 0xfffffffffffff000n, size: 0x1000n, kind: "ram", name: "top" },
    ]);
  });

  it.each([
    "  0000000000002000-0000000000001fff (prio 0, ram): backwards",
    "  0000000000001000-0000000000001fff (prio 0, ramd): device memory",
    "  0000000000001000-0000000000001fff (prio 0, container): none",
    "  0000000000001000-0000000000001fff (prio 0, constructor): none",
    "  00000000000010000-0000000000001fff (prio 0, ram): 17 digits",
    "0000000000001000-0000000000001fff (prio 0, ram): not indented",
    "  0000000000001000 (prio 0, ram): no range",
  ])("does not take %j for memory", (line) => {
    expect(parseMemoryTree(view(line))).toEqual([]);
  });

  it("bounds a name", () => {
    const [range] = parseMemoryTree(view(`  0000000000001000-0000000000001fff (prio 0, ram): ${"n".repeat(5000)}`));
    expect(range?.name).toHaveLength(80);
  });
});
