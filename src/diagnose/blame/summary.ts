/** A record in short: who wrote to the tables, which registers were written, what was written of watched memory, and what nobody was seen to do. */
import { systemNameOf } from "../../aarch64/registers/index.ts";
import type { VirtAddr } from "../../base/address.ts";
import type { DescriptorChange, PageRange } from "../../blame/index.ts";
import type { MappingSide } from "../../diff/mappings.ts";
import type { BlameEvent, WatchedRange } from "../../snapshot/blame.ts";
import { PageList } from "./page-list.ts";
import type { StudiedBlame } from "./studied.ts";
import { touches } from "./subject.ts";

/** What one page, block or whatever an entry translates was before a change and after it. */
export interface SideChange {
  readonly before: MappingSide | null;
  readonly after: MappingSide | null;
}

/** One instruction that wrote to tables. */
export interface TableWriter {
  readonly pc: VirtAddr | undefined;
  /** Index of its first event. */
  readonly first: number;
  readonly writes: number;
  /** Writes that changed no translation. */
  readonly silent: number;
  /** Entries that were invalid in between: break-before-make. */
  readonly replaced: number;
  /** The first events of the other instructions that broke the entries which this one made. */
  readonly breakers: readonly number[];
  /** Addresses whose translation it changed. */
  readonly ranges: readonly PageRange[];
  /** What it changed, of the first few thousand changes of the record: each kind once. */
  readonly changes: readonly SideChange[];
}

/** One register of one vCPU that was written. */
export interface RegisterSummary {
  readonly cpu: number;
  readonly name: string;
  readonly writes: number;
  /** Writes that nobody was seen to make. */
  readonly unseen: number;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
  /** Addresses whose translation the writes changed. */
  readonly ranges: readonly PageRange[];
  /** The first event of each instruction that wrote it, in order. */
  readonly writers: readonly number[];
}

export interface RangeSummary {
  readonly range: WatchedRange;
  readonly writes: number;
  readonly unseen: number;
  readonly writers: readonly number[];
}

export interface BlameSummary {
  /** In the order of their first writes. */
  readonly tables: readonly TableWriter[];
  /** Changes of tables that nobody was seen to make. */
  readonly unseenTables: number;
  readonly registers: readonly RegisterSummary[];
  readonly ranges: readonly RangeSummary[];
  /** How often each TLBI, DC or IC instruction was executed. */
  readonly maintenance: ReadonlyMap<string, number>;
}

/** Changes that are looked at for what they changed. */
const MAX_DECODED = 4096;
/** Kinds of changes of one instruction that are kept. */
const MAX_KINDS = 8;

export function summarize(blame: StudiedBlame): BlameSummary {
  const tables = new TableWriters(blame);
  const registers = new Map<string, RegisterCount>();
  const ranges = blame.record.ranges.map((range) => ({ range, writes: 0, unseen: 0, writers: new FirstEvents() }));
  const maintenance = new Map<string, number>();
  for (const [index, event] of blame.record.events.entries()) {
    switch (event.kind) {
      case "table":
        tables.add(index, event);
        break;
      case "register":
      case "unseen-register":
        countRegister(registers, blame, index, event);
        break;
      case "memory":
      case "unseen-memory":
        for (const each of ranges.filter(({ range }) => touches(range, event.address))) {
          if (event.kind === "unseen-memory") each.unseen++;
          else each.writes++;
          if (event.kind === "memory") each.writers.add(event.pc, index);
        }
        break;
      case "maintenance": {
        const name = systemNameOf(Number(event.address & 0xffffn));
        maintenance.set(name, (maintenance.get(name) ?? 0) + 1);
        break;
      }
      case "unseen-table":
      case "point":
      case "table-found":
      case "lapse":
        break;
    }
  }
  return {
    tables: tables.list(),
    unseenTables: unseenTables(blame),
    registers: [...registers.values()].map((each) => ({
      ...each,
      ranges: each.ranges.list(),
      writers: each.writers.list(),
    })),
    ranges: ranges.map((each) => ({ ...each, writers: each.writers.list() })),
    maintenance,
  };
}

/** Those that were recorded as such, and those that the replay came upon; 0 where nobody watched. */
function unseenTables({ record, replay, ended }: StudiedBlame): number {
  if (!record.tables) return 0;
  const last = ended?.event ?? record.events.length;
  const recorded = record.events.filter(({ kind }) => kind === "unseen-table").length;
  const found = replay.effects.filter(
    ({ seen, kind, event }) =>
      !seen && kind !== "register" && event <= last && record.events[event]?.kind !== "unseen-table",
  ).length;
  return recorded + found;
}

