import { describe, expect, it, vi } from "vitest";
import type { Attributes } from "../../src/aarch64/attributes.ts";
import type { LostRun, RegimeMap, Run } from "../../src/aarch64/regime-map.ts";
import { diffMappings, type MappingChange } from "../../src/diff/mappings.ts";
import { Random } from "../support/random.ts";
import { el1Regime } from "../support/regimes.ts";

vi.setConfig({ testTimeout: 120_000 });

const regime = el1Regime();

/** Attributes that differ in `write` only; two objects a key, as maps of two points have. */
function attributes(name: string): Attributes {
  return {
    ...{ read: true, write: name === "rw", execute: false, el0: null, memory: "Normal WB RAWA", shareability: "inner" },
    ...{ granule: 4096, level: 3, contiguous: false, accessFlag: true, global: true },
    key: name,
  } as Attributes;
}

/** What one side says of one page. */
type Cell = { readonly output: number; readonly name: string } | "lost" | null;

const NAMES = ["rw", "ro"];

/** Random cells that come in stretches, so that there are runs, and so that two sides often agree. */
function randomSide(random: Random, size: number): Cell[] {
  const cells: Cell[] = [];
  while (cells.length < size) {
    const length = random.between(1, 6);
    const kind = random.below(8);
    const output = random.below(3) * 5 + (random.chance(0.7) ? cells.length : 0);
    const name = random.pick(NAMES);
    for (let i = 0; i < length; i++) {
      if (kind < 2) cells.push(null);
      else if (kind === 2) cells.push("lost");
      else cells.push({ output: output + i, name });
    }
  }
  return cells.slice(0, size);
}

/** Cells as a walk gives them, or cut into more runs than there need be. */
function mapOf(random: Random, cells: readonly Cell[], base: number): RegimeMap {
  const runs: Run[] = [];
  const lost: LostRun[] = [];
  for (const [i, cell] of cells.entries()) {
    const start = base + i;
    if (cell === null) continue;
    const last = (cell === "lost" ? lost : runs).at(-1) as { start: number; pages: number } | undefined;
    const touches = last !== undefined && last.start + last.pages === start && !random.chance(0.2);
    if (cell === "lost") {
      if (touches) last.pages++;
      else lost.push({ start, pages: 1, table: 1, level: 3, code: "read-failed" });
    } else {
      const run = last as Run | undefined;
      const goesOn = run !== undefined && run.output + run.pages === cell.output && run.attributes.key === cell.name;
      if (touches && goesOn) last.pages++;
      else runs.push({ start, pages: 1, output: cell.output, attributes: attributes(cell.name) });
    }
  }
  return { regime, runs, lost: withRepeats(random, lost), tables: [] };
}

/** The same lost pages may be named more than once: by several reasons that cover them. */
function withRepeats(random: Random, lost: readonly LostRun[]): LostRun[] {
  return lost.flatMap((run) => {
    if (!random.chance(0.3)) return [run];
    const cut = random.between(0, run.pages - 1);
    return [run, { ...run, start: run.start + cut, pages: run.pages - cut }];
  });
}

/** One line a change, and the whole comparison page by page. */
function bruteForce(before: readonly Cell[], after: readonly Cell[], base: number): string[] {
  const lines: { kind: string; start: number; pages: number; old: Cell; now: Cell }[] = [];
  for (const [i, old] of before.entries()) {
    const now = after[i] as Cell;
    if (old === "lost" || now === "lost" || text(old) === text(now)) continue;
    const last = lines.at(-1);
    const offset = last?.pages ?? 0;
    if (
      last !== undefined &&
      last.start + last.pages === base + i &&
      text(now) === text(shifted(last.now, offset)) &&
      text(old) === text(shifted(last.old, offset))
    ) {
      last.pages++;
    } else {
      lines.push({ kind: kindOf(old, now), start: base + i, pages: 1, old, now });
    }
  }
  return lines.map(({ kind, start, pages, old, now }) => `${kind} ${start} ${pages} ${text(old)} ${text(now)}`);
}

function kindOf(old: Cell, now: Cell): string {
  if (old === null) return "added";
  if (now === null) return "removed";
  return (old as { output: number }).output === (now as { output: number }).output ? "changed" : "moved";
}

function shifted(cell: Cell, pages: number): Cell {
  return cell === null || cell === "lost" ? cell : { ...cell, output: cell.output + pages };
}

function text(cell: Cell): string {
  return cell === null || cell === "lost" ? String(cell) : `${cell.output}${cell.name}`;
}

function changeText({ kind, va, size, before, after }: MappingChange): string {
  const side = (each: MappingChange["before"]): string =>
    each === null ? "null" : `${each.pa >> 12n}${each.attributes.key}`;
  return `${kind} ${va >> 12n} ${size >> 12n} ${side(before)} ${side(after)}`;
}

