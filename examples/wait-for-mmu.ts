/**
 * Waits for the MMU to be switched on or off: for an instruction of an image that changes SCTLR_ELx.M. A stub cannot watch a register, so
 * every `MSR SCTLR_ELx, Xt` of the image gets a breakpoint.
 *
 *   npx tsx examples/wait-for-mmu.ts --image kernel -- qemu-system-aarch64 -M virt -cpu cortex-a57 -m 1024 -nographic -nic none \
 *     -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd -kernel examples/guests/handoff/handoff.efi -append mode=mmu-off
 *
 * printed, without the guest's console:
 *
 *   kernel writes SCTLR_ELx in 6 places
 *   kernel+0x180c  SCTLR_EL1 0x30d0198d → 0x30d01988 (from x0)
 *   the MMU is off
 */
import { hex, type Session } from "ebscope";
import { commandLine, openGuest } from "./lib/guest.ts";

const line = commandLine({ image: "kernel", from: "gBS->ExitBootServices" });
const { image, from } = line.options as { image: string; from: string };
await using guest = await openGuest(line);

/** MSR SCTLR_EL1, SCTLR_EL2 and SCTLR_EL3 (Arm ARM DDI 0487, C5.1.3: op0 3, CRn 1, CRm 0, op2 0; Rt in bits 4:0). */
const WRITES: ReadonlyMap<number, string> = new Map([
  [0xd518_1000, "SCTLR_EL1"],
  [0xd51c_1000, "SCTLR_EL2"],
  [0xd51e_1000, "SCTLR_EL3"],
]);

interface Found {
  readonly register: string;
  readonly source: string;
}

/** The instructions of an image that write SCTLR_ELx, by address. */
async function writesIn(guest: Session, name: string): Promise<Map<bigint, Found>> {
  const found = new Map<bigint, Found>();
  const loaded = (await guest.images()).find((each) => each.name === name);
  if (loaded === undefined) throw new Error(`no image is called ${name}`);
  for (let page = loaded.base; page < loaded.base + loaded.size; page += 4096n) {
    const read = await guest.memory(page, 4096);
    if (read.state !== "present") continue;
    const words = new DataView(read.bytes.buffer, read.bytes.byteOffset, 4096);
    for (let at = 0; at < 4096; at += 4) {
      const word = words.getUint32(at, true);
      const register = WRITES.get((word & 0xffff_ffe0) >>> 0);
      if (register !== undefined) found.set(page + BigInt(at), { register, source: `x${word & 31}` });
    }
  }
  return found;
}

// The image is there when it calls this.
const called = await guest.breakpoint(from);
await guest.next({ timeoutMs: 120_000 });
await called[Symbol.asyncDispose]();

const writes = await writesIn(guest, image);
for (const address of writes.keys()) await guest.breakpoint(address);
console.log(`${image} writes SCTLR_ELx in ${writes.size} places`);

for await (const stop of guest.stops({ timeoutMs: 60_000 })) {
  const write = writes.get(stop.pc ?? 0n);
  if (write === undefined) continue;
  const before = (await stop.registersNamed(new Set([write.register]))).get(write.register) ?? 0n;
  const { image: where } = await stop.place();
  await guest.step();
  const after = (await guest.registers()).get(write.register) ?? 0n;
  console.log(`${where}  ${write.register} ${hex(before)} → ${hex(after)} (from ${write.source})`);
  if ((before & 1n) === (after & 1n)) continue;
  console.log(`the MMU is ${after & 1n ? "on" : "off"}`);
  break;
}
