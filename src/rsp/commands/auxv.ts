/**
 * The auxiliary vector of a process (`qXfer:auxv:read`): what its kernel told it at the start.
 *
 * Source: "Debugging with GDB", appendix E, General Query Packets (qXfer auxv), and the System V ABI: pairs of words, type and value, in
 * the target's word size and byte order; type 0 (AT_NULL) ends them. Only user-mode stubs have one (gdbserver, qemu-aarch64 -g).
 */
import { EbscopeError } from "../../base/error.ts";

export interface AuxiliaryEntry {
  /** AT_…: see `auxiliaryName`. */
  readonly type: bigint;
  readonly value: bigint;
}

export interface WordFormat {
  /** Bytes of a word: 8 on AArch64. */
  readonly wordSize: 4 | 8;
  readonly bigEndian?: boolean;
}

/** Linux 6 has some 25. */
const MAX_ENTRIES = 1024;

const NAMES: ReadonlyMap<bigint, string> = new Map([
  [0n, "AT_NULL"],
  [1n, "AT_IGNORE"],
  [2n, "AT_EXECFD"],
  [3n, "AT_PHDR"],
  [4n, "AT_PHENT"],
  [5n, "AT_PHNUM"],
  [6n, "AT_PAGESZ"],
  [7n, "AT_BASE"],
  [8n, "AT_FLAGS"],
  [9n, "AT_ENTRY"],
  [10n, "AT_NOTELF"],
  [11n, "AT_UID"],
  [12n, "AT_EUID"],
  [13n, "AT_GID"],
  [14n, "AT_EGID"],
  [15n, "AT_PLATFORM"],
  [16n, "AT_HWCAP"],
  [17n, "AT_CLKTCK"],
  [23n, "AT_SECURE"],
  [24n, "AT_BASE_PLATFORM"],
  [25n, "AT_RANDOM"],
  [26n, "AT_HWCAP2"],
  [27n, "AT_RSEQ_FEATURE_SIZE"],
  [28n, "AT_RSEQ_ALIGN"],
  [31n, "AT_EXECFN"],
  [32n, "AT_SYSINFO"],
  [33n, "AT_SYSINFO_EHDR"],
  [51n, "AT_MINSIGSTKSZ"],
]);

/** The entries before AT_NULL. Raises `protocol-error` when the bytes end inside an entry, or there are too many. */
export function parseAuxiliaryVector(bytes: Uint8Array, format: WordFormat): readonly AuxiliaryEntry[] {
  const { wordSize } = format;
  const entries: AuxiliaryEntry[] = [];
  for (let at = 0; at < bytes.length; at += 2 * wordSize) {
    if (at + 2 * wordSize > bytes.length) throw unusable("it ends inside an entry");
    const type = word(bytes, at, format);
    if (type === 0n) return entries;
    if (entries.length >= MAX_ENTRIES) throw unusable("it has too many entries");
    entries.push({ type, value: word(bytes, at + wordSize, format) });
  }
  return entries;
}

function word(bytes: Uint8Array, at: number, { wordSize, bigEndian = false }: WordFormat): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return wordSize === 8 ? view.getBigUint64(at, !bigEndian) : BigInt(view.getUint32(at, !bigEndian));
}

function unusable(why: string): EbscopeError {
  return new EbscopeError("protocol-error", `Cannot use the stub's auxiliary vector: ${why}`);
}

/** `AT_PAGESZ` for 6; `AT_200` for a type that has no name here. */
export function auxiliaryName(type: bigint): string {
  return NAMES.get(type) ?? `AT_${type}`;
}
