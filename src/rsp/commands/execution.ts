/**
 * Running and stopping: which packet lets the target run, which thread a packet is for, and how the target is left.
 *
 * Source: "Debugging with GDB", appendix E, Packets and Reverse Execution. `c C s S vCont bc bs` have no answer of their own: what comes
 * is the stop reply, as late as the target stops. So they are payloads for a connection's `resume`, not commands; a stub that refuses
 * one answers at once, with an error or with nothing (`decodeStopReply` reads that too). `k` is a payload for the same reason: it may be
 * answered with nothing but the end of the connection.
 *
 * Quirks of QEMU, as seen on 7.2 and 10.0:
 * - `bc` and `bs` end it (a failed assertion) when it is not replaying: to be sent only where qSupported says `ReverseContinue+`, `ReverseStep+`.
 * - `vCont` without an action is never answered; none can be built here.
 * - `D;PID` for a process that it does not have ends it.
 *   A vCont for a process that it does not have ends gdbserver 13.
 * - Signals are taken and dropped; `c` and `s` act on the vCPU of `Hc`, where `vCont;s:ID` names its own.
 */
import type { Command } from "../command.ts";
import { decodeStopReply, type StopReply } from "../reply.ts";
import { formatThreadId, type ThreadId } from "./thread-id.ts";
import { badArgument, type Done, decodeDone, decodeText, hexNumber, hexSignal } from "./wire.ts";

/** `?`: why the target stands still. A stub may reset what was set up before (QEMU removes breakpoints): to be sent once, at the start. */
export function haltReason(): Command<StopReply> {
  return { payload: "?", label: "asking why the target is halted", decode: decodeStopReply, expectsStop: true };
}

/** How the target is to go on. */
export type ResumeRequest =
  | {
      readonly kind: "continue" | "step";
      /** Delivered to the target, in GDB's numbering. */
      readonly signal?: number;
      /** Where to go on; not together with a thread. */
      readonly address?: bigint | number;
      /** Only this one runs (`vCont`). */
      readonly thread?: ThreadId;
    }
  /** Only for a stub that says `ReverseContinue+` or `ReverseStep+`. */
  | { readonly kind: "reverse-continue" | "reverse-step" };

/** The packet that lets the target go on. */
export function resumePayload(request: ResumeRequest): string {
  switch (request.kind) {
    case "reverse-continue":
      return "bc";
    case "reverse-step":
      return "bs";
    case "continue":
    case "step":
      return request.thread === undefined ? simpleResume(request) : threadResume(request, request.thread);
  }
}

type ForwardRequest = ResumeRequest & { kind: "continue" | "step" };

function simpleResume({ kind, signal, address }: ForwardRequest): string {
  const letter = kind === "continue" ? "c" : "s";
  const where = address === undefined ? "" : hexNumber(address, "the address");
  if (signal === undefined) return `${letter}${where}`;
  return `${letter.toUpperCase()}${hexSignal(signal)}${where === "" ? "" : `;${where}`}`;
}

function threadResume({ kind, signal, address }: ForwardRequest, thread: ThreadId): string {
  if (address !== undefined) throw badArgument("vCont takes a thread and no address");
  return vContPayload([{ kind, thread, ...(signal !== undefined && { signal }) }]);
}

/** What one thread, or every thread that an action names, is to do. Without a thread: all that no action before it named. */
export type VContAction =
  | { readonly kind: "continue" | "step"; readonly signal?: number; readonly thread?: ThreadId }
  /** Non-stop mode only. */
  | { readonly kind: "stop"; readonly thread?: ThreadId }
  /** Steps as long as it stops at addresses from `start` to below `end`. */
  | {
      readonly kind: "range-step";
      readonly start: bigint | number;
      readonly end: bigint | number;
      readonly thread?: ThreadId;
    };

/** `vCont` with at least one action; the leftmost one that names a thread counts for it, and threads that none names stay as they are. */
export function vContPayload(actions: readonly VContAction[]): string {
  if (actions.length === 0) throw badArgument("vCont has no action");
  const parts = actions.map((action) => {
    const thread = action.thread === undefined ? "" : `:${formatThreadId(action.thread)}`;
    return `;${actionText(action)}${thread}`;
  });
  return `vCont${parts.join("")}`;
}

function actionText(action: VContAction): string {
  switch (action.kind) {
    case "continue":
      return action.signal === undefined ? "c" : `C${hexSignal(action.signal)}`;
    case "step":
      return action.signal === undefined ? "s" : `S${hexSignal(action.signal)}`;
    case "stop":
      return "t";
    case "range-step":
      return `r${hexNumber(action.start, "the start")},${hexNumber(action.end, "the end")}`;
  }
}

const MAX_ACTIONS_TEXT = 1000;

/** `vCont?`: the letters of the actions that the stub takes (`c`, `C`, `s`, `S`, `t`, `r`). */
export function vContActions(): Command<ReadonlySet<string>> {
  return {
    payload: "vCont?",
    label: "asking for the actions of vCont",
    decode: (reply) => decodeText(reply, MAX_ACTIONS_TEXT, parseActions),
  };
}

function parseActions(text: string): ReadonlySet<string> | undefined {
  const [head, ...actions] = text.split(";");
  return head === "vCont" ? new Set(actions.filter((action) => /^\w+$/.test(action))) : undefined;
}

/** `Hg` (registers, memory) or `Hc` (`c` and `s`): the thread that later packets are for. */
export function selectThread(purpose: "g" | "c", thread: ThreadId): Command<Done> {
  const id = formatThreadId(thread);
  return { payload: `H${purpose}${id}`, label: () => `selecting thread ${id}`, decode: decodeDone };
}

/** `T`: `ok` while the thread is alive; a dead one is an `error`. */
export function threadAlive(thread: ThreadId): Command<Done> {
  const id = formatThreadId(thread);
  return { payload: `T${id}`, label: () => `asking whether thread ${id} is alive`, decode: decodeDone };
}

/** `D`: lets the target go on without a debugger. With the multiprocess extension a process can be named. */
export function detach(process?: bigint | number): Command<Done> {
  const payload = process === undefined ? "D" : `D;${hexNumber(process, "the process")}`;
  return { payload, label: "detaching", decode: decodeDone };
}

/** `vKill`: ends the process. */
export function killProcess(process: bigint | number): Command<Done> {
  const id = hexNumber(process, "the process");
  return { payload: `vKill;${id}`, label: () => `killing process ${id}`, decode: decodeDone };
}

/** `k`: ends the target or resets it, as the stub likes (QEMU exits). No answer comes. */
export const KILL_PAYLOAD = "k";
