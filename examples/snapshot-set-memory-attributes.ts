/**
 * Takes a snapshot at each call of EFI_CPU_ARCH_PROTOCOL.SetMemoryAttributes(), by which the firmware's core changes the protection of memory,
 * and shows what each call did to the page tables: the difference to the snapshot at its return.
 *
 *   npx tsx examples/snapshot-set-memory-attributes.ts --calls 4 -- qemu-system-aarch64 -M virt -cpu cortex-a57 -m 1024 -nographic \
 *     -nic none -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd -kernel examples/guests/handoff/handoff.efi -append mode=clean
 *
 * printed without the guest's console:
 *
 *   from gBS->ExitBootServices at 0x4773e160 on; SetMemoryAttributes is at 0x7faf1b50
 *   1: 0x7fd40000 0x40000 none
 *      0x7fd40000 0x10000 RW → RWX
 *      0x7fd50000 0x10000 ROX → RWX
 *      0x7fd60000 0x20000 RW → RWX
 *   2: 0x7fcf0000 0x40000 none
 *      …
 */
import { hex, type Session, writeCapture } from "ebscope";
import { commandLine, openGuest } from "./lib/guest.ts";

const line = commandLine({ calls: "4", after: "gBS->ExitBootServices", out: "" });
const { after, out } = line.options as { after: string; out: string };
await using guest = await openGuest(line);

/** PI 1.8, volume 2, 12.4: eight functions, NumberOfTimers, DmaBufferAlignment; SetMemoryAttributes is the eighth function. */
const FUNCTIONS = 8;

/**
 * Where SetMemoryAttributes is. UEFI has no list of protocols in memory, but CpuDxe has the protocol's structure among its data: eight pointers
 * into its own code in a row, and no timer.
 */
async function setMemoryAttributes(guest: Session): Promise<bigint> {
  const driver = (await guest.images()).find(({ name }) => name === "CpuDxe" || name === "ArmCpuDxe");
  if (driver === undefined) throw new Error("no image is called CpuDxe");
  const isCode = (address: bigint): boolean =>
    address % 4n === 0n && address > driver.base && address < driver.base + driver.size;
  const pages: Uint8Array[] = [];
  for (let page = driver.base; page < driver.base + driver.size; page += 4096n) {
    const read = await guest.memory(page, 4096);
    pages.push(read.state === "present" ? read.bytes : new Uint8Array(4096));
  }
  const bytes = Buffer.concat(pages);
  for (let at = 0; at + FUNCTIONS * 8 + 8 <= bytes.length; at += 8) {
    const pointers = Array.from({ length: FUNCTIONS }, (_, i) => bytes.readBigUInt64LE(at + 8 * i));
    const [timers, alignment] = [bytes.readUInt32LE(at + FUNCTIONS * 8), bytes.readUInt32LE(at + FUNCTIONS * 8 + 4)];
    const isStructure = timers === 0 && alignment > 0 && (alignment & (alignment - 1)) === 0 && alignment <= 4096;
    if (isStructure && pointers.every(isCode) && new Set(pointers).size === FUNCTIONS) return pointers[7] as bigint;
  }
  throw new Error("CpuDxe has no EFI_CPU_ARCH_PROTOCOL");
}

/** EFI_MEMORY_RP, XP and RO (UEFI 2.10, 7.2.3). */
function attributesText(attributes: bigint): string {
  const names = (
    [
      [0x2000n, "RP"],
      [0x4000n, "XP"],
      [0x2_0000n, "RO"],
    ] as const
  ).filter(([bit]) => attributes & bit);
  return names.map(([, name]) => name).join(" ") || "none";
}

const reached = await guest.breakpoint(after);
await guest.next({ timeoutMs: 120_000 });
await reached[Symbol.asyncDispose]();

const entry = await guest.breakpoint(await setMemoryAttributes(guest));
console.log(`from ${after} at ${hex(reached.address)} on; SetMemoryAttributes is at ${hex(entry.address)}`);
for (let call = 1; call <= Number(line.options.calls); call++) {
  const stop = await guest.next({ timeoutMs: 60_000 });
  const [base, length, attributes] = ["x1", "x2", "x3"].map((name) => stop.general.get(name) ?? 0n) as [
    bigint,
    bigint,
    bigint,
  ];
  await stop.snapshot(`call-${call}`, { kind: "later" });
  {
    await using _back = await guest.breakpoint(stop.general.get("x30") ?? 0n);
    const returned = await guest.next({ timeoutMs: 60_000 });
    await returned.snapshot(`return-${call}`, { kind: "later" });
  }
  console.log(`${call}: ${hex(base)} ${hex(length)} ${attributesText(attributes)}`);
  const { mappings } = await guest.diff(`call-${call}`, `return-${call}`);
  for (const { va, size, before: was, after: is } of mappings) {
    const text = (side: typeof was): string =>
      side === null ? "not mapped" : `${side.attributes.write ? "RW" : "RO"}${side.attributes.execute ? "X" : ""}`;
    console.log(`   ${hex(va)} ${hex(size)} ${text(was)} → ${text(is)}`);
  }
}
if (out !== "") await writeCapture(out, guest.capture);
