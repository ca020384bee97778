/** A file of lines that are written as they come. */
import { type FileHandle, open } from "node:fs/promises";
import { EbscopeError } from "../base/error.ts";
import { systemError, systemReason } from "../base/system-error.ts";
import { printable } from "../base/text.ts";

/** Characters that go out at once. */
const PIECE = 1 << 16;

export class LineFile {
  readonly #path: string;
  readonly #file: FileHandle;
  #pending = "";

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** Empties the file, or makes it. Throws `file-unwritable`. */
  static async create(path: string): Promise<LineFile> {
    try {
      const file = await open(path, "w");
      if ((await file.stat()).isFile()) return new LineFile(path, file);
      await file.close();
      throw systemError("ENOTREG");
    } catch (cause) {
      throw unwritable(path, cause);
    }
  }

  async write(line: string): Promise<void> {
    this.#pending += `${line}\n`;
    if (this.#pending.length >= PIECE) await this.#flush();
  }

  async close(): Promise<void> {
    try {
      await this.#flush();
    } finally {
      await this.#file.close();
    }
  }

  async #flush(): Promise<void> {
    const text = this.#pending;
    this.#pending = "";
    try {
      await this.#file.appendFile(text);
    } catch (cause) {
      throw unwritable(this.#path, cause);
    }
  }
}

function unwritable(path: string, cause: unknown): EbscopeError {
  return new EbscopeError("file-unwritable", `Cannot write ${printable(path)}: ${systemReason(cause)}`, { cause });
}
