/**
 * Prints what a running Linux has mapped for itself: the upper half of EL1's addresses, as `ptdump` in the kernel would.
 *
 *   qemu-system-aarch64 -M virt -cpu cortex-a57 -m 512 -nographic -nic none -kernel .cache/guests/linux/vmlinuz \
 *     -append console=ttyAMA0 -gdb unix:/tmp/gdb.sock,server=on,wait=off &
 *   npx tsx examples/dump-linux-tables.ts unix:/tmp/gdb.sock
 *
 * printed:
 *
 *   0xffff67ae80000000-0xffff67ae80210000 0x40000000 RW NX     L3 Normal WB RAWA
 *   0xffff67ae80210000-0xffff67ae80400000 0x40210000 ro NX     L3 Normal WB RAWA
 *   0xffff67ae80400000-0xffff67ae81800000 0x40400000 ro NX     L2 Normal WB RAWA
 *   …
 *   160 ranges, 831348 KiB; TTBR1_EL1 0x41858000
 *   writable and executable: none
 */
import { hex } from "ebscope";
import { commandLine, openGuest } from "./lib/guest.ts";

await using guest = await openGuest(commandLine({}));
// A process of its own may run at EL0 just now: the kernel's half is the same for all.
const { mappings, coverage } = await guest.mappings({ regime: "EL1&0" });
const kernel = mappings.filter(({ va }) => va >> 63n === 1n);

let bytes = 0n;
for (const { va, size, pa, attributes } of kernel) {
  const { write, execute, el0, memory, level, contiguous } = attributes;
  const user = el0?.read || el0?.write || el0?.execute ? "USR" : "   ";
  const permissions = `${write ? "RW" : "ro"} ${execute ? "x " : "NX"} ${user}`;
  console.log(`${hex(va)}-${hex(va + size)} ${hex(pa)} ${permissions} L${level}${contiguous ? " CON" : ""} ${memory}`);
  bytes += size;
}
const registers = await guest.registers();
console.log(`${kernel.length} ranges, ${bytes >> 10n} KiB; TTBR1_EL1 ${hex(registers.get("TTBR1_EL1") ?? 0n)}`);
const wx = kernel.filter(({ attributes }) => attributes.write && attributes.execute);
console.log(`writable and executable: ${wx.length === 0 ? "none" : wx.map(({ va }) => hex(va)).join(" ")}`);
if (coverage.length > 0) console.log(`not known: ${coverage.length} tables could not be read`);
