/**
 * Who wrote: the instruction of an event with what its address is called, and the call chain that led to it.
 *
 * There may be a million events, but few different instructions and chains: each of these is looked at once. The chain is followed over the words and the code
 * that were recorded with it.
 */
import { type Backtrace, type Frame, unwind } from "../../aarch64/unwind.ts";
import { type VirtAddr, virt } from "../../base/address.ts";
import type { Replay } from "../../blame/index.ts";
import { addressBitsOf, executes } from "../../code/index.ts";
import type { StackSample } from "../../snapshot/blame.ts";
import { recordedMemory } from "../../snapshot/blame-memory.ts";
import type { Names } from "../names.ts";
import type { Place } from "../place.ts";
import { type Witness, Witnesses } from "./witness.ts";

export interface WriterFrame extends Frame {
  /** Of the call in this function; of the pc for the innermost frame. */
  readonly place: Place;
}

export interface WriterChain {
  /** Innermost first; never empty. */
  readonly frames: readonly WriterFrame[];
  /** Why it ends where it does. */
  readonly end: string;
}

export interface Writer {
  readonly pc: VirtAddr;
  readonly place: Place;
  /** Undefined when the stack was not recorded, or of more chains than are followed. */
  readonly chain: WriterChain | undefined;
}

/** Different call chains that are followed. */
const MAX_CHAINS = 16_384;
/** More than a stack is recorded of. */
const MAX_FRAMES = 40;
/** Addresses whose source lines are looked up at once. */
const MAX_LINES = 4096;

interface Found {
  readonly witness: Witness | undefined;
  readonly pc: VirtAddr;
  readonly backtrace: Backtrace | undefined;
}

export class Writers {
  readonly #replay: Replay;
  readonly #names: Names;
  readonly #witnesses: Witnesses;
  readonly #writers = new Map<string, Writer>();
  readonly #places = new Map<string, Place>();
  #chains = 0;

  constructor(replay: Replay, names: Names) {
    this.#replay = replay;
    this.#names = names;
    this.#witnesses = new Witnesses(replay);
  }

  /** Whether there are more different call chains than are followed. */
  get cut(): boolean {
    return this.#chains >= MAX_CHAINS;
  }

  /** The writer of an event that was learned; undefined when nobody was seen. */
  of(event: number): Writer | undefined {
    return this.#writers.get(this.#key(event));
  }

  /** Finds out who the writers of these events are. */
  async learn(events: Iterable<number>): Promise<void> {
    const found = new Map<string, Found>();
    for (const event of events) {
      const key = this.#key(event);
      if (key === "" || this.#writers.has(key) || found.has(key)) continue;
      found.set(key, await this.#find(event));
    }
    await this.#learnLines([...found.values()]);
    for (const [key, each] of found) this.#writers.set(key, this.#named(each));
  }

  #key(event: number): string {
    const { pc, stack } = this.#replay.record.events[event] ?? {};
    return pc === undefined ? "" : `${pc} ${stack} ${this.#witnesses.of(event)?.key}`;
  }

  async #find(event: number): Promise<Found> {
    const { pc = virt(0n), stack } = this.#replay.record.events[event] ?? {};
    const witness = this.#witnesses.of(event);
    const sample = stack === undefined ? undefined : this.#replay.record.stacks[stack];
    if (sample === undefined || this.#chains >= MAX_CHAINS) return { witness, pc, backtrace: undefined };
    this.#chains++;
    return { witness, pc, backtrace: await this.#unwind(pc, sample, witness) };
  }

  #unwind(pc: VirtAddr, sample: StackSample, witness: Witness | undefined): Promise<Backtrace> {
    const { record } = this.#replay;
    const { sp, fp, lr } = sample;
    const regime = witness?.regime;
    return unwind({ get: () => undefined }, recordedMemory(record, sample), {
      from: { pc, sp: virt(sp), fp: virt(fp), lr: virt(lr), exception: false, level: witness?.level },
      maxFrames: MAX_FRAMES,
      executable: (address) => this.#executable(address, witness),
      ...(regime !== undefined && { addressBits: (address: VirtAddr) => addressBitsOf(regime, address) }),
      ...(witness !== undefined && { functionOf: (address: VirtAddr) => this.#functionOf(address, witness) }),
    });
  }

  /** Where code was recorded there was some, whatever the tables of the point say of that address. */
  #executable(address: VirtAddr, witness: Witness | undefined): boolean | null {
    if (witness?.translator === undefined) return null;
    const executable = executes(witness.translator, address, witness.level);
    const recorded = this.#replay.record.code.has(virt(address & ~0xfffn));
    return executable === false && recorded ? null : executable;
  }

  #functionOf(address: VirtAddr, { view, regime }: Witness): VirtAddr | undefined {
    const start = this.#names.functionOf(address, view, regime?.name);
    return start === undefined ? undefined : virt(start);
  }

  async #learnLines(found: readonly Found[]): Promise<void> {
    const wanted = new Map<Witness, Set<VirtAddr>>();
    let left = MAX_LINES;
    for (const { witness, pc, backtrace } of found) {
      if (witness === undefined) continue;
      const addresses = wanted.get(witness) ?? new Set<VirtAddr>();
      wanted.set(witness, addresses);
      for (const address of [pc, ...(backtrace?.frames.map(frameAddress) ?? [])]) {
        if (left > 0 && !addresses.has(address)) left--;
        if (left > 0) addresses.add(address);
      }
    }
    for (const [{ view, regime }, addresses] of wanted) {
      await this.#names.learnLines([...addresses], view, regime?.name);
    }
  }

  #named({ witness, pc, backtrace }: Found): Writer {
    const frames = backtrace?.frames.map((frame) => ({ ...frame, place: this.#place(frameAddress(frame), witness) }));
    const chain = frames && backtrace && { frames, end: backtrace.end.text };
    return { pc, place: this.#place(pc, witness), chain };
  }

  #place(address: VirtAddr, witness: Witness | undefined): Place {
    const key = `${address} ${witness?.key}`;
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const place = this.#names.place(address, witness?.view, witness?.regime?.name);
    this.#places.set(key, place);
    return place;
  }
}

/** The innermost frame is looked up by its pc, the others by the call in them. */
function frameAddress({ pc, call }: Frame): VirtAddr {
  return call ?? pc;
}
