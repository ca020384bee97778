/** One bit of a session is damaged on its way, each bit in turn: what is accepted nevertheless has to be right. */
import { describe, expect, it } from "vitest";
import { Connection } from "../../src/rsp/connection.ts";
import { failure } from "../support/failure.ts";
import { FakeTransport, settled } from "../support/fake-transport.ts";
import { type FlipCase, flipSession } from "../support/flip-session.ts";
import { packet } from "../support/honest-stub.ts";
import type { Direction } from "../support/memory-line.ts";
import { VirtualTime } from "../support/virtual-time.ts";

interface Tally {
  flips: number;
  /** Sessions in which all was answered rightly all the same. */
  repaired: number;
  /** Sessions in which the stub got another request than was sent, and refused it. */
  refused: number;
  /** Sessions that ended with a typed error, by its code. */
  readonly errors: Map<string, number>;
  /** What was accepted and is not right, with the case to run again. */
  readonly wrong: string[];
}

/** Flips one bit in `every` of a whole session's traffic, from the bit `first` on. */
async function flipAll(how: FlipCase, directions: readonly Direction[], every = 1, first = 0): Promise<Tally> {
  using time = new VirtualTime();
  const clean = await flipSession(time, how);
  expect(clean).toMatchObject({ refused: 0, wrong: [], errors: [] });
  const tally: Tally = { flips: 0, repaired: 0, refused: 0, errors: new Map(), wrong: [] };
  for (const direction of directions) {
    for (let bit = first; bit < clean.bytes[direction] * 8; bit += every) {
      const flip = { direction, bit };
      const { right, refused, errors, wrong } = await flipSession(time, { ...how, flip });
      tally.flips++;
      if (right === clean.right) tally.repaired++;
      if (refused > 0) tally.refused++;
      const [error] = errors;
      if (error !== undefined) tally.errors.set(error, (tally.errors.get(error) ?? 0) + 1);
      tally.wrong.push(...wrong.map((what) => `${JSON.stringify({ ...how, flip })}: ${what}`));
    }
  }
  return tally;
}

const BOTH: readonly Direction[] = ["to-stub", "to-client"];

describe("a single bit that is damaged on the line", () => {
  it("never makes a wrong answer be accepted with acknowledgements, and nearly always costs nothing (gdbserver's manners)", async () => {
    const tally = await flipAll({ manners: "gdbserver", mode: "strict" }, BOTH);
    expect(tally.wrong).toEqual([]);
    expect(tally.flips).toBeGreaterThanOrEqual(10_000);
    expect(tally.repaired / tally.flips).toBeGreaterThan(0.9);
    // A `#` that was made or lost on the way to the stub, and a checksum that is right by chance.
    expect(tally.refused).toBeLessThan(10);
    expect([...tally.errors.keys()].sort()).toEqual(["not-a-gdbstub", "protocol-error", "stub-silent", "timed-out"]);
  }, 120_000);

  it("nor with QEMU's manners, whose answers may have several packets under one acknowledgement", async () => {
    const tally = await flipAll({ manners: "qemu", mode: "strict", seed: 1 }, BOTH, 5, 3);
    expect(tally.wrong).toEqual([]);
    expect(tally.flips).toBeGreaterThan(2000);
    expect(tally.repaired / tally.flips).toBeGreaterThan(0.9);
  }, 120_000);

  it("nor where acknowledgements are implied: there it ends the session", async () => {
    const tally = await flipAll({ manners: "qemu", mode: "implied" }, ["to-client"]);
    expect(tally.wrong).toEqual([]);
    expect(tally.flips).toBeGreaterThan(8000);
    expect(tally.errors.get("protocol-error")).toBeGreaterThan(7000);
    // The acknowledged part at the start, and a digit of a checksum that became its capital.
    expect(tally.repaired).toBeLessThan(1000);
  }, 120_000);

  it("nor when what the stub sends arrives in small pieces", async () => {
    const tally = await flipAll({ manners: "gdbserver", mode: "strict", seed: 2, cuts: true }, ["to-client"], 5, 1);
    expect(tally.wrong).toEqual([]);
    expect(tally.flips).toBeGreaterThan(1500);
  }, 120_000);
});

/** Answers in which one bit makes a part a packet with a right checksum. By hand: of 16,000 flips one does that. */
const LUCKY: readonly (readonly [what: string, answer: string, at: number, becomes: string, part: string])[] = [
  // What stands before the d adds up to 156, and d is 100: the rest has the checksum of the whole.
  ["a d that became a $", "fff55d1234", 5, "$", "1234"],
  // The digits behind the 3 are the sum of those before it.
  ["a 3 that became a #", "12343ca5678", 4, "#", "1234"],
  ["a 3 that became a #, before a +", "12343ca+567", 4, "#", "1234"],
];

function damage(answer: string, at: number, becomes: string): string {
  const whole = packet(answer);
  return whole.slice(0, at + 1) + becomes + whole.slice(at + 2);
}

describe("an answer with a right checksum by chance is not believed:", () => {
  async function asked(mode: "strict" | "implied") {
    const wire = new FakeTransport();
    const connection = new Connection(wire);
    if (mode === "implied") await connection.implyAcks();
    return { wire, connection, answer: connection.requestText("m0,8", { label: "reading memory" }) };
  }

  it.each(LUCKY)("%s is the damage of one bit, and makes a packet", (_, answer, at, becomes, part) => {
    expect([0x10, 0x40]).toContain(answer.charCodeAt(at) ^ becomes.charCodeAt(0));
    expect(damage(answer, at, becomes)).toContain(packet(part));
  });

  it.each(LUCKY)("%s; with acknowledgements it is asked for again", async (_, whole, at, becomes) => {
    const { wire, answer } = await asked("strict");
    await settled();
    wire.receive(`+${damage(whole, at, becomes)}`);
    await settled();
    expect(wire.wire.endsWith("-")).toBe(true);
    wire.receive(packet(whole));
    expect(await answer).toBe(whole);
  });

  it.each(LUCKY)("%s; without them it ends the session", async (_, whole, at, becomes) => {
    const { wire, answer } = await asked("implied");
    await settled();
    wire.receive(`+${damage(whole, at, becomes)}`);
    expect((await failure(answer)).code).toBe("protocol-error");
  });
});

describe("an answer of several packets", () => {
  it("is not asked for again when one of them is damaged: `-` asks for the last one only, and the others would be missing", async () => {
    const wire = new FakeTransport();
    const connection = new Connection(wire);
    const printed: string[] = [];
    const answer = failure(
      connection.requestText("qRcmd,00", { label: "monitor", onOutput: (text) => printed.push(text) }),
    );
    await settled();
    wire.receive(`+${packet("O6f6e65")}$O74776f#00${packet("O7468726565")}${packet("OK")}`);
    expect((await answer).code).toBe("protocol-error");
    expect(wire.wire).not.toContain("-");
  });
});
