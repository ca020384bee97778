/** `ebscope capture` and `ebscope snapshot`: the verbs that touch a guest. */

import { EbscopeError, type ErrorCode } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import type { BlameOptions } from "../../capture/blame/blame-watch.ts";
import { type BlameRequest, requestedBlame } from "../../capture/blame/requested.ts";
import { captureEventText } from "../../capture/event-text.ts";
import type { CaptureOutcome } from "../../capture/exit-boot-services.ts";
import { captureExitBootServices } from "../../capture/exit-boot-services.ts";
import { captureNow } from "../../capture/now.ts";
import { parseStubAddress, stubAddressText } from "../../rsp/transport.ts";
import type { Capture, PointKind } from "../../snapshot/model.ts";
import { checkWritable, writeCapture } from "../../snapshot/store.ts";
import { type Launched, launchQemu } from "../../target/launch.ts";
import type { MemoryChoice } from "../../target/memory/channel.ts";
import { attachQemu } from "../../target/qemu.ts";
import type { Target } from "../../target/target.ts";
import { DEFAULT_OUT } from "../defaults.ts";
import { EXIT, exitCodeOf } from "../exit-code.ts";
import { withInterrupt } from "../interrupt.ts";
import { memoryNote } from "../memory-note.ts";
import { printData, printError, progress } from "../output.ts";
import { openRecording, type RecordFlags, type Recording } from "../recording.ts";
import { CREATED_BY } from "../version.ts";
import type { Gate, GateFlags } from "./check.ts";
import { printDiff } from "./diff.ts";
import { type SymbolFlags, studyWith } from "./open.ts";

export interface BlameFlags extends Omit<BlameRequest, "watchWrites"> {
  readonly watchWrite?: readonly string[];
}

