/** Which memory map a capture holds: that of the GetMemoryMap which gave the key ExitBootServices was called with. */
import { describe, expect, it } from "vitest";
import { readMemoryMap } from "../../src/efi/memory-map.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import { type Capture, pointPages } from "../../src/snapshot/model.ts";
import { pageMemory } from "../../src/snapshot/page-memory.ts";
import { mapBytes } from "../efi/writers.ts";
import type { Visit } from "../support/fake-target.ts";
import { BOOT_SERVICES, SYSTEM_TABLE, writeWords } from "../support/firmware.ts";
import {
  BUFFER,
  CALLER,
  captureHandoff,
  EXIT_BOOT_SERVICES,
  EXIT_CALLER,
  exitBootServices,
  GET_MEMORY_MAP,
  getMemoryMap,
  type Handoff,
  STACK,
} from "../support/handoff-target.ts";

const ROWS = [
  { type: 7, start: 0x4000_0000n, pages: 0x4000n },
  { type: 3, start: 0x4750_0000n, pages: 0x10n },
  { type: 6, start: 0x47f0_0000n, pages: 0x100n },
];
const MAP = mapBytes(ROWS);
const OTHER = mapBytes([{ type: 4, start: 0x4000_0000n, pages: 1n }]);

function recorded({ capture }: Handoff): Capture["memoryMap"] {
  return capture?.memoryMap;
}

/** Types and starts of the descriptors that a point has of the capture's map; why not, where it has none. */
async function descriptorsAt(capture: Capture | undefined, id: string): Promise<unknown> {
  const point = capture?.points.find((each) => each.id === id);
  if (capture?.memoryMap === undefined || point === undefined) return "no map or no such point";
  const read = await readMemoryMap(pageMemory(pointPages(point)), capture.memoryMap);
  return read.state === "read" ? read.descriptors.map(({ type, physicalStart }) => [type, physicalStart]) : read;
}

const DESCRIPTORS = ROWS.map(({ type, start }) => [type, start]);

