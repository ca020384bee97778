/**
 * Finds the symbols of images in files and folders that a user gave: by build id, by build path, by name; a file that was meant by itself
 * also as the kernel or hypervisor that an image is, or as the only one of its size or with its sections.
 */
import { basename } from "node:path";
import { printable } from "../base/text.ts";
import { type Candidate, listCandidates, type SearchedFolder, type Skipped } from "./candidates.ts";
import {
  bootedKernel,
  commonFolders,
  isOtherBuild,
  isSameLayout,
  isSameSize,
  kernelImages,
  kernelOf,
  loadBias,
  rankPaths,
  type SearchImage,
  stemOf,
  stemsOf,
  whyNoFit,
} from "./image-match.ts";
import { readFileBuildId, type SymbolFile } from "./symbol-file.ts";
import { SymbolReader } from "./symbol-reader.ts";

export type MatchKind = "build-id" | "build-path" | "name" | "kernel" | "size";

export interface SymbolMatch<I extends SearchImage = SearchImage> {
  readonly image: I;
  readonly file: SymbolFile;
  readonly by: MatchKind;
  /** What matched and how the bias came about, in words. Printable. */
  readonly why: string;
  /** To add to an address in the file to get it in memory; may be negative. */
  readonly bias: bigint;
}

export interface SymbolSearch<I extends SearchImage = SearchImage> {
  readonly matches: readonly SymbolMatch<I>[];
  /** Files that were meant and fit no image: a kernel that runs elsewhere (see kernelOffset), or at the address it was linked at. */
  readonly unmatched: readonly SymbolFile[];
  /** What was not used, and why. */
  readonly skipped: readonly Skipped[];
}

const MAX_MEANT = 64;
const MAX_BUILD_IDS_READ = 4096;
/** Of those that are called like an image. */
const MAX_TRIED = 4;
/** Files with one name, in the folders of as many builds, that are compared with the build path of an image. */
const MAX_NAMESAKES = 256;

/** Searches the paths for the symbols of the images. Never rejects for what a file or folder is like: that is in `skipped`. */
export async function searchSymbols<I extends SearchImage>(
  paths: readonly string[],
  images: readonly I[],
): Promise<SymbolSearch<I>> {
  const { candidates, folders, skipped } = await listCandidates(paths);
  const reader = new SymbolReader(skipped);
  const byStem = groupByStem(candidates, reader);
  const byId = await indexBuildIds(candidates, images);
  const matches: SymbolMatch<I>[] = [];
  for (const image of images) {
    const match = (await matchBuildId(image, byId, reader)) ?? (await matchName(image, byStem, reader));
    if (match !== undefined) matches.push(match);
  }
  const used = new Set(matches.map(({ file }) => file.path));
  const unmatched: SymbolFile[] = [];
  // What was refused for the image it is called like belongs to no other.
  const refused = new Set(reader.skipped.map(({ path }) => path));
  const meantPaths = candidates.flatMap(({ meant, path }) =>
    meant && !used.has(path) && !refused.has(printable(path, 400)) ? [path] : [],
  );
  for (const path of listsLast(meantPaths).slice(0, MAX_MEANT)) {
    const file = await reader.read(path);
    const open = images.filter((image) => !matches.some((match) => match.image === image));
    const meant = file && matchMeant(file, open);
    if (typeof meant === "string") reader.refuse(path, meant);
    else if (meant !== undefined && meant.length > 0) matches.push(...meant);
    else if (file !== undefined) unmatched.push(file);
  }
  const seen = [...matches.map(({ file }) => file), ...unmatched, ...reader.skipped].map(({ path }) => path);
  for (const folder of uselessFolders(folders, new Set(seen))) {
    const why = `none of its ${folder.files.length} symbol files belongs to an image of the capture`;
    reader.skipped.push({ path: printable(folder.path, 400), why });
  }
  return { matches, unmatched, skipped: reader.skipped };
}

/** Folders none of whose files was of use or has a word of its own: a folder of another build must not pass in silence. */
function uselessFolders(folders: readonly SearchedFolder[], seen: ReadonlySet<string>): SearchedFolder[] {
  return folders.filter(({ files }) => files.every(({ path }) => !seen.has(path)));
}

