/** Colours and columns for people. Colour only on a terminal, and never with NO_COLOR. */
import pc from "picocolors";

const colours = pc.createColors(process.stdout.isTTY === true && process.env.NO_COLOR === undefined);

export const style = {
  heading: (text: string): string => colours.bold(text),
  quiet: (text: string): string => colours.dim(text),
  good: (text: string): string => colours.green(text),
  warn: (text: string): string => colours.yellow(text),
  bad: (text: string): string => colours.red(text),
};

/** Columns as wide as their widest cell; the last is left as it is. */
export function table(rows: readonly (readonly string[])[], indent = "  "): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, visibleLength(cell));
    });
  }
  return rows.map((row) => {
    const cells = row.map((cell, i) =>
      i === row.length - 1 ? cell : cell + " ".repeat((widths[i] ?? 0) - visibleLength(cell)),
    );
    return `${indent}${cells.join("  ")}`.trimEnd();
  });
}

/** Lines with a note below each that has one. */
export function withNotes(lines: readonly string[], notes: readonly string[]): string[] {
  return lines.flatMap((line, i) => (notes[i] ? [line, style.quiet(`      ${notes[i]}`)] : [line]));
}

function visibleLength(cell: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colour sequences take no room.
  return cell.replace(/\x1b\[\d+m/g, "").length;
}