describe("the memory map of a capture", () => {
  it("is that of the call that gave the key, also behind one that failed for want of room", async () => {
    const handoff = await captureHandoff([...getMemoryMap(), ...getMemoryMap({ map: MAP }), ...exitBootServices(7n)]);
    expect(handoff.error).toBeUndefined();
    expect(recorded(handoff)).toEqual({
      ...{ address: BUFFER, size: BigInt(MAP.length), descriptorSize: 48n, descriptorVersion: 1 },
      ...{ mapKey: 7n, caller: CALLER },
    });
    expect(await descriptorsAt(handoff.capture, "before")).toEqual(DESCRIPTORS);
    expect(handoff.capture?.notes).toEqual([]);
    expect(handoff.target.left).toBe(0);
  });

  it("is read again out of the file", async () => {
    const visits = [...getMemoryMap({ map: MAP }), ...exitBootServices(7n)];
    const { capture } = await captureHandoff(visits);
    const read = decodeCapture(encodeCapture(capture as Capture), "x.ebs");
    expect(await descriptorsAt(read, "before")).toEqual(DESCRIPTORS);
  });

  it("is the last one of those with its key", async () => {
    const first = getMemoryMap({ map: OTHER, buffer: BUFFER + 0x4000n, caller: 0x4421_0000n });
    const handoff = await captureHandoff([...first, ...getMemoryMap({ map: MAP }), ...exitBootServices(7n)]);
    expect(recorded(handoff)?.address).toBe(BUFFER);
    expect(recorded(handoff)?.caller).toBe(CALLER);
  });

  it("is not the last one when another had the key", async () => {
    const later = getMemoryMap({ map: OTHER, key: 8n, buffer: BUFFER + 0x4000n });
    const handoff = await captureHandoff([...getMemoryMap({ map: MAP }), ...later, ...exitBootServices(7n)]);
    expect(recorded(handoff)?.address).toBe(BUFFER);
  });

  it("is noted when it is another at the call of ExitBootServices than GetMemoryMap had returned", async () => {
    const [entry, back] = exitBootServices(7n) as [Visit, Visit];
    const reused: Visit = { ...entry, does: (memory) => memory.setWord(BUFFER + 8n, 0x1234_5000n) };
    const changed = await captureHandoff([...getMemoryMap({ map: MAP }), reused, back]);
    expect(changed.capture?.notes).toEqual([expect.stringContaining("is not what GetMemoryMap had returned")]);
    const kept = await captureHandoff([...getMemoryMap({ map: MAP }), entry, back]);
    expect(kept.capture?.notes).toEqual([]);
  });

  it("is unknown, with a note, for a key that nobody was given", async () => {
    const handoff = await captureHandoff([...getMemoryMap({ map: MAP }), ...exitBootServices(0x1234n)]);
    expect(handoff.error).toBeUndefined();
    expect(recorded(handoff)).toBeUndefined();
    expect(handoff.capture?.notes).toEqual([
      "No GetMemoryMap was seen that gave the map key 0x1234: which memory map it stands for is not known.",
    ]);
  });

  it("is unknown, and nothing fails, when no call was seen", async () => {
    const { capture, error } = await captureHandoff(exitBootServices(7n));
    expect(error).toBeUndefined();
    expect(capture?.memoryMap).toBeUndefined();
    expect(capture?.points.map(({ id }) => id)).toEqual(["before", "after", "later"]);
  });

  it("is unknown when the call that gave the key failed", async () => {
    const [entry, back] = getMemoryMap({ map: MAP });
    const failing = { ...back, registers: { ...back.registers, x0: 1n << 63n } };
    expect(recorded(await captureHandoff([entry, failing, ...exitBootServices(7n)]))).toBeUndefined();
  });

  it("is that of the call of ExitBootServices that succeeded", async () => {
    const again = getMemoryMap({ map: MAP, key: 9n, caller: 0x4421_0000n });
    const handoff = await captureHandoff([
      ...getMemoryMap({ map: OTHER }),
      ...exitBootServices(7n, { fails: true }),
      ...again,
      ...exitBootServices(9n),
    ]);
    expect(recorded(handoff)).toMatchObject({ mapKey: 9n, caller: 0x4421_0000n, size: BigInt(MAP.length) });
    expect(handoff.capture?.points.map(({ id }) => id)).toEqual(["before-1", "failed-1", "before", "after", "later"]);
    expect(await descriptorsAt(handoff.capture, "before")).toEqual(DESCRIPTORS);
    const [earlier] = handoff.capture?.points ?? [];
    expect(earlier?.pages.has((BUFFER & ~0xfffn) as never)).toBe(true);
  });
});

