/**
 * The comparison with a baseline as `same-as` takes it: what src/diff/across says of two captures, as complaints.
 *
 * What lies elsewhere and is the same, and what depends on the moment, are no differences there. What cannot be matched, as pointers into
 * the heap, is neither: it does not count. What could not be read in one of the captures leaves the rule undecided.
 */
import { accessText } from "../aarch64/permissions.ts";
import type { RegisterClass } from "../aarch64/registers/index.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import { findingsOf } from "../diagnose/findings.ts";
import type { Study } from "../diagnose/study.ts";
import { type Across, diffAcross } from "../diff/across/across.ts";
import type { MappingChangeAcross } from "../diff/across/call.ts";
import type { AcrossContent, MappingAcross } from "../diff/across/mapping.ts";
import type { AcrossSide, Two } from "../diff/across/side.ts";
import { differenceIn } from "../diff/compare.ts";
import { imageLabel } from "../diff/owners.ts";
import type { BaselineComparison, BaselineDifference } from "./rules/baseline.ts";
import type { Where } from "./verdict.ts";

export interface Baseline {
  /** Its file, as the user named it. */
  readonly file: string;
  readonly study: Study;
}

/** Compares a capture with a baseline. Raises `no-such-point` when they have no point in common. */
export async function compareWithBaseline(
  { file, study: baseline }: Baseline,
  study: Study,
): Promise<BaselineComparison> {
  const across = await diffAcross({ a: await sideOf(baseline), b: await sideOf(study) });
  return { file, differences: DIFFERENCES.flatMap((of) => of(across)), undecided: undecidedOf(across) };
}

async function sideOf(study: Study): Promise<AcrossSide> {
  const difference = await differenceIn(study.capture, study.images);
  return { ...study, findings: findingsOf(study, difference) };
}

function told(part: string, message: string, { a, b }: Two<string>, where: Where = {}): BaselineDifference {
  return { part, message, where, evidence: [`baseline: ${printable(a, 400)}`, `capture: ${printable(b, 400)}`] };
}

function value(number: bigint | undefined): string {
  return number === undefined ? "none" : hex(number);
}

const DIFFERENCES: readonly ((across: Across) => BaselineDifference[])[] = [
  ({ machine }) => machine.map(({ what, texts }) => told("machine", `${what} is another`, texts)),
  offeredDifferences,
  imageDifferences,
  registerDifferences,
  ({ mappings }) => mappings.filter(({ verdict }) => verdict === "different").map(mappingDifference),
  efiDifferences,
  memoryMapDifferences,
  pointDifferences,
  callDifferences,
  findingDifferences,
];

function offeredDifferences({ offered }: Across): BaselineDifference[] {
  const { a, b } = { a: offered.a.join(", ") || "none", b: offered.b.join(", ") || "none" };
  return a === b
    ? []
    : [told("machine", "the stubs offer other registers", { a: `only here: ${a}`, b: `only here: ${b}` })];
}

function imageDifferences({ images: { pairs, only } }: Across): BaselineDifference[] {
  const alone = (
    image: { readonly base: bigint; readonly name: string | undefined },
    which: string,
  ): BaselineDifference => ({
    part: "images",
    message: `only the ${which} has the image ${printable(image.name ?? hex(image.base), 120)}`,
    where: { image: image.name },
    evidence: [],
  });
  return [
    ...only.a.map((image) => alone(image, "baseline")),
    ...only.b.map((image) => alone(image, "capture")),
    ...pairs
      .filter(({ build }) => build === "other")
      .map(({ a, b }) =>
        told(
          "images",
          `${printable(imageLabel(b), 120)} is of another build`,
          { a: buildText(a), b: buildText(b) },
          { image: imageLabel(b) },
        ),
      ),
  ];
}

function buildText({ size, header }: Across["images"]["pairs"][number]["a"]): string {
  const entry = header?.entryPoint === undefined ? "" : `, entry point at offset ${hex(header.entryPoint)}`;
  return `${hex(size)} bytes${entry}`;
}

/** What code computes with is another with every build of it, and timers go their way: classes that tell nothing of a firmware's state. */
const PASSING: ReadonlySet<RegisterClass> = new Set(["general", "timer"]);

function registerDifferences({ registers }: Across): BaselineDifference[] {
  return registers
    .filter((each) => each.verdict === "different" && !PASSING.has(each.class))
    .map(({ name, cpus, values, places, points, fields, class: kind }) => {
      const text = (number: bigint | undefined, place: string | undefined): string =>
        place === undefined ? value(number) : `${value(number)} (${place})`;
      const both = { a: text(values.a, places.a), b: text(values.b, places.b) };
      const where = { point: points[0], cpu: cpus.b, register: name };
      // What no class claims are the registers that say what the CPU is.
      const complaint = told(
        kind === "other" ? "machine" : "registers",
        `${printable(name, 40)} of vCPU ${cpus.b} at ${points.join(", ")} is another`,
        both,
        where,
      );
      const lines = fields.map(
        (field) => `${field.name}: ${hex(field.before)} → ${hex(field.after)} (${field.meaning})`,
      );
      return { ...complaint, evidence: [...complaint.evidence, ...lines] };
    });
}

