/**
 * Guest memory out of the QEMU process on this host.
 *
 * Source: QEMU's monitor command `gpa2hva PA`: where guest RAM or ROM lies in QEMU's address space. proc_pid_mem(5): a read of
 * /proc/PID/mem at an address reads the process's memory there; opening it needs the rights to trace the process (ptrace(2), "Ptrace
 * access mode checking"): the same user, or CAP_SYS_PTRACE, and with Yama's ptrace_scope 1 an ancestor of it.
 *
 * gpa2hva answers, on QEMU 7.2 and 10.0 alike:
 *   Host virtual address for 0x40000000 (mach-virt.ram) is 0x7ff1abfff000
 *   Memory at address 0x9000000 is not RAM
 *   No memory is mapped at address 0x90000000
 *
 * One range of `info mtree -f` is one piece of one memory region, so it lies in one piece; its last byte is asked for as well, and a range
 * whose ends do not fit is left to the stub. The open file stays bound to the process that it was opened for: when that has ended, or has
 * become another program, reads give nothing, and a process that gets the same number later is not read by mistake.
 *
 * Assumed: QEMU's memory is there to be read. Where a page has yet to arrive (the receiving side of a postcopy migration, userfaultfd) a read
 * waits for it, and this program with it; the stub would wait just so.
 */
import { closeSync, openSync } from "node:fs";
import { phys } from "../../base/address.ts";
import type { TreeRange } from "../memory-map.ts";
import { type HostSource, type HostWindow, isPosition, type Located, type Monitor } from "./channel.ts";

export class ProcessMemory implements HostSource {
  readonly kind = "process";
  readonly name: string;
  readonly #fd: number;
  readonly #monitor: Monitor;

  /** Opens the memory of a process. Throws as node:fs does. */
  constructor(pid: number, monitor: Monitor) {
    this.name = `process ${pid}`;
    this.#monitor = monitor;
    this.#fd = openSync(`/proc/${pid}/mem`, "r");
  }

  async locate(ranges: readonly TreeRange[]): Promise<Located> {
    const windows = await Promise.all(ranges.map((range) => this.#windowOf(range)));
    const found = windows.filter((window) => window !== undefined);
    return { windows: found, why: "the stub does not tell where guest memory lies in it (gpa2hva)" };
  }

  async #windowOf({ start, size }: TreeRange): Promise<HostWindow | undefined> {
    const last = phys(start + size - 1n);
    const [first, end] = await Promise.all([this.#hostAddress(start), this.#hostAddress(last)]);
    if (first === undefined || end === undefined || !isPosition(first, size)) return undefined;
    return BigInt(end) - BigInt(first) === size - 1n ? { start, size, fd: this.#fd, position: first } : undefined;
  }

  async #hostAddress(address: bigint): Promise<number | undefined> {
    return parseHostAddress((await this.#monitor(`gpa2hva 0x${address.toString(16)}`)) ?? "");
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** The address in an answer of gpa2hva; undefined when it holds none, or one that no process has. */
export function parseHostAddress(text: string): number | undefined {
  const [, digits] = /^Host virtual address for 0x[0-9a-f]+ \(.*\) is 0x([0-9a-f]{1,16})\s*$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const address = Number(BigInt(`0x${digits}`));
  return address > 0 && Number.isSafeInteger(address) ? address : undefined;
}

/** Why a process's memory could not be opened. */
export function openRefusal(pid: number, error: unknown): { readonly why: string; readonly denied: boolean } {
  const { code = String(error) } = error as NodeJS.ErrnoException;
  const denied = code === "EACCES" || code === "EPERM";
  if (denied) return { why: `the system does not let this user read the memory of process ${pid} (${code})`, denied };
  return { why: `the memory of process ${pid} cannot be opened (${code})`, denied };
}
