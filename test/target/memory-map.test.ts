import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { phys } from "../../src/base/address.ts";
import { parseMemoryTree, rangeOf } from "../../src/target/memory-map.ts";

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
      { start: 0n, size: 64n * MIB, kind: "rom", name: "virt.flash0", regionOffset: 0n },
      { start: 64n * MIB, size: 64n * MIB, kind: "rom", name: "virt.flash1", regionOffset: 0n },
      { start: 1024n * MIB, size: 5120n * MIB, kind: "ram", name: "mach-virt.ram", regionOffset: 0n },
    ]);
  });

  it("takes the view of the vCPU, not the secure one that stands before it and has more", () => {
    const text = fixture("virt-secure");
    expect(text.indexOf("cpu-secure-memory-0")).toBeLessThan(text.indexOf("cpu-memory-0"));
    expect(parseMemoryTree(text)).toEqual([
      { start: 64n * MIB, size: 64n * MIB, kind: "rom", name: "virt.flash1", regionOffset: 0n },
      { start: 1024n * MIB, size: 256n * MIB, kind: "ram", name: "mach-virt.ram", regionOffset: 0n },
    ]);
  });

  it("finds ROM that is not flash, and RAM regions side by side", () => {
    expect(parseMemoryTree(fixture("sabrelite"))).toEqual([
      { start: 0n, size: 0x18000n, kind: "rom", name: "imx6.rom", regionOffset: 0n },
      { start: 0x100000n, size: 0x4000n, kind: "rom", name: "imx6.caam", regionOffset: 0n },
      { start: 0x900000n, size: 0x40000n, kind: "ram", name: "imx6.ocram", regionOffset: 0n },
      { start: 0x940000n, size: 0x40000n, kind: "ram", name: "imx6.ocram", regionOffset: 0n },
      { start: 0x10000000n, size: 0x8000000n, kind: "ram", name: "sabrelite.ram", regionOffset: 0n },
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
      "  0000000000001000-0000000000001fff (prio -1, rom): low @0000000000003000",
    );
    expect(parseMemoryTree(text)).toEqual([
      { start: 0x1000n, size: 0x1000n, kind: "rom", name: "low", regionOffset: 0x3000n },
      { start: 0xfffffffffffff000n, size: 0x1000n, kind: "ram", name: "top", regionOffset: 0n },
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

  it("takes an NVDIMM for RAM", () => {
    // As QEMU 7.2 and 10.0 print it for -device nvdimm,memdev=nv0.
    const text = view("  0000000080000000-0000000083ffffff (prio 0, nv-ram): nv0");
    expect(parseMemoryTree(text)).toEqual([
      { start: 0x80000000n, size: 64n * MIB, kind: "ram", name: "nv0", regionOffset: 0n },
    ]);
  });

  it.each([
    ["ram0", "ram0", 0n],
    ["ram0 @0000000040000000", "ram0", 0x40000000n],
    ["ram0 KVM", "ram0", 0n],
    ["ram0 @0000000040000000 KVM", "ram0", 0x40000000n],
    ["/objects/a b @c", "/objects/a b @c", 0n],
    ["", "", 0n],
  ])("reads the region of %j", (text, name, regionOffset) => {
    const line = `  0000000000001000-0000000000001fff (prio 0, ram): ${text}`;
    expect(parseMemoryTree(view(line))).toMatchObject([{ name, regionOffset }]);
  });

  it("bounds a name", () => {
    const [range] = parseMemoryTree(view(`  0000000000001000-0000000000001fff (prio 0, ram): ${"n".repeat(5000)}`));
    expect(range?.name).toHaveLength(80);
  });
});

describe("rangeOf", () => {
  const ranges = parseMemoryTree(fixture("sabrelite"));

  it("finds the range that holds all of a piece, as going through all of them does", () => {
    for (const { start, size } of ranges) {
      for (const address of [start - 1n, start, start + 1n, start + size - 1n, start + size]) {
        for (const length of [1, 2, 4096]) {
          const holds = ranges.filter((each) => {
            return address >= each.start && address + BigInt(length) <= each.start + each.size;
          });
          expect(rangeOf(ranges, phys(address), length), `${address}, ${length}`).toEqual(holds[0]);
        }
      }
    }
  });

  it("finds nothing among none", () => {
    expect(rangeOf([], phys(0), 1)).toBeUndefined();
  });
});
