/**
 * One entry of a table under one of its uses: what it translates, and to where before and after it was written.
 *
 * Source: Arm ARM DDI 0487, D8.3 "Translation table descriptor formats".
 */
import { type Attributes, leafAttributes } from "../aarch64/attributes.ts";
import { throughStage2 } from "../aarch64/compose.ts";
import {
  blockPage,
  descriptorKind,
  INVALID,
  type Inherited,
  inherit,
  leafKey,
  outputPage,
  TABLE,
} from "../aarch64/descriptor.ts";
import { entryPages, LAST_LEVEL, tableEntries } from "../aarch64/granule.ts";
import type { RegimeMap, Run } from "../aarch64/regime-map.ts";
import type { Regime, TableRoot } from "../aarch64/regime-model.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import type { TableUse } from "../aarch64/table-uses.ts";
import { outputEnd } from "../aarch64/translate.ts";
import { DEFAULT_MAX_RUNS, type MapOptions, mapRegime } from "../aarch64/walk.ts";
import { type PhysAddr, virt } from "../base/address.ts";
import type { PageSource } from "../base/memory.ts";

/** Units: numbers of 4 KiB pages. */
export interface Entry {
  readonly regime: Regime;
  readonly root: TableRoot;
  readonly level: number;
  readonly inherited: Inherited;
  readonly start: number;
  readonly pages: number;
}

/** Which doubleword of its page is at a physical address. */
export function indexInPage(address: PhysAddr): number {
  return Number(address & 0xfffn) >> 3;
}

/** Whether a doubleword of a page belongs to the table that it is a part of under a use. */
export function isEntry({ first, count }: TableUse, index: number): boolean {
  return index >= first && index < first + count;
}

/** The entry that a doubleword of a page is under a use. */
export function entryAt({ regime, root, level, inherited, first, start }: TableUse, index: number): Entry {
  const pages = entryPages(root.format.granuleBits, level);
  return { regime, root, level, inherited, start: start + (index - first) * pages, pages };
}

/** A doubleword as the regime's walks see it. */
export function descriptorIn(regime: Regime, doubleword: bigint): bigint {
  if (!regime.bigEndian) return doubleword;
  let swapped = 0n;
  for (let i = 0n; i < 64n; i += 8n) swapped = (swapped << 8n) | ((doubleword >> i) & 0xffn);
  return swapped;
}

/** The halves of a descriptor. */
interface Words {
  readonly low: number;
  readonly high: number;
}

export function wordsOf(descriptor: bigint): Words {
  return { low: Number(descriptor & 0xffff_ffffn), high: Number(descriptor >> 32n) };
}

/** Whether a descriptor is one of a table here. */
export function leadsToTable({ level, root }: Entry, descriptor: bigint): boolean {
  return (descriptor & 3n) === 3n && level < LAST_LEVEL && descriptorKind(3, level, root.format) === TABLE;
}

/** Where a leaf leads and how; null: it maps nothing. */
export interface LeafOutput {
  readonly page: number;
  readonly attributes: Attributes;
}

export function leafOutput(entry: Entry, descriptor: bigint): LeafOutput | null {
  const { root, level, inherited, pages } = entry;
  const { low, high } = wordsOf(descriptor);
  const kind = descriptorKind(low, level, root.format);
  if (kind === INVALID || kind === TABLE) return null;
  const page = level === LAST_LEVEL ? outputPage(low, high, root.format) : blockPage(low, high, root.format, pages);
  if (page >= outputEnd(root)) return null;
  return { page, attributes: attributesOf(entry.regime, root, leafKey(low, high, inherited, level, root.format)) };
}

export function sameOutput(a: LeafOutput | null, b: LeafOutput | null): boolean {
  if (a === null || b === null) return a === b;
  return a.page === b.page && (a.attributes === b.attributes || a.attributes.key === b.attributes.key);
}

/** By root: those of one regime have their own. */
const attributes = new WeakMap<TableRoot, Map<number, Attributes>>();

function attributesOf(regime: Regime, root: TableRoot, key: number): Attributes {
  const ofRoot = attributes.get(root) ?? new Map<number, Attributes>();
  attributes.set(root, ofRoot);
  const known = ofRoot.get(key) ?? leafAttributes(key, root, regime);
  ofRoot.set(key, known);
  return known;
}

/** What an entry maps with this descriptor, before stage 2 where the regime is behind it. No table is looked into. */
function leafMap(entry: Entry, descriptor: bigint): RegimeMap {
  const output = leafOutput(entry, descriptor);
  const { start, pages, regime } = entry;
  const runs: Run[] = output === null ? [] : [{ start, pages, output: output.page, attributes: output.attributes }];
  return { regime, runs, lost: [], tables: [] };
}

/** All that an entry maps with this descriptor, through stage 2 too: `stage2` is its map, where the regime is behind it. */
export function entryMap(
  entry: Entry,
  descriptor: bigint,
  source: PageSource,
  stage2: RegimeMap | undefined,
  options: MapOptions = {},
): RegimeMap {
  const stage1 = leadsToTable(entry, descriptor)
    ? mapRegime(regimeBelow(entry, descriptor), source, { ...options, inherited: handedDown(entry, descriptor) })
    : leafMap(entry, descriptor);
  return stage2 === undefined || leadsToTable(entry, descriptor)
    ? stage1
    : throughStage2(stage1, stage2, DEFAULT_MAX_RUNS);
}

function handedDown({ root, inherited }: Entry, descriptor: bigint): Inherited {
  return root.hierarchical ? inherit(inherited, wordsOf(descriptor).high) : 0;
}

/** The regime as if the table that a descriptor names were its only root. */
function regimeBelow({ regime, root, level, start }: Entry, descriptor: bigint): Regime {
  const { low, high } = wordsOf(descriptor);
  const below: TableRoot = {
    ...root,
    vaBase: virt(BigInt(start) << 12n),
    startLevel: level + 1,
    table: pageAddress(outputPage(low, high, root.format)),
    entries: tableEntries(root.format.granuleBits),
  };
  return { ...regime, roots: [below], undecoded: [] };
}
