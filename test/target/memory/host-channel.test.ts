import { describe, expect, it } from "vitest";
import { phys } from "../../../src/base/address.ts";
import type { PhysSpan } from "../../../src/base/memory.ts";
import { HostChannel } from "../../../src/target/memory/host-channel.ts";
import type { TreeRange } from "../../../src/target/memory-map.ts";
import { FakeHost, FakeMachine } from "../../support/fake-host.ts";

const PAGE = 4096;
const range = (start: number, pages: number, name: string): TreeRange => ({
  start: phys(start),
  size: BigInt(pages * PAGE),
  kind: "ram",
  name,
  regionOffset: 0n,
});

async function channelOver(...ranges: readonly TreeRange[]) {
  const machine = new FakeMachine([]);
  const host = new FakeHost(machine);
  const channel = new HostChannel(host, { read: host.pread, random: () => 0.999 });
  await channel.relocate(ranges);
  return { machine, host, channel };
}

/** Compares what the channel draws with the machine. */
function agree(machine: FakeMachine, channel: HostChannel): PhysSpan[] {
  const samples = channel.draw();
  for (const sample of samples) {
    const { address, length } = sample.span;
    channel.judge(sample, { state: "present", bytes: machine.bytes(Number(address), length) });
  }
  return samples.map(({ span }) => span);
}

describe("the pages that a channel has compared", () => {
  it("come from every range, a dozen of each at first, and from all over it", async () => {
    const { machine, channel } = await channelOver(range(0, 4096, "a"), range(0x1000_0000, 65536, "b"));
    const drawn = agree(machine, channel);
    for (const [start, pages] of [[0, 4096] as const, [0x1000_0000, 65536] as const]) {
      const own = drawn
        .map(({ address }) => (Number(address) - start) / PAGE)
        .filter((page) => page >= 0 && page < pages);
      expect(own).toHaveLength(12);
      expect(own.some((page) => page < pages / 4)).toBe(true);
      expect(own.some((page) => page > (pages * 3) / 4)).toBe(true);
    }
    expect(channel.proven).toBe(true);
  });

  it("are one a range once it is proven", async () => {
    const { machine, channel } = await channelOver(range(0, 4096, "a"), range(0x1000_0000, 4096, "b"));
    agree(machine, channel);
    expect(agree(machine, channel)).toHaveLength(2);
  });

  it.each([1, 2, 3, 5, 127, 513])("never lie outside a range of %d pages", async (pages) => {
    const { machine, channel } = await channelOver(range(0x10_0000, pages, "a"));
    machine.filling = { fill: 0 };
    for (let i = 0; i < 40; i++) {
      for (const { address, length } of agree(machine, channel)) {
        expect(address).toBeGreaterThanOrEqual(0x10_0000n);
        expect(address + BigInt(length)).toBeLessThanOrEqual(BigInt(0x10_0000 + pages * PAGE));
      }
    }
  });

  it("end with a range that ends inside a page", async () => {
    const { machine, host, channel } = await channelOver({ ...range(0, 1, "a"), size: 100n });
    machine.filling = { fill: 0 };
    expect(agree(machine, channel).every(({ address, length }) => address === 0n && length === 100)).toBe(true);
    expect(host.reads.length).toBeGreaterThan(0);
  });

  it("are looked for where the last search ended, while a range is blank", async () => {
    const { machine, host, channel } = await channelOver(range(0, 1 << 16, "a"));
    machine.filling = { fill: 0 };
    agree(machine, channel);
    const first = host.reads.splice(0).length;
    agree(machine, channel);
    const second = host.reads.splice(0).map(({ position }) => position);
    agree(machine, channel);
    const third = host.reads.splice(0).map(({ position }) => position);
    expect(second.length).toBeLessThan(first / 4);
    expect(third.filter((position) => second.includes(position))).toEqual([]);
  });
});

describe("a channel that is closed", () => {
  it("reads nothing any more, whatever its file's number is used for by then", async () => {
    const { machine, host, channel } = await channelOver(range(0, 64, "a"));
    agree(machine, channel);
    channel.close();
    host.reads.length = 0;
    expect(channel.attempt([{ address: phys(0), length: PAGE }])).toBeUndefined();
    expect(channel.draw()).toEqual([]);
    expect(host.reads).toEqual([]);
  });
});

describe("a machine with very many ranges", () => {
  it("has the first of them covered only: each costs two questions", async () => {
    const ranges = Array.from({ length: 1000 }, (_, i) => range(i * 2 * PAGE, 1, `r${i}`));
    const { host } = await channelOver(...ranges);
    expect(host.locatedWith).toEqual(ranges.slice(0, 64));
  });
});
