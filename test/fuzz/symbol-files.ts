/** Damaged and made-up symbol files, by themselves and in folders that are searched for images of any name. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EbscopeError } from "../../src/base/error.ts";
import { loadBias, type SearchImage } from "../../src/symbols/image-match.ts";
import { SymbolResolver } from "../../src/symbols/resolver.ts";
import { searchSymbols } from "../../src/symbols/search.ts";
import type { SymbolFile } from "../../src/symbols/symbol-file.ts";
import type { Random } from "../support/random.ts";
import { damaged, made } from "../symbols/damage.ts";
import { parsed } from "../symbols/files.ts";
import { type Bench, type Kind, must, mustBePrintable, type Verdict } from "./kind.ts";

async function readFile(random: Random): Promise<Verdict> {
  const bytes = random.chance(0.5) ? damaged(random) : made(random);
  try {
    const file = await parsed(bytes);
    checkFile(file, random);
    return { outcomes: ["read", `read ${file.kind}`, file.buildId === undefined ? "no build id" : "build id"] };
  } catch (error) {
    if (!(error instanceof EbscopeError)) throw error;
    mustBePrintable([error.message]);
    return { outcomes: ["refused", error.message.slice(error.message.indexOf(": ") + 2).replace(/[0-9]+/g, "N")] };
  }
}

function checkFile(file: SymbolFile, random: Random): void {
  const { symbols } = file;
  must(symbols.length > 0 && symbols.length <= 1_000_000, `${symbols.length} symbols`);
  must(file.linkBase >= 0n && file.linkBase < 1n << 64n && file.linkSize >= 0n, "an image beyond the address space");
  const some = Array.from({ length: 8 }, () => symbols.at(random.below(symbols.length)));
  for (const entry of some) must(entry !== undefined, "fewer symbols than there are");
  const near = some.map((entry) => symbols.lookup(BigInt.asUintN(64, (entry?.value ?? 0n) + BigInt(random.below(64)))));
  for (const hit of near) must(hit === undefined || hit.offset >= 0n, "a symbol after the address");
  for (const entry of some) must(symbols.find(entry?.name ?? "").length <= 256, "too many of a name");
  const names = [...some, ...near].map((entry) => entry?.name);
  mustBePrintable([file.name, file.buildId, ...names, ...file.sections.map(({ name }) => name)]);
  resolved(file, random);
}

/** As an image that is anywhere. */
function resolved(file: SymbolFile, random: Random): void {
  const image = { ...hostileImage(random), base: random.word() };
  const { bias, why } = loadBias(image, file);
  const resolver = new SymbolResolver<SearchImage>();
  resolver.add(image, file, bias);
  const address = BigInt.asUintN(64, image.base + BigInt(random.below(0x2000)));
  mustBePrintable([why, resolver.resolve(address)?.symbol]);
  const name = file.symbols.at(0)?.name ?? "";
  for (const found of resolver.addressOf(name)) must(found >= 0n && found < 1n << 64n, "an address beyond all");
}

const NAMES = [
  "DxeCore",
  "xen",
  "Linux arm64 Image",
  "Module",
  "\x1b[31m",
  "../../etc/passwd",
  "",
  "vmlinux",
  "__proto__",
];
const PATHS = [
  "/build/DEBUG/DxeCore.dll",
  "d:\\b\\Module.pdb",
  "/",
  "\\\\\\",
  "a/../DxeCore.dll",
  "/x\0y/Module.debug",
  "\u202e.dll",
];
const IDS = [undefined, undefined, "00112233", "ff".repeat(20)];

function hostileImage(random: Random): SearchImage {
  const base = BigInt(random.pick([0, 0x1000, 0x20_0000, 0x7000_0000]));
  const offset = random.pick([0, 0x1000, 0xffff_ffff]);
  return {
    name: random.chance(0.1) ? undefined : random.pick(NAMES),
    buildPath: random.chance(0.3) ? undefined : random.pick(PATHS),
    ...{ base, size: BigInt(random.pick([0x1000, 0x2000, 0x3000, 0xffff_ffff])), buildId: random.pick(IDS) },
    sections: [{ name: random.pick([".text", ".data", ""]), offset, size: random.below(0x4000) }],
  };
}

const FILES = ["DxeCore.debug", "DxeCore.map", "Module.dll", "vmlinux", "xen-syms", "System.map", "passwd.elf"];

function openFolders(): Bench {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-fuzz-"));
  return {
    run: (random) => search(folder, random),
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function search(folder: string, random: Random): Promise<Verdict> {
  for (const name of FILES) rmSync(join(folder, name), { force: true });
  for (let i = random.between(1, 3); i > 0; i--)
    writeFileSync(join(folder, random.pick(FILES)), random.chance(0.5) ? damaged(random) : made(random));
  const images = Array.from({ length: random.between(0, 6) }, () => hostileImage(random));
  const { matches, unmatched, skipped } = await searchSymbols([folder, join(folder, "none.map")], images);
  must(matches.length <= images.length * FILES.length, `${matches.length} matches`);
  mustBePrintable([
    ...matches.flatMap(({ file, why }) => [file.name, why]),
    ...unmatched.map(({ name }) => name),
    ...skipped.flatMap(({ path, why }) => [path, why]),
  ]);
  const used = [...matches.map(({ by }) => `matched by ${by}`), ...unmatched.map(() => "unmatched")];
  return { outcomes: [...used, skipped.length > 1 ? "skipped" : "nothing skipped"] };
}

export const SYMBOL_KINDS: readonly Kind[] = [
  {
    name: "symbol files",
    share: 340,
    outcomes: [
      ...["read", "refused", "build id", "no build id"],
      ...["elf", "nm-list", "gnu-map", "lld-map", "msvc-map"].map((kind) => `read ${kind}`),
      ...["it ends early", "its symbol table is damaged", "it holds no symbols", "its symbol table is too large"],
    ],
    open: () => ({ run: readFile }),
  },
  {
    name: "folders of symbol files",
    share: 20,
    outcomes: ["matched by name", "unmatched", "skipped"],
    open: openFolders,
  },
];