describe("the difference of random maps", () => {
  it("is that of a comparison page by page, in maximal runs, with nothing claimed where either side is lost", () => {
    const kinds = new Map<string, number>();
    for (let seed = 0; seed < 4000; seed++) {
      const random = new Random(seed);
      const size = random.between(1, 40);
      const base = random.pick([0, 0x8_0000, 2 ** 52 - 64]);
      const before = randomSide(random, size);
      const after = random.chance(0.5) ? randomSide(random, size) : edited(random, before);
      const changes = diffMappings("EL1&0", mapOf(random, before, base), mapOf(random, after, base));
      const got = changes.map(changeText);
      const wanted = bruteForce(before, after, base);
      if (got.join("\n") !== wanted.join("\n")) expect(got, `seed ${seed}`).toEqual(wanted);
      for (const { kind } of changes) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    for (const kind of ["added", "removed", "changed", "moved"]) expect(kinds.get(kind), kind).toBeGreaterThan(700);
  });

  it("is empty between a map and itself, however each is cut into runs", () => {
    for (let seed = 0; seed < 500; seed++) {
      const cells = randomSide(new Random(seed), 40);
      const one = mapOf(new Random(seed + 1), cells, 0);
      const other = mapOf(new Random(seed + 2), cells, 0);
      expect(diffMappings("EL2", one, other)).toEqual([]);
    }
  });
});

/** The same side with a few pages changed in place. */
function edited(random: Random, cells: readonly Cell[]): Cell[] {
  return cells.map((cell) => {
    if (cell === null || cell === "lost" || !random.chance(0.3)) return cell;
    return random.chance(0.5) ? { ...cell, name: "ro" } : { ...cell, output: cell.output + 1 };
  });
}

function map(runs: readonly Run[], lost: readonly LostRun[] = []): RegimeMap {
  return { regime, runs, lost, tables: [] };
}

describe("the difference of two maps", () => {
  const rw = { start: 0x10, pages: 4, output: 0x80, attributes: attributes("rw") };

  it("names regime, addresses in bytes, and both sides", () => {
    const ro = { ...rw, start: 0x12, pages: 1, output: 0x82, attributes: attributes("ro") };
    const split = [{ ...rw, pages: 2 }, ro, { ...rw, start: 0x13, pages: 1, output: 0x83 }];
    expect(diffMappings("EL2&0", map([rw]), map(split))).toEqual([
      {
        regime: "EL2&0",
        kind: "changed",
        va: 0x1_2000n,
        size: 0x1000n,
        before: { pa: 0x8_2000n, attributes: rw.attributes },
        after: { pa: 0x8_2000n, attributes: ro.attributes },
      },
    ]);
  });

  it("is all added or all removed against a regime that is not live", () => {
    expect(diffMappings("EL1&0", undefined, map([rw])).map(changeText)).toEqual(["added 16 4 null 128rw"]);
    expect(diffMappings("EL1&0", map([rw]), undefined).map(changeText)).toEqual(["removed 16 4 128rw null"]);
    expect(diffMappings("EL1&0", undefined, undefined)).toEqual([]);
  });

  it("claims nothing where either side is lost, and starts a new run behind it", () => {
    const lost = { start: 0x11, pages: 1, table: 9, level: 3, code: "read-failed" } as const;
    const wanted = ["removed 16 1 128rw null", "removed 18 2 130rw null"];
    expect(diffMappings("EL1&0", map([rw]), map([], [lost])).map(changeText)).toEqual(wanted);
    const cut = [
      { ...rw, pages: 1 },
      { ...rw, start: 0x12, pages: 2, output: 0x82 },
    ];
    expect(diffMappings("EL1&0", map(cut, [lost]), map([])).map(changeText)).toEqual(wanted);
  });

  it("is one run over a page and a block below which other tables lie", () => {
    const parts = [
      { ...rw, pages: 1 },
      { ...rw, start: 0x11, pages: 3, output: 0x81 },
    ];
    expect(diffMappings("EL1&0", map(parts), map([])).map(changeText)).toEqual(["removed 16 4 128rw null"]);
  });

  it("is moved when the same addresses lead elsewhere, also when the attributes change too", () => {
    const moved = { ...rw, output: 0x90 };
    const both = { ...moved, attributes: attributes("ro") };
    expect(diffMappings("EL1&0", map([rw]), map([moved])).map(changeText)).toEqual(["moved 16 4 128rw 144rw"]);
    expect(diffMappings("EL1&0", map([rw]), map([both])).map(changeText)).toEqual(["moved 16 4 128rw 144ro"]);
  });
});
