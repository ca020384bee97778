/** What is in the folder of the log when it is opened. */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { printable } from "../../base/text.ts";
import { makeFolder, writeFailure } from "./files.ts";
import { type FolderLock, lockFolder } from "./lock.ts";
import { claims, recordSequence } from "./record.ts";
import { firstOfName, Segment, scanSegment, segmentName } from "./segment.ts";
import { type OpenFile, SegmentWriter } from "./segment-writer.ts";

/** How long a bridge that just ends may take to let go, in milliseconds. */
const PATIENCE = 300;

export interface OpenedSegments {
  readonly lock: FolderLock;
  /** Ascending. */
  readonly segments: Segment[];
  /** Undefined where a new segment must begin. */
  readonly writer: SegmentWriter | undefined;
  readonly head: number;
  readonly cut: number;
  readonly damage: { readonly from: number; readonly to: number } | undefined;
}

/** Locks the folder and brings its last file in order. Throws EbscopeErrors; the lock is released then. */
export async function openSegments(folder: string, openFile?: OpenFile): Promise<OpenedSegments> {
  const action = `open the log in ${printable(folder)}`;
  await makeFolder(folder).catch((cause) => {
    throw writeFailure(action, cause);
  });
  const lock = await lockFolder(folder, "events", PATIENCE);
  try {
    const segments = await listSegments(folder);
    const last = segments.pop();
    if (last === undefined) return { lock, segments, writer: undefined, head: 0, cut: 0, damage: undefined };
    return { lock, segments, ...(await openLast(folder, last, segments, openFile)) };
  } catch (cause) {
    await lock.release().catch(() => undefined);
    throw writeFailure(action, cause);
  }
}

async function listSegments(folder: string): Promise<Segment[]> {
  const firsts = (await readdir(folder)).map(firstOfName).filter((first) => first !== undefined);
  const segments: Segment[] = [];
  for (const first of firsts.sort((a, b) => a - b)) {
    const about = await stat(join(folder, segmentName(first)));
    if (about.isFile()) segments.push(new Segment(folder, first, about.size));
  }
  return segments;
}

/** Only the last file can have an end that was cut off: the others were left for good. */
async function openLast(folder: string, last: Segment, segments: Segment[], openFile: OpenFile | undefined) {
  const { index, end, cut, lost } = await repair(last);
  const segment = new Segment(folder, last.first, end, index);
  segments.push(segment);
  const head = index.last + lost;
  if (lost > 0) return { writer: undefined, head, cut, damage: { from: index.last + 1, to: head } };
  return { writer: await SegmentWriter.reopen(segment, index, openFile), head, cut, damage: undefined };
}

/**
 * Takes off what a write that was cut off left: the beginning of one line. Anything else behind the last sound event may have been
 * told to somebody: it stays as it is, for a person to look at, and so do its sequence numbers.
 */
async function repair({ path, first, size }: Segment) {
  const file = await open(path, "r+");
  try {
    const { index, damaged, rest } = await scanSegment(file, first, size);
    const cut = size - rest.start;
    const lost = damaged + (cut === 0 || isTorn(rest.bytes) ? 0 : claims(rest.bytes));
    if (lost > 0 || cut === 0) return { index, end: size, cut: 0, lost };
    await file.truncate(rest.start);
    await file.sync();
    return { index, end: rest.start, cut, lost };
  } finally {
    await file.close();
  }
}

/** Not a line whose line feed is damaged: with or without another behind it. */
function isTorn(rest: Buffer | undefined): boolean {
  return rest !== undefined && claims(rest) <= 1 && recordSequence(rest.subarray(0, -1)) === undefined;
}
