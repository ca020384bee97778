/**
 * Guest memory as a target offers it: through the stub, and around it where a channel has proven itself.
 *
 * The stub stays in every batch. Beside what a channel served directly, pages out of the same spans are read through the stub, in one
 * pipelined write with whatever else the stub has to be asked; the batch is answered when they have come and agree. That is one round
 * trip, which reading through the stub would have cost as well, and it buys two things:
 *
 * - A QEMU that has died is noticed. A file outlives it and a read from it succeeds; the stub's answer does not come.
 * - The machine is compared at the very moment that is read, however long ago the channel was proven.
 *
 * A batch is read again through the stub as a whole when a read around it failed, when a page disagrees, or when a refresh of the memory map
 * that was under way showed that a window has moved. Failed reads and disagreement end the channel for the session, and a note says why.
 *
 * Assumed: after a stop the memory map is refreshed before memory is read or together with it, as each point of a capture does; a
 * machine whose RAM moves is seen there. A machine that is not halted is never read: the stub's connection knows.
 */
import { EbscopeError } from "../../base/error.ts";
import type { MemoryRange, MemoryRead, PhysMemory, PhysSpan } from "../../base/memory.ts";
import { parseMemoryTree, type TreeRange } from "../memory-map.ts";
import type { MemoryChannel, Monitor, Refusal } from "./channel.ts";
import type { Chosen, StubAccess } from "./choose.ts";
import { type Attempt, compare, type HostChannel } from "./host-channel.ts";

/** The stub's own way to memory; `halted` says whether it would be asked now. */
export interface StubMemory extends PhysMemory {
  ranges: readonly MemoryRange[];
  readonly halted: boolean;
}

export class GuestMemory implements PhysMemory {
  readonly #stub: StubMemory;
  readonly #monitor: Monitor;
  #ranges: readonly TreeRange[] = [];
  #channel: HostChannel | undefined;
  #refusals: readonly Refusal[] = [];
  #note: string | undefined;
  /** Resolves when the refreshes under way are over; never rejects. */
  #refreshed: Promise<unknown> = Promise.resolve();

  constructor(stub: StubMemory, monitor: Monitor) {
    this.#stub = stub;
    this.#monitor = monitor;
  }

  get channel(): MemoryChannel {
    const used = this.#channel;
    const common = { refusals: this.#refusals, note: this.#note };
    if (used === undefined) return { kind: "rsp", name: "the stub", proven: true, ...common };
    return { kind: used.source.kind, name: used.source.name, proven: used.proven, ...common };
  }

  /** What a channel is looked for with, after the first refresh. */
  get access(): StubAccess {
    return { memory: this.#stub, monitor: this.#monitor, ranges: this.#ranges };
  }

  /** Reads through this channel from now on, if it is one. */
  use({ channel, refusals }: Chosen): void {
    this.#channel = channel;
    this.#refusals = refusals;
  }

  /** Lets go of what the channel holds open; the stub is asked from now on. */
  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Asks for the memory map, and compares the channel with the stub. */
  refresh(): Promise<readonly MemoryRange[]> {
    const refreshing = this.#refresh();
    this.#refreshed = Promise.allSettled([this.#refreshed, refreshing]);
    return refreshing;
  }

  async #refresh(): Promise<readonly MemoryRange[]> {
    const channel = this.#stub.halted ? this.#channel : undefined;
    const [text] = await Promise.all([this.#monitor("info mtree -f"), channel && this.#recheck(channel)]);
    const ranges = text === undefined ? [] : parseMemoryTree(text);
    if (ranges.length === 0) {
      throw new EbscopeError(
        "stub-unsupported",
        "Cannot tell which memory of the guest is RAM: the stub does not answer `info mtree -f`",
      );
    }
    const changed = !sameRanges(ranges, this.#ranges);
    this.#ranges = ranges;
    this.#stub.ranges = ranges;
    if (changed && channel !== undefined) await this.#recover(channel);
    return ranges.map(({ start, size, kind, name }) => ({ start, size, kind, name }));
  }

  /** Compares the channel with the stub, and asks whether everything still lies where it did. */
  async #recheck(channel: HostChannel): Promise<void> {
    const { generation } = channel;
    const relocated = channel.relocate(this.#ranges);
    await compare(channel, this.#stub, relocated);
    channel.failure ??= await relocated;
    if (channel.generation !== generation) await compare(channel, this.#stub);
    this.#dropIfFailed(channel);
  }

  /** Takes the channel out of use until it is known where the new ranges lie. */
  async #recover(channel: HostChannel): Promise<void> {
    channel.suspend();
    channel.failure ??= await channel.relocate(this.#ranges);
    await compare(channel, this.#stub);
    this.#dropIfFailed(channel);
  }

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    const channel = this.#channel;
    if (channel === undefined || !this.#stub.halted) return this.#stub.read(spans);
    const { generation } = channel;
    const attempt = channel.attempt(spans);
    if (attempt === undefined) return this.#readAgain(channel, spans);
    const asked = spans.flatMap((_, i) => (attempt.direct[i] === undefined ? [i] : []));
    const answers = await this.#stub.read([
      ...asked.map((i) => spans[i] as PhysSpan),
      ...attempt.samples.map(({ span }) => span),
    ]);
    if (attempt.samples.length > 0) await this.#refreshed;
    // What was read where the machine has its memory no more says nothing about the channel.
    if (channel.generation !== generation) return this.#stub.read(spans);
    judgeAll(channel, attempt, asked, answers);
    if (channel.failure !== undefined) return this.#readAgain(channel, spans);
    return merge(spans.length, attempt, asked, answers);
  }

  #readAgain(channel: HostChannel, spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    this.#dropIfFailed(channel);
    return this.#stub.read(spans);
  }

  #dropIfFailed(channel: HostChannel): void {
    if (channel.failure === undefined || this.#channel !== channel) return;
    const { kind, name } = channel.source;
    this.#note = `Guest memory is not read from ${name} any more but through the stub: ${channel.failure}.`;
    this.#refusals = [...this.#refusals, { kind, why: channel.failure, denied: false }];
    this.close();
  }
}

/** The stub answered the spans that it was `asked`, then the samples. */
function judgeAll(
  channel: HostChannel,
  { watched, samples }: Attempt,
  asked: readonly number[],
  answers: readonly MemoryRead[],
): void {
  asked.forEach((index, i) => {
    const sample = watched.get(index);
    if (sample !== undefined) channel.judge(sample, answers[i] as MemoryRead);
  });
  samples.forEach((sample, i) => {
    channel.judge(sample, answers[asked.length + i] as MemoryRead);
  });
}

function merge(
  count: number,
  { direct }: Attempt,
  asked: readonly number[],
  answers: readonly MemoryRead[],
): MemoryRead[] {
  const results: MemoryRead[] = new Array(count);
  direct.forEach((bytes, i) => {
    if (bytes !== undefined) results[i] = { state: "present", bytes };
  });
  asked.forEach((index, i) => {
    results[index] = answers[i] as MemoryRead;
  });
  return results;
}

function sameRanges(a: readonly TreeRange[], b: readonly TreeRange[]): boolean {
  const same = (one: TreeRange, other: TreeRange | undefined): boolean =>
    one.start === other?.start &&
    one.size === other.size &&
    one.name === other.name &&
    one.regionOffset === other.regionOffset;
  return a.length === b.length && a.every((range, i) => same(range, b[i]));
}
