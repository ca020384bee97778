/** The section about the fault: what the exception says, who was running, the walks, the code. */
import { hex, hex16 } from "../base/hex.ts";
import type { Fault, FaultCode } from "../diagnose/fault.ts";
import { type Place, placeNote, placeText, targetNote, typedNote } from "../diagnose/place.ts";
import type { Study } from "../diagnose/study.ts";
import type { PlacedFrame, PointTrace } from "../diagnose/trace.ts";
import { type PointWalk, walkPlace } from "../diagnose/walks.ts";
import { findPoint } from "../diff/diff.ts";
import { pointRegisters } from "../snapshot/model.ts";
import { type Block, columns, data, more, type Section, table, text } from "./document.ts";
import { branchText, descriptorKind, outcomeText, registerWords, serviceText } from "./words.ts";

/** Frames that the table has. */
const MAX_FRAMES = 64;

export function faultSection(study: Study): readonly Section[] {
  const { fault } = study;
  if (fault === undefined) return [];
  const { vector, cpu, level, pc, far, syndrome } = fault;
  const how = vector === undefined ? "an exception" : `a ${vector.kind} exception from ${vector.from}`;
  const blocks: Block[] = [
    text(`On vCPU ${cpu}, taken to EL${level}: ${how}.`),
    ...table([...columns("Register", "Value"), { name: "Meaning", prose: true }], registerRows(fault)),
    ...more("ESR, field by field", [
      ...table(
        [...columns("Field", "Bits", "Value"), { name: "Meaning", prose: true }],
        (syndrome?.fields ?? []).map(({ name, high, low, value, meaning }) => [
          name,
          high === low ? `${high}` : `${high}:${low}`,
          hex(value),
          meaning,
        ]),
      ),
    ]),
    { kind: "heading", spans: ["Call chain"] },
    ...chainBlocks(fault.trace, study),
    ...fault.code.flatMap(codeBlocks),
    ...walkBlocks("PC", pc?.address, fault.pcWalks),
    ...walkBlocks("FAR", far?.address, fault.farWalks),
    ...generalRegisters(study, fault),
  ];
  return [{ id: "fault", title: "Fault", blocks }];
}

const UNREAD = "could not be read";

function registerRows(fault: Fault): string[][] {
  const { level, esr, syndrome, pc, far, spsr, hpfar, linkRegister } = fault;
  const esrWords = `EC 0x${syndrome?.ec.toString(16)}: ${syndrome?.summary}`;
  return [
    esr === undefined ? [`ESR_EL${level}`, UNREAD, ""] : [`ESR_EL${level}`, hex16(esr), esrWords],
    placeRow(`ELR_EL${level}`, pc),
    ...(far === undefined ? [] : [placeRow(`FAR_EL${level}`, far)]),
    ...[spsr, hpfar].flatMap((each) =>
      each === undefined ? [] : [[each.name, hex16(each.value), registerWords(each.fields)]],
    ),
    placeRow("x30", linkRegister),
  ];
}

function placeRow(name: string, place: Place | undefined): string[] {
  if (place === undefined) return [name, UNREAD, ""];
  return [name, hex16(place.address), typedNote(place)];
}

/** The frames, why there are no more, and the branch that led to where no code can run. */
export function chainBlocks(trace: PointTrace, { names }: Study): Block[] {
  const { frames, end } = trace;
  const rest = frames.length - MAX_FRAMES;
  const branch = branchText(trace, names);
  const service = serviceText(trace, names);
  return [
    ...table(
      [...columns("", "Address", "Access"), { name: "Where", prose: true }, { name: "Doubts", prose: true }],
      frames.slice(0, MAX_FRAMES).map(frameRow),
    ),
    ...(rest > 0 ? [text(`… and ${rest} frames more.`)] : []),
    text("The chain ends here: ", data(end)),
    ...(branch === "" ? [] : [text("How execution came there: ", data(branch))]),
    ...(service === "" ? [] : [text("It went ", data(service))]),
  ];
}

function frameRow({ place, access, trust, doubts }: PlacedFrame, i: number): string[] {
  const doubt = trust === "sure" || trust === "likely" ? doubts.slice(0, 1) : [trust, ...doubts];
  return [`#${i}`, hex16(place.address), access, placeNote(place), doubt.join("; ")];
}

function codeBlocks({ address, place, listing, targets }: FaultCode): Block[] {
  const { instructions } = listing;
  const rows = instructions.map((each) => {
    const target = targets.get(each.address);
    const note = target === undefined ? "" : targetNote(target);
    return [
      hex(each.address),
      each.word.toString(16).padStart(8, "0"),
      `${each.mnemonic} ${each.operands}`.trimEnd() + note,
    ];
  });
  const marked = instructions.findIndex((each) => each.address === address);
  return [
    { kind: "heading", spans: ["Code at ", data(placeText(place))] },
    ...table(columns("", "", ""), rows, { code: true, ...(marked >= 0 && { marked }) }),
  ];
}

/** Points with the same walk share it. */
function walkBlocks(name: string, address: bigint | undefined, walks: readonly PointWalk[]): Block[] {
  if (address === undefined || walks.length === 0) return [];
  const groups = new Map<string, { readonly points: string[]; readonly walk: PointWalk }>();
  for (const walk of walks) {
    const key = JSON.stringify([walkPlace(walk), walkRows(walk), outcomeText(walk.walked.result)]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { points: [walk.point], walk });
    else group.points.push(walk.point);
  }
  return [
    { kind: "heading", spans: [`Walk of ${name} `, data(hex16(address))] },
    ...[...groups.values()].flatMap(({ points, walk }) => groupBlocks(points, walk)),
  ];
}

function groupBlocks(points: readonly string[], walk: PointWalk): Block[] {
  const { walked } = walk;
  return [
    text("At ", data(points.join(", ")), ` in ${walkPlace(walk)}: `, data(outcomeText(walked.result))),
    ...table(columns("Level", "Entry", "Descriptor", "Kind"), walkRows(walk)),
  ];
}

function walkRows({ walked }: PointWalk): string[][] {
  return walked.steps.map((step) => [
    `${step.stage === 2 ? "S2 " : ""}L${step.level}`,
    `${hex(step.table)}[${step.index}]`,
    hex16(step.descriptor),
    descriptorKind(step),
  ]);
}

const NAMES = [...Array.from({ length: 31 }, (_, i) => `x${i}`), "sp", "pc", "cpsr"];
const PER_LINE = 3;

/** x0 to x30 and what goes with them, as they were at the vector. */
function generalRegisters({ capture }: Study, { point, cpu }: Fault): Block[] {
  const registers = pointRegisters(capture, findPoint(capture, point), cpu);
  const cells = NAMES.map((name) => {
    const value = registers.get(name);
    return `${name.padEnd(4)} ${value === undefined ? "?".padEnd(18) : hex16(value)}`;
  });
  const lines = Array.from({ length: Math.ceil(cells.length / PER_LINE) }, (_, i) =>
    cells.slice(i * PER_LINE, (i + 1) * PER_LINE).join("  "),
  );
  return [
    { kind: "heading", spans: ["General registers at the vector"] },
    { kind: "lines", lines },
  ];
}
