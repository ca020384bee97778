/** What must not be in any output, told by its readers' own rules; shares nothing with src. */

const FORMAT_RANGES: readonly (readonly [first: number, last: number])[] = [
  [0x00, 0x09],
  [0x0b, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xe000, 0xf8ff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xe0000, 0xe0fff],
  [0xf0000, 0x10ffff],
];

/** Controls, invisible and direction characters, lone surrogates and private ones in a text of lines; with what stands around them. */
export function unsafeCharacters(text: string): string[] {
  const found: string[] = [];
  let at = 0;
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (FORMAT_RANGES.some(([first, last]) => code >= first && code <= last)) {
      found.push(`U+${code.toString(16)} in ${JSON.stringify(text.slice(Math.max(0, at - 60), at + 20))}`);
    }
    at += char.length;
  }
  return found;
}

/** Lines that GitHub's runner, Azure's agent or TeamCity would take for a command. */
export function ciCommands(text: string): string[] {
  return text.split(/\r\n|\n|\r/).filter((line) => {
    const trimmed = line.trimStart();
    if (trimmed.startsWith("::") && trimmed.indexOf("::", 2) >= 0) return true;
    const lower = line.toLowerCase();
    return ["##[", "##vso[", "##teamcity["].some((prefix) => {
      const start = lower.indexOf(prefix);
      return start >= 0 && lower.indexOf("]", start) >= 0;
    });
  });
}
