/**
 * A second reader of `.ebs` files, written from docs/capture-format.md alone, and what a slow decoder sees in them. Shares no code with
 * src.
 */
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { probeAddresses } from "./addresses.ts";
import { ebscopeJson } from "./live.ts";
import { type SlowMachine, type SlowRegime, slowTranslate } from "./slow-decoder.ts";

interface PlainPoint {
  readonly id: string;
  readonly cpu: number;
  readonly registers: readonly (readonly string[])[];
  readonly present: readonly number[];
}

interface PlainMeta {
  readonly registers: readonly { readonly name: string }[];
  readonly points: readonly PlainPoint[];
}

export interface PlainCapture {
  readonly meta: PlainMeta;
  readonly pages: Buffer;
}

export function readPlainCapture(path: string): PlainCapture {
  const file = readFileSync(path);
  if (file.subarray(0, 8).toString("hex") !== "894542530d0a1a0a" || file.readUInt32LE(8) !== 1)
    throw new Error("not a capture");
  const chunks = new Map<string, Buffer>();
  for (let at = 16; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    chunks.set(file.toString("latin1", at, at + 4), file.subarray(at + 12, at + 12 + length));
    at += 12 + length;
  }
  const meta = JSON.parse(inflateSync(chunks.get("META") ?? Buffer.alloc(0)).toString("utf8")) as PlainMeta;
  return { meta, pages: inflateSync((chunks.get("PAGE") ?? Buffer.alloc(4)).subarray(4)) };
}

/** The machine of a point, as the slow decoder wants it. */
export function plainMachine({ meta, pages }: PlainCapture, id: string): SlowMachine {
  const point = meta.points.find((each) => each.id === id);
  if (point === undefined) throw new Error(`no point ${id}`);
  const indices = new Map<number, number>();
  for (let i = 0; i < point.present.length; i += 2) indices.set(point.present[i] ?? 0, point.present[i + 1] ?? 0);
  return {
    register(name) {
      const text = point.registers[point.cpu]?.[meta.registers.findIndex((each) => each.name === name)];
      if (text === undefined || !/^[0-9a-f]+$/.test(text)) return undefined;
      return BigInt(`0x${Buffer.from(text, "hex").reverse().toString("hex")}`);
    },
    word(address) {
      const index = indices.get(Number(address / 4096n));
      return index === undefined ? undefined : pages.readBigUInt64LE(index * 4096 + Number(address % 4096n));
    },
  };
}

interface MappingOutput {
  readonly va: string;
  readonly size: string;
  readonly pa: string;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly el0: { readonly read: boolean; readonly write: boolean; readonly execute: boolean } | null;
  readonly memory: string;
  readonly shareability: string;
  readonly level: number | null;
}

/** Addresses on which `ebscope show mappings` and the slow decoder differ at a point of a real capture. */
export async function decoderMismatches(
  file: string,
  point: string,
  regime: SlowRegime,
  count: number,
): Promise<string[]> {
  const machine = plainMachine(readPlainCapture(file), point);
  const args = ["show", file, "mappings", "--at", point, "--regime", regime] as const;
  const mappings = await ebscopeJson<(MappingOutput & { regime: string })[]>(...args);
  if (mappings.length === 0) throw new Error(`no mappings in ${regime} at ${point}`);
  const mismatches: string[] = [];
  for (const va of probeAddresses(mappings, count)) {
    const ours = mappings.find((each) => va >= BigInt(each.va) && va < BigInt(each.va) + BigInt(each.size));
    const theirs = slowTranslate(machine, regime, va);
    const [left, right] = [ours === undefined ? "fault" : describeOurs(ours, va), describeTheirs(theirs)];
    if (left !== right) mismatches.push(`0x${va.toString(16)}: ebscope ${left}, decoder ${right}`);
  }
  return mismatches;
}

function rights(access: { read: boolean; write: boolean; execute: boolean }): string {
  return `${access.read ? "r" : "-"}${access.write ? "w" : "-"}${access.execute ? "x" : "-"}`;
}

function describeOurs(mapping: MappingOutput, va: bigint): string {
  const output = BigInt(mapping.pa) + (va - BigInt(mapping.va));
  const el0 = mapping.el0 === null ? null : rights(mapping.el0);
  return `${output.toString(16)} ${rights(mapping)} ${el0} ${mapping.memory} ${mapping.shareability} L${mapping.level}`;
}

function describeTheirs(theirs: ReturnType<typeof slowTranslate>): string {
  if (theirs.outcome !== "mapped") return theirs.outcome;
  const { output, privileged, unprivileged, memory, shareability, level } = theirs;
  return `${output.toString(16)} ${privileged} ${unprivileged} ${memory} ${shareability} L${level}`;
}
