import { describe, expect, it } from "vitest";
import { phys } from "../../../src/base/address.ts";
import type { MemoryRead, PhysSpan } from "../../../src/base/memory.ts";
import { GuestMemory } from "../../../src/target/memory/guest-memory.ts";
import { compare, HostChannel } from "../../../src/target/memory/host-channel.ts";
import { FakeHost, FakeMachine, type FakeRange, type Filling } from "../../support/fake-host.ts";
import { Random } from "../../support/random.ts";

const PAGE = 4096;
const MIB = 1 << 20;
const RAM: FakeRange = { start: 0x4000_0000, size: 16 * MIB, name: "ram" };
const FLASH: FakeRange = { start: 0, size: 4 * MIB, name: "flash", kind: "rom" };
const BLANK: Filling = { fill: 0 };

const pages = (start: number, count: number): PhysSpan[] =>
  Array.from({ length: count }, (_, i) => ({ address: phys(start + i * PAGE), length: PAGE }));

interface Setup {
  readonly machine: FakeMachine;
  readonly host: FakeHost;
  readonly memory: GuestMemory;
  readonly channel: HostChannel;
}

/** Guest memory with a channel that was looked at as attaching does. */
async function setUp(layout: readonly FakeRange[] = [FLASH, RAM], filling: Filling = "told"): Promise<Setup> {
  const machine = new FakeMachine(layout, filling);
  const host = new FakeHost(machine);
  const random = new Random(5);
  const memory = new GuestMemory(machine, machine.monitor);
  await memory.refresh();
  const channel = new HostChannel(host, { read: host.pread, random: () => random.next() / 2 ** 32 });
  await channel.relocate(memory.access.ranges);
  await compare(channel, machine);
  memory.use({ channel, refusals: [] });
  machine.stubReads.length = 0;
  host.reads.length = 0;
  return { machine, host, memory, channel };
}

function expectBytes(machine: FakeMachine, spans: readonly PhysSpan[], reads: readonly MemoryRead[]): void {
  expect(reads).toHaveLength(spans.length);
  const wrong = spans.filter(({ address, length }, i) => {
    const read = reads[i];
    return read?.state !== "present" || Buffer.compare(read.bytes, machine.bytes(Number(address), length)) !== 0;
  });
  expect(wrong).toEqual([]);
}

/** How many of the spans the stub was asked for since the last time; what was only compared is not among them. */
function askedOf(machine: FakeMachine, spans: readonly PhysSpan[]): number {
  const asked = machine.stubReads.splice(0).flat();
  return asked.filter((one) => spans.includes(one)).length;
}

describe("a channel that agrees", () => {
  it("serves what is read, and the stub is asked for a few pages of it to compare", async () => {
    const { machine, host, memory } = await setUp();
    const spans = pages(RAM.start + 3 * MIB, 512);
    const reads = await memory.read(spans);
    expectBytes(machine, spans, reads);
    expect(memory.channel).toMatchObject({ kind: "process", name: "process 4711", proven: true, note: undefined });
    expect(machine.stubBytes).toBeGreaterThan(0);
    expect(machine.stubBytes).toBeLessThan(16 * PAGE);
    const compared = machine.stubReads.flat().map(({ address }) => address);
    expect(compared.every((address) => spans.some((span) => span.address === address))).toBe(true);
    expect(host.reads[0]).toEqual({ position: RAM.start + 3 * MIB + host.offset, length: 512 * PAGE });
  });

  it("reads the first and the last byte of each range, and pieces of any length between", async () => {
    const { machine, memory } = await setUp();
    const random = new Random(9);
    const spans: PhysSpan[] = [RAM, FLASH].flatMap(({ start, size }) => [
      { address: phys(start), length: 1 },
      { address: phys(start + size - 1), length: 1 },
      ...Array.from({ length: 100 }, () => {
        const at = random.below(size - 9000);
        return { address: phys(start + at), length: random.between(1, 9000) };
      }),
    ]);
    expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(0);
  });

  it("leaves what lies in no range to the stub, which knows that it is absent", async () => {
    const { machine, memory } = await setUp();
    const outside: PhysSpan[] = [
      { address: phys(RAM.start + RAM.size - 1), length: 2 },
      { address: phys(0x900_0000), length: 4 },
      { address: phys(2n ** 64n - 1n), length: 1 },
    ];
    const inside = pages(RAM.start, 1);
    const reads = await memory.read([...outside, ...inside]);
    for (const read of reads.slice(0, 3)) expect(read).toEqual({ state: "absent", code: "outside-memory" });
    expectBytes(machine, inside, reads.slice(3));
  });

  it("leaves a range that it does not cover to the stub, and answers in the order that was asked", async () => {
    const { machine, host, memory } = await setUp();
    host.hidden.add("flash");
    await memory.refresh();
    machine.stubReads.length = 0;
    const spans = [...pages(FLASH.start, 2), ...pages(RAM.start, 2), ...pages(FLASH.start + MIB, 1)];
    expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(3);
  });

  it("is not asked, nor the stub, when nothing is read", async () => {
    const { machine, host, memory } = await setUp();
    expect(await memory.read([])).toEqual([]);
    expect([machine.stubBytes, host.reads]).toEqual([0, []]);
  });
});

