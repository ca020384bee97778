import { describe, expect, it } from "vitest";
import { phys } from "../../src/base/address.ts";
import type { MemoryRead, PageSource } from "../../src/base/memory.ts";
import { pageMemory, pagesOfSpan, RecordingMemory, readFromPages } from "../../src/snapshot/page-memory.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { Random } from "../support/random.ts";

const TOP_PAGE = 0xffff_ffff_ffff_f000n;

function span(address: bigint, length: number): { address: ReturnType<typeof phys>; length: number } {
  return { address: phys(address), length };
}

/** Pages whose bytes say where they are: byte i of page p is (p + i) mod 251. */
function marked(...pages: readonly bigint[]): FakeMemory {
  const memory = new FakeMemory();
  for (const page of pages) memory.bytes(page).set(Uint8Array.from({ length: 4096 }, (_, i) => mark(page + BigInt(i))));
  return memory;
}

function mark(address: bigint): number {
  return Number((address ^ (address >> 12n)) % 251n);
}

function markedBytes(address: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => mark(address + BigInt(i)));
}

describe("the pages of a span", () => {
  it.each([
    [0x1000n, 1, [0x1000n]],
    [0x1fffn, 1, [0x1000n]],
    [0x1fffn, 2, [0x1000n, 0x2000n]],
    [0x1000n, 4096, [0x1000n]],
    [0x1001n, 4096, [0x1000n, 0x2000n]],
    [0x1800n, 8192, [0x1000n, 0x2000n, 0x3000n]],
    [TOP_PAGE, 4096, [TOP_PAGE]],
    [TOP_PAGE + 0xfffn, 1, [TOP_PAGE]],
    [TOP_PAGE - 1n, 4097, [TOP_PAGE - 0x1000n, TOP_PAGE]],
    [TOP_PAGE, 8192, [TOP_PAGE]],
  ])("at %s, %i bytes", (address, length, pages) => {
    expect(pagesOfSpan(span(address, length))).toEqual(pages);
  });
});

describe("a span out of pages", () => {
  const memory = marked(0n, 0x1000n, 0x2000n, 0x3000n, TOP_PAGE - 0x1000n, TOP_PAGE);

  it("has the bytes that stand there, over as many pages as it takes", () => {
    const random = new Random(1);
    for (let i = 0; i < 120; i++) {
      const address = BigInt(random.below(0x3000));
      const length = random.between(1, 0x4000 - Number(address));
      const read = readFromPages(memory, span(address, length)) as MemoryRead & { state: "present" };
      expect(read.state).toBe("present");
      expect(Buffer.compare(read.bytes, markedBytes(address, length)), `0x${address.toString(16)}, ${length}`).toBe(0);
    }
  });

  it("has the last bytes of the address space", () => {
    expect(readFromPages(memory, span(TOP_PAGE, 4096))).toEqual({ state: "present", bytes: memory.bytes(TOP_PAGE) });
    const read = readFromPages(memory, span(TOP_PAGE - 2n, 4098));
    expect(read).toEqual({ state: "present", bytes: markedBytes(TOP_PAGE - 2n, 4098) });
  });

  it("is absent where it goes on past the top, not zero and not the bottom", () => {
    expect(readFromPages(memory, span(TOP_PAGE, 4097))).toEqual({ state: "absent", code: "outside-memory" });
    expect(readFromPages(memory, span(TOP_PAGE + 0xfffn, 8192))).toEqual({ state: "absent", code: "outside-memory" });
  });

  it("is what the first page that is missing is", () => {
    const holes = marked(0x1000n, 0x3000n);
    holes.makeUnreadable(0x4000n);
    expect(readFromPages(holes, span(0x1ff0n, 0x20))).toEqual({ state: "absent", code: "outside-memory" });
    expect(readFromPages(holes, span(0x3ff0n, 0x20))).toEqual({ state: "unreadable", code: "read-failed" });
    expect(readFromPages(holes, span(0x1ff0n, 0x3000))).toEqual({ state: "absent", code: "outside-memory" });
    expect(readFromPages(holes, span(0x1ff0n, 0x10)).state).toBe("present");
  });

  it("is unreadable, not absent, where nobody ever asked", () => {
    const nothing: PageSource = { page: () => undefined };
    expect(readFromPages(nothing, span(0x1000n, 8))).toEqual({ state: "unreadable", code: "not-captured" });
  });

  it("is a copy: writing to it changes no page", () => {
    const read = readFromPages(memory, span(0x1000n, 4096)) as MemoryRead & { state: "present" };
    read.bytes.fill(0);
    expect(memory.bytes(0x1000n)[1]).toBe(mark(0x1001n));
  });
});

