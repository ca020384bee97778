import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { studyCapture } from "../../src/diagnose/study.ts";
import { type Across, diffAcross } from "../../src/diff/across/across.ts";
import { countAcross } from "../../src/diff/across/count.ts";
import {
  EXECUTE_NEVER,
  IMAGE_BASE,
  loseTable,
  type MachineOptions,
  mapBlock,
  mapPage,
  READ_ONLY,
  sideOf,
  unmapBlock,
  unmapPage,
} from "../support/across-machine.ts";
import { anyCapture } from "../support/captures.ts";
import type { FakeMemory } from "../support/fake-memory.ts";

async function across(a: MachineOptions, b: MachineOptions): Promise<Across> {
  return diffAcross({ a: await sideOf(a), b: await sideOf(b) });
}

/** What differs of registers, as `name verdict`. */
function registersOf({ registers }: Across): string[] {
  return registers.map(({ name, verdict }) => `${name} ${verdict}`);
}

/** What differs of mappings, in words of the test. */
function mappingsOf({ mappings }: Across): string[] {
  return mappings.map(({ owner, sides, verdict, points }) => {
    const whose = Object.values(owner).map((each) => (typeof each === "bigint" ? `0x${each.toString(16)}` : each));
    const rights = (side: "a" | "b"): string => {
      const { state, attributes } = sides[side];
      if (attributes === null) return state;
      return `r${attributes.write ? "w" : ""}${attributes.execute ? "x" : ""}`;
    };
    return `${whose.join(" ")} 0x${sides.a.size.toString(16)}: ${rights("a")} → ${rights("b")}, ${verdict} at ${points.join(" ")}`;
  });
}

const MOVED = IMAGE_BASE + 0x3_0000n;

