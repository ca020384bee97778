/**
 * Thread ids as typed values.
 *
 * Source: "Debugging with GDB", appendix E, Packets ("thread-id syntax"): a positive number in hex; `-1` for all threads, `0` for any one.
 * With the multiprocess extension `pPID.TID`, each part of that form; `pPID` alone is `pPID.-1`; all processes but one certain
 * thread (`p-1.5`) is an error. GDB takes 32 bits for granted, LLDB's stubs on Darwin use 64.
 *
 * Quirk: QEMU writes ids of two digits at least (`01`, `p01.02`) and takes them back without the zeros. QEMU 10.0 dies (SIGSEGV) of a
 * `D` for a process it does not have, and answers qThreadExtraInfo for a thread it does not have with nothing at all.
 */
import { badArgument, hexNumber, wideHex } from "./wire.ts";

/** A number from 1 on; `all` is -1 on the wire, `any` 0. */
export type ThreadPart = bigint | "all" | "any";

export interface ThreadId {
  /** Undefined without the multiprocess extension. */
  readonly process: ThreadPart | undefined;
  readonly thread: ThreadPart;
}

/** Every thread of every process. */
export const ALL_THREADS: ThreadId = { process: undefined, thread: "all" };
/** Whichever thread the stub picks. */
export const ANY_THREAD: ThreadId = { process: undefined, thread: "any" };

/** Reads an id of at most 64 bits a part; undefined for anything that is none. */
export function parseThreadId(text: string): ThreadId | undefined {
  if (!text.startsWith("p")) return withThread(undefined, parsePart(text));
  const dot = text.indexOf(".");
  const process = parsePart(text.slice(1, dot < 0 ? undefined : dot));
  const thread = dot < 0 ? "all" : parsePart(text.slice(dot + 1));
  if (process === undefined || (process === "all" && thread !== "all")) return undefined;
  return withThread(process, thread);
}

function withThread(process: ThreadPart | undefined, thread: ThreadPart | undefined): ThreadId | undefined {
  return thread === undefined ? undefined : { process, thread };
}

function parsePart(text: string): ThreadPart | undefined {
  if (text === "-1") return "all";
  const value = wideHex(text);
  return value === 0n ? "any" : value;
}

/** The id as it goes out; raises `usage` for one that the protocol does not have. */
export function formatThreadId({ process, thread }: ThreadId): string {
  if (process === undefined) return formatPart(thread);
  if (process === "all" && thread !== "all") throw badArgument("all processes but a certain thread is no thread id");
  return `p${formatPart(process)}.${formatPart(thread)}`;
}

function formatPart(part: ThreadPart): string {
  if (part === "all") return "-1";
  if (part === "any") return "0";
  if (part === 0n) throw badArgument('a thread or process is numbered from 1 on; 0 is written "any"');
  return hexNumber(part, "a thread or process");
}

/** Whether both name the same; `any` and `all` are only the same as themselves. */
export function sameThread(a: ThreadId, b: ThreadId): boolean {
  return a.process === b.process && a.thread === b.thread;
}
