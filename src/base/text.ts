/** Text from the guest or the stub on its way to a terminal. */

/**
 * Makes a string safe to print on one terminal line: C0 and C1 controls (escape sequences, newlines), Unicode direction
 * and format characters and lone surrogates become visible escapes; at most `limit` characters are kept.
 */
export function printable(text: string, limit = 200): string {
  const kept = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return kept.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
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
