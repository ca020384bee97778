/** Keeping what was seen: events in their order, each stack once, pages of tables and code; all of it bounded. */
import type { VirtAddr } from "../../base/address.ts";
import type { BlameEvent, BlameRecord, StackSample, WatchedRange, WatchedSite } from "../../snapshot/blame.ts";

/** Different stacks that are kept, and doublewords of all of them. */
const MAX_STACKS = 65_536;
const MAX_STACK_WORDS = 1 << 21;
const MAX_CONTENTS = 65_536;
const MAX_CODE_PAGES = 16_384;
const MAX_NOTES = 1_024;

/** An event as it is told; the recorder counts the stops. */
export type NewEvent = Omit<BlameEvent, "stop">;

export class Recorder {
  readonly ranges: WatchedRange[] = [];
  readonly sites: WatchedSite[] = [];
  readonly code = new Map<VirtAddr, Uint8Array>();
  tables = false;
  maintenance = false;
  readonly #most: number;
  readonly #tell: (event: BlameEvent) => void;
  readonly #events: BlameEvent[] = [];
  readonly #stacks: StackSample[] = [];
  readonly #stackIndex = new Map<string, number>();
  /** The stack that was known last: most writes come from where the one before did. */
  #last: { readonly index: number; readonly sample: StackSample } | undefined;
  readonly #contents: Uint8Array[] = [];
  readonly #notes: string[] = [];
  #count = 0;
  #uncounted = 0;
  #stackWords = 0;
  #stop = 0;

  /** `tell` is called with each event as it is kept. */
  constructor(most: number, tell: (event: BlameEvent) => void) {
    this.#most = most;
    this.#tell = tell;
  }

  /** Whether as many events are kept as may be. */
  get full(): boolean {
    return this.#count >= this.#most;
  }

  /** Events that are kept, without points and lapses. */
  get count(): number {
    return this.#count;
  }

  /** Events that there were, kept or not. */
  get seen(): number {
    return this.#events.length + this.#uncounted;
  }

  /** The next stop of the guest begins. */
  nextStop(): void {
    this.#stop++;
  }

  add(event: NewEvent): void {
    // What says that not all is seen must not be lost itself.
    if (event.kind !== "lapse" && event.kind !== "point") {
      if (this.full) {
        this.#uncounted++;
        return;
      }
      this.#count++;
    }
    const kept = { ...event, stop: this.#stop };
    this.#events.push(kept);
    this.#tell(kept);
  }

  /** From here on not all is seen. */
  lapse(cpu: number, why: string): void {
    const note = this.note(why);
    this.add({ ...NOTHING, kind: "lapse", cpu, address: BigInt(note) });
  }

  /** The index of the note. */
  note(text: string): number {
    const known = this.#notes.indexOf(text);
    if (known >= 0) return known;
    if (this.#notes.length < MAX_NOTES) this.#notes.push(text);
    return this.#notes.length - 1;
  }

  /** A stack that is kept already, or that is not kept as there are too many different ones: it has no index then. Undefined for a new one. */
  known(sample: StackSample): { readonly index: number | undefined } | undefined {
    if (this.#last !== undefined && isSame(this.#last.sample, sample)) return this.#last;
    const index = this.#stackIndex.get(keyOf(sample));
    if (index !== undefined) this.#last = { index, sample };
    return index === undefined && !this.#stacksFull ? undefined : { index };
  }

  get #stacksFull(): boolean {
    return this.#stacks.length >= MAX_STACKS || this.#stackWords >= MAX_STACK_WORDS;
  }

  /** The index of a stack; undefined when there are too many different ones. `isNew`: nobody has looked at its code yet. */
  stack(sample: StackSample): { readonly index: number; readonly isNew: boolean } | undefined {
    const key = keyOf(sample);
    const known = this.#stackIndex.get(key);
    if (known !== undefined) return { index: known, isNew: false };
    if (this.#stacksFull) return undefined;
    this.#stackWords += sample.words.length;
    const index = this.#stacks.push(sample) - 1;
    this.#stackIndex.set(key, index);
    if (this.#stacksFull) this.note("There are more different call chains than are kept: further ones are left out.");
    return { index, isNew: true };
  }

  /** The index of a page's contents; undefined when there are too many. */
  contents(page: Uint8Array): number | undefined {
    if (this.#contents.length >= MAX_CONTENTS) return undefined;
    return this.#contents.push(new Uint8Array(page)) - 1;
  }

  addCode(page: VirtAddr, bytes: Uint8Array): void {
    if (this.code.size < MAX_CODE_PAGES && !this.code.has(page)) this.code.set(page, bytes);
  }

  result(): BlameRecord {
    const { tables, maintenance, ranges, sites, code } = this;
    return {
      ...{ tables, maintenance, ranges, sites, code },
      events: this.#events,
      uncounted: this.#uncounted,
      stacks: this.#stacks,
      contents: this.#contents,
      notes: this.#notes,
    };
  }
}

/** The parts of an event that say nothing. */
export const NOTHING = { pc: undefined, word: undefined, old: undefined, new: undefined, stack: undefined } as const;

function keyOf({ sp, fp, lr, cpsr, words }: StackSample): string {
  return `${sp} ${fp} ${lr} ${cpsr} ${words.join()}`;
}

function isSame(a: StackSample, b: StackSample): boolean {
  if (a.sp !== b.sp || a.fp !== b.fp || a.lr !== b.lr || a.cpsr !== b.cpsr) return false;
  return a.words.length === b.words.length && a.words.every((word, i) => word === b.words[i]);
}
