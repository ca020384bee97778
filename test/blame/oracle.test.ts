/**
 * Random tables, random writes to them and to registers, each recorded. The slow decoder translates sampled pages after every write; who changed
 * a page last, and who changed it at all, follows from that. Attribution must say the same.
 */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { attribute, replayBlame } from "../../src/blame/index.ts";
import { diffPoints } from "../../src/diff/diff.ts";
import { slowText } from "../support/mapping-text.ts";
import { Random } from "../support/random.ts";
import { RecordedGuest } from "../support/recorded-guest.ts";
import { type SlowMachine, slowTranslate } from "../support/slow-decoder.ts";
import { randomWorld, type World } from "../support/tables.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const WORLDS = 200;
const WRITES = 14;
const SAMPLES = 40;
const EVERY_PAGE_OF = 24;

const LEVELS = { "EL1&0": 1, EL2: 2, "EL2&0": 2, EL3: 3, stage2: 2 } as const;

function guestOf(world: World): RecordedGuest {
  const registers = new Map(world.registers).set("cpsr", BigInt((LEVELS[world.regime] << 2) | 1));
  return new RecordedGuest([registers], world.memory);
}

/** The places of descriptors that are not 0, in the pages that there are. */
function descriptorPlaces(world: World, guest: RecordedGuest): bigint[] {
  const places: bigint[] = [];
  for (const page of guest.points[0]?.pages.keys() ?? []) {
    for (let at = 0n; at < 4096n; at += 8n) if ((world.memory.word(page + at) ?? 0n) !== 0n) places.push(page + at);
  }
  return places;
}

function randomValue(random: Random, old: bigint, words: readonly bigint[]): bigint {
  switch (random.below(8)) {
    case 0:
      return 0n;
    case 1:
      return old;
    case 2:
      return random.pick(words);
    case 3:
      return (random.pick(words) & 0xffff_ffff_f000n) | (old & ~0xffff_ffff_f000n);
    case 4:
      return old ^ (1n << 59n);
    default:
      return (
        old ^ random.pick([1n, 2n, 4n, 1n << 7n, 1n << 10n, 1n << 11n, 1n << 12n, 1n << 30n, 1n << 52n, 1n << 54n])
      );
  }
}

function randomStep(random: Random, world: World, guest: RecordedGuest, places: readonly bigint[]): void {
  const level = LEVELS[world.regime];
  const registers = guest.registers[0] as Map<string, bigint>;
  const words = places.map((place) => world.memory.word(place) ?? 0n);
  const set = (name: string, value: bigint): number | undefined => guest.setRegister(name, value);
  const sctlr = registers.get(`SCTLR_EL${level}`) ?? 0n;
  const pages = [...new Set(places.map((place) => place & ~0xfffn))];
  const kind = random.below(24);
  if (kind === 0) set(`SCTLR_EL${level}`, sctlr ^ (1n << 19n));
  else if (kind === 1) set(`SCTLR_EL${level}`, sctlr ^ 1n);
  else if (kind === 2) set(`TTBR0_EL${level}`, random.pick(pages));
  else if (kind === 3) set(`MAIR_EL${level}`, (registers.get(`MAIR_EL${level}`) ?? 0n) ^ 0xbbn);
  else {
    const place = random.chance(0.1) ? random.pick(pages) + BigInt(random.below(512) * 8) : random.pick(places);
    guest.write(place, randomValue(random, world.memory.word(place) ?? 0n, words));
  }
}

/** What the machine says of each sampled page at each time; a MAIR byte that the decoder does not model makes it undefined. */
function textOf(machine: SlowMachine, world: World, page: bigint): string {
  const result = slowTranslate(machine, world.regime, BigInt.asUintN(64, BigInt.asIntN(52, page) << 12n));
  if (result.outcome === "mapped") return slowText({ ...result, output: result.output & ~0xfffn });
  return result.outcome === "fault" ? "-" : "?";
}

interface Snapshot {
  readonly event: number;
  readonly machine: SlowMachine;
}

/** The machine as it is, apart from what comes. */
function frozen(guest: RecordedGuest, pages: readonly bigint[]): SlowMachine {
  const registers = new Map(guest.registers[0]);
  const words = new Map<bigint, bigint | undefined>();
  const copies = new Map(pages.map((page) => [page, guest.memory.page(page as never)]));
  for (const [page, read] of copies) if (read.state === "present") words.set(page, 0n);
  const views = new Map(
    [...copies].map(([page, read]) => [
      page,
      read.state === "present" ? new DataView(read.bytes.slice().buffer) : null,
    ]),
  );
  return {
    register: (name) => registers.get(name),
    word: (address) => {
      const view = views.get(address & ~0xfffn);
      if (view === undefined) return guest.memory.word(address);
      return view === null ? undefined : view.getBigUint64(Number(address & 0xfffn), true);
    },
  };
}

