/** From domain values to the JSON of `api`: the only place that knows both. */

import type { Attributes } from "../aarch64/attributes.ts";
import { hostExtensions } from "../aarch64/machine-state.ts";
import type { Mapping } from "../aarch64/regime-map.ts";
import type { Regime, RegimeName } from "../aarch64/regime-model.ts";
import { decodeFields, registerClass } from "../aarch64/registers/index.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import type { Translation, WalkStep } from "../aarch64/translate.ts";
import { verdicts } from "../aarch64/verdict.ts";
import type {
  CoverageJson,
  DiffJson,
  ExplainJson,
  FaultJson,
  MappingJson,
  PointJson,
  RegisterJson,
  SideJson,
  TableJson,
  WalkJson,
} from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import { littleEndianValue } from "../base/registers.ts";
import type { BranchTrace, CallChain } from "../code/index.ts";
import { type Fault, type Place, placeOf } from "../diagnose/fault.ts";
import type { Finding } from "../diagnose/findings.ts";
import type { CalledService } from "../diagnose/service.ts";
import { type PointWalk, stepFields, walkChanges } from "../diagnose/walks.ts";
import { type Coverage, type Difference, regimeNames } from "../diff/diff.ts";
import type { MappingSide } from "../diff/mappings.ts";
import { imagesIn, ownerOf } from "../diff/owners.ts";
import { PointView } from "../diff/point-view.ts";
import type { LoadedImage } from "../efi/images.ts";
import { type Capture, type Point, pointRegisters } from "../snapshot/model.ts";

function orNull(value: bigint | undefined): string | null {
  return value === undefined ? null : hex(value);
}

function encodeAttributes(attributes: Attributes): Omit<SideJson, "pa"> {
  const { read, write, execute, el0, memory, fetch, shareability, granule, level } = attributes;
  const { contiguous, accessFlag, global, guarded } = attributes;
  return {
    read,
    write,
    execute,
    el0,
    memory,
    fetch,
    shareability,
    granule,
    level,
    contiguous,
    accessFlag,
    global,
    guarded,
  };
}

function encodeSide(side: MappingSide | null): SideJson | null {
  return side === null ? null : { pa: hex(side.pa), ...encodeAttributes(side.attributes) };
}

export function encodeDiff(difference: Difference, findings: readonly Finding[]): DiffJson {
  const { capture, before, after } = difference;
  return {
    from: before.point.id,
    to: after.point.id,
    status: orNull(capture.attempts.findLast(({ status }) => status !== undefined)?.status),
    attempts: capture.attempts.length,
    partial: capture.partial ?? null,
    notes: [...capture.notes, ...difference.notes],
    regimes: difference.regimes.map((use) => ({ ...use })),
    registers: difference.registers.map(({ cpu, name, before: old, after: now, class: kind, fields }) => ({
      cpu,
      name,
      before: orNull(old),
      after: orNull(now),
      class: kind,
      fields: fields.map((field) => ({ ...field, before: hex(field.before), after: hex(field.after) })),
    })),
    mappings: difference.mappings.map(({ regime, kind, va, size, before: old, after: now, owner, expected }) => ({
      regime,
      kind,
      va: hex(va),
      size: hex(size),
      before: encodeSide(old),
      after: encodeSide(now),
      owner,
      expected,
    })),
    tables: difference.tables.map(({ regime, pa, kind }) => ({ regime, pa: hex(pa), kind })),
    efi: difference.efi.map(({ name, before: old, after: now }) => ({ name, before: orNull(old), after: orNull(now) })),
    findings: findings.map((finding) => ({ ...finding, evidence: [...finding.evidence] })),
    coverage: difference.coverage.map(encodeCoverage),
  };
}

export function encodeCoverage({ point, regime, va, size, ranges, pa, level, code, why }: Coverage): CoverageJson {
  const where = { va: hex(va), size: hex(size), ranges };
  return { point, regime, ...where, pa: orNull(pa), level: level ?? null, code, ...(why !== undefined && { why }) };
}

/** Every register of every vCPU at a point. */
export function encodeRegisters(capture: Capture, point: Point): RegisterJson[] {
  return point.registers.flatMap((row, cpu) => {
    const e2h = hostExtensions(pointRegisters(capture, point, cpu));
    return capture.registers.map(({ name, stubName }, i): RegisterJson => {
      const read = row[i];
      const value = read?.state === "present" ? littleEndianValue(read.bytes) : undefined;
      const fields = value === undefined ? [] : decodeFields(name, value, { e2h });
      return {
        cpu,
        name,
        stubName,
        class: registerClass(name),
        value: orNull(value),
        fields: fields.map((field) => ({ name: field.name, value: hex(field.value), meaning: field.meaning })),
      };
    });
  });
}

/** The mappings of some regimes, as `show FILE mappings --json` prints them. */
export function encodeMappings(
  lists: readonly { readonly mappings: readonly Mapping[] }[],
  images: readonly LoadedImage[],
): MappingJson[] {
  return lists.flatMap(({ mappings }) =>
    mappings.map(
      ({ regime, va, size, pa, attributes }): MappingJson => ({
        regime,
        va: hex(va),
        size: hex(size),
        pa: hex(pa),
        ...encodeAttributes(attributes),
        owner: ownerOf(imagesIn(regime, images), va, size),
      }),
    ),
  );
}

