/** The difference of two points, as JSON. */
import type { CoverageJson, DiffJson, FindingJson, SideJson } from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import type { DifferenceAuthors } from "../diagnose/blame/authors.ts";
import type { Finding } from "../diagnose/findings.ts";
import { mapsAt } from "../diagnose/memory-maps.ts";
import { MemoryTypes } from "../diagnose/memory-types.ts";
import type { Study } from "../diagnose/study.ts";
import type { PointTrace } from "../diagnose/trace.ts";
import type { Coverage, Difference, OwnedMappingChange } from "../diff/diff.ts";
import type { MappingSide } from "../diff/mappings.ts";
import type { RegisterChange } from "../diff/registers.ts";
import type { ImageDetails } from "../efi/images.ts";
import { encodeMappingAuthors, encodeRegisterAuthors } from "./authors.ts";
import { encodeBacktrace, encodeFault } from "./fault.ts";
import { encodeImages } from "./images.ts";
import { encodeMemoryMap } from "./memory-map.ts";
import { encodeAttributes, orNull } from "./walks.ts";

export function encodeSide(side: MappingSide | null): SideJson | null {
  return side === null ? null : { pa: hex(side.pa), ...encodeAttributes(side.attributes) };
}

/** `traces`: the call chains of the two points. `authors`: who made the changes; left out where the capture has no record of it. */
export function encodeDiff(
  difference: Difference,
  findings: readonly Finding[],
  study: Study,
  traces: readonly PointTrace[],
  authors?: DifferenceAuthors,
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
    registers: difference.registers.map((change) => ({
      ...encodeRegisterChange(change),
      ...encodeRegisterAuthors(authors?.registers.get(change)),
    })),
    mappings: difference.mappings.map((change) => ({
      ...encodeMappingChange(change, types),
      ...encodeMappingAuthors(authors?.mappings.get(change)),
    })),
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

export function encodeRegisterChange(change: RegisterChange): DiffJson["registers"][number] {
  const { cpu, name, before, after, fields } = change;
  return {
    cpu,
    name,
    before: orNull(before),
    after: orNull(after),
    class: change.class,
    fields: fields.map((field) => ({ ...field, before: hex(field.before), after: hex(field.after) })),
  };
}

export function encodeMappingChange(change: OwnedMappingChange, types: MemoryTypes): DiffJson["mappings"][number] {
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
