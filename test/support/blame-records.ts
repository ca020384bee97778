/** Records of writes for tests: random ones, a small one of everything, and long ones as a firmware that rebuilds its tables would leave. */
import fc from "fast-check";
import { virt } from "../../src/base/address.ts";
import { BLAME_KINDS, type BlameEvent, type BlameKind, type BlameRecord } from "../../src/snapshot/blame.ts";
import type { Random } from "./random.ts";

const text = fc.string({ unit: "binary", maxLength: 30 });
const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const instruction = fc.nat({ max: 0xffff_ffff });
const page = fc.nat({ max: 5 }).map((fill) => new Uint8Array(4096).fill(fill));

function maybe<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined });
}

/** An index below a count, if anything is below it. */
function index(count: number): fc.Arbitrary<number | undefined> {
  return count === 0 ? fc.constant(undefined) : maybe(fc.nat({ max: count - 1 }));
}

const stack = fc.record({
  sp: word,
  fp: word,
  lr: word,
  cpsr: word,
  words: fc.array(fc.tuple(word, word), { maxLength: 4 }).map((pairs) => pairs.flat()),
});

const about = fc.record({
  tables: fc.boolean(),
  maintenance: fc.boolean(),
  ranges: fc.array(
    fc.record({ name: text, address: word.map(virt), length: fc.nat({ max: Number.MAX_SAFE_INTEGER }) }),
    { maxLength: 2 },
  ),
  sites: fc.array(fc.record({ address: word.map(virt), word: instruction }), { maxLength: 3 }),
  uncounted: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  stacks: fc.array(stack, { maxLength: 3 }),
  contents: fc.array(page, { maxLength: 3 }),
  code: fc.array(fc.tuple(word.map(virt), page), { maxLength: 3 }).map((entries) => new Map(entries)),
  notes: fc.array(text, { maxLength: 3 }),
});

/** Any record that fits a capture of so many vCPUs and points. */
export function anyBlame(cpus: number, points: number): fc.Arbitrary<BlameRecord> {
  return about.chain((record) => {
    const [stacks, contents, notes] = [record.stacks.length, record.contents.length, record.notes.length];
    const kinds = BLAME_KINDS.filter((kind) => (kind !== "point" || points > 0) && (kind !== "lapse" || notes > 0));
    const event = (kind: BlameKind): fc.Arbitrary<BlameEvent> => {
      const below = kind === "point" ? points : kind === "lapse" ? notes : undefined;
      const found = index(contents).map((each) => (each === undefined ? undefined : BigInt(each)));
      return fc.record({
        kind: fc.constant(kind),
        stop: fc.nat({ max: 2 ** 48 - 1 }),
        cpu: fc.nat({ max: cpus - 1 }),
        pc: maybe(word.map(virt)),
        word: maybe(instruction),
        address: below === undefined ? word : fc.nat({ max: below - 1 }).map(BigInt),
        old: maybe(word),
        new: kind === "table-found" ? found : maybe(word),
        stack: index(stacks),
      });
    };
    const events = fc.array(fc.constantFrom(...kinds).chain(event), { maxLength: 8 });
    return events.map((list) => ({ ...record, events: list }));
  });
}

const NOTHING = { pc: undefined, word: undefined, old: undefined, new: undefined, stack: undefined } as const;

/** An event of each kind, for a capture of two vCPUs and two points; all of an event and none of it, the largest numbers. */
export function sampleBlame(): BlameRecord {
  const top = 2n ** 64n - 1n;
  const events: readonly BlameEvent[] = [
    { ...NOTHING, kind: "point", stop: 0, cpu: 0, address: 0n },
    {
      ...{ kind: "table", stop: 1, cpu: 1, pc: virt(0x1_3f40_1234n), word: 0xf900_0041, address: 0x4700_0ff8n },
      ...{ old: 0x60_0000_4000_0705n, new: 0x4000_0785n, stack: 1 },
    },
    { ...NOTHING, kind: "memory", stop: 2, cpu: 0, pc: virt(top), word: 0xffff_ffff, address: top, old: top, new: top },
    { ...NOTHING, kind: "register", stop: 3, cpu: 0, pc: virt(8n), word: 0xd518_1000, address: 0xc080n, stack: 0 },
    { ...NOTHING, kind: "maintenance", stop: 3, cpu: 0, word: 0xd508_871f, address: 0x4438n, new: 0n },
    { ...NOTHING, kind: "table-found", stop: 4, cpu: 1, address: 0x4700_1000n, new: 1n },
    { ...NOTHING, kind: "table-found", stop: 4, cpu: 1, address: 0x4700_2000n },
    { ...NOTHING, kind: "unseen-table", stop: 5, cpu: 0, address: 0x4700_0000n, old: 0n, new: 3n },
    { ...NOTHING, kind: "unseen-memory", stop: 5, cpu: 0, address: 0xe8n, old: 1n, new: 2n },
    { ...NOTHING, kind: "unseen-register", stop: 5, cpu: 1, address: 0xc600n, old: 0n, new: 0n },
    { ...NOTHING, kind: "lapse", stop: 2 ** 48 - 1, cpu: 0, address: 1n },
    { ...NOTHING, kind: "point", stop: 2 ** 48 - 1, cpu: 0, address: 1n },
  ];
  return {
    tables: true,
    maintenance: false,
    ranges: [{ name: "gBS+0xe8", address: virt(0x1_3f00_10e8n), length: 8 }],
    sites: [
      { address: virt(0x1_3f40_0000n), word: 0xd518_1000 },
      { address: virt(top - 3n), word: 0 },
    ],
    events,
    uncounted: 12,
    stacks: [
      { sp: 0x4800_0000n, fp: 0n, lr: 4n, cpsr: 0x3c5n, words: [] },
      { sp: 0x4800_0010n, fp: 0x4800_0020n, lr: top, cpsr: 0x6000_03c5n, words: [0x4800_0020n, 0n, 0x4800_0028n, top] },
    ],
    contents: [0xaa, 0x55].map((fill) => new Uint8Array(4096).fill(fill)),
    code: new Map([
      [virt(0x1_3f40_1000n), new Uint8Array(4096).fill(0x1f)],
      [virt(0xffff_0000_0000_0000n), new Uint8Array(4096).fill(0xaa)],
    ]),
    notes: ["a note", "too many tables"],
  };
}

