/** The table of docs/rsp.md: its rows as experiments, and its text. */
import type { Difference } from "./lab.ts";
import { RUNNING, STOPPING } from "./running.ts";
import { HANDSHAKE, MEMORY, OBJECTS, REGISTERS } from "./talking.ts";
import { TRAPS } from "./traps.ts";

export const SECTIONS: readonly (readonly [title: string, rows: readonly Difference[]])[] = [
  ["The session", [...HANDSHAKE, ...OBJECTS]],
  ["Registers and memory", [...REGISTERS, ...MEMORY]],
  ["Breakpoints and watchpoints", STOPPING],
  ["Running", RUNNING],
  ["What no client should send", TRAPS],
];

/** What was observed, or is documented, by row and then by stub. */
export type Observations = ReadonlyMap<string, ReadonlyMap<string, string>>;

const BEGIN = "<!-- observed -->";
const END = "<!-- end of observed -->";

export function tableText(stubs: readonly string[], observed: Observations): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const lines = [line(["", ...stubs]), line(["---", ...stubs.map(() => "---")])];
  for (const [title, rows] of SECTIONS) {
    lines.push(line([`**${title}**`, ...stubs.map(() => "")]));
    for (const { what } of rows) lines.push(line([what, ...stubs.map((stub) => observed.get(what)?.get(stub) ?? "")]));
  }
  return lines.join("\n");
}

/** The document with another table in it. */
export function withTable(document: string, table: string): string {
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`the document has no ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n${table}\n${END}${after}`;
}

/** The table of the document: its stubs, in their order, and what it says. */
export function documentedTable(document: string): { stubs: readonly string[]; says: Observations } {
  const table = document.split(BEGIN)[1]?.split(END)[0] ?? "";
  const rows = table
    .trim()
    .split("\n")
    .map((line) => line.split("|").slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
  const [[, ...stubs] = [], , ...body] = rows;
  const says = body
    .filter(([what = ""]) => !what.startsWith("**"))
    .map(([what = "", ...cells]) => [what, new Map(cells.map((cell, i) => [stubs[i] ?? "", cell]))] as const);
  return { stubs, says: new Map(says) };
}
