/** The small records of a capture, from and to its description. What an older file does not have is undefined or empty. */
import { hex } from "../base/hex.ts";
import { MAX_FOUND_IMAGES, MAX_SYMBOL_FILES, MAX_SYMBOL_PATHS, MAX_TEXT, type Meta, type MetaPoint } from "./meta.ts";
import type { EfiRoots, ExitAttempt, FoundImage, MemoryMapRecord, SymbolsRecord, UsedSymbols } from "./model.ts";

type Given<K extends keyof Meta> = NonNullable<Meta[K]>;

/** Messages may quote others at any length; a reader takes so much. */
export function clip(text: string): string {
  return text.slice(0, MAX_TEXT);
}

export function encodeRoots(efi: EfiRoots | undefined): Meta["efi"] {
  return efi === undefined ? null : mapValues(efi, hex);
}

export function decodeRoots(efi: Meta["efi"]): EfiRoots | undefined {
  if (efi === null) return undefined;
  const { systemTable, bootServices, exitBootServices } = efi;
  return mapValues({ systemTable, bootServices, exitBootServices }, BigInt);
}

export function encodeAttempt(attempt: ExitAttempt): Given<"attempts">[number] {
  const { imageHandle, mapKey, returnAddress, status } = attempt;
  return {
    ...mapValues({ imageHandle, mapKey, returnAddress }, hex),
    status: status === undefined ? null : hex(status),
  };
}

export function decodeAttempt(attempt: Given<"attempts">[number]): ExitAttempt {
  const { imageHandle, mapKey, returnAddress, status } = attempt;
  return {
    ...mapValues({ imageHandle, mapKey, returnAddress }, BigInt),
    status: status === null ? undefined : BigInt(status),
  };
}

export function encodeMemoryMap(map: MemoryMapRecord | undefined): Given<"memoryMap"> | null {
  if (map === undefined) return null;
  const { descriptorVersion, address, size, descriptorSize, mapKey, caller } = map;
  return { ...mapValues({ address, size, descriptorSize, mapKey, caller }, hex), descriptorVersion };
}

export function decodeMemoryMap(map: Meta["memoryMap"]): MemoryMapRecord | undefined {
  if (map === null || map === undefined) return undefined;
  const { descriptorVersion, address, size, descriptorSize, mapKey, caller } = map;
  return { ...mapValues({ address, size, descriptorSize, mapKey, caller }, BigInt), descriptorVersion };
}

export function encodeFoundImages(images: readonly FoundImage[]): NonNullable<MetaPoint["images"]> {
  return images.slice(0, MAX_FOUND_IMAGES).map(({ base, physical, size }) => mapValues({ base, physical, size }, hex));
}

export function decodeFoundImages(images: MetaPoint["images"]): FoundImage[] {
  return (images ?? []).map(({ base, physical, size }) => mapValues({ base, physical, size }, BigInt));
}

export function encodeSymbols(symbols: SymbolsRecord | undefined): Given<"symbols"> | null {
  if (symbols === undefined) return null;
  return {
    paths: symbols.paths.slice(0, MAX_SYMBOL_PATHS).map(clip),
    files: symbols.files.slice(0, MAX_SYMBOL_FILES).map(encodeUsed),
  };
}

function encodeUsed({ path, size, buildId, image }: UsedSymbols): Given<"symbols">["files"][number] {
  return { path: clip(path), size, buildId: clipOrNull(buildId), image: clipOrNull(image) };
}

function clipOrNull(text: string | undefined): string | null {
  return text === undefined ? null : clip(text);
}

export function decodeSymbols(symbols: Meta["symbols"]): SymbolsRecord | undefined {
  if (symbols === null || symbols === undefined) return undefined;
  const files = symbols.files.map(({ path, size, buildId, image }) => ({
    ...{ path, size },
    buildId: buildId ?? undefined,
    image: image ?? undefined,
  }));
  return { paths: symbols.paths, files };
}

function mapValues<K extends string, A, B>(object: Readonly<Record<K, A>>, change: (value: A) => B): Record<K, B> {
  const entries = Object.entries(object) as [K, A][];
  return Object.fromEntries(entries.map(([key, value]) => [key, change(value)])) as Record<K, B>;
}
