/**
 * The captures of a bridge in one folder: `<id>.capture` for each (stored-capture.ts), and packs of the pages that they share (pack.ts).
 * Captures of one machine have nearly all their pages in common.
 *
 * A file never changes, and is there whole or not at all: the pages of a capture are on disk before the capture is. Who changes the
 * folder locks it for the time, so that captures can be pruned while a bridge runs; who reads needs no lock: when pages have moved
 * to another pack meanwhile, it looks again.
 */
import { open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { decodeCapture, encodeCapture } from "../../snapshot/file.ts";
import type { Capture } from "../../snapshot/model.ts";
import type { CaptureStore, StoredCapture } from "../ports.ts";
import {
  makeFolder,
  readAt,
  readFailure,
  removeUnfinished,
  syncFolder,
  systemCode,
  writeDurably,
  writeFailure,
} from "./files.ts";
import { lockFolder } from "./lock.ts";
import type { Digest } from "./pack.ts";
import { PageStore } from "./page-store.ts";
import { type Candidate, type Keep, kept } from "./retention.ts";
import { digestsOf, INFO_BYTES, putTogether, readInfo, takeApart } from "./stored-capture.ts";

const ID = /^[a-z0-9-]{1,40}$/;
const SUFFIX = ".capture";
const MAX_FILE = 2 ** 30;
/** How long another one's change of the folder is waited for, in milliseconds. */
const PATIENCE = 10_000;
const NO_WAIT = 0;
/** Looks for pages that somebody moves at the same time. */
const LOOKS = 3;

export interface PruneResult {
  /** Ids, the newest first. */
  readonly removed: readonly string[];
  /** How many captures stay. */
  readonly kept: number;
  /** Room on the disk, in bytes. */
  readonly freed: number;
}

export interface PruneOptions {
  /** Only tells what would be removed. */
  readonly dryRun?: boolean;
}

export interface DurableCaptureStore extends CaptureStore {
  /** Removes the captures beyond any bound that is given, the oldest first, and what only they needed. Without a bound: what nobody needs. */
  prune(keep: Keep, options?: PruneOptions): Promise<PruneResult>;
  /** What all captures together take on the disk, in bytes. */
  room(): Promise<number>;
}

/** Opens the store in a folder, which is made if need be, and removes what a killed writer left. Throws `file-unwritable`, `store-full`. */
export async function openCaptureStore(
  folder: string,
  now: () => Date = () => new Date(),
): Promise<DurableCaptureStore> {
  try {
    await makeFolder(folder);
    const lock = await lockFolder(folder, "captures", NO_WAIT);
    await removeUnfinished(folder).finally(() => lock.release());
  } catch (cause) {
    const failure = writeFailure(`open the captures in ${printable(folder)}`, cause);
    // Somebody writes just now: nothing is left over then.
    if (failure.code !== "store-locked") throw failure;
  }
  return new FolderCaptureStore(folder, now);
}

class FolderCaptureStore implements DurableCaptureStore {
  readonly #folder: string;
  readonly #now: () => Date;
  readonly #pages: PageStore;
  /** Changes of this process, one after the other. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(folder: string, now: () => Date) {
    this.#folder = folder;
    this.#now = now;
    this.#pages = new PageStore(folder);
  }

  async list(): Promise<readonly StoredCapture[]> {
    try {
      const captures: StoredCapture[] = [];
      for (const id of await this.#ids()) {
        const capture = await this.#about(id);
        if (capture !== undefined) captures.push(capture);
      }
      return captures.sort((a, b) => compare(b.createdAt, a.createdAt) || compare(b.id, a.id));
    } catch (cause) {
      throw readFailure(`list the captures in ${printable(this.#folder)}`, cause);
    }
  }

  async read(id: string): Promise<Capture> {
    return decodeCapture(await this.#bytes(id, false), `capture ${id}`);
  }

  async file(id: string): Promise<Uint8Array> {
    return this.#bytes(id, true);
  }

  async write(id: string, capture: Capture): Promise<StoredCapture> {
    if (!ID.test(id)) throw new EbscopeError("internal", `Cannot store a capture as ${printable(id)}: that is no id`);
    const ebs = Buffer.from(encodeCapture(capture));
    return this.#change(`store capture ${id}`, async () => {
      const { parts, pages } = await takeApart(ebs, capture.createdAt);
      // Pages are read, not only looked up: a capture must not rely on damaged ones.
      const known = await this.#pages.load(new Set(pages.keys()));
      const takeBack = await this.#pages.add(new Map([...pages].filter(([digest]) => !known.has(digest))));
      try {
        await writeDurably(this.#folder, id + SUFFIX, parts);
      } catch (error) {
        await takeBack().catch(() => undefined);
        throw error;
      }
      return { id, createdAt: capture.createdAt, size: ebs.length };
    });
  }

  async remove(id: string): Promise<void> {
    if (!ID.test(id)) throw unknown(id);
    await this.#change(`remove capture ${id}`, async () => {
      await rm(this.#path(id)).catch((error) => {
        throw systemCode(error) === "ENOENT" ? unknown(id) : error;
      });
      await syncFolder(this.#folder);
      await this.#collect();
    });
  }

  prune(keep: Keep, { dryRun = false }: PruneOptions = {}): Promise<PruneResult> {
    return this.#change("prune the captures", async () => {
      const { staying, going } = await this.#sorted(keep);
      const about = { removed: going.map(({ id }) => id), kept: staying.length };
      if (dryRun) {
        const own = going.reduce((sum, { size }) => sum + size, 0);
        return { ...about, freed: own + (await this.#pages.garbage(await this.#needed(staying))) };
      }
      const before = await this.#size();
      for (const { id } of going) await rm(this.#path(id), { force: true });
      await syncFolder(this.#folder);
      await removeUnfinished(this.#folder);
      await this.#collect();
      return { ...about, freed: before - (await this.#size()) };
    });
  }

  async room(): Promise<number> {
    return this.#size().catch((cause) => {
      throw readFailure(`look at the captures in ${printable(this.#folder)}`, cause);
    });
  }

  async #sorted(keep: Keep): Promise<{ staying: readonly Candidate[]; going: readonly Candidate[] }> {
    const captures: Candidate[] = [];
    const lengths = keep.bytes === undefined ? undefined : await this.#pages.lengths();
    for (const { id, createdAt } of await this.list()) {
      const stored = await this.#stored(id);
      if (stored === undefined) continue;
      captures.push({ id, createdAt, size: stored.length, digests: lengths && neededBy(stored) });
    }
    const keeping = kept(captures, keep, lengths ?? new Map(), this.#now());
    const stays = ({ id }: Candidate): boolean => keeping.has(id);
    return { staying: captures.filter(stays), going: captures.filter((each) => !stays(each)) };
  }

  async #collect(): Promise<void> {
    await this.#pages.collect(await this.#needed((await this.#ids()).map((id) => ({ id }))));
  }

  /** The pages of these captures. */
  async #needed(captures: readonly { readonly id: string }[]): Promise<ReadonlySet<Digest>> {
    const live = new Set<Digest>();
    for (const { id } of captures) {
      const stored = await this.#stored(id);
      for (const digest of stored === undefined ? [] : neededBy(stored)) live.add(digest);
    }
    return live;
  }

  /** Rejects with the system's errors. */
  async #size(): Promise<number> {
    let sum = 0;
    for (const name of await readdir(this.#folder)) {
      // It may just have gone.
      const about = await stat(join(this.#folder, name)).catch(() => undefined);
      if (about?.isFile()) sum += about.size;
    }
    return sum;
  }

  async #change<T>(action: string, work: () => Promise<T>): Promise<T> {
    const change = this.#changes.then(async () => {
      try {
        const lock = await lockFolder(this.#folder, "captures", PATIENCE).catch(waitedInVain);
        return await work().finally(() => lock.release());
      } catch (cause) {
        throw writeFailure(action, cause);
      }
    });
    this.#changes = change.catch(() => undefined);
    return change;
  }

  async #bytes(id: string, compress: boolean): Promise<Buffer> {
    const name = `capture ${printable(id, 40)}`;
    try {
      for (let look = 1; ; look++) {
        const stored = ID.test(id) ? await this.#stored(id) : undefined;
        if (stored === undefined) throw unknown(id);
        const digests = new Set(digestsOf(stored, name));
        const pages = await this.#pages.load(digests);
        if (pages.size === digests.size || look === LOOKS) return await putTogether(stored, pages, compress, name);
      }
    } catch (cause) {
      throw readFailure(`read ${name}`, cause);
    }
  }

  /** What is in a file; undefined when there is none. Rejects with the system's errors. */
  async #stored(id: string): Promise<Buffer | undefined> {
    try {
      const { size } = await stat(this.#path(id));
      if (size > MAX_FILE)
        throw new EbscopeError("capture-corrupt", `Cannot read capture ${id}: it is larger than any`);
      return await readFile(this.#path(id));
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** A damaged one is listed too, as old and large as its file: reading it tells what is wrong. */
  async #about(id: string): Promise<StoredCapture | undefined> {
    try {
      const file = await open(this.#path(id), "r");
      try {
        const info = readInfo(await readAt(file, INFO_BYTES, 0));
        if (info !== undefined) return { id, ...info };
        const { mtime, size } = await file.stat();
        return { id, createdAt: mtime.toISOString(), size };
      } finally {
        await file.close();
      }
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async #ids(): Promise<string[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith(SUFFIX));
    return names.map((name) => name.slice(0, -SUFFIX.length)).filter((id) => ID.test(id));
  }

  #path(id: string): string {
    return join(this.#folder, id + SUFFIX);
  }
}

/** Nobody has the captures for long: only who changes them. */
function waitedInVain(error: EbscopeError): never {
  if (error.code !== "store-locked") throw error;
  throw new EbscopeError("store-locked", error.message, { cause: error, next: "It changes them now: try again." });
}

/** None for a damaged capture, which can never be put together again; one of a newer ebscope needs nobody knows what. */
function neededBy(stored: Buffer): readonly string[] {
  try {
    return digestsOf(stored, "a capture");
  } catch (error) {
    if (error instanceof EbscopeError && error.code === "capture-corrupt") return [];
    throw error;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function unknown(id: string): EbscopeError {
  return new EbscopeError(
    "no-such-capture",
    `Cannot find capture ${printable(id, 40)}: the store has none of that name`,
  );
}
