/** What is said of a capture file that cannot be read. `file` is its printable name. */
import { EbscopeError } from "../base/error.ts";

export function truncated(file: string): EbscopeError {
  return new EbscopeError("capture-truncated", `Cannot read ${file}: it ends in the middle`);
}

export function corrupt(file: string, why: string, cause?: unknown): EbscopeError {
  const options = cause === undefined ? undefined : { cause };
  return new EbscopeError("capture-corrupt", `Cannot read ${file}: ${why}`, options);
}
