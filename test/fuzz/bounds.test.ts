/** What the dearest inputs of worst-images.ts and worst-files.ts taught: each bound by itself, without a clock. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readImageHeaders } from "../../src/efi/image-headers.ts";
import type { ByteSource } from "../../src/symbols/byte-source.ts";
import { searchSymbols } from "../../src/symbols/search.ts";
import { readSymbols } from "../../src/symbols/symbol-file.ts";
import { SymbolReader } from "../../src/symbols/symbol-reader.ts";
import { terseBytes } from "../efi/writers.ts";
import { failure } from "../support/failure.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { writeElf } from "../symbols/elf-writer.ts";
import { elf, parsed } from "../symbols/files.ts";
import { WORST_IMAGES } from "./worst-images.ts";

vi.setConfig({ testTimeout: 60_000 });

describe("the dearest images", () => {
  it.each(WORST_IMAGES)("are read with 64 KiB each at most: $name", async ({ memory, run, answer, most }) => {
    const laidOut = memory();
    expect(await run(laidOut)).toBe(answer);
    expect(laidOut.bytesRead).toBeLessThanOrEqual(most);
    expect(laidOut.batches.length).toBeLessThanOrEqual(40);
  });

  it("have their TE header found behind two hundred signatures of none", async () => {
    const [base, size] = [0x2_0000n, 0x4000];
    const bytes = terseBytes({ size, strippedSize: 0x400, sections: [[".text", 0x500, 0x1000]] });
    for (let at = 0; at < 0x3d0; at += 4) new DataView(bytes.buffer).setUint32(at, 0xaa64_5a56, true);
    const memory = new FakeMemory();
    memory.write(base, bytes);
    const [header] = await readImageHeaders(memory, [{ base, size: BigInt(size) }]);
    expect(header).toMatchObject({ format: "TE", size: 0x1500, sections: [{ name: ".text", offset: 0x500 }] });
  });
});

describe("a list of symbols", () => {
  const line = "0000000000001000 T main\n";

  it("may have 600,000 lines and no more", async () => {
    const filled = line + "\n".repeat(599_999);
    // All these lines are looked at; that most of them are empty is what is said.
    expect((await failure(parsed(filled))).message).toMatch(/: too many of its lines are no symbols$/);
    expect((await failure(parsed(`${filled}\n`))).message).toMatch(/: it has too many lines$/);
  });
});

describe("a symbol table", () => {
  const text = { name: ".text", flags: 6, type: 8, address: 0x1000n, size: 0x1000n };
  const aliases = (count: number, size: bigint) =>
    Array.from({ length: count }, (_, i) => ({ name: `alias${i}`, value: 0x1040n, size }));

  it("names what covers an address behind any number of symbols that end before it", async () => {
    const outer = { name: "outer", value: 0x1000n, size: 0x100n };
    const { symbols } = await elf({ sections: [text], symbols: [outer, ...aliases(300, 8n)] });
    expect(symbols.lookup(0x1048n)).toMatchObject({ name: "outer", offset: 0x48n });
    expect(symbols.lookup(0x1047n)?.name).toMatch(/^alias/);
  });

  it("names one of any number of symbols at one address", async () => {
    const longest = { name: "longest", value: 0x1040n, size: 0x20n };
    const { symbols } = await elf({ sections: [text], symbols: [...aliases(1000, 8n), longest] });
    expect(symbols.lookup(0x1044n)).toBeDefined();
    expect(symbols.lookup(0x1050n)?.name).toBe("longest");
  });

  it("is not read on when a million symbols are taken", async () => {
    const source = endless(writeElf({ sections: [text], symbols: [{ name: "f", value: 0x1000n, size: 4n }] }));
    expect((await failure(readSymbols(source))).message).toMatch(/: it holds too many symbols$/);
    expect(source.bytesRead).toBeGreaterThan(24_000_000);
    expect(source.bytesRead).toBeLessThan(26_000_000);
  });
});

/** The file with a symbol table of three million entries, all like the only one that it has. */
function endless(file: Buffer): ByteSource & { readonly bytesRead: number } {
  const table = 24 * 3_000_000;
  const header = Number(file.readBigUInt64LE(40)) + 2 * 64;
  const entry = file.subarray(Number(file.readBigUInt64LE(header + 24))).subarray(24, 48);
  file.writeBigUInt64LE(BigInt(file.length), header + 24);
  file.writeBigUInt64LE(BigInt(table), header + 32);
  let bytesRead = 0;
  return {
    ...{ path: "endless", size: file.length + table },
    get bytesRead() {
      return bytesRead;
    },
    async read(position, length) {
      bytesRead += length;
      return position < file.length ? file.subarray(position, position + length) : Buffer.alloc(length, entry);
    },
  };
}

describe("a search for symbols", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "ebscope-bounds-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function put(path: string, content: Buffer | string): string {
    const whole = join(root, path);
    mkdirSync(join(whole, ".."), { recursive: true });
    writeFileSync(whole, content);
    return whole;
  }

  const IMAGE = { name: "DxeCore", buildPath: "/b/255/DxeCore.dll", base: 0x7000_0000n, size: 0x8000n };

  it("compares 256 files of one name with an image, and says that there are more", async () => {
    for (let i = 0; i < 256; i++) put(`${String(i).padStart(3, "0")}/DxeCore.map`, "0000000000001000 T main\n");
    const whole = await searchSymbols([root], [{ ...IMAGE, buildPath: "/b/255/DxeCore.dll" }]);
    expect(whole.matches.map(({ file }) => file.path)).toEqual([join(root, "255/DxeCore.map")]);
    expect(whole.skipped).toEqual([]);
    const one = put("256/DxeCore.map", "0000000000001000 T main\n");
    put("257/DxeCore.map", "0000000000001000 T main\n");
    const more = await searchSymbols([root], [{ ...IMAGE, buildPath: "/b/256/DxeCore.dll" }]);
    expect(more.matches.map(({ by }) => by)).toEqual(["name"]);
    expect(more.skipped).toEqual([{ path: one, why: "more than 256 files are called dxecore" }]);
  });

  it("reads no more files when those it read fill the memory that it may take", async () => {
    const paths = ["a.map", "b.map", "c.map"].map((name) => put(name, "0000000000001000 T main\n"));
    const reader = new SymbolReader([], { files: 10, bytes: 60 });
    const files = await Promise.resolve([await reader.read(paths[0] ?? ""), await reader.read(paths[1] ?? "")]);
    expect(files[0]?.symbols.byteLength).toBeGreaterThan(30);
    expect(files.map((file) => file?.name)).toEqual(["a.map", "b.map"]);
    expect(await reader.read(paths[2] ?? "")).toBeUndefined();
    expect(await reader.read(paths[0] ?? "")).toBe(files[0]);
    expect(reader.skipped).toEqual([{ path: paths[2], why: "too many files were read already" }]);
  });

  it("says why it took no file in words that may be printed, whatever an image is called", async () => {
    put("DxeCore.debug", writeElf({ symbols: [{ name: "f", value: 0x1000n }], buildId: "0011" }));
    const { skipped } = await searchSymbols([root], [{ ...IMAGE, name: "\x1b[31m", buildId: "2233" }]);
    expect(skipped.map(({ why }) => why)).toEqual(["it is of another build (0011) than the image \\x1b[31m (2233)"]);
  });
});
