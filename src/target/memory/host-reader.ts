/**
 * Reading many pieces of open files at once: pieces that lie next to each other become one read.
 *
 * The reads are synchronous. They take microseconds each (a gigabyte a second and more), and nothing of this program runs between the
 * first and the last of a batch: what is read belongs to one moment of a halted machine.
 */
import { readSync } from "node:fs";

/** A piece of an open file. */
export interface HostSpan {
  readonly fd: number;
  readonly position: number;
  readonly length: number;
}

/** Reads at a position of an open file; returns how many bytes came. Throws as node:fs does. */
export type Pread = (fd: number, into: Uint8Array, position: number) => number;

export const pread: Pread = (fd, into, position) => readSync(fd, into, 0, into.length, position);

export type HostRead =
  | { readonly ok: true; readonly bytes: readonly Uint8Array[] }
  | { readonly ok: false; readonly why: string };

/** The longest read that is asked for at once: the kernel takes less than 2 GiB. */
const MAX_READ = 64 << 20;

/** All of the spans, in their order, or why one of them could not be read whole. */
export function readHost(read: Pread, spans: readonly HostSpan[]): HostRead {
  const bytes: Uint8Array[] = new Array(spans.length);
  const order = inFileOrder(spans);
  try {
    for (let first = 0; first < order.length; ) {
      const next = endOfRun(spans, order, first);
      const why = readRun(read, spans, order.slice(first, next), bytes);
      if (why !== undefined) return { ok: false, why };
      first = next;
    }
  } catch (error) {
    return { ok: false, why: `reading it failed (${(error as NodeJS.ErrnoException).code ?? String(error)})` };
  }
  return { ok: true, bytes };
}

function inFileOrder(spans: readonly HostSpan[]): number[] {
  const at = (i: number): HostSpan => spans[i] as HostSpan;
  return spans.map((_, i) => i).sort((a, b) => at(a).fd - at(b).fd || at(a).position - at(b).position);
}

/** Where the run of adjacent spans ends that begins at `first`. Spans that overlap are read apart: nobody shares bytes by accident. */
function endOfRun(spans: readonly HostSpan[], order: readonly number[], first: number): number {
  let last = spans[order[first] as number] as HostSpan;
  for (let next = first + 1; ; next++) {
    const span = spans[order[next] ?? -1];
    if (span === undefined || span.fd !== last.fd || span.position !== last.position + last.length) return next;
    last = span;
  }
}

function readRun(
  read: Pread,
  spans: readonly HostSpan[],
  run: readonly number[],
  bytes: Uint8Array[],
): string | undefined {
  const [start, end] = [spans[run[0] as number] as HostSpan, spans[run.at(-1) as number] as HostSpan];
  // Aligned as the file is, so that words in it can be looked at as words.
  const lead = start.position % 8;
  const length = end.position + end.length - start.position;
  const whole = Buffer.allocUnsafeSlow(lead + length).subarray(lead);
  for (let at = 0; at < length; ) {
    const part = whole.subarray(at, Math.min(at + MAX_READ, length));
    const came = read(start.fd, part, start.position + at);
    if (came !== part.length) return came === 0 ? "there is nothing to read any more" : "a read came short";
    at += came;
  }
  for (const i of run) {
    const { position, length: own } = spans[i] as HostSpan;
    bytes[i] = whole.subarray(position - start.position, position - start.position + own);
  }
  return undefined;
}
