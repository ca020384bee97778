/** The files that may hold symbols, of the paths that a user gave. Folders are walked within bounds and no link to a folder is followed. */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemReason } from "../base/system-error.ts";
import { printable } from "../base/text.ts";

export interface Candidate {
  readonly path: string;
  /** Given by itself, or called like a kernel's or hypervisor's symbols: of use even when no image in the list is called like it. */
  readonly meant: boolean;
}

export interface Skipped {
  /** Printable. */
  readonly path: string;
  readonly why: string;
}

export interface SearchedFolder {
  readonly path: string;
  /** The candidates in it. */
  readonly files: readonly Candidate[];
}

export interface CandidateList {
  readonly candidates: readonly Candidate[];
  readonly folders: readonly SearchedFolder[];
  readonly skipped: readonly Skipped[];
}

/** edk2's Build/PLATFORM/TARGET/ARCH/PACKAGE/FOLDER/FOLDER/MODULE/DEBUG has nine levels. */
const MAX_DEPTH = 16;
const MAX_ENTRIES = 200_000;
const MAX_CANDIDATES = 20_000;

const BY_ENDING = /\.(debug|dll|elf|map)$/i;
const BY_BEGINNING = /^(vmlinux|xen-syms|System\.map)/;

interface Walk {
  readonly candidates: Candidate[];
  readonly folders: SearchedFolder[];
  readonly skipped: Skipped[];
  entries: number;
}

/** Lists the candidates in a fixed order: as the paths were given, folders before the folders in them, names in order. */
export async function listCandidates(paths: readonly string[]): Promise<CandidateList> {
  const walk: Walk = { candidates: [], folders: [], skipped: [], entries: 0 };
  for (const path of paths) {
    try {
      if ((await stat(path)).isDirectory()) await searchFolder(path, walk);
      else walk.candidates.push({ path, meant: true });
    } catch (error) {
      skip(walk, path, systemReason(error));
    }
  }
  return walk;
}

async function searchFolder(path: string, walk: Walk): Promise<void> {
  const [before, skips] = [walk.candidates.length, walk.skipped.length];
  await walkFolder(path, walk);
  const files = walk.candidates.slice(before);
  if (files.length > 0) walk.folders.push({ path, files });
  else if (walk.skipped.length === skips) skip(walk, path, "no file in it is called like a symbol file");
}

async function walkFolder(root: string, walk: Walk): Promise<void> {
  let level = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === MAX_DEPTH) return skip(walk, root, `its folders below ${MAX_DEPTH} levels were not searched`);
    const next: string[] = [];
    for (const folder of level) {
      if (!(await readFolder(folder, walk, next)))
        return skip(walk, root, "it holds too many files to search them all");
    }
    level = next;
  }
}

/** False when a bound is reached. */
async function readFolder(folder: string, walk: Walk, next: string[]): Promise<boolean> {
  for (const entry of await entriesOf(folder, walk)) {
    if (++walk.entries > MAX_ENTRIES || walk.candidates.length >= MAX_CANDIDATES) return false;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) next.push(path);
    else if (isCandidate(entry)) walk.candidates.push({ path, meant: BY_BEGINNING.test(entry.name) });
  }
  return true;
}

async function entriesOf(folder: string, walk: Walk): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    skip(walk, folder, systemReason(error));
    return [];
  }
}

/** A link may lead to a file; what it leads to is checked when it is opened. */
function isCandidate(entry: Dirent): boolean {
  return (entry.isFile() || entry.isSymbolicLink()) && (BY_ENDING.test(entry.name) || BY_BEGINNING.test(entry.name));
}

function skip(walk: Walk, path: string, why: string): void {
  walk.skipped.push({ path: printable(path, 400), why });
}
