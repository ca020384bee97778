/** One way around the stub: the windows it has now, what it has proven, and the pages that are to be compared with the stub's. */
import { PAGE_SIZE, phys } from "../../base/address.ts";
import { hex } from "../../base/hex.ts";
import type { MemoryRead, PhysMemory, PhysSpan } from "../../base/memory.ts";
import type { TreeRange } from "../memory-map.ts";
import { type HostSource, type HostWindow, MAX_WINDOWS } from "./channel.ts";
import { type HostSpan, type Pread, pread, readHost } from "./host-reader.ts";
import { informative, Trust } from "./trust.ts";

/** Bytes that this channel read, and that the stub is to be asked for too. */
export interface Sample {
  readonly window: HostWindow;
  readonly span: PhysSpan;
  readonly bytes: Uint8Array;
}

/** A batch as this channel can serve it. */
export interface Attempt {
  /** The bytes of each span, or undefined where the stub is to be asked. */
  readonly direct: readonly (Uint8Array | undefined)[];
  /** Bytes of spans for which the stub is asked anyway, by their index: evidence for windows on probation. */
  readonly watched: ReadonlyMap<number, Sample>;
  /** Pages out of what was served directly. */
  readonly samples: readonly Sample[];
}

/** A span of a batch and the window it lies in. */
interface Place {
  readonly index: number;
  readonly window: HostWindow;
  readonly span: PhysSpan;
}

/** Pages of a window that may be looked at unasked: always the same ones, as looking may make the host allocate them. */
const GRID = 512;
/** Odd, so that every place of the grid comes up once, far from the one before. */
const GRID_STEP = 197;
/** Firmware and kernels keep what they have near the ends of RAM: half of the grid lies in pieces of this size there. */
const ENDS = 64n << 20n;
/** Places of the grid that are looked at for informative pages: at the beginning, and later each time. */
const LOOK_FIRST = GRID;
const LOOK_LATER = 32;
/** Informative pages that are taken from a window on probation at a time. */
const SAMPLES_ON_PROBATION = 12;
const BLANK_SAMPLES = 2;
/** Pages that are tried for an informative one where one sample is wanted. */
const TRIES = 4;
/** Of what was served directly, one page in so many is compared, and at most so many. */
const PAGES_PER_SAMPLE = 256;
const MOST_SAMPLES = 16;
/** Of spans in windows on probation, so many bytes a batch are compared. */
const WATCHED_BYTES = 256 << 10;

export class HostChannel {
  readonly source: HostSource;
  readonly #read: Pread;
  readonly #random: () => number;
  readonly #trust = new Trust();
  /** How many places of a window's grid have been looked at. */
  readonly #looked = new Map<HostWindow, number>();
  #windows: readonly HostWindow[] = [];
  #suspended = false;
  /** Counts how often windows changed. */
  generation = 0;
  /** Why it is of no use any more. */
  failure: string | undefined;

  constructor(source: HostSource, tools: { readonly read?: Pread; readonly random?: () => number } = {}) {
    this.source = source;
    this.#read = tools.read ?? pread;
    this.#random = tools.random ?? Math.random;
  }

  get proven(): boolean {
    return this.#windows.some((window) => this.#trust.proven(window));
  }

  /** The machine's memory map has changed: nothing is served until it is known where the ranges lie. */
  suspend(): void {
    this.#suspended = true;
    this.generation++;
  }

  /** Asks where the ranges lie now. A window that has moved is a new one; returns why there is none, if there is none. */
  async relocate(ranges: readonly TreeRange[]): Promise<string | undefined> {
    const { windows, why } = await this.source.locate(ranges.slice(0, MAX_WINDOWS));
    const kept = windows.map((window) => this.#windows.find((known) => sameWindow(known, window)) ?? window);
    if (kept.length !== this.#windows.length || kept.some((window) => !this.#windows.includes(window))) {
      this.generation++;
    }
    this.#windows = kept;
    this.#suspended = false;
    this.#trust.keepOnly(kept);
    for (const window of this.#looked.keys()) if (!kept.includes(window)) this.#looked.delete(window);
    return kept.length === 0 ? why : undefined;
  }

  /** Reads nothing from here on. */
  close(): void {
    this.failure ??= "it was closed";
    this.source.close();
  }

  /** Pages to compare with the stub's, out of every window: many where proof is wanting, one where it is there. */
  draw(): Sample[] {
    return this.#windows.flatMap((window) =>
      this.#trust.proven(window) ? this.#drawOne(window) : this.#drawMany(window),
    );
  }

  #drawOne(window: HostWindow): Sample[] {
    return this.#tryFor(() => this.#sample(window, gridPage(window, Math.floor(this.#random() * GRID))));
  }

