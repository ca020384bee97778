/** The machine behind the scripted stub: what it is made of and what it holds. Named and numbered as QEMU 7.2.22 does. */

/** The byte that the stub's RAM and ROM hold at a physical address. */
export function physicalByte(address: number): number {
  return ((address % 251) * 7 + Math.floor(address / 4096)) % 256;
}

/** The stub's register `number` of vCPU `cpu`, as it comes on the wire. */
export function registerHex(cpu: number, number: number, bits: number): string {
  const bytes = Buffer.alloc(bits / 8);
  bytes[0] = number % 256;
  bytes[1] = Math.floor(number / 256);
  bytes[bytes.length - 1] = 0xa0 + cpu;
  return bytes.toString("hex");
}

/** x0 to x30, sp, pc; number 33 is cpsr. */
export const GENERAL = [...Array.from({ length: 31 }, (_, i) => `x${i}`), "sp", "pc"];

/** The stub's system registers by number, under QEMU 7.2's names. */
export const SYSTEM_REGISTERS: Readonly<Record<number, string>> = {
  86: "SCTLR",
  87: "TTBR0_EL1",
  88: "TCR_EL1",
  300: "VBAR",
};

const XML = '<?xml version="1.0"?>\n';
/** The target description that the stub hands out. */
export const TARGET_XML: Readonly<Record<string, string>> = {
  "target.xml":
    `${XML}<!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>aarch64</architecture>` +
    '<xi:include href="aarch64-core.xml"/><xi:include href="system-registers.xml"/></target>',
  "aarch64-core.xml": `${XML}<!DOCTYPE feature SYSTEM "gdb-target.dtd">\n<feature name="org.gnu.gdb.aarch64.core">\n${GENERAL.map((name) => `  <reg name="${name}" bitsize="64"/>\n`).join("")}  <reg name="cpsr" bitsize="32" type="cpsr_flags"/>\n</feature>`,
  "system-registers.xml": `${XML}<!DOCTYPE target SYSTEM "gdb-target.dtd"><feature name="org.qemu.gdb.arm.sys.regs">${Object.entries(
    SYSTEM_REGISTERS,
  )
    .map(([number, name]) => `<reg name="${name}" bitsize="64" regnum="${number}" group="cp_regs"/>`)
    .join("")}</feature>`,
};

/** RAM and ROM of the stub's machine, first and last byte. */
export const MEMORY: readonly (readonly [first: number, last: number])[] = [
  [0, 0x3ff_ffff],
  [0x4000_0000, 0x4fff_ffff],
];

/** What the monitor prints, a packet a line. */
export const MONITOR: Readonly<Record<string, readonly string[]>> = {
  "info version": ["7.2.22\r\n"],
  "info status": ["VM status: paused (debug)\r\n"],
  "info mtree -f": [
    "FlatView #0\r\n",
    ' AS "I/O", root: io\r\n',
    " Root memory region: io\r\n",
    "  0000000000000000-000000000000ffff (prio 0, i/o): io\r\n",
    "\r\n",
    "FlatView #1\r\n",
    ' AS "memory", root: system\r\n',
    ' AS "cpu-memory-0", root: system\r\n',
    " Root memory region: system\r\n",
    "  0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0\r\n",
    "  0000000009000000-0000000009000fff (prio 0, i/o): pl011\r\n",
    "  0000000040000000-000000004fffffff (prio 0, ram): mach-virt.ram\r\n",
    "\r\n",
  ],
};