/** A System.map lies beside the vmlinux that says more: sizes and source lines. */
function listsLast(paths: readonly string[]): string[] {
  const isList = (path: string): boolean => /^System\.map|\.map$/i.test(basename(path));
  return [...paths.filter((path) => !isList(path)), ...paths.filter(isList)];
}

function groupByStem(candidates: readonly Candidate[], reader: SymbolReader): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { path } of candidates) {
    const stem = stemOf(path);
    const group = groups.get(stem);
    if (group === undefined) groups.set(stem, [path]);
    else if (group.length < MAX_NAMESAKES) group.push(path);
    else reader.refuse(path, `more than ${MAX_NAMESAKES} files are called ${printable(stem, 100)}`);
  }
  return groups;
}

async function indexBuildIds(
  candidates: readonly Candidate[],
  images: readonly SearchImage[],
): Promise<Map<string, string>> {
  const index = new Map<string, string>();
  if (images.every(({ buildId }) => buildId === undefined)) return index;
  for (const { path } of candidates.slice(0, MAX_BUILD_IDS_READ)) {
    const id = await readFileBuildId(path);
    if (id !== undefined && !index.has(id)) index.set(id, path);
  }
  return index;
}

async function matchBuildId<I extends SearchImage>(
  image: I,
  byId: ReadonlyMap<string, string>,
  reader: SymbolReader,
): Promise<SymbolMatch<I> | undefined> {
  const path = image.buildId === undefined ? undefined : byId.get(image.buildId);
  const file = path === undefined ? undefined : await reader.read(path);
  return file && matched(image, file, "build-id", `the same build id ${image.buildId}`);
}

async function matchName<I extends SearchImage>(
  image: I,
  byStem: ReadonlyMap<string, readonly string[]>,
  reader: SymbolReader,
): Promise<SymbolMatch<I> | undefined> {
  const paths = stemsOf(image).flatMap((stem) => byStem.get(stem) ?? []);
  for (const path of rankPaths(image, paths).slice(0, MAX_TRIED)) {
    const file = await reader.read(path);
    if (file === undefined) continue;
    if (isOtherBuild(image, file)) {
      reader.refuse(
        path,
        `it is of another build (${file.buildId}) than the image ${image.name ?? ""} (${image.buildId})`,
      );
      continue;
    }
    const unfit = image.buildId === undefined || file.buildId === undefined ? whyNoFit(image, file) : undefined;
    if (unfit !== undefined) {
      reader.refuse(path, `it is of another build: ${unfit}`);
      continue;
    }
    const folders = image.buildPath === undefined ? 0 : commonFolders(image.buildPath, path);
    if (folders === 0) return matched(image, file, "name", `called ${basename(path)}`);
    return matched(
      image,
      file,
      "build-path",
      `called ${basename(path)} in the same ${folders === 1 ? "folder" : `${folders} folders`}`,
    );
  }
  return undefined;
}

/** The images that a file belongs to, or why it belongs to none although it seems to. */
function matchMeant<I extends SearchImage>(file: SymbolFile, images: readonly I[]): SymbolMatch<I>[] | string {
  const possible = images.filter((image) => !isOtherBuild(image, file));
  const kernel = kernelOf(file);
  if (kernel !== undefined) {
    const places = kernelImages(kernel, possible);
    if (places.length > 0)
      return places.map((image) => matched(image, file, "kernel", `the ${kernel.kind} that it is`));
    const other = bootedKernel(kernel, possible);
    if (other !== undefined && kernel.size !== undefined)
      return `it is of another build than the ${other.name}: 0x${kernel.size.toString(16)} bytes, not 0x${other.size.toString(16)}`;
  }
  const laidOut = only(possible.filter((image) => isSameLayout(image, file)));
  if (laidOut !== undefined)
    return [matched(laidOut, file, "size", "the only image whose sections have its places and sizes")];
  const alike = only(possible.filter((image) => isSameSize(image, file)));
  if (alike === undefined) return [];
  return [matched(alike, file, "size", `the only image of its size, 0x${alike.size.toString(16)}`)];
}

function only<T>(list: readonly T[]): T | undefined {
  return list.length === 1 ? list[0] : undefined;
}

function matched<I extends SearchImage>(image: I, file: SymbolFile, by: MatchKind, what: string): SymbolMatch<I> {
  const { bias, why } = loadBias(image, file);
  return { image, file, by, bias, why: printable(`${what}; ${why}`, 300) };
}
