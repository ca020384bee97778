/**
 * A guest under a program's control: places, breakpoints, stops, snapshots, and what can be asked of it while it stands still.
 *
 * States: halted (from attaching on, and after each stop), running (after `resume`, or while a stop is waited for), over (disposed of, or the
 * guest or the stub was lost). Disposing takes everything out of the guest and leaves it as it was found: see open.ts.
 */

import { virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { assemble } from "../capture/assemble.ts";
import { takePoint } from "../capture/point.ts";
import { type Finding, findingsOf } from "../diagnose/findings.ts";
import type { Place } from "../diagnose/place.ts";
import { type Study, studyCapture } from "../diagnose/study.ts";
import { type PointTrace, traceAt } from "../diagnose/trace.ts";
import type { PointWalk } from "../diagnose/walks.ts";
import { type Difference, defaultPoints, diffPoints, findPoint } from "../diff/diff.ts";
import { PointView } from "../diff/point-view.ts";
import type { ImageDetails } from "../efi/images.ts";
import { tableServices } from "../efi/tables.ts";
import type { Value } from "../plan/expression/evaluate.ts";
import type { Expression } from "../plan/expression/expression.ts";
import { parseExpression } from "../plan/expression/expression.ts";
import type { Capture, ExitAttempt, Point } from "../snapshot/model.ts";
import type { Cpu, Target } from "../target/target.ts";
import type { Arrival } from "./arrival.ts";
import { Blame, type BlameOptions } from "./blame.ts";
import { Breakpoint, type BreakpointOptions, type BreakpointSetup, hitRange } from "./breakpoint.ts";
import { decision, valueAt } from "./conditions.ts";
import { Events, type SessionEvent } from "./events.ts";
import { type GuestMappings, GuestView, type MemoryOptions, type ViewOptions } from "./guest-view.ts";
import { addressesOf, type FoundPlace, type PlaceLocation, Places, type Where } from "./places.ts";
import { RunControl } from "./run-control.ts";
import { type SnapshotOptions, Snapshots } from "./snapshots.ts";
import { type Hit, Stop } from "./stop.ts";
import { type FindOptions, Surroundings } from "./surroundings.ts";
import { type TraceHit, type TraceOptions, traceHits } from "./trace.ts";

export interface SessionSetup {
  readonly target: Target;
  readonly createdBy: string;
  readonly symbols: readonly string[];
  readonly findTimeoutMs: number;
  readonly maxTables: number | undefined;
  /** Ends every wait. */
  readonly signal: AbortSignal | undefined;
  /** Lets the guest go and tidies up. */
  readonly close: () => Promise<void>;
}

export interface WaitOptions {
  /** Ends the wait: it rejects with the signal's reason, and the guest is halted. */
  readonly signal?: AbortSignal;
  /** How long the stop may take: `timed-out` then, and the guest is halted. */
  readonly timeoutMs?: number;
}

/** The most bytes that one watchpoint covers: a page. */
const MAX_WATCHED = 4096;
/** A guest that is halted has nothing else to do with breakpoints than these. */
const MAX_BREAKPOINTS = 1_024;

export class Session implements AsyncDisposable {
  readonly #setup: SessionSetup;
  readonly #target: Target;
  readonly #control: RunControl;
  readonly #surroundings: Surroundings;
  readonly #places: Places;
  readonly #snapshots: Snapshots;
  readonly #events = new Events();
  readonly #breakpoints = new Set<Breakpoint>();
  #view: GuestView;
  #services: { readonly epoch: number; readonly names: ReadonlyMap<bigint, string> } | undefined;
  #closed: Promise<void> | undefined;

  constructor(setup: SessionSetup) {
    const { target, createdBy, symbols, findTimeoutMs } = setup;
    this.#setup = setup;
    this.#target = target;
    this.#control = new RunControl(target);
    this.#surroundings = new Surroundings({
      ...{ target, control: this.#control, createdBy, symbols, findTimeoutMs },
      onWaiting: (why) => this.tell({ kind: "waiting", why }),
    });
    this.#places = new Places(target, this.#surroundings);
    this.#snapshots = new Snapshots(target, createdBy, this.#surroundings, setup.maxTables);
    this.#view = new GuestView(target, this.#control, createdBy);
    void target.ended.then((error) => this.#events.end(error));
  }

  /** What is under this: for what the session does not offer. Running and stopping through it confuses the session. */
  get target(): Target {
    return this.#target;
  }

  get cpus(): number {
    return this.#target.info.cpus.length;
  }

  get qemuVersion(): string | undefined {
    return this.#target.info.qemuVersion;
  }

  get isRunning(): boolean {
    return this.#control.running;
  }

  get breakpoints(): readonly Breakpoint[] {
    return [...this.#breakpoints];
  }

  /** Everything that happens from now on. Ends when the session is over. */
  events(signal?: AbortSignal): AsyncIterableIterator<SessionEvent> {
    return this.#events.listen(signal);
  }

  /** Tells the listeners. */
  tell(event: SessionEvent): void {
    this.#events.tell(event);
  }

  /**
   * Where a place is: `gBS->ExitBootServices`, `DxeCore+0x3160`, `image!symbol`, `vector(sync)`, an address. A guest whose firmware does not show
   * its tables yet is let run until it does. Raises `no-such-place`, with the names that may have been meant.
   */
  place(where: Where, options: FindOptions = {}): Promise<FoundPlace> {
    return this.#places.find(where, this.#find(options));
  }

  #find(options: FindOptions): FindOptions {
    const signal = this.#signal(options.signal);
    return { ...options, ...(signal !== undefined && { signal }) };
  }

  #signal(signal: AbortSignal | undefined): AbortSignal | undefined {
    const both = [signal, this.#setup.signal].filter((each) => each !== undefined);
    return both.length > 1 ? AbortSignal.any(both) : both[0];
  }

  /** A breakpoint at the first instruction of a place; at a vector while the vector base is what it is now. */
  async breakpoint(where: Where, options: BreakpointOptions & FindOptions = {}): Promise<Breakpoint> {
    const hits = hitRange(options.hits);
    const decide = decision(options.condition, (name) => this.#addressOf(name));
    const place = await this.place(where, options);
    const kind = place.vectors === undefined ? "breakpoint" : "vector";
    return this.#add({ kind, place, length: 4, hits, decide: inForce(place, decide) }, () =>
      this.#control.insert(place.address),
    );
  }

  /** A breakpoint at an exception vector: `vector({ exception: "sync", from: "lower-64" })`. */
  vector(where: Omit<Extract<PlaceLocation, { kind: "vector" }>, "kind">, options: BreakpointOptions = {}) {
    return this.breakpoint({ kind: "vector", ...where }, options);
  }

  /** Stops behind each write to one of `size` bytes from a virtual address on, on whichever vCPU. */
  async watchWrite(address: bigint, size: number | bigint, options: BreakpointOptions = {}): Promise<Breakpoint> {
    const length = Number(size);
    if (!Number.isInteger(length) || length < 1 || length > MAX_WATCHED || address < 0n || address >= 1n << 64n) {
      throw new EbscopeError("usage", `Cannot watch ${size} bytes: 1 to ${MAX_WATCHED} can be watched`);
    }
    const hits = hitRange(options.hits);
    const decide = decision(options.condition, (name) => this.#addressOf(name));
    this.#control.mustStand();
    const readable = (await this.#looker.memory(address, length)).state === "present";
    const watch = { address: virt(address), length, readable };
    const place: FoundPlace = { address: watch.address, name: `write(0x${address.toString(16)}, ${length})` };
    return this.#add({ kind: "watchpoint", place, length, hits, decide }, () => this.#control.watch(watch));
  }

  /**
   * Records who writes to the tables of the live regimes, to control registers and to memory, from here to `end()`: what it comes upon while a stop
   * is awaited is recorded, and the guest runs on. Takes the first point of a capture of its own. Raises `target-busy` while writes are watched.
   */
  blame(options: BlameOptions = {}): Promise<Blame> {
    const { createdBy, maxTables } = this.#setup;
    const snapshots = new Snapshots(this.#target, createdBy, this.#surroundings, maxTables);
    return Blame.begin(
      { target: this.#target, control: this.#control, roots: () => this.#surroundings.roots(), snapshots },
      options,
    );
  }

  async #add(setup: Omit<BreakpointSetup, "remove">, insert: () => Promise<AsyncDisposable>): Promise<Breakpoint> {
    if (this.#breakpoints.size >= MAX_BREAKPOINTS) {
      throw new EbscopeError("usage", `Cannot insert a breakpoint: the guest has ${MAX_BREAKPOINTS}`);
    }
    const inserted = await insert();
    const breakpoint: Breakpoint = new Breakpoint({
      ...setup,
      remove: async () => {
        this.#breakpoints.delete(breakpoint);
        await inserted[Symbol.asyncDispose]();
        this.tell({ kind: "breakpoint-removed", breakpoint });
      },
    });
    this.#breakpoints.add(breakpoint);
    this.tell({ kind: "breakpoint-added", breakpoint });
    return breakpoint;
  }

  /**
   * Lets the guest run, again and again, and yields each stop that counts: hits of breakpoints, and stops that somebody else caused. It stands
   * still while the loop's body runs, and when the loop is left. Ends when the guest does.
   */
  async *stops(options: WaitOptions = {}): AsyncGenerator<Stop, void, void> {
    for (;;) {
      try {
        yield await this.next(options);
      } catch (error) {
        if (error instanceof EbscopeError && error.code === "guest-ended") return;
        throw error;
      }
    }
  }

  /** Lets the guest run if it stands, and resolves with the next stop that counts. */
  async next(options: WaitOptions = {}): Promise<Stop> {
    const { until, release } = this.#deadline(options);
    try {
      for (;;) {
        const wasRunning = this.#control.running;
        if (!wasRunning) this.tell({ kind: "resumed" });
        const stop = await this.#judge(await this.#control.next(until));
        if (stop !== undefined) return stop;
      }
    } finally {
      release();
    }
  }

  #deadline({ signal, timeoutMs }: WaitOptions): { readonly until: AbortSignal | undefined; release(): void } {
    const given = this.#signal(signal);
    if (timeoutMs === undefined) return { until: given, release: () => undefined };
    const timeout = new AbortController();
    const late = new EbscopeError("timed-out", `The guest did not stop within ${timeoutMs / 1000} s`, {
      next: "Give it more time, or look at where it is: it is halted now.",
    });
    const timer = setTimeout(() => timeout.abort(late), timeoutMs);
    const until = given === undefined ? timeout.signal : AbortSignal.any([timeout.signal, given]);
    return { until, release: () => clearTimeout(timer) };
  }

  /** The stop, if somebody is to be told of it. */
  async #judge(arrival: Arrival): Promise<Stop | undefined> {
    this.#view = new GuestView(this.#target, this.#control, this.#setup.createdBy);
    const here = new Stop(arrival, this.#host);
    const hits: Hit[] = [];
    for (const breakpoint of [...this.#breakpoints]) {
      if (!isAt(breakpoint, arrival)) continue;
      const hit = await breakpoint.arrive(here);
      if (hit !== undefined) hits.push({ breakpoint, hit });
      // Nobody will be told of it again: it would only slow the guest down.
      if (breakpoint.isSpent) await breakpoint[Symbol.asyncDispose]();
    }
    const counts =
      hits.length > 0 || arrival.reason === "interrupt" || arrival.reason === "step" || isUnknownWrite(arrival);
    if (!counts) return undefined;
    const stop = new Stop(arrival, this.#host, hits);
    this.tell({ kind: "stopped", stop });
    return stop;
  }

  get #host() {
    const view = this.#looker;
    return {
      view,
      snapshot: (id: string, options: SnapshotOptions) => this.snapshot(id, options),
      backtrace: (cpu: number) => this.backtrace(cpu),
      placeOf: (address: bigint) => this.placeOf(address),
      serviceAt: (address: bigint) => this.#serviceAt(address),
    };
  }

  /** Lets the guest run on without waiting for it. `next`, `stops` and `interrupt` tell what it came to. */
  async resume(): Promise<void> {
    await this.#control.resume();
    if (this.#control.running) this.tell({ kind: "resumed" });
  }

  /** Halts a running guest: the stop is what it had come to just before, or `interrupt`. Undefined when it stood still. */
  async interrupt(): Promise<Stop | undefined> {
    let last: Stop | undefined;
    for (const arrival of await this.#control.interrupt()) {
      const stop = await this.#judge(arrival);
      if (last === undefined || stop?.reason === "breakpoint" || stop?.reason === "watchpoint") last = stop ?? last;
    }
    return last;
  }

  /** One instruction on a vCPU (the one that stopped), the others held. */
  async step(cpu?: number): Promise<Stop> {
    const which = cpu === undefined ? this.#target.stoppedCpu : this.#cpu(cpu);
    const arrival = await this.#control.step(which);
    const stop = await this.#judge(arrival);
    return stop ?? new Stop(arrival, this.#host);
  }

  #cpu(index: number): Cpu {
    const cpu = this.#target.info.cpus[index];
    if (cpu !== undefined) return cpu;
    throw new EbscopeError("usage", `Cannot step vCPU ${index}: the guest has ${this.cpus}, numbered from 0`);
  }

  /**
   * Hits of places as fast as the stub allows: at each, what is asked for is read and the guest let go on in one write, so that nothing can be
   * asked of the guest in between. Ends after `count` hits, the guest halted at the last one. No other breakpoint may be in the guest.
   */
  trace(where: Where | readonly Where[], options: TraceOptions = {}): AsyncGenerator<TraceHit, void, void> {
    const signal = this.#signal(options.signal);
    return traceHits(
      {
        target: this.#target,
        control: this.#control,
        find: (each) => this.place(each, options),
        view: () => this.#looker,
      },
      Array.isArray(where) ? where : [where as Where],
      { ...options, ...(signal !== undefined && { signal }) },
    );
  }

  /** Takes a point of the halted guest into the session's capture. */
  async snapshot(id: string, options: SnapshotOptions = {}): Promise<Point> {
    this.#control.mustStand();
    const started = performance.now();
    const point = await this.#snapshots.take(id, options);
    this.tell({ kind: "point", point, pauseMs: performance.now() - started });
    return point;
  }

  /** Leaves a point out of the session's capture again. */
  dropSnapshot(id: string): void {
    this.#snapshots.drop(id);
  }

  /** The points that were taken until now, for `writeCapture` and everything else that takes a capture. */
  get capture(): Capture {
    return this.#snapshots.capture;
  }

  /** Adds a line to what the capture says of how it was taken. */
  note(text: string): void {
    this.#snapshots.note(text);
  }

  /** Adds a call of ExitBootServices to what the capture knows: what it returned, and the findings that rest on it. */
  addAttempt(attempt: ExitAttempt): void {
    this.#snapshots.addAttempt(attempt);
  }

  /** Everything that is worked out of the capture: images, names, memory map, fault. */
  study(): Promise<Study> {
    return studyCapture(this.capture, this.#surroundings.symbols);
  }

  /** What changed from one point to another: of the call of ExitBootServices, or of the first and the last, where none are named. */
  async diff(from?: string, to?: string): Promise<Difference> {
    const { capture } = this;
    const [first, last] = from === undefined || to === undefined ? defaultPoints(capture) : [from, to];
    const { images } = await this.study();
    return diffPoints(capture, images, findPoint(capture, from ?? first), findPoint(capture, to ?? last));
  }

  /** What the rules say of the capture (docs/findings.md). */
  async findings(): Promise<readonly Finding[]> {
    const study = await this.study();
    const { capture } = study;
    if (capture.points.length < 2) return findingsOf(study, undefined);
    const [from, to] = defaultPoints(capture);
    const difference = await diffPoints(capture, study.images, findPoint(capture, from), findPoint(capture, to));
    return findingsOf(study, difference);
  }

  /** Every register of a vCPU of the halted guest. */
  registers(cpu?: number): Promise<Registers> {
    return this.#looker.registers(cpu);
  }

  /** Memory of the halted guest, by virtual address as the vCPU that stopped sees it, unless told otherwise. */
  memory(address: bigint, length: number, options: MemoryOptions = {}): Promise<MemoryRead> {
    return this.#looker.memory(address, length, options);
  }

  explain(address: bigint, options: ViewOptions = {}): Promise<PointWalk> {
    return this.#looker.explain(address, options);
  }

  mappings(options: ViewOptions = {}): Promise<GuestMappings> {
    return this.#looker.mappings(options);
  }

  /** The value of an expression (docs/plans.md) where the guest stands. */
  async evaluate(expression: string | Expression): Promise<Value> {
    this.#control.mustStand();
    const read = typeof expression === "string" ? parseExpression(expression) : expression;
    const cpu = this.#target.stoppedCpu;
    const general = await this.#looker.registersNamed(read.registers, cpu.index);
    const stop = new Stop({ reason: "step", cpu, pc: undefined, general }, this.#host);
    return valueAt(read, stop, (name) => this.#addressOf(name));
  }

  /** The call chain of a vCPU of the halted guest, with names. */
  async backtrace(cpu: number = this.#target.stoppedCpu.index): Promise<PointTrace> {
    this.#control.mustStand();
    const study = await this.#surroundings.study();
    const [seen] = study.capture.points;
    const { point, lost } = await takePoint(this.#target, {
      ...{ id: "now", kind: "after", cpu, listed: study.images, found: seen?.images ?? [] },
    });
    if (lost !== undefined) throw lost;
    if (point === undefined) throw new EbscopeError("internal", "Nothing was captured");
    const parts = { points: [point], efi: study.capture.efi, partial: undefined };
    const capture = assemble(this.#target, this.#setup.createdBy, parts);
    return traceAt({ capture, names: study.names, tables: study.tables }, new PointView(capture, point, cpu));
  }

  /** What is at an address: image, section, symbol. Images that were loaded since somebody looked are seen while the guest stands still. */
  async placeOf(address: bigint): Promise<Place> {
    const known = (await this.#surroundings.anyStudy()).names.place(address);
    if (known.image !== undefined || known.symbol !== undefined || this.#control.running) return known;
    const study = await this.#surroundings.study();
    return study.names.place(address, new PointView(study.capture, study.capture.points[0] as Point));
  }

  /** The images that are known of where the guest stands: the firmware's list, and those that were found by their headers. */
  async images(): Promise<readonly ImageDetails[]> {
    return (await this.#surroundings.study()).images;
  }

  /** The services of a table as it stands now: `gBS->Stall` and where it leads. The guest is let run until its firmware shows the table. */
  async services(table: "gBS" | "gRT", options: FindOptions = {}): Promise<readonly FoundPlace[]> {
    return this.#places.services(table, this.#find(options));
  }

  async #serviceAt(address: bigint): Promise<string | undefined> {
    const { epoch } = this.#control;
    if (this.#services?.epoch !== epoch) {
      const roots = await this.#surroundings.roots();
      const names = roots === undefined ? new Map() : tableServices(await this.#surroundings.tables(roots));
      this.#services = { epoch, names };
    }
    return this.#services.names.get(address)?.split(" or ")[0];
  }

  /** Of a name in an expression: UEFI's tables, an image, a symbol. Undefined where it is none of them, or several. */
  async #addressOf(name: string): Promise<bigint | undefined> {
    const roots = /^g(ST|BS|RT)$/.test(name) ? await this.#surroundings.roots() : undefined;
    if (roots !== undefined) return this.#tableNamed(name, roots);
    const known = baseNamed(await this.#surroundings.anyStudy(), name);
    // It may have been loaded since.
    return known ?? baseNamed(await this.#surroundings.study(), name);
  }

  async #tableNamed(name: string, roots: Parameters<Surroundings["tables"]>[0]): Promise<bigint | undefined> {
    if (name === "gST") return roots.systemTable;
    if (name === "gBS") return roots.bootServices;
    const { tables } = await this.#surroundings.tables(roots);
    return tables.find((table) => table.name === "RuntimeServices" && table.address !== 0n)?.address;
  }

  get #looker(): GuestView {
    if (this.#view.isStale) this.#view = new GuestView(this.#target, this.#control, this.#setup.createdBy);
    return this.#view;
  }

  /** Takes everything out of the guest and lets it go. Never throws. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#setup.close();
    return this.#closed;
  }
}

/** Of an image or a symbol (`name`, `image!name`) that is called so, and no other. */
function baseNamed(study: Study, name: string): bigint | undefined {
  const [image = "", symbol] = name.split("!", 2);
  const found = addressesOf(
    study,
    symbol === undefined ? { kind: "image", image, offset: 0n } : { kind: "symbol", image, name: symbol },
  );
  return found.length === 1 ? found[0] : undefined;
}

function isAt(breakpoint: Breakpoint, { reason, pc, written }: Arrival): boolean {
  if (breakpoint.kind === "watchpoint") {
    const { watch } = written ?? {};
    return reason === "watchpoint" && watch?.address === breakpoint.address && watch.length === breakpoint.length;
  }
  return reason === "breakpoint" && pc === breakpoint.address;
}

/** A watched write of which it is not known where it went: it is nobody's hit, but must not be lost. */
function isUnknownWrite({ reason, written }: Arrival): boolean {
  return reason === "watchpoint" && written === undefined;
}

/** At a vector: only while the vector base is the one that the address was made from. */
function inForce({ vectors }: FoundPlace, decide: BreakpointSetup["decide"]): BreakpointSetup["decide"] {
  if (vectors === undefined) return decide;
  return async (stop) => {
    const base = (await stop.registersNamed(new Set([vectors.register]))).get(vectors.register);
    if (base === undefined) return undefined;
    return base === vectors.base ? decide(stop) : false;
  };
}
