/** Symbol files of the tests: those in test/fixtures/symbols, and bytes that were never written to a disk. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bytesSource } from "../../src/symbols/byte-source.ts";
import { readSymbols, type SymbolFile } from "../../src/symbols/symbol-file.ts";
import { type WrittenElf, writeElf } from "./elf-writer.ts";

export const FOLDER = fileURLToPath(new URL("../fixtures/symbols/", import.meta.url));

export function fixture(name: string): string {
  return readFileSync(FOLDER + name, "utf8");
}

export function parsed(content: Buffer | string, name = "made-up"): Promise<SymbolFile> {
  return readSymbols(bytesSource(name, Buffer.from(content)));
}

export function elf(content: WrittenElf): Promise<SymbolFile> {
  return parsed(writeElf(content));
}

/** `name@address` of the lines of nm that name something: neither mapping symbols nor absolute ones. */
export function nmNames(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [address = "", letter = "", name = ""] = line.split(" ");
    const named = name !== "" && !/^\$[xd]/.test(name) && !"aA".includes(letter);
    return named ? [`${name}@${BigInt(`0x${address}`).toString(16)}`] : [];
  });
}

export function namesOf(file: SymbolFile): string[] {
  return [...new Set([...file.symbols].map(({ name, value }) => `${name}@${value.toString(16)}`))];
}
