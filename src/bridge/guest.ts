/**
 * One attached guest and its run control.
 *
 * States: running (after a resume, until the stub tells of a stop), stopped (from attaching on, and after each stop), lost (the session with
 * the stub is over; for good), and lent: a capture has it, and only that moves it. Transitions are in `#stopped`, `#run`, `#lose` and `lend`.
 *
 * What talks to the stub is done one after the other, in a queue. A stop of a running guest comes by itself: what is done about it waits in
 * the same queue. An interrupt and a breakpoint may race: whichever is handled first ends the run, and the other finds it ended.
 */
import type { BreakpointJson, TargetJson } from "../api/protocol.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { asEbscopeError, EbscopeError } from "../base/error.ts";
import { registersOf } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import { locateExitBootServices } from "../capture/locate.ts";
import type { Point } from "../snapshot/model.ts";
import type { Cpu, Stop, Target } from "../target/target.ts";
import { Breakpoints } from "./breakpoints.ts";
import type { EventWriter, Happening } from "./event-writer.ts";
import {
  ended,
  failureJson,
  LOSSES,
  type Run,
  type Standing,
  type State,
  type StopReason,
  standingJson,
  stateJson,
  unlessLost,
} from "./guest-state.ts";
import { LentTarget } from "./lent-target.ts";
import type { NewEvent } from "./ports.ts";
import { Queue } from "./queue.ts";
import { type Change, StopChanges, type Watched } from "./stop-changes.ts";
import { StopView } from "./stop-view.ts";

export interface GuestOptions {
  readonly id: string;
  /** The stub's address, as users write it. */
  readonly gdb: string;
  readonly target: Target;
  readonly writer: Pick<EventWriter, "tell" | "ready">;
  /** What its captures say about who took them. */
  readonly createdBy: string;
}

/** What waits for a guest at once; beyond that callers are told to come later. */
const MAX_WAITING = 256;

export class Guest {
  readonly id: string;
  readonly gdb: string;
  readonly #target: Target;
  readonly #writer: Pick<EventWriter, "tell" | "ready">;
  readonly #createdBy: string;
  readonly #queue = new Queue();
  readonly #changes: StopChanges;
  readonly #breakpoints: Breakpoints;
  #state: State = { kind: "running", run: undefined };
  /** What has it: a capture, by its id, or a search. */
  #holder: { readonly capture: string } | "search" | undefined;
  /** Of a lost guest: what was left of it is let go when this resolves. */
  #letGo: Promise<void> | undefined;

  constructor({ id, gdb, target, writer, createdBy }: GuestOptions) {
    this.id = id;
    this.gdb = gdb;
    this.#target = target;
    this.#writer = writer;
    this.#createdBy = createdBy;
    this.#changes = new StopChanges(target);
    this.#breakpoints = new Breakpoints(id, target);
  }

  get isLost(): boolean {
    return this.#state.kind === "lost";
  }

