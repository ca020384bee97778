/** Clients that do anything at any time: the bridge answers each, and what it tells of a guest makes sense. */
import { describe, expect, it } from "vitest";
import type { EventKind } from "../../src/api/events.ts";
import { EbscopeError } from "../../src/base/error.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { FakeTarget } from "../support/fake-target.ts";
import { Random } from "../support/random.ts";
import { type Bridged, bridged } from "./support.ts";

const CALLS = 400;
const ADDRESSES = ["0x1000", "0x2000", "0xffffffffffffffff"];

/** What may come after what, of one guest; captures and changes aside. */
const FOLLOWS: Readonly<Partial<Record<EventKind, readonly EventKind[]>>> = {
  "target.attached": ["target.stopped", "target.lost"],
  "target.stopped": ["target.stopped", "target.resumed", "target.lost", "target.detached"],
  "target.resumed": ["target.stopped", "target.lost", "target.detached"],
  "target.lost": [],
  "target.detached": [],
};

type Call = (all: Bridged, random: Random, target: string, signal: AbortSignal) => Promise<unknown>;

const DO: readonly Call[] = [
  ({ call }, random, _, signal) =>
    call("Target.attach", { gdb: `:${random.below(3) + 1}`, run: random.below(2) === 0 }, signal),
  ({ call }, _, target, signal) => call("Target.resume", { target }, signal),
  ({ call }, _, target, signal) => call("Target.resume", { target }, signal),
  ({ call }, _, target, signal) => call("Target.interrupt", { target }, signal),
  ({ call }, random, target, signal) => call("Target.step", { target, cpu: random.below(3) }, signal),
  ({ call }, random, target, signal) => call("Breakpoint.insert", { target, address: random.pick(ADDRESSES) }, signal),
  ({ call }, random, target, signal) =>
    call("Breakpoint.remove", { target, breakpoint: `b${random.below(20)}` }, signal),
  ({ call }, random, target, signal) => call("Registers.watch", { target, mappings: random.below(2) === 0 }, signal),
  ({ call }, _, target, signal) => call("Registers.get", { target, names: ["pc"] }, signal),
  ({ call }, random, target, signal) =>
    call("Memory.read", { target, address: random.pick(ADDRESSES), length: 8 }, signal),
  ({ call }, random, target, signal) => call("PageTable.explain", { target, va: random.pick(ADDRESSES) }, signal),
  ({ call }, _, target, signal) => call("PageTable.list", { target }, signal),
  ({ call }, _, target) => call("Capture.start", { target, what: "now" }),
  ({ call }, _, target) => call("Capture.start", { target, findTimeout: 0 }),
  ({ call }) => call("Capture.list", {}),
  ({ call }, random, target, signal) =>
    random.below(8) === 0 ? call("Target.detach", { target }, signal) : call("Target.list", {}),
];

describe("a bridge whose clients do anything", () => {
  it.each(Array.from({ length: 8 }, (_, i) => i))(
    "answers all of them, and its events make sense (%i)",
    async (seed) => {
      const random = new Random(seed);
      const machines: FakeTarget[] = [];
      const attach = async (): Promise<FakeTarget> => {
        machines.push(new FakeTarget(new FakeMemory(), [], 2));
        return machines.at(-1) as FakeTarget;
      };
      const all = await bridged({}, { attach });
      const answers: Promise<string>[] = [];
      for (let i = 0; i < CALLS; i++) {
        const given = new AbortController();
        const target = `t${random.below(machines.length + 1) + 1}`;
        const answer = random.pick(DO)(all, random, target, given.signal);
        answers.push(
          answer.then(
            () => "",
            (error: unknown) => (error instanceof EbscopeError ? error.code : String(error)),
          ),
        );
        if (random.below(10) === 0) given.abort();
        if (random.below(3) > 0) continue;
        await new Promise((resolve) => setImmediate(resolve));
        const machine = random.pick(machines);
        if (machine?.running) machine.goOn({ pc: BigInt(random.pick(ADDRESSES)), registers: { x0: BigInt(i) } });
        if (machine !== undefined && random.below(60) === 0) machine.lose();
      }
      const codes = new Set(await Promise.all(answers));
      expect([...codes].filter((code) => code.includes("Error") || code === "internal")).toEqual([]);
      expect(codes).toContain("");
      await all.bridge.close();
      expect(machines.every(({ released }) => released !== undefined)).toBe(true);
      expectSense(all);
    },
  );
});

function expectSense({ log }: Bridged): void {
  const guests = new Set(log.events.map(({ target }) => target));
  for (const guest of guests) {
    if (guest === null) continue;
    const kinds = log.events
      .filter(({ target, kind }) => target === guest && kind.startsWith("target."))
      .map(({ kind }) => kind);
    expect(kinds[0]).toBe("target.attached");
    expect(["target.lost", "target.detached"]).toContain(kinds.at(-1));
    for (const [i, kind] of kinds.slice(1).entries()) expect(FOLLOWS[kinds[i] as EventKind]).toContain(kind);
  }
  for (const { capture } of log.of("capture.started")) {
    const ends = log.events.filter(
      (event) => event.capture === capture && /^capture\.(completed|failed)$/.test(event.kind),
    );
    expect(ends).toHaveLength(1);
  }
}
