import { describe, expect, it } from "vitest";
import type { TraceHit } from "../../src/session/index.ts";
import { failure } from "../support/failure.ts";
import { fakeSession } from "./support.ts";

const A = 0x4400_0000n;
const B = 0x4400_0100n;
const DATA = 0x4600_0000n;

/** `count` visits of a place, x0 counting from 1, and up in memory too. */
function rounds(pc: bigint, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    ...{ pc, registers: { x0: BigInt(i + 1), TTBR0_EL1: BigInt(i) } },
    does: (memory: { setWord(address: bigint, word: bigint): void }) => memory.setWord(DATA, BigInt(i + 1)),
  }));
}

async function all(hits: AsyncIterable<TraceHit>): Promise<TraceHit[]> {
  const seen: TraceHit[] = [];
  for await (const hit of hits) seen.push(hit);
  return seen;
}

describe("a trace", () => {
  it("records each hit with what was asked for, and ends at the last one with the guest halted there", async () => {
    const { session, target } = fakeSession(rounds(A, 5));
    const memory = [{ name: "count", address: DATA, length: 8 }];
    const hits = await all(session.trace(A, { count: 3, registers: ["TTBR0_EL1"], memory }));
    expect(hits.map(({ hit, cpu, place }) => [hit, cpu, place.address])).toEqual([
      [1, 0, A],
      [2, 0, A],
      [3, 0, A],
    ]);
    expect(hits.map(({ registers }) => registers.get("x0"))).toEqual([1n, 2n, 3n]);
    expect(hits.map(({ registers }) => registers.get("TTBR0_EL1"))).toEqual([0n, 1n, 2n]);
    const counts = hits.map(({ memory: read }) => read.get("count"));
    expect(counts.map((read) => (read?.state === "present" ? read.bytes[0] : read?.state))).toEqual([1, 2, 3]);
    expect([target.running, target.left]).toEqual([false, 2]);
    expect(target.breakpoints.size).toBe(0);
    expect((await session.registers()).get("x0")).toBe(3n);
  });

  it("of several places says which it was", async () => {
    const { session } = fakeSession([{ pc: A }, { pc: B }, { pc: B }, { pc: A }]);
    const hits = await all(session.trace([A, B], { count: 4 }));
    expect(hits.map(({ place }) => place.address)).toEqual([A, B, B, A]);
  });

  it("with a condition drops the records that do not meet it", async () => {
    const { session } = fakeSession(rounds(A, 9));
    const when = ({ registers }: TraceHit): boolean => (registers.get("x0") ?? 0n) % 3n === 0n;
    const hits = await all(session.trace(A, { count: 3, when }));
    expect(hits.map(({ hit, registers }) => [hit, registers.get("x0")])).toEqual([
      [1, 3n],
      [2, 6n],
      [3, 9n],
    ]);
  });

  it("that is left in the middle loses no hit: the next trace has those that were not yielded", async () => {
    const { session, target } = fakeSession(rounds(A, 6));
    const seen: (bigint | undefined)[] = [];
    for await (const { hit, registers } of session.trace(A)) {
      seen.push(registers.get("x0"));
      if (hit === 2) break;
    }
    expect(target.running).toBe(false);
    for (const { registers } of await all(session.trace(A, { count: 3 }))) seen.push(registers.get("x0"));
    expect(seen).toEqual([1n, 2n, 3n, 4n, 5n]);
  });

  it("goes on to stops from its last hit without telling it again", async () => {
    const { session } = fakeSession(rounds(A, 3));
    await all(session.trace(A, { count: 2 }));
    await session.breakpoint(A);
    expect((await session.next()).general.get("x0")).toBe(3n);
  });

  it("does not ask for memory that is none", async () => {
    const { session, target } = fakeSession(rounds(A, 2));
    const [hit] = await all(
      session.trace(A, { count: 1, memory: [{ name: "uart", address: 0x900_0000n, length: 4 }] }),
    );
    expect(hit?.memory.get("uart")).toMatchObject({ state: "absent" });
    expect(target.virtualReads.some(({ address }) => address === 0x900_0000n)).toBe(false);
  });

  it("is not possible beside other breakpoints: a hit would step over them", async () => {
    const { session } = fakeSession([]);
    await session.breakpoint(B);
    expect(await failure(all(session.trace(A)))).toMatchObject({ code: "target-busy" });
  });

  it.each([
    ["a register that there is not", { registers: ["SCTLR_EL9"] }, "register-missing"],
    ["no hits", { count: 0 }, "usage"],
    ["more memory than a hit may read", { memory: [{ name: "x", address: 0n, length: 1 << 20 }] }, "usage"],
    ["a length below nothing", { memory: [{ name: "x", address: 0n, length: -1 }] }, "usage"],
  ] as const)("with %s is refused, and leaves nothing behind", async (_, options, code) => {
    const { session, target } = fakeSession([]);
    expect(await failure(all(session.trace(A, options)))).toMatchObject({ code });
    expect(target.breakpoints.size).toBe(0);
  });

  it("that waits too long ends with an error, the guest halted and clean", async () => {
    const { session, target } = fakeSession(rounds(A, 1));
    const hits = session.trace(A, { timeoutMs: 10 });
    await hits.next();
    expect(await failure(hits.next())).toMatchObject({ code: "timed-out" });
    expect([target.running, target.breakpoints.size]).toEqual([false, 0]);
  });
});