  get json(): TargetJson {
    const { qemuVersion, cpus } = this.#target.info;
    return {
      ...{ target: this.id, gdb: this.gdb, cpus: cpus.length, capture: this.#capture ?? null },
      qemuVersion: qemuVersion === undefined ? null : printable(qemuVersion),
      ...stateJson(this.#state),
    };
  }

  get #capture(): string | undefined {
    return typeof this.#holder === "object" ? this.#holder.capture : undefined;
  }

  get watched(): Watched {
    return this.#changes.watched;
  }

  get breakpoints(): Breakpoints {
    return this.#breakpoints;
  }

  /** Takes over the halted guest that was just attached: what it is like now is what the first stop is compared with. */
  async begin(run: boolean): Promise<TargetJson> {
    const { qemuVersion, cpus } = this.#target.info;
    void this.#target.ended.then((error) => this.#lose(error));
    const version = qemuVersion === undefined ? null : printable(qemuVersion);
    void this.#tell({ kind: "target.attached", data: { gdb: this.gdb, qemuVersion: version, cpus: cpus.length } });
    await this.#queue.add(async () => {
      await this.#stopped(this.#target.stoppedCpu, "attach");
      if (run) await this.#run();
    });
    return this.json;
  }

  /** Lets it run. */
  async resume(signal: AbortSignal): Promise<TargetJson> {
    await this.#writer.ready();
    return this.#control(signal, () => this.#run());
  }

  /** Stops it; nothing when it stands still. */
  async interrupt(signal: AbortSignal): Promise<TargetJson> {
    return this.#control(signal, async () => {
      if (this.#state.kind !== "running") return;
      await this.#halt();
    });
  }

  async step(cpu: number | undefined, signal: AbortSignal): Promise<TargetJson> {
    await this.#writer.ready();
    return this.#control(signal, async () => {
      const { at } = this.#standing();
      const which = this.#cpuOf(cpu ?? at.cpu);
      const pc = which.index === at.cpu ? at.pc : await this.#pcOf(which);
      if (pc === undefined) throw new EbscopeError("register-missing", "Cannot step the guest: its pc cannot be read");
      const stop = await this.#orLost(this.#target.step(which, pc));
      if (stop.kind === "ended") this.#lose(ended(stop.why));
      else await this.#stopped(stop.cpu, stop.kind === "breakpoint" ? "step" : "interrupt");
    });
  }

  /** Does something with the stopped guest that leaves it where it is. Rejects with `target-running` or `target-busy`. */
  whileStopped<T>(work: (view: StopView) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#exclusive(() => work(this.#standing().view), signal);
  }

  /** What is compared at each stop from now on; what it is like now is what the next stop is compared with. */
  async watch(wanted: { readonly [K in keyof Watched]?: boolean | undefined }, signal: AbortSignal): Promise<Watched> {
    this.#changes.watch(wanted);
    if (this.#state.kind === "stopped" && this.#holder === undefined) {
      await this.#exclusive(async () => {
        if (this.#state.kind === "stopped") await this.#changes.at(this.#state.view);
      }, signal);
    }
    return this.watched;
  }

  /**
   * Lends the halted guest to a capture; `note` is for what it comes by. Afterwards the guest is as before: running if it ran, all breakpoints
   * in. Rejects when it has been lent already, is lost, or cannot be halted; else with what the work rejects with.
   */
  async lend<T>(capture: string, work: (target: Target, note: (point: Point) => void) => Promise<T>): Promise<T> {
    return this.#hold({ capture }, () => this.#lend(capture, work));
  }

  /**
   * A breakpoint at ExitBootServices in the stopped guest, which runs on until its firmware shows where that is: `findTimeoutMs` at most.
   * Rejects as `locateExitBootServices` does; the guest stands still then too.
   */
  async insertAtExitBootServices(findTimeoutMs: number, signal: AbortSignal): Promise<BreakpointJson> {
    await this.#writer.ready();
    return this.#hold("search", async () => {
      this.#standing();
      const { roots } = await this.#lend(null, (target) => locateExitBootServices(target, { findTimeoutMs, signal }));
      this.#standing();
      return this.#orLost(this.#breakpoints.insert(virt(roots.exitBootServices)));
    });
  }

  async #hold<T>(holder: { readonly capture: string } | "search", work: () => Promise<T>): Promise<T> {
    this.mustBeFree();
    this.#holder = holder;
    try {
      return await this.#queue.add(work);
    } finally {
      this.#holder = undefined;
    }
  }

  /** Lets it go, running if `run`, as it was found otherwise unless told. Rejects with `target-busy`. */
  async release(run?: boolean): Promise<{ running: boolean }> {
    if (this.#state.kind !== "lost" && this.#holder !== undefined) this.mustBeFree();
    const running = run ?? this.#target.info.wasRunning;
    return this.#queue.add(async () => {
      if (this.#state.kind === "lost") await this.#letGo;
      if (this.#state.kind === "lost" || this.#state.kind === "released") return { running: false };
      this.#endRun();
      this.#state = { kind: "released" };
      await this.#target.release(running);
      await this.#tell({ kind: "target.detached", data: { running } });
      return { running };
    });
  }

  async #lend<T>(
    capture: string | null,
    work: (target: Target, note: (point: Point) => void) => Promise<T>,
  ): Promise<T> {
    const ran = this.#state.kind === "running";
    const lent = new LentTarget(this.#target);
    let noted: Promise<void> = Promise.resolve();
    const note = (point: Point): void => {
      const compared = noted.then(() => this.#changes.compare(point, true));
      noted = compared.then((changes) => this.#tellChanges(changes, capture)).catch(() => undefined);
    };
    await this.#prepare();
    try {
      return await work(lent, note);
    } finally {
      await this.#takeBack(lent, ran).catch((error: unknown) => this.#lose(error));
      await noted;
    }
  }

  /** Halts the guest and takes the breakpoints of clients out. Nothing is told: the guest is the capture's from here on. */
  async #prepare(): Promise<void> {
    this.#mustBeThere();
    await this.#mustHalt();
    this.#endRun();
    this.#state = { kind: "running", run: undefined };
    await this.#orLost(this.#breakpoints.suspend());
  }

  /** The guest is halted afterwards, or lost. Raises `stub-silent` where it does not listen; it is as before then. */
  async #mustHalt(): Promise<Stop | undefined> {
    const stop = await this.#target.interrupt();
    if (stop?.kind === "ended") throw this.#lose(ended(stop.why));
    return stop;
  }

  /** Where that which fails leaves nobody who knows how the guest stands, it is lost. */
  async #orLost<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      const error = asEbscopeError(cause);
      throw LOSSES.includes(error.code) ? this.#lose(error) : error;
    }
  }

  async #takeBack(lent: LentTarget, ran: boolean): Promise<void> {
    if (this.#state.kind === "lost") return;
    await this.#mustHalt();
    await lent.takeBack();
    await this.#breakpoints.restore();
    if (!ran) return this.#stopped(this.#target.stoppedCpu, "interrupt");
    await this.#letRun(await this.#pcOf(this.#target.stoppedCpu));
  }

  #control(signal: AbortSignal, work: () => Promise<void>): Promise<TargetJson> {
    return this.#exclusive(async () => {
      await work();
      return this.json;
    }, signal);
  }

  async #exclusive<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    this.mustBeFree();
    if (this.#queue.waiting >= MAX_WAITING) throw tooMany(this.id);
    return this.#queue.add(async () => {
      this.#mustBeThere();
      return work();
    }, signal);
  }

  /** Raises `target-busy` while a capture or a search has it, and why it cannot be used at all. */
  mustBeFree(): void {
    this.#mustBeThere();
    if (this.#holder === undefined) return;
    const holder = this.#holder === "search" ? "a search for ExitBootServices" : `the capture ${this.#holder.capture}`;
    throw new EbscopeError("target-busy", `Cannot use ${this.id}: ${holder} has it`);
  }

  #mustBeThere(): void {
    const state = this.#state;
    if (state.kind === "released") throw new EbscopeError("no-such-target", `Cannot use ${this.id}: it was let go`);
    if (state.kind !== "lost") return;
    throw new EbscopeError("connection-lost", `Cannot use ${this.id}: it was lost (${state.error.message})`, {
      next: "Attach to it again (`Target.attach`) when it is there.",
    });
  }

  #standing(): { readonly at: Standing; readonly view: StopView } {
    if (this.#state.kind === "stopped") return this.#state;
    throw new EbscopeError("target-running", `Cannot do this with ${this.id}: it runs`);
  }

  #cpuOf(index: number): Cpu {
    const { cpus } = this.#target.info;
    const cpu = cpus[index];
    if (cpu !== undefined) return cpu;
    throw new EbscopeError("usage", `Cannot step vCPU ${index}: the guest has ${cpus.length}, numbered from 0`);
  }

  async #pcOf(cpu: Cpu): Promise<VirtAddr | undefined> {
    const definitions = this.#target.info.registers.filter(({ name }) => name === "pc");
    const [row] = await this.#target.readRegisters([cpu], definitions);
    const pc = registersOf(definitions, row ?? []).get("pc");
    return pc === undefined ? undefined : virt(pc);
  }

  /** Lets the stopped guest run, and tells of it. */
  async #run(): Promise<void> {
    const { at } = this.#standing();
    await this.#letRun(at.pc);
    await this.#tell({ kind: "target.resumed", data: {} });
  }

  async #letRun(pc: VirtAddr | undefined): Promise<void> {
    // Resuming on a breakpoint would hit it again without progress.
    const target = this.#target;
    const isHeld = pc !== undefined && this.#breakpoints.isAt(pc);
    await this.#orLost(isHeld ? target.resumePast(target.stoppedCpu, pc) : target.resume());
    const giveUp = new AbortController();
    const run = { giveUp, stop: this.#target.waitForStop(giveUp.signal) };
    this.#state = { kind: "running", run };
    run.stop.then(
      (stop) => this.#queue.add(() => this.#cameToStop(run, stop)).catch((error: unknown) => this.#lose(error)),
      (error: unknown) => (this.#isUnder(run) ? this.#lose(error) : undefined),
    );
  }

  #isUnder(run: Run): boolean {
    return this.#state.kind === "running" && this.#state.run === run;
  }

  /** A stop that came by itself; nothing when an interrupt has dealt with it. */
  async #cameToStop(run: Run, stop: Stop): Promise<void> {
    if (!this.#isUnder(run)) return;
    if (stop.kind === "ended") this.#lose(ended(stop.why));
    else await this.#stopped(stop.cpu, stop.kind);
  }

  async #halt(): Promise<void> {
    const run = this.#state.kind === "running" ? this.#state.run : undefined;
    // Nothing to interrupt: the stop has come, and is on its way through the queue.
    const stop = (await this.#mustHalt()) ?? (await run?.stop);
    if (stop?.kind === "ended") throw this.#lose(ended(stop.why));
    this.#endRun();
    await this.#stopped(stop?.cpu ?? this.#target.stoppedCpu, stop?.kind ?? "interrupt");
  }

  #endRun(): void {
    if (this.#state.kind !== "running") return;
    this.#state.run?.giveUp.abort();
    this.#state = { kind: "running", run: undefined };
  }

  /** The guest has stopped: looks at it, and tells of it. */
  async #stopped(cpu: Cpu, why: StopReason): Promise<void> {
    const view = new StopView(this.#target, this.#createdBy);
    // In one round trip. What cannot be compared, for whatever reason, is no reason to lose the guest; that it does not answer is.
    const changes = this.#changes.at(view).catch((error: unknown) => unlessLost(error, []));
    const looks = Promise.all([this.#pcOf(cpu).catch((error: unknown) => unlessLost(error, undefined)), changes]);
    const [pc, changed] = await this.#orLost(looks);
    const at = { cpu: cpu.index, pc, why };
    this.#mustBeThere();
    this.#state = { kind: "stopped", at, view };
    const stopped = this.#tell({ kind: "target.stopped", data: standingJson(at) });
    await Promise.all([stopped, this.#tellChanges(changed, null)]);
  }

  async #tellChanges(changes: readonly Change[], capture: string | null): Promise<void> {
    await Promise.all(changes.map((change) => this.#tell(change, capture)));
  }

  #tell(event: Happening, capture: string | null = null): Promise<void> {
    return this.#writer.tell({ ...event, target: this.id, capture } as NewEvent);
  }

  /** The session with the stub is over, however it is noticed. Returns why. */
  #lose(cause: unknown): EbscopeError {
    const error = asEbscopeError(cause);
    if (this.#state.kind === "lost") return this.#state.error;
    if (this.#state.kind === "released") return error;
    this.#endRun();
    this.#state = { kind: "lost", error };
    void this.#tell({ kind: "target.lost", data: failureJson(error) });
    // What it holds open besides the connection; and the connection, where it was given up for what came over it.
    this.#letGo = this.#target.release(this.#target.info.wasRunning);
    return error;
  }
}

function tooMany(guest: string): EbscopeError {
  return new EbscopeError("target-busy", `Cannot ask ${guest}: ${MAX_WAITING} requests wait for it already`, {
    next: "Wait for the answers of those.",
  });
}