describe("two captures of runs", () => {
  it("have no difference when they are one", async () => {
    const side = await sideOf();
    const same = await diffAcross({ a: side, b: side });
    expect(countAcross(same)).toEqual({ different: 0, unmatched: 0 });
    expect(same.images.pairs.map(({ build }) => build)).toEqual(["same"]);
    expect(same.points).toEqual(["before", "after"]);
  });

  it("have no difference when they are one, whatever it holds", async () => {
    await fc.assert(
      fc.asyncProperty(anyCapture, async (capture) => {
        fc.pre(capture.points.length > 0);
        const side = { ...(await studyCapture(capture, "none")), findings: [] };
        expect(countAcross(await diffAcross({ a: side, b: side })).different).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("differ as much from one as the other does from it", async () => {
    const [one, other] = [
      { edit: (memory: FakeMemory) => mapPage(memory, IMAGE_BASE + 0x1000n, 0n), registers: { x19: IMAGE_BASE } },
      { imageBase: MOVED, ramSize: 0x1000_0000n, registers: { x19: 5n, x20: 0x4004_0000n } },
    ];
    const counts = countAcross(await across(one, other));
    expect(counts).toEqual(countAcross(await across(other, one)));
    expect(counts).toEqual({ different: 4, unmatched: 0 });
  });

  it("differ in nothing when an image lies elsewhere, with all that points at it", async () => {
    const at = (base: bigint) => ({ imageBase: base, registers: { x19: base + 0x1234n, VBAR_EL1: base + 0x1800n } });
    const moved = await across(at(IMAGE_BASE), at(MOVED));
    expect(countAcross(moved)).toEqual({ different: 0, unmatched: 0 });
    expect(registersOf(moved)).toEqual(["x19 moved", "VBAR_EL1 moved"]);
    expect(moved.registers[0]).toMatchObject({
      places: { a: "Core+0x1234", b: "Core+0x1234" },
      points: ["before", "after"],
    });
  });

  it("differ in a register that points elsewhere in the image, or that holds another number", async () => {
    const a = { registers: { x19: IMAGE_BASE + 0x1234n, x20: 6n } };
    const b = { imageBase: MOVED, registers: { x19: MOVED + 0x1238n, x20: 7n } };
    expect(registersOf(await across(a, b))).toEqual(["x19 different", "x20 different"]);
  });

  it("differ in a register of code that has the same number in another image's place", async () => {
    const vector = { VBAR_EL1: IMAGE_BASE + 0x1800n };
    const shifted = await across({ registers: vector }, { imageBase: IMAGE_BASE + 0x1000n, registers: vector });
    expect(registersOf(shifted)).toEqual(["VBAR_EL1 different"]);
  });

  it("say that two addresses in memory of one type cannot be told apart, and that those in memory of two types differ", async () => {
    const map = {
      memoryMap: [
        [0x4000_0000n, 0x180n, "Data"],
        [0x4018_0000n, 0x80n, "Free"],
      ] as const,
    };
    const a = { ...map, registers: { x19: 0x4004_0000n, x20: 0x4004_0000n } };
    const b = { ...map, registers: { x19: 0x4004_8000n, x20: 0x4019_0000n } };
    const told = await across(a, b);
    expect(registersOf(told)).toEqual(["x19 unmatched", "x20 different"]);
    expect(told.registers[0]?.why).toBe("both in Data");
    const untold = await across({ registers: a.registers }, b);
    expect(registersOf(untold)).toEqual(["x19 unmatched", "x20 unmatched"]);
  });

  it("say of an offset in two builds that it cannot be matched", async () => {
    const a = { registers: { x19: IMAGE_BASE + 0x1234n } };
    const b = { textSize: 0x1800, registers: { x19: IMAGE_BASE + 0x1244n } };
    const builds = await across(a, b);
    expect(builds.images.pairs.map(({ build }) => build)).toEqual(["other"]);
    expect(registersOf(builds)).toEqual(["x19 unmatched"]);
  });

  it("take numbers that are no addresses for numbers, though RAM lies there", async () => {
    const told = await across({}, { registers: { ID_DFR0_EL1: 0x4004_0000n } });
    expect(registersOf(told)).toEqual(["ID_DFR0_EL1 different"]);
  });

  it("name registers that one stub alone offers, and compare no value with nothing", async () => {
    const { offered, registers } = await across({}, { registers: { RMR_EL1: 1n } });
    expect(offered).toEqual({ a: [], b: ["RMR_EL1"] });
    expect(registers).toEqual([]);
  });

  it("differ in the section whose pages are protected otherwise, wherever the image lies", async () => {
    const b = { imageBase: MOVED, edit: (memory: FakeMemory) => mapPage(memory, MOVED + 0x2000n, EXECUTE_NEVER) };
    expect(mappingsOf(await across({}, b))).toEqual([
      "image Core .text 0x2000 0x1000: rx → rw, different at before after",
    ]);
  });

  it("differ in a section of two builds by its protection, not by its size", async () => {
    const smaller = { textSize: 0x1000 };
    expect(mappingsOf(await across({}, smaller))).toEqual([]);
    const open = { ...smaller, edit: (memory: FakeMemory) => mapPage(memory, IMAGE_BASE + 0x1000n, 0n) };
    const [found] = mappingsOf(await across({}, open));
    expect(found).toBe("image Core .text  0x2000: rx → rwx, different at before after");
  });

  it("have more RAM as one difference of the machine", async () => {
    const larger = await across({}, { ramSize: 0x1000_0000n });
    expect(larger.machine.map(({ what, texts }) => `${what} ${texts.a} ${texts.b}`)).toEqual(["RAM 128 MiB 256 MiB"]);
    expect(countAcross(larger)).toEqual({ different: 1, unmatched: 0 });
  });

  it("differ when RAM that one has more of is not mapped", async () => {
    const b = { ramSize: 0x1000_0000n, edit: (memory: FakeMemory) => unmapBlock(memory, 0x4f00_0000n) };
    expect(mappingsOf(await across({}, b))).toEqual([
      "memory RAM 0x0: nowhere → not mapped, different at before after",
    ]);
  });

  it("differ in a protection that memory of a type has in one of them only, wherever that lies", async () => {
    const a = { memoryMap: [[0x4000_0000n, 0x200n, "Data"]] as const };
    const b = {
      memoryMap: [[0x4000_0000n, 0x200n, "Data"]] as const,
      edit: (memory: FakeMemory) => mapPage(memory, 0x401f_0000n, 0n),
    };
    expect(mappingsOf(await across(a, b))).toEqual(["memory Data 0x0: nowhere → rwx, different at before after"]);
    expect(
      mappingsOf(await across({ ...a, edit: (memory: FakeMemory) => mapPage(memory, 0x4005_0000n, 0n) }, b)),
    ).toEqual([]);
  });

  it("differ in what is no RAM at its address", async () => {
    const device = (bits: bigint) => ({ edit: (memory: FakeMemory) => mapBlock(memory, 0x6000_0000n, bits) });
    expect(mappingsOf(await across(device(0n), device(READ_ONLY)))).toEqual([
      "address 0x60000000 0x200000: rwx → rx, different at before after",
    ]);
  });

  it("differ in nothing because blocks are split into pages", async () => {
    const blocks = {
      edit: (memory: FakeMemory) => mapBlock(memory, 0x4000_0000n, EXECUTE_NEVER),
      imageBase: 0x47f6_0000n,
    };
    expect(mappingsOf(await across({ imageBase: 0x47f6_0000n }, blocks))).toEqual([]);
  });

  it("claim nothing of memory whose table could not be read", async () => {
    const lost = await across({}, { edit: loseTable });
    expect(lost.mappings.filter(({ verdict }) => verdict === "different")).toEqual([]);
    expect(lost.mappings.some(({ owner, verdict }) => owner.kind === "image" && verdict === "unmatched")).toBe(true);
    expect(lost.coverage.b.length).toBeGreaterThan(0);
  });

  it("differ in what the call changed, and the state after it", async () => {
    const open = (memory: FakeMemory) => mapPage(memory, IMAGE_BASE + 0x1000n, 0n);
    const { call, mappings } = await across({ call: open }, {});
    expect(call?.mappings).toMatchObject([{ owner: "Core .text", pages: { a: 1n, b: 0n }, verdict: "different" }]);
    expect(mappings).toMatchObject([
      { points: ["after"], owner: { image: "Core", section: ".text", offset: 0x1000n } },
    ]);
  });

  it("have the same call when it changes the same of an image that lies elsewhere", async () => {
    const open = (base: bigint) => ({
      imageBase: base,
      call: (memory: FakeMemory) => unmapPage(memory, base + 0x2000n),
    });
    const moved = await across(open(IMAGE_BASE), open(MOVED));
    expect(countAcross(moved)).toEqual({ different: 0, unmatched: 0 });
    expect(moved.call?.totals.a.pages).toBe(1n);
  });

  it("differ in what the rules say, but not in addresses, durations and how much is normal", async () => {
    const finding = (rule: string, severity: "error" | "info", title: string) => ({ rule, severity, title });
    const a = [
      finding("x", "error", "went to 0x10 in 4.0 s"),
      finding("y", "info", "5 pages"),
      finding("z", "error", "one"),
    ];
    const b = [
      finding("x", "error", "went to 0x20 in 4.1 s"),
      finding("y", "info", "6 pages"),
      finding("z", "error", "two"),
    ];
    const { findings } = await across({ findings: a }, { findings: [...b, finding("w", "info", "")] });
    expect(findings.differences.map(({ rule }) => rule)).toEqual(["z", "w"]);
  });

  it("compare at the points that both have, or at the one that is asked for", async () => {
    const [a, b] = [await sideOf({ kinds: ["before", "after", "later"] }), await sideOf({ kinds: ["now", "before"] })];
    expect((await diffAcross({ a, b })).points).toEqual(["before"]);
    expect((await diffAcross({ a, b })).onlyPoints).toEqual({ a: ["after", "later"], b: ["now"] });
    expect((await diffAcross({ a, b: a }, { at: "later" })).points).toEqual(["later"]);
    await expect(diffAcross({ a, b }, { at: "after" })).rejects.toMatchObject({ code: "no-such-point" });
    await expect(diffAcross({ a, b }, { at: "before", from: "before" })).rejects.toMatchObject({ code: "usage" });
    const now = await sideOf({ kinds: ["now"] });
    await expect(diffAcross({ a, b: now })).rejects.toMatchObject({ code: "no-such-point" });
  });
});
