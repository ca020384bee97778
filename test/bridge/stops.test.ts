/** What is told of a stop, and what can be asked of a guest that stands still. Addresses and bits are those of the Arm ARM, by hand. */
import { describe, expect, it } from "vitest";
import { failure } from "../support/failure.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { FakeTarget, type Visit } from "../support/fake-target.ts";
import { writeWords } from "../support/firmware.ts";
import { tcrEl1 } from "../support/regimes.ts";
import { type Bridged, bridged, told } from "./support.ts";

const T1 = { target: "t1" };
const ROOT = 0x4000_0000n;
const LEVEL_3 = 0x4000_3000n;
/** Valid, page, AF, inner shareable. */
const PAGE = 0x703n;
const READ_ONLY = 1n << 7n;

/** Tables that map 512 pages at 0x4000_0000 one to one, but for the last. */
function tables(): FakeMemory {
  const memory = new FakeMemory();
  writeWords(memory, ROOT, [0x4000_1003n]);
  writeWords(memory, 0x4000_1008n, [0x4000_2003n]);
  writeWords(memory, 0x4000_2000n, [LEVEL_3 | 3n]);
  for (let i = 0n; i < 511n; i++) writeWords(memory, LEVEL_3 + i * 8n, [(ROOT + i * 0x1000n) | PAGE]);
  for (let i = 0n; i < 16n; i++) memory.bytes(ROOT + i * 0x1000n);
  return memory;
}

/** Translation on; MAIR 0 is Normal write-back. */
const ON = { SCTLR_EL1: 5n, TCR_EL1: tcrEl1(), MAIR_EL1: 0xffn, TTBR0_EL1: ROOT };

interface Attached extends Bridged {
  readonly target: FakeTarget;
  readonly memory: FakeMemory;
}

/** Stands where its translation is on; the visits after that come one a step. */
async function attached(visits: readonly Visit[], cpus = 1): Promise<Attached> {
  const memory = tables();
  const target = new FakeTarget(memory, [{ pc: ROOT, registers: ON }, ...visits], cpus);
  const all = await bridged({ 1: target });
  await all.call("Target.attach", { gdb: ":1" });
  await all.call("Target.step", T1);
  return { ...all, target, memory };
}

const changes = ({ log }: Bridged) => log.of("registers.changed").map(({ data }) => data.registers);

describe("registers.changed", () => {
  it("has what differs from the stop before, by field, and nothing else", async () => {
    const all = await attached([{ pc: ROOT + 4n, registers: { SCTLR_EL1: 0x100dn, x0: 0x1234n } }]);
    await all.call("Target.step", T1);
    expect(changes(all).at(-1)).toEqual([
      { cpu: 0, name: "x0", class: "general", before: "0x0", after: "0x1234", fields: [] },
      { cpu: 0, name: "pc", class: "general", before: "0x40000000", after: "0x40000004", fields: [] },
      {
        ...{ cpu: 0, name: "SCTLR_EL1", class: "control", before: "0x5", after: "0x100d" },
        fields: [
          { name: "I", before: "0x0", after: "0x1", meaning: expect.any(String) },
          { name: "SA", before: "0x0", after: "0x1", meaning: expect.any(String) },
        ],
      },
    ]);
  });

  it("comes right after its stop, and not at all when nothing changed", async () => {
    const all = await attached([{ pc: ROOT }]);
    const from = all.log.events.length;
    await all.call("Target.step", T1);
    await all.call("Target.step", T1);
    expect(all.log.kinds.slice(from)).toEqual(["target.stopped", "target.stopped"]);
    expect(all.log.kinds.slice(0, from)).toEqual([
      ...["bridge.started", "target.attached", "target.stopped", "target.stopped", "registers.changed"],
    ]);
  });

  it("tells of every vCPU", async () => {
    const all = await attached([{ pc: ROOT, cpu: 0, registers: { x1: 1n } }], 2);
    await all.call("Target.step", { ...T1, cpu: 1 });
    expect(changes(all).at(-1)).toMatchObject([
      { cpu: 1, name: "x1", after: "0x1" },
      { cpu: 1, name: "pc", after: "0x40000000" },
    ]);
  });

  it("does not come while nobody wants it, and then compares with where the guest stood when somebody did", async () => {
    const all = await attached([{ pc: ROOT + 4n }, { pc: ROOT + 8n }, { pc: ROOT + 12n }]);
    expect(await all.call("Registers.watch", { ...T1, registers: false })).toEqual({
      registers: false,
      mappings: false,
    });
    const from = changes(all).length;
    await all.call("Target.step", T1);
    await all.call("Target.step", T1);
    await all.call("Registers.watch", { ...T1, registers: true });
    await all.call("Target.step", T1);
    expect(changes(all).slice(from)).toMatchObject([[{ name: "pc", before: "0x40000008", after: "0x4000000c" }]]);
  });
});

