/**
 * Reading a stub's XML documents, element by element, bounded.
 *
 * The text is untrusted: its length, its elements and their depth are bounded; entities other than XML's own are refused (saxes knows no
 * others and skips what a DOCTYPE declares), so nothing expands. An include is refused: without the rest the document would say less
 * than it does.
 */
import { SaxesParser } from "saxes";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";

export interface XmlHandlers {
  /** `depth` is 1 for the children of the root. */
  open(name: string, attributes: Readonly<Record<string, string>>, depth: number): void;
  text?(content: string): void;
  close?(name: string, depth: number): void;
}

const MAX_TEXT = 4 << 20;
const MAX_ELEMENTS = 1 << 16;
const MAX_DEPTH = 16;

/** Reads a document whose root element is `root`; anything that is no such document raises `protocol-error`. */
export function readXml(text: string, root: string, handlers: XmlHandlers): void {
  if (text.length > MAX_TEXT) throw unusable(root, "it is too long");
  const parser = new SaxesParser({ xmlns: false, position: false } as const);
  let depth = 0;
  let elements = 0;
  parser.on("opentag", ({ name, attributes }) => {
    if (++elements > MAX_ELEMENTS || depth > MAX_DEPTH) throw unusable(root, "it has too many elements");
    if (name.endsWith(":include")) throw unusable(root, "it includes another document");
    if (depth === 0 && name !== root) throw unusable(root, `it is a <${printable(name, 40)}>`);
    if (depth > 0) handlers.open(name, attributes, depth);
    depth++;
  });
  parser.on("text", (content) => handlers.text?.(content));
  parser.on("cdata", (content) => handlers.text?.(content));
  parser.on("closetag", ({ name }) => {
    depth--;
    handlers.close?.(name, depth);
  });
  parser.on("error", (error) => {
    throw unusable(root, `it is no XML (${printable(error.message, 100)})`);
  });
  parser.write(text).close();
}

/** A document of the stub that says what it must not. */
export function unusable(document: string, why: string): EbscopeError {
  return new EbscopeError("protocol-error", `Cannot use the stub's ${document}: ${why}`);
}

/**
 * An attribute that is a number of at most 64 bits: `0x…` or decimal; undefined for anything else. GDB takes a leading zero for octal, so
 * such a number is refused rather than guessed.
 */
export function xmlNumber(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^(0x[0-9a-f]{1,16}|0|[1-9][0-9]{0,19})$/i.test(text)) return undefined;
  const value = BigInt(text);
  return value < 1n << 64n ? value : undefined;
}
