/** The parts of the watch by themselves: what is kept, where stacks are read, what an instruction stores to, which registers differ. */
import { describe, expect, it } from "vitest";
import { phys, type VirtAddr, virt } from "../../../src/base/address.ts";
import { KnownRegisters } from "../../../src/capture/blame/known-registers.ts";
import { NOTHING, Recorder } from "../../../src/capture/blame/recorder.ts";
import { differences, Shadow } from "../../../src/capture/blame/shadow.ts";
import { StackReader } from "../../../src/capture/blame/stack-reader.ts";
import { storesOf } from "../../../src/capture/blame/stores.ts";
import type { BlameEvent, StackSample } from "../../../src/snapshot/blame.ts";
import { FakeMemory } from "../../support/fake-memory.ts";
import { FakeTarget } from "../../support/fake-target.ts";
import { registersFrom } from "../../support/regimes.ts";

const write = (address: bigint) => ({ ...NOTHING, kind: "table", cpu: 0, address }) as const;
const sample = (lr: bigint, words: readonly bigint[] = []): StackSample => ({ sp: 0n, fp: 0n, lr, cpsr: 0n, words });

describe("the recorder", () => {
  it("keeps as many events as it may, counts the others, and tells those that it keeps", () => {
    const heard: BlameEvent[] = [];
    const recorder = new Recorder(3, (event) => heard.push(event));
    for (let i = 0n; i < 5n; i++) {
      recorder.nextStop();
      recorder.add(write(i));
    }
    const { events, uncounted } = recorder.result();
    expect(events.map(({ address, stop }) => [address, stop])).toEqual([
      [0n, 1],
      [1n, 2],
      [2n, 3],
    ]);
    expect([uncounted, recorder.full, recorder.count, recorder.seen]).toEqual([2, true, 3, 5]);
    expect(heard).toEqual(events);
  });

  it("does not lose points and lapses, and counts them for nothing", () => {
    const recorder = new Recorder(1, () => undefined);
    recorder.add({ ...NOTHING, kind: "point", cpu: 0, address: 0n });
    recorder.add(write(8n));
    recorder.lapse(0, "why");
    recorder.add({ ...NOTHING, kind: "point", cpu: 0, address: 1n });
    expect(recorder.result().events.map(({ kind }) => kind)).toEqual(["point", "table", "lapse", "point"]);
    expect(recorder.result().notes).toEqual(["why"]);
  });

  it("keeps a stack once, and says which is new", () => {
    const recorder = new Recorder(1, () => undefined);
    expect(recorder.known(sample(1n))).toBeUndefined();
    expect(recorder.stack(sample(1n))).toEqual({ index: 0, isNew: true });
    expect(recorder.stack(sample(2n))).toEqual({ index: 1, isNew: true });
    expect(recorder.stack(sample(1n))).toEqual({ index: 0, isNew: false });
    expect(recorder.known(sample(2n))).toMatchObject({ index: 1 });
    expect(recorder.result().stacks).toEqual([sample(1n), sample(2n)]);
  });

  it("keeps no more stacks than there is room for, however long they are, and says so", () => {
    const recorder = new Recorder(1, () => undefined);
    const long = Array.from({ length: 128 }, (_, i) => BigInt(i));
    let kept = 0;
    for (let i = 0n; i < 100_000n; i++) if (recorder.stack(sample(i, long)) !== undefined) kept++;
    expect(kept).toBeGreaterThan(1_000);
    expect(kept * 128).toBeLessThan(3_000_000);
    expect(recorder.known(sample(99_999n, long))).toEqual({ index: undefined });
    expect(recorder.result().notes.join()).toMatch(/more different call chains than are kept/);
  });

  it("copies the contents of pages", () => {
    const recorder = new Recorder(1, () => undefined);
    const page = new Uint8Array(4096).fill(1);
    expect(recorder.contents(page)).toBe(0);
    page.fill(2);
    expect(recorder.result().contents[0]?.[0]).toBe(1);
  });
});

describe("what is known of a table's page", () => {
  it("is not changed in place by a write", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1008n, 7n);
    const shadow = new Shadow();
    await shadow.fetch(memory, [phys(0x1000n), phys(0x2000n)]);
    const before = shadow.page(phys(0x1000n));
    shadow.write(phys(0x1008n), 9n);
    shadow.write(phys(0x2008n), 9n);
    expect([shadow.word(phys(0x1008n)), shadow.word(phys(0x2008n))]).toEqual([9n, undefined]);
    if (before?.state !== "present") throw new Error("no page");
    expect(before.bytes[8]).toBe(7);
    expect(memory.word(0x1008n)).toBe(7n);
  });

  it("differs by doublewords", () => {
    const [a, b] = [new Uint8Array(4096), new Uint8Array(4096)];
    b[0] = 1;
    b[4095] = 0x80;
    expect(differences(phys(0x1000n), a, b)).toEqual([
      { address: 0x1000n, old: 0n, now: 1n },
      { address: 0x1ff8n, old: 0n, now: 1n << 63n },
    ]);
  });
});