describe("a channel on probation", () => {
  it("is not used for a machine whose memory is blank, however much of it agrees", async () => {
    const { machine, memory } = await setUp([FLASH, RAM], BLANK);
    const spans = pages(RAM.start, 300);
    for (let i = 0; i < 5; i++) expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(5 * 300);
    expect(memory.channel).toMatchObject({ kind: "process", proven: false });
  });

  it("proves itself by the reads that are done anyway, as the guest fills its memory", async () => {
    const { machine, memory } = await setUp([RAM], BLANK);
    // Between the places of the grid: nobody looks there unasked.
    const spans = pages(RAM.start + 7 * MIB + 5 * PAGE, 3).concat(pages(RAM.start + 8 * MIB + 17 * PAGE, 6));
    for (const { address } of spans) machine.fillings.set(Number(address), "told");
    expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(spans.length);
    expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(0);
    expect(memory.channel.proven).toBe(true);
  });

  it("proves itself by pages of its own choice when the memory map is refreshed", async () => {
    const { machine, memory } = await setUp([RAM], BLANK);
    machine.filling = "told";
    await memory.refresh();
    machine.stubReads.length = 0;
    const spans = pages(RAM.start, 10);
    expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(0);
  });

  it("keeps a blank range on the stub when another range has proven the channel", async () => {
    const { machine, memory } = await setUp([FLASH, RAM], BLANK);
    for (let at = RAM.start; at < RAM.start + RAM.size; at += PAGE) machine.fillings.set(at, "told");
    for (let i = 0; i < 3; i++) await memory.refresh();
    machine.stubReads.length = 0;
    const [flash, ram] = [pages(FLASH.start, 20), pages(RAM.start, 20)];
    expectBytes(machine, [...flash, ...ram], await memory.read([...flash, ...ram]));
    const asked = machine.stubReads.flat();
    expect(flash.every((span) => asked.includes(span))).toBe(true);
    expect(ram.some((span) => asked.includes(span))).toBe(false);
  });

  it("ends at the first page that differs, and everything comes from the stub", async () => {
    const { machine, host, memory } = await setUp([RAM], BLANK);
    host.other = new FakeMachine([RAM], { fill: 1 });
    const spans = pages(RAM.start, 4);
    expectBytes(machine, spans, await memory.read(spans));
    expectBytes(machine, spans, await memory.read(spans));
    expect(memory.channel).toMatchObject({ kind: "rsp", name: "the stub" });
    expect(memory.channel.note).toMatch(/process 4711.*does not hold what the stub reads at physical 0x40000000/);
    expect(host.closed).toBe(1);
  });
});

describe("a channel that was proven", () => {
  it.each([
    ["belongs to another machine", (host: FakeHost) => (host.other = new FakeMachine([FLASH, RAM], { fill: 3 }))],
    ["lies elsewhere by a page", (host: FakeHost) => (host.realOffset += PAGE)],
  ])("is found out when what it reads from %s: the answer is the stub's, and it never comes back", async (_, spoil) => {
    const { machine, host, memory } = await setUp();
    const { realOffset } = host;
    spoil(host);
    const spans = pages(RAM.start + MIB, 64);
    expectBytes(machine, spans, await memory.read(spans));
    expect(memory.channel.kind).toBe("rsp");
    host.other = undefined;
    host.realOffset = realOffset;
    await memory.refresh();
    expectBytes(machine, spans, await memory.read(spans));
    expect([memory.channel.kind, host.closed]).toEqual(["rsp", 1]);
    expect(memory.channel.refusals.at(-1)).toMatchObject({ kind: "process", denied: false });
  });

  it("is found out by a refresh of the memory map, before anything is read", async () => {
    const { host, memory } = await setUp();
    host.other = new FakeMachine([FLASH, RAM], { fill: 3 });
    await memory.refresh();
    expect(memory.channel.kind).toBe("rsp");
  });

  it.each([
    ["fails with EIO", { code: "EIO" }, /reading it failed \(EIO\)/],
    ["is gone, as of a process that has ended", { came: 0 }, /nothing to read any more/],
    ["comes short", { came: 100 }, /came short/],
  ])("ends when a read %s; the stub answers", async (_, failing, why) => {
    const { machine, host, memory } = await setUp();
    host.failing = failing;
    const spans = pages(RAM.start, 8);
    expectBytes(machine, spans, await memory.read(spans));
    expect(memory.channel.note).toMatch(why);
    expect(askedOf(machine, spans)).toBe(8);
    expect(host.closed).toBe(1);
  });

  it("ends when it reads what the stub refuses to: the stub's word counts", async () => {
    const { machine, memory } = await setUp([RAM]);
    machine.refused.add(RAM.start);
    const reads = await memory.read(pages(RAM.start, 1));
    expect(reads).toEqual([{ state: "unreadable", code: "read-failed" }]);
    expect(memory.channel.kind).toBe("rsp");
  });

  it("does not answer for a stub that is lost, although its own bytes are there", async () => {
    const { machine, memory } = await setUp();
    let lose: () => void = () => undefined;
    machine.gate = new Promise((resolve) => {
      lose = resolve;
    });
    const reading = memory.read(pages(RAM.start, 8));
    machine.lost = new Error("the connection is lost");
    lose();
    await expect(reading).rejects.toThrow("the connection is lost");
  });

  it("is never read while the guest runs: the stub refuses, as it would", async () => {
    const { machine, host, memory } = await setUp();
    machine.halted = false;
    await expect(memory.read(pages(RAM.start, 8))).rejects.toThrow("the guest runs");
    expect(host.reads).toEqual([]);
  });

  it("is closed once, and the stub is asked from then on", async () => {
    const { machine, host, memory } = await setUp();
    memory.close();
    memory.close();
    const spans = pages(RAM.start, 4);
    expectBytes(machine, spans, await memory.read(spans));
    expect([host.closed, memory.channel.kind, memory.channel.note]).toEqual([1, "rsp", undefined]);
  });
});

