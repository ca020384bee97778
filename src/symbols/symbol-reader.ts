/** Reads the symbol files of a search: each once, and together no more than memory has room for. */
import { asEbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import type { Skipped } from "./candidates.ts";
import { readSymbolFile, type SymbolFile } from "./symbol-file.ts";

export interface ReaderLimits {
  readonly files: number;
  /** In bytes, of all files together: what is read stays, for other images may want it too. */
  readonly bytes: number;
}

const LIMITS: ReaderLimits = { files: 1024, bytes: 512 << 20 };

export class SymbolReader {
  readonly #files = new Map<string, SymbolFile | undefined>();
  readonly #limits: ReaderLimits;
  #bytes = 0;
  /** What was not used, and why: both printable. Begins with what was given. */
  readonly skipped: Skipped[];

  constructor(skipped: readonly Skipped[] = [], limits = LIMITS) {
    this.skipped = [...skipped];
    this.#limits = limits;
  }

  /** Undefined for a file that cannot be read, or that is one too many: `skipped` says so. Never rejects. */
  async read(path: string): Promise<SymbolFile | undefined> {
    if (this.#files.has(path)) return this.#files.get(path);
    const full = this.#files.size >= this.#limits.files || this.#bytes >= this.#limits.bytes;
    const file = full ? this.#skip(path, "too many files were read already") : await this.#readNow(path);
    this.#files.set(path, file);
    this.#bytes += file?.symbols.byteLength ?? 0;
    return file;
  }

  async #readNow(path: string): Promise<SymbolFile | undefined> {
    try {
      return await readSymbolFile(path);
    } catch (error) {
      return this.#skip(path, asEbscopeError(error).message);
    }
  }

  #skip(path: string, why: string): undefined {
    this.skipped.push({ path: printable(path, 400), why: printable(why, 800) });
    return undefined;
  }

  /** Says once why a file is not used. */
  refuse(path: string, why: string): void {
    const said = printable(why, 800);
    if (!this.skipped.some((each) => each.why === said)) this.#skip(path, why);
  }
}
