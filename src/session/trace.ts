/**
 * Hits of places at the stub's own pace.
 *
 * At a stop nothing is looked at before the guest goes on: the registers and the memory are asked for, the breakpoints taken out and the
 * vCPU stepped in one write; the breakpoints put back and everything resumed in a second one. Which place it was, and whether the hit
 * counts, is seen afterwards in what was read. So the last hit is the one that is not stepped past.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRead, VirtSpan } from "../base/memory.ts";
import { nearNames } from "../base/near.ts";
import { isGeneral, type RegisterDefinition, type Registers, registersOf } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import type { Cpu, OutOfTheWay, Target } from "../target/target.ts";
import type { GuestView } from "./guest-view.ts";
import type { FoundPlace, Where } from "./places.ts";
import { branchesToItself, type RunControl } from "./run-control.ts";
import type { FindOptions } from "./surroundings.ts";

/** A range of virtual memory that is read at every hit. */
export interface TracedMemory {
  readonly name: string;
  readonly address: bigint;
  /** In bytes. */
  readonly length: number;
}

export interface TraceOptions extends FindOptions {
  /** Registers that are read besides x0 … x30, sp, pc and cpsr, by name. */
  readonly registers?: readonly string[];
  readonly memory?: readonly TracedMemory[];
  /** Hits until the trace ends. */
  readonly count?: number;
  /** Which hits count, by what was read. */
  readonly when?: (hit: TraceHit) => boolean;
  /** The longest time from one stop to the next: `timed-out` then. */
  readonly timeoutMs?: number;
}

export interface TraceHit {
  /** From 1 on, of those that count. */
  readonly hit: number;
  readonly place: FoundPlace;
  readonly cpu: number;
  readonly registers: Registers;
  /** By the names that were given. */
  readonly memory: ReadonlyMap<string, MemoryRead>;
}

export interface TraceHost {
  readonly target: Target;
  readonly control: RunControl;
  readonly find: (where: Where) => Promise<FoundPlace>;
  readonly view: () => GuestView;
}

/** They are all taken out for each step. */
const MAX_PLACES = 16;
const MAX_RANGES = 64;
const MAX_BYTES = 64 << 10;

/** Yields the hits; the guest is halted when it ends, however it ends. */
export async function* traceHits(
  host: TraceHost,
  where: readonly Where[],
  options: TraceOptions,
): AsyncGenerator<TraceHit, void, void> {
  check(host.control, where, options);
  const places: FoundPlace[] = [];
  for (const each of where) places.push(await host.find(each));
  const memory = await readable(host.view(), options.memory ?? []);
  const inserted: AsyncDisposable[] = [];
  try {
    for (const { address } of places) inserted.push(await host.control.insert(address));
    const trace = new Trace(host, places, { memory, loops: await loopsOf(host.target, places) }, options);
    const { count = Number.POSITIVE_INFINITY, when } = options;
    for (let counted = 0; counted < count; ) {
      const record = await trace.next(counted + 1 >= count);
      if (record === undefined) continue;
      const hit = { ...record, hit: counted + 1 };
      if (when !== undefined && !when(hit)) continue;
      counted++;
      yield hit;
    }
  } catch (error) {
    if (!(error instanceof EbscopeError) || error.code !== "guest-ended") throw error;
  } finally {
    await halt(host.control);
    for (const each of inserted) await each[Symbol.asyncDispose]();
  }
}

function check(control: RunControl, where: readonly Where[], { count, memory = [] }: TraceOptions): void {
  control.mustStand();
  const bytes = memory.reduce((sum, { length }) => sum + length, 0);
  const sizes = memory.every(({ length }) => Number.isSafeInteger(length) && length > 0);
  if (control.isArmed) {
    throw new EbscopeError("target-busy", "Cannot trace: other breakpoints are in the guest", {
      next: "Remove them first; or await stops() and read at each one.",
    });
  }
  if (where.length === 0 || where.length > MAX_PLACES) {
    throw new EbscopeError("usage", `Cannot trace ${where.length} places: 1 to ${MAX_PLACES} can be traced at once`);
  }
  if (!sizes || memory.length > MAX_RANGES || bytes > MAX_BYTES) {
    throw new EbscopeError(
      "usage",
      `Cannot read this at each hit: ${MAX_RANGES} ranges of ${MAX_BYTES} bytes together fit`,
    );
  }
  if (count === undefined || (Number.isSafeInteger(count) && count > 0)) return;
  throw new EbscopeError("usage", `Cannot trace ${count} hits`);
}

interface Readable extends VirtSpan {
  readonly name: string;
  readonly missing: MemoryRead | undefined;
}

/** Only what is memory now is asked of the stub: what leads to a device is left alone. */
async function readable(view: GuestView, memory: readonly TracedMemory[]): Promise<Readable[]> {
  const reads: Readable[] = [];
  for (const each of memory) {
    const read = await view.memory(each.address, each.length);
    const { name, length } = each;
    reads.push({ name, address: virt(each.address), length, missing: read.state === "present" ? undefined : read });
  }
  return reads;
}

async function loopsOf(target: Target, places: readonly FoundPlace[]): Promise<ReadonlySet<VirtAddr>> {
  if (target.info.cpus.length === 1) return new Set();
  const spans = places.map(({ address }) => ({ address, length: 4 }));
  const words = await target.readVirtual(target.stoppedCpu, spans);
  return new Set(places.flatMap(({ address }, i) => (branchesToItself(words[i]) ? [address] : [])));
}

