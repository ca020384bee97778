/** A policy's document → the policy, or everything that is wrong with it, each with line, column and cure. */
import { PolicyDocument, type RuleName, type RuleSet } from "../api/policy.ts";
import {
  type Document,
  type Path,
  type Problem,
  pathFault,
  raise,
  readDocument,
  type Source,
} from "../document/index.ts";
import { type Assertion, parseAssertion, placesOf } from "./assertion.ts";
import { fieldFault, findingFault, memoryTypeFault, type NameFault, registerFault } from "./known-names.ts";
import { parseRange } from "./parse-range.ts";
import { type Pattern, pattern } from "./pattern.ts";
import type { AddressRange, Demand, Exception, MemorySelector, NameException, Policy, PolicyRule } from "./policy.ts";
import { selectorText } from "./selector-text.ts";

/** Reads a policy in YAML or JSON. Raises `bad-document` with all that is wrong. */
export function readPolicy(source: Source): Policy {
  const document = readDocument(source, PolicyDocument, "a policy");
  const reader = new PolicyReader(document);
  const rules = reader.rules();
  if (reader.problems.length > 0) raise(source, reader.problems);
  return { file: source.name, name: document.value.name, rules };
}

type RegisterEntry = NonNullable<RuleSet["registers"]>[number];
type MappingEntry = NonNullable<RuleSet["mappings"]>[number];
type ExceptEntry = NonNullable<NonNullable<RuleSet["no-write-execute"]>["except"]>[number];
type SelectorEntry = Pick<ExceptEntry, "image" | "section" | "range" | "memory-type" | "runtime">;
type Common = Pick<RegisterEntry, "severity" | "reason" | "unknown">;

/** Parts of a comparison with a baseline. */
export const BASELINE_PARTS = [
  "machine",
  "images",
  "registers",
  "mappings",
  "efi",
  "memory-map",
  "changes",
  "findings",
] as const;

class PolicyReader {
  readonly problems: Problem[] = [];
  readonly #document: Document<PolicyDocument>;

  constructor(document: Document<PolicyDocument>) {
    this.#document = document;
  }

