/**
 * Random tables, random writes to them and to registers, each recorded. The slow decoder translates sampled pages after every write; who changed
 * a page last, and who changed it at all, follows from that. Attribution must say the same.
 */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { attribute, type MappingBlame, replayBlame } from "../../src/blame/index.ts";
import { diffPoints } from "../../src/diff/diff.ts";
import { slowText } from "../support/mapping-text.ts";
import { Random } from "../support/random.ts";
import { RecordedGuest } from "../support/recorded-guest.ts";
import { type SlowMachine, slowTranslate } from "../support/slow-decoder.ts";
import { randomWorld, type World } from "../support/tables.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const WORLDS = 150;
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

/** What the machine says of a page: its mapping, `-` for none, `?` where a table cannot be read. */
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
  const copies = new Map(pages.map((page) => [page, guest.memory.page(page as never)]));
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
  const count = { attributed: 0, overwritten: 0, tables: 0, registers: 0, events: 0 };

  /** Who changed a page, by event, as the slow decoder sees it; the last of them. */
  function changesOf(world: World, times: readonly Snapshot[], page: bigint) {
    const texts = times.map(({ machine }) => textOf(machine, world, page));
    const changes = texts.flatMap((text, i) => (i > 0 && text !== texts[i - 1] ? [i] : []));
    const known = changes.filter((i) => texts[i] !== "?" && texts[i - 1] !== "?");
    const last = changes.at(-1);
    return {
      events: known.map((i) => times[i]?.event as number),
      last: last === undefined || !known.includes(last) ? undefined : times[last]?.event,
    };
  }

  function check(seed: number, world: World, times: readonly Snapshot[], run: MappingBlame, random: Random): void {
    const start = run.change.va >> 12n;
    const size = run.change.size >> 12n;
    const whole = size <= EVERY_PAGE_OF;
    const counts = new Map<number, number>();
    for (const page of whole ? allOf(start, size) : someOf(run, random)) {
      const { events, last } = changesOf(world, times, page);
      const got = run.last.find(({ va, size: bytes }) => page << 12n >= va && page << 12n < va + bytes)?.event;
      if (got !== last) wrong.push(`seed ${seed}, page 0x${page.toString(16)}: ${got}, not ${last}`);
      if (last !== undefined) count.attributed++;
      if (events.length > 1) count.overwritten++;
      for (const event of events) counts.set(event, (counts.get(event) ?? 0) + 1);
    }
    const told = new Map((run.by ?? []).flatMap(({ events }) => events.map((each) => [each.event, each.pages])));
    for (const [event, pages] of counts) {
      count.events++;
      const said = told.get(event);
      if (said === undefined || (whole && said !== pages)) {
        wrong.push(`seed ${seed}, 0x${start.toString(16)}: event ${event} changed ${pages} pages, not ${said}`);
      }
    }
    for (const event of told.keys()) {
      if (whole && !counts.has(event)) wrong.push(`seed ${seed}, 0x${start.toString(16)}: event ${event} did nothing`);
    }
  }

  async function play(seed: number): Promise<void> {
    const world = randomWorld(seed);
    const random = new Random(seed ^ 0x5eed);
    const guest = guestOf(world);
    const all = allPages(world, guest);
    const some = all.filter(() => random.chance(0.5));
    const from = guest.point("a", some);
    const places = descriptorPlaces(world, guest);
    if (places.length === 0) return;
    const times: Snapshot[] = [{ event: 0, machine: frozen(guest, all) }];
    for (let i = 0; i < WRITES; i++) {
      const event = guest.events.length;
      randomStep(random, world, guest, places);
      times.push({ event, machine: frozen(guest, all) });
    }
    const to = guest.point("b");
    const capture = guest.capture();
    const replay = replayBlame(capture);
    count.tables += replay?.effects.filter(({ kind }) => kind === "table").length ?? 0;
    count.registers += replay?.effects.filter(({ kind }) => kind === "register").length ?? 0;
    const blame = attribute(await diffPoints(capture, [], from, to), replay);
    const runs = blame?.mappings.filter(({ change }) => change.regime === world.regime) ?? [];
    const tried = runs.length > 30 ? Array.from({ length: 30 }, () => random.pick(runs)) : runs;
    for (const run of tried) check(seed, world, times, run, random);
  }

  beforeAll(async () => {
    for (let seed = 0; seed < WORLDS; seed++) await play(seed);
  });

  it("is what the slow decoder says, page by page", () => {
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it("was tried on pages that changed once and more often, through tables and registers", () => {
    expect(count.attributed).toBeGreaterThan(3000);
    expect(count.overwritten).toBeGreaterThan(500);
    expect(count.tables).toBeGreaterThan(500);
    expect(count.registers).toBeGreaterThan(150);
    expect(count.events).toBeGreaterThan(2000);
  });
});

function allOf(start: bigint, size: bigint): bigint[] {
  return Array.from({ length: Number(size) }, (_, i) => start + BigInt(i));
}

/** Both ends of what each event changed last, and a page anywhere. */
function someOf({ change, last }: MappingBlame, random: Random): ReadonlySet<bigint> {
  const edges = last.flatMap(({ va, size }) => [va >> 12n, ((va + size) >> 12n) - 1n]).slice(0, SAMPLES);
  return new Set([...edges, (change.va >> 12n) + BigInt(random.below(Number(change.size >> 12n)))]);
}

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
