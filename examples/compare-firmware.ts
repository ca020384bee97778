/**
 * Compares what two builds of a firmware leave to the OS: registers, images, and what of memory is writable and executable, at the call of
 * ExitBootServices.
 *
 *   npx tsx examples/compare-firmware.ts /usr/share/qemu-efi-aarch64/QEMU_EFI.fd .cache/aavmf-2025/QEMU_EFI.fd -- \
 *     qemu-system-aarch64 -M virt -cpu cortex-a57 -m 1024 -nographic -nic none -kernel examples/guests/handoff/handoff.efi -append mode=clean
 *
 * printed, without the guest's console:
 *
 *   /usr/share/qemu-efi-aarch64/QEMU_EFI.fd → .cache/aavmf-2025/QEMU_EFI.fd
 *   registers: 0 of 4 differ
 *   permissions: 3 of 3 differ
 *     RO+X  3984 KiB → 4764 KiB
 *     RW  1043984 KiB → 1046352 KiB
 *     RW+X  68188 KiB → 528 KiB
 *   images: 43 of 95 differ
 *     AcpiTableDxe  0x7000 → 0x8000
 *     ArmPciCpuIo2Dxe  0x4000 → –
 *     …
 */
import { hex, launch } from "ebscope";
import { commandLine } from "./lib/guest.ts";

/** What is compared. */
const REGISTERS = ["SCTLR_EL1", "TCR_EL1", "MAIR_EL1", "CPACR_EL1"];

interface Build {
  readonly firmware: string;
  readonly registers: ReadonlyMap<string, string>;
  /** Of the images, by name: their sizes. */
  readonly images: ReadonlyMap<string, string>;
  /** Bytes of RAM by what they permit. */
  readonly permissions: ReadonlyMap<string, string>;
}

async function boot(command: readonly string[], firmware: string): Promise<Build> {
  await using guest = await launch([...command, "-bios", firmware], {
    onLine: (line) => console.error(`guest| ${line}`),
  });
  await guest.breakpoint("gBS->ExitBootServices");
  const stop = await guest.next({ timeoutMs: 120_000 });
  const registers = await stop.registers();
  const sizes = new Map<string, bigint>();
  for (const { size, attributes } of (await stop.mappings()).mappings) {
    if (!attributes.memory.startsWith("Normal")) continue;
    const key = `${attributes.write ? "RW" : "RO"}${attributes.execute ? "+X" : ""}`;
    sizes.set(key, (sizes.get(key) ?? 0n) + size);
  }
  return {
    firmware,
    registers: new Map(REGISTERS.map((name) => [name, textOf(registers.get(name))])),
    images: new Map((await guest.images()).map(({ name, size }) => [name ?? "?", hex(size)])),
    permissions: new Map([...sizes].map(([key, size]) => [key, `${size >> 10n} KiB`])),
  };
}

function textOf(value: bigint | undefined): string {
  return value === undefined ? "?" : hex(value);
}

/** The lines of two lists that differ. */
function differences(what: string, a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const names = [...new Set([...a.keys(), ...b.keys()])].sort();
  const differing = names.filter((name) => a.get(name) !== b.get(name));
  const lines = differing.map((name) => `  ${name}  ${a.get(name) ?? "–"} → ${b.get(name) ?? "–"}`);
  return [`${what}: ${differing.length} of ${names.length} differ`, ...lines];
}

const line = commandLine({});
const [first = "", second = ""] = line.words;
const [a, b] = [await boot(line.command, first), await boot(line.command, second)];
console.log(`${a.firmware} → ${b.firmware}`);
for (const what of ["registers", "permissions", "images"] as const) {
  console.log(differences(what, a[what], b[what]).join("\n"));
}
