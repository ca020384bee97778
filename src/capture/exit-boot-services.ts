/**
 * The capture session: from an attached guest to the points before and after ExitBootServices, and what came then.
 *
 * States: locating → armed (breakpoints at the entry and at GetMemoryMap) → called (`before` taken; breakpoints at the return address and
 * at the exception vectors) → returned: with an error, armed again; with success (`after` taken), watching → fault or later.
 *
 * Every exit path goes through the caller's `target.release`, which removes breakpoints; whatever was captured until a failure is
 * returned with the failure.
 *
 * Source: AAPCS64 6.1.1: at the entry of a function x30 holds the return address and x0, x1 the arguments, at the return x0 the result. UEFI
 * 7.4.6: EFI_STATUS ExitBootServices(ImageHandle, MapKey). Arm ARM DDI 0487, D1.4.1: vector offsets from VBAR_ELx.
 */

import { abortError } from "../base/abort.ts";
import { type PhysAddr, type VirtAddr, virt } from "../base/address.ts";
import { asEbscopeError, EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import type { ImageExtent } from "../efi/image-headers.ts";
import { isError, statusName } from "../efi/structures.ts";
import type { EfiTables } from "../efi/tables.ts";
import type { BlameEvent } from "../snapshot/blame.ts";
import {
  type Capture,
  type EfiRoots,
  type ExitAttempt,
  FAULTS_NOT_WATCHED,
  type FoundImage,
  type MemoryMapRecord,
  type Point,
  pointPages,
} from "../snapshot/model.ts";
import type { Cpu, Stop, Target } from "../target/target.ts";
import { assemble } from "./assemble.ts";
import { type BlameOptions, type BlameSummary, BlameWatch } from "./blame/blame-watch.ts";
import { FaultWatch, isAtOwnVector } from "./fault-watch.ts";
import { type Located, locateExitBootServices } from "./locate.ts";
import { MemoryMapWatch } from "./memory-map-watch.ts";
import { type PointRequest, takePoint } from "./point.ts";
import { lookAtStop, type StoppedCpu } from "./stopped.ts";

export interface CaptureOptions {
  /** How long the guest may take until ExitBootServices is called, from when it was located. Default 300 s. */
  readonly timeoutMs?: number;
  /** How long the firmware may take to show its system table. Default 60 s. */
  readonly findTimeoutMs?: number;
  /** How long to watch for a fault after the call. Default 5 s. */
  readonly watchMs?: number;
  readonly maxTables?: number;
  /** Who writes is watched too; nobody unless asked. */
  readonly blame?: BlameOptions;
  /** Told each write and whatever else `blame` records, as it is seen. */
  readonly onBlame?: (event: BlameEvent) => void;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CaptureEvent) => void;
}

export type CaptureEvent =
  | { readonly kind: "waiting"; readonly why: string }
  | { readonly kind: "located"; readonly address: bigint; readonly where: string; readonly roots: EfiRoots }
  | { readonly kind: "called"; readonly attempt: number; readonly from: bigint }
  | { readonly kind: "point"; readonly point: Point; readonly pauseMs: number }
  | { readonly kind: "returned"; readonly status: bigint }
  | { readonly kind: "watching"; readonly seconds: number }
  | { readonly kind: "blame"; readonly watched: BlameSummary }
  | { readonly kind: "note"; readonly text: string };

export interface CaptureOutcome {
  /** Undefined when nothing was captured. */
  readonly capture: Capture | undefined;
  /** What ended it early; undefined when it is complete. */
  readonly error: EbscopeError | undefined;
}

const DEFAULTS = { timeoutMs: 300_000, findTimeoutMs: 60_000, watchMs: 5_000 };
/** Stops in a row that are none of ours before a capture is given up. */
const MAX_STRAY_STOPS = 1_000;
/** How long a guest runs on that stands at a vector when the watch is over. */
const AGAIN_MS = 20;

/** Runs the session on a halted guest. Does not throw for what happens in the guest; leaves it halted. */
export async function captureExitBootServices(
  target: Target,
  createdBy: string,
  options: CaptureOptions = {},
): Promise<CaptureOutcome> {
  const session = new Session(target, options);
  let error: EbscopeError | undefined;
  try {
    await session.run();
  } catch (cause) {
    error = asEbscopeError(cause);
  }
  return { capture: session.result(createdBy, error), error };
}

interface CallFrame {
  readonly cpu: Cpu;
  readonly returnAddress: VirtAddr;
  readonly stackPointer: bigint;
}

