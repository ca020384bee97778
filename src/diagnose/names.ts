/**
 * What addresses are called: by symbols, by images and their sections, by the UEFI tables that point at them.
 *
 * Before the exit the firmware's addresses are physical ones too (UEFI 2.10, 2.3.6), and so are those of its images. An address that a
 * point's tables map elsewhere lies in none of them, whatever its number.
 */
import type { RegimeName } from "../aarch64/regime-model.ts";
import { phys, physPage, virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { PointView } from "../diff/point-view.ts";
import { type ImageDetails, imageAt, imageOffsetText, sectionAt } from "../efi/images.ts";
import { descriptorAt, type MemoryDescriptor } from "../efi/memory-map.ts";
import { sectionContents } from "../efi/sections.ts";
import { type EfiTables, fieldAt } from "../efi/tables.ts";
import type { PointKind } from "../snapshot/model.ts";
import { type Resolved, SymbolResolver } from "../symbols/resolver.ts";
import type { SymbolMatch } from "../symbols/search.ts";
import type { LineOptions, SourceLine } from "../symbols/source-lines.ts";
import type { SymbolFile } from "../symbols/symbol-file.ts";
import type { Place } from "./place.ts";

/** A kernel or hypervisor at a point, where its vectors say that it runs. */
export interface PlacedKernel {
  /** The id of the point. */
  readonly point: string;
  /** Whose addresses it names. */
  readonly regime: RegimeName;
  readonly file: SymbolFile;
  /** To add to an address as linked. */
  readonly offset: bigint;
  readonly why: string;
}

export interface NameSources {
  readonly images: readonly ImageDetails[];
  /** Functions of UEFI's tables by address. */
  readonly services: ReadonlyMap<bigint, string>;
  /** UEFI's tables as the firmware had them. */
  readonly tables: EfiTables | undefined;
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

  /**
   * What is at an address; `view` is the point it was seen at, as its vCPU sees it, in a regime: the one that executes there unless one is
   * named.
   */
  place(address: bigint, view?: PointView, regime?: RegimeName): Place {
    const scope = scopeOf(view, regime);
    const physical = outputOf(scope, address);
    const moved = isMoved(address, physical);
    const there = imageAt(this.#imagesIf(moved, scope), address);
    const reused = this.#isReused(there, address, scope);
    const image = reused ? undefined : there;
    const line = this.#lines.get(lineKey(address, scope));
    return {
      address,
      image: image === undefined ? undefined : imageOffsetText(image, address),
      listed: this.images.length > 0,
      section: image === undefined ? undefined : sectionAt(image, address)?.name,
      symbol: reused ? undefined : this.#symbolAt(address, scope, moved),
      line: line === undefined ? undefined : { file: line.file, line: line.line },
      memoryType: this.#memoryType(physical ?? address),
    };
  }

  /** Where a name is: of a symbol, of a service in a UEFI table, of an image, and each of them with `+0x…`; ascending. */
  addressesOf(name: string, view?: PointView, regime?: RegimeName): bigint[] {
    const [, stem = name, digits] = /^(.*?)\+(0x[0-9a-fA-F]{1,16}|[0-9]{1,19})$/.exec(name) ?? [];
    const offset = digits === undefined ? 0n : BigInt(digits);
    const symbols = this.#resolver(scopeOf(view, regime), false).addressOf(stem);
    const images = this.#imagesNamed(stem).map(({ base }) => base);
    return (symbols.length > 0 ? symbols : images).map((base) => BigInt.asUintN(64, base + offset));
  }

  /** Learns the source lines of addresses, for the places that are asked for afterwards. Runs a tool, where there is one. */
  async learnLines(
    addresses: readonly bigint[],
    view: PointView,
    regime?: RegimeName,
    options: LineOptions = {},
  ): Promise<void> {
    const scope = scopeOf(view, regime);
    const here = addresses.filter((address) => !isMoved(address, outputOf(scope, address)));
    for (const [list, moved] of [
      [here, false],
      [addresses.filter((address) => !here.includes(address)), true],
    ] as const) {
      const resolved = await this.#resolver(scope, moved).resolveLines(list, options);
      resolved.forEach((each, i) => {
        if (each?.line !== undefined) this.#lines.set(lineKey(list[i] as bigint, scope), each.line);
      });
    }
  }

  /** The first address of the function that an address lies in, when symbols tell. */
  functionOf(address: bigint, view: PointView, regime?: RegimeName): bigint | undefined {
    const scope = scopeOf(view, regime);
    const resolved = this.#resolver(scope, isMoved(address, outputOf(scope, address))).resolve(address);
    return resolved?.file === undefined || resolved.symbol === undefined ? undefined : address - resolved.offset;
  }

  #symbolAt(address: bigint, scope: Scope | undefined, moved: boolean): string | undefined {
    return symbolText(this.#resolver(scope, moved).resolve(address)) ?? (moved ? undefined : this.#fieldAt(address));
  }

  /** `the field gRT->GetTime`, for the address of a field of UEFI's tables. */
  #fieldAt(address: bigint): string | undefined {
    const { tables } = this.#sources;
    const field = tables === undefined ? undefined : fieldAt(tables, address);
    if (field === undefined) return undefined;
    // A pointer to a table is one to its first field.
    return field.offset === 0 ? `the table ${field.name.replace(/->[^>]*$/, "")}` : `the field ${field.name}`;
  }

  /** Without regard to case, where no name is written like that. */
  #imagesNamed(name: string): readonly ImageDetails[] {
    const same = this.images.filter((image) => image.name === name);
    const alike = name.toLowerCase();
    return same.length > 0 ? same : this.images.filter((image) => image.name?.toLowerCase() === alike);
  }

  #memoryType(address: bigint): string | null | undefined {
    const { memoryMap } = this.#sources;
    // Above what an address has as bits, there is no memory to speak of: a kernel's own half.
    if (memoryMap.length === 0 || address >> 52n !== 0n) return undefined;
    return descriptorAt(memoryMap, address)?.typeName ?? null;
  }

  /** An image of the firmware's list is there only under its own address; one found by its header at the points where that stood. */
  #imagesIf(moved: boolean, scope: Scope | undefined): readonly ImageDetails[] {
    return this.images.filter((image) => (image.found === "header" ? standsAt(image, scope) : !moved));
  }

  /**
   * Whether the code at an address is another by now than where the firmware had it: after the exit the memory of all but runtime images is
   * the OS's. What cannot be compared is taken to be as it was.
   */
  #isReused(image: ImageDetails | undefined, address: bigint, scope: Scope | undefined): boolean {
    if (image === undefined || image.found === "header" || image.runtime || scope === undefined) return false;
    const { capture, point } = scope.view;
    const section = sectionAt(image, address);
    if (!AFTER_EXIT.has(point.kind) || section === undefined || !sectionContents(section).includes("code"))
      return false;
    const page = physPage(phys(address));
    const first = capture.points.find(({ pages }) => pages.get(page)?.state === "present")?.pages.get(page);
    const now = point.pages.get(page);
    return first?.state === "present" && now?.state === "present" && areOthers(first.bytes, now.bytes, address);
  }

  /** Where a kernel runs, its file says so of no image any more: it has moved from there. */
  #resolver(scope: Scope | undefined, moved: boolean): SymbolResolver {
    const [point, regime] = [scope?.view.point.id ?? "", scope?.regime ?? ""];
    const key = `${point} ${regime} ${moved}`;
    const known = this.#resolvers.get(key);
    if (known !== undefined) return known;
    const { services, matches, kernels } = this.#sources;
    const resolver = new SymbolResolver(moved ? new Map() : services);
    const here = kernels.filter((kernel) => kernel.point === point);
    for (const { file, offset } of here.filter((kernel) => kernel.regime === regime))
      resolver.add({ name: file.name }, file, offset);
    const images = this.#imagesIf(moved, scope);
    const stays = (file: SymbolFile): boolean => !here.some((kernel) => kernel.file === file);
    for (const { image, file, bias } of matches)
      if (images.includes(image) && stays(file)) resolver.add(image, file, bias);
    this.#resolvers.set(key, resolver);
    return resolver;
  }
}

