/** `ebscope run PLAN`: a plan on a guest that is attached to or launched. */
import { resolve } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { printable, printableJson } from "../../base/text.ts";
import { insideFolder, readSource } from "../../document/index.ts";
import { type Plan, readPlan } from "../../plan/index.ts";
import { attach, launch } from "../../session/open.ts";
import { type PlanOutcome, runPlan } from "../../session/run-plan.ts";
import { encodeHit, encodeUndecided } from "../../session/run-plan-lines.ts";
import type { PlanEvent } from "../../session/run-plan-tell.ts";
import type { Session } from "../../session/session.ts";
import type { Capture, PointKind } from "../../snapshot/model.ts";
import { checkWritable, writeCapture } from "../../snapshot/store.ts";
import type { MemoryChoice } from "../../target/memory/channel.ts";
import { EXIT, exitCodeOf } from "../exit-code.ts";
import { withInterrupt } from "../interrupt.ts";
import { LineFile } from "../line-file.ts";
import { memoryNote } from "../memory-note.ts";
import { printData, printError, progress } from "../output.ts";
import { renderEnd, renderHit } from "../render/plan.ts";
import { studyWith } from "./open.ts";
import { printPlanDiffs } from "./run-diffs.ts";

export interface RunFlags {
  readonly gdb?: string;
  readonly out?: string;
  readonly records?: string;
  readonly symbols?: readonly string[] | false;
  readonly memory?: MemoryChoice;
  readonly keep?: boolean;
  readonly pause?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** What a plan and the command line come to together. */
interface Run {
  readonly plan: Plan;
  readonly guest: { readonly attach: string } | { readonly launch: readonly string[]; readonly keep: boolean };
  readonly symbols: readonly string[];
  readonly out: string | undefined;
  readonly flags: RunFlags;
}

export async function runCommand(file: string, command: readonly string[], flags: RunFlags): Promise<number> {
  const plan = readPlan(await readSource(file));
  const run: Run = {
    ...{ plan, flags },
    guest: guestOf(plan, command, flags),
    symbols: await symbolsOf(plan, flags),
    out: await outOf(plan, flags),
  };
  refuseSharedFiles(file, run);
  if (run.out !== undefined) await checkWritable(run.out);
  const records = flags.records === undefined ? undefined : await LineFile.create(flags.records);
  try {
    return await runWith(run, records);
  } finally {
    await records?.close();
  }
}

/** The command line is stronger than the plan. */
function guestOf({ target }: Plan, command: readonly string[], flags: RunFlags): Run["guest"] {
  const { gdb, keep = false, pause } = flags;
  if (gdb !== undefined && command.length > 0) {
    throw new EbscopeError("usage", "Cannot tell which guest is meant: there are --gdb and a command to launch");
  }
  const attached = gdb ?? (command.length === 0 && target?.kind === "attach" ? target.address : undefined);
  if (attached !== undefined) {
    if (keep) throw new EbscopeError("usage", "Cannot keep a guest that was not launched: --keep goes with -- COMMAND");
    return { attach: attached };
  }
  if (pause) throw new EbscopeError("usage", "Cannot leave a launched guest paused: --pause goes with --gdb");
  if (command.length > 0) return { launch: command, keep };
  if (target?.kind === "launch") return { launch: target.command, keep: keep || target.keep };
  throw new EbscopeError("usage", "Cannot tell which guest the plan is for", {
    next: "Give --gdb ADDRESS to attach, or -- and a QEMU command to launch, or a target in the plan.",
  });
}

async function symbolsOf(plan: Plan, { symbols }: RunFlags): Promise<readonly string[]> {
  if (symbols !== undefined) return symbols === false ? [] : symbols;
  const paths: string[] = [];
  for (const [i, path] of plan.symbols.entries()) paths.push(await inPlanFolder(plan, path, ["symbols", i]));
  return paths;
}

async function outOf(plan: Plan, { out }: RunFlags): Promise<string | undefined> {
  if (out === "") throw new EbscopeError("usage", "Cannot write the capture: --out names no file");
  return out ?? (plan.out === undefined ? undefined : inPlanFolder(plan, plan.out, ["out"]));
}

async function inPlanFolder(plan: Plan, path: string, at: readonly (string | number)[]): Promise<string> {
  try {
    return await insideFolder(plan.folder, path);
  } catch (error) {
    if (!(error instanceof EbscopeError)) throw error;
    return plan.refuse([plan.problem(at, error.message, error.next)]);
  }
}

function refuseSharedFiles(file: string, { out, flags, symbols }: Run): void {
  const { records } = flags;
  if (records === "") throw new EbscopeError("usage", "Cannot write the records: --records names no file");
  const inputs = [file, ...symbols].map((path) => resolve(path));
  const taken = (path: string | undefined): boolean => path !== undefined && inputs.includes(resolve(path));
  const shared = out !== undefined && records !== undefined && resolve(out) === resolve(records);
  if (!shared && !taken(out) && !taken(records)) return;
  throw new EbscopeError("usage", "Cannot write the results: a file is used for something else", {
    next: "Give --out and --records names of their own.",
  });
}

async function runWith(run: Run, records: LineFile | undefined): Promise<number> {
  const { plan, flags } = run;
  const outcome = await withInterrupt(async (signal) => {
    await using session = await open(run, signal);
    const note = memoryNote(flags.memory ?? plan.memory, session.target.memoryChannel);
    if (note !== undefined) tell(flags, note);
    void tellWaiting(session, flags);
    return await runPlan(session, plan, { signal, onEvent: (event) => tellEvent(event, flags, records) });
  });
  return finish(run, outcome, records);
}

/** Why the firmware's tables are waited for; until the session is over. */
async function tellWaiting(session: Session, flags: RunFlags): Promise<void> {
  for await (const event of session.events()) {
    if (event.kind === "waiting") tell(flags, `waiting for the firmware: ${event.why}`);
  }
}

function open({ plan, guest, symbols, flags }: Run, signal: AbortSignal): Promise<Session> {
  const common = {
    ...{ symbols, signal },
    memory: flags.memory ?? plan.memory,
    findTimeoutMs: plan.findTimeoutMs,
    maxTables: plan.maxTables,
  };
  if ("attach" in guest) {
    tell(flags, `attaching to ${printable(guest.attach)}`);
    return attach(guest.attach, { ...common, pause: flags.pause ?? false });
  }
  return launch(guest.launch, {
    ...{ ...common, keep: guest.keep },
    onLine: (line, source) => tell(flags, `${source === "stdout" ? "guest" : "qemu"}| ${line}`),
  });
}

async function tellEvent(event: PlanEvent, flags: RunFlags, records: LineFile | undefined): Promise<void> {
  switch (event.kind) {
    case "hit":
    case "undecided": {
      const line = event.kind === "hit" ? encodeHit(event) : encodeUndecided(event);
      await put(line, flags, records);
      if (!flags.json) printData(renderHit(event));
      return;
    }
    case "armed":
      return tell(flags, `${event.point} is armed: ${placesText(event.places)}`);
    case "given-up":
      return tell(flags, `${event.point} is given up: ${event.why}`);
    case "note":
      return tell(flags, event.text);
  }
}

/** Places that one line names. */
const MAX_PLACES = 2;

function placesText(places: readonly string[]): string {
  const named = places.slice(0, MAX_PLACES).map((place) => printable(place));
  const more = places.length - named.length;
  return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** A line of JSON, to where such lines go. */
async function put(line: object, flags: RunFlags, records: LineFile | undefined): Promise<void> {
  if (records === undefined && !flags.json) return;
  const text = printableJson(JSON.stringify(line));
  if (flags.json) printData(text);
  await records?.write(text);
}

/** Writes what was captured, shows the differences, and tells how it ended. */
async function finish(run: Run, outcome: PlanOutcome, records: LineFile | undefined): Promise<number> {
  const { plan, flags, out } = run;
  const { capture, error } = outcome;
  if (capture !== undefined) await showCapture(run, capture, outcome, (line) => put(line, flags, records));
  await put(
    {
      kind: "end",
      plan: plan.name,
      state: error === undefined ? "done" : "partial",
      error: error === undefined ? null : { code: error.code, message: error.message },
      points: outcome.points,
      capture: capture === undefined ? null : (out ?? null),
    },
    flags,
    records,
  );
  if (!flags.json) printData(renderEnd(plan.name, outcome));
  if (error !== undefined) printError(error);
  return error === undefined ? exitCodeFor(capture) : exitCodeOf(error);
}

async function showCapture(
  { plan, flags, out, symbols }: Run,
  capture: Capture,
  outcome: PlanOutcome,
  line: (line: object) => Promise<void>,
): Promise<void> {
  // Before anything is made of it: it cannot be taken again.
  if (out !== undefined) await writeCapture(out, capture);
  const study = await studyWith(capture, { symbols: symbols.length === 0 ? false : symbols });
  const { remember } = study.symbols;
  if (out !== undefined) {
    if (remember !== undefined) await writeCapture(out, { ...capture, symbols: remember });
    tell(flags, `wrote ${printable(out)}${outcome.error === undefined ? "" : " (partial)"}`);
  } else tell(flags, "the capture is not kept: --out FILE writes it");
  await printPlanDiffs(plan, study, { ...outcome, file: out ?? "FILE" }, flags.json ?? false, line);
}

/** As `capture` ends: 3 where the guest faulted after the call. */
function exitCodeFor(capture: Capture | undefined): number {
  const has = (kind: PointKind): boolean => capture?.points.some((point) => point.kind === kind) ?? false;
  return has("after") && has("fault") ? EXIT.faulted : EXIT.done;
}

function tell({ quiet }: RunFlags, text: string): void {
  if (!quiet) progress(text);
}