describe("reading a stack", () => {
  const SP = 0x4000_0000n;

  /** Frame records, `at` → next and return address. */
  function stack(records: readonly (readonly [bigint, bigint, bigint])[], isMemory = (page: bigint) => page >= SP) {
    const memory = new FakeMemory();
    for (let page = SP; page < SP + 0x10_0000n; page += 0x1000n) memory.bytes(page);
    for (const [at, next, link] of records) {
      memory.setWord(at, next);
      memory.setWord(at + 8n, link);
    }
    const target = new FakeTarget(memory, []);
    const reader = new StackReader(target, (_, page: VirtAddr) => isMemory(page));
    const [cpu] = target.info.cpus;
    if (cpu === undefined) throw new Error("no vCPU");
    const registers = (fp: bigint, sp = SP) => registersFrom({ sp, x29: fp, x30: 1n, cpsr: 5n });
    const links = ({ words }: StackSample) => words.filter((_, i) => i % 4 === 3);
    return { target, reader, cpu, memory, registers, links };
  }

  it("asks for what lies near at once, and where it was the last time", async () => {
    const { target, reader, cpu, registers, links } = stack([
      [SP + 0x20n, SP + 0x60n, 2n],
      [SP + 0x60n, SP + 0x9000n, 3n],
      [SP + 0x9000n, 0n, 4n],
    ]);
    expect(reader.guess(cpu)).toEqual([]);
    const sample = await reader.complete(cpu, registers(SP + 0x20n), []);
    expect(links(sample)).toEqual([2n, 3n, 4n]);
    reader.learn(cpu, sample);
    const guess = reader.guess(cpu);
    expect(guess).toEqual([
      { address: SP + 0x20n, length: 0x50 },
      { address: SP + 0x9000n, length: 16 },
    ]);
    const reads = await target.readVirtual(cpu, guess);
    const pieces = guess.map(({ address }, i) => ({ address, read: reads[i] as (typeof reads)[0] }));
    expect(reader.follow(registers(SP + 0x20n), pieces)).toEqual({ sample, missing: undefined });
    // Elsewhere by now: the guess does not hold it.
    expect(reader.follow(registers(SP + 0x40n, SP + 0x40n), pieces).missing).not.toBe(SP + 0x20n);
    expect(reader.follow(registers(SP + 0x5000n), pieces).missing).toBe(SP + 0x5000n);
  });

  it.each([
    ["a record that leads to itself", [[SP + 0x20n, SP + 0x20n, 2n]], SP + 0x20n, [2n]],
    ["one that leads back", [[SP + 0x60n, SP + 0x20n, 2n]], SP + 0x60n, [2n]],
    ["an unaligned one", [[SP + 0x20n, SP + 0x64n, 2n]], SP + 0x20n, [2n]],
    ["one below the stack pointer", [[SP - 0x10n, 0n, 2n]], SP - 0x10n, []],
    ["one too far away", [[SP + 0x20n, SP + 0x20_0000n, 2n]], SP + 0x20n, [2n]],
    ["no frame pointer", [], 0n, []],
    ["a frame pointer that is no multiple of 8", [], SP + 0x21n, []],
    ["a return address of 0", [[SP + 0x20n, SP + 0x60n, 0n]], SP + 0x20n, [0n]],
  ] as const)("ends at %s", async (_, records, fp, expected) => {
    const { reader, cpu, registers, links } = stack(records);
    expect(links(await reader.complete(cpu, registers(fp), []))).toEqual(expected);
  });

  it("ends after 32 frames", async () => {
    const records = Array.from({ length: 50 }, (_, i) => {
      const at = SP + BigInt(0x20 + 16 * i);
      return [at, at + 16n, BigInt(i + 1)] as const;
    });
    const { reader, cpu, registers, links } = stack(records);
    expect(links(await reader.complete(cpu, registers(SP + 0x20n), []))).toHaveLength(32);
  });

  it("reads no page between two records that is no memory any more", async () => {
    const records = Array.from({ length: 20 }, (_, i) => {
      const at = SP + BigInt(0x20 + 0x200 * i);
      return [at, at + 0x200n, BigInt(i + 1)] as const;
    });
    let gone = -1n;
    const { reader, cpu, registers } = stack(records, (page) => page >= SP && page !== gone);
    reader.learn(cpu, await reader.complete(cpu, registers(SP + 0x20n), []));
    expect(reader.guess(cpu)).toHaveLength(1);
    gone = SP + 0x1000n;
    expect(reader.guess(cpu)).toEqual([]);
  });

  it("ends where it cannot be read, the end of its page included", async () => {
    const { reader, cpu, registers, links, memory, target } = stack(
      [
        [SP + 0xff0n, SP + 0x1010n, 2n],
        [SP + 0x1010n, 0n, 3n],
      ],
      (page) => page >= SP && page < SP + 0x1000n,
    );
    expect(links(await reader.complete(cpu, registers(SP + 0xff0n), []))).toEqual([2n]);
    expect(target.virtualReads).toEqual([{ address: SP + 0xff0n, length: 16 }]);
    memory.makeUnreadable(SP);
    expect(links(await reader.complete(cpu, registers(SP + 0xff0n), []))).toEqual([]);
  });
});

