/** Which file belongs to which image, and where that puts it. Paths out of the guest are compared, never opened. */
import type { SymbolFile } from "./symbol-file.ts";

/** An image as the firmware lists it. */
export interface SearchImage {
  readonly name: string | undefined;
  /** Where it was built, from its CodeView record. */
  readonly buildPath: string | undefined;
  readonly base: bigint;
  /** In bytes. */
  readonly size: bigint;
  /** Lower-case hexadecimal digits. */
  readonly buildId?: string | undefined;
  /** Offsets from its base. */
  readonly sections?: readonly { readonly name: string; readonly offset: number; readonly size?: number }[];
}

/** `DxeCore` of `/build/DEBUG/DxeCore.dll`, in lower case. */
export function stemOf(path: string): string {
  const file = path.split(/[/\\]/).at(-1) ?? "";
  return file.replace(/(\.(debug|dll|elf|map|efi|so|pdb))+$/i, "").toLowerCase();
}

/** What an image may be called. */
export function stemsOf(image: SearchImage): readonly string[] {
  const names = [image.buildPath, image.name].filter((name) => name !== undefined).map(stemOf);
  return [...new Set(names.filter((name) => name !== ""))];
}

/** How many folders two paths have in common, counted from their ends. */
export function commonFolders(one: string, other: string): number {
  const [a, b] = [foldersOf(one), foldersOf(other)];
  let count = 0;
  while (count < Math.min(a.length, b.length) && a.at(-1 - count) === b.at(-1 - count)) count++;
  return count;
}

function foldersOf(path: string): string[] {
  return path.split(/[/\\]/).slice(0, -1);
}

/** edk2 splits a module into a .debug with all symbols and a .dll that is stripped; a map has the fewest. */
const ENDINGS: readonly RegExp[] = [/\.debug$/i, /\.elf$/i, /\.dll$/i, /^(?!.*\.map$)/i];

/** The paths that an image's symbols may be in, the likeliest first. */
export function rankPaths(image: SearchImage, paths: readonly string[]): string[] {
  const ranked = paths.map((path, order) => ({
    path,
    order,
    folders: image.buildPath === undefined ? 0 : commonFolders(image.buildPath, path),
    ending: ENDINGS.findIndex((pattern) => pattern.test(path)) >>> 0,
  }));
  return ranked
    .sort((a, b) => b.folders - a.folders || a.ending - b.ending || a.order - b.order)
    .map(({ path }) => path);
}

/** What there is to add to an address in the file to get it in the image, and why. */
export function loadBias(image: SearchImage, file: SymbolFile): { readonly bias: bigint; readonly why: string } {
  const bias = image.base - file.linkBase;
  if (file.linkBase !== 0n) return { bias, why: `linked at 0x${file.linkBase.toString(16)}` };
  const shift = textShift(image, file);
  if (shift === 0n) return { bias, why: "linked at 0" };
  return { bias: bias + shift, why: `its .text lies ${shift} bytes further in the image than linked` };
}

/**
 * GenFw keeps the places of sections (BaseTools/Source/C/GenFw/Elf64Convert.c lays them out by their alignment, GccBase.lds leaves room
 * for the PE headers), but a module linked with another script may start its .text elsewhere than the image made from it.
 */
function textShift(image: SearchImage, file: SymbolFile): bigint {
  const inImage = image.sections?.find(({ name }) => name === ".text");
  const inFile = file.sections.find(({ name }) => name === ".text");
  return inImage === undefined || inFile === undefined ? 0n : BigInt(inImage.offset) - inFile.address;
}

/** Whether two build ids tell that the file is of another build. */
export function isOtherBuild(image: SearchImage, file: SymbolFile): boolean {
  return image.buildId !== undefined && file.buildId !== undefined && image.buildId !== file.buildId;
}

export interface Kernel {
  readonly kind: "Linux" | "Xen";
  /** From its first byte to `_end`, its zeroed data included; undefined when the file has no such symbol. */
  readonly size: bigint | undefined;
}

