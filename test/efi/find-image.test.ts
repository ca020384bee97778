import { describe, expect, it } from "vitest";
import { findImageAt } from "../../src/efi/find-image.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { type FakeImage, imageBytes } from "../support/firmware.ts";
import { terseBytes } from "./writers.ts";

const BASE = 0x5000_0000n;
const MIB = 1n << 20n;
const IMAGE: FakeImage = {
  base: BASE,
  size: 0x8000,
  codeType: 3,
  peOffset: 0x80,
  sections: [[".text", 0x1000, 0x6000]],
};

/** RAM of zeros from `start` on, pages made as they are asked for. */
class Ram extends FakeMemory {
  readonly #start: bigint;
  constructor(start = 0x4000_0000n) {
    super();
    this.#start = start;
  }

  override page(page: Parameters<FakeMemory["page"]>[0]) {
    const read = super.page(page);
    if (read.state !== "absent" || page < this.#start || page >= 0x8000_0000n) return read;
    return { state: "present", bytes: new Uint8Array(4096) } as const;
  }
}

/** An image whose SizeOfImage is `size`, of which only the first 32 KiB are written. */
function write(memory: FakeMemory, base: bigint, size = 0x8000, more: Partial<FakeImage> = {}): void {
  const bytes = imageBytes({ ...IMAGE, ...more, base });
  new DataView(bytes.buffer).setUint32(0x80 + 24 + 56, size, true);
  memory.write(base, bytes);
}

async function found(memory: FakeMemory, address: bigint) {
  const search = await findImageAt(memory, address);
  return search.state === "found" ? search.image : search;
}

describe("the image around an address", () => {
  it("is found by the header in front of it, with its name and all else", async () => {
    const memory = new Ram();
    write(memory, BASE, 0x8000, { codeView: { signature: "NB10", path: "/b/grub.efi" }, subsystem: 10 });
    expect(await found(memory, BASE + 0x1234n)).toMatchObject({
      ...{ base: BASE, size: 0x8000n, name: "grub", nameFrom: "build path", found: "header" },
      ...{ codeType: "unknown", dataType: "unknown", runtime: false },
      header: { imageType: "EFI application", sections: [{ name: ".text" }] },
    });
  });

  it("reaches from its first byte to before its SizeOfImage", async () => {
    const memory = new Ram();
    write(memory, BASE);
    expect(await found(memory, BASE)).toMatchObject({ base: BASE });
    expect(await found(memory, BASE + 0x7fffn)).toMatchObject({ base: BASE });
    expect(await found(memory, BASE + 0x8000n)).toEqual({ state: "none" });
    expect(await found(memory, BASE - 1n)).toEqual({ state: "none" });
  });

  it("is the nearest that reaches it: not one that ends before, nor one further down", async () => {
    const memory = new Ram();
    write(memory, BASE - 0x10_0000n, 0x20_0000);
    write(memory, BASE, 0x2000);
    write(memory, BASE + 0x4000n, 0x1000);
    expect(await found(memory, BASE + 0x1800n)).toMatchObject({ base: BASE });
    expect(await found(memory, BASE + 0x5800n)).toMatchObject({ base: BASE - 0x10_0000n });
  });

  it("is found on any page within 16 MiB, and on 64 KiB boundaries within 64 MiB", async () => {
    for (const [base, distance, hit] of [
      [BASE + 0x3000n, 16n * MIB - 0x1000n, true],
      [BASE + 0x3000n, 16n * MIB + 0x1000n, false],
      [BASE, 63n * MIB + 0x5000n, true],
      [BASE, 65n * MIB, false],
    ] as const) {
      const memory = new Ram();
      write(memory, base, 80 << 20);
      const search = await found(memory, base + distance);
      if (hit) expect(search).toMatchObject({ base });
      else expect(search).toEqual({ state: "none" });
    }
  });

  it("is found by a TE header inside a page", async () => {
    const memory = new Ram();
    const sections = [
      [".text", 0x240, 0x5000],
      [".data", 0x5240, 0xdc0],
    ] as const;
    memory.write(BASE, terseBytes({ size: 0x6000, strippedSize: 0x188, sections, path: "/P.dll" }));
    expect(await found(memory, BASE + 0x5100n)).toMatchObject({ base: BASE, size: 0x6000n, name: "P" });
    expect(await found(memory, BASE + 0x6000n)).toEqual({ state: "none" });
  });

  it.each<[string, Partial<FakeImage>, (view: DataView) => void]>([
    ["another machine", { machine: 0x8664 }, () => undefined],
    ["no sections", { sections: [] }, () => undefined],
    ["no PE signature", {}, (view) => view.setUint32(0x80, 0, true)],
    ["a header far outside", {}, (view) => view.setUint32(0x3c, 0xffff_fff0, true)],
    ["a size that ends in front of its header", {}, (view) => view.setUint32(0x80 + 24 + 56, 0x40, true)],
  ])("is none with %s", async (_, more, edit) => {
    const memory = new Ram();
    const bytes = imageBytes({ ...IMAGE, ...more });
    edit(new DataView(bytes.buffer));
    memory.write(BASE, bytes);
    expect(await found(memory, BASE + 0x10n)).toEqual({ state: "none" });
  });
});

describe("a search without a result", () => {
  it("is unknown where something could not be read", async () => {
    const memory = new Ram(BASE);
    expect(await found(memory, BASE + 0x100_0000n)).toMatchObject({ state: "unknown", why: /could not be read/ });
  });

  it("is unknown after eight headers that do not reach", async () => {
    const memory = new Ram();
    for (let i = 0n; i < 9n; i++) write(memory, BASE + i * 0x1_0000n, 0x2000);
    expect(await found(memory, BASE + 0x9_0000n)).toMatchObject({ state: "unknown", why: /none of the 8/ });
    for (let i = 1n; i < 3n; i++) memory.write(BASE + i * 0x1_0000n, Uint8Array.of(0, 0));
    expect(await found(memory, BASE + 0x9_0000n)).toEqual({ state: "none" });
  });

  it("ends at address 0", async () => {
    expect(await found(new Ram(0n), 0x2000n)).toEqual({ state: "none" });
  });

  it("goes past pages that a capture does not hold, to the header that it holds", async () => {
    const memory = new FakeMemory();
    memory.write(BASE, imageBytes(IMAGE).subarray(0, 0x1000));
    memory.write(BASE + 0x5000n, new Uint8Array(4096));
    expect(await found(memory, BASE + 0x5678n)).toMatchObject({ base: BASE, size: 0x8000n });
  });

  it("reads 64 KiB at most, whatever lies there", async () => {
    const memory = new Ram();
    const bytes = imageBytes({ ...IMAGE, size: 0x1000 });
    for (let page = BASE; page > BASE - 17n * MIB; page -= 0x1000n) memory.write(page, bytes);
    memory.batches.length = 0;
    await findImageAt(memory, BASE + 0x2000n);
    expect(memory.bytesRead).toBeLessThanOrEqual(64 << 10);
    const nothing = new Ram();
    await findImageAt(nothing, 0x7000_0000n);
    expect(nothing.bytesRead).toBeLessThanOrEqual(64 << 10);
    expect(nothing.batches.length).toBeLessThanOrEqual(12);
  });
});
