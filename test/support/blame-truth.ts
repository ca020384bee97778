/** What `ebscope blame` and `ebscope diff` say of the guest blame, held against what the guest says of itself. Shares no code with src. */
import type { Deed } from "./blame-log.ts";

/** Of the JSON only what is looked at. */
export interface SaidFrame {
  readonly pc: string;
  readonly image: string | null;
  readonly function: string | null;
  readonly trust: string;
  readonly doubts: readonly string[];
}

export interface SaidEntry {
  readonly event: number;
  readonly kind: string;
  readonly cpu: number;
  readonly by: {
    readonly pc: string;
    readonly image: string | null;
    readonly backtrace: readonly SaidFrame[] | null;
  } | null;
  readonly address?: string;
  readonly name?: string;
  readonly operation?: string;
  readonly value?: string | null;
  readonly old?: string | null;
  readonly new?: string | null;
}

export interface SaidAuthor {
  readonly pc: string | null;
  readonly image: string | null;
  readonly count: number;
  readonly last: string | null;
  readonly backtrace: readonly SaidFrame[] | null;
}

export interface SaidRun {
  readonly va: string;
  readonly size: string;
  readonly by: readonly SaidAuthor[] | null;
  readonly unattributed: string | null;
}

export interface Place {
  readonly base: bigint;
  readonly size: bigint;
}

export function isIn({ base, size }: Place, address: bigint): boolean {
  return address >= base && address < base + size;
}

/** Of `memory` a part of a doubleword: CRC32 has four bytes. */
function part(value: string | bigint | null | undefined, { at = 0n, what, kind }: Deed): string {
  if (value === undefined || value === null) return "?";
  const all = BigInt(value);
  if (kind !== "memory" || what !== "gBS+0x10" || typeof value === "bigint") return hex(all);
  return hex((all >> ((at % 8n) * 8n)) & 0xffff_ffffn);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

const KIND: Partial<Record<Deed["kind"], string>> = {
  store: "table",
  register: "register",
  memory: "memory",
  tlbi: "maintenance",
};

/** What must be told, in order, of the kinds that are watched for. Nobody sees `copied_code`: it is on a page that was not there at the search. */
export function expectedOf(deeds: readonly Deed[], kinds: readonly Deed["kind"][]): readonly Deed[] {
  return deeds.filter(({ kind }) => kinds.includes(kind));
}

/** What is told of the guest's own code and of nobody; not of the firmware. */
export function toldOf(entries: readonly SaidEntry[], image: Place): readonly SaidEntry[] {
  return entries.filter(({ kind, by, operation }) => {
    // The guest says nothing of caches.
    if (!Object.values(KIND).includes(kind) || operation?.startsWith("TLBI ") === false) return false;
    return by === null || isIn(image, BigInt(by.pc));
  });
}

/** Both as lines that are equal when the deed is told as it was. */
export function linesOf(deeds: readonly Deed[], entries: readonly SaidEntry[]): { truth: string[]; told: string[] } {
  const truth = deeds.map((deed) => {
    const who = deed.function === "copied_code" && deed.kind === "register" ? "nobody" : hex(deed.pc);
    const where =
      deed.kind === "register" ? deed.what : deed.kind === "tlbi" ? `TLBI ${deed.what}` : hex((deed.at ?? 0n) & ~7n);
    const values = deed.kind === "tlbi" ? hex(deed.new ?? 0n) : `${part(deed.old, deed)} → ${part(deed.new, deed)}`;
    return `${KIND[deed.kind]} vCPU ${deed.cpu} ${who} ${where} ${values}`;
  });
  const told = entries.map(({ kind, cpu, by, name, operation, address, value, old, new: now }, i) => {
    const deed = deeds[i] as Deed;
    const where = name ?? operation ?? address;
    const values = kind === "maintenance" ? (value ?? "0x0") : `${part(old, deed)} → ${part(now, deed)}`;
    return `${kind} vCPU ${cpu} ${by?.pc ?? "nobody"} ${where} ${values}`;
  });
  return { truth, told };
}

/**
 * How the call chain differs from the one that the guest walked itself; undefined when it does not. The outermost one there may follow no call. A
 * frame that is said to be doubtful, as X30 may be left over, need not be there.
 */
export function chainMismatch({ chain, function: name }: Deed, { by, event }: SaidEntry): string | undefined {
  if (by === null) return undefined;
  const isOffered = ({ trust, doubts }: SaidFrame): boolean =>
    trust !== "broken" && !(trust === "doubtful" && doubts.some((doubt) => doubt.includes("may be left over")));
  const said = (by.backtrace ?? []).slice(1).filter(isOffered);
  const ours = said.map(({ pc }) => pc);
  const truth = chain.map(hex);
  const same =
    ours.length >= truth.length - 1 && truth.slice(0, ours.length).join() === ours.slice(0, truth.length).join();
  return same ? undefined : `#${event} ${name}: ${ours.join()} is not ${truth.join()}`;
}

const ENTRY_BYTES: Readonly<Record<string, bigint>> = { L3: 1n << 12n, L2: 1n << 21n, L1: 1n << 30n };

/** The instruction that changed a page last: by its stores to live tables, else by the switch of tables. */
export function lastWriter(deeds: readonly Deed[], page: bigint): bigint | undefined {
  const changed = deeds.findLast(({ kind, what, va, old, new: now }) => {
    if (kind === "register") return what.startsWith("TTBR0");
    return kind === "store" && old !== now && va !== undefined && page >= va && page < va + (ENTRY_BYTES[what] ?? 0n);
  });
  return changed?.pc;
}

/** Pages of a run by the instruction that changed them last, as the guest's print has it: `PC SIZE`, sorted. */
export function trueAuthors(deeds: readonly Deed[], { va, size }: SaidRun): string[] {
  const bytes = new Map<bigint | undefined, bigint>();
  for (let page = BigInt(va); page < BigInt(va) + BigInt(size); page += 4096n) {
    const writer = lastWriter(deeds, page);
    bytes.set(writer, (bytes.get(writer) ?? 0n) + 4096n);
  }
  return [...bytes].map(([pc, count]) => `${pc === undefined ? "nobody" : hex(pc)} ${hex(count)}`).sort();
}

/** The same as a diff says it. */
export function saidAuthors({ by, unattributed }: SaidRun): string[] {
  const bytes = new Map<string, bigint>();
  for (const { pc, last } of by ?? []) bytes.set(pc ?? "?", (bytes.get(pc ?? "?") ?? 0n) + BigInt(last ?? 0));
  const nobody = BigInt(unattributed ?? 0);
  const said = [...bytes].filter(([, count]) => count > 0n).map(([pc, count]) => `${pc} ${hex(count)}`);
  return [...said, ...(nobody > 0n ? [`nobody ${hex(nobody)}`] : [])].sort();
}
