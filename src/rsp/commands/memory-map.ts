/**
 * The memory map that a stub describes (`qXfer:memory-map:read`): which addresses are RAM, ROM or flash.
 *
 * Source: "Debugging with GDB", appendix E, Memory Map Format. Regions do not overlap; flash has the size of its erase blocks. GDB takes
 * addresses that no region covers for RAM; whoever must not touch devices does not. QEMU has no such document.
 */
import { hex } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import { readXml, unusable, xmlNumber } from "./xml.ts";

export type MemoryMapRegion = {
  readonly start: bigint;
  /** In bytes, at least 1; the region ends within 64 bits. */
  readonly size: bigint;
} & ({ readonly kind: "ram" | "rom" } | { readonly kind: "flash"; readonly blockSize: bigint });

const DOCUMENT = "memory-map";
const MAX_REGIONS = 4096;

/** The regions, ascending; empty ones are dropped. Raises `protocol-error` for what is no memory map. */
export function parseMemoryMap(text: string): readonly MemoryMapRegion[] {
  const reader = new MemoryMapReader();
  readXml(text, DOCUMENT, reader);
  const regions = reader.regions.sort((a, b) => (a.start < b.start ? -1 : 1));
  const overlap = regions.find(({ start }, i) => i > 0 && start < endOf(regions[i - 1] as MemoryMapRegion));
  if (overlap !== undefined) throw unusable(DOCUMENT, `regions overlap at ${hex(overlap.start)}`);
  return regions;
}

function endOf({ start, size }: MemoryMapRegion): bigint {
  return start + size;
}

class MemoryMapReader {
  readonly regions: MemoryMapRegion[] = [];
  #attributes: Readonly<Record<string, string>> | undefined;
  #property = "";
  #blockSize = "";

  open(name: string, attributes: Readonly<Record<string, string>>, depth: number): void {
    if (depth === 1 && name === "memory") {
      this.#attributes = attributes;
      this.#blockSize = "";
    } else if (depth === 2 && name === "property") {
      this.#property = attributes.name ?? "";
    }
  }

  text(content: string): void {
    if (this.#property === "blocksize") this.#blockSize += content.slice(0, 64);
  }

  close(name: string, depth: number): void {
    if (depth === 2 && name === "property") this.#property = "";
    if (depth !== 1 || this.#attributes === undefined) return;
    this.#add(this.#attributes);
    this.#attributes = undefined;
  }

  #add(attributes: Readonly<Record<string, string>>): void {
    const start = xmlNumber(attributes.start);
    const size = xmlNumber(attributes.length);
    if (start === undefined || size === undefined || start + size > 1n << 64n) {
      throw unusable(DOCUMENT, "a region has no usable start and length");
    }
    if (this.regions.length >= MAX_REGIONS) throw unusable(DOCUMENT, "it has too many regions");
    if (size > 0n) this.regions.push(this.#region(attributes.type ?? "", start, size));
  }

  #region(kind: string, start: bigint, size: bigint): MemoryMapRegion {
    if (kind === "ram" || kind === "rom") return { kind, start, size };
    if (kind !== "flash") throw unusable(DOCUMENT, `a region is of type ${JSON.stringify(printable(kind, 40))}`);
    const blockSize = xmlNumber(this.#blockSize.trim());
    if (blockSize === undefined || blockSize === 0n) throw unusable(DOCUMENT, "flash has no usable block size");
    return { kind, start, size, blockSize };
  }
}
