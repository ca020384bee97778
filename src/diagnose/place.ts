/** An address with what is known of it, and its text. */
import { hex } from "../base/hex.ts";

export interface Place {
  readonly address: bigint;
  /** `DxeCore+0x1234`; undefined when it lies in no image that is known. Printable, as all text here is. */
  readonly image: string | undefined;
  /** Whether the capture has a list of images: without one, "in no image" cannot be said. */
  readonly listed: boolean;
  readonly section: string | undefined;
  /** `CoreStall+0x10` out of symbols, or the service that a UEFI table points there for: `gBS->Stall`. */
  readonly symbol: string | undefined;
  readonly line: { readonly file: string; readonly line: number } | undefined;
  /**
   * EFI_MEMORY_TYPE of the memory, as the map had it that ExitBootServices was called with; null for an address that it does not have,
   * undefined when it is not known.
   */
  readonly memoryType: string | null | undefined;
}

/** `0x47743274 (CoreStartImage+0x1c, DxeCore+0x8274, .text)` */
export function placeText(place: Place): string {
  return `${hex(place.address)} (${placeNote(place)})`;
}

/** `CoreStall+0x10, DxeCore+0x1ab0, .text`, or why nothing can be named. */
export function placeNote(place: Place): string {
  const names = [place.symbol, place.image, place.section].filter((name) => name !== undefined);
  if (names.length === 0) return (place.listed ? "in no loaded image" : "images not recorded") + memoryNote(place);
  const line = lineText(place);
  return names.join(", ") + (line === undefined ? "" : `, ${line}`);
}

/** The same with the type of the memory, also where an image is: `…, in EfiLoaderCode`. */
export function typedNote(place: Place): string {
  const { image, symbol, memoryType } = place;
  const told = image === undefined && symbol === undefined;
  return placeNote(place) + (told || !memoryType ? "" : `, in ${memoryType}`);
}

/** Whose memory it is that no image has. */
function memoryNote({ memoryType }: Place): string {
  if (memoryType === undefined) return "";
  return memoryType === null ? ", not in UEFI's memory map" : `, ${memoryType}`;
}

/** The shortest name: symbol, else image and offset, else the address. */
export function placeName({ address, image, symbol }: Place): string {
  if (symbol !== undefined && image !== undefined) return `${symbol} (${image})`;
  return symbol ?? image ?? hex(address);
}

/** ` ; CoreStall+0x10`, as a note behind an instruction; empty where nothing names it. */
export function targetNote({ symbol, image }: Place): string {
  const name = symbol ?? image;
  return name === undefined ? "" : ` ; ${name}`;
}

/** `Stall.c:123`, without folders. */
export function lineText({ line }: Place): string | undefined {
  if (line === undefined) return undefined;
  const file = line.file.split(/[/\\]/).at(-1) ?? line.file;
  return `${file}:${line.line}`;
}
