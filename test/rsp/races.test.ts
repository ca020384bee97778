/** Reads, resumes, interrupts and stops in every order that is possible. See test/support/race.ts. */
import { describe, expect, it } from "vitest";
import { Connection } from "../../src/rsp/connection.ts";
import { settled } from "../support/fake-transport.ts";
import { HonestStub, registerValue } from "../support/honest-stub.ts";
import { MemoryLine } from "../support/memory-line.ts";
import { type RaceCase, type RaceOutcome, race } from "../support/race.ts";

const RACES = 250;

/** Runs a few hundred; the numbers of all of them together, and what went wrong with the seed that shows it again. */
async function races(how: Omit<RaceCase, "seed">): Promise<RaceOutcome> {
  const all: RaceOutcome = { reads: 0, refusedReads: 0, stops: 0, unsolicited: 0, interrupts: 0, wrong: [] };
  for (let seed = 1; seed <= RACES; seed++) {
    const { wrong, ...counts } = await race({ ...how, seed });
    all.wrong.push(...wrong.map((what) => `seed ${seed}: ${what}`));
    for (const [name, count] of Object.entries(counts)) all[name as keyof typeof counts] += count;
  }
  return all;
}

describe("each read is answered with what is at its address, each resume with its own stop, and nothing reaches a running guest", () => {
  it.each([
    ["QEMU's acknowledgements implied, which tells of some stops twice", "qemu", "implied"],
    ["no acknowledgements", "gdbserver", "none"],
    ["acknowledgements, and gdbserver's way with 0x03 at the wrong time: the last stop again", "gdbserver", "strict"],
    ["acknowledgements in QEMU's manner", "qemu", "strict"],
  ] as const)(
    "with %s",
    async (_, manners, mode) => {
      const all = await races({ manners, mode });
      expect(all.wrong).toEqual([]);
      // Five resumes a race, some stopped by themselves, some by an interrupt, some read from meanwhile.
      expect(all.stops).toBe(5 * RACES);
      expect(all.interrupts).toBeGreaterThan(RACES);
      expect(all.reads).toBeGreaterThan(20 * RACES);
      expect(all.refusedReads).toBeGreaterThan(RACES);
      const toldTwice = mode === "implied" || (manners === "gdbserver" && mode === "strict");
      expect(all.unsolicited > RACES / 10).toBe(toldTwice);
    },
    120_000,
  );
});

describe("a batch", () => {
  it("of 200,000 reads is answered in order", async () => {
    const line = new MemoryLine();
    const stub = new HonestStub({ manners: "qemu", send: (bytes) => line.put("to-client", bytes) });
    const connection = new Connection(line);
    await connection.implyAcks();
    const numbers = Array.from({ length: 200_000 }, (_, i) => i % 0x400);
    const requests = numbers.map((number) => ({ payload: `p${number.toString(16)}`, label: "reading a register" }));
    let done = false;
    const answers = connection.batch(requests, (bytes) => Buffer.from(bytes).toString("latin1"));
    void answers.finally(() => {
      done = true;
    });
    while (!done) {
      for (const bytes of line.waiting["to-stub"].splice(0)) stub.receive(bytes);
      line.toClient(line.waiting["to-client"].splice(0).join(""));
      await settled();
    }
    const wrong = (await answers).filter((answer, i) => answer !== registerValue(numbers[i] as number));
    expect(wrong).toEqual([]);
  }, 60_000);
});
