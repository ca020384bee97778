/** A record of writes as JSON: what `ebscope blame FILE --json` prints. */
import { systemNameOf } from "../aarch64/registers/index.ts";
import type { BlameEntryJson } from "../api/blame.ts";
import { virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import type { Effect } from "../blame/index.ts";
import { disassembleWords } from "../code/index.ts";
import type { StudiedBlame } from "../diagnose/blame/studied.ts";
import { type BlameSubject, eventsOf, touches } from "../diagnose/blame/subject.ts";
import { writtenFields } from "../diagnose/blame/written-fields.ts";
import type { BlameEvent } from "../snapshot/blame.ts";
import { encodeChain, encodeCode } from "./authors.ts";
import { encodeSide } from "./diff.ts";
import { orNull } from "./walks.ts";

/** Changed runs of one effect that are listed. */
const MAX_CHANGES = 64;
/** Different instructions that are told as text. */
const MAX_WORDS = 8192;
/** Words that are made into text at once. */
const BATCH = 1024;

/** The events that tell of a subject, in order; each is made when it is asked for, as there may be a million. */
export async function encodeBlame(blame: StudiedBlame, subject: BlameSubject): Promise<Iterable<BlameEntryJson>> {
  const events = eventsOf(blame, subject);
  await blame.writers.learn(events);
  const instructions = await instructionsOf(blame, events);
  return entries(blame, events, instructions);
}

function* entries(
  blame: StudiedBlame,
  events: readonly number[],
  instructions: ReadonlyMap<number, string>,
): Generator<BlameEntryJson> {
  for (const index of events) yield encodeEvent(blame, index, instructions);
}

/** Text by word. */
async function instructionsOf(
  { record }: StudiedBlame,
  events: readonly number[],
): Promise<ReadonlyMap<number, string>> {
  const first = new Map<number, bigint>();
  for (const index of events) {
    const { word, pc } = record.events[index] as BlameEvent;
    if (word !== undefined && first.size < MAX_WORDS && !first.has(word)) first.set(word, pc ?? 0n);
  }
  const words = [...first].map(([word, address]) => ({ word, address: virt(address) }));
  const texts = new Map<number, string>();
  for (let at = 0; at < words.length; at += BATCH) {
    for (const { word, mnemonic, operands } of await disassembleWords(words.slice(at, at + BATCH))) {
      texts.set(word, `${mnemonic} ${operands}`.trimEnd());
    }
  }
  return texts;
}

function encodeEvent(blame: StudiedBlame, index: number, instructions: ReadonlyMap<number, string>): BlameEntryJson {
  const { record, byEvent, replay } = blame;
  const event = record.events[index] as BlameEvent;
  const { stop, cpu, address, old, new: now } = event;
  const entry = { event: index, stop, cpu, by: encodeBy(blame, index, instructions) };
  const effects = byEvent.effects(index).map(encodeEffect);
  switch (event.kind) {
    case "point":
      return { ...entry, kind: "point", point: replay.capture.points[Number(address)]?.id ?? "?", effects };
    case "table":
    case "unseen-table":
      return {
        ...{ ...entry, kind: "table", address: hex(address), old: orNull(old), new: orNull(now) },
        ...{ change: encodeChange(blame, index), effects },
      };
    case "register":
    case "unseen-register": {
      const write = byEvent.register(index);
      const name = write?.name ?? systemNameOf(Number(address & 0xffffn));
      const values = { cpu, name, before: write?.before ?? old, after: write?.after ?? now };
      const fields = writtenFields(replay.capture, values).map((field) => ({
        ...field,
        before: hex(field.before),
        after: hex(field.after),
      }));
      return {
        ...{ ...entry, kind: "register", name, old: orNull(values.before), new: orNull(values.after) },
        ...{ fields, effects },
      };
    }
    case "memory":
    case "unseen-memory": {
      const range = record.ranges.find((each) => touches(each, address));
      const values = { address: hex(address), old: orNull(old), new: orNull(now) };
      return { ...entry, kind: "memory", range: range?.name ?? null, ...values };
    }
    case "maintenance": {
      const operation = systemNameOf(Number(address & 0xffffn));
      return { ...entry, kind: "maintenance", operation, value: orNull(now) };
    }
    case "use":
      return { ...entry, kind: "use", va: hex(address) };
    case "table-found":
      return { ...entry, kind: "table-found", address: hex(address), effects };
    case "lapse":
      return { ...entry, kind: "lapse", why: record.notes[Number(address)] ?? "" };
  }
}

const UNSEEN: ReadonlySet<BlameEvent["kind"]> = new Set(["unseen-table", "unseen-register", "unseen-memory"]);

function encodeBy(
  { record, writers }: StudiedBlame,
  index: number,
  instructions: ReadonlyMap<number, string>,
): BlameEntryJson["by"] {
  const { kind, word } = record.events[index] as BlameEvent;
  const writer = writers.of(index);
  if (writer === undefined || UNSEEN.has(kind)) return null;
  const instruction = word === undefined ? null : (instructions.get(word) ?? null);
  const { pc, place, chain } = writer;
  return { pc: hex(pc), instruction, ...encodeCode(place), backtrace: encodeChain(chain) };
}

type TableJson = Extract<BlameEntryJson, { kind: "table" }>;

function encodeChange({ byEvent }: StudiedBlame, index: number): TableJson["change"] {
  const change = byEvent.change(index);
  if (change === undefined) return null;
  const { kind, before, after, events } = change;
  return { kind, with: events.find((each) => each !== index) ?? null, old: hex(before), new: hex(after) };
}

function encodeEffect(effect: Effect): TableJson["effects"][number] {
  const { regime, va, size, level, seen, told } = effect;
  const changes = effect.changes();
  return {
    ...{ regime, va: hex(va), size: hex(size), level: level ?? null, seen },
    changes: changes.slice(0, MAX_CHANGES).map((change) => ({
      ...{ kind: change.kind, va: hex(change.va), size: hex(change.size) },
      ...{ before: encodeSide(change.before), after: encodeSide(change.after) },
    })),
    complete: told && changes.length <= MAX_CHANGES,
  };
}
