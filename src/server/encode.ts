/** From domain values to the JSON of `api`: the only place that knows both. */

import { hostExtensions } from "../aarch64/machine-state.ts";
import type { Mapping } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { decodeFields, registerClass } from "../aarch64/registers/index.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import type {
  CoverageJson,
  DiffJson,
  ExplainJson,
  FindingJson,
  MappingJson,
  PointJson,
  RegisterJson,
  SideJson,
  TableJson,
} from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import { littleEndianValue } from "../base/registers.ts";
import type { Finding } from "../diagnose/findings.ts";
import { mapsAt } from "../diagnose/memory-maps.ts";
import { MemoryTypes } from "../diagnose/memory-types.ts";
import type { Study } from "../diagnose/study.ts";
import type { PointTrace } from "../diagnose/trace.ts";
import { type PointWalk, walkChanges } from "../diagnose/walks.ts";
import { type Coverage, type Difference, type OwnedMappingChange, regimeNames } from "../diff/diff.ts";
import type { MappingSide } from "../diff/mappings.ts";
import { imagesIn, ownerOf } from "../diff/owners.ts";
import { PointView } from "../diff/point-view.ts";
import type { ImageDetails, LoadedImage } from "../efi/images.ts";
import { type Capture, type Point, pointRegisters } from "../snapshot/model.ts";
import { encodeBacktrace, encodeFault } from "./encode-fault.ts";
import { encodeImages } from "./encode-images.ts";
import { encodeMemoryMap } from "./encode-memory-map.ts";
import { encodeAttributes, encodeWalks, orNull } from "./encode-walks.ts";

function encodeSide(side: MappingSide | null): SideJson | null {
  return side === null ? null : { pa: hex(side.pa), ...encodeAttributes(side.attributes) };
}

/** `traces`: the call chains of the two points. */
export function encodeDiff(
  difference: Difference,
  findings: readonly Finding[],
  study: Study,
  traces: readonly PointTrace[],
): DiffJson {
  const { capture, before, after } = difference;
  const types = new MemoryTypes(study.memoryMap);
  const maps = mapsAt(study);
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
    mappings: difference.mappings.map((change) => encodeChange(change, types)),
    tables: difference.tables.map(({ regime, pa, kind }) => ({ regime, pa: hex(pa), kind })),
    efi: difference.efi.map(({ name, before: old, after: now }) => ({ name, before: orNull(old), after: orNull(now) })),
    findings: encodeFindings(findings),
    coverage: difference.coverage.map(encodeCoverage),
    fault: study.fault === undefined ? null : encodeFault(study.fault),
    images: encodeImages(study, changedImages(difference, study)),
    memoryMap: maps === undefined ? null : encodeMemoryMap(study, maps),
    backtraces: traces.map(encodeBacktrace),
  };
}

function encodeChange(change: OwnedMappingChange, types: MemoryTypes): DiffJson["mappings"][number] {
  const { regime, kind, va, size, before, after, owner, expected } = change;
  return {
    regime,
    kind,
    va: hex(va),
    size: hex(size),
    before: encodeSide(before),
    after: encodeSide(after),
    owner,
    expected,
    memoryType: memoryTypeOf(change, types),
  };
}

/** The type of the memory that a run leads to; of the memory that it led to where it leads nowhere any more. */
export function memoryTypeOf({ before, after, size }: OwnedMappingChange, types: MemoryTypes): string | null {
  const side = after ?? before;
  return side === null ? null : types.of(side.pa, size);
}

function changedImages({ mappings }: Difference, { images }: Study): readonly ImageDetails[] {
  const changed = new Set(mappings.flatMap((change) => change.images.map(({ base }) => base)));
  return images.filter(({ base }) => changed.has(base));
}

export function encodeFindings(findings: readonly Finding[]): FindingJson[] {
  return findings.map((finding) => ({ ...finding, evidence: [...finding.evidence] }));
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
