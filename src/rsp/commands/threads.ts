/**
 * Threads: which one the stub looks at, which ones there are, and what it says of one.
 *
 * Source: "Debugging with GDB", appendix E, General Query Packets (qC, qfThreadInfo, qsThreadInfo, qThreadExtraInfo).
 *
 * Quirks: QEMU lists one vCPU a packet, answers `qC` with the first vCPU of the current cluster whatever `Hg` chose, and does not answer
 * qThreadExtraInfo for a thread that it does not have: ask only for listed ones. Stubs without threads list `0` or call it current.
 */
import { EbscopeError } from "../../base/error.ts";
import { bytesOfHex } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import type { Command, Reply } from "../command.ts";
import { formatThreadId, parseThreadId, type ThreadId } from "./thread-id.ts";
import { type Answered, decodeText, type Send } from "./wire.ts";

/** One answer of a thread list: some threads, or that there are no more. */
export type ThreadListPiece =
  | { readonly kind: "threads"; readonly threads: readonly ThreadId[] }
  | { readonly kind: "end" };

const MAX_THREADS = 1 << 16;
/** An id of two 64-bit parts, its comma and some zeros. */
const MAX_ID_TEXT = 48;
const MAX_INFO_TEXT = 4096;

/** `qC`: the thread the stub looks at. `any` from a stub that has no threads. */
export function currentThread(): Command<ThreadId> {
  return {
    payload: "qC",
    label: "asking for the current thread",
    decode: (reply) =>
      decodeText(reply, MAX_ID_TEXT, (text) => (text.startsWith("QC") ? listedThread(text.slice(2)) : undefined)),
  };
}

/** `qfThreadInfo`: the first part of the thread list. */
export function firstThreads(): Command<ThreadListPiece> {
  return { payload: "qfThreadInfo", label: "listing threads", decode: decodeThreads };
}

/** `qsThreadInfo`: the part after the one before. */
export function nextThreads(): Command<ThreadListPiece> {
  return { payload: "qsThreadInfo", label: "listing threads", decode: decodeThreads };
}

function decodeThreads(reply: Uint8Array): Reply<ThreadListPiece> {
  return decodeText(reply, MAX_THREADS * MAX_ID_TEXT, parseThreads);
}

function parseThreads(text: string): ThreadListPiece | undefined {
  if (text === "l") return { kind: "end" };
  if (!text.startsWith("m")) return undefined;
  const ids = text.slice(1).split(",", MAX_THREADS + 1);
  const threads = ids.map(listedThread).filter((id) => id !== undefined);
  if (threads.length !== ids.length || threads.length > MAX_THREADS) return undefined;
  return { kind: "threads", threads };
}

/** One thread, not all of them. */
function listedThread(text: string): ThreadId | undefined {
  const id = parseThreadId(text);
  return id === undefined || id.thread === "all" || id.process === "all" ? undefined : id;
}

export interface ThreadListBounds {
  /** Default 65,536. */
  readonly maxThreads?: number;
  /** Answers that one list may come in. Default 65,536. */
  readonly maxPieces?: number;
}

/** The whole thread list; a stub's refusal is passed on. A list that does not end, or is none, raises `protocol-error`. */
export async function listThreads(
  send: Send,
  { maxThreads = MAX_THREADS, maxPieces = MAX_THREADS }: ThreadListBounds = {},
): Promise<Answered<readonly ThreadId[]>> {
  const threads: ThreadId[] = [];
  for (let pieces = 0; pieces <= maxPieces; pieces++) {
    const reply = await send(pieces === 0 ? firstThreads() : nextThreads());
    if (reply.kind === "unsupported" && pieces === 0) return reply;
    if (reply.kind === "error") return reply;
    if (reply.kind !== "ok") throw unusable("the stub's list is none");
    if (reply.value.kind === "end") return { kind: "ok", value: threads };
    for (const thread of reply.value.threads) threads.push(thread);
    if (threads.length > maxThreads) break;
  }
  throw unusable("the list does not end");
}

function unusable(why: string): EbscopeError {
  return new EbscopeError("protocol-error", `Cannot list the threads: ${why}`);
}

/** `qThreadExtraInfo`: what the stub tells people about a thread (QEMU: `CPU#0 [running]`), printable and on one line. */
export function threadExtraInfo(thread: ThreadId): Command<string> {
  const id = formatThreadId(thread);
  return {
    payload: `qThreadExtraInfo,${id}`,
    label: () => `asking about thread ${id}`,
    decode: (reply) => decodeText(reply, MAX_INFO_TEXT, hexText),
  };
}

function hexText(text: string): string | undefined {
  const bytes = bytesOfHex(text);
  return bytes === undefined ? undefined : printable(Buffer.from(bytes).toString(), MAX_INFO_TEXT);
}
