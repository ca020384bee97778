/**
 * What `nm` prints: address, a letter for the section's kind (lower case: local), name; in a copy of /proc/kallsyms also a module.
 * There are no sizes: a symbol reaches to the next one.
 */
import type { SymbolBinding, SymbolType } from "./symbol-columns.ts";
import type { TextTable } from "./text-table.ts";

const LINE = /^([0-9a-f]{8,16}) ([A-Za-z]) (\S+)(?:\s+\[\S+\])?\s*$/;
/** Debian puts a System.map of this one line beside its kernel. */
const DEBIAN_STUB = /^[0-9a-f]{16} B The real System\.map /;

/** Absolute symbols (A, a) are numbers, undefined ones (U) have no address, debugging ones (N) are no part of the program. */
const NOT_TAKEN = "AaUNn";

export function parseNmList(lines: Iterable<string>, table: TextTable): void {
  let taken = 0;
  let other = 0;
  let zeros = 0;
  for (const line of lines) {
    const [, address = "", letter = "", name = ""] = LINE.exec(line) ?? [];
    if (address === "") {
      if (DEBIAN_STUB.test(line))
        table.problem = "it is Debian's stand-in; the real one is in the kernel's -dbg package";
      other++;
      continue;
    }
    if (NOT_TAKEN.includes(letter)) continue;
    taken++;
    if (address.startsWith("0") && /^0+$/.test(address)) zeros++;
    table.add({ address, name, type: typeOf(letter), binding: bindingOf(letter) });
  }
  if (other > taken / 10) table.problem ??= "too many of its lines are no symbols";
  if (taken > 100 && zeros > taken / 2) table.problem ??= "its addresses are hidden (all zero): copy it as root";
}

function typeOf(letter: string): SymbolType {
  switch (letter.toLowerCase()) {
    case "t":
    case "i":
      return "func";
    case "d":
    case "b":
    case "r":
    case "g":
    case "s":
      return "object";
    default:
      return "notype";
  }
}

function bindingOf(letter: string): SymbolBinding {
  if (letter === "W" || letter === "w" || letter === "V" || letter === "v") return "weak";
  return letter === letter.toUpperCase() ? "global" : "local";
}
