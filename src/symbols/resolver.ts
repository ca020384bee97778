/**
 * Addresses of a running machine ↔ names. A file stands for an image at a bias: what is to be added to an address as linked. The names
 * that the firmware's own tables give to functions are the weakest source: they hold for the address itself and for nothing after it,
 * since where such a function ends is not known.
 */
import { type LineOptions, type SourceLine, sourceLines } from "./source-lines.ts";
import type { SymbolFile } from "./symbol-file.ts";

/** What is named; the images that the firmware lists fit. */
export interface ResolverImage {
  readonly name: string | undefined;
}

export interface Resolved<I extends ResolverImage = ResolverImage> {
  /** Undefined for a name that a table gave. */
  readonly image: I | undefined;
  readonly file: SymbolFile | undefined;
  /** Undefined where the image has symbols but none that covers the address. */
  readonly symbol: string | undefined;
  /** From the symbol, else from the start of the image. */
  readonly offset: bigint;
  readonly line?: SourceLine;
}

interface Placed<I extends ResolverImage> {
  readonly image: I;
  readonly file: SymbolFile;
  readonly bias: bigint;
}

const MAX_FOUND = 256;

export class SymbolResolver<I extends ResolverImage = ResolverImage> {
  readonly #placed: Placed<I>[] = [];
  readonly #names: ReadonlyMap<bigint, string>;

  /** `names`: of functions, by their addresses, out of tables that point at them. */
  constructor(names: ReadonlyMap<bigint, string> = new Map()) {
    this.#names = names;
  }

  /** A file may be added at several biases (Xen moves after it left the firmware). What was added first is asked first. */
  add(image: I, file: SymbolFile, bias: bigint): void {
    this.#placed.push({ image, file, bias });
  }

  get files(): readonly SymbolFile[] {
    return [...new Set(this.#placed.map(({ file }) => file))];
  }

  /** What an address is; undefined when nothing that was added says anything about it. */
  resolve(address: bigint): Resolved<I> | undefined {
    const candidates = this.#placed.filter((placed) => holds(placed, address));
    for (const { image, file, bias } of candidates) {
      const hit = file.symbols.lookup(address - bias);
      if (hit !== undefined) return { image, file, symbol: hit.name, offset: hit.offset };
    }
    const name = this.#names.get(address);
    if (name !== undefined) return { image: candidates[0]?.image, file: undefined, symbol: name, offset: 0n };
    const [placed] = candidates;
    return placed && { image: placed.image, file: placed.file, symbol: undefined, offset: offsetIn(placed, address) };
  }

  /** The same for many addresses, with source lines where a tool can tell them: one process a file. Never rejects. */
  async resolveLines(addresses: readonly bigint[], options: LineOptions = {}): Promise<(Resolved<I> | undefined)[]> {
    const lines = await this.#lines(addresses, options);
    return addresses.map((address) => {
      const resolved = this.resolve(address);
      const line = lines.get(address);
      return resolved === undefined || line === undefined ? resolved : { ...resolved, line };
    });
  }

  async #lines(addresses: readonly bigint[], options: LineOptions): Promise<Map<bigint, SourceLine>> {
    const found = new Map<bigint, SourceLine>();
    for (const placed of this.#placed.filter(({ file }) => file.hasLines)) {
      const own = addresses.filter((address) => this.#placed.find((each) => holds(each, address)) === placed);
      if (own.length === 0) continue;
      const answer = await sourceLines(
        placed.file.path,
        own.map((address) => address - placed.bias),
        options,
      );
      if (answer.state === "unknown") continue;
      for (const address of own) {
        const line = answer.lines.get(address - placed.bias);
        if (line !== undefined) found.set(address, line);
      }
    }
    return found;
  }

  /** Where a name is: in the files, else in the tables; ascending, each once, at most 256. */
  addressOf(name: string): bigint[] {
    const found = new Set<bigint>();
    for (const { file, bias } of this.#placed)
      for (const value of file.symbols.find(name)) found.add(BigInt.asUintN(64, value + bias));
    if (found.size === 0)
      for (const [address, given] of this.#names) if (given.split(" or ").includes(name)) found.add(address);
    return [...found].sort((a, b) => (a < b ? -1 : 1)).slice(0, MAX_FOUND);
  }
}

function offsetIn<I extends ResolverImage>({ file, bias }: Placed<I>, address: bigint): bigint {
  return address - bias - file.linkBase;
}

function holds<I extends ResolverImage>(placed: Placed<I>, address: bigint): boolean {
  const offset = offsetIn(placed, address);
  return offset >= 0n && offset < placed.file.linkSize;
}
