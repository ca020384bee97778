/**
 * What the guest of examples/guests/blame says it did: its lines `blame: SEQ FUNCTION KIND WHAT key=value…`, see its README. The truth to hold
 * attributed writes against. Shares no code with src.
 */

/**
 * `store`: a descriptor of a live table was stored to. `early`: the table was not live yet; `late`: it was no longer. `many`: `count` stores by
 * one instruction. `memory`: a doubleword or word elsewhere. `register`: an MSR. `tlbi`: TLB maintenance. `load`: a page was read.
 */
export const DEED_KINDS = ["store", "early", "late", "many", "memory", "register", "tlbi", "load"] as const;
export type DeedKind = (typeof DEED_KINDS)[number];

export interface Deed {
  /** Ascends by one from instruction to instruction; what one instruction stored shares it. */
  readonly sequence: number;
  /** The function with the instruction, as the linker's map has it. */
  readonly function: string;
  readonly kind: DeedKind;
  /** `L0`…`L3` for stores to tables, `SCTLR_EL1`, `VAE1IS`, `gBS+0xf8`. */
  readonly what: string;
  readonly old: bigint | undefined;
  /** What was read back; the operand of a TLBI. */
  readonly new: bigint | undefined;
  /** Where was stored, virtual and physical. */
  readonly at: bigint | undefined;
  /** The first address that the descriptor maps; of TLB maintenance and loads, what they are for. */
  readonly va: bigint | undefined;
  /** Stores, of `many`. */
  readonly count: bigint | undefined;
  /** Index of the vCPU. */
  readonly cpu: number;
  /** Of the instruction itself. */
  readonly pc: bigint;
  /** Return addresses, innermost first; the firmware's follow the guest's own. */
  readonly chain: readonly bigint[];
}

const LINE = /^blame: (\d+) (\w+) (\w+) (\S+)((?: [a-z]+=0x[0-9a-f]+(?:,0x[0-9a-f]+)*)+)$/;

/** Every line of what the guest did, in order. Throws on one that is neither that, nor `done`, nor a `cannot …`. */
export function parseBlameLog(console: string): Deed[] {
  const lines = [...console.matchAll(/^(?:guest\| )?(blame: [^\r\n]*)\r*$/gm)].map(([, line = ""]) => line);
  return lines.filter((line) => !/^blame: (done$|cannot )/.test(line)).map(parseDeed);
}

function parseDeed(line: string): Deed {
  const [, sequence = "", name = "", kind = "", what = "", rest = ""] = LINE.exec(line) ?? [];
  const fields = new Map([...rest.matchAll(/([a-z]+)=(\S+)/g)].map(([, key = "", value = ""]) => [key, value]));
  const number = (key: string): bigint | undefined => (fields.has(key) ? BigInt(fields.get(key) ?? "") : undefined);
  const pc = number("pc");
  const chain = fields.get("chain");
  if (!isKind(kind) || pc === undefined || chain === undefined) throw new Error(`not a line of the guest: ${line}`);
  return {
    sequence: Number(sequence),
    function: name,
    kind,
    what,
    old: number("old"),
    new: number("new"),
    at: number("at"),
    va: number("va"),
    count: number("count"),
    cpu: Number(number("cpu") ?? 0n),
    pc,
    chain: chain.split(",").map(BigInt),
  };
}

function isKind(text: string): text is DeedKind {
  return (DEED_KINDS as readonly string[]).includes(text);
}

/** Whether the guest came to its end, and not to a line `blame: cannot …`. */
export function blameDone(console: string): boolean {
  return /^(?:guest\| )?blame: done\r*$/m.test(console);
}

/** Functions of the guest by their offset from the image's base, ascending, from a map of the linker (`build OUTPUT MAP`). */
export function readLinkerMap(map: string): { readonly offset: bigint; readonly name: string }[] {
  const symbols = [...map.matchAll(/^ [0-9a-f]{4}:[0-9a-f]{8} +(\S+) +([0-9a-f]{16}) /gm)];
  return symbols
    .map(([, name = "", address = ""]) => ({ offset: BigInt(`0x${address}`) - 0x1_4000_0000n, name }))
    .sort((a, b) => Number(a.offset - b.offset));
}