describe("mappings.changed", () => {
  it("has the runs that differ from the stop before, when somebody watches", async () => {
    const change = (memory: FakeMemory): void =>
      writeWords(memory, LEVEL_3 + 8n, [(ROOT + 0x1000n) | PAGE | READ_ONLY, (ROOT + 0x2000n) | PAGE | READ_ONLY]);
    const all = await attached([{ pc: ROOT + 4n, does: change }, { pc: ROOT + 8n }]);
    expect(await all.call("Registers.watch", { ...T1, mappings: true })).toEqual({ registers: true, mappings: true });
    await all.call("Target.step", T1);
    await all.call("Target.step", T1);
    expect(all.log.of("mappings.changed").map(({ data }) => data)).toMatchObject([
      {
        complete: true,
        mappings: [
          {
            ...{ regime: "EL1&0", kind: "changed", va: "0x40001000", size: "0x2000", owner: null, memoryType: null },
            before: { pa: "0x40001000", write: true },
            after: { pa: "0x40001000", write: false },
          },
        ],
      },
    ]);
  });

  it("is not complete where a table cannot be read", async () => {
    const lose = (memory: FakeMemory): void => memory.makeUnreadable(LEVEL_3);
    const all = await attached([{ pc: ROOT + 4n, does: lose }]);
    await all.call("Registers.watch", { ...T1, mappings: true });
    await all.call("Target.step", T1);
    expect(all.log.of("mappings.changed").map(({ data }) => data)).toEqual([{ mappings: [], complete: false }]);
  });

  it("tells the first thousand of many runs, and that there are more", async () => {
    // 2,044 single pages: every other one goes, in four tables.
    const memory = tables();
    for (let table = 1n; table < 5n; table++) {
      writeWords(memory, 0x4000_2000n + table * 8n, [(0x4010_0000n + table * 0x1000n) | 3n]);
      for (let i = 0n; i < 512n; i++) {
        writeWords(memory, 0x4010_0000n + table * 0x1000n + i * 8n, [(0x4020_0000n + i * 0x1000n) | PAGE]);
      }
    }
    const change = (there: FakeMemory): void => {
      for (let i = 0n; i < 2048n; i += 2n) writeWords(there, 0x4010_1000n + i * 8n, [0n]);
    };
    const target = new FakeTarget(memory, [
      { pc: ROOT, registers: ON },
      { pc: ROOT, does: change },
    ]);
    const all = await bridged({ 1: target });
    await all.call("Target.attach", { gdb: ":1" });
    await all.call("Target.step", T1);
    await all.call("Registers.watch", { ...T1, mappings: true });
    await all.call("Target.step", T1);
    const [event] = all.log.of("mappings.changed");
    expect(event?.data.mappings).toHaveLength(1000);
    expect(event?.data.complete).toBe(false);
    expect(event?.data.mappings[0]).toMatchObject({ kind: "removed", va: "0x40200000", size: "0x1000" });
  });
});

