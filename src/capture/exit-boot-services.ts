/**
 * The capture session: from an attached guest to the points before and after ExitBootServices, and what came then.
 *
 * States: locating → armed (breakpoint at the entry) → called (`before` taken; breakpoints at the return address and at the exception
 * vectors) → returned: with an error, armed again; with success (`after` taken), watching → fault or later.
 *
 * Every exit path goes through the caller's `target.release`, which removes breakpoints; whatever was captured until a failure is
 * returned with the failure.
 *
 * Source: AAPCS64 6.1.1: at the entry of a function x30 holds the return address and x0, x1 the arguments, at the return x0 the result. UEFI
 * 7.4.6: EFI_STATUS ExitBootServices(ImageHandle, MapKey). Arm ARM DDI 0487, D1.4.1: vector offsets from VBAR_ELx.
 */

import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { FAULT_VECTORS, vectorAt } from "../aarch64/vectors.ts";
import { abortError } from "../base/abort.ts";
import { type PhysAddr, type VirtAddr, virt } from "../base/address.ts";
import { asEbscopeError, EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import { type Registers, registersOf } from "../base/registers.ts";
import { isError, statusName } from "../efi/structures.ts";
import type { EfiTables } from "../efi/tables.ts";
import { type Capture, type ExitAttempt, FAULTS_NOT_WATCHED, type Point } from "../snapshot/model.ts";
import type { Cpu, Target } from "../target/target.ts";
import { assemble } from "./assemble.ts";
import { type Located, locateExitBootServices } from "./locate.ts";
import { type PointRequest, takePoint } from "./point.ts";

export interface CaptureOptions {
  /** How long the guest may take until ExitBootServices is called, from when it was located. Default 300 s. */
  readonly timeoutMs?: number;
  /** How long the firmware may take to show its system table. Default 60 s. */
  readonly findTimeoutMs?: number;
  /** How long to watch for a fault after the call. Default 5 s. */
  readonly watchMs?: number;
  readonly maxTables?: number;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CaptureEvent) => void;
}

export type CaptureEvent =
  | { readonly kind: "waiting"; readonly why: string }
  | { readonly kind: "located"; readonly address: bigint; readonly where: string }
  | { readonly kind: "called"; readonly attempt: number; readonly from: bigint }
  | { readonly kind: "point"; readonly point: Point; readonly pauseMs: number }
  | { readonly kind: "returned"; readonly status: bigint }
  | { readonly kind: "watching"; readonly seconds: number }
  | { readonly kind: "note"; readonly text: string };

export interface CaptureOutcome {
  /** Undefined when nothing was captured. */
  readonly capture: Capture | undefined;
  /** What ended it early; undefined when it is complete. */
  readonly error: EbscopeError | undefined;
}

