/** A process of its own that takes two points, with one leaf changed in between, compares them and writes the capture: what a user's does. */
import { statSync } from "node:fs";
import { diffPoints } from "../../src/diff/diff.ts";
import type { StubAddress } from "../../src/rsp/transport.ts";
import { writeCapture } from "../../src/snapshot/store.ts";
import type { MemoryChoice } from "../../src/target/memory/channel.ts";
import { asked, report } from "./child.ts";
import { withTarget } from "./ebscope.ts";
import { captureOf, flipLeaf, type Taken, take } from "./tables.ts";

export interface CaptureRequest {
  readonly address: StubAddress;
  readonly pid: number;
  readonly memory: MemoryChoice;
  /** Where a leaf lies in the QEMU process. */
  readonly leaf: number;
  readonly file: string;
}

export interface Captured {
  /** Milliseconds of each step. */
  readonly before: number;
  readonly after: number;
  readonly diff: number;
  readonly write: number;
  /** The most memory that the process had, in MiB. */
  readonly peak: number;
  /** Of the file, in bytes. */
  readonly size: number;
}

const { address, pid, memory, leaf, file } = asked<CaptureRequest>();

async function timed<T>(work: () => Promise<T>): Promise<readonly [number, T]> {
  const started = performance.now();
  const result = await work();
  return [performance.now() - started, result];
}

const answer = await withTarget(
  address,
  async (target) => {
    const [before, first] = await timed(() => take(target, "before"));
    flipLeaf(pid, leaf);
    const [after, second]: readonly [number, Taken] = await timed(() => take(target, "after", first.needed));
    flipLeaf(pid, leaf);
    const capture = captureOf(target, first.point, second.point);
    const [diff] = await timed(() => diffPoints(capture, [], first.point, second.point));
    const [write] = await timed(() => writeCapture(file, capture));
    return { before, after, diff, write };
  },
  { memory, pid },
);
const peak = process.resourceUsage().maxRSS / 1024;
report({ ...answer, peak, size: statSync(file).size } satisfies Captured);