describe("a guest that stands still", () => {
  it("shows the registers that are named, by either name, of the vCPU that is named", async () => {
    const { call } = await attached([], 2);
    expect(await call("Registers.get", { ...T1, names: ["SCTLR_EL1", "x0"], cpu: 0 })).toMatchObject([
      { cpu: 0, name: "x0", value: "0x0" },
      { cpu: 0, name: "SCTLR_EL1", value: "0x5" },
    ]);
    expect(await call("Registers.get", T1)).toHaveLength(2 * 42);
    expect((await failure(call("Registers.get", { ...T1, names: ["NO_SUCH"] }))).code).toBe("register-missing");
    expect((await failure(call("Registers.get", { ...T1, cpu: 2 }))).code).toBe("usage");
  });

  it("shows memory through its tables, over the edges of pages", async () => {
    const { call, memory } = await attached([]);
    // The pages lie the other way round in physical memory.
    writeWords(memory, LEVEL_3 + 0x80n, [(ROOT + 0x9000n) | PAGE, (ROOT + 0x8000n) | PAGE]);
    memory.write(ROOT + 0x9ffcn, Uint8Array.of(1, 2, 3, 4));
    memory.write(ROOT + 0x8000n, Uint8Array.of(5, 6, 7, 8));
    const read = { ...T1, address: "0x40010ffc", length: 8 };
    expect(await call("Memory.read", read)).toEqual({
      ...{ address: "0x40010ffc", code: null },
      bytes: Buffer.of(1, 2, 3, 4, 5, 6, 7, 8).toString("base64"),
    });
    expect(await call("Memory.read", { ...read, physical: true })).toMatchObject({
      bytes: null,
      code: "outside-memory",
    });
    expect(await call("Memory.read", { ...T1, address: "0x40009ffc", length: 4, physical: true })).toMatchObject({
      bytes: Buffer.of(1, 2, 3, 4).toString("base64"),
    });
  });

  it.each([
    ["an address that is not mapped", "0x401ff000", 1, "not-mapped"],
    ["a span that is mapped in part", "0x401fefff", 2, "not-mapped"],
    ["the last addresses that there are", "0xffffffffffffffff", 2, "outside-memory"],
  ])("has no bytes at %s", async (_, address, length, code) => {
    const { call, memory } = await attached([]);
    memory.bytes(0x401f_e000n);
    expect(await call("Memory.read", { ...T1, address, length })).toEqual({ address, bytes: null, code });
  });

  it("has no bytes where a table cannot be read", async () => {
    const { call, memory } = await attached([]);
    memory.makeUnreadable(LEVEL_3);
    expect(await call("Memory.read", { ...T1, address: "0x40001000", length: 4 })).toMatchObject({
      ...{ bytes: null, code: "read-failed" },
    });
  });

  it("explains an address at one point, now, by the four descriptors on its way, and reads no others", async () => {
    const { call, memory } = await attached([]);
    memory.batches.length = 0;
    const explained = await call("PageTable.explain", { ...T1, va: "0x40005678" });
    expect(explained).toMatchObject({
      ...{ va: "0x40005678", changes: [] },
      points: [
        {
          ...{ point: "now", regime: "EL1&0", live: true },
          steps: [
            { level: 0, table: "0x40000000", index: 0, descriptor: "0x40001003", kind: "table" },
            { level: 1, table: "0x40001000", index: 1, descriptor: "0x40002003", kind: "table" },
            { level: 2, table: "0x40002000", index: 0, descriptor: "0x40003003", kind: "table" },
            { level: 3, table: "0x40003000", index: 5, descriptor: "0x40005703", kind: "page" },
          ],
          result: { mapped: true, pa: "0x40005678", write: true },
        },
      ],
    });
    expect(memory.batches.flat()).toHaveLength(4);
    await call("PageTable.explain", { ...T1, va: "0x40006000" });
    expect(memory.batches.flat()).toHaveLength(4);
  });

  it("explains an address in a regime that is not in use", async () => {
    const { call } = await attached([]);
    const { points } = await call("PageTable.explain", { ...T1, va: "0x1000", regime: "EL3" });
    expect(points).toMatchObject([{ point: "now", regime: "EL3", live: false }]);
  });

  it("lists what is mapped, and what is not known", async () => {
    const { call, memory } = await attached([]);
    const { mappings, coverage } = await call("PageTable.list", T1);
    expect(mappings).toMatchObject([
      { regime: "EL1&0", va: "0x40000000", size: "0x1ff000", pa: "0x40000000", read: true, write: true, owner: null },
    ]);
    expect(coverage).toEqual([]);
    memory.makeUnreadable(LEVEL_3);
    // It has not moved: what was read stands.
    expect((await call("PageTable.list", T1)).mappings).toHaveLength(1);
    await call("Target.step", T1);
    expect(await call("PageTable.list", T1)).toMatchObject({
      mappings: [],
      coverage: [{ point: "now", regime: "EL1&0", pa: "0x40003000", level: 3, code: "read-failed" }],
    });
  });

  it("is read anew after each stop", async () => {
    const all = await attached([{ pc: ROOT + 4n, does: (memory) => writeWords(memory, LEVEL_3, [0n]) }]);
    await all.call("Memory.read", { ...T1, address: "0x40000000", length: 1 });
    await all.call("Target.step", T1);
    await told(all, "target.stopped", 3);
    expect(await all.call("Memory.read", { ...T1, address: "0x40000000", length: 1 })).toMatchObject({
      code: "not-mapped",
    });
    expect(await all.call("Registers.get", { ...T1, names: ["pc"] })).toMatchObject([{ value: "0x40000004" }]);
  });
});