  rules(): readonly PolicyRule[] {
    const { rules } = this.#document.value;
    return (Object.keys(rules) as RuleName[]).flatMap((name) => this.#rulesOf(name, rules));
  }

  #rulesOf(name: RuleName, rules: RuleSet): PolicyRule[] {
    const path = ["rules", name];
    if (name === "registers") return (rules.registers ?? []).flatMap((entry, i) => this.#register(entry, [...path, i]));
    if (name === "mappings") return (rules.mappings ?? []).flatMap((entry, i) => this.#mapping(entry, [...path, i]));
    const demand = this.#demand(name, rules, path);
    const position = this.#document.keyAt(path);
    return demand === undefined ? [] : [{ demand, title: name, position, ...this.#common(rules[name] ?? {}) }];
  }

  #common({ severity, reason, unknown }: Common): Pick<PolicyRule, "severity" | "reason" | "unknown"> {
    const { unknown: usual } = this.#document.value;
    return { severity: severity ?? "error", unknown: unknown ?? usual ?? "break", reason };
  }

  #demand(rule: Exclude<RuleName, "registers" | "mappings">, rules: RuleSet, path: Path): Demand | undefined {
    switch (rule) {
      case "exit-succeeded":
        return { rule, attempts: rules[rule]?.attempts };
      case "not-faulted":
        return { rule };
      case "no-findings":
        return this.#findings(rules[rule] ?? {}, path);
      case "no-write-execute": {
        const { at, regime, except } = rules[rule] ?? {};
        return { rule, at: listOf(at), regimes: listOf(regime), except: this.#exceptions(except, path) };
      }
      case "null-page-unmapped": {
        const { at, size } = rules[rule] ?? {};
        return { rule, at: listOf(at), size: BigInt(size ?? 4096) };
      }
      case "runtime-code-read-only": {
        const { at, except } = rules[rule] ?? {};
        return { rule, at: listOf(at), except: this.#exceptions(except, path) };
      }
      case "no-control-register-changes": {
        const { except, ...points } = rules[rule] ?? {};
        return { rule, ...this.#between(points, path), except: this.#registerExceptions(except, path) };
      }
      case "all-changes-expected": {
        const { except, ...points } = rules[rule] ?? {};
        return { rule, ...this.#between(points, path), except: this.#exceptions(except, path) };
      }
      case "same-as":
        return this.#sameAs(rules[rule] ?? {}, path);
    }
  }

  #between(
    { from = "before", to = "after" }: { from?: string; to?: string },
    path: Path,
  ): { from: string; to: string } {
    if (from === to)
      this.#add(path, `A point cannot be compared with itself: ${from}`, "Give two points as from and to.");
    return { from, to };
  }

  #findings(entry: NonNullable<RuleSet["no-findings"]>, path: Path): Demand {
    const named = listOf(entry.findings);
    named?.forEach((name, i) => {
      this.#check(findingFault(name), this.#item(path, "findings", entry.findings, i));
    });
    const except = (entry.except ?? []).map(({ finding }, i): NameException => {
      const at = [...path, "except", i];
      this.#check(findingFault(finding), [...at, "finding"]);
      return { name: pattern(finding), field: undefined, position: this.#document.at(at), text: `exception ${i + 1}` };
    });
    return { rule: "no-findings", minimum: entry.minimum ?? "warning", findings: named?.map(pattern), except };
  }

  #registerExceptions(
    except: NonNullable<RuleSet["no-control-register-changes"]>["except"],
    path: Path,
  ): readonly NameException[] {
    return (except ?? []).map(({ register: text }, i) => {
      const at = [...path, "except", i];
      const [register = "", field] = text.split(/\.(.*)/s);
      const fault = registerFault(register) ?? (field === undefined ? undefined : fieldFault(register, field));
      this.#check(fault, [...at, "register"]);
      const position = this.#document.at(at);
      return {
        name: pattern(register),
        field: field === undefined ? undefined : pattern(field),
        position,
        text: `exception ${i + 1}`,
      };
    });
  }

  #register(entry: RegisterEntry, path: Path): PolicyRule[] {
    const assertion = this.#assertion(entry.assert, [...path, "assert"]);
    if (assertion === undefined) return [];
    return [
      {
        demand: { rule: "registers", assertion, at: listOf(entry.at), cpu: entry.cpu },
        title: `registers: ${entry.assert}`,
        position: this.#document.at(path),
        ...this.#common(entry),
      },
    ];
  }

  #assertion(text: string, path: Path): Assertion | undefined {
    const parsed = parseAssertion(text);
    if ("message" in parsed) {
      this.#add(
        path,
        `In ${JSON.stringify(text)} ${parsed.message}`,
        "Write one comparison, such as SCTLR_EL1.M == 1.",
        parsed.offset,
      );
      return undefined;
    }
    for (const { register, field } of placesOf(parsed)) {
      const fault = registerFault(register) ?? (field === undefined ? undefined : fieldFault(register, field));
      this.#check(fault, path, text.indexOf(register));
    }
    return parsed;
  }

  #mapping(entry: MappingEntry, path: Path): PolicyRule[] {
    const { must = [], "must-not": mustNot = [], memory } = entry;
    if (must.length + mustNot.length === 0 && memory === undefined)
      this.#add(path, "It asks for nothing", "Add must, must-not or memory.");
    const twice = must.find((property) => mustNot.includes(property));
    if (twice !== undefined)
      this.#add([...path, "must-not"], `It must be ${twice}, and must not be`, "Leave one of them out.");
    const byAddress = [entry.range, entry.image, entry.section].some((each) => each !== undefined);
    if (must.includes("mapped") && (!byAddress || entry["memory-type"] !== undefined))
      this.#add(
        [...path, "must"],
        "What must be mapped has to be told by addresses",
        "Give range, image or section, and no memory-type.",
      );
    const selector = this.#selector(entry, path);
    return [
      {
        demand: {
          rule: "mappings",
          ...{ selector, must, mustNot },
          memory: listOf(memory)?.map(pattern),
          at: listOf(entry.at),
          regimes: listOf(entry.regime),
          except: this.#exceptions(entry.except, path),
        },
        title: `mappings: ${selectorText(selector)}`,
        position: this.#document.at(path),
        ...this.#common(entry),
      },
    ];
  }

  #sameAs(entry: NonNullable<RuleSet["same-as"]>, path: Path): Demand {
    const { baseline } = entry;
    const fault = baseline === undefined ? undefined : pathFault(baseline);
    if (fault !== undefined)
      this.#add(
        [...path, "baseline"],
        `${JSON.stringify(baseline)} cannot be used: ${fault}`,
        "Give a path inside the policy's folder.",
      );
    const ignore = listOf(entry.ignore) ?? [];
    ignore.forEach((part, i) => {
      if ((BASELINE_PARTS as readonly string[]).includes(part)) return;
      this.#add(
        this.#item(path, "ignore", entry.ignore, i),
        `There is no part ${part}`,
        `There are ${BASELINE_PARTS.join(", ")}.`,
      );
    });
    return { rule: "same-as", baseline, ignore };
  }

  #exceptions(entries: readonly ExceptEntry[] | undefined, path: Path): readonly Exception[] {
    return (entries ?? []).map((entry, i) => {
      const at = [...path, "except", i];
      const selector = this.#selector(entry, at);
      const { reason: _, ...keys } = entry;
      if (Object.keys(keys).length === 0)
        this.#add(at, "This exception lets everything pass", "Say what it is about: image, range, memory-type, at, ….");
      return {
        ...selector,
        regime: entry.regime,
        at: listOf(entry.at),
        position: this.#document.at(at),
        text: `exception ${i + 1}`,
      };
    });
  }

  #selector(entry: SelectorEntry, path: Path): MemorySelector {
    const types = listOf(entry["memory-type"]);
    types?.forEach((name, i) => {
      this.#check(memoryTypeFault(name), this.#item(path, "memory-type", entry["memory-type"], i));
    });
    return {
      images: patternsOf(entry.image),
      sections: patternsOf(entry.section),
      ranges: listOf(entry.range)?.flatMap((text, i) => this.#range(text, this.#item(path, "range", entry.range, i))),
      types,
      runtime: entry.runtime ?? false,
    };
  }

  #range(text: string, path: Path): AddressRange[] {
    const range = parseRange(text);
    if (typeof range !== "string") return [range];
    this.#add(
      path,
      `${JSON.stringify(text)} is no range: ${range}`,
      "Give START-END (END not included) or START+SIZE.",
    );
    return [];
  }

  /** Where one of several values stands, or the only one. */
  #item(path: Path, key: string, written: unknown, index: number): Path {
    return Array.isArray(written) ? [...path, key, index] : [...path, key];
  }

  #check(fault: NameFault | undefined, path: Path, offset?: number): void {
    if (fault !== undefined) this.#add(path, fault.message, fault.cure, offset);
  }

  #add(path: Path, message: string, cure: string, offset?: number): void {
    this.problems.push(this.#document.problem(path, message, cure, offset));
  }
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] | undefined {
  if (value === undefined) return undefined;
  return Array.isArray(value) ? value : [value as T];
}

function patternsOf(value: string | readonly string[] | undefined): readonly Pattern[] | undefined {
  return listOf(value)?.map(pattern);
}
