/** What is wrong with a text in the languages of plans, and where in it. */
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";

/** Thrown inside this room only: its users get an EbscopeError, or a problem of a document. */
export class TextFault extends Error {
  /** Characters before it. */
  readonly offset: number;
  readonly cure: string;

  constructor(offset: number, message: string, cure: string) {
    super(message);
    this.offset = offset;
    this.cure = cure;
  }
}

/** A text that stands by itself, not in a document: its fault becomes `bad-expression`. `what` is the noun, with its article. */
export function standingAlone<T>(text: string, what: string, read: (text: string) => T): T {
  try {
    return read(text);
  } catch (fault) {
    if (!(fault instanceof TextFault)) throw fault;
    const where = `"${printable(text, 80)}", column ${fault.offset + 1}`;
    throw new EbscopeError("bad-expression", `Cannot read ${what} ${where}: ${fault.message}`, {
      cause: fault,
      next: `${fault.cure} docs/plans.md has the language.`,
    });
  }
}