class Session {
  readonly #target: Target;
  readonly #options: CaptureOptions & typeof DEFAULTS;
  readonly #points: Point[] = [];
  readonly #attempts: ExitAttempt[] = [];
  readonly #notes: string[] = [];
  #located: Located | undefined;
  readonly #faults: FaultWatch;
  /** Where the guest stood when it was looked at last. */
  #lastLook: StoppedCpu | undefined;
  #strayStops = 0;
  #mapWatch: MemoryMapWatch;
  readonly #blame: BlameWatch | undefined;
  /** Of the last call of ExitBootServices. */
  #memoryMap: MemoryMapRecord | undefined;
  /** UEFI's tables at the first point. */
  #tables: EfiTables | undefined;
  /** The firmware's images as they were listed last, and all others that were found. */
  #listed: readonly ImageExtent[] | undefined;
  #found: readonly FoundImage[] = [];
  /** What the next point will probably need to read, without and with the image list. */
  readonly #expected: { tables: ReadonlySet<PhysAddr>; images: ReadonlySet<PhysAddr> } = {
    tables: new Set(),
    images: new Set(),
  };

  constructor(target: Target, options: CaptureOptions) {
    this.#target = target;
    this.#options = { ...DEFAULTS, ...options };
    this.#mapWatch = this.#watchOf(undefined);
    this.#faults = new FaultWatch(target);
    const { blame, onBlame } = options;
    const onNote = (text: string): void => this.#note(text);
    this.#blame = blame && new BlameWatch(target, blame, { onNote, ...(onBlame && { onEvent: onBlame }) });
  }

  #watchOf(getMemoryMap: bigint | undefined): MemoryMapWatch {
    return new MemoryMapWatch(this.#target, getMemoryMap, (text) => this.#note(text));
  }

  async run(): Promise<void> {
    const { signal, findTimeoutMs } = this.#options;
    const located = await locateExitBootServices(this.#target, {
      findTimeoutMs,
      signal,
      onWaiting: (why) => this.#tell({ kind: "waiting", why }),
    });
    this.#located = located;
    this.#mapWatch = this.#watchOf(located.getMemoryMap);
    this.#expected.images = located.pages;
    for (const note of located.notes) this.#note(note);
    const { roots, where } = located;
    this.#tell({ kind: "located", address: roots.exitBootServices, where, roots });
    await this.#watchRanges(roots);
    const deadline = Date.now() + this.#options.timeoutMs;
    for (let attempt = 1; ; attempt++) {
      const frame = await this.#awaitCall(virt(located.roots.exitBootServices), deadline, attempt);
      if (frame === "faulted") return;
      const ending = await this.#awaitReturn(frame, deadline);
      if (ending === "failed") continue;
      this.#noteUnknownMap();
      if (ending === "faulted") return;
      break;
    }
    await this.#watch((this.#points.at(-1) as Point).cpu);
  }

  result(createdBy: string, error: EbscopeError | undefined): Capture | undefined {
    if (this.#points.length === 0) return undefined;
    return assemble(this.#target, createdBy, {
      points: this.#points,
      attempts: this.#attempts,
      memoryMap: this.#memoryMap,
      notes: this.#notes,
      efi: this.#located?.roots,
      blame: this.#blame?.record(),
      partial: error,
    });
  }

  /** Waits at the entry; takes `before`. A fault between a failed call and the next one ends the session with `fault`. */
  async #awaitCall(entry: VirtAddr, deadline: number, attempt: number): Promise<CallFrame | "faulted"> {
    const [breakpoint] = await Promise.all([this.#target.insertBreakpoint(entry), this.#mapWatch.arm()]);
    const late = new EbscopeError(
      "timed-out",
      `ExitBootServices was not called within ${this.#options.timeoutMs / 1000} s`,
    );
    const { cpu, registers } = await this.#runUntil(
      (at) => at.pc === entry || this.#faults.isAtVector(at),
      deadline,
      late,
    );
    await Promise.all([breakpoint[Symbol.asyncDispose](), this.#mapWatch.disarm()]);
    if (registers.get("pc") !== entry) return this.#faulted(cpu, "after a failed call of ExitBootServices");
    const returnAddress = virt(registers.get("x30") ?? 0n);
    this.#tell({ kind: "called", attempt, from: returnAddress });
    const mapKey = registers.get("x1") ?? 0n;
    this.#attempts.push({ imageHandle: registers.get("x0") ?? 0n, mapKey, returnAddress, status: undefined });
    this.#memoryMap = this.#mapWatch.mapOf(mapKey);
    await this.#takePoint({ id: "before", kind: "before", images: true, memoryMap: this.#memoryMap });
    if (this.#mapWatch.isChanged(mapKey, pointPages(this.#points.at(-1) as Point)))
      this.#note(
        "The memory map is not what GetMemoryMap had returned any more: its caller has changed it, or used the memory.",
      );
    await this.#beginBlame(this.#points.at(-1) as Point);
    return { cpu, returnAddress, stackPointer: registers.get("sp") ?? 0n };
  }

  /** Waits at the return address; takes `after`, or `failed`. A fault inside the call ends the session with `fault`. */
  async #awaitReturn(frame: CallFrame, deadline: number): Promise<"succeeded" | "failed" | "faulted"> {
    const breakpoint = await this.#target.insertBreakpoint(frame.returnAddress);
    await this.#armVectors(frame.cpu);
    const late = new EbscopeError("timed-out", "ExitBootServices was called but did not return in time");
    const { cpu, registers } = await this.#runUntil(
      (at) =>
        (at.pc === frame.returnAddress && at.sp === frame.stackPointer && at.cpu.index === frame.cpu.index) ||
        this.#faults.isAtVector(at),
      deadline,
      late,
    );
    await breakpoint[Symbol.asyncDispose]();
    if (registers.get("pc") !== frame.returnAddress) return this.#faulted(cpu, "inside ExitBootServices");
    const status = registers.get("x0") ?? 0n;
    const attempt = this.#attempts.pop() as ExitAttempt;
    this.#attempts.push({ ...attempt, status });
    this.#tell({ kind: "returned", status });
    if (!isError(status)) {
      await this.#takePoint({ id: "after", kind: "after" });
      return "succeeded";
    }
    this.#renameBefore();
    this.#note(
      `Call ${this.#attempts.length} of ExitBootServices failed with ${statusName(status) ?? hex(status)}; the next one was waited for.`,
    );
    await this.#takePoint({ id: `failed-${this.#attempts.length}`, kind: "failed" });
    return "failed";
  }

  /** A fault before the call that succeeds: there will be no `after`. */
  async #faulted(cpu: Cpu, where: string): Promise<"faulted"> {
    this.#note(`The guest faulted ${where}: there is no point after.`);
    await this.#takePoint({ id: "fault", kind: "fault", cpu: cpu.index });
    return "faulted";
  }

  /** Where there is code: all images that are known. */
  #extents(): readonly ImageExtent[] {
    return [...(this.#listed ?? []), ...this.#found];
  }

  #noteUnknownMap(): void {
    if (this.#memoryMap !== undefined || this.#located?.getMemoryMap === undefined) return;
    const key = hex(this.#attempts.at(-1)?.mapKey ?? 0n);
    this.#note(`No GetMemoryMap was seen that gave the map key ${key}: which memory map it stands for is not known.`);
  }

  #renameBefore(): void {
    const before = this.#points.pop() as Point;
    this.#points.push({ ...before, id: `before-${this.#attempts.length}` });
  }

  /** Breakpoints at the vectors that are in force at the call. */
  async #armVectors(cpu: Cpu): Promise<void> {
    if (!(await this.#faults.arm(await lookAtStop(this.#target, cpu)))) this.#note(FAULTS_NOT_WATCHED);
  }

  /** Watches for a fault; takes `fault` or `later`. */
  async #watch(callingCpu: number): Promise<void> {
    const { watchMs } = this.#options;
    this.#tell({ kind: "watching", seconds: watchMs / 1000 });
    const faulting = await this.#awaitFault(watchMs, (at) => this.#faults.isAtVector(at));
    const cpu = faulting ?? (await this.#stuck());
    if (cpu === undefined) await this.#takePoint({ id: "later", kind: "later", cpu: callingCpu });
    else await this.#takePoint({ id: "fault", kind: "fault", cpu });
  }

  /** The vCPU that comes to where `wanted` says within a time; undefined when none does. The guest is halted then. */
  async #awaitFault(milliseconds: number, wanted: (at: StoppedCpu) => boolean): Promise<number | undefined> {
    const over = new EbscopeError("timed-out", "the watch is over");
    try {
      return (await this.#runUntil(wanted, Date.now() + milliseconds, over)).cpu.index;
    } catch (error) {
      if (error !== over) throw error;
      return undefined;
    }
  }

  /** A vCPU that stands at a vector's first instruction, whenever one looks: its handler cannot run. */
  async #stuck(): Promise<number | undefined> {
    const first = this.#lastLook;
    if (first === undefined || !isAtOwnVector(first)) return undefined;
    const faulting = await this.#awaitFault(AGAIN_MS, (at) => this.#faults.isAtVector(at));
    if (faulting !== undefined) return faulting;
    const second = this.#lastLook;
    const stays = second !== undefined && second.pc === first.pc && second.cpu.index === first.cpu.index;
    return stays && isAtOwnVector(second) ? first.cpu.index : undefined;
  }

  /** Resumes until a stop that `wanted` accepts. At the deadline the guest is halted and `late` thrown. */
  async #runUntil(wanted: (at: StoppedCpu) => boolean, deadline: number, late: EbscopeError): Promise<StoppedCpu> {
    const { signal } = this.#options;
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(late), Math.max(deadline - Date.now(), 0));
    const until = signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, signal]);
    try {
      await this.#target.resume();
      for (;;) {
        const stop = await this.#nextStop(until);
        const write = until.aborted ? undefined : await this.#blame?.handle(stop);
        if (write !== undefined) {
          this.#countStop(write === "stuck");
          continue;
        }
        const { cpu } = stop;
        const at = await lookAtStop(this.#target, cpu);
        this.#lastLook = at;
        if (wanted(at)) return at;
        if (until.aborted) throw abortError(until);
        if (await this.#mapWatch.handle(at)) continue;
        const site = await this.#blame?.handleSite(at);
        this.#countStop(site !== "ran");
        if (site !== undefined) continue;
        // It may stand on a breakpoint of ours that does not count here.
        await this.#target.resumePast(cpu, virt(at.pc));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #countStop(isStray: boolean): void {
    this.#strayStops = isStray ? this.#strayStops + 1 : 0;
    if (this.#strayStops <= MAX_STRAY_STOPS) return;
    throw new EbscopeError("protocol-error", "The guest stops again and again for reasons of its own");
  }

  /** The next stop; when `until` is aborted first, the guest is halted by interrupt. */
  async #nextStop(until: AbortSignal): Promise<Exclude<Stop, { kind: "ended" }>> {
    let stop: Stop | undefined;
    try {
      stop = await this.#target.waitForStop(until);
    } catch (error) {
      if (!until.aborted) throw error;
      // It may have hit a breakpoint in the last moment: the caller looks.
      stop = await this.#target.interrupt();
    }
    if (stop?.kind === "ended") throw new EbscopeError("guest-ended", `The guest ended: ${stop.why}`);
    return stop ?? { kind: "interrupt", cpu: this.#target.stoppedCpu };
  }

  async #takePoint(request: PointRequest): Promise<void> {
    const started = performance.now();
    const { maxTables } = this.#options;
    const { point, lost, needed, tables, listed, images } = await takePoint(this.#target, {
      ...request,
      tables: this.#tables,
      listed: this.#listed,
      found: this.#found,
      expect: request.images ? this.#expected.images : this.#expected.tables,
      ...(maxTables !== undefined && { maxTables }),
      efi: this.#located?.roots,
    });
    if (point !== undefined) {
      this.#points.push(point);
      this.#tables ??= tables;
      this.#listed = listed;
      this.#found = joined(this.#found, images);
      this.#expected.tables = needed;
      if (request.images) this.#expected.images = new Set(point.pages.keys());
      this.#tell({ kind: "point", point, pauseMs: performance.now() - started });
      if (lost === undefined && request.kind !== "before") await this.#blamePoint(point);
    }
    if (lost !== undefined) throw lost;
  }

  async #watchRanges(roots: EfiRoots): Promise<void> {
    if (this.#blame === undefined || (this.#options.blame?.ranges ?? []).length === 0) return;
    await this.#blame.watchRanges(roots);
    this.#tell({ kind: "blame", watched: this.#blame.watched });
  }

  async #beginBlame(point: Point): Promise<void> {
    if (this.#blame === undefined) return;
    await this.#blame.begin(point, this.#points.length - 1, this.#extents());
    if (this.#options.blame?.tables) this.#tell({ kind: "blame", watched: this.#blame.watched });
  }

  /** Who wrote what is different at a point; the watch ends where it was asked to. */
  async #blamePoint(point: Point): Promise<void> {
    await this.#blame?.mark(point, this.#points.length - 1);
    if (this.#options.blame?.until !== "end" && point.kind !== "failed") await this.#blame?.endTables();
  }

  #note(text: string): void {
    this.#notes.push(text);
    this.#tell({ kind: "note", text });
  }

  #tell(event: CaptureEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** Most images that are looked at again at each point. */
const MAX_FOUND = 16;

function joined(known: readonly FoundImage[], seen: readonly FoundImage[]): readonly FoundImage[] {
  const isKnown = ({ base, physical }: FoundImage): boolean =>
    known.some((each) => each.base === base && each.physical === physical);
  return [...known, ...seen.filter((each) => !isKnown(each))].slice(-MAX_FOUND);
}