describe("attribution of random writes to random tables", () => {
  const wrong: string[] = [];
  const count = {
    pages: 0,
    changed: 0,
    attributed: 0,
    unattributed: 0,
    overwritten: 0,
    tables: 0,
    registers: 0,
    counted: 0,
  };

  async function play(seed: number): Promise<void> {
    const world = randomWorld(seed);
    const random = new Random(seed ^ 0x5eed);
    const guest = guestOf(world);
    const all = allPages(world, guest);
    guest.point(
      "a",
      all.filter(() => random.chance(0.5)),
    );
    const places = descriptorPlaces(world, guest);
    if (places.length === 0) return;
    const times: Snapshot[] = [{ event: 0, machine: frozen(guest, all) }];
    for (let i = 0; i < WRITES; i++) {
      const before = guest.events.length;
      randomStep(random, world, guest, places);
      times.push({ event: before, machine: frozen(guest, all) });
    }
    guest.point("b");
    const capture = guest.capture();
    const [from, to] = guest.points;
    if (from === undefined || to === undefined) throw new Error("no points");
    const difference = await diffPoints(capture, [], from, to);
    const replay = replayBlame(capture);
    if (replay === undefined) throw new Error("no replay");
    count.tables += replay.effects.filter(({ kind }) => kind === "table").length;
    count.registers += replay.effects.filter(({ kind }) => kind === "register").length;
    const blame = attribute(difference, replay);
    if (blame === undefined) throw new Error("no blame");
    if (process.env.DBG === String(seed))
      for (const e of replay.effects)
        console.log(
          e.event,
          e.kind,
          e.seen,
          e.told,
          e.regime,
          e.va,
          e.size,
          e.ranges.slice(0, 4),
          e.before,
          e.after,
          guest.events[e.event],
        );
    const runs = blame.mappings.filter(({ change }) => change.regime === world.regime);
    for (const run of runs.length > 30 ? Array.from({ length: 30 }, () => random.pick(runs)) : runs) {
      const start = run.change.va >> 12n;
      const size = run.change.size >> 12n;
      const whole = size <= EVERY_PAGE_OF;
      const edges = run.last.flatMap(({ va, size: bytes }) => [va >> 12n, ((va + bytes) >> 12n) - 1n]);
      const pages = whole
        ? Array.from({ length: Number(size) }, (_, i) => start + BigInt(i))
        : [...edges, start, start + size - 1n].slice(0, SAMPLES).concat(start + BigInt(random.below(Number(size))));
      const changes = new Map<number, number>();
      for (const page of new Set(pages)) {
        const texts = times.map(({ machine }) => textOf(machine, world, page));
        const k = texts.findLastIndex((text, i) => i > 0 && text !== texts[i - 1]);
        const unknown = texts[k] === "?" || texts[k - 1] === "?";
        const expected = k < 0 || unknown ? undefined : times[k]?.event;
        const va = page << 12n;
        const got = run.last.find((each) => va >= each.va && va < each.va + each.size)?.event;
        count.pages++;
        if (expected === undefined) count.unattributed++;
        else count.attributed++;
        if (texts.filter((text, i) => i > 0 && text !== texts[i - 1]).length > 1) count.overwritten++;
        if (got !== expected)
          wrong.push(`seed ${seed}, 0x${va.toString(16)}: ${got}, not ${expected}: ${texts.join(" ; ")}`);
        for (const [i, text] of texts.entries()) {
          const event = times[i]?.event ?? 0;
          if (i > 0 && text !== texts[i - 1] && text !== "?" && texts[i - 1] !== "?") {
            changes.set(event, (changes.get(event) ?? 0) + 1);
          }
        }
      }
      const told = new Map((run.by ?? []).flatMap(({ events }) => events.map((each) => [each.event, each.pages])));
      for (const [event, pagesChanged] of changes) {
        count.counted++;
        const said = told.get(event);
        if (said === undefined || (whole && said !== pagesChanged)) {
          wrong.push(`seed ${seed}, run 0x${run.change.va.toString(16)}: event ${event} ${said}, not ${pagesChanged}`);
        }
      }
      if (whole)
        for (const event of told.keys()) if (!changes.has(event)) wrong.push(`seed ${seed}: ${event} did nothing`);
    }
  }

  beforeAll(async () => {
    for (let seed = 0; seed < WORLDS; seed++) await play(seed);
  });

  it("is what the slow decoder says, page by page", () => {
    if (process.env.DBG) console.log(new Set(wrong.map((w) => w.slice(0, 9))), count);
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it("was tried on pages that changed once and more often, through tables and registers", () => {
    expect(count.attributed).toBeGreaterThan(3000);
    expect(count.overwritten).toBeGreaterThan(300);
    expect(count.tables).toBeGreaterThan(300);
    expect(count.registers).toBeGreaterThan(100);
    expect(count.counted).toBeGreaterThan(3000);
  });
});

/** All pages of tables that the world has: those that any word of any of them names, and the roots. */
function allPages(world: World, guest: RecordedGuest): bigint[] {
  const found = new Set<bigint>();
  const look = (page: bigint): void => {
    if (found.has(page) || world.memory.page(page as never).state === "absent") return;
    found.add(page);
    for (let at = 0n; at < 4096n; at += 8n) {
      const word = world.memory.word(page + at) ?? 0n;
      if ((word & 3n) === 3n) look(word & 0xffff_ffff_f000n);
    }
  };
  for (const [name, value] of guest.registers[0] ?? []) if (name.startsWith("TTBR")) look(value & 0xffff_ffff_f000n);
  return [...found];
}
