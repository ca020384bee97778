/**
 * A verdict as SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0): one run, a rule object a kind of rule (3.19.23), a result a violation (3.27).
 *
 * A result lies in the policy's line, as there is no source to point to (3.29), with the machine's address (3.32) and, as a logical location (3.33), the image
 * and section. What cannot be decided is a failure where the policy says so; else its kind is `open`, which goes with level `none` (3.27.9).
 * Kept rules give no result: viewers list those as alerts.
 */
import { createHash } from "node:crypto";
import { RULE_NAMES, type RuleName, RuleSet } from "../api/policy.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import { encodeWhere } from "./json.ts";
import { uriFromHere } from "./paths.ts";
import type { Complaint, RuleResult, Verdict, Where } from "./verdict.ts";

const SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
type Json = Readonly<Record<string, unknown>>;

export interface SarifOptions {
  /** Of ebscope: `0.1.0`. */
  readonly version: string;
}

export function sarifLog(verdict: Verdict, { version }: SarifOptions): Json {
  return {
    $schema: SCHEMA,
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "ebscope", semanticVersion: version, rules: RULE_NAMES.map(ruleObject) } },
        columnKind: "utf16CodeUnits",
        artifacts: [{ location: { uri: uriFromHere(verdict.policy.file) } }],
        invocations: [{ executionSuccessful: true, exitCode: verdict.state === "kept" ? 0 : 5 }],
        results: resultsOf(verdict),
        properties: { capture: printable(verdict.capture, 1000), state: verdict.state },
      },
    ],
  };
}

function ruleObject(name: RuleName): Json {
  const schema = RuleSet.properties[name] as { readonly description?: string };
  const text = schema.description ?? name;
  return {
    id: name,
    shortDescription: { text },
    help: { text: `docs/policies.md, section ${name}` },
    defaultConfiguration: { level: "error" },
  };
}

/** A result, and what tells it from others in the eyes of who compares runs. */
interface Draft {
  readonly result: RuleResult;
  readonly complaint: Complaint;
  readonly kind: "fail" | "open";
}

function resultsOf({ policy, rules }: Verdict): Json[] {
  const uri = uriFromHere(policy.file);
  const seen = new Map<string, number>();
  return rules.flatMap(draftsOf).map((draft) => {
    const print = fingerprint(draft);
    const count = (seen.get(print) ?? 0) + 1;
    seen.set(print, count);
    return { ...resultObject(draft, uri), partialFingerprints: { primaryLocationLineHash: `${print}:${count}` } };
  });
}

function draftsOf(result: RuleResult): Draft[] {
  const { rule, violations, more, undecided } = result;
  const kind = rule.unknown === "break" ? "fail" : "open";
  const rest: Complaint[] =
    more === 0 ? [] : [{ message: `there are ${more} more violations of ${rule.title}`, where: {}, evidence: [] }];
  return [
    ...[...violations, ...rest].map((complaint) => ({ result, complaint, kind: "fail" as const })),
    ...undecided.map((complaint) => ({
      result,
      complaint: { ...complaint, message: `cannot be decided: ${complaint.message}` },
      kind: kind as Draft["kind"],
    })),
  ];
}

/** Addresses move from run to run: where an image is known, they are left out. */
function fingerprint({ result, complaint: { where, message } }: Draft): string {
  const { point, image, section, register, finding, cpu } = where;
  const named = [image, register, finding].some((name) => name !== undefined);
  const parts = [result.rule.title, point, image, section, register, finding, cpu, named ? undefined : message];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

function resultObject({ result, complaint, kind }: Draft, uri: string): Json {
  const { rule } = result;
  const name = rule.demand.rule;
  const { line: startLine, column: startColumn } = rule.position;
  const why = rule.reason === undefined ? [] : [`Why: ${printable(rule.reason, 400)}`];
  return {
    ruleId: name,
    ruleIndex: RULE_NAMES.indexOf(name),
    kind,
    level: kind === "open" ? "none" : rule.severity,
    message: { text: [`${complaint.message}.`, ...why, ...complaint.evidence].join("\n") },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri, index: 0 },
          region: { startLine, startColumn },
          ...addressOf(complaint.where),
        },
        ...logicalOf(complaint.where),
      },
    ],
    properties: { title: printable(rule.title, 400), where: whereProperties(complaint.where) },
  };
}

/** JSON's numbers are exact up to 2^53: higher addresses stand in the properties only. */
function addressOf({ va, size, regime }: Where): Json {
  if (va === undefined || va > BigInt(Number.MAX_SAFE_INTEGER)) return {};
  const length = size === undefined || size > BigInt(Number.MAX_SAFE_INTEGER) ? {} : { length: Number(size) };
  return {
    address: { absoluteAddress: Number(va), ...length, kind: "page", name: `${regime ?? "address"} ${hex(va)}` },
  };
}

function logicalOf({ image, section, register, finding }: Where): Json {
  const names = [
    ...(image === undefined ? [] : [{ name: image, kind: "module" }]),
    ...(section === undefined ? [] : [{ name: section, kind: "section" }]),
    ...(register === undefined ? [] : [{ name: register, kind: "register" }]),
    ...(finding === undefined ? [] : [{ name: finding, kind: "finding" }]),
  ];
  const safe = names.map(({ name, kind }) => ({ name: printable(name), kind }));
  return safe.length === 0 ? {} : { logicalLocations: safe };
}

function whereProperties(where: Where): Json {
  return Object.fromEntries(
    Object.entries(encodeWhere(where)).flatMap(([name, value]) =>
      value === null ? [] : [[name, typeof value === "string" ? printable(value) : value]],
    ),
  );
}
