/** Rules over a capture and a difference. Each is a pure function; docs/findings.md has a section a rule. */
import { hex } from "../base/hex.ts";
import { plural } from "../base/text.ts";
import { type Difference, isCall } from "../diff/diff.ts";
import { type Fault, type Place, readFault } from "./fault.ts";

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

type Rule = (facts: Facts) => Omit<Finding, "rule"> | undefined;

/** Every rule, in the order in which findings are shown. */
export const RULES = {
  "guest-faulted": guestFaulted,
  "capture-partial": capturePartial,
  "control-register-changed": controlRegisterChanged,
  "unexpected-mapping-change": unexpectedMappingChange,
  "all-mapping-changes-expected": allMappingChangesExpected,
} satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;

export function findingsOf(difference: Difference): readonly Finding[] {
  const facts: Facts = { difference, fault: readFault(difference.capture, difference.images) };
  return Object.entries(RULES).flatMap(([rule, check]) => {
    const finding = check(facts);
    return finding === undefined ? [] : [{ rule: rule as RuleName, ...finding }];
  });
}

export function placeText({ address, image, section }: Place): string {
  if (image === undefined) return `${hex(address)} (in no loaded image)`;
  return `${hex(address)} (${image}${section === undefined ? "" : `, ${section}`})`;
}

function guestFaulted({ fault }: Facts): Omit<Finding, "rule"> | undefined {
  if (fault === undefined) return undefined;
  const { level, syndrome, esr, far, pc, linkRegister } = fault;
  return {
    severity: "error",
    title: `The guest faulted after ExitBootServices: ${syndrome.summary}, at PC ${hex(pc.address)}.`,
    evidence: [
      `ESR_EL${level} = ${hex(esr)}: ${syndrome.summary}`,
      `ELR_EL${level} = ${placeText(pc)}`,
      ...(far === undefined ? [] : [`FAR_EL${level} = ${hex(far)}`]),
      `x30 = ${placeText(linkRegister)}`,
    ],
  };
}

function capturePartial({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const { partial } = difference.capture;
  if (partial === undefined) return undefined;
  return { severity: "warning", title: "The capture is partial: it ended early.", evidence: [partial.message] };
}

function controlRegisterChanged({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const changed = difference.registers.filter((change) => change.class === "control");
  if (changed.length === 0) return undefined;
  return {
    severity: isCall(difference) ? "warning" : "info",
    title: `${plural(changed.length, "control register")} changed.`,
    evidence: changed.map(({ cpu, name, before, after }) => {
      const value = (side: bigint | undefined): string => (side === undefined ? "unreadable" : hex(side));
      return `vCPU ${cpu} ${name}: ${value(before)} → ${value(after)}`;
    }),
  };
}

function unexpectedMappingChange({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const runs = difference.mappings.filter(({ expected }) => expected === null);
  if (runs.length === 0 || !isCall(difference)) return undefined;
  return {
    severity: "warning",
    title: `${plural(runs.length, "run")} of mappings changed in a way that ExitBootServices is not known to do.`,
    evidence: runs.slice(0, 20).map(({ regime, kind, va, size }) => `${regime} ${hex(va)} + ${hex(size)} ${kind}`),
  };
}

function allMappingChangesExpected({ difference }: Facts): Omit<Finding, "rule"> | undefined {
  const { mappings } = difference;
  if (mappings.length === 0 || !isCall(difference) || mappings.some(({ expected }) => expected === null))
    return undefined;
  return {
    severity: "info",
    title: "Every mapping change is a known effect of ExitBootServices.",
    evidence: [...new Set(mappings.map(({ expected }) => `${expected?.rule}: ${expected?.why}`))],
  };
}
