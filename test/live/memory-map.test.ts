/**
 * The memory map that a capture holds against what the guests themselves say of theirs: the test guest its key, Linux (efi=debug) each
 * descriptor. That their own behaviour does not change is what the other live tests see in their output.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readMemoryMap } from "../../src/efi/memory-map.ts";
import { pointPages } from "../../src/snapshot/model.ts";
import { pageMemory } from "../../src/snapshot/page-memory.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import {
  ebscope,
  guestLine,
  guestLines,
  HANDOFF,
  LINUX,
  type MachineOptions,
  machine,
  temporaryFolder,
} from "../support/live.ts";

interface Descriptor {
  readonly type: number;
  readonly start: bigint;
  readonly pages: bigint;
  readonly attribute: bigint;
}

interface Run {
  readonly capture: Awaited<ReturnType<typeof readCapture>>;
  readonly descriptors: readonly Descriptor[];
  /** The guest's serial port. */
  readonly serial: string;
}

async function captured(options: MachineOptions, watch: number): Promise<Run> {
  using folder = temporaryFolder();
  const file = join(folder.path, "map.ebs");
  const { code, stderr } = await ebscope("capture", "--watch", `${watch}`, "-o", file, "--", ...machine(options));
  expect(code, stderr).toBe(0);
  const capture = await readCapture(file);
  const before = capture.points.find(({ id }) => id === "before");
  if (before === undefined || capture.memoryMap === undefined) throw new Error(`no memory map:\n${stderr}`);
  const read = await readMemoryMap(pageMemory(pointPages(before)), capture.memoryMap);
  if (read.state !== "read") throw new Error(read.why);
  expect(read.problems).toEqual([]);
  const descriptors = read.descriptors.map(({ type, physicalStart, pages, attribute }) => ({
    ...{ type, start: physicalStart },
    ...{ pages, attribute },
  }));
  return { capture, descriptors, serial: stderr.replaceAll("guest| ", "") };
}

/** Names of types in the order of EFI_MEMORY_TYPE, as drivers/firmware/efi/efi.c of Linux prints them. */
const LINUX_TYPES = [
  ...["Reserved", "Loader Code", "Loader Data", "Boot Code", "Boot Data", "Runtime Code", "Runtime Data"],
  ...["Conventional", "Unusable", "ACPI Reclaim", "ACPI Mem NVS", "MMIO", "MMIO Port", "PAL Code", "Persistent"],
];

/** Attributes as Linux prints them, by their bit (UEFI 2.10, 7.2.3); `RUN` is EFI_MEMORY_RUNTIME. */
const LINUX_ATTRIBUTES: Readonly<Record<string, bigint>> = {
  ...{ UC: 1n << 0n, WC: 1n << 1n, WT: 1n << 2n, WB: 1n << 3n, UCE: 1n << 4n, WP: 1n << 12n, RP: 1n << 13n },
  ...{ XP: 1n << 14n, NV: 1n << 15n, MR: 1n << 16n, RO: 1n << 17n, SP: 1n << 18n, CC: 1n << 19n, RUN: 1n << 63n },
};

/** The lines `efi:   0x000040000000-0x00004007ffff [Loader Data |RUN|  | … |WB|WT|WC|UC]`. */
function linuxMap(serial: string): Descriptor[] {
  const lines = serial.matchAll(/efi:\s+0x([0-9a-f]+)-0x([0-9a-f]+) \[([A-Za-z ]+)\|([^\]]*)\]/g);
  return [...lines].map(([, first = "", last = "", type = "", attributes = ""]) => ({
    type: LINUX_TYPES.indexOf(type.trim()),
    start: BigInt(`0x${first}`),
    pages: (BigInt(`0x${last}`) + 1n - BigInt(`0x${first}`)) / 4096n,
    attribute: attributes
      .split("|")
      .map((word) => word.trim())
      .reduce((bits, word) => bits | (LINUX_ATTRIBUTES[word] ?? 0n), 0n),
  }));
}

/** Neighbours of one type and the same attributes as one: Linux may split what it reserves. */
function merged(descriptors: readonly Descriptor[]): Descriptor[] {
  const all: Descriptor[] = [];
  for (const each of descriptors.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    const last = all.at(-1);
    const joins = last?.type === each.type && last.attribute === each.attribute;
    if (last !== undefined && joins && last.start + last.pages * 4096n === each.start)
      all.splice(-1, 1, { ...last, pages: last.pages + each.pages });
    else all.push(each);
  }
  return all;
}

describe("the memory map of a capture", () => {
  it("mode=clean: has the key that the guest prints for the call that succeeded, and covers what it says of its memory", async () => {
    const { capture, descriptors, serial } = await captured({ kernel: HANDOFF, append: "mode=clean" }, 1);
    const exits = guestLines(serial, "exit");
    expect(exits.map(({ status }) => status)).toEqual(["0x8000000000000002", "0x0"]);
    expect(`0x${capture.memoryMap?.mapKey.toString(16)}`).toBe(exits.at(-1)?.key);
    expect(exits.at(0)?.key).not.toBe(exits.at(-1)?.key);
    const { base = "", size = "" } = guestLine(serial, "image");
    const at = (address: bigint) =>
      descriptors.find(({ start, pages }) => address >= start && address < start + pages * 4096n);
    // The guest called, and its buffer is its own data.
    const { address = 0n, caller = 0n } = capture.memoryMap ?? {};
    for (const own of [address, caller]) {
      expect(own >= BigInt(base) && own < BigInt(base) + BigInt(size)).toBe(true);
      expect([1, 2]).toContain(at(own)?.type);
    }
    expect(at(capture.efi?.exitBootServices ?? 0n)?.type).toBe(3);
    expect(capture.notes.filter((note) => note.includes("GetMemoryMap"))).toEqual([]);
  });

  it("Linux: has the descriptors that the kernel prints, one by one", async () => {
    const append = "console=ttyAMA0 earlycon efi=debug";
    const { capture, descriptors, serial } = await captured({ kernel: LINUX, append }, 4);
    const printed = linuxMap(serial);
    expect(printed.length).toBeGreaterThan(20);
    expect(printed.every(({ type }) => type >= 0)).toBe(true);
    expect(merged(printed)).toEqual(merged(descriptors));
    expect(capture.memoryMap?.mapKey).toBe(capture.attempts.at(-1)?.mapKey);
  });
});
