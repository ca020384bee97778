/**
 * The target description: which registers the stub offers, under which numbers.
 *
 * Source: "Debugging with GDB", appendix G "Target Descriptions". The XML comes from the stub and is untrusted: includes are
 * followed once each and to a bounded depth, sizes and counts are bounded, entities other than XML's own are refused (saxes
 * knows no others).
 */
import { SaxesParser } from "saxes";
import { EbscopeError } from "../base/error.ts";
import type { RegisterDefinition } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import { canonicalRegisterName } from "./register-names.ts";

export interface TargetDescription {
  readonly architecture: string;
  readonly registers: readonly RegisterDefinition[];
}

const MAX_REGISTERS = 4096;
const MAX_BITS = 1 << 20;
const MAX_DOCUMENTS = 64;
const MAX_NAME = 64;

/** Reads `target.xml` and what it includes through `fetch`, which returns one annex as text. */
export async function readTargetDescription(fetch: (annex: string) => Promise<string>): Promise<TargetDescription> {
  const reader = new DescriptionReader();
  const seen = new Set<string>();
  const pending = ["target.xml"];
  for (let annex = pending.shift(); annex !== undefined; annex = pending.shift()) {
    if (seen.has(annex)) continue;
    if (seen.size >= MAX_DOCUMENTS) throw malformed("it includes too many documents");
    seen.add(annex);
    pending.unshift(...reader.read(annex, await fetch(annex)));
  }
  return reader.description();
}

function malformed(why: string): EbscopeError {
  return new EbscopeError("protocol-error", `Cannot use the stub's target description: ${why}`);
}

/** Decimal digits as a number; NaN for anything else. */
function decimal(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
}

class DescriptionReader {
  #architecture = "";
  #nextNumber = 0;
  readonly #registers = new Map<number, RegisterDefinition>();

  /** Reads one document; returns the annexes it includes, in order. */
  read(annex: string, text: string): string[] {
    const includes: string[] = [];
    let feature = "";
    let inArchitecture = false;
    const parser = new SaxesParser();
    parser.on("opentag", ({ name, attributes }) => {
      if (name === "feature") feature = attributes.name ?? "";
      else if (name === "architecture") inArchitecture = true;
      else if (name === "xi:include" && attributes.href !== undefined) includes.push(attributes.href);
      else if (name === "reg") this.#add(feature, attributes);
    });
    parser.on("closetag", ({ name }) => {
      if (name === "architecture") inArchitecture = false;
    });
    parser.on("text", (content) => {
      if (inArchitecture) this.#architecture = content.trim().slice(0, MAX_NAME);
    });
    parser.on("error", (error) => {
      throw malformed(`${printable(annex, 60)} is no XML (${printable(error.message, 100)})`);
    });
    parser.write(text).close();
    return includes;
  }

  #add(feature: string, attributes: Record<string, string>): void {
    const stubName = attributes.name ?? "";
    const bits = decimal(attributes.bitsize);
    const number = attributes.regnum === undefined ? this.#nextNumber : decimal(attributes.regnum);
    if (!/^[\w.$-]+$/.test(stubName) || stubName.length > MAX_NAME) throw malformed("a register has no usable name");
    if (!Number.isInteger(bits) || bits < 1 || bits > MAX_BITS) throw malformed(`${stubName} has no usable size`);
    if (!Number.isInteger(number) || number < 0 || number > 0xffff) throw malformed(`${stubName} has no usable number`);
    if (this.#registers.size >= MAX_REGISTERS) throw malformed("it lists too many registers");
    this.#nextNumber = number + 1;
    this.#registers.set(number, { name: canonicalRegisterName(stubName), stubName, number, bits, feature });
  }

  description(): TargetDescription {
    return {
      architecture: this.#architecture,
      registers: [...this.#registers.values()].sort((a, b) => a.number - b.number),
    };
  }
}
