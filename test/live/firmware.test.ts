/**
 * The firmware's own lists, of three builds, against what Linux was given: it prints the map that it exits with (`efi=debug`). Nothing
 * may change between that GetMemoryMap and ExitBootServices, where the guest is stopped.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { virt } from "../../src/base/address.ts";
import { locateExitBootServices } from "../../src/capture/locate.ts";
import { identifyFirmware } from "../../src/efi/firmware.ts";
import { findFirmwareMap, readFirmwareMemoryMap } from "../../src/efi/firmware-map.ts";
import { readLoadedImages } from "../../src/efi/images.ts";
import type { MemoryMapRead } from "../../src/efi/memory-map.ts";
import { readSystemTable } from "../../src/efi/system-table.ts";
import { parseStubAddress } from "../../src/rsp/transport.ts";
import { PageLog } from "../../src/snapshot/page-memory.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import { AAVMF_2022, AAVMF_2025, Guest, LINUX, type MachineOptions, need, QEMU_10, ROOT } from "../support/live.ts";

const STRICT = join(ROOT, ".cache/aavmf-2025/AAVMF_CODE.strictnx.fd");

const MACHINES: readonly (MachineOptions & { readonly firmware: string; readonly name: string })[] = [
  { firmware: AAVMF_2022, name: "Debian qemu-efi-aarch64 2022.11-6+deb12u2 (QEMU_EFI.fd, AAVMF_CODE.fd)" },
  {
    ...{ firmware: AAVMF_2025, qemu: QEMU_10, machine: "virt,virtualization=on", memory: 4096, smp: 2 },
    name: "Debian qemu-efi-aarch64 2025.02-8+deb13u1 (QEMU_EFI.fd, AAVMF_CODE.no-secboot.fd)",
  },
  {
    ...{ firmware: STRICT, qemu: QEMU_10 },
    name: "Debian qemu-efi-aarch64 2025.02-8+deb13u1 (AAVMF_CODE.secboot.strictnx.fd)",
  },
];

/** Stops at ExitBootServices, reads, and lets the guest go on. */
async function atExit<T>(guest: Guest, read: (memory: PageLog, systemTable: bigint) => Promise<T>): Promise<T> {
  const target = await attachQemu(parseStubAddress(guest.address));
  try {
    const { roots } = await locateExitBootServices(target, { findTimeoutMs: 60_000 });
    await using _ = await target.insertBreakpoint(virt(roots.exitBootServices));
    await target.resume();
    expect((await target.waitForStop(AbortSignal.timeout(90_000))).kind).toBe("breakpoint");
    return await read(new PageLog(target.memory), roots.systemTable);
  } finally {
    await target.release(true);
  }
}

/** Linux's words for types and attributes (drivers/firmware/efi/efi.c), by EFI_MEMORY_TYPE and by the specification's names. */
const LINUX_TYPES = [
  ...["Reserved", "Loader Code", "Loader Data", "Boot Code", "Boot Data", "Runtime Code", "Runtime Data"],
  ...["Conventional", "Unusable", "ACPI Reclaim", "ACPI Mem NVS", "MMIO", "MMIO Port", "PAL Code", "Persistent"],
];
const LINUX_ATTRIBUTES: Readonly<Record<string, string>> = { RUNTIME: "RUN", MORE_RELIABLE: "MR", CPU_CRYPTO: "CC" };

function asLinuxPrints(map: MemoryMapRead): string[] {
  if (map.state !== "read") throw new Error(map.why);
  return map.descriptors.map(({ type, physicalStart, pages, attributes }) => {
    const words = attributes.map((word) => LINUX_ATTRIBUTES[word] ?? word).sort();
    const last = physicalStart + pages * 4096n - 1n;
    return `0x${physicalStart.toString(16)}-0x${last.toString(16)} ${LINUX_TYPES[type]} ${words.join(" ")}`;
  });
}

function printedMap(console: string): string[] {
  const text = console.slice(console.indexOf("efi: Processing EFI memory map"), console.indexOf("memattr: Processing"));
  const rows = [...text.matchAll(/efi: {3}0x0*([0-9a-f]+)-0x0*([0-9a-f]+) \[([^|\]]*)\|([^\]]*)\]/g)];
  return rows
    .map(([, first = "", last = "", type = "", attributes = ""]) => {
      const words = attributes.split("|").map((word) => word.trim());
      const present = words.filter((word) => word !== "").sort();
      return { start: BigInt(`0x${first}`), text: `0x${first}-0x${last} ${type.trim()} ${present.join(" ")}` };
    })
    .sort((a, b) => (a.start < b.start ? -1 : 1))
    .map(({ text }) => text);
}

describe.each(MACHINES)("the firmware $name", ({ name, ...options }) => {
  it("is known, and its lists say what Linux got from GetMemoryMap, found with the fingerprint and without", async () => {
    need(options.firmware, LINUX);
    const append = "efi=debug console=ttyAMA0 earlycon";
    await using guest = await new Guest({ ...options, kernel: LINUX, append }, true).listening();
    const { identity, map, again, found, pages } = await atExit(guest, async (memory, systemTable) => {
      const table = await readSystemTable(memory, systemTable);
      const images = table === undefined ? [] : await readLoadedImages(memory, table);
      const log = new PageLog(memory);
      const first = await readFirmwareMemoryMap(log, images);
      return {
        ...{ identity: identifyFirmware(images), map: first, pages: log.pages.size },
        ...{ again: await readFirmwareMemoryMap(memory, images), found: await findFirmwareMap(memory, images) },
      };
    });
    await guest.shows(/memattr: Processing EFI Memory Attributes/);
    const printed = printedMap(guest.console);
    expect(printed.length).toBeGreaterThan(20);
    expect(asLinuxPrints(map)).toEqual(printed);
    expect(map).toMatchObject({ state: "read", sorted: true, problems: [] });
    expect(again).toEqual(map);
    expect(found.map).toEqual(map);

    expect(identity?.name).toBe(name);
    expect(identity?.compared).toBeGreaterThan(60);
    expect(found.offsets).toEqual(identity?.offsets);
    // With the fingerprint: a page or two of variables, and those that the entries lie on.
    expect(pages).toBeLessThan(40);
  });
});