const DEFAULTS = { timeoutMs: 300_000, findTimeoutMs: 60_000, watchMs: 5_000 };
/** Stops that are none of ours before a capture is given up. */
const MAX_STRAY_STOPS = 1_000;

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
  #vectors: { readonly register: string; readonly base: bigint } | undefined;
  #strayStops = 0;
  /** UEFI's tables at the first point. */
  #tables: EfiTables | undefined;
  /** What the next point will probably need to read, without and with the image list. */
  readonly #expected: { tables: ReadonlySet<PhysAddr>; images: ReadonlySet<PhysAddr> } = {
    tables: new Set(),
    images: new Set(),
  };

  constructor(target: Target, options: CaptureOptions) {
    this.#target = target;
    this.#options = { ...DEFAULTS, ...options };
  }

  async run(): Promise<void> {
    const { signal, findTimeoutMs } = this.#options;
    const located = await locateExitBootServices(this.#target, {
      findTimeoutMs,
      signal,
      onWaiting: (why) => this.#tell({ kind: "waiting", why }),
    });
    this.#located = located;
    this.#expected.images = located.pages;
    for (const note of located.notes) this.#note(note);
    this.#tell({ kind: "located", address: located.roots.exitBootServices, where: located.where });
    const deadline = Date.now() + this.#options.timeoutMs;
    for (let attempt = 1; ; attempt++) {
      const frame = await this.#awaitCall(virt(located.roots.exitBootServices), deadline, attempt);
      if (frame === "faulted") return;
      const ending = await this.#awaitReturn(frame, deadline);
      if (ending === "faulted") return;
      if (ending === "succeeded") break;
    }
    await this.#watch((this.#points.at(-1) as Point).cpu);
  }

  result(createdBy: string, error: EbscopeError | undefined): Capture | undefined {
    if (this.#points.length === 0) return undefined;
    return assemble(this.#target, createdBy, {
      points: this.#points,
      attempts: this.#attempts,
      notes: this.#notes,
      efi: this.#located?.roots,
      partial: error,
    });
  }

  /** Waits at the entry; takes `before`. A fault between a failed call and the next one ends the session with `fault`. */
  async #awaitCall(entry: VirtAddr, deadline: number, attempt: number): Promise<CallFrame | "faulted"> {
    const breakpoint = await this.#target.insertBreakpoint(entry);
    const late = new EbscopeError(
      "timed-out",
      `ExitBootServices was not called within ${this.#options.timeoutMs / 1000} s`,
    );
    const { cpu, registers } = await this.#runUntil((at) => at.pc === entry || this.#atVector(at), deadline, late);
    await breakpoint[Symbol.asyncDispose]();
    if (registers.get("pc") !== entry) return this.#faulted(cpu, "after a failed call of ExitBootServices");
    const returnAddress = virt(registers.get("x30") ?? 0n);
    this.#tell({ kind: "called", attempt, from: returnAddress });
    this.#attempts.push({
      imageHandle: registers.get("x0") ?? 0n,
      mapKey: registers.get("x1") ?? 0n,
      returnAddress,
      status: undefined,
    });
    await this.#takePoint({ id: "before", kind: "before", images: true });
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
        this.#atVector(at),
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

  #renameBefore(): void {
    const before = this.#points.pop() as Point;
    this.#points.push({ ...before, id: `before-${this.#attempts.length}` });
  }

  /** Breakpoints at the vectors that are in force at the call. */
  async #armVectors(cpu: Cpu): Promise<void> {
    if (this.#vectors !== undefined) return;
    const registers = await this.#registersOf(cpu);
    const register = `VBAR_EL${currentExceptionLevel(registers) ?? 1}`;
    const base = registers.get(register);
    if (base === undefined) {
      this.#note(FAULTS_NOT_WATCHED);
      return;
    }
    this.#vectors = { register, base };
    await Promise.all(FAULT_VECTORS.map(({ offset }) => this.#target.insertBreakpoint(virt(base + BigInt(offset)))));
  }

  #atVector(at: At): boolean {
    const vectors = this.#vectors;
    if (vectors === undefined || at.registers.get(vectors.register) !== vectors.base) return false;
    return vectorAt(vectors.base, at.pc) !== undefined;
  }

  /** Watches for a fault; takes `fault` or `later`. */
  async #watch(callingCpu: number): Promise<void> {
    const seconds = this.#options.watchMs / 1000;
    this.#tell({ kind: "watching", seconds });
    const over = new EbscopeError("timed-out", "the watch is over");
    try {
      const { cpu } = await this.#runUntil((at) => this.#atVector(at), Date.now() + this.#options.watchMs, over);
      await this.#takePoint({ id: "fault", kind: "fault", cpu: cpu.index });
    } catch (error) {
      if (error !== over) throw error;
      await this.#takePoint({ id: "later", kind: "later", cpu: callingCpu });
    }
  }

  /** Resumes until a stop that `wanted` accepts. At the deadline the guest is halted and `late` thrown. */
  async #runUntil(wanted: (at: At) => boolean, deadline: number, late: EbscopeError): Promise<At> {
    const { signal } = this.#options;
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(late), Math.max(deadline - Date.now(), 0));
    const until = signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, signal]);
    try {
      await this.#target.resume();
      for (;;) {
        const cpu = await this.#nextStop(until);
        const at = await this.#whereIs(cpu);
        if (wanted(at)) return at;
        if (until.aborted) throw abortError(until);
        if (++this.#strayStops > MAX_STRAY_STOPS) {
          throw new EbscopeError("protocol-error", "The guest stops again and again for reasons of its own");
        }
        // It may stand on a breakpoint of ours that does not count here.
        await this.#target.resumePast(cpu, virt(at.pc));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** The vCPU of the next stop; when `until` is aborted first, the guest is halted by interrupt. */
  async #nextStop(until: AbortSignal): Promise<Cpu> {
    try {
      const stop = await this.#target.waitForStop(until);
      if (stop.kind === "ended") throw new EbscopeError("guest-ended", `The guest ended: ${stop.why}`);
      return stop.cpu;
    } catch (error) {
      if (!until.aborted) throw error;
      const stop = await this.#target.interrupt();
      if (stop?.kind === "ended") throw new EbscopeError("guest-ended", `The guest ended: ${stop.why}`);
      // It may have hit a breakpoint in the last moment: the caller looks.
      return stop?.cpu ?? this.#target.stoppedCpu;
    }
  }

  async #whereIs(cpu: Cpu): Promise<At> {
    const registers = await this.#registersOf(cpu);
    return { cpu, registers, pc: registers.get("pc") ?? 0n, sp: registers.get("sp") ?? 0n };
  }

  async #registersOf(cpu: Cpu): Promise<Registers> {
    const definitions = this.#target.info.registers.filter(({ name }) => SESSION_REGISTERS.has(name));
    const [row] = await this.#target.readRegisters([cpu], definitions);
    return registersOf(definitions, row ?? []);
  }

  async #takePoint(request: PointRequest): Promise<void> {
    const started = performance.now();
    const { maxTables } = this.#options;
    const { point, lost, needed, tables } = await takePoint(this.#target, {
      ...request,
      tables: this.#tables,
      chain: request.kind === "fault" || request.kind === "later",
      expect: request.images ? this.#expected.images : this.#expected.tables,
      ...(maxTables !== undefined && { maxTables }),
      efi: this.#located?.roots,
    });
    if (point !== undefined) {
      this.#points.push(point);
      this.#tables ??= tables;
      this.#expected.tables = needed;
      if (request.images) this.#expected.images = new Set(point.pages.keys());
      this.#tell({ kind: "point", point, pauseMs: performance.now() - started });
    }
    if (lost !== undefined) throw lost;
  }

  #note(text: string): void {
    this.#notes.push(text);
    this.#tell({ kind: "note", text });
  }

  #tell(event: CaptureEvent): void {
    this.#options.onEvent?.(event);
  }
}

interface At {
  readonly cpu: Cpu;
  readonly registers: Registers;
  readonly pc: bigint;
  readonly sp: bigint;
}

/** What the session itself looks at on a stop. */
const SESSION_REGISTERS: ReadonlySet<string> = new Set("x0 x1 x30 sp pc cpsr VBAR_EL1 VBAR_EL2 VBAR_EL3".split(" "));
