/** Rules over a capture and a difference. Each is a pure function; docs/findings.md has a section a rule. */
import { hex } from "../base/hex.ts";
import { plural } from "../base/text.ts";
import { type Difference, isCall } from "../diff/diff.ts";
import { isKnownChange } from "../diff/registers.ts";
import { type Fault, type Place, placeOf } from "./fault.ts";

export interface Finding {
  readonly rule: RuleName;
  readonly severity: "error" | "warning" | "info";
  /** One sentence. */
  readonly title: string;
  readonly evidence: readonly string[];
}

interface Facts {
  readonly difference: Difference;
  readonly fault: Fault | undefined;
}

/** Runs that one finding lists. */
const MAX_RUNS = 20;

type Rule = (facts: Facts) => Omit<Finding, "rule"> | undefined;

/** Every rule, in the order in which findings are shown. */
export const RULES = {
  "service-called-after-exit": serviceCalledAfterExit,
  "guest-faulted": guestFaulted,
  "capture-partial": capturePartial,
  "control-register-changed": controlRegisterChanged,
  "unexpected-mapping-change": unexpectedMappingChange,
  "all-mapping-changes-expected": allMappingChangesExpected,
} satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;

/** All that the rules say; `fault` is that of the capture. */
export function findingsOf(difference: Difference, fault: Fault | undefined): readonly Finding[] {
  const facts: Facts = { difference, fault };
  return Object.entries(RULES).flatMap(([rule, check]) => {
    const finding = check(facts);
    return finding === undefined ? [] : [{ rule: rule as RuleName, ...finding }];
  });
}

export function placeText(place: Place): string {
  return `${hex(place.address)} (${placeNote(place)})`;
}

/** `DxeCore+0x1234, .text`, or why no image can be named. */
export function placeNote({ image, listed, section }: Place): string {
  if (image === undefined) return listed ? "in no loaded image" : "images not recorded";
  return `${image}${section === undefined ? "" : `, ${section}`}`;
}

const UNREAD = "could not be read";

/** A call through a pointer of UEFI's tables that ExitBootServices had zeroed. */
function serviceCalledAfterExit({ difference, fault }: Facts): Omit<Finding, "rule"> | undefined {
  const { service, linkRegister } = fault ?? {};
  // Nothing else is said of ExitBootServices than what was seen: it succeeded, a pointer before, none after, and the PC there.
  const succeeded = difference.capture.attempts.at(-1)?.status === 0n;
  if (!succeeded || service?.at !== 0n || !service.before || fault?.pc?.address !== 0n) return undefined;
  const caller = placeOf(difference.images, service.call);
  const from = caller.image ?? hex(caller.address);
  return {
    severity: "error",
    title: `${from} called ${service.name} after ExitBootServices, which had zeroed it: the call went to 0.`,
    evidence: [
      `the call at ${placeText(caller)}`,
      `it went through ${service.name}, offset 0x${service.offset.toString(16)} of the table ${service.table.name} at ${hex(service.table.address)}`,
      `the pointer was ${placeText(placeOf(difference.images, service.before))} before the exit, and is 0 now`,
      ...(linkRegister === undefined ? [] : [`x30 = ${placeText(linkRegister)}`]),
    ],
  };
}

function guestFaulted({ difference, fault }: Facts): Omit<Finding, "rule"> | undefined {
  if (fault === undefined) return undefined;
  const { level, syndrome, esr, far, pc, linkRegister } = fault;
  const place = (each: Place | undefined): string => (each === undefined ? UNREAD : placeText(each));
  const what = syndrome?.summary ?? `exception whose ESR_EL${level} ${UNREAD}`;
  return {
    severity: "error",
    title: `The guest faulted ${faultMoment(difference)}: ${what}, at PC ${pc === undefined ? "unknown" : hex(pc.address)}.`,
    evidence: [
      `ESR_EL${level} = ${esr === undefined ? UNREAD : `${hex(esr)}: ${syndrome?.summary}`}`,
      `ELR_EL${level} = ${place(pc)}`,
      ...(far === undefined ? [] : [`FAR_EL${level} = ${hex(far)}`]),
      `x30 = ${place(linkRegister)}`,
    ],
  };
}

/** When the fault came, by how the last call of ExitBootServices ended. */
function faultMoment({ capture }: Difference): string {
  const last = capture.attempts.at(-1);
  if (last === undefined || last.status === 0n) return "after ExitBootServices";
  return last.status === undefined ? "inside ExitBootServices" : "after a failed call of ExitBootServices";
}

function capturePartial({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const { partial } = difference.capture;
  if (partial === undefined) return undefined;
  return { severity: "warning", title: "The capture is partial: it ended early.", evidence: [partial.message] };
}

function controlRegisterChanged({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const changed = difference.registers.filter((change) => change.class === "control" && isKnownChange(change));
  if (changed.length === 0) return undefined;
  return {
    severity: isCall(difference) ? "warning" : "info",
    title: `${plural(changed.length, "control register")} changed.`,
    evidence: changed.map(
      ({ cpu, name, before, after }) => `vCPU ${cpu} ${name}: ${hex(before ?? 0n)} → ${hex(after ?? 0n)}`,
    ),
  };
}

function unexpectedMappingChange({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const runs = difference.mappings.filter(({ expected }) => expected === null);
  if (runs.length === 0 || !isCall(difference)) return undefined;
  return {
    severity: "warning",
    title: `${plural(runs.length, "run")} of mappings changed in a way that ExitBootServices is not known to do.`,
    evidence: [
      ...runs.slice(0, MAX_RUNS).map(({ regime, kind, va, size }) => `${regime} ${hex(va)} + ${hex(size)} ${kind}`),
      ...(runs.length > MAX_RUNS ? [`… and ${runs.length - MAX_RUNS} more`] : []),
    ],
  };
}

function allMappingChangesExpected({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const { mappings, coverage } = difference;
  if (
    mappings.length === 0 ||
    coverage.length > 0 ||
    !isCall(difference) ||
    mappings.some(({ expected }) => expected === null)
  )
    return undefined;
  return {
    severity: "info",
    title: "Every mapping change is a known effect of ExitBootServices.",
    evidence: [...new Set(mappings.map(({ expected }) => `${expected?.rule}: ${expected?.why}`))],
  };
}
