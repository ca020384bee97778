/** The difference of two captures of two runs, as JSON. */
import type { AcrossJson } from "../api/across.ts";
import type { FindingJson } from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import type { Finding } from "../diagnose/findings.ts";
import type { Across, At } from "../diff/across/across.ts";
import type { CallAcross } from "../diff/across/call.ts";
import { countAcross } from "../diff/across/count.ts";
import type { AcrossContent, MappingAcross, MappingOwner } from "../diff/across/mapping.ts";
import type { RegisterAcross } from "../diff/across/registers.ts";
import { type AcrossSide, both, type Two } from "../diff/across/side.ts";
import type { RegisterChange } from "../diff/registers.ts";
import type { ImageDetails } from "../efi/images.ts";
import { encodeCoverage, encodeFindings } from "./diff.ts";
import { encodeAttributes, orNull } from "./walks.ts";

/** `findings`: all that the rules say of either capture, with their evidence. */
export function encodeAcross(across: Across, findings: Two<readonly Finding[]>): AcrossJson {
  return {
    captures: both(across.sides, encodeCapture),
    points: [...across.points],
    onlyPoints: both(across.onlyPoints, (ids) => [...ids]),
    counts: countAcross(across),
    machine: across.machine.map(({ what, texts }) => ({ what, ...texts })),
    registers: across.registers.map(encodeRegister),
    offered: both(across.offered, (names) => [...names]),
    ...encodeImages(across),
    mappings: across.mappings.map(encodeMapping),
    ...encodeMapped(across),
    efi: across.efi.map(({ points, name, values, places, verdict, why }) => ({
      ...{ points: [...points], name, values: both(values, orNull), places: both(places, textOrNull) },
      ...{ verdict, why: textOrNull(why) },
    })),
    memoryMap: encodeMemoryMap(across),
    call: across.call === undefined ? null : encodeCall(across.call, across.sides),
    findings: across.findings.differences.map(({ rule }) => ({
      rule,
      findings: both(findings, (list) => encodeFinding(list.find((each) => each.rule === rule))),
    })),
    coverage: both(across.coverage, (list) => list.map(encodeCoverage)),
  };
}

function textOrNull(text: string | undefined): string | null {
  return text ?? null;
}

function encodeCapture({ capture, firmware }: AcrossSide): AcrossJson["captures"]["a"] {
  const { createdAt, qemuVersion, threads, partial } = capture;
  return {
    createdAt,
    qemuVersion: textOrNull(qemuVersion),
    firmware: textOrNull(firmware?.name),
    vcpus: threads.length,
    partial: partial ?? null,
  };
}

function encodeRegister(register: At<RegisterAcross>): AcrossJson["registers"][number] {
  const { points, cpus, name, values, verdict, why, places, fields } = register;
  return {
    ...{ points: [...points], cpus: { ...cpus }, name, class: register.class, values: both(values, orNull), verdict },
    why: textOrNull(why),
    places: both(places, textOrNull),
    fields: fields.map(({ name: field, before, after, meaning }) => ({
      ...{ name: field, a: hex(before), b: hex(after), meaning },
    })),
  };
}

function encodeImages({ images: { pairs, only } }: Across): Pick<AcrossJson, "images"> {
  const encode = ({ name, base, size }: ImageDetails) => ({ name: textOrNull(name), base: hex(base), size: hex(size) });
  return {
    images: {
      pairs: pairs.map(({ a, b, build }) => ({
        ...{ name: textOrNull(a.name), bases: both({ a, b }, ({ base }) => hex(base)) },
        ...{ sizes: both({ a, b }, ({ size }) => hex(size)), build },
      })),
      only: both(only, (list) => list.map(encode)),
    },
  };
}

function encodeMapping(mapping: At<MappingAcross>): AcrossJson["mappings"][number] {
  const { points, regimes, owner, sides, verdict, why } = mapping;
  return {
    ...{ points: [...points], regimes: { ...regimes }, owner: encodeOwner(owner) },
    ...{ sides: both(sides, encodeContent), verdict, why: textOrNull(why) },
  };
}

function encodeOwner(owner: MappingOwner): AcrossJson["mappings"][number]["owner"] {
  switch (owner.kind) {
    case "image":
      return { ...owner, offset: owner.offset === null ? null : hex(owner.offset) };
    case "address":
      return { ...owner, va: hex(owner.va) };
    case "memory":
    case "elsewhere":
      return { ...owner };
  }
}

function encodeContent({ state, size, attributes }: AcrossContent): AcrossJson["mappings"][number]["sides"]["a"] {
  return { state, size: hex(size), attributes: attributes === null ? null : encodeAttributes(attributes) };
}

function encodeMapped({ mapped }: Across): Pick<AcrossJson, "mappedRam" | "onlyRegimes"> {
  return {
    mappedRam: mapped.flatMap(({ ram, points }) =>
      ram.map(({ regimes, sizes, of }) => ({
        ...{ points: [...points], regimes: { ...regimes }, sizes: both(sizes, hex), of: both(of, hex) },
      })),
    ),
    onlyRegimes: mapped
      .filter(({ only }) => only.a.length + only.b.length > 0)
      .map(({ only, points }) => ({ points: [...points], regimes: both(only, (names) => [...names]) })),
  };
}

function encodeMemoryMap({ memoryMap }: Across): AcrossJson["memoryMap"] {
  if (memoryMap === undefined) return null;
  const types = memoryMap.types.map(({ type, pages, attributes }) => ({
    ...{ type, pages: both(pages, hex), attributes: both(attributes, (texts) => [...texts]) },
  }));
  return { descriptors: { ...memoryMap.descriptors }, types };
}

function encodeCall(call: CallAcross, sides: Two<AcrossSide>): NonNullable<AcrossJson["call"]> {
  const { from, to, totals, mappings, registers, efi, only } = call;
  const attempts = both(sides, ({ capture }) => capture.attempts);
  return {
    ...{ from, to },
    status: both(attempts, (list) => orNull(list.findLast(({ status }) => status !== undefined)?.status)),
    attempts: both(attempts, (list) => list.length),
    totals: both(totals, ({ pages, images, fields }) => ({ pages: hex(pages), images, fields })),
    mappings: mappings.map(({ owner, kind, before, after, pages, verdict }) => ({
      ...{ owner, kind, pages: both(pages, hex), verdict },
      before: before === null ? null : encodeAttributes(before),
      after: after === null ? null : encodeAttributes(after),
    })),
    registers: registers.map(({ name, changes }) => ({ name, changes: both(changes, encodeChange) })),
    efi: efi.map(({ name, changes }) => ({ name, changes: { ...changes } })),
    only: both(only, (names) => [...names]),
  };
}

function encodeChange(change: RegisterChange | undefined) {
  return change === undefined ? null : { before: orNull(change.before), after: orNull(change.after) };
}

function encodeFinding(finding: Finding | undefined): FindingJson | null {
  return finding === undefined ? null : (encodeFindings([finding])[0] ?? null);
}
