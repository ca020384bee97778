/** A linker's map of a PE image whose image is called otherwise: QEMU's -kernel calls every image `kernel`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SearchImage } from "../../src/symbols/image-match.ts";
import { searchSymbols } from "../../src/symbols/search.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ebscope-layout-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** As lld-link and link.exe write it; the image has a section `.reloc` besides. */
const MAP = ` causes

 Timestamp is 00000000 (Thu Jan  1 00:00:00 1970)

 Preferred load address is 0000000140000000

 Start         Length     Name                   Class
 0001:00000000 00001fa4H .text$mn                CODE
 0002:00000000 000002f8H .rdata                  DATA
 0003:00000000 00000000H .data                   DATA
 0003:00000000 00013070H .bss                    DATA

  Address         Publics by Value              Rva+Base               Lib:Object

 0001:00000000       call_unset_hook            0000000140001000     wrong.obj
 0002:00000010       message                    0000000140003010     wrong.obj
 0003:00000008       hook                       0000000140004008     wrong.obj
`;

const SECTIONS = [
  { name: ".text", offset: 0x1000, size: 0x2000 },
  { name: ".rdata", offset: 0x3000, size: 0x400 },
  { name: ".data", offset: 0x4000, size: 0x13070 },
  { name: ".reloc", offset: 0x18000, size: 0x200 },
];

function image(name: string, more: Partial<SearchImage> = {}): SearchImage {
  return { name, buildPath: undefined, base: 0x7c41_7000n, size: 0x1_9000n, sections: SECTIONS, ...more };
}

async function search(images: readonly SearchImage[]) {
  const path = join(root, "causes.map");
  writeFileSync(path, MAP);
  const { matches, unmatched } = await searchSymbols([path], images);
  const found = matches.map(({ image: { name }, file, bias, why }) => ({
    name,
    hook: file.symbols.find("call_unset_hook").map((value) => value + bias),
    why,
  }));
  return { found, unmatched: unmatched.length };
}

describe("a map that was given by itself", () => {
  it("belongs to the only image whose sections have its places and sizes, whatever that is called", async () => {
    const other = image("Shell", { sections: SECTIONS.map((each) => ({ ...each, size: each.size + 0x1000 })) });
    expect(await search([other, image("kernel")])).toEqual({
      found: [
        {
          name: "kernel",
          hook: [0x7c41_8000n],
          why: "the only image whose sections have its places and sizes; linked at 0x140000000",
        },
      ],
      unmatched: 0,
    });
  });

  it("belongs to none when two images are laid out so", async () => {
    expect(await search([image("a"), image("b", { base: 0x7d00_0000n })])).toEqual({ found: [], unmatched: 1 });
  });

  it("belongs to none whose section is missing, elsewhere, of another size or of no known size", async () => {
    for (const sections of [
      SECTIONS.filter(({ name }) => name !== ".rdata"),
      SECTIONS.map((each) => (each.name === ".data" ? { ...each, offset: 0x5000 } : each)),
      SECTIONS.map((each) => (each.name === ".text" ? { ...each, size: 0x3000 } : each)),
      SECTIONS.map(({ name, offset }) => ({ name, offset })),
    ]) {
      expect(await search([image("kernel", { sections })])).toEqual({ found: [], unmatched: 1 });
    }
  });
});
