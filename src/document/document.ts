/** A document that people write: text → a value that its schema takes, with the line and column of everything in it. */
import type { Static, TSchema } from "typebox";
import { explain, type Path } from "./explain.ts";
import { Lines } from "./lines.ts";
import { type Position, type Problem, raise, type Source } from "./source.ts";
import { type Placed, placeValues } from "./values.ts";
import { parseYaml } from "./yaml-text.ts";

export interface Document<V> {
  readonly value: V;
  /** Where a value stands; where the innermost that is there stands for one that is not. */
  at(path: Path): Position;
  /** Where its key stands. */
  keyAt(path: Path): Position;
  /** Where the character stands that is `offset` characters into a text. */
  within(path: Path, offset: number): Position;
  /** Something to mend at a value, or `offset` characters into it. */
  problem(path: Path, message: string, cure: string, offset?: number): Problem;
}

/**
 * Reads YAML 1.2 or JSON and holds it against `schema`. `what` is what the document is, with its article: "a plan". Raises `bad-document`
 * with all that is wrong.
 */
export function readDocument<T extends TSchema>(source: Source, schema: T, what: string): Document<Static<T>> {
  const clean = { name: source.name, text: source.text.replace(/^\ufeff/, "") };
  const lines = new Lines(clean.text);
  const problems: Problem[] = [];
  const root = placeValues(parseYaml(clean, lines), clean.text, (offset, message, cure) => {
    problems.push({ ...lines.at(offset), message, cure });
    if (problems.length === MAX_PROBLEMS) raise(source, problems);
  });
  const document = new PlacedDocument(clean.text, lines, root);
  problems.push(...schemaProblems(document, schema, what));
  if (problems.length > 0) raise(source, problems);
  return document as Document<Static<T>>;
}

/** More are not looked for: of each there is an object. */
const MAX_PROBLEMS = 100;

function schemaProblems(document: Document<unknown>, schema: TSchema, what: string): Problem[] {
  if (document.value === null) return [document.problem([], `It is empty: ${what} was expected`, "Fill it.")];
  return explain(schema, document.value).map(({ path, atKey, message, cure }) => ({
    ...(atKey ? document.keyAt(path) : document.at(path)),
    ...{ message, cure },
  }));
}

class PlacedDocument implements Document<unknown> {
  readonly #text: string;
  readonly #lines: Lines;
  readonly #root: Placed;

  constructor(text: string, lines: Lines, root: Placed) {
    this.#text = text;
    this.#lines = lines;
    this.#root = root;
  }

  get value(): unknown {
    return this.#root.value;
  }

  at(path: Path): Position {
    return this.#lines.at(this.#find(path).start);
  }

  keyAt(path: Path): Position {
    return this.#lines.at(this.#find(path).key);
  }

  within(path: Path, offset: number): Position {
    const { start, end, value } = this.#find(path);
    return this.#lines.at(start + writtenOffset(this.#text.slice(start, end), String(value), offset));
  }

  problem(path: Path, message: string, cure: string, offset?: number): Problem {
    return { ...(offset === undefined ? this.at(path) : this.within(path, offset)), message, cure };
  }

  #find(path: Path): Placed {
    let found = this.#root;
    for (const name of path) {
      const child = found.children.get(String(name));
      if (child === undefined) break;
      found = child;
    }
    return found;
  }
}

/** Characters of quotes, escapes, indentation and headers of blocks that may stand between two of a text. */
const MAX_BETWEEN = 200;

/**
 * Where in a text as it was written (quoted, escaped, folded) the character stands that is `offset` characters into its value: the
 * characters are found one after the other, and any white space stands for any other. Not found: where the text begins.
 */
function writtenOffset(written: string, value: string, offset: number): number {
  let at = written.search(/^[|>].*\n/) === 0 ? written.indexOf("\n") + 1 : 0;
  for (let i = 0; i <= offset && i < value.length; i++) {
    const [next, limit] = [value[i] as string, at + MAX_BETWEEN];
    while (at < limit && at < written.length && !alike(written[at] as string, next)) at++;
    if (at >= limit || at >= written.length) return 0;
    if (i < offset) at++;
  }
  return at;
}

function alike(written: string, wanted: string): boolean {
  return written === wanted || (/\s/.test(written) && /\s/.test(wanted));
}
