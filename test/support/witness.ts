/** QEMU and gdb as second witnesses for what a snapshot of a paused guest says. */
import { probeAddresses } from "./addresses.ts";
import { ebscopeJson, type Guest, gdb } from "./live.ts";

interface MappingOutput {
  readonly regime: string;
  readonly va: string;
  readonly size: string;
  readonly pa: string;
}

interface RegisterOutput {
  readonly cpu: number;
  readonly stubName: string;
  readonly value: string | null;
}

/** Where QEMU's own translation leads on the current vCPU; null when it says that nothing is mapped. */
export async function gva2gpa(guest: Guest, va: bigint): Promise<bigint | null> {
  const answer = await guest.monitor(`gva2gpa 0x${va.toString(16)}`);
  const match = /gpa: (0x[0-9a-f]+)/i.exec(answer);
  if (match?.[1] !== undefined) return BigInt(match[1]);
  if (/unmapped/i.test(answer)) return null;
  throw new Error(`gva2gpa said ${JSON.stringify(answer)}`);
}

/** What the mappings of a snapshot say of an address. */
export function lookUp(mappings: readonly MappingOutput[], va: bigint): bigint | null {
  const found = mappings.find((each) => va >= BigInt(each.va) && va < BigInt(each.va) + BigInt(each.size));
  return found === undefined ? null : BigInt(found.pa) + (va - BigInt(found.va));
}

/** The addresses on which a snapshot's mappings and QEMU's own translation differ. */
export async function translationMismatches(
  guest: Guest,
  file: string,
  regime: string,
  count: number,
): Promise<{ va: string; ebscope: string; qemu: string }[]> {
  const mappings = await ebscopeJson<MappingOutput[]>("show", file, "mappings", "--at", "now", "--regime", regime);
  if (mappings.length === 0) throw new Error(`the snapshot has no mappings in ${regime}`);
  const mismatches: { va: string; ebscope: string; qemu: string }[] = [];
  const text = (pa: bigint | null): string => (pa === null ? "unmapped" : `0x${pa.toString(16)}`);
  for (const va of probeAddresses(mappings, count)) {
    const [ours, theirs] = [lookUp(mappings, va), await gva2gpa(guest, va)];
    if (ours !== theirs) mismatches.push({ va: `0x${va.toString(16)}`, ebscope: text(ours), qemu: text(theirs) });
  }
  return mismatches;
}

/** Registers that count while the machine is paused, or that gdb shows in another form. */
const UNSTABLE = /^(CNT|PMCCNTR|v\d|z\d|p\d|ffr|vg|fpsr|fpcr)/;

/** The registers on which a snapshot and gdb differ, by the stub's own name. `compared` counts those that both have. */
export async function registerMismatches(
  guest: Guest,
  file: string,
): Promise<{ compared: number; mismatches: { name: string; ebscope: string | null; gdb: string }[] }> {
  const registers = await ebscopeJson<RegisterOutput[]>("show", file, "registers", "--at", "now", "--cpu", "0");
  const printed = await gdb(guest, "info all-registers");
  const values = new Map(
    [...printed.matchAll(/^(\w+)\s+(0x[0-9a-f]+)\s/gm)].map(([, name = "", value = ""]) => [name, value]),
  );
  let compared = 0;
  const mismatches: { name: string; ebscope: string | null; gdb: string }[] = [];
  for (const { stubName, value } of registers) {
    const theirs = values.get(stubName);
    if (theirs === undefined || UNSTABLE.test(stubName)) continue;
    compared++;
    if (value !== theirs) mismatches.push({ name: stubName, ebscope: value, gdb: theirs });
  }
  return { compared, mismatches };
}
