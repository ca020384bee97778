/**
 * YAML 1.2 text to nodes. JSON is a part of YAML 1.2 (yaml.org/spec/1.2.2, 1.2), so one reader serves both.
 *
 * The package's own reader recurses into nested collections and keeps every error: a hostile text of a few kilobytes ends the whole
 * process there (its regular expressions are compiled where the stack is nearly used up). So tokens and depth are counted while the text
 * goes through its lexer and parser, which do not recurse, and only what is in bounds is composed. Its look for duplicate keys costs the
 * square of their number: values.ts does it.
 */
import { Composer, type CST, type Document, Lexer, type ParsedNode, Parser, type YAMLParseError } from "yaml";
import type { Lines } from "./lines.ts";
import { MAX_DOCUMENT_BYTES, type Problem, raise, type Source } from "./source.ts";

const MAX_TOKENS = 250_000;
/** Collections in collections. */
export const MAX_DEPTH = 64;

/** What is told of the syntax: one mistake makes others behind it. */
const MAX_SYNTAX = 3;

const QUOTES = "Put text with such characters in quotes.";
const CURES: Readonly<Record<string, string>> = {
  BAD_ALIAS: "An anchor (&name) has to stand before its alias (*name); text that begins with * or & needs quotes.",
  BAD_INDENT: "Line it up with what it belongs to.",
  BAD_PROP_ORDER: QUOTES,
  BAD_SCALAR_START: QUOTES,
  BLOCK_AS_IMPLICIT_KEY: "Put text with `: ` in it in quotes, or begin a new line.",
  BLOCK_IN_FLOW: "Inside { } and [ ] write everything in their style.",
  MISSING_CHAR: "Look for what was opened and not closed; text with special characters needs quotes.",
  MULTILINE_IMPLICIT_KEY: "A key stands on one line, with `: ` behind it.",
  TAB_AS_INDENT: "Indent with spaces.",
  UNEXPECTED_TOKEN: QUOTES,
};

/** The nodes of a document. Raises `bad-document` for text that is no YAML, or more of it than is read. */
export function parseYaml(source: Source, lines: Lines): ParsedNode | null {
  const fail = (offset: number, message: string, cure: string): never =>
    raise(source, [{ ...lines.at(offset), message, cure }]);
  if (Buffer.byteLength(source.text) > MAX_DOCUMENT_BYTES) fail(0, "It is larger than 1 MiB", "Split it.");
  const tokens = readTokens(source.text, fail);
  const directive = tokens.find(({ type }) => type === "directive");
  if (directive !== undefined) fail(directive.offset, "Directives (%) are not read", "Leave the line out.");
  const [first, second] = compose(tokens, source.text.length);
  const errors = first?.errors ?? [];
  if (errors.length > 0)
    raise(
      source,
      errors.slice(0, MAX_SYNTAX).map((error) => syntaxProblem(error, lines)),
    );
  if (second !== undefined) fail(second.range[0], "A second document begins here", "Write one document a file.");
  return first?.contents ?? null;
}

type Fail = (offset: number, message: string, cure: string) => never;

function readTokens(text: string, fail: Fail): CST.Token[] {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++count > MAX_TOKENS) fail(parser.offset, "It has too many parts", "Split it.");
    tokens.push(...parser.next(lexeme));
    if (depthOf(parser) > MAX_DEPTH) fail(parser.offset, "It is nested too deeply", `${MAX_DEPTH} levels are read.`);
  }
  tokens.push(...parser.end());
  return tokens;
}

/** What the parser has open: it is private to it, and without it nothing is read. */
function depthOf(parser: Parser): number {
  const { stack } = parser as unknown as { readonly stack?: readonly unknown[] };
  return stack?.length ?? Number.POSITIVE_INFINITY;
}

/** The first two documents. */
function compose(tokens: readonly CST.Token[], length: number): Document.Parsed[] {
  const composer = new Composer({ version: "1.2", prettyErrors: false, uniqueKeys: false, keepSourceTokens: false });
  const documents: Document.Parsed[] = [];
  for (const document of composer.compose(tokens, true, length)) {
    documents.push(document);
    if (documents.length === 2) break;
  }
  return documents;
}

function syntaxProblem({ code, message, pos }: YAMLParseError, lines: Lines): Problem {
  return {
    ...lines.at(pos[0]),
    message: message.replace(/\.$/, ""),
    cure: CURES[code] ?? "Mend the YAML there.",
  };
}