/** Which kernel or hypervisor the file holds the symbols of; undefined for anything else. */
export function kernelOf({ symbols, linkBase }: SymbolFile): Kernel | undefined {
  const kind = symbols.find("hyp_traps_vector").length > 0 ? "Xen" : "Linux";
  if (kind === "Linux" && (linkBase < 1n << 63n || symbols.find("vectors").length === 0)) return undefined;
  const end = symbols.find("_end").at(-1);
  return { kind, size: end !== undefined && end > linkBase ? end - linkBase : undefined };
}

/**
 * The images that a kernel is: as the firmware loaded it, where its EFI stub moved it, where it runs. Its PE header has the same size as
 * its symbols (SizeOfImage in arch/arm64/kernel/efi-header.S and xen/arch/arm/arm64/head.S is `_end` less its start); when the symbols do not
 * tell a size, an image that is called like a kernel.
 */
export function kernelImages<I extends SearchImage>({ kind, size }: Kernel, images: readonly I[]): I[] {
  if (size !== undefined) return images.filter((image) => pagesOf(image.size) === pagesOf(size));
  const called = kind === "Xen" ? /^xen/i : /^linux\b|^vmlinu|^image$/i;
  const alike = images.filter(({ name }) => called.test(name ?? ""));
  return alike.length === 1 ? alike : [];
}

/** An image that is such a kernel by its own header: not of this size, it is of another build. */
export function bootedKernel<I extends SearchImage>({ kind }: Kernel, images: readonly I[]): I | undefined {
  return images.find(({ name }) => name === `${kind} arm64 Image`);
}

/** Whether image and file take the same number of pages: said of a file that was meant, and of one image only. */
export function isSameSize(image: SearchImage, file: SymbolFile): boolean {
  return file.linkSize > 0n && pagesOf(file.linkSize) === pagesOf(image.size);
}

/** Of a PE image there are a handful. */
const MAX_COMPARED = 32;

/**
 * Whether the image has all sections of the file, at the same places and with as many pages: what a linker's map of a PE image tells, which
 * leaves out `.reloc` and with it the image's size. One section alone says too little. link.exe lists `.text$mn` for a part of `.text`.
 */
export function isSameLayout(image: SearchImage, { sections, linkBase }: SymbolFile): boolean {
  if (sections.length < 2 || sections.length > MAX_COMPARED) return false;
  return sections.every(({ name, address, size }) =>
    image.sections?.some(
      (each) =>
        each.name === name.split("$", 1)[0] &&
        BigInt(each.offset) === address - linkBase &&
        each.size !== undefined &&
        pagesOf(BigInt(each.size)) === pagesOf(size),
    ),
  );
}

function pagesOf(size: bigint): bigint {
  return (size + 0xfffn) >> 12n;
}

const ALIGNMENT = 0x1_0000n;

/**
 * Why a file that is called like an image cannot be of its build, where no build ids tell; undefined when it may be. Converters align the ends
 * of sections (GenFw to 4 or 64 KiB), so sizes are compared with that much room.
 */
export function whyNoFit(image: SearchImage, file: SymbolFile): string | undefined {
  const inImage = image.sections?.find(({ name }) => name === ".text")?.size;
  const inFile = file.sections.find(({ name }) => name === ".text")?.size;
  if (inImage !== undefined && inFile !== undefined) {
    const room = BigInt(inImage) - inFile;
    if (room <= ALIGNMENT && room >= -ALIGNMENT) return undefined;
    return `its .text has 0x${inFile.toString(16)} bytes, that of the image ${image.name ?? ""} 0x${inImage.toString(16)}`;
  }
  if (file.linkSize <= image.size + ALIGNMENT) return undefined;
  return `it has 0x${file.linkSize.toString(16)} bytes, the image ${image.name ?? ""} 0x${image.size.toString(16)}`;
}
