/** Sessions on real machines with two vCPUs in one loop: what is told against what the guest itself counts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { attach, type Session, type Stop } from "../../src/session/index.ts";
import { Guest, QEMU_7, QEMU_10, temporaryFolder } from "../support/live.ts";

/**
 * Written by hand, from address 0 on (flash): vCPU 0 turns the other one on (PSCI CPU_ON, 0xc4000003), and both go round in a loop. x11 counts,
 * and each writes its count to a word of its own in RAM.
 */
const TWO = Uint32Array.of(
  0xd280_0060, // 00  mov x0, #3
  0xf2b8_8000, // 04  movk x0, #0xc400, lsl #16
  0xd280_0021, // 08  mov x1, #1
  0x1000_00c2, // 0c  adr x2, 24
  0xd280_0003, // 10  mov x3, #0
  0xd400_0002, // 14  hvc #0
  0xd280_000b, // 18  mov x11, #0
  0xd2a8_000c, // 1c  movz x12, #0x4000, lsl #16
  0x1400_0004, // 20  b 30
  0xd280_000b, // 24  mov x11, #0
  0xd2a8_000c, // 28  movz x12, #0x4000, lsl #16
  0x9100_218c, // 2c  add x12, x12, #8
  0x9100_056b, // 30  add x11, x11, #1
  0xf900_018b, // 34  str x11, [x12]
  0xd503_201f, // 38  nop
  0x17ff_fffd, // 3c  b 30
);
const LOOP = 0x30n;
const STORE = 0x34n;
const WORDS = [0x4000_0000n, 0x4000_0008n];
const HITS = 600;

interface Machine extends AsyncDisposable {
  readonly session: Session;
  /** x11 and the pc of each vCPU. */
  counts(): Promise<{ readonly count: bigint; readonly pc: bigint }[]>;
}

async function twoCpus(qemu: string): Promise<Machine> {
  const folder = temporaryFolder();
  const firmware = join(folder.path, "two.bin");
  writeFileSync(firmware, TWO);
  const guest = await new Guest({ qemu, firmware, smp: 2, memory: 128 }).listening();
  const session = await attach(guest.address);
  const counts = () =>
    Promise.all(
      [0, 1].map(async (cpu) => {
        const registers = await session.registers(cpu);
        return { count: registers.get("x11") ?? -1n, pc: registers.get("pc") ?? -1n };
      }),
    );
  const end = async (): Promise<void> => {
    await session[Symbol.asyncDispose]();
    await guest[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  };
  // Both are in the loop when both have written.
  for (let tries = 0; tries < 100; tries++) {
    await session.next({ timeoutMs: 20 }).catch(() => undefined);
    if ((await counts()).every(({ count, pc }) => count > 1000n && pc >= LOOP)) break;
  }
  return { session, counts, [Symbol.asyncDispose]: end };
}

function tally(stops: readonly Pick<Stop, "cpu">[]): number[] {
  return [0, 1].map((cpu) => stops.filter((stop) => stop.cpu === cpu).length);
}

async function take(session: Session, count: number): Promise<Stop[]> {
  const stops: Stop[] = [];
  for await (const stop of session.stops({ timeoutMs: 20_000 })) {
    stops.push(stop);
    if (stops.length === count) break;
  }
  return stops;
}

describe.each([
  ["7.2", QEMU_7],
  ["10.0", QEMU_10],
])("two vCPUs of QEMU %s", (_, qemu) => {
  it("that reach a breakpoint together: no hit is missed and none told twice", async () => {
    await using machine = await twoCpus(qemu);
    const { session } = machine;
    await using breakpoint = await session.breakpoint(LOOP);
    const before = await machine.counts();
    const stops = await take(session, HITS);
    const after = await machine.counts();
    const last = stops.at(-1);
    const hits = tally(stops);
    // Whoever is at the breakpoint now has not gone round yet: the last one that was told, and nobody else has been told there.
    const rounds = after.map(({ count }, cpu) => Number(count - (before[cpu]?.count ?? 0n)));
    expect(rounds).toEqual(hits.map((count, cpu) => (last?.cpu === cpu ? count - 1 : count)));
    expect(hits.every((count) => count > 0)).toBe(true);
    expect(breakpoint).toMatchObject({ arrivals: HITS, hits: HITS });
    expect(stops.map(({ hit }) => hit)).toEqual(Array.from({ length: HITS }, (__, i) => i + 1));
    // Each saw its own count, one more at each hit.
    for (const cpu of [0, 1]) {
      const seen = stops.filter((stop) => stop.cpu === cpu).map(({ general }) => general.get("x11") ?? 0n);
      expect(seen.every((count, i) => i === 0 || count === (seen[i - 1] ?? 0n) + 1n)).toBe(true);
    }
  });

  it("in a trace: each round of each vCPU once, in order", async () => {
    await using machine = await twoCpus(qemu);
    const before = await machine.counts();
    const seen: { readonly cpu: number; readonly count: bigint }[] = [];
    for await (const { cpu, registers, memory } of machine.session.trace(LOOP, {
      count: HITS,
      memory: [{ name: "words", address: WORDS[0] ?? 0n, length: 16 }],
    })) {
      const count = registers.get("x11") ?? -1n;
      seen.push({ cpu, count });
      const words = memory.get("words");
      // What this vCPU wrote last: the store comes behind the counting.
      if (words?.state !== "present") throw new Error("the memory is missing");
      expect(Buffer.from(words.bytes).readBigUInt64LE(cpu * 8)).toBe(count);
    }
    const after = await machine.counts();
    for (const cpu of [0, 1]) {
      const counts = seen.filter((each) => each.cpu === cpu).map(({ count }) => count);
      const first = before[cpu]?.count ?? 0n;
      expect(counts.length).toBeGreaterThan(0);
      // The first one may have been on its way to the breakpoint, with the count of this round already.
      expect([first, first + 1n]).toContain(counts[0]);
      expect(counts.every((count, i) => i === 0 || count === (counts[i - 1] ?? 0n) + 1n)).toBe(true);
      expect([counts.at(-1), (counts.at(-1) ?? 0n) + 1n]).toContain(after[cpu]?.count);
    }
  });

  it("that write together: each write is told once, with what was there before and after", async () => {
    await using machine = await twoCpus(qemu);
    const { session } = machine;
    for (const word of WORDS) await session.watchWrite(word, 8);
    const stops = await take(session, HITS);
    for (const [cpu, word] of WORDS.entries()) {
      const writes = stops.filter(({ written }) => written?.watch.address === word);
      expect(writes.length).toBeGreaterThan(0);
      expect(writes.every((stop) => stop.cpu === cpu && stop.reason === "watchpoint" && stop.pc === STORE)).toBe(true);
      const values = writes.map(({ written }) =>
        [written?.before, written?.after].map((read) =>
          read?.state === "present" ? Buffer.from(read.bytes).readBigUInt64LE() : undefined,
        ),
      );
      // A chain without a gap: each write finds what the one before it has left, and counts one up.
      values.forEach(([before, after], i) => {
        expect(after).toBe((before ?? 0n) + 1n);
        if (i > 0) expect(before).toBe(values[i - 1]?.[1]);
      });
      const now = await session.memory(word, 8);
      if (now.state !== "present") throw new Error("the memory is missing");
      const left = Buffer.from(now.bytes).readBigUInt64LE();
      // One more is done where it was told together with the last one, and not taken yet.
      expect([values.at(-1)?.[1], (values.at(-1)?.[1] ?? 0n) + 1n]).toContain(left);
    }
    expect(stops.every(({ hits }) => hits.length === 1)).toBe(true);
  });
});