export function encodeTables(view: PointView, names: readonly RegimeName[]): TableJson[] {
  return names.flatMap((regime) =>
    view.mapAny(regime).tables.map(({ pageNumber, level }) => ({
      regime,
      pa: hex(pageAddress(pageNumber)),
      level,
    })),
  );
}

export function encodePoint(capture: Capture, point: Point): PointJson {
  const states = [...point.pages.values()].map(({ state }) => state);
  const count = (wanted: string): number => states.filter((state) => state === wanted).length;
  const view = new PointView(capture, point);
  return {
    id: point.id,
    kind: point.kind,
    pc: orNull(view.registers.get("pc")),
    cpu: point.cpu,
    time: point.time,
    complete: point.complete,
    regimes: [...regimeNames(view)],
    pages: { present: count("present"), absent: count("absent"), unreadable: count("unreadable") },
  };
}

export function encodeExplanation(va: bigint, walks: readonly PointWalk[]): ExplainJson {
  const changes = walkChanges(walks).map(({ from, to, differences }) => ({ from, to, differences: [...differences] }));
  return { va: hex(va), points: encodeWalks(walks), changes };
}

function encodeWalks(walks: readonly PointWalk[]): WalkJson[] {
  return walks.map(({ point, regime, live, walked }) => ({
    point,
    regime: regime.name,
    live,
    steps: walked.steps.map((step) => encodeStep(step, regime)),
    ...(walked.intermediate !== undefined && { intermediate: hex(walked.intermediate) }),
    result: encodeTranslation(walked.result, regime),
  }));
}

function encodeStep(step: WalkStep, regime: Regime): WalkJson["steps"][number] {
  const { stage, level, table, intermediate, index, descriptor, kind } = step;
  return {
    stage,
    level,
    table: hex(table),
    ...(intermediate !== undefined && { intermediate: hex(intermediate) }),
    index,
    descriptor: hex(descriptor),
    kind,
    fields: stepFields(step, regime).map(({ name, value, meaning }) => ({ name, value: hex(BigInt(value)), meaning })),
  };
}

/** The fault of a capture, as `show FILE fault --json` prints it. */
export function encodeFault(fault: Fault, images: readonly LoadedImage[]): FaultJson {
  const place = (each: Place | undefined): FaultJson["pc"] =>
    each === undefined
      ? null
      : { address: hex(each.address), image: each.image ?? null, section: each.section ?? null };
  const { vector, syndrome } = fault;
  return {
    cpu: fault.cpu,
    exceptionLevel: fault.level,
    vector: vector === undefined ? null : { kind: vector.kind, from: vector.from },
    esr: orNull(fault.esr),
    exceptionClass: syndrome?.ec ?? null,
    summary: syndrome?.summary ?? null,
    pc: place(fault.pc),
    far: orNull(fault.far),
    x30: place(fault.linkRegister),
    pcWalks: encodeWalks(fault.pcWalks),
    farWalks: encodeWalks(fault.farWalks),
    callChain: fault.chain === undefined ? null : encodeChain(fault.chain, images),
    branch: fault.chain?.branch === undefined ? null : encodeSite(fault.chain.branch),
    service: fault.service === undefined ? null : encodeService(fault.service),
    code: (fault.code?.listing.instructions ?? []).map(({ address, word, mnemonic, operands }) => ({
      address: hex(address),
      word: hex(BigInt(word)),
      text: `${mnemonic} ${operands}`.trimEnd(),
    })),
  };
}

function encodeChain({ backtrace }: CallChain, images: readonly LoadedImage[]): FaultJson["callChain"] {
  const frames = backtrace.frames.map(({ pc, call, source, trust, doubts }) => {
    const { image, section } = placeOf(images, call ?? pc);
    return {
      pc: hex(pc),
      call: orNull(call),
      image: image ?? null,
      section: section ?? null,
      source,
      trust,
      doubts: [...doubts],
    };
  });
  return { frames, end: backtrace.end.text };
}

function encodeSite({ site }: BranchTrace): FaultJson["branch"] {
  const address = site.kind === "call" || site.kind === "later" ? hex(site.address) : null;
  return { kind: site.kind, address, why: site.kind === "unknown" ? site.why : null };
}

function encodeService({ name, table, offset, before, at, call }: CalledService): FaultJson["service"] {
  const place = { table: hex(table.address), offset: hex(BigInt(offset)) };
  return { name, ...place, before: orNull(before), at: orNull(at), call: hex(call) };
}

function encodeTranslation(result: Translation, regime: Regime): WalkJson["result"] {
  if (result.mapped === null) return result;
  if (!result.mapped) return { mapped: false, why: result.why, level: result.level };
  const { pa, attributes } = result;
  return { mapped: true, pa: hex(pa), ...encodeAttributes(attributes), verdicts: [...verdicts(attributes, regime)] };
}