function mappingDifference({ regimes, owner, sides, points }: Across["mappings"][number]): BaselineDifference {
  const whose = ownerText(owner);
  const image = owner.kind === "image" ? { image: owner.image, section: owner.section ?? undefined } : {};
  const where = { point: points[0], regime: regimes.b, ...image };
  return told(
    "mappings",
    `${whose} is mapped otherwise in ${regimes.b} at ${points.join(", ")}`,
    { a: contentText(sides.a), b: contentText(sides.b) },
    where,
  );
}

function contentText({ state, attributes, size }: AcrossContent): string {
  if (attributes === null) return `${state}, ${hex(size)} bytes`;
  return `${accessText(attributes)}, ${attributes.memory}, ${hex(size)} bytes`;
}

function efiDifferences({ efi }: Across): BaselineDifference[] {
  return efi
    .filter(({ verdict }) => verdict === "different")
    .map(({ name, values, places, points }) =>
      told(
        "efi",
        `${printable(name, 120)} at ${points.join(", ")} is another`,
        { a: places.a ?? value(values.a), b: places.b ?? value(values.b) },
        { point: points[0] },
      ),
    );
}

function memoryMapDifferences({ memoryMap }: Across): BaselineDifference[] {
  return (memoryMap?.types ?? []).map(({ type, pages, attributes }) =>
    told(
      "memory-map",
      `the memory map has other memory of type ${printable(type, 60)}`,
      { a: `${pages.a} pages, ${attributes.a.join("; ")}`, b: `${pages.b} pages, ${attributes.b.join("; ")}` },
      { memoryType: type },
    ),
  );
}

function pointDifferences({ onlyPoints }: Across): BaselineDifference[] {
  const { a, b } = { a: onlyPoints.a.join(", "), b: onlyPoints.b.join(", ") };
  if (a === "" && b === "") return [];
  return [
    told("changes", "they have other points", { a: `only here: ${a || "none"}`, b: `only here: ${b || "none"}` }),
  ];
}

function callDifferences({ call }: Across): BaselineDifference[] {
  if (call === undefined) return [];
  const { status, attempts, mappings, registers, efi, from, to } = call;
  const between = `from ${from} to ${to}`;
  return [
    ...(status === undefined
      ? []
      : [told("changes", "ExitBootServices returned another status", { a: value(status.a), b: value(status.b) })]),
    ...(attempts === undefined
      ? []
      : [
          told("changes", "ExitBootServices was called another number of times", {
            a: String(attempts.a),
            b: String(attempts.b),
          }),
        ]),
    ...mappings.filter(({ verdict }) => verdict === "different").map((change) => changeDifference(change, between)),
    ...registers.map(({ name, changes }) => {
      const text = (change: typeof changes.a): string =>
        change === undefined ? "unchanged" : `${value(change.before)} → ${value(change.after)}`;
      return told(
        "changes",
        `${printable(name, 40)} changed otherwise ${between}`,
        { a: text(changes.a), b: text(changes.b) },
        { register: name },
      );
    }),
    ...efi.map(({ name, changes }) => told("changes", `${printable(name, 120)} changed otherwise ${between}`, changes)),
  ];
}

function changeDifference({ owner, before, after, pages }: MappingChangeAcross, between: string): BaselineDifference {
  const text = (side: MappingChangeAcross["before"]): string => (side === null ? "not mapped" : accessText(side));
  return told(
    "changes",
    `${printable(owner, 120)}: another number of pages changed ${text(before)} → ${text(after)} ${between}`,
    { a: `${pages.a} pages`, b: `${pages.b} pages` },
  );
}

function findingDifferences({ findings }: Across): BaselineDifference[] {
  return findings.differences.map(({ rule, findings: { a, b } }) =>
    told(
      "findings",
      `the finding ${rule} is another`,
      { a: a?.title ?? "none", b: b?.title ?? "none" },
      { finding: rule },
    ),
  );
}

function undecidedOf({ registers, coverage }: Across): BaselineDifference[] {
  const gaps = (["a", "b"] as const).flatMap((side) =>
    coverage[side].map(({ point, regime, va, size, pa, level, code }) => ({
      part: "mappings",
      message: `what ${regime} maps at ${hex(va)} + ${hex(size)} is not known at ${point} of the ${side === "a" ? "baseline" : "capture"}: the page at ${value(pa)}, a table of level ${level ?? "?"}, could not be read (${code})`,
      where: { point, regime, va, size, pa },
      evidence: [],
    })),
  );
  const unread = registers
    .filter((each) => each.verdict === "unread" && !PASSING.has(each.class))
    .map(({ name, cpus, points }) => ({
      part: "registers",
      message: `${printable(name, 40)} of vCPU ${cpus.b} at ${points.join(", ")} could not be read in one of the captures`,
      where: { point: points[0], cpu: cpus.b, register: name },
      evidence: [],
    }));
  return [...gaps, ...unread];
}

/** `DxeCore .text`, `memory of type EfiBootServicesData`, `address 0x9000000`. */
function ownerText(owner: MappingAcross["owner"]): string {
  switch (owner.kind) {
    case "image": {
      const offset = owner.offset === null ? "" : `+${hex(owner.offset)}`;
      return printable(`${owner.image}${offset}${owner.section === null ? "" : ` ${owner.section}`}`, 200);
    }
    case "memory":
      return `memory of type ${printable(owner.type, 60)}`;
    case "elsewhere":
      return `memory of type ${printable(owner.type, 60)} at addresses not its own`;
    case "address":
      return `address ${hex(owner.va)}`;
  }
}
