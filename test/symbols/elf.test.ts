import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/symbols/byte-source.ts";
import { readFileBuildId, readSymbolFile, readSymbols } from "../../src/symbols/symbol-file.ts";
import { failure } from "../support/failure.ts";
import { writeElf } from "./elf-writer.ts";
import { elf, FOLDER, fixture, namesOf, nmNames, parsed } from "./files.ts";

const CODE = { name: ".text", flags: 6, address: 0x1000n, size: 0x1000n, type: 8 } as const;

/** Every field of the ELF file in turn: offset and size in the header, the section headers being the last part. */
function patched(change: (file: Buffer) => void): Buffer {
  const file = writeElf({ sections: [CODE], symbols: [{ name: "main", value: 0x1000n }], segments: [[0n, 0x2000n]] });
  change(file);
  return file;
}

describe("an edk2 module's .debug file", () => {
  it("gives the symbols that nm prints", async () => {
    const file = await readSymbolFile(`${FOLDER}Module.debug`);
    expect(namesOf(file).sort()).toEqual(nmNames(fixture("nm.txt")).sort());
  });

  it("is linked at 0 and as large as readelf's segment says", async () => {
    const file = await readSymbolFile(`${FOLDER}Module.debug`);
    const [, address, , , size] = /^ {2}LOAD +\S+ (\S+) (\S+) (\S+) (\S+)/m.exec(fixture("readelf.txt")) ?? [];
    expect([file.linkBase, file.linkSize]).toEqual([BigInt(address ?? -1), BigInt(size ?? -1)]);
    expect(file.sections).toEqual([
      { name: ".text", address: 0x1000n, size: 0xd4n },
      { name: ".data", address: 0x2000n, size: 0x88n },
    ]);
  });

  it("has the build id that readelf dumps, in a section that edk2's linker script renamed", async () => {
    const dump = fixture("readelf.txt").split("Hex dump")[1] ?? "";
    const digits = [...dump.matchAll(/^ {2}0x[0-9a-f]+ ([0-9a-f ]{35})/gm)].map(([, hex = ""]) =>
      hex.replaceAll(" ", ""),
    );
    const { buildId, kind, name, hasLines } = await readSymbolFile(`${FOLDER}Module.debug`);
    expect(digits.join("")).toHaveLength(72);
    expect({ buildId, kind, name, hasLines }).toEqual({
      buildId: digits.join("").slice(32),
      kind: "elf",
      name: "Module.debug",
      hasLines: true,
    });
    expect(await readFileBuildId(`${FOLDER}Module.debug`)).toBe(buildId);
  });
});

describe("the cost of an ELF file", () => {
  it("is its headers, names and symbols: DWARF is never read", async () => {
    const bytes = readFileSync(`${FOLDER}Module.debug`);
    const source = bytesSource("Module.debug", bytes);
    const reads: [number, number][] = [];
    await readSymbols({
      ...source,
      read(position, length) {
        reads.push([position, position + length]);
        return source.read(position, length);
      },
    });
    // readelf --sections: .debug_info is the first of them at 0xd4, .symtab comes after the last one at 0xa98.
    expect(bytes.indexOf("GNU C17")).toBeGreaterThan(0xd4);
    expect(bytes.indexOf("GNU C17")).toBeLessThan(0xa98);
    expect(reads.filter(([start, end]) => start < 0xa98 && end > 0xd4)).toEqual([]);
    expect(reads.length).toBeGreaterThan(5);
  });

  it("does not grow with sections that claim to be larger than the file", async () => {
    const file = await elf({
      sections: [CODE, ...Array.from({ length: 4000 }, (_, i) => ({ name: `.s${i}`, flags: 2, size: 1n << 40n }))],
      symbols: [{ name: "main", value: 0x1000n }],
    });
    expect(namesOf(file)).toEqual(["main@1000"]);
  });
});

