/** The symbol files of a study: those that were asked for, or those that the capture remembers. */
import { realpath, stat } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { regimeNameAt } from "../aarch64/regime.ts";
import { EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { ImageDetails } from "../efi/images.ts";
import { type Capture, pointRegisters, type UsedSymbols } from "../snapshot/model.ts";
import type { Skipped } from "../symbols/candidates.ts";
import { kernelOffset } from "../symbols/kernel-offset.ts";
import { type SymbolMatch, searchSymbols } from "../symbols/search.ts";
import { readFileBuildId, type SymbolFile } from "../symbols/symbol-file.ts";
import type { PlacedKernel } from "./names.ts";

export interface SymbolsUsed {
  readonly matches: readonly SymbolMatch<ImageDetails>[];
  readonly kernels: readonly PlacedKernel[];
  /** Files that were given by name and fit nothing in the capture. */
  readonly unmatched: readonly SymbolFile[];
  readonly skipped: readonly Skipped[];
  /** What a capture remembers: absolute paths. */
  readonly remember: Capture["symbols"];
}

/**
 * Where to look: paths that were given; `remembered` for the files that the capture remembers (only those very files are opened, never a
 * folder that a capture names); `none`.
 */
export type SymbolChoice = readonly string[] | "remembered" | "none";

/** Finds the symbols of a capture's images and of the kernels that ran. Never rejects for what a file is like. */
export async function useSymbols(
  capture: Capture,
  images: readonly ImageDetails[],
  choice: SymbolChoice,
): Promise<SymbolsUsed> {
  const { paths, skipped } = await pathsOf(capture, choice);
  if (paths.length === 0) return { matches: [], kernels: [], unmatched: [], skipped, remember: undefined };
  const search = await searchSymbols(
    paths,
    images.map((image) => ({ ...image, image, buildId: image.header?.buildId })),
  );
  const matches = search.matches.map((match) => ({ ...match, image: match.image.image }));
  const kernels = kernelsIn(capture, [...new Set([...matches.map(({ file }) => file), ...search.unmatched])]);
  const unmatched = search.unmatched.filter((file) => !kernels.some((kernel) => kernel.file === file));
  return {
    matches,
    kernels,
    unmatched,
    skipped: [...skipped, ...search.skipped],
    remember: await remembered(paths, matches, kernels),
  };
}

async function pathsOf(
  capture: Capture,
  choice: SymbolChoice,
): Promise<{ readonly paths: readonly string[]; readonly skipped: readonly Skipped[] }> {
  if (choice === "none") return { paths: [], skipped: [] };
  if (choice !== "remembered") {
    if (choice.includes("")) throw new EbscopeError("usage", "Cannot read symbols: --symbols names no file");
    return { paths: choice.map((path) => resolve(path)), skipped: [] };
  }
  const paths: string[] = [];
  const skipped: Skipped[] = [];
  for (const file of capture.symbols?.files ?? []) {
    const why = await whyChanged(file);
    if (why === undefined) paths.push(await realpath(file.path));
    else skipped.push({ path: printable(file.path, 400), why });
  }
  return { paths: [...new Set(paths)], skipped };
}

const OTHER_FILE = "it is another file than when the capture was taken";

/** Why a remembered file is not used any more. */
async function whyChanged({ path, size, buildId }: UsedSymbols): Promise<string | undefined> {
  if (!isAbsolute(path)) return "it is no absolute path";
  try {
    const about = await stat(path);
    if (!about.isFile()) return "it is no regular file";
    const same = about.size === size && (buildId === undefined || (await readFileBuildId(path)) === buildId);
    return same ? undefined : OTHER_FILE;
  } catch {
    return "it is not on this machine";
  }
}

/** Each kernel at each point where its vectors are in force. Of files that say the same of a point (vmlinux, System.map) the first. */
function kernelsIn(capture: Capture, files: readonly SymbolFile[]): PlacedKernel[] {
  const kernels = files.flatMap((file) =>
    capture.points.flatMap((point): PlacedKernel[] => {
      const registers = pointRegisters(capture, point);
      const found = kernelOffset(file.symbols, registers);
      if (found === undefined) return [];
      const { offset, register, symbol } = found;
      const regime = regimeNameAt(register === "VBAR_EL2" ? 2 : 1, registers);
      const by = offset === 0n ? "where it was linked" : `${hex(BigInt.asUintN(64, offset))} from where it was linked`;
      return [{ point: point.id, regime, file, offset, why: `runs ${by}: ${register} holds ${symbol}` }];
    }),
  );
  const isSame = (a: PlacedKernel, b: PlacedKernel): boolean =>
    a.point === b.point && a.regime === b.regime && a.offset === b.offset;
  return kernels.filter((kernel) => kernels.find((each) => isSame(each, kernel)) === kernel);
}

async function remembered(
  paths: readonly string[],
  matches: readonly SymbolMatch<ImageDetails>[],
  kernels: readonly PlacedKernel[],
): Promise<Capture["symbols"]> {
  const images = new Map<SymbolFile, string | undefined>(kernels.map(({ file }) => [file, undefined]));
  for (const { file, image } of matches) images.set(file, image.name);
  const files: UsedSymbols[] = [];
  for (const [{ path, buildId }, image] of images) {
    const size = await stat(path).then(
      (about) => about.size,
      () => 0,
    );
    files.push({ path, size, buildId, image });
  }
  return { paths, files };
}