/**
 * What a firmware would leave that changes attributes run by run: 4,096 tables, 40 stores, 3,000 call chains of 20 frames, eight vCPUs, a third by
 * break-before-make, half followed by a TLBI. For one point at least.
 */
export function longBlame(count: number, random: Random): BlameRecord {
  const address = (base: bigint, below: number, unit: bigint): bigint => base + BigInt(random.below(below)) * unit;
  const stores = Array.from({ length: 40 }, () => ({
    ...{ pc: virt(address(0x1_3f40_0000n, 0x4_0000, 4n)), word: 0xf900_0000 + random.below(0x8000) },
  }));
  const pages = Array.from({ length: 4096 }, () => address(0x1_3f00_0000n, 0x1_0000, 4096n));
  const stacks = Array.from({ length: 3000 }, () => {
    const sp = address(0x4800_0000n, 0x1000, 16n);
    const words = Array.from({ length: 40 }, (_, i) => {
      const at = sp + BigInt((i >> 1) * 64 + (i & 1) * 8);
      return [at, (i & 1) === 0 ? at + 64n : random.pick(stores).pc + 4n];
    });
    return { sp, fp: sp, lr: random.pick(stores).pc, cpsr: 0x3c5n, words: words.flat() };
  });
  const attributes = [0x705n, 0x785n, 0x60_0000_0000_0705n, 0x60_0000_0000_0785n, 0x40_0000_0000_0701n, 7n];
  const held = new Map<bigint, bigint>();
  const events: BlameEvent[] = [];
  for (let stop = 0; events.length < count; ) {
    const at = { cpu: random.chance(0.8) ? 0 : random.below(8), stack: random.below(stacks.length) };
    const [table, first, length] = [random.pick(pages), random.below(512), random.between(1, 60)];
    const [makes, breaks, attribute] = [random.pick(stores), random.pick(stores), random.pick(attributes)];
    const [breakFirst, invalidate] = [random.chance(0.3), random.chance(0.5)];
    for (let entry = first; entry < Math.min(first + length, 512); entry++) {
      const where = table + BigInt(entry * 8);
      const output = ((table * 8n) % (1n << 39n)) & ~0x1f_ffffn;
      const next = (output + BigInt(entry * 4096)) | attribute;
      let old = held.get(where) ?? 0n;
      if (breakFirst && old !== 0n) {
        events.push({ kind: "table", stop: stop++, ...at, ...breaks, address: where, old, new: 0n });
        old = 0n;
      }
      events.push({ kind: "table", stop: stop++, ...at, ...makes, address: where, old, new: next });
      held.set(where, next);
      const tlbi = { pc: virt(makes.pc + 8n), word: 0xd508_8720, address: 0x4439n, old: undefined };
      if (invalidate) events.push({ kind: "maintenance", stop: stop++, ...at, ...tlbi, new: output >> 12n });
    }
  }
  const contents = Array.from({ length: 256 }, (_, i) => {
    const entries = BigUint64Array.from({ length: 512 }, (_, entry) => BigInt(i * 512 + entry) * 4096n + 0x705n);
    return new Uint8Array(entries.buffer);
  });
  return {
    ...sampleBlame(),
    ...{ events: events.slice(0, count), stacks, contents },
    sites: stores.map(({ pc, word: each }) => ({ address: pc, word: each })),
  };
}