/** The first event of each instruction. */
class FirstEvents {
  readonly #first = new Map<VirtAddr | undefined, number>();

  add(pc: VirtAddr | undefined, event: number): void {
    if (!this.#first.has(pc)) this.#first.set(pc, event);
  }

  list(): readonly number[] {
    return [...this.#first.values()];
  }
}

interface RegisterCount {
  readonly cpu: number;
  readonly name: string;
  writes: number;
  unseen: number;
  readonly before: bigint | undefined;
  after: bigint | undefined;
  readonly ranges: PageList;
  readonly writers: FirstEvents;
}

function countRegister(
  registers: Map<string, RegisterCount>,
  { byEvent }: StudiedBlame,
  index: number,
  event: BlameEvent,
): void {
  const write = byEvent.register(index);
  if (write === undefined) return;
  const { cpu, name, before, after } = write;
  const key = `${cpu} ${name}`;
  const known = registers.get(key) ?? {
    ...{ cpu, name, writes: 0, unseen: 0, before, after },
    ...{ ranges: new PageList(), writers: new FirstEvents() },
  };
  registers.set(key, known);
  for (const { ranges } of byEvent.effects(index)) for (const range of ranges) known.ranges.add(range);
  known.after = after;
  if (write.seen) {
    known.writes++;
    known.writers.add(event.pc, index);
  } else known.unseen++;
}

interface WriterCount {
  readonly pc: VirtAddr | undefined;
  readonly first: number;
  writes: number;
  silent: number;
  replaced: number;
  readonly breakers: Map<VirtAddr | undefined, number>;
  readonly ranges: PageList;
  readonly changes: SideChange[];
  readonly kinds: Set<string>;
}

class TableWriters {
  readonly #blame: StudiedBlame;
  readonly #writers = new Map<VirtAddr | undefined, WriterCount>();
  #decoded = 0;

  constructor(blame: StudiedBlame) {
    this.#blame = blame;
  }

  /** An entry that is broken and made again is told of where it is made. */
  add(index: number, event: BlameEvent): void {
    const { byEvent } = this.#blame;
    const change = byEvent.change(index);
    if (change?.kind === "replaced" && change.events[1] !== index) return;
    const writer = this.#writer(index, event);
    writer.writes += change?.events.length ?? 1;
    const effects = byEvent.effects(index).filter(({ seen }) => seen);
    const ranges = effects.flatMap((effect) => effect.ranges);
    for (const range of ranges) writer.ranges.add(range);
    if (ranges.length === 0) writer.silent++;
    if (change?.kind === "replaced") this.#replaced(writer, change);
    if (change !== undefined && ranges.length > 0) this.#describe(writer, change);
  }

  list(): readonly TableWriter[] {
    return [...this.#writers.values()].map(({ breakers, ranges, kinds: _, ...rest }) => ({
      ...rest,
      breakers: [...breakers.values()],
      ranges: ranges.list(),
    }));
  }

  #writer(first: number, { pc }: BlameEvent): WriterCount {
    const known = this.#writers.get(pc);
    if (known !== undefined) return known;
    const writer = {
      ...{ pc, first, writes: 0, silent: 0, replaced: 0, breakers: new Map(), changes: [] },
      ...{ ranges: new PageList(), kinds: new Set<string>() },
    };
    this.#writers.set(pc, writer);
    return writer;
  }

  #replaced(writer: WriterCount, { events: [broke] }: DescriptorChange): void {
    writer.replaced++;
    const by = this.#blame.record.events[broke]?.pc;
    if (by !== writer.pc && !writer.breakers.has(by)) writer.breakers.set(by, broke);
  }

  #describe(writer: WriterCount, { effects }: DescriptorChange): void {
    if (++this.#decoded > MAX_DECODED || writer.changes.length >= MAX_KINDS) return;
    const side = this.#blame.replay.effects[effects[0]]?.changes()[0]?.before ?? null;
    const last = this.#blame.replay.effects[effects.at(-1) as number]?.changes()[0]?.after ?? null;
    const kind = JSON.stringify([side?.attributes, last?.attributes, side?.pa === last?.pa]);
    if (writer.kinds.has(kind)) return;
    writer.kinds.add(kind);
    writer.changes.push({ before: side, after: last });
  }
}
