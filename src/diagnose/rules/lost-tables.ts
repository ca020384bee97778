/**
 * Translation tables whose memory was used for something else while they were in force.
 *
 * Source: UEFI 2.10, 7.2.1: memory of types EfiBootServicesCode and Data and EfiLoaderCode and Data is the OS's after ExitBootServices, while the
 * firmware's tables, which may lie there, are still in force. Arm ARM DDI 0487, D8.3: descriptors; software may use all bits of an invalid one.
 *
 * Whoever owns tables edits them too: entries are cleared, made, or keep their address and get other attributes. What no edit looks like is
 * memory that was overwritten: entries that are neither 0 nor a descriptor, nor the old one made invalid; most entries replaced; all cleared in
 * a table that is still linked.
 */
import { blockPage, descriptorKind, INVALID, outputPage, TABLE } from "../../aarch64/descriptor.ts";
import { entryPages } from "../../aarch64/granule.ts";
import { isWords, tablePage } from "../../aarch64/table-pages.ts";
import { outputEnd, type WalkStep } from "../../aarch64/translate.ts";
import { phys, physPage } from "../../base/address.ts";
import { hex } from "../../base/hex.ts";
import { type Place, placeName } from "../place.ts";
import type { Study } from "../study.ts";
import type { PointWalk } from "../walks.ts";
import { type Scene, sceneOf, walksTo } from "./abort.ts";
import { hasLeft, memoryTypeAt, placeLine, pointOf, walkLines } from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

/** Less may be a stray write. */
const MANY = 2;
/** Entries in a page of a table. */
const PAGE_ENTRIES = 512;

/** The address was mapped after the call, and the table it was mapped by has been overwritten since. */
export function tableMemoryReused({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.abort === undefined || !hasLeft(study.capture)) return undefined;
  const address = scene.far ?? scene.pc;
  const edits = editsOf(study, scene, address);
  if (edits === undefined || !isOverwritten(edits)) return undefined;
  const { step, cleared, garbage } = edits;
  const type = memoryTypeAt(study, step.table);
  return {
    severity: "error",
    title: `The level ${step.level} translation table at ${hex(step.table)} was overwritten after ExitBootServices, and ${hex(address.address)} is not mapped any more.`,
    evidence: [
      `${placeName(scene.pc)} needed ${placeLine(address)}`,
      ...walkLines(walksTo(study, scene, address), scene.codeLevel),
      `in the table ${editsText(edits)}; of those that changed ${cleared} are 0 now, ${garbage} are no descriptors`,
      type === undefined
        ? "which type of memory the table lies in is not known"
        : `the table lies in memory of type ${type}`,
    ],
  };
}

/** That the table which an address was mapped by has changed, whoever did it; nothing where it has not. */
export function tableEditLines(study: Study, scene: Scene, address: Place): string[] {
  const edits = editsOf(study, scene, address);
  return edits === undefined
    ? []
    : [`in the level ${edits.step.level} table at ${hex(edits.step.table)} ${editsText(edits)}`];
}

function editsText({ changed, entries, since, step }: Edits): string {
  return `${changed} of ${entries} entries are others than at ${since}; the one for this address is ${hex(step.descriptor)}`;
}

/** What became of the entries of a table since a point. */
interface Edits {
  readonly since: string;
  readonly step: WalkStep;
  readonly entries: number;
  readonly changed: number;
  readonly cleared: number;
  /** Neither 0 nor with the old address. */
  readonly replaced: number;
  /** Of the replaced ones, those that are no descriptors. */
  readonly garbage: number;
  /** Whether all entries are 0 now. */
  readonly empty: boolean;
}

function isOverwritten({ garbage, replaced, cleared, empty, entries }: Edits): boolean {
  return garbage >= MANY || replaced > entries / 2 || (empty && cleared > entries / 2);
}

/** Of the table that a walk ends in at the fault, when it went on there at the return of the call. */
function editsOf(study: Study, scene: Scene, address: Place): Edits | undefined {
  const walks = walksTo(study, scene, address);
  const [before, now] = ["after", scene.fault.point].map((id) => walks.find(({ point }) => point === id));
  if (before?.walked.result.mapped !== true || now?.walked.result.mapped !== false) return undefined;
  const step = now.walked.steps.at(-1);
  const old = before.walked.steps.find(({ stage, level }) => stage === step?.stage && level === step.level);
  if (step === undefined || old?.table !== step.table || old.descriptor === step.descriptor) return undefined;
  const [a, b] = [before, now].map((walk) => entriesOf(study, walk, step));
  return a === undefined || b === undefined ? undefined : compare(a, b, step, before.point);
}

/** The entries around the one of a step: of the first table all that it has, else those in its page. */
function entriesOf({ capture }: Study, { point, regime }: PointWalk, step: WalkStep): readonly bigint[] | undefined {
  const { table, index, level, root, stage } = step;
  const short = level === root.startLevel && root.entries <= PAGE_ENTRIES;
  const start = phys(short ? table : (table + BigInt(index * 8)) & ~0xfffn);
  const { bigEndian } = stage === 2 ? (regime.behind ?? regime) : regime;
  const words = tablePage(pointOf(capture, point)?.pages.get(physPage(start)), bigEndian);
  if (!isWords(words)) return undefined;
  const first = Number(start & 0xfffn) / 4;
  return Array.from({ length: short ? root.entries : PAGE_ENTRIES }, (_, i) => {
    const [low = 0, high = 0] = words.subarray(first + 2 * i);
    return (BigInt(high) << 32n) | BigInt(low);
  });
}

function compare(before: readonly bigint[], now: readonly bigint[], step: WalkStep, since: string): Edits {
  const changed = now.flatMap((entry, i) => (entry === before[i] ? [] : [{ was: before[i] ?? 0n, entry }]));
  const replaced = changed.filter(({ was, entry }) => entry !== 0n && !sameAddress(was, entry));
  return {
    since,
    step,
    entries: now.length,
    changed: changed.length,
    cleared: changed.filter(({ entry }) => entry === 0n).length,
    replaced: replaced.length,
    garbage: replaced.filter(({ entry }) => !isDescriptor(entry, step)).length,
    empty: now.every((entry) => entry === 0n),
  };
}

/** Bits 47:12, where descriptors of all formats have their address. */
const ADDRESS = 0xffff_ffff_f000n;

function sameAddress(a: bigint, b: bigint): boolean {
  return ((a ^ b) & ADDRESS) === 0n;
}

/** Whether an entry at the level of a step is a valid descriptor, of an address that there can be. */
function isDescriptor(entry: bigint, { level, root }: WalkStep): boolean {
  const { format } = root;
  const [low, high] = [Number(entry & 0xffff_ffffn), Number(entry >> 32n)];
  const kind = descriptorKind(low, level, format);
  if (kind === INVALID) return false;
  const output =
    kind === TABLE
      ? outputPage(low, high, format)
      : blockPage(low, high, format, entryPages(format.granuleBits, level));
  return output < outputEnd(root);
}