export interface CaptureFlags extends RecordFlags, SymbolFlags, GateFlags, BlameFlags {
  readonly watch?: number;
  readonly timeout?: number;
  readonly findTimeout?: number;
  readonly maxTables?: number;
  readonly memory?: MemoryChoice;
  readonly keep?: boolean;
  readonly pause?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** Captures the handoff of an attached or launched guest, writes it and prints the diff. */
export async function captureCommand(command: readonly string[], flags: CaptureFlags): Promise<number> {
  const launching = command.length > 0;
  if (flags.out === "") throw new EbscopeError("usage", "Cannot write the capture: --out names no file");
  if (launching === (flags.gdb !== undefined)) {
    throw new EbscopeError("usage", "Cannot tell which guest to capture", {
      next: "Give --gdb ADDRESS to attach, or -- and a QEMU command to launch.",
    });
  }
  if (flags.keep && !launching) {
    throw new EbscopeError("usage", "Cannot keep a guest that was not launched: --keep goes with -- COMMAND");
  }
  const blame = requestedBlame({ ...flags, watchWrites: flags.watchWrite ?? [] });
  const gate = await gateOf(flags);
  await checkWritable(flags.out ?? DEFAULT_OUT);
  const recording = openRecording(flags, captureOptions(flags));
  const { outcome, kept } = await withInterrupt((signal) =>
    launching
      ? captureLaunched(command, { ...flags, watched: blame }, recording, signal)
      : captureAttached({ ...flags, watched: blame }, recording, signal),
  ).finally(() => recording.close());
  if (kept !== undefined) tell(flags, kept);
  return finish(outcome, flags, gate);
}

/** The policy is read before the guest is booted. */
async function gateOf(flags: CaptureFlags): Promise<Gate | undefined> {
  const { policy, baseline, junit, sarif, github } = flags;
  if (policy !== undefined) {
    const { openGate } = await import("./check.ts");
    return openGate(policy, flags, [flags.out ?? DEFAULT_OUT]);
  }
  if ([baseline, junit, sarif, github].every((flag) => flag === undefined)) return undefined;
  throw new EbscopeError(
    "usage",
    "Cannot judge the capture: --baseline, --junit, --sarif and --github go with --policy",
  );
}

/** What a replay has to be asked for too. */
function captureOptions(flags: CaptureFlags): string {
  const { watch, timeout, findTimeout, maxTables, blame, blameMaintenance, blameUntil, blameLimit } = flags;
  const blames = blame ? ` --blame --blame-until ${blameUntil} --blame-limit ${blameLimit}` : "";
  const maintenance = blameMaintenance ? " --blame-maintenance" : "";
  const backtraces = flags.blameBacktraces === false ? " --no-blame-backtraces" : "";
  const ranges = (flags.watchWrite ?? []).map((range) => ` --watch-write ${range}`).join("");
  const waits = `--watch ${watch} --timeout ${timeout} --find-timeout ${findTimeout}`;
  return `capture ${waits} --max-tables ${maxTables}${blames}${maintenance}${backtraces}${ranges}`;
}

interface Captured {
  readonly outcome: CaptureOutcome;
  /** How the guest was left; undefined when it is gone, or nobody knows. */
  readonly kept: string | undefined;
}

/** After these there is no guest any more. */
const GONE: readonly ErrorCode[] = ["connection-lost", "guest-ended"];

/** After these nobody knows how the guest stands, if there is one. */
const UNKNOWN: readonly ErrorCode[] = [...GONE, "stub-silent"];

function endedBy({ error }: CaptureOutcome, codes: readonly ErrorCode[]): boolean {
  return error !== undefined && codes.includes(error.code);
}

interface GuestFlags extends CaptureFlags {
  readonly watched: BlameOptions | undefined;
}

async function captureAttached(flags: GuestFlags, recording: Recording, signal: AbortSignal): Promise<Captured> {
  const address = parseStubAddress(flags.gdb ?? "");
  tell(flags, `attaching to ${stubAddressText(address)}`);
  const target = await attachQemu(address, { signal, taps: recording.tapsFor(address), ...memoryOf(flags) });
  const runs = target.info.wasRunning && !flags.pause;
  const outcome = await runCapture(target, flags, signal, runs);
  if (address.kind === "replay") return { outcome, kept: undefined };
  const state = runs ? "runs on, as it did before" : "is paused (monitor: cont)";
  return { outcome, kept: endedBy(outcome, UNKNOWN) ? undefined : `the guest ${state}` };
}

/** QEMU has its socket a moment before it listens there. */
const JUST_STARTED_MS = 2000;

async function captureLaunched(
  command: readonly string[],
  flags: GuestFlags,
  recording: Recording,
  signal: AbortSignal,
): Promise<Captured> {
  const guest = await launchQemu(command, {
    signal,
    onLine: (source, line) => tell(flags, `${source === "stdout" ? "guest" : "qemu"}| ${line}`),
  });
  let kept: string | undefined;
  try {
    const target = await attachQemu(guest.address, {
      connectRetryMs: JUST_STARTED_MS,
      signal,
      taps: recording.tapsFor(guest.address),
      ...memoryOf(flags),
      pid: guest.pid,
    });
    const outcome = await runCapture(target, flags, signal, flags.keep ?? false);
    if (flags.keep && !endedBy(outcome, GONE)) kept = keep(guest);
    return { outcome, kept };
  } finally {
    if (kept === undefined) await guest.end();
  }
}

function keep(guest: Launched): string {
  guest.leave();
  return `the guest runs on without its console: pid ${guest.pid}, gdbstub ${stubAddressText(guest.address)}`;
}

async function runCapture(
  target: Target,
  flags: GuestFlags,
  signal: AbortSignal,
  runAfterwards: boolean,
): Promise<CaptureOutcome> {
  tellMemory(flags, memoryNote(flags.memory, target.memoryChannel));
  try {
    return await captureExitBootServices(target, CREATED_BY, {
      ...(flags.timeout !== undefined && { timeoutMs: flags.timeout * 1000 }),
      ...(flags.findTimeout !== undefined && { findTimeoutMs: flags.findTimeout * 1000 }),
      ...(flags.watch !== undefined && { watchMs: flags.watch * 1000 }),
      ...(flags.maxTables !== undefined && { maxTables: flags.maxTables }),
      ...(flags.watched !== undefined && { blame: flags.watched }),
      signal,
      onEvent: (event) => tell(flags, captureEventText(event)),
    });
  } finally {
    await target.release(runAfterwards);
    tellMemory(flags, target.memoryChannel.note);
  }
}

function memoryOf({ memory }: { readonly memory?: MemoryChoice }): { readonly memory?: MemoryChoice } {
  return memory === undefined ? {} : { memory };
}

function tellMemory(flags: { readonly quiet?: boolean }, text: string | undefined): void {
  if (text !== undefined) tell(flags, text);
}

/** Writes what was captured, prints it, and tells how it ended. */
async function finish({ capture, error }: CaptureOutcome, flags: CaptureFlags, gate?: Gate): Promise<number> {
  if (capture === undefined) throw error ?? new EbscopeError("internal", "Nothing was captured");
  const file = flags.out ?? DEFAULT_OUT;
  // Before anything is made of it: it cannot be taken again.
  await writeCapture(file, capture);
  const study = await studyWith(capture, flags);
  const { remember } = study.symbols;
  if (remember !== undefined) await writeCapture(file, { ...capture, symbols: remember });
  tell(flags, `wrote ${printable(file)}${error === undefined ? "" : " (partial)"}`);
  // What it means that the guest faulted, the policy says.
  const judged = await gate?.(study, file);
  if (judged === undefined && capture.points.length > 1) await printDiff(study, file, flags.json ? { json: true } : {});
  if (error !== undefined) {
    printError(error);
    return has(capture, "after") ? EXIT.failed : exitCodeOf(error);
  }
  if (judged !== undefined) return judged;
  if (!has(capture, "fault")) return EXIT.done;
  return has(capture, "after") ? EXIT.faulted : EXIT.failed;
}

function has(capture: Capture, wanted: PointKind): boolean {
  return capture.points.some(({ kind }) => kind === wanted);
}

export interface SnapshotFlags extends RecordFlags {
  readonly gdb: string;
  readonly out: string;
  readonly pause?: boolean;
  readonly maxTables?: number;
  readonly memory?: MemoryChoice;
  readonly quiet?: boolean;
}

/** Takes the point `now` of a guest in any state and lets it go on. */
export async function snapshotCommand(flags: SnapshotFlags): Promise<number> {
  await checkWritable(flags.out);
  const address = parseStubAddress(flags.gdb);
  const recording = openRecording(flags, `snapshot --max-tables ${flags.maxTables}`);
  const { capture, error } = await withInterrupt(async (signal) => {
    const target = await attachQemu(address, { signal, taps: recording.tapsFor(address), ...memoryOf(flags) });
    tellMemory(flags, memoryNote(flags.memory, target.memoryChannel));
    const runs = target.info.wasRunning && !flags.pause;
    try {
      const options = flags.maxTables === undefined ? {} : { maxTables: flags.maxTables };
      const outcome = await captureNow(target, CREATED_BY, options);
      tellMemory(flags, target.memoryChannel.note);
      if (address.kind !== "replay" && !endedBy(outcome, UNKNOWN))
        progress(runs ? "the guest runs on" : "the guest is paused (monitor: cont)");
      return outcome;
    } finally {
      await target.release(runs);
    }
  }).finally(() => recording.close());
  if (capture === undefined) throw error ?? new EbscopeError("internal", "Nothing was captured");
  await writeCapture(flags.out, capture);
  printData(`wrote ${printable(flags.out)}${error === undefined ? "" : " (partial)"}`);
  if (error !== undefined) printError(error);
  return error === undefined ? EXIT.done : EXIT.failed;
}

function tell(flags: { readonly quiet?: boolean }, text: string): void {
  if (!flags.quiet) progress(text);
}
