/**
 * Source lines of addresses, from the tools that read DWARF: llvm-symbolizer or an addr2line. One process a file.
 *
 * Both print with -a -f -i per address: the address in hexadecimal, then for it and for each function that was inlined around it a
 * function and `file:line` (llvm-symbolizer adds `:column`); `??` and line 0 mean that it is not known. The innermost comes first.
 */
import { basename, resolve } from "node:path";
import { printable } from "../base/text.ts";
import { findTool, runTool } from "./tools.ts";

export interface SourceLine {
  /** As the compiler saw it. Printable. */
  readonly file: string;
  readonly line: number;
  /** The function that the line belongs to, maybe one inlined at the address; undefined when DWARF does not name it. */
  readonly function: string | undefined;
}

export type SourceLines =
  | {
      readonly state: "known";
      /** By address as linked; an address without a line is missing. */
      readonly lines: ReadonlyMap<bigint, SourceLine>;
      /** The program that told it. */
      readonly tool: string;
    }
  /** `why` completes "source lines are not known: …". */
  | { readonly state: "unknown"; readonly why: string };

export interface LineOptions {
  readonly signal?: AbortSignal;
  /** Where to look for the tools instead of PATH. */
  readonly path?: string;
  /** In milliseconds. */
  readonly timeout?: number;
}

const TOOLS: readonly string[] = ["llvm-symbolizer", "aarch64-linux-gnu-addr2line", "llvm-addr2line", "addr2line"];
const TIMEOUT = 5_000;
const MAX_OUTPUT = 4 << 20;
const MAX_ADDRESSES = 1024;

/** The lines of addresses as linked (at most 1,024 are asked for). Never rejects. */
export async function sourceLines(
  file: string,
  addresses: readonly bigint[],
  options: LineOptions = {},
): Promise<SourceLines> {
  const wanted = [...new Set(addresses)].slice(0, MAX_ADDRESSES);
  const tool = await findTool(TOOLS, options.path);
  if (tool === undefined) return { state: "unknown", why: `neither ${TOOLS[0]} nor ${TOOLS.at(-1)} is on PATH` };
  if (wanted.length === 0) return { state: "known", lines: new Map(), tool: basename(tool) };
  const result = await runTool(tool, argumentsOf(tool, file, wanted), {
    timeout: options.timeout ?? TIMEOUT,
    output: MAX_OUTPUT,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  if (result.state === "failed")
    return { state: "unknown", why: `${basename(tool)} failed: ${printable(result.why, 100)}` };
  return { state: "known", lines: parseLines(result.output, wanted), tool: basename(tool) };
}

/** The path is absolute, so none is taken for an option. */
function argumentsOf(tool: string, file: string, addresses: readonly bigint[]): string[] {
  const common = ["-a", "-f", "-i", "-e", resolve(file), ...addresses.map((address) => `0x${address.toString(16)}`)];
  return basename(tool) === "llvm-symbolizer" ? ["--output-style=GNU", "--no-demangle", ...common] : common;
}

/** The innermost line of each address. An address stands where a function would, so it is told apart by its place. */
export function parseLines(output: string, addresses: readonly bigint[]): Map<bigint, SourceLine> {
  const lines = new Map<bigint, SourceLine>();
  const rows = output.split(/\r?\n/);
  let row = 0;
  for (const address of addresses) {
    while (row < rows.length && !isAddress(rows[row] ?? "", address)) row++;
    const line = lineOf(rows[row + 1] ?? "", rows[row + 2] ?? "");
    if (line !== undefined) lines.set(address, line);
    row += 3;
  }
  return lines;
}

function isAddress(row: string, address: bigint): boolean {
  return /^0x[0-9a-f]{1,16}$/.test(row) && BigInt(row) === address;
}

const PLACE = /^(.+?):([0-9]{1,9})(?::[0-9]{1,9})?(?: \(discriminator [0-9]+\))?$/;

function lineOf(name: string, place: string): SourceLine | undefined {
  const [, file, digits] = PLACE.exec(place.slice(0, 4096)) ?? [];
  const line = Number(digits);
  if (file === undefined || file === "??" || !(line > 0)) return undefined;
  return {
    file: printable(file, 400),
    line,
    function: name === "??" || name === "" ? undefined : printable(name, 256),
  };
}