describe("memory over pages", () => {
  it("answers each span, in order", async () => {
    const memory = pageMemory(marked(0x1000n));
    const reads = await memory.read([span(0x9000n, 1), span(0x1002n, 2), span(0x1ffen, 4)]);
    expect(reads.map(({ state }) => state)).toEqual(["absent", "present", "absent"]);
    expect(reads[1]).toEqual({ state: "present", bytes: markedBytes(0x1002n, 2) });
  });
});

describe("recording memory", () => {
  it("reads whole pages as one batch, each once however many spans touch it", async () => {
    const machine = marked(0x1000n, 0x2000n, 0x3000n);
    const memory = new RecordingMemory(machine);
    const reads = await memory.read([span(0x1ff0n, 0x20), span(0x1000n, 8), span(0x2000n, 8)]);
    expect(machine.batches).toEqual([[span(0x1000n, 4096), span(0x2000n, 4096)]]);
    expect(reads[0]).toEqual({ state: "present", bytes: markedBytes(0x1ff0n, 0x20) });
    await memory.read([span(0x2ff8n, 16)]);
    expect(machine.batches[1]).toEqual([span(0x3000n, 4096)]);
    expect([...memory.pages.keys()]).toEqual([0x1000n, 0x2000n, 0x3000n]);
  });

  it("does not ask again for what was not there", async () => {
    const machine = marked(0x1000n);
    const memory = new RecordingMemory(machine);
    for (let i = 0; i < 3; i++) {
      expect(await memory.read([span(0x9000n, 8)])).toEqual([{ state: "absent", code: "outside-memory" }]);
    }
    expect(machine.pagesRead).toEqual([0x9000n]);
    expect(memory.page(phys(0x9000n))).toEqual({ state: "absent", code: "outside-memory" });
  });

  it("reads up to the top of the address space, and not around it", async () => {
    const machine = marked(0n, TOP_PAGE);
    const memory = new RecordingMemory(machine);
    const [whole, past] = await memory.read([span(TOP_PAGE, 4096), span(TOP_PAGE, 4097)]);
    expect(whole).toEqual({ state: "present", bytes: machine.bytes(TOP_PAGE) });
    expect(past).toEqual({ state: "absent", code: "outside-memory" });
    expect(machine.pagesRead).toEqual([TOP_PAGE]);
  });

  it("keeps why a page was not read, unless more is known of it", async () => {
    const memory = new RecordingMemory(marked(0x1000n));
    await memory.read([span(0x1000n, 1)]);
    memory.noteMissing(phys(0x1008n), "too-many-tables");
    memory.noteMissing(phys(0x5008n), "too-many-tables");
    expect(memory.page(phys(0x1000n))?.state).toBe("present");
    expect(memory.page(phys(0x5000n))).toEqual({ state: "unreadable", code: "too-many-tables" });
  });

  it("knows nothing of what nobody asked for", () => {
    expect(new RecordingMemory(marked(0x1000n)).page(phys(0x1000n))).toBeUndefined();
  });
});

describe("pages read ahead", () => {
  it("are one batch, and are not read again when they are asked for", async () => {
    const machine = marked(0x1000n, 0x2000n, 0x3000n);
    const memory = new RecordingMemory(machine);
    await memory.readAhead([phys(0x1000n), phys(0x2000n)]);
    expect(machine.batches).toEqual([[span(0x1000n, 4096), span(0x2000n, 4096)]]);
    const [read] = await memory.read([span(0x2ff0n, 0x20)]);
    expect(read).toEqual({ state: "present", bytes: markedBytes(0x2ff0n, 0x20) });
    expect(machine.batches[1]).toEqual([span(0x3000n, 4096)]);
  });

  it("are no part of the record until they are asked for", async () => {
    const memory = new RecordingMemory(marked(0x1000n, 0x2000n));
    await memory.readAhead([phys(0x1000n), phys(0x2000n), phys(0x9000n)]);
    expect([...memory.pages.keys()]).toEqual([]);
    expect(memory.page(phys(0x1000n))).toBeUndefined();
    expect(await memory.read([span(0x9000n, 1)])).toEqual([{ state: "absent", code: "outside-memory" }]);
    await memory.read([span(0x1800n, 1)]);
    expect([...memory.pages.keys()]).toEqual([0x9000n, 0x1000n]);
  });
});
