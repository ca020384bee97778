/**
 * QEMU and gdb as second witnesses for what a snapshot of a paused guest says.
 *
 * The monitor's `gva2gpa VA` translates a read by the vCPU as it stands: in the regime of its Exception level, through stage 2 where that
 * is in force, with PSTATE.PAN. It answers `gpa: 0x…`, or `Unmapped` for every fault: no valid descriptor, an address too wide, or (until
 * 10.0) a permission that a read lacks. The access flag does not count: a debugger's look neither needs nor sets it (QEMU 7.2 on).
 */
import { probeAddresses } from "./addresses.ts";
import { ebscopeJson, type Guest, gdb, sleep } from "./live.ts";

export interface MappingOutput {
  readonly regime: string;
  readonly va: string;
  readonly size: string;
  readonly pa: string;
  readonly read: boolean | null;
  readonly execute: boolean | null;
  readonly el0: { readonly read: boolean | null } | null;
  readonly memory: string;
  readonly level: number | null;
}

interface RegisterOutput {
  readonly cpu: number;
  readonly stubName: string;
  readonly value: string | null;
}

export interface Mismatch {
  readonly va: string;
  readonly ebscope: string;
  readonly qemu: string;
}

/** What of PSTATE decides about a read. */
interface ProcessState {
  readonly level: number;
  readonly pan: boolean;
}

async function processState(guest: Guest): Promise<ProcessState> {
  const said = await guest.monitor("info registers");
  const match = /\bPSTATE=([0-9a-f]{8}) .*\bEL([0-3])[ht]/.exec(said);
  if (match?.[1] === undefined) throw new Error(`info registers said no PSTATE: ${JSON.stringify(said.slice(0, 500))}`);
  return { level: Number(match[2]), pan: (BigInt(`0x${match[1]}`) & (1n << 22n)) !== 0n };
}

/** Pauses the guest while vCPU 0 executes at an Exception level; looks again and again, and gives up in the end. */
export async function pauseAt(guest: Guest, level: number): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    await guest.monitor("stop");
    if ((await processState(guest)).level === level) return;
    await guest.monitor("cont");
    // Not in step with anything that the guest does periodically.
    await sleep(1 + ((tries * 7) % 23));
  }
  throw new Error(`the guest was never seen at EL${level}`);
}

/** Where QEMU's own translation leads on vCPU 0; null when it says that nothing is mapped. */
export async function gva2gpa(guest: Guest, addresses: readonly bigint[]): Promise<(bigint | null)[]> {
  const answers = await guest.monitorAll(addresses.map((va) => `gva2gpa 0x${va.toString(16)}`));
  return answers.map((answer) => {
    const match = /^gpa: (0x[0-9a-f]+)\s*$/i.exec(answer);
    if (match?.[1] !== undefined) return BigInt(match[1]);
    if (/^unmapped\s*$/i.test(answer)) return null;
    throw new Error(`gva2gpa said ${JSON.stringify(answer)}`);
  });
}

/** The mapping of an address; the mappings ascend. */
export function mappingOf(mappings: readonly MappingOutput[], va: bigint): MappingOutput | undefined {
  let [low, high] = [0, mappings.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (BigInt(mappings[middle]?.va ?? 0) <= va) low = middle + 1;
    else high = middle;
  }
  const found = mappings[low - 1];
  return found !== undefined && va < BigInt(found.va) + BigInt(found.size) ? found : undefined;
}

export function outputOf(mapping: MappingOutput, va: bigint): bigint {
  return BigInt(mapping.pa) + (va - BigInt(mapping.va));
}

/** Where a read leads, as the mappings of a snapshot say; null: it faults. */
function readLeadsTo(mappings: readonly MappingOutput[], { level, pan }: ProcessState, va: bigint): bigint | null {
  const found = mappingOf(mappings, va);
  if (found === undefined) return null;
  const read = level === 0 ? found.el0?.read : found.read;
  if (typeof read !== "boolean") throw new Error(`ebscope cannot tell whether 0x${va.toString(16)} may be read`);
  const prevented = level > 0 && pan && found.el0?.read === true;
  return read && !prevented ? outputOf(found, va) : null;
}

/** The regime of each Exception level; EL2's is told by whoever asks. */
const LEVELS: Readonly<Record<string, readonly number[]>> = { "EL1&0": [0, 1], EL2: [2], "EL2&0": [2], EL3: [3] };

/** Fewer answers of a kind would make the comparison mean little. */
const LEAST_OF_A_KIND = 500;

/**
 * The addresses on which a snapshot's mappings and QEMU's own translation differ, of so many. Throws when the vCPU is not in the
 * regime, and when QEMU says that less than 500 are mapped, or less than 500 are not.
 */
export async function translationMismatches(
  guest: Guest,
  file: string,
  regime: string,
  count = 2000,
): Promise<Mismatch[]> {
  const state = await processState(guest);
  if (!LEVELS[regime]?.includes(state.level)) throw new Error(`the vCPU is at EL${state.level}, not in ${regime}`);
  const mappings = await ebscopeJson<MappingOutput[]>("show", file, "mappings", "--at", "now", "--regime", regime);
  const addresses = probeAddresses(mappings, count);
  const answers = await gva2gpa(guest, addresses);
  const mapped = answers.filter((answer) => answer !== null).length;
  if (addresses.length < count || mapped < LEAST_OF_A_KIND || addresses.length - mapped < LEAST_OF_A_KIND)
    throw new Error(
      `QEMU has ${mapped} of only ${addresses.length} addresses mapped in ${regime}: not worth comparing`,
    );
  return addresses.flatMap((va, i) => {
    const [ours, theirs] = [readLeadsTo(mappings, state, va), answers[i] ?? null];
    return ours === theirs ? [] : [{ va: `0x${va.toString(16)}`, ebscope: shown(ours), qemu: shown(theirs) }];
  });
}

function shown(pa: bigint | null): string {
  return pa === null ? "unmapped" : `0x${pa.toString(16)}`;
}

/**
 * What the guest reads at virtual addresses (QEMU translates each) and what stands at the physical addresses to which they are said to
 * lead: eight bytes each.
 */
export async function wordsThroughAndAt(
  guest: Guest,
  places: readonly { readonly va: bigint; readonly pa: bigint }[],
): Promise<{ readonly through: readonly string[]; readonly at: readonly string[] }> {
  const words = async (command: string, addresses: readonly bigint[]): Promise<string[]> => {
    const answers = await guest.monitorAll(addresses.map((each) => `${command} /1gx 0x${each.toString(16)}`));
    return answers.map((answer, i) => {
      const word = /^[0-9a-f]{16}: (0x[0-9a-f]{16})\s*$/.exec(answer)?.[1];
      if (word === undefined) throw new Error(`${command} of 0x${addresses[i]?.toString(16)} said ${answer}`);
      return word;
    });
  };
  const through = await words(
    "x",
    places.map(({ va }) => va),
  );
  return {
    through,
    at: await words(
      "xp",
      places.map(({ pa }) => pa),
    ),
  };
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