  #drawMany(window: HostWindow): Sample[] {
    const telling: Sample[] = [];
    const blank: Sample[] = [];
    const from = this.#looked.get(window) ?? 0;
    const end = from + (from === 0 ? LOOK_FIRST : LOOK_LATER);
    this.#looked.set(window, end);
    for (let i = from; i < end && telling.length < SAMPLES_ON_PROBATION; i++) {
      const sample = this.#sample(window, gridPage(window, (i * GRID_STEP) % GRID));
      if (sample === undefined) break;
      if (informative(sample.bytes)) telling.push(sample);
      else if (blank.length < BLANK_SAMPLES) blank.push(sample);
    }
    return [...telling, ...blank];
  }

  /** The page that holds `offset`, cut at the window's end. */
  #sample(window: HostWindow, offset: bigint): Sample | undefined {
    const at = offset - (offset % BigInt(PAGE_SIZE));
    const left = window.size - at;
    const span = { address: phys(window.start + at), length: left < PAGE_SIZE ? Number(left) : PAGE_SIZE };
    const [bytes] = this.#readSpans([hostSpan(window, span)]) ?? [];
    return bytes === undefined ? undefined : { window, span, bytes };
  }

  #readSpans(spans: readonly HostSpan[]): readonly Uint8Array[] | undefined {
    if (this.failure !== undefined) return undefined;
    const read = readHost(this.#read, spans);
    if (read.ok) return read.bytes;
    this.failure = read.why;
    return undefined;
  }

  /** Reads what it may; undefined when that failed. The guest must be halted. */
  attempt(spans: readonly PhysSpan[]): Attempt | undefined {
    const { served, watched } = this.#plan(this.#suspended ? [] : spans);
    const bytes = this.#readSpans([...served, ...watched].map(({ window, span }) => hostSpan(window, span)));
    if (bytes === undefined) return undefined;
    const direct: (Uint8Array | undefined)[] = spans.map(() => undefined);
    served.forEach(({ index }, i) => {
      direct[index] = bytes[i];
    });
    const seen = watched.map(({ index, window, span }, i): [number, Sample] => [
      index,
      { window, span, bytes: bytes[served.length + i] as Uint8Array },
    ]);
    const samples = this.#drawFrom(served);
    return this.failure === undefined ? { direct, watched: new Map(seen), samples } : undefined;
  }

  /** The spans that this channel serves, and those in windows on probation that it reads beside the stub. */
  #plan(spans: readonly PhysSpan[]): { readonly served: readonly Place[]; readonly watched: readonly Place[] } {
    const served: Place[] = [];
    const watched: Place[] = [];
    let left = WATCHED_BYTES;
    for (const [index, span] of spans.entries()) {
      const window = this.#windowOf(span);
      if (window === undefined) continue;
      if (this.#trust.proven(window)) served.push({ index, window, span });
      else if (span.length <= left) {
        left -= span.length;
        watched.push({ index, window, span });
      }
    }
    return { served, watched };
  }

  #windowOf({ address, length }: PhysSpan): HostWindow | undefined {
    return this.#windows.find(({ start, size }) => address >= start && address + BigInt(length) <= start + size);
  }

  /** Pages out of these spans, drawn at random; where there is a choice, informative ones. */
  #drawFrom(served: readonly Place[]): Sample[] {
    if (served.length === 0) return [];
    const pages = served.reduce((sum, { span }) => sum + Math.ceil(span.length / PAGE_SIZE), 0);
    const count = Math.min(1 + Math.floor(pages / PAGES_PER_SAMPLE), MOST_SAMPLES);
    return Array.from({ length: count }, () => {
      return this.#tryFor(() => {
        const { window, span } = served[Math.floor(this.#random() * served.length)] as Place;
        const offset = Math.floor(this.#random() * span.length);
        return this.#sample(window, span.address - window.start + BigInt(offset));
      });
    }).flat();
  }

  /** An informative sample out of a few, or the last of them. */
  #tryFor(next: () => Sample | undefined): Sample[] {
    let sample: Sample | undefined;
    for (let tries = 0; tries < TRIES; tries++) {
      sample = next() ?? sample;
      if (sample !== undefined && informative(sample.bytes)) break;
    }
    return sample === undefined ? [] : [sample];
  }

  /** Holds a sample against what the stub says. If they differ, the channel has failed; of a window that is gone nothing is concluded. */
  judge({ window, span, bytes }: Sample, stub: MemoryRead): void {
    if (!this.#windows.includes(window)) return;
    if (stub.state === "present" && Buffer.compare(bytes, stub.bytes) === 0) this.#trust.agreed(window, bytes);
    else this.failure ??= `it does not hold what the stub reads at physical ${hex(span.address)}`;
  }
}

/** Compares pages of the channel's choice with the stub's, once it is known whether its windows are where they were. */
export async function compare(
  channel: HostChannel,
  stub: PhysMemory,
  relocated: Promise<unknown> = Promise.resolve(),
): Promise<void> {
  const samples = channel.draw();
  const [answers] = await Promise.all([stub.read(samples.map(({ span }) => span)), relocated]);
  samples.forEach((sample, i) => {
    channel.judge(sample, answers[i] as MemoryRead);
  });
}

function sameWindow(a: HostWindow, b: HostWindow): boolean {
  return a.start === b.start && a.size === b.size && a.fd === b.fd && a.position === b.position;
}

function hostSpan(window: HostWindow, { address, length }: PhysSpan): HostSpan {
  return { fd: window.fd, position: window.position + Number(address - window.start), length };
}

/** Half of the places are spread over the whole window, from its first page to its last; a quarter over each end of it. */
function gridPage({ size }: HostWindow, place: number): bigint {
  const page = BigInt(PAGE_SIZE);
  const pages = (size + page - 1n) / page;
  const inEnd = minimum(pages, ENDS / page);
  const [count, of] = [BigInt(place >> 2), BigInt(GRID / 4 - 1)];
  switch (place % 4) {
    case 0:
      return ((inEnd * count) / (of + 1n)) * page;
    case 1:
      return (pages - 1n - (inEnd * count) / (of + 1n)) * page;
    default:
      return (((pages - 1n) * (2n * count + BigInt(place % 2))) / (2n * of + 1n)) * page;
  }
}

function minimum(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
