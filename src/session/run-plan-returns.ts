/**
 * Where calls return to: a breakpoint at each return address of a call that is under way.
 *
 * Source: AAPCS64 6.1.1: at the entry of a function x30 holds the return address, and sp is at the return what it was at the entry. So a call
 * is told from another by its vCPU, its stack pointer and where it returns to: functions call themselves, and several vCPUs call one.
 */
import { virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { Breakpoint } from "./breakpoint.ts";
import type { CallArguments } from "./call-arguments.ts";
import type { FoundPlace } from "./places.ts";
import type { Spot } from "./run-plan-capture.ts";
import type { PointRun } from "./run-plan-point.ts";
import type { Session } from "./session.ts";
import type { Stop } from "./stop.ts";

/** A call that has not returned. */
export interface Call {
  readonly run: PointRun;
  readonly spot: Spot;
  readonly cpu: number;
  readonly stackPointer: bigint;
  readonly returnAddress: bigint;
  readonly arguments: CallArguments | undefined;
}

/** Calls that are under way at once, of all points. One that was left by a long jump never returns: the oldest is forgotten for another. */
const MAX_CALLS = 256;

export class Returns {
  readonly #session: Session;
  #calls: readonly Call[] = [];
  readonly #breakpoints = new Map<bigint, Breakpoint>();

  constructor(session: Session) {
    this.#session = session;
  }

  get isEmpty(): boolean {
    return this.#calls.length === 0;
  }

  /** A call that begins here. False when it cannot be known where it returns to. */
  async enter(run: PointRun, spot: Spot, stop: Stop): Promise<boolean> {
    const [returnAddress, stackPointer] = [stop.general.get("x30"), stop.general.get("sp")];
    if (returnAddress === undefined || stackPointer === undefined || returnAddress % 4n !== 0n) return false;
    const taken = run.point.record.arguments ? await stop.arguments() : undefined;
    const call = { run, spot, cpu: stop.cpu, stackPointer, returnAddress, arguments: taken };
    // No second one can return to the same place with the same stack while the first is under way.
    const others = this.#calls.filter((each) => !isSame(each, call));
    if (!(await this.#insert(returnAddress))) return false;
    this.#calls = [...others.slice(-(MAX_CALLS - 1)), call];
    await this.#tidy();
    return true;
  }

  /** The calls that have returned at this stop; they are under way no more. */
  async leave(stop: Stop): Promise<readonly Call[]> {
    const sp = stop.general.get("sp");
    const isBack = (call: Call): boolean =>
      call.returnAddress === stop.pc && call.cpu === stop.cpu && call.stackPointer === sp;
    if (stop.reason !== "breakpoint") return [];
    const back = this.#calls.filter(isBack);
    if (back.length === 0) return [];
    this.#calls = this.#calls.filter((call) => !isBack(call));
    await this.#tidy();
    return back;
  }

  /** Forgets the calls of a point that is over. */
  async forget(run: PointRun): Promise<void> {
    this.#calls = this.#calls.filter((call) => call.run !== run);
    await this.#tidy();
  }

  async #insert(address: bigint): Promise<boolean> {
    if (this.#breakpoints.has(address)) return true;
    try {
      const place: FoundPlace = { address: virt(address), name: `0x${address.toString(16)}` };
      this.#breakpoints.set(address, await this.#session.breakpoint(place));
      return true;
    } catch (error) {
      if (error instanceof EbscopeError && (error.code === "stub-refused" || error.code === "usage")) return false;
      throw error;
    }
  }

  /** Takes out the breakpoints that no call returns to. */
  async #tidy(): Promise<void> {
    const kept = new Set(this.#calls.map(({ returnAddress }) => returnAddress));
    for (const [address, breakpoint] of [...this.#breakpoints]) {
      if (kept.has(address)) continue;
      this.#breakpoints.delete(address);
      await breakpoint[Symbol.asyncDispose]();
    }
  }
}

function isSame(a: Call, b: Call): boolean {
  return a.run === b.run && a.cpu === b.cpu && a.stackPointer === b.stackPointer && a.returnAddress === b.returnAddress;
}
