/** The one error of this room: a symbol file that cannot be used. */
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";

/** `state` says what is wrong with the file: "it ends early", "it is for another machine". */
export function symbolsUnreadable(path: string, state: string, cause?: unknown): EbscopeError {
  const message = `Cannot read symbols from ${printable(path, 400)}: ${printable(state, 200)}`;
  return new EbscopeError("symbols-unreadable", message, cause === undefined ? {} : { cause });
}
