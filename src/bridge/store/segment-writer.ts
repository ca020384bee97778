/**
 * Writing at the end of one segment. What is written counts when fdatasync has said so. After a failure a segment is not written to any
 * more: after a failed fdatasync nobody knows which of its pages reached the disk, and asking again would answer yes (Rebello et al.,
 * "Can Applications Recover from fsync Failures?", USENIX ATC 2020). The next one begins where the sound events end.
 */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { PRIVATE_FILE, syncFolder, writeAt } from "./files.ts";
import { Segment, SegmentIndex, segmentName } from "./segment.ts";

/** Opens a file; tests give one that fails. */
export type OpenFile = (path: string, flags: string, mode: number) => Promise<FileHandle>;

export interface NumberedLine {
  readonly seq: number;
  readonly line: Buffer;
}

export class SegmentWriter {
  readonly segment: Segment;
  readonly #index: SegmentIndex;
  readonly #file: FileHandle;

  private constructor(segment: Segment, index: SegmentIndex, file: FileHandle) {
    this.segment = segment;
    this.#index = index;
    this.#file = file;
  }

  /** Begins a segment. One of that name holds nothing that was told. Rejects with the system's errors. */
  static async create(folder: string, first: number, openFile: OpenFile = open): Promise<SegmentWriter> {
    const file = await openFile(join(folder, segmentName(first)), "w", PRIVATE_FILE);
    try {
      await syncFolder(folder);
    } catch (error) {
      await file.close();
      throw error;
    }
    const index = new SegmentIndex(first);
    return new SegmentWriter(new Segment(folder, first, 0, index), index, file);
  }

  /** Goes on with a segment that ends at its last sound event. Rejects with the system's errors. */
  static async reopen(segment: Segment, index: SegmentIndex, openFile: OpenFile = open): Promise<SegmentWriter> {
    return new SegmentWriter(segment, index, await openFile(segment.path, "r+", PRIVATE_FILE));
  }

  /** Writes events; they are on disk when it resolves. Rejects with the system's errors, and is of no use then. */
  async append(lines: readonly NumberedLine[]): Promise<void> {
    const start = this.segment.size;
    try {
      await writeAt(this.#file, Buffer.concat(lines.map(({ line }) => line)), start);
      await this.#file.datasync();
    } catch (error) {
      await this.#takeBack(start);
      throw error;
    }
    let offset = start;
    for (const { seq, line } of lines) {
      this.#index.add(seq, offset);
      offset += line.length;
    }
    this.segment.size = offset;
  }

  /** Never rejects: all that counts has been synced. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  async #takeBack(size: number): Promise<void> {
    await this.#file.truncate(size).catch(() => undefined);
    await this.close();
  }
}
