/** What `ebscope show` shows of a capture's study: images, UEFI's tables and memory map, the fault, who was running, findings. */
import { EbscopeError } from "../../base/error.ts";
import { findingsOf } from "../../diagnose/findings.ts";
import { isCaptured, mapsAt } from "../../diagnose/memory-maps.ts";
import type { Study } from "../../diagnose/study.ts";
import { traceAt } from "../../diagnose/trace.ts";
import { differenceIn } from "../../diff/compare.ts";
import { findPoint } from "../../diff/diff.ts";
import { PointView } from "../../diff/point-view.ts";
import { encodeFindings } from "../../encode/diff.ts";
import { encodeEfi, type ShownTables } from "../../encode/efi.ts";
import { encodeBacktrace, encodeFault } from "../../encode/fault.ts";
import { encodeImages } from "../../encode/images.ts";
import { encodeMemoryMap } from "../../encode/memory-map.ts";
import type { Capture } from "../../snapshot/model.ts";
import { jsonText, type Output } from "../output.ts";
import { renderBacktrace } from "../render/backtrace.ts";
import { renderEfiTables } from "../render/efi.ts";
import { renderFault } from "../render/fault.ts";
import { renderFindings } from "../render/findings.ts";
import { renderImages } from "../render/images.ts";
import { renderMemoryMap } from "../render/memory-map.ts";
import type { ShowFlags } from "../show-flags.ts";
import { pointAt, viewOf } from "./open.ts";

export function showImages(study: Study, flags: ShowFlags): Output {
  return flags.json ? jsonText(encodeImages(study)) : renderImages(study, flags.all ?? false).join("\n");
}

export function showMemoryMap(study: Study, flags: ShowFlags): Output {
  if (flags.at !== undefined) findPoint(study.capture, flags.at);
  const maps = mapsAt(study, flags.at);
  if (maps === undefined) throw noMap(study, flags.at);
  if (flags.json) return jsonText(encodeMemoryMap(study, maps));
  return renderMemoryMap(study, maps, flags.all ?? false).join("\n");
}

function noMap(study: Study, at: string | undefined): EbscopeError {
  const there = [...(study.memoryMap === undefined ? [] : [study.memoryMap]), ...study.attributes.filter(isCaptured)];
  if (at !== undefined && there.length > 0) {
    const next = `Leave out --at, or give ${[...new Set(there.map(({ point }) => point))].join(", ")}.`;
    return new EbscopeError("not-captured", `Cannot show the memory map at ${at}: there is none of that point`, {
      next,
    });
  }
  const next =
    "Attach before the OS loader calls GetMemoryMap: `ebscope capture` records the map whose key ExitBootServices is called with.";
  return new EbscopeError("not-captured", "Cannot show the memory map: the capture has none", { next });
}

export function showEfi({ capture, names, tables }: Study, flags: ShowFlags): Output {
  const point = pointAt(capture, flags.at);
  const found = tables.get(point.id);
  if (found === undefined) throw noTables(capture, point.id, [...tables.keys()]);
  const [first] = tables;
  const shown: ShownTables = {
    view: new PointView(capture, point),
    tables: found,
    first: first === undefined || first[0] === point.id ? undefined : { point: first[0], tables: first[1] },
  };
  return flags.json ? jsonText(encodeEfi(shown, names)) : renderEfiTables(shown, names).join("\n");
}

function noTables(capture: Capture, at: string, there: readonly string[]): EbscopeError {
  if (capture.efi === undefined) {
    const next = "Attach while the firmware runs; a guest that has left it has no such tables.";
    return new EbscopeError("not-captured", "Cannot show UEFI's tables: no system table was found", { next });
  }
  const next = `Give --at with one of ${there.join(", ")}.`;
  return new EbscopeError("not-captured", `Cannot show UEFI's tables at ${at}: they are not read there`, { next });
}

export function showFault({ capture, fault, names }: Study, flags: ShowFlags): Output {
  if (fault === undefined) {
    const ids = capture.points.map(({ id }) => id).join(", ");
    throw new EbscopeError("no-such-point", `Cannot show the fault: the capture has none (its points: ${ids})`);
  }
  return flags.json ? jsonText(encodeFault(fault)) : renderFault(fault, names, true).join("\n");
}

export async function showBacktrace(study: Study, flags: ShowFlags): Promise<Output> {
  const { capture, fault, names } = study;
  const point = pointAt(capture, flags.at ?? fault?.point);
  const view = viewOf(capture, point, flags.cpu);
  const trace = point.id === fault?.point && view.cpu === fault.cpu ? fault.trace : await traceAt(study, view);
  if (flags.json) return jsonText(encodeBacktrace(trace));
  return renderBacktrace(trace, names, flags.all ?? false).join("\n");
}

export async function showFindings(study: Study, flags: ShowFlags): Promise<Output> {
  const difference = await differenceIn(study.capture, study.images);
  const findings = findingsOf(study, difference);
  if (flags.json) return jsonText(encodeFindings(findings));
  const compared = difference && `${difference.before.point.id} → ${difference.after.point.id}`;
  return renderFindings(findings, compared, flags.all ?? false).join("\n");
}
