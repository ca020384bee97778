/** All rules, and what they say of a capture. docs/findings.md has a section a rule, in this order. */
import { printable } from "../base/text.ts";
import type { Difference } from "../diff/diff.ts";
import { pointRegisters } from "../snapshot/model.ts";
import {
  accessDenied,
  accessFlagFault,
  alignmentFault,
  alignmentFaultMmuOff,
  pcAlignment,
  spAlignment,
  stackNotMapped,
  unmappedAccess,
  writeToReadOnly,
} from "./rules/bad-access.ts";
import { branchToNull, branchToUnmapped, executeNeverFetch } from "./rules/bad-branch.ts";
import { bootServicesZeroed, cleanExit, exitBootServicesHooked, notMappedAsNeeded } from "./rules/call.ts";
import { exceptionInstruction } from "./rules/call-instruction.ts";
import {
  allMappingChangesExpected,
  capturePartial,
  controlRegisterChanged,
  mmuOffAcrossCall,
  unexpectedMappingChange,
} from "./rules/changes.ts";
import { externalAbort } from "./rules/external-abort.ts";
import { guestFaulted, otherVcpuFaulted } from "./rules/guest-faulted.ts";
import {
  el2RegisterAtEl1,
  el3RegisterBelowEl3,
  serror,
  simdTrapped,
  systemRegisterTrap,
  undefinedInstruction,
} from "./rules/instruction.ts";
import { tableMemoryReused } from "./rules/lost-tables.ts";
import { vectorsUnusable } from "./rules/lost-vectors.ts";
import { breakBeforeMakeMissing, tlbMaintenanceMissing } from "./rules/maintenance.ts";
import {
  nullPageMapped,
  reusableMemory,
  runtimeCodeNotExecutable,
  writableAndExecutable,
  wxMapping,
} from "./rules/mappings.ts";
import type { Facts, Rule, Verdict } from "./rules/rule.ts";
import { serviceCalledAfterExit } from "./rules/service-called-after-exit.ts";
import type { Study } from "./study.ts";

export interface Finding extends Verdict {
  readonly rule: RuleName;
}

/** Why a vCPU's exceptions lead nowhere, whatever raised them. */
const HANDLING = { "vectors-unusable": vectorsUnusable } satisfies Record<string, Rule>;

/**
 * The cause of the fault, the most specific first: only the first rule that has something to say is heard. What knows of UEFI and of what was
 * there before goes before what only knows the exception.
 */
export const CAUSES = {
  "service-called-after-exit": serviceCalledAfterExit,
  "table-memory-reused": tableMemoryReused,
  "branch-to-null": branchToNull,
  "execute-never-fetch": executeNeverFetch,
  "branch-to-unmapped": branchToUnmapped,
  "stack-not-mapped": stackNotMapped,
  "write-to-read-only": writeToReadOnly,
  "access-denied": accessDenied,
  "access-flag-fault": accessFlagFault,
  "unmapped-access": unmappedAccess,
  "alignment-fault-mmu-off": alignmentFaultMmuOff,
  "alignment-fault": alignmentFault,
  "sp-alignment": spAlignment,
  "pc-alignment": pcAlignment,
  "external-abort": externalAbort,
  "el2-register-at-el1": el2RegisterAtEl1,
  "el3-register-below-el3": el3RegisterBelowEl3,
  "undefined-instruction": undefinedInstruction,
  "system-register-trap": systemRegisterTrap,
  "simd-trapped": simdTrapped,
  "exception-instruction": exceptionInstruction,
  serror,
} satisfies Record<string, Rule>;

const OTHERS = {
  "other-vcpu-faulted": otherVcpuFaulted,
  "guest-faulted": guestFaulted,
  "capture-partial": capturePartial,
  "mmu-off-across-call": mmuOffAcrossCall,
  "not-mapped-as-needed": notMappedAsNeeded,
  "control-register-changed": controlRegisterChanged,
  "unexpected-mapping-change": unexpectedMappingChange,
  "tlb-maintenance-missing": tlbMaintenanceMissing,
  "break-before-make-missing": breakBeforeMakeMissing,
  "wx-mapping": wxMapping,
  "null-page-mapped": nullPageMapped,
  "runtime-code-not-executable": runtimeCodeNotExecutable,
  "exit-boot-services-hooked": exitBootServicesHooked,
  "clean-exit": cleanExit,
  "all-mapping-changes-expected": allMappingChangesExpected,
  "boot-services-zeroed": bootServicesZeroed,
  "writable-and-executable": writableAndExecutable,
  "reusable-memory": reusableMemory,
} satisfies Record<string, Rule>;

/** Every rule, in the order in which findings of one severity are shown: causes before what they led to. */
export const RULES = { ...HANDLING, ...CAUSES, ...OTHERS } satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;

/** All that the rules say: errors first, then warnings, then what is normal. Of the causes of a fault, at most one. */
export function findingsOf(study: Study, difference: Difference | undefined): readonly Finding[] {
  const facts: Facts = { study, difference };
  const causes = isOfVectors(study) ? [] : heard(CAUSES, facts).slice(0, 1);
  const findings = [...heard(HANDLING, facts), ...causes, ...heard(OTHERS, facts)];
  return (["error", "warning", "info"] as const).flatMap((wanted) =>
    findings.filter(({ severity }) => severity === wanted),
  );
}

/** Characters of a title or a line of evidence: no text of a rule comes near that by itself. */
const MAX_TEXT = 4000;

/** What rules say, safe to print: they quote names of the guest, the stub and the file. */
function heard(rules: Readonly<Partial<Record<RuleName, Rule>>>, facts: Facts): Finding[] {
  return Object.entries(rules).flatMap(([rule, check]) => {
    const verdict = check(facts);
    if (verdict === undefined) return [];
    const { severity, title, evidence } = verdict;
    const lines = evidence.map((line) => printable(line, MAX_TEXT));
    return [{ rule: rule as RuleName, severity, title: printable(title, MAX_TEXT), evidence: lines }];
  });
}

/** Whether the exception was raised by fetching the vector that it is taken to: what came first is overwritten, and its cause with it. */
function isOfVectors({ capture, fault }: Study): boolean {
  const point = capture.points.find(({ id }) => id === fault?.point);
  const pc = point === undefined ? undefined : pointRegisters(capture, point).get("pc");
  return pc !== undefined && pc === fault?.pc?.address;
}
