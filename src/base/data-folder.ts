/** Where a bridge keeps what it has for the user: tokens, captures and the log of events. */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";

/** The folder that was given, else the user's own for data (XDG Base Directory Specification). */
export function dataFolder(given?: string): string {
  if (given !== undefined) return resolve(given);
  const home = process.env.XDG_DATA_HOME ?? "";
  // "If an implementation encounters a relative path [...] it should consider the path invalid and ignore it."
  return join(isAbsolute(home) ? home : join(homedir(), ".local", "share"), "ebscope");
}
