/** Paths in documents: what a document names lies in its own folder, so that one from elsewhere cannot reach the rest of the disk. */
import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, sep } from "node:path";
import { EbscopeError } from "../base/error.ts";
import { systemReason } from "../base/system-error.ts";
import { printable } from "../base/text.ts";

const MAX_PATH = 1024;

/** Why a path cannot be used in a document, by its text alone; undefined when it can. */
export function pathFault(path: string): string | undefined {
  if (path === "" || path.includes("\0")) return "it names no file";
  if (path.length > MAX_PATH) return "it is too long";
  if (isAbsolute(path) || /^(?:[a-z]:|\\|~)/i.test(path)) return "it is absolute";
  return path.split(/[/\\]/).includes("..") ? "it leaves the folder" : undefined;
}

/**
 * The path of a file that a document names, `path` relative to `folder`, the document's own. Links are followed: what they lead to has to
 * lie in the folder too. Of a file that is not there yet, its folder has to. Throws `usage` for a path outside, `file-unreadable` when the
 * folder is not there.
 */
export async function insideFolder(folder: string, path: string): Promise<string> {
  const fault = pathFault(path);
  if (fault !== undefined) throw outside(path, fault);
  const [root, whole] = [await real(folder, path), join(folder, path)];
  const leads = await realpath(whole).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw unreachable(path, error);
    // A link to what is not there would be written through.
    if (await isThere(whole)) throw outside(path, "it is a link that leads nowhere");
    return join(await real(dirname(whole), path), basename(whole));
  });
  const from = relative(root, leads);
  if (from === ".." || from.startsWith(`..${sep}`) || isAbsolute(from)) throw outside(path, "a link leads out of it");
  return leads;
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

async function real(folder: string, path: string): Promise<string> {
  try {
    return await realpath(folder === "" ? "." : folder);
  } catch (cause) {
    throw unreachable(path, cause);
  }
}

function unreachable(path: string, cause: unknown): EbscopeError {
  return new EbscopeError("file-unreadable", `Cannot reach ${printable(path)}: ${systemReason(cause)}`, { cause });
}

function outside(path: string, why: string): EbscopeError {
  return new EbscopeError(
    "usage",
    `Cannot use ${printable(path)}: ${why}, and a document reaches its own folder only`,
    {
      next: "Give a path relative to the document's folder, without `..`, to something inside it.",
    },
  );
}
