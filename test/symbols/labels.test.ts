/** Labels of linker scripts and assembler code, as Xen's and Linux's files have them: what they name, and what they do not. */
import { describe, expect, it } from "vitest";
import type { WrittenSymbol } from "./elf-writer.ts";
import { elf, parsed } from "./files.ts";

const TEXT = { name: ".init.text", flags: 6, type: 8, address: 0x1000n, size: 0x1000n } as const;

async function nameAt(symbols: readonly WrittenSymbol[], address: bigint): Promise<string | undefined> {
  const hit = (await elf({ sections: [TEXT], symbols })).symbols.lookup(address);
  return hit && `${hit.name}+${hit.offset}`;
}

describe("a label at the start of a function", () => {
  const symbols = [
    { name: "_sinittext", value: 0x1000n, type: 0 },
    { name: "register_cpu_notifier", value: 0x1000n, size: 0xb4n, type: 2 },
    { name: "unflatten_dt_node", value: 0x10c0n, size: 0x40n, type: 2, binding: 0 },
  ];

  it("does not name the padding after the function", async () => {
    expect(await nameAt(symbols, 0x10b0n)).toBe("register_cpu_notifier+176");
    expect(await nameAt(symbols, 0x10b4n)).toBeUndefined();
    expect(await nameAt(symbols, 0x10c4n)).toBe("unflatten_dt_node+4");
  });

  it("names what comes after it where the function does not say its size", async () => {
    const unsized = symbols.map(({ size, ...symbol }) => symbol);
    expect(await nameAt(unsized, 0x10b4n)).toBe("register_cpu_notifier+180");
  });
});

describe("a mark of where something ends", () => {
  it("gives way to what begins there, in an ELF file", async () => {
    for (const mark of ["a_end", "a_end_8", "_etext", "__end_a"]) {
      const symbols = [
        { name: mark, value: 0x1100n, type: 0 },
        { name: "b_start", value: 0x1100n, type: 0, binding: 0 },
      ];
      expect(await nameAt(symbols, 0x1104n)).toBe("b_start+4");
      expect(await nameAt(symbols.toReversed(), 0x1104n)).toBe("b_start+4");
    }
  });

  it("gives way to what begins there in a System.map too, where all are of a kind", async () => {
    const { symbols } = await parsed("0000000000001000 T __hyp_text_end\n0000000000001000 t later\n");
    expect(symbols.lookup(0x1000n)?.name).toBe("later");
  });

  it("names its address when nothing begins there", async () => {
    expect(await nameAt([{ name: "a_end", value: 0x1100n, type: 0 }], 0x1104n)).toBe("a_end+4");
  });
});
