/** What the call of ExitBootServices did, or who stood in its way. */
import { currentExceptionLevel } from "../../aarch64/machine-state.ts";
import { hex } from "../../base/hex.ts";
import { imageAt } from "../../efi/images.ts";
import { FAULTS_NOT_WATCHED } from "../../snapshot/model.ts";
import { placeText } from "../place.ts";
import {
  accessAt,
  hasLeft,
  levelOfCode,
  outcomeText,
  pointOf,
  pointsAfterExit,
  regimeOfCode,
  translationOf,
  viewOf,
} from "./look.ts";
import { vectorsUnusable } from "./lost-vectors.ts";
import type { Facts, Verdict } from "./rule.ts";

/** edk2's core: who else answers ExitBootServices stands in front of it. */
const DXE_CORE = "DxeCore";

/** Only where DxeCore is among the images: other firmware has no such place. */
export function exitBootServicesHooked({ study }: Facts): Verdict | undefined {
  const { capture, images, names, tables } = study;
  const core = images.find(({ name }) => name === DXE_CORE);
  if (core === undefined || capture.efi === undefined) return undefined;
  const before = capture.points.findLast(({ kind }) => kind === "before");
  const field = tables.get(before?.id ?? "")?.tables.find(({ name }) => name === "BootServices");
  const called = field?.state === "valid" ? field.fields.get("ExitBootServices") : undefined;
  const elsewhere = [called, capture.efi.exitBootServices].find(
    (address) => address !== undefined && address !== 0n && imageAt([core], address) === undefined,
  );
  if (elsewhere === undefined) return undefined;
  const { exitBootServices } = capture.efi;
  return {
    severity: "warning",
    title: `gBS->ExitBootServices is hooked: it points to ${placeText(names.place(elsewhere))}, not into ${DXE_CORE}.`,
    evidence: [
      ...(called === undefined ? [] : [`the pointer at ${before?.id}: ${placeText(names.place(called))}`]),
      `where the capture waited for the call: ${placeText(names.place(exitBootServices))}`,
      ...(exitBootServices === elsewhere
        ? []
        : ["what the hook does around the firmware's own function is not between the points around the call"]),
      `${DXE_CORE} is at ${hex(core.base)} + ${hex(core.size)}`,
    ],
  };
}

/** At the return of the call: code, stack and vectors have to be there for the next instructions. */
export function notMappedAsNeeded({ study }: Facts): Verdict | undefined {
  const point = pointOf(study.capture, "after");
  const view = point && viewOf(study, point);
  const regime = view && regimeOfCode(view);
  if (view === undefined || regime === undefined) return undefined;
  const level = levelOfCode(view);
  const needs = [
    ["pc", "pc", "execute"],
    ["x30", "x30", "execute"],
    ["sp", "sp", "write"],
    [`VBAR_EL${currentExceptionLevel(view.registers)}`, "the vectors", "execute"],
  ] as const;
  const missing = needs.flatMap(([register, what, need]) => {
    const address = view.registers.get(register);
    const result = address === undefined ? undefined : translationOf(view, regime, address);
    if (address === undefined || result === undefined || result.mapped === null) return [];
    if (result.mapped && accessAt(result, what === "the vectors" ? undefined : level)[need] !== false) return [];
    return [
      {
        what,
        line: `${register} = ${placeText(study.names.place(address, view))}: ${outcomeText(result, level)}, but has to be ${need === "execute" ? "executable" : "writable"}`,
      },
    ];
  });
  if (missing.length === 0) return undefined;
  return {
    severity: "warning",
    title: `After the call ${missing.map(({ what }) => what).join(", ")} ${missing.length === 1 && missing[0]?.what !== "the vectors" ? "is" : "are"} not mapped as needed.`,
    evidence: missing.map(({ line }) => line),
  };
}

export function bootServicesZeroed({ study: { capture, tables } }: Facts): Verdict | undefined {
  const after = tables.get("after")?.tables.find(({ name }) => name === "BootServices");
  if (!hasLeft(capture) || after?.state !== "zeroed") return undefined;
  return {
    severity: "info",
    title: "The firmware zeroed its table of boot services: a call through it goes to 0 from now on.",
    evidence: [`EFI_BOOT_SERVICES at ${hex(after.address)} holds zeros at after; edk2 does that on success`],
  };
}

export function cleanExit(facts: Facts): Verdict | undefined {
  const { capture, fault } = facts.study;
  const points = pointsAfterExit(capture);
  const [after, later] = [points[0], points.findLast(({ kind }) => kind === "later")];
  if (fault !== undefined || capture.partial !== undefined || after === undefined || later === undefined)
    return undefined;
  if (capture.notes.includes(FAULTS_NOT_WATCHED) || vectorsUnusable(facts) !== undefined) return undefined;
  const view = viewOf(facts.study, after);
  const vbar = `VBAR_EL${currentExceptionLevel(view.registers)}`;
  const moved = view.registers.get(vbar) !== viewOf(facts.study, later, after.cpu).registers.get(vbar);
  const seconds = (Date.parse(later.time) - Date.parse(after.time)) / 1000;
  const time = Number.isFinite(seconds) && seconds >= 0 ? ` in the ${seconds.toFixed(1)} s after it` : " after it";
  return {
    severity: "info",
    title: `ExitBootServices succeeded and no fault was seen${time}.`,
    evidence: [
      "watched for were exceptions through the vectors that were in force at the call",
      ...(moved ? [`${vbar} is another at ${later.id}: what went through the new vectors was not watched for`] : []),
    ],
  };
}
