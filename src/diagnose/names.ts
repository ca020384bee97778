/**
 * What addresses are called: by symbols, by images and their sections, by the UEFI tables that point at them.
 *
 * Before the exit the firmware's addresses are physical ones too (UEFI 2.10, 2.3.6), and so are those of its images. An address that a
 * point's tables map elsewhere lies in none of them, whatever its number.
 */
import { virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { PointView } from "../diff/point-view.ts";
import { type ImageDetails, imageAt, imageOffsetText, sectionAt } from "../efi/images.ts";
import { descriptorAt, type MemoryDescriptor } from "../efi/memory-map.ts";
import { type Resolved, SymbolResolver } from "../symbols/resolver.ts";
import type { SymbolMatch } from "../symbols/search.ts";
import type { LineOptions, SourceLine } from "../symbols/source-lines.ts";
import type { SymbolFile } from "../symbols/symbol-file.ts";
import type { Place } from "./place.ts";

/** A kernel or hypervisor at a point, where its vectors say that it runs. */
export interface PlacedKernel {
  /** The id of the point. */
  readonly point: string;
  readonly file: SymbolFile;
  /** To add to an address as linked. */
  readonly offset: bigint;
  readonly why: string;
}

export interface NameSources {
  readonly images: readonly ImageDetails[];
  /** Functions of UEFI's tables by address. */
  readonly services: ReadonlyMap<bigint, string>;
  readonly matches: readonly SymbolMatch<ImageDetails>[];
  readonly kernels: readonly PlacedKernel[];
  readonly memoryMap: readonly MemoryDescriptor[];
}

export class Names {
  readonly #sources: NameSources;
  readonly #resolvers = new Map<string, SymbolResolver>();
  readonly #lines = new Map<string, SourceLine>();

  constructor(sources: NameSources) {
    this.#sources = sources;
  }

  get images(): readonly ImageDetails[] {
    return this.#sources.images;
  }

  /** What is at an address; `view` is the point it was seen at, as its vCPU sees it. */
  place(address: bigint, view?: PointView): Place {
    const physical = view === undefined ? undefined : outputOf(view, address);
    const moved = isMoved(address, physical);
    const image = imageAt(this.#imagesIf(moved), address);
    const line = this.#lines.get(lineKey(address, view));
    return {
      address,
      image: image === undefined ? undefined : imageOffsetText(image, address),
      listed: this.images.length > 0,
      section: image === undefined ? undefined : sectionAt(image, address)?.name,
      symbol: symbolText(this.#resolver(view, moved).resolve(address)),
      line: line === undefined ? undefined : { file: line.file, line: line.line },
      memoryType: descriptorAt(this.#sources.memoryMap, physical ?? address)?.typeName,
    };
  }

  /** Where a name is: of a symbol, of a service in a UEFI table, of an image, and each of them with `+0x…`; ascending. */
  addressesOf(name: string, view?: PointView): bigint[] {
    const [, stem = name, digits] = /^(.*?)\+(0x[0-9a-fA-F]{1,16}|[0-9]{1,19})$/.exec(name) ?? [];
    const offset = digits === undefined ? 0n : BigInt(digits);
    const symbols = this.#resolver(view, false).addressOf(stem);
    const images = this.images.filter((image) => image.name === stem).map(({ base }) => base);
    return (symbols.length > 0 ? symbols : images).map((base) => BigInt.asUintN(64, base + offset));
  }

  /** Learns the source lines of addresses, for the places that are asked for afterwards. Runs a tool, where there is one. */
  async learnLines(addresses: readonly bigint[], view?: PointView, options: LineOptions = {}): Promise<void> {
    const here = addresses.filter((address) => view === undefined || !isMoved(address, outputOf(view, address)));
    for (const [list, moved] of [
      [here, false],
      [addresses.filter((address) => !here.includes(address)), true],
    ] as const) {
      const resolved = await this.#resolver(view, moved).resolveLines(list, options);
      resolved.forEach((each, i) => {
        if (each?.line !== undefined) this.#lines.set(lineKey(list[i] as bigint, view), each.line);
      });
    }
  }

  /** The first address of the function that an address lies in, when symbols tell. */
  functionOf(address: bigint, view: PointView): bigint | undefined {
    const resolved = this.#resolver(view, isMoved(address, outputOf(view, address))).resolve(address);
    return resolved?.file === undefined || resolved.symbol === undefined ? undefined : address - resolved.offset;
  }

  /** An image of the firmware's list is there only under its own address; one found by its header where it was found. */
  #imagesIf(moved: boolean): readonly ImageDetails[] {
    return moved ? this.images.filter(({ found }) => found === "header") : this.images;
  }

  /** Kernels are added first: where one runs, it is what is there. */
  #resolver(view: PointView | undefined, moved: boolean): SymbolResolver {
    const point = view?.point.id ?? "";
    const key = `${point} ${moved}`;
    const known = this.#resolvers.get(key);
    if (known !== undefined) return known;
    const { services, matches, kernels } = this.#sources;
    const resolver = new SymbolResolver(moved ? new Map() : services);
    for (const { file, offset } of kernels.filter((each) => each.point === point))
      resolver.add({ name: file.name }, file, offset);
    const images = this.#imagesIf(moved);
    for (const { image, file, bias } of matches) if (images.includes(image)) resolver.add(image, file, bias);
    this.#resolvers.set(key, resolver);
    return resolver;
  }
}

/** Whether the tables lead an address somewhere else than to the physical address of the same number. */
function isMoved(address: bigint, physical: bigint | undefined): boolean {
  return physical !== undefined && physical !== address;
}

function lineKey(address: bigint, view: PointView | undefined): string {
  return `${view?.point.id ?? ""} ${address}`;
}

/** Where an address leads in the regime that executes; undefined when it leads nowhere or that is not known. */
function outputOf(view: PointView, address: bigint): bigint | undefined {
  const { result } = view.translator(view.currentRegime).translate(virt(address));
  return result.mapped === true ? result.pa : undefined;
}

function symbolText(resolved: Resolved | undefined): string | undefined {
  if (resolved?.symbol === undefined) return undefined;
  return printable(resolved.symbol, 200) + (resolved.offset === 0n ? "" : `+${hex(resolved.offset)}`);
}