describe("calls of GetMemoryMap", () => {
  /** Two calls, one begun while the other is under way. */
  async function nested(outer: readonly Visit[], inner: readonly Visit[], cpus = 1): Promise<readonly unknown[]> {
    const [entry, back] = outer as [Visit, Visit];
    const keys = [7n, 8n];
    const handoffs = keys.map((key) => captureHandoff([entry, ...inner, back, ...exitBootServices(key)], { cpus }));
    return (await Promise.all(handoffs)).map((handoff) => recorded(handoff)?.address);
  }
  const inner = { map: OTHER, key: 8n, buffer: BUFFER + 0x4000n };

  it("are told apart when one is made within another", async () => {
    const within = getMemoryMap({ ...inner, sp: STACK - 0x200n, caller: 0x4751_0000n - 0x100n });
    expect(await nested(getMemoryMap({ map: MAP }), within)).toEqual([BUFFER, inner.buffer]);
  });

  it("are told apart when both return to the same place", async () => {
    const within = getMemoryMap({ ...inner, sp: STACK - 0x200n });
    expect(await nested(getMemoryMap({ map: MAP }), within)).toEqual([BUFFER, inner.buffer]);
  });

  it("are told apart when another vCPU makes one at the same time, from the same place with the same stack pointer", async () => {
    const other = getMemoryMap({ ...inner, cpu: 1 });
    // The other vCPU's values stand where the first one's will: that one writes its own at its return.
    expect(await nested(getMemoryMap({ map: MAP }), other, 2)).toEqual([BUFFER, inner.buffer]);
  });

  it("have not returned when another vCPU, or another frame, comes by where they return to", async () => {
    const [entry, back] = getMemoryMap({ map: MAP });
    const stale = { x0: 0n };
    const passing: Visit[] = [
      { pc: CALLER, cpu: 1, registers: { ...stale, sp: STACK } },
      { pc: CALLER, registers: { ...stale, sp: STACK - 0x80n } },
    ];
    const handoff = await captureHandoff([entry, ...passing, back, ...exitBootServices(7n)], { cpus: 2 });
    expect(recorded(handoff)?.mapKey).toBe(7n);
    expect(handoff.target.left).toBe(0);
  });

  it("that never return are forgotten for others", async () => {
    const lost = Array.from(
      { length: 40 },
      (_, i) => getMemoryMap({ sp: STACK - BigInt(i * 16), caller: CALLER + BigInt(i * 64) })[0],
    );
    const handoff = await captureHandoff([...lost, ...getMemoryMap({ map: MAP }), ...exitBootServices(7n)]);
    expect(recorded(handoff)?.address).toBe(BUFFER);
    const most = Math.max(...handoff.target.seen.map(({ breakpoints }) => breakpoints.size));
    // The entry, ExitBootServices and the return addresses; later the vectors.
    expect(most).toBeLessThanOrEqual(18);
  });

  it("that return to GetMemoryMap itself do not end the watch", async () => {
    const odd = Array.from(
      { length: 40 },
      (_, i) => getMemoryMap({ sp: STACK - BigInt(i * 16), caller: GET_MEMORY_MAP })[0],
    );
    const handoff = await captureHandoff([...odd, ...getMemoryMap({ map: MAP }), ...exitBootServices(7n)]);
    // Sixteen of them are under way; two dozen others push them out.
    const more = Array.from(
      { length: 24 },
      (_, i) => getMemoryMap({ sp: STACK - BigInt(i * 32), caller: 0x4421_0000n })[0],
    );
    const pushed = await captureHandoff([...odd, ...more, ...getMemoryMap({ map: MAP }), ...exitBootServices(7n)]);
    for (const each of [handoff, pushed]) expect(recorded(each)?.address).toBe(BUFFER);
  });

  it.each(["x0", "x1", "x2", "x3", "x4"] as const)("without a pointer in %s give no map", async (without) => {
    const handoff = await captureHandoff([...getMemoryMap({ map: MAP, without }), ...exitBootServices(7n)]);
    expect(recorded(handoff)).toBeUndefined();
    expect(handoff.error).toBeUndefined();
  });

  it("whose results cannot be read give no map", async () => {
    const [entry, back] = getMemoryMap({ map: MAP });
    const visits = [
      { ...entry, registers: { ...entry.registers, x2: 0x10_0000_0000n } },
      back,
      ...exitBootServices(7n),
    ];
    expect(recorded(await captureHandoff(visits))).toBeUndefined();
  });

  it("are watched 2,000 times, and not while ExitBootServices runs", async () => {
    const calls = Array.from({ length: 2500 }, () => getMemoryMap()).flat();
    const inside = getMemoryMap({ map: OTHER, key: 7n });
    const handoff = await captureHandoff([
      ...calls,
      ...getMemoryMap({ map: MAP }),
      ...exitBootServices(7n, { inside }),
    ]);
    expect(handoff.capture?.notes[0]).toBe(
      "Calls of GetMemoryMap are not watched any more: it was called more than 2000 times.",
    );
    expect(recorded(handoff)).toBeUndefined();
    expect(handoff.target.stops).toBeLessThan(4010);
    expect(handoff.target.left).toBe(0);
  });

  it("inside ExitBootServices stop nothing", async () => {
    const inside = getMemoryMap({ map: OTHER, key: 7n, buffer: BUFFER + 0x4000n });
    const visits = [...getMemoryMap({ map: MAP }), ...exitBootServices(7n, { inside })];
    const { capture, target } = await captureHandoff(visits);
    expect(capture?.memoryMap?.address).toBe(BUFFER);
    const called = target.seen.findIndex(({ pc }) => pc === EXIT_BOOT_SERVICES);
    const within = target.seen.slice(called + 1, called + 3);
    expect(within.map(({ pc }) => pc)).toEqual([GET_MEMORY_MAP, CALLER]);
    for (const { breakpoints } of within) {
      expect(breakpoints.has(GET_MEMORY_MAP)).toBe(false);
      expect(breakpoints.has(EXIT_CALLER)).toBe(true);
    }
  });
});

