/** The packs of a folder, as one store of pages by content. */
import { type FileHandle, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isFull, systemCode } from "./files.ts";
import {
  type Digest,
  isPackName,
  type PackIndex,
  type Place,
  packSize,
  readPackIndex,
  readPages,
  writePack,
} from "./pack.ts";

/** Pages of which indexes are kept in memory: at 34 bytes each. */
const KEPT_PAGES = 1 << 20;

/** What only takes room. */
interface Waste {
  /** Packs without a live page. */
  readonly dead: readonly string[];
  /** Packs that are less than half alive. */
  readonly sparse: readonly string[];
  readonly bytes: number;
}

export class PageStore {
  readonly #folder: string;
  /** A pack never changes: what was read of it holds for as long as it is there. */
  readonly #indexes = new Map<string, PackIndex>();
  #kept = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The pages of these digests that are there and sound. Rejects with the system's errors. */
  async load(digests: ReadonlySet<Digest>): Promise<Map<Digest, Uint8Array>> {
    const pages = new Map<Digest, Uint8Array>();
    for (const name of await this.#names()) {
      if (pages.size === digests.size) break;
      await this.#loadFrom(name, (digest) => digests.has(digest) && !pages.has(digest), pages);
    }
    return pages;
  }

  /** Stores pages; returns how to take them back. */
  async add(pages: ReadonlyMap<Digest, Uint8Array>): Promise<() => Promise<void>> {
    if (pages.size === 0) return async () => undefined;
    const before = new Set(await this.#names());
    const name = await writePack(this.#folder, pages);
    return async () => {
      if (!before.has(name)) await rm(join(this.#folder, name), { force: true });
    };
  }

  /** Length of each stored page, in bytes; of several copies the last. */
  async lengths(): Promise<Map<Digest, number>> {
    const lengths = new Map<Digest, number>();
    for (const name of await this.#names()) {
      for (const { digest, length } of (await this.#index(name))?.places() ?? []) lengths.set(digest, length);
    }
    return lengths;
  }

  /**
   * Drops pages that are not `live`: packs without any at once, then those that are less than half alive are written anew. Where there
   * is no room for that they stay. Every copy of a live page stays, as another one may be damaged; so does a pack that cannot be read.
   */
  async collect(live: ReadonlySet<Digest>): Promise<void> {
    const { dead, sparse } = await this.#wastedBy(live);
    for (const name of dead) await this.#drop(name);
    try {
      for (const name of sparse) await this.#rewrite(name, live);
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }

  /** What `collect` would free, in bytes. */
  async garbage(live: ReadonlySet<Digest>): Promise<number> {
    return (await this.#wastedBy(live)).bytes;
  }

  async #wastedBy(live: ReadonlySet<Digest>): Promise<Waste> {
    const [dead, sparse]: [string[], string[]] = [[], []];
    let bytes = 0;
    for (const name of await this.#names()) {
      const index = await this.#index(name);
      if (index === undefined) continue;
      const places = [...index.places()];
      const used = places.filter(({ digest }) => live.has(digest));
      if (used.length > 0 && total(used) * 2 >= total(places)) continue;
      (used.length === 0 ? dead : sparse).push(name);
      bytes += packSize(places) - (used.length === 0 ? 0 : packSize(used));
    }
    return { dead, sparse, bytes };
  }

  async #rewrite(name: string, live: ReadonlySet<Digest>): Promise<void> {
    const pages = new Map<Digest, Uint8Array>();
    await this.#loadFrom(name, (digest) => live.has(digest), pages);
    await this.add(pages);
    await this.#drop(name);
  }

  async #drop(name: string): Promise<void> {
    await rm(join(this.#folder, name), { force: true });
    this.#kept -= this.#indexes.get(name)?.count ?? 0;
    this.#indexes.delete(name);
  }

  async #names(): Promise<string[]> {
    return (await readdir(this.#folder)).filter(isPackName).sort();
  }

  async #loadFrom(name: string, wanted: (digest: Digest) => boolean, pages: Map<Digest, Uint8Array>): Promise<void> {
    await this.#open(name, async (file) => {
      const places: Place[] = [];
      for (const place of (await this.#indexOf(name, file))?.places() ?? []) {
        if (wanted(place.digest)) places.push(place);
      }
      await readPages(file, places, pages);
    });
  }

  async #index(name: string): Promise<PackIndex | undefined> {
    return this.#indexes.get(name) ?? this.#open(name, (file) => this.#indexOf(name, file));
  }

  async #indexOf(name: string, file: FileHandle): Promise<PackIndex | undefined> {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    const index = await readPackIndex(file);
    if (index === undefined) return undefined;
    if (this.#kept + index.count > KEPT_PAGES) {
      this.#indexes.clear();
      this.#kept = 0;
    }
    this.#indexes.set(name, index);
    this.#kept += index.count;
    return index;
  }

  /** Undefined when somebody has just dropped the pack. */
  async #open<T>(name: string, work: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
    const file = await open(join(this.#folder, name), "r").catch((error) => {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    });
    try {
      return file && (await work(file));
    } finally {
      await file?.close();
    }
  }
}

function total(places: readonly Place[]): number {
  return places.reduce((sum, { length }) => sum + length, 0);
}
