/** Text from the guest, the stub or a file on its way to people. */

/**
 * What no output may hold as it is: C0 and C1 controls (escape sequences, newlines), Unicode direction and format characters, all other
 * characters that are drawn as nothing, lone surrogates, private ones.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * What CI services take for commands in the output of a job. GitHub's runner (actions/runner, ActionCommand.cs): `::name …::` where a line
 * begins, white space aside, and `##[name …]` anywhere in it. Azure Pipelines (Command.cs): `##vso[` anywhere. TeamCity ("Service
 * messages"): `##teamcity[`. A string that ends in `##` may stand before a bracket of another.
 */
const LINE_COMMAND = /^(\s*):(?=:|$)/u;
const HASH_COMMAND = /#(?=#[a-z]*(?:\[|$))/giu;

/**
 * Makes a string safe to print, on one line and anywhere in it: what is unsafe and what a CI service would run becomes a visible
 * escape; `Foo::bar` stays as it is. At most `limit` characters are kept.
 */
export function printable(text: string, limit = 200): string {
  const kept = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return kept.replace(UNSAFE, escapeText).replace(HASH_COMMAND, "\\x23").replace(LINE_COMMAND, "$1\\x3a");
}

function escapeText(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

/** What nearly all of it is; a list may have a million parts. */
const HARMLESS_JSON = /^[\n\x20-\x22\x24-\x7e]*$/;

/**
 * JSON text with the same values and nothing in it that `printable` would not let through: such characters stand in strings only, where
 * JSON has its own escapes. A line of JSON begins with a quotation mark, a bracket or a digit: never with a line command.
 */
export function printableJson(json: string): string {
  if (HARMLESS_JSON.test(json)) return json;
  return json.replace(UNSAFE, escapeJson).replace(HASH_COMMAND, "\\u0023");
}

/** Line ends are JSON's own: those of strings are escaped already. */
function escapeJson(char: string): string {
  if (char === "\n") return char;
  return Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join(
    "",
  );
}

/** `1 page`, `560 pages`. */
export function plural(count: number | bigint, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${BigInt(count) === 1n ? "" : "s"}`;
}

/** Bytes as text, one character a byte. */
export function latin1(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString("latin1");
}
