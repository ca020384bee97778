import { describe, expect, it } from "vitest";
import { readSymbolFile } from "../../src/symbols/symbol-file.ts";
import { failure } from "../support/failure.ts";
import { FOLDER, fixture, namesOf, nmNames, parsed } from "./files.ts";

describe("a System.map", () => {
  it("gives the symbols that nm printed into it", async () => {
    const text = fixture("nm.txt").split("\n").sort().join("\n").trimStart();
    const file = await parsed(`${text}\n`);
    expect(file.kind).toBe("nm-list");
    expect(namesOf(file).sort()).toEqual(nmNames(text).sort());
  });

  it("starts at _text and ends at _end", async () => {
    const file = await parsed(
      [
        "ffff800008000000 T _text",
        "ffff800008010000 T _stext",
        "ffff800008010800 T vectors",
        "ffff800009000000 B _end",
        "ffff800009100000 t in_a_module\t[module]",
        "",
      ].join("\n"),
    );
    expect([file.linkBase, file.linkSize]).toEqual([0xffff800008000000n, 0x100_0000n]);
    expect(file.symbols.lookup(0xffff800008010abcn)).toMatchObject({ name: "vectors", offset: 0x2bcn });
    expect(file.symbols.find("in_a_module")).toEqual([0xffff800009100000n]);
  });

  it("has no symbol beyond its last one", async () => {
    const file = await parsed("0000000000200000 T _start\n0000000000201000 t last\n");
    expect(file.symbols.lookup(0x201000n)?.name).toBe("last");
    expect(file.symbols.lookup(0x201001n)).toBeUndefined();
  });

  it("loses a last line that was cut, not half of its name", async () => {
    const file = await parsed("0000000000200000 T _start\n0000000000201000 t half_of_a_na");
    expect(namesOf(file)).toEqual(["_start@200000"]);
  });

  it("leaves absolute, undefined and mapping symbols out", async () => {
    const file = await parsed(
      "0000000000200000 T _start\n0000000000000010 A size\n00000000 U gone\n0000000000200000 t $x\n0000000000200000 t $d.3\n0000000000200000 t __efistub_$x\n",
    );
    expect(namesOf(file)).toEqual(["_start@200000"]);
  });

  it("that is none, or hides what it knows, is refused with the reason", async () => {
    const hidden = Array.from({ length: 200 }, (_, i) => `0000000000000000 T f${i}\n`).join("");
    const debian = "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n";
    const reasons = [
      ["its addresses are hidden (all zero): copy it as root", hidden],
      ["it is Debian's stand-in; the real one is in the kernel's -dbg package", debian],
      ["too many of its lines are no symbols", `0000000000200000 T _start\n${"something else\n".repeat(9)}`],
      ["it is no ELF file, no System.map and no linker's map", "a letter to a friend\n"],
      ["it holds no symbols", "0000000000000010 A size\n"],
    ] as const;
    for (const [reason, text] of reasons) {
      expect((await failure(parsed(text))).message).toBe(`Cannot read symbols from made-up: ${reason}`);
    }
  });

  it("of more than 24 MiB is refused", async () => {
    const text = Buffer.alloc((24 << 20) + 1, "0000000000200000 T _start\n");
    expect((await failure(parsed(text))).message).toMatch(/it is too large \(more than 24 MiB of text\)$/);
  });
});

describe("a linker's map", () => {
  /** Names at addresses that the maker of the map put there, whoever is asked. */
  const module = nmNames(fixture("nm.txt"));

  it("of GNU ld gives what nm says, static functions by their sections too, and no names of the compiler's", async () => {
    const file = await readSymbolFile(`${FOLDER}gnu.map`);
    expect(file.kind).toBe("gnu-map");
    // A static variable stands in no map of GNU ld.
    expect(namesOf(file).sort()).toEqual(module.filter((name) => !name.startsWith("counter@")).sort());
    expect([file.linkBase, file.linkSize]).toEqual([0n, 0x2088n]);
  });

  it("of GNU ld gives a function the size of its section", async () => {
    const file = await readSymbolFile(`${FOLDER}gnu.map`);
    expect(file.symbols.lookup(0x104bn)).toMatchObject({ name: "shown", offset: 0x33n, size: 0x34n });
    expect(file.symbols.lookup(0x2087n)).toMatchObject({ name: "table", offset: 0x87n });
    expect(file.symbols.lookup(0x2088n)).toBeUndefined();
  });

  it("of lld gives what nm says", async () => {
    const file = await readSymbolFile(`${FOLDER}lld.map`);
    expect(file.kind).toBe("lld-map");
    expect(namesOf(file).sort()).toEqual(nmNames(fixture("nm-lld.txt")).sort());
    expect(file.linkBase).toBe(0n);
  });

  it("of link.exe's form gives public and static symbols, and its load address", async () => {
    const file = await readSymbolFile(`${FOLDER}msvc.map`);
    expect(file.kind).toBe("msvc-map");
    expect(file.linkBase).toBe(0x1_4000_0000n);
    expect(namesOf(file)).toEqual([
      "shown@140001000",
      "hidden@140001028",
      "weak_one@140001040",
      "module_entry@140001048",
      "a_function_with_a_name_too_long_for_the_column_of_a_map@140001094",
      "hidden@1400010a8",
      "other@1400010b0",
      "text@140002000",
      "table@140003000",
      "counter@140003040",
    ]);
    expect(file.symbols.lookup(0x1_4000_10cbn)).toMatchObject({ name: "other", type: "func" });
    expect(file.symbols.lookup(0x1_4000_10ccn)).toBeUndefined();
  });

  it("may have Windows line ends", async () => {
    for (const name of ["gnu.map", "lld.map", "msvc.map"]) {
      const plain = await readSymbolFile(FOLDER + name);
      expect(namesOf(await parsed(fixture(name).replaceAll("\n", "\r\n")))).toEqual(namesOf(plain));
    }
  });

  it("of GNU ld that ends before its memory map is refused", async () => {
    const error = await failure(parsed("Memory Configuration\n\nName Origin Length Attributes\n"));
    expect(error.message).toMatch(/it has no memory map$/);
  });
});
