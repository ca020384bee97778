/** `exit-succeeded`, `not-faulted` and `no-findings`: how the run went. */
import { hex } from "../../base/hex.ts";
import { plural } from "../../base/text.ts";
import type { Finding } from "../../diagnose/findings.ts";
import { statusName } from "../../efi/structures.ts";
import { FAULTS_NOT_WATCHED, type PointKind } from "../../snapshot/model.ts";
import { anyMatches } from "../pattern.ts";
import type { DemandOf, NameException } from "../policy.ts";
import type { Subject } from "../subject.ts";
import { type Complaint, type Outcome, outcome } from "../verdict.ts";

export function exitSucceeded(subject: Subject, { attempts: most }: DemandOf<"exit-succeeded">): Outcome {
  const { attempts } = subject.study.capture;
  const last = attempts.at(-1);
  if (last === undefined) return outcome([], [plain("the capture saw no call of ExitBootServices")]);
  if (last.status === undefined) return outcome([], [plain("the call of ExitBootServices was not seen to return")]);
  const { status } = last;
  if (status !== 0n) {
    const name = statusName(status);
    return outcome([
      plain(`ExitBootServices returned ${name === undefined ? hex(status) : `${name} (${hex(status)})`}`),
    ]);
  }
  if (most === undefined || attempts.length <= most) return outcome([]);
  const evidence = attempts.map(({ status: each, mapKey }, i) => {
    const returned = each === undefined ? "did not return" : `returned ${statusName(each) ?? hex(each)}`;
    return `call ${i + 1}, map key ${hex(mapKey)}: ${returned}`;
  });
  const message = `ExitBootServices succeeded at the ${ordinal(attempts.length)} call, and ${plural(most, "call")} ${most === 1 ? "is" : "are"} allowed`;
  return outcome([{ ...plain(message), evidence: evidence.slice(0, MOST_EVIDENCE) }]);
}

const MOST_EVIDENCE = 16;

function ordinal(count: number): string {
  const tens = count % 100;
  if (tens >= 11 && tens <= 13) return `${count}th`;
  return `${count}${["th", "st", "nd", "rd"][count % 10] ?? "th"}`;
}

function plain(message: string): Complaint {
  return { message, where: {}, evidence: [] };
}

/** Seen by a point at an exception vector, or by vectors that no exception gets through. */
export async function notFaulted(subject: Subject): Promise<Outcome> {
  const { capture } = subject.study;
  const findings = await subject.findings();
  const told = findings.filter(({ rule }) => rule === "guest-faulted" || rule === "vectors-unusable");
  const [cause] = findings.filter(({ severity, rule }) => severity === "error" && rule !== "guest-faulted");
  const violations = told
    .filter((finding) => finding.severity === "error")
    .map((finding) => ({
      ...complaintOf(finding),
      evidence: [...(cause === undefined || cause === finding ? [] : [cause.title]), ...finding.evidence],
    }));
  if (violations.length > 0) return outcome(violations);
  const has = (wanted: PointKind): boolean => capture.points.some(({ kind }) => kind === wanted);
  if (has("fault")) return outcome([plain("the guest took an exception after the call")]);
  return outcome([], notWatched(subject, has));
}

function notWatched({ study: { capture } }: Subject, has: (kind: PointKind) => boolean): Complaint[] {
  if (capture.notes.includes(FAULTS_NOT_WATCHED)) return [plain("the guest could not be watched for faults")];
  if (capture.partial !== undefined)
    return [{ ...plain("the capture ended early"), evidence: [capture.partial.message] }];
  return has("later") ? [] : [plain("the guest was not watched after the call: the capture has no point later")];
}

const RANKS = ["info", "warning", "error"] as const;

export async function noFindings(subject: Subject, demand: DemandOf<"no-findings">): Promise<Outcome> {
  const least = RANKS.indexOf(demand.minimum);
  const used = new Set<NameException>();
  const told = (await subject.findings()).filter(({ rule, severity }) => {
    if (RANKS.indexOf(severity) < least) return false;
    if (demand.findings !== undefined && !anyMatches(demand.findings, rule)) return false;
    const excepted = demand.except.filter(({ name }) => name.matches(rule));
    for (const each of excepted) used.add(each);
    return excepted.length === 0;
  });
  return outcome(
    told.map(complaintOf),
    [],
    demand.except.filter((each) => !used.has(each)),
  );
}

function complaintOf({ rule, title, evidence }: Finding): Complaint {
  return { message: title.replace(/\.$/, ""), where: { finding: rule }, evidence };
}