describe("an ELF file", () => {
  it("keeps every bit of a 64-bit address", async () => {
    const value = 0xffff_0000_1234_5678n;
    const file = await elf({
      sections: [{ name: ".text", flags: 6, type: 8, address: 0xffff_0000_1234_5000n, size: 0x1001n }],
      segments: [[0xffff_0000_1234_5001n, 0xfffn]],
      symbols: [{ name: "vectors", value, size: 0x8000_0000_0000_0001n }],
    });
    expect([...file.symbols]).toEqual([
      { name: "vectors", value, size: 0x8000_0000_0000_0001n, type: "func", global: true },
    ]);
    expect([file.linkBase, file.linkSize]).toEqual([0xffff_0000_1234_5001n, 0xfffn]);
    expect(file.sections[0]).toEqual({ name: ".text", address: 0xffff_0000_1234_5000n, size: 0x1001n });
  });

  it("without program headers spans its allocated sections", async () => {
    const file = await elf({
      sections: [
        { ...CODE, address: 0x20_0000n },
        { name: ".bss", flags: 3, type: 8, address: 0x30_0000n, size: 0x10n },
      ],
      symbols: [{ name: "main", value: 0x20_0000n }],
    });
    expect([file.linkBase, file.linkSize]).toEqual([0x20_0000n, 0x10_0010n]);
  });

  it("takes .dynsym where there is no .symtab", async () => {
    const only = await elf({ sections: [CODE], dynamicSymbols: [{ name: "exported", value: 0x1000n }] });
    const both = await elf({
      sections: [CODE],
      dynamicSymbols: [{ name: "exported", value: 0x1000n }],
      symbols: [{ name: "main", value: 0x1000n }],
    });
    expect([namesOf(only), namesOf(both)]).toEqual([["exported@1000"], ["main@1000"]]);
  });

  it("leaves out mapping symbols, labels of the assembler, undefined, absolute and thread-local symbols", async () => {
    const at = { value: 0x1000n };
    const file = await elf({
      sections: [CODE],
      symbols: [
        { name: "$x", ...at, type: 0 },
        { name: "$d.17", ...at, type: 0 },
        { name: "__efistub_$x", ...at, type: 0 },
        { name: "__pi_$d.1", ...at, type: 0 },
        { name: ".L12", ...at, type: 0 },
        { name: "undefined", ...at, section: 0 },
        { name: "absolute", ...at, section: 0xfff1 },
        { name: "thread", ...at, type: 6 },
        { name: "file.c", ...at, type: 4 },
        { name: "$xyz", ...at },
        { name: "$", ...at },
        { name: ".l", ...at },
      ],
    });
    expect([...file.symbols].map(({ name }) => name)).toEqual(["$xyz", "$", ".l"]);
  });

  it("shows names as printable text, cut to 256 characters", async () => {
    const file = await elf({
      sections: [CODE],
      symbols: [
        { name: "\x1b[2Jgone", value: 0x1000n },
        { name: "é".repeat(400), value: 0x1010n },
      ],
    });
    expect([...file.symbols].map(({ name }) => name)).toEqual(["\\x1b[2Jgone", `${"é".repeat(256)}…`]);
  });

  it("is refused when it is of another kind, with the reason", async () => {
    const reasons = [
      ["it is for another machine (ELF machine 62)", writeElf({ machine: 62, symbols: [] })],
      [
        "it has not been linked (a relocatable object), so its symbols have no addresses",
        writeElf({ type: 1, symbols: [] }),
      ],
      ["it is no program (ELF type 4)", writeElf({ type: 4, symbols: [] })],
      ["it is a 32-bit ELF file", patched((file) => file.writeUInt8(1, 4))],
      ["it is a big-endian ELF file", patched((file) => file.writeUInt8(2, 5))],
      ["it has no symbol table (it was stripped)", writeElf({ sections: [CODE] })],
      ["it has no section headers, so no symbol table", patched((file) => file.writeUInt16LE(0, 60))],
      ["it has too many sections or segments (4097)", patched((file) => file.writeUInt16LE(4097, 60))],
      ["its headers have an unknown size", patched((file) => file.writeUInt16LE(40, 58))],
      ["its sections have no names", patched((file) => file.writeUInt16LE(1, 62))],
      ["its sections have no names", patched((file) => file.writeUInt16LE(0xfff0, 62))],
      ["it holds no symbols", writeElf({ sections: [CODE], symbols: [] })],
      ["it is empty", Buffer.alloc(0)],
      ["it ends early", Buffer.from("\x7fELF\x02\x01", "latin1")],
    ] as const;
    for (const [reason, file] of reasons) {
      const error = await failure(parsed(file));
      expect(error.message).toBe(`Cannot read symbols from made-up: ${reason}`);
    }
  });

  it("that ends early is refused wherever it ends", async () => {
    const whole = writeElf({
      sections: [CODE],
      symbols: [{ name: "main", value: 0x1000n }],
      segments: [[0n, 0x2000n]],
    });
    expect(namesOf(await parsed(whole))).toEqual(["main@1000"]);
    for (let length = 0; length < whole.length; length += 7) {
      expect((await failure(parsed(whole.subarray(0, length)))).message).toMatch(/^Cannot read symbols from made-up: /);
    }
  });

  it("with a symbol table that claims more than 3 million entries or 64 MiB of names is refused before it is read", async () => {
    const table = patched(() => undefined);
    const headers = Number(table.readBigUInt64LE(40));
    for (const [index, size] of [
      [2, 24n * 3_000_001n],
      [3, (64n << 20n) + 1n],
    ] as const) {
      const file = Buffer.from(table);
      file.writeBigUInt64LE(size, headers + 64 * index + 32);
      expect((await failure(parsed(file))).message).toMatch(/its symbol table is too large$/);
    }
  });

  it("whose section names never end is refused before elfy copies them", async () => {
    const names = Array.from({ length: 300 }, (_, i) => ({ ...CODE, name: `${i}`.padEnd(300, "n") }));
    const error = await failure(elf({ sections: names, symbols: [{ name: "main", value: 0x1000n }] }));
    expect(error.message).toMatch(/a section name does not end$/);
  });
});

describe("what is no regular file", () => {
  it.each([
    ["/dev/zero", "it is no regular file"],
    [FOLDER, "it is no regular file"],
    [`${FOLDER}none`, "no such file or folder"],
  ])("is refused: %s", async (path, reason) => {
    expect((await failure(readSymbolFile(path))).message).toBe(`Cannot read symbols from ${path}: ${reason}`);
  });
});
