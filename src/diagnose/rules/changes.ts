/** Rules over the difference of two points. */

import { exceptionLevelOf } from "../../aarch64/regime-model.ts";
import { bit } from "../../base/bits.ts";
import { hex } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import { type Difference, isCall } from "../../diff/diff.ts";
import { isKnownChange, type RegisterChange } from "../../diff/registers.ts";
import { mappingAuthors, registerAuthors } from "./blamed.ts";
import type { Facts, Verdict } from "./rule.ts";

/** Runs that one finding lists. */
const MAX_RUNS = 20;

export function capturePartial({ study: { capture } }: Facts): Verdict | undefined {
  const { partial } = capture;
  if (partial === undefined) return undefined;
  return {
    severity: "warning",
    title: "The capture is partial: it ended early.",
    evidence: [printable(partial.message, 500)],
  };
}

/** SCTLR_ELx.M of the regime that executes 1 → 0 between the points around the call. */
export function mmuOffAcrossCall(facts: Facts): Verdict | undefined {
  const { difference } = facts;
  const off = (difference?.registers ?? []).filter((change) => isMmuOff(difference, change));
  const [first] = off;
  if (first === undefined) return undefined;
  return {
    severity: "warning",
    title: `The MMU was turned off across the call: ${first.name}.M of vCPU ${first.cpu} went from 1 to 0.`,
    evidence: off.map((change) => registerLine(change, facts)),
  };
}

/** Of the regime that executed at the call, on the vCPU that called: what other levels and vCPUs have in SCTLR is not in force there. */
function isMmuOff(difference: Difference | undefined, { cpu, name, before, after }: RegisterChange): boolean {
  if (difference === undefined || !isCall(difference) || before === undefined || after === undefined) return false;
  const caller = difference.before;
  const control = `SCTLR_EL${exceptionLevelOf(caller.currentRegime)}`;
  return cpu === caller.cpu && name === control && bit(before, 0) && !bit(after, 0);
}

function registerLine(change: RegisterChange, facts: Facts): string {
  const { cpu, name, before, after } = change;
  const by = registerAuthors(facts)(facts.difference?.registers.indexOf(change) ?? -1);
  return `vCPU ${cpu} ${printable(name, 40)}: ${hex(before ?? 0n)} → ${hex(after ?? 0n)}${by}`;
}

export function controlRegisterChanged(facts: Facts): Verdict | undefined {
  const { difference } = facts;
  const changed = (difference?.registers ?? []).filter(
    (change) => change.class === "control" && isKnownChange(change) && !isMmuOff(difference, change),
  );
  if (difference === undefined || changed.length === 0) return undefined;
  return {
    severity: isCall(difference) ? "warning" : "info",
    title: `${plural(changed.length, "control register")} changed.`,
    evidence: changed.map((change) => registerLine(change, facts)),
  };
}

export function unexpectedMappingChange(facts: Facts): Verdict | undefined {
  const { difference } = facts;
  // Of a regime that translates no more, every address has changed: that is another rule's.
  const runs = (difference?.mappings ?? []).filter(
    ({ expected, regime }) =>
      expected === null && difference?.after.regime(regime).enabled === difference?.before.regime(regime).enabled,
  );
  if (difference === undefined || runs.length === 0 || !isCall(difference)) return undefined;
  const by = mappingAuthors(facts);
  return {
    severity: "warning",
    title: `${plural(runs.length, "run")} of mappings changed in a way that ExitBootServices is not known to do.`,
    evidence: [
      ...runs.slice(0, MAX_RUNS).map((run) => {
        const { regime, kind, va, size } = run;
        return `${regime} ${hex(va)} + ${hex(size)} ${kind}${by(difference.mappings.indexOf(run))}`;
      }),
      ...(runs.length > MAX_RUNS ? [`… and ${runs.length - MAX_RUNS} more`] : []),
    ],
  };
}

export function allMappingChangesExpected({ difference }: Facts): Verdict | undefined {
  if (difference === undefined || !isCall(difference)) return undefined;
  const { mappings, coverage } = difference;
  if (mappings.length === 0 || coverage.length > 0 || mappings.some(({ expected }) => expected === null))
    return undefined;
  return {
    severity: "info",
    title: "Every mapping change is a known effect of ExitBootServices.",
    evidence: [...new Set(mappings.map(({ expected }) => `${expected?.rule}: ${expected?.why}`))],
  };
}