describe("what an instruction stores to", () => {
  const X1 = 0x4000_0010n;
  // As llvm-mc 14 encodes them.
  it.each([
    ["str x0, [x1]", 0xf900_0020, [X1], [0x55n]],
    ["str x0, [x1, #16]", 0xf900_0820, [X1 + 16n], [0x55n]],
    ["str x0, [x1], #8", 0xf800_8420, [X1], [0x55n]],
    ["stur x0, [x1, #-8]", 0xf81f_8020, [X1 - 8n], [0x55n]],
    ["sttr x0, [x1]", 0xf800_0820, [X1], [0x55n]],
    ["str x0, [x1, x2]", 0xf822_6820, [X1 + 0x100n], [0x55n]],
    ["str x0, [x1, x2, lsl #3]", 0xf822_7820, [X1 + 0x800n], [0x55n]],
    ["str xzr, [x1]", 0xf900_003f, [X1], [0n]],
    ["str w0, [x1]", 0xb900_0020, [X1], undefined],
    ["strb w0, [x1]", 0x3900_0020, [X1], undefined],
    ["stp x0, x2, [x1]", 0xa900_0820, [X1, X1 + 8n], undefined],
    ["str q0, [x1]", 0x3d80_0020, [X1, X1 + 8n], undefined],
    ["stxr w2, x0, [x1]", 0xc802_7c20, [X1], undefined],
    ["ldadd x0, x2, [x1]", 0xf820_0022, [X1], undefined],
    ["swp x0, x2, [x1]", 0xf820_8022, [X1], undefined],
    ["dc zva, x1", 0xd50b_7421, [0n, 8n, 16n, 24n, 32n, 40n, 48n, 56n].map((i) => 0x4000_0000n + i), undefined],
    ["ldr x0, [x1]", 0xf940_0020, [], undefined],
    ["nop", 0xd503_201f, [], undefined],
  ] as const)("is known for %s", (_, word, doublewords, values) => {
    const registers = registersFrom({ x0: 0x55n, x1: X1, x2: 0x100n, sp: 0n });
    expect(storesOf(word, registers, 64)).toEqual({ doublewords, values });
  });

  it("is both doublewords of an unaligned store, whose values are not known", () => {
    const registers = registersFrom({ x0: 0x55n, x1: X1 + 4n });
    expect(storesOf(0xf900_0020, registers, 64)).toEqual({ doublewords: [X1, X1 + 8n], values: undefined });
  });

  it("is not known for SVE, or without the register", () => {
    expect(storesOf(0xe5e0_e020, registersFrom({ x1: X1 }), 64)).toBeUndefined();
    expect(storesOf(0xf900_0020, registersFrom({}), 64)).toBeUndefined();
  });
});

describe("the registers that are known", () => {
  it("differ where both values could be read, and then are known anew", async () => {
    const target = new FakeTarget(new FakeMemory(), []);
    const { info } = target;
    const known = new KnownRegisters(info);
    expect(known.control.map(({ name }) => name)).toEqual([
      ...["SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "VBAR_EL1"],
    ]);
    known.setAll(await target.readRegisters(info.cpus, info.registers));
    target.setRegisters({ SCTLR_EL1: 5n, ELR_EL1: 9n });
    const [row = []] = await target.readRegisters(info.cpus, info.registers);
    const [control = []] = await target.readRegisters(info.cpus, known.control);
    const difference = { name: "SCTLR_EL1", old: 0n, now: 5n };
    expect(known.compare(0, row)).toMatchObject([difference]);
    expect(known.set(0, known.control, control)).toMatchObject([difference]);
    expect(known.compare(0, row)).toEqual([]);
    expect(known.set(0, known.control, [{ state: "unreadable" }])).toEqual([]);
    expect(known.zeroBlock(0)).toBe(64);
    expect(virt(known.of(0).get("ELR_EL1") ?? 0n)).toBe(0x4740_0000n);
  });
});