/** Whose addresses are meant. */
interface Scope {
  readonly view: PointView;
  readonly regime: RegimeName;
}

function scopeOf(view: PointView | undefined, regime: RegimeName | undefined): Scope | undefined {
  return view === undefined ? undefined : { view, regime: regime ?? view.currentRegime };
}

/** Points at which memory that the firmware had may be used for something else. */
const AFTER_EXIT: ReadonlySet<PointKind> = new Set(["fault", "later"]);

/** Bytes around an address that are compared. A few others are a patch or a breakpoint, most of them other code. */
const AROUND = 64;

function areOthers(before: Uint8Array, now: Uint8Array, address: bigint): boolean {
  const start = Math.min(Math.max(Number(address & 0xfffn) - AROUND / 2, 0), now.length - AROUND);
  let others = 0;
  for (let i = start; i < start + AROUND; i++) if (before[i] !== now[i]) others++;
  return others * 2 > AROUND;
}

function standsAt({ base, size }: ImageDetails, scope: Scope | undefined): boolean {
  return scope === undefined || scope.view.point.images.some((each) => each.base === base && each.size === size);
}

/** Whether the tables lead an address somewhere else than to the physical address of the same number. */
function isMoved(address: bigint, physical: bigint | undefined): boolean {
  return physical !== undefined && physical !== address;
}

function lineKey(address: bigint, scope: Scope | undefined): string {
  return `${scope?.view.point.id ?? ""} ${scope?.regime ?? ""} ${address}`;
}

/** Where an address leads; undefined when it leads nowhere or that is not known. */
function outputOf(scope: Scope | undefined, address: bigint): bigint | undefined {
  if (scope === undefined) return undefined;
  const { result } = scope.view.translator(scope.regime).translate(virt(address));
  return result.mapped === true ? result.pa : undefined;
}

function symbolText(resolved: Resolved | undefined): string | undefined {
  if (resolved?.symbol === undefined) return undefined;
  return printable(resolved.symbol, 200) + (resolved.offset === 0n ? "" : `+${hex(resolved.offset)}`);
}