describe("a map that cannot be one", () => {
  it.each([
    ["of 16 EiB", { size: 2n ** 64n - 1n }],
    ["of no bytes", { size: 0n }],
    ["of descriptors of 8 bytes", { descriptorSize: 8n }],
    ["past the end of the address space", { buffer: 2n ** 64n - 0x18n, unwritten: true }],
  ])("is told as it was returned, and harms nothing: one %s", async (_, change) => {
    const visits = [...getMemoryMap({ map: MAP, ...change }), ...exitBootServices(7n)];
    const { capture, error } = await captureHandoff(visits);
    expect(error).toBeUndefined();
    expect(capture?.memoryMap?.mapKey).toBe(7n);
    expect(await descriptorsAt(capture, "before")).toMatchObject({ state: "invalid" });
    const read = decodeCapture(encodeCapture(capture as Capture), "x.ebs");
    expect(read.memoryMap).toEqual(capture?.memoryMap);
  });
});

describe("GetMemoryMap where no breakpoint may go", () => {
  const visits = [...getMemoryMap({ map: MAP }), ...exitBootServices(7n)];
  const SERVICE = BOOT_SERVICES + 24n + 4n * 8n;

  it.each([
    ["in no image", 0x4600_0000n, "lies in no loaded image"],
    ["nowhere", 0n, "lies in no loaded image"],
    ["between instructions", GET_MEMORY_MAP + 2n, "is no code address"],
  ])("is left alone, with a note: %s", async (_, address, doubt) => {
    const { capture, target } = await captureHandoff(visits, {
      prepare: ({ memory, seal }) => {
        writeWords(memory, SERVICE, [address]);
        seal(BOOT_SERVICES);
        seal(SYSTEM_TABLE);
      },
    });
    expect(capture?.notes).toEqual([
      `GetMemoryMap points to 0x${address.toString(16)}, which ${doubt}: its calls are not watched.`,
    ]);
    expect(capture?.memoryMap).toBeUndefined();
    expect(target.seen.some(({ breakpoints }) => breakpoints.has(address))).toBe(false);
  });

  it.each([
    ["at its entry", GET_MEMORY_MAP, "the stub takes no breakpoint there"],
    ["where it returns to", CALLER, "the stub takes no more breakpoints"],
  ])("is left alone when the stub refuses one %s, and the capture is whole", async (_, address, why) => {
    const { capture, error, target } = await captureHandoff(visits, {
      prepare: (__, fake) => void fake.refuses.add(address),
    });
    expect(error).toBeUndefined();
    expect(capture?.notes[0]).toBe(`Calls of GetMemoryMap are not watched any more: ${why}.`);
    expect(capture?.points.map(({ id }) => id)).toEqual(["before", "after", "later"]);
    expect(target.left).toBe(0);
  });
});