class Trace {
  readonly #host: TraceHost;
  readonly #places: ReadonlyMap<VirtAddr, FoundPlace>;
  readonly #memory: readonly Readable[];
  readonly #spans: readonly VirtSpan[];
  readonly #options: TraceOptions;
  readonly #registers: readonly RegisterDefinition[];
  readonly #out: OutOfTheWay;
  /** Places whose instruction branches to itself: to be there again is progress. */
  readonly #loops: ReadonlySet<VirtAddr>;
  /** vCPUs whose step ended where it began: they are told of a second time. */
  readonly #stuck = new Map<number, VirtAddr>();
  #step: Step | undefined;

  constructor(
    host: TraceHost,
    places: readonly FoundPlace[],
    { memory, loops }: { readonly memory: readonly Readable[]; readonly loops: ReadonlySet<VirtAddr> },
    options: TraceOptions,
  ) {
    this.#host = host;
    this.#places = new Map(places.map((place) => [place.address, place]));
    this.#memory = memory;
    this.#spans = memory.filter(({ missing }) => missing === undefined);
    this.#loops = loops;
    this.#options = options;
    this.#registers = definitionsOf(host.target, options.registers ?? []);
    this.#out = this.#places.size === 1 ? (places[0] as FoundPlace).address : "everything";
  }

  /** What was read at the next stop; undefined when it was none of the places. `stay`: the guest is left there. */
  async next(stay: boolean): Promise<Record | undefined> {
    const { control } = this.#host;
    const { kind, cpu } = await this.#stop();
    this.#judgeStep();
    if (kind !== "breakpoint") return undefined;
    const told = this.#stuck.get(cpu.index);
    this.#stuck.delete(cpu.index);
    if (stay) {
      const record = await this.#read(cpu);
      if (record !== undefined) control.setTold(cpu, record.place.address);
      return record?.place.address === told ? undefined : record;
    }
    const step: Step = { cpu, from: undefined, to: undefined };
    const look = async (): Promise<void> => {
      step.to = await control.pcNow(cpu);
    };
    const record = await control.goOn(cpu, this.#out, () => this.#read(cpu), control.mayRepeat ? look : undefined);
    step.from = record?.place.address;
    this.#step = step;
    return step.from !== undefined && step.from === told ? undefined : record;
  }

  /** Whether the last step got on: known when the guest has been seen to stop again. */
  #judgeStep(): void {
    const { cpu, from, to } = this.#step ?? {};
    this.#step = undefined;
    if (cpu !== undefined && from !== undefined && to === from && !this.#loops.has(from)) {
      this.#stuck.set(cpu.index, from);
    }
  }

  async #stop() {
    const { signal, timeoutMs } = this.#options;
    if (timeoutMs === undefined) return this.#host.control.nextStop(signal);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(timedOut(timeoutMs)), timeoutMs);
    try {
      return await this.#host.control.nextStop(
        signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(cpu: Cpu): Promise<Record | undefined> {
    const { target } = this.#host;
    const spans = this.#spans;
    const rows = target.readRegisters([cpu], this.#registers);
    // One wait less where there is no memory to read: it is one at every hit.
    const [[row], reads] =
      spans.length === 0 ? [await rows, []] : await Promise.all([rows, target.readVirtual(cpu, spans)]);
    const registers = registersOf(this.#registers, row ?? []);
    const place = this.#places.get(virt(registers.get("pc") ?? -1n));
    if (place === undefined) return undefined;
    const given = reads.values();
    const memory = new Map(
      this.#memory.map(({ name, missing }) => [name, missing ?? given.next().value ?? UNREADABLE]),
    );
    return { place, cpu: cpu.index, registers, memory };
  }
}

type Record = Omit<TraceHit, "hit">;

/** A step past a breakpoint; `to` is only known where it may have ended where it began. */
interface Step {
  readonly cpu: Cpu;
  from: VirtAddr | undefined;
  to: VirtAddr | undefined;
}

const UNREADABLE: MemoryRead = { state: "unreadable", code: "read-failed" };

/** What the guest had come to since was not recorded: it is told of when the guest goes on. */
async function halt(control: RunControl): Promise<void> {
  try {
    for (const { cpu, reason } of await control.interrupt()) {
      if (reason === "breakpoint") control.setTold(cpu, undefined);
    }
  } catch {
    // The guest is lost; whoever waited for it was told why.
  }
}

/** The general registers, and those that are named. Raises `register-missing`. */
function definitionsOf({ info }: Target, names: readonly string[]): readonly RegisterDefinition[] {
  const wanted = new Set(names);
  for (const name of names) {
    if (info.registers.some((each) => each.name === name)) continue;
    const near = nearNames(
      name,
      info.registers.map((each) => each.name),
    );
    const next = near.length === 0 ? {} : { next: `Did you mean ${near.join(", ")}?` };
    throw new EbscopeError(
      "register-missing",
      `Cannot read ${JSON.stringify(printable(name, 40))}: the stub offers no such register`,
      next,
    );
  }
  return info.registers.filter(({ name }) => isGeneral(name) || wanted.has(name));
}

function timedOut(timeoutMs: number): EbscopeError {
  return new EbscopeError("timed-out", `The guest did not stop within ${timeoutMs / 1000} s`, {
    next: "Give it more time, or look at where it is: it is halted now.",
  });
}