describe("a memory map that changes", () => {
  const MOVED: FakeRange = { ...RAM, start: 0x8000_0000 };

  it("has the channel asked anew, and what it covers then proven anew", async () => {
    const { machine, host, memory } = await setUp();
    machine.layout = [FLASH, MOVED];
    expect(await memory.refresh()).toEqual([
      { start: 0n, size: BigInt(FLASH.size), kind: "rom", name: "flash" },
      { start: BigInt(MOVED.start), size: BigInt(MOVED.size), kind: "ram", name: "ram" },
    ]);
    expect(host.locatedWith.map(({ start }) => start)).toEqual([0n, BigInt(MOVED.start)]);
    const [gone, there] = [pages(RAM.start, 2), pages(MOVED.start, 2)];
    const reads = await memory.read([...gone, ...there]);
    expect(reads.slice(0, 2).map(({ state }) => state)).toEqual(["absent", "absent"]);
    expectBytes(machine, there, reads.slice(2));
    expect(memory.channel).toMatchObject({ kind: "process", note: undefined });
  });

  it("is waited for by a read that began with the old one, which the stub then answers", async () => {
    const { machine, host, memory } = await setUp();
    // The same memory, somewhere else: what is read at the old place is no one's.
    host.offset += 64 * MIB;
    host.realOffset = host.offset;
    // Told late: long after the stub has answered for the pages that are compared.
    host.gate = () => new Promise((resolve) => setTimeout(resolve, 20));
    const refreshing = memory.refresh();
    const spans = pages(RAM.start, 8);
    expectBytes(machine, spans, await memory.read(spans));
    await refreshing;
    expect(memory.channel).toMatchObject({ kind: "process", note: undefined });
    machine.stubReads.length = 0;
    expectBytes(machine, spans, await memory.read(spans));
    expect(askedOf(machine, spans)).toBe(0);
  });

  it("is not served by the channel until it is known where everything lies", async () => {
    const { machine, host, memory } = await setUp();
    const other: FakeRange = { ...RAM, name: "other" };
    machine.layout = [other];
    let tell: () => void = () => undefined;
    const told = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const asked = new Promise<void>((resolve) => {
      host.gate = (ranges) => {
        if (ranges.length !== 1) return undefined;
        host.realOffset += 64 * MIB;
        resolve();
        return told;
      };
    });
    const refreshing = memory.refresh();
    await asked;
    host.reads.length = 0;
    const spans = pages(other.start, 4);
    expectBytes(machine, spans, await memory.read(spans));
    expect(host.reads).toEqual([]);
    host.realOffset = host.offset;
    tell();
    await refreshing;
    expect(memory.channel).toMatchObject({ kind: "process", note: undefined });
  });

  it("without any place for the channel ends it", async () => {
    const { host, memory } = await setUp();
    host.hidden.add("ram").add("flash");
    await memory.refresh();
    expect(memory.channel).toMatchObject({ kind: "rsp" });
    expect(memory.channel.note).toMatch(/nothing is told of/);
  });

  it("is refused when it names no memory", async () => {
    const { machine, memory } = await setUp();
    machine.layout = [];
    await expect(memory.refresh()).rejects.toMatchObject({ code: "stub-unsupported" });
  });
});
