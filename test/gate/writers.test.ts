/**
 * Verdicts in every form, of ordinary captures and of captures and policies full of hostile strings: held against what reads them (an XML parser,
 * the essentials of SARIF 2.1.0, what actions/runner makes of a line), never against src.
 */
import { SaxesParser } from "saxes";
import { Errors } from "typebox/schema";
import { beforeAll, describe, expect, it } from "vitest";
import { VerdictJson } from "../../src/api/policy.ts";
import { printableJson } from "../../src/base/text.ts";
import { jsonText } from "../../src/cli/output.ts";
import { studyCapture } from "../../src/diagnose/study.ts";
import {
  checkCapture,
  encodeVerdict,
  readPolicy,
  renderGithub,
  renderJunit,
  renderVerdict,
  sarifLog,
  type Verdict,
} from "../../src/gate/index.ts";
import { CAPTURE, changed, missingPage, TABLE_OF_STACK } from "../diagnose/rules/scenes.ts";
import { grafted } from "../report/grafted.ts";
import { hostileStrings } from "../report/hostile-text.ts";
import { ciCommands, unsafeCharacters } from "../report/inert.ts";
import { verdictOf } from "./support.ts";

const PLAIN = { good: String, warn: String, bad: String, quiet: String };

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

/** A strict parser of XML 1.0: raises on all that is not well-formed. */
function readXml(text: string): Element {
  const root: Element = { name: "", attributes: {}, children: [], text: "" };
  const open = [root];
  const parser = new SaxesParser();
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("opentag", ({ name, attributes }) => {
    const element = { name, attributes: attributes as Record<string, string>, children: [], text: "" };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on("text", (piece) => {
    (open.at(-1) as Element).text += piece;
  });
  parser.on("closetag", () => {
    open.pop();
  });
  parser.write(text).close();
  return root.children[0] as Element;
}

interface Command {
  readonly level: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly message: string;
}

/** A line as actions/runner reads it (ActionCommand.cs, TryParseV2): the command up to the next `::`, properties between commas. */
function readCommand(line: string): Command {
  const [, head = "", message = ""] = /^::(.*?)::(.*)$/s.exec(line) ?? [];
  const [level = "", properties = ""] = head.split(/ (.*)/s);
  const unescaped = (text: string): string =>
    text
      .replaceAll("%2C", ",")
      .replaceAll("%3A", ":")
      .replaceAll("%0A", "\n")
      .replaceAll("%0D", "\r")
      .replaceAll("%25", "%");
  const pairs = properties.split(",").map((pair) => pair.split(/=(.*)/s).map(unescaped));
  return { level, properties: Object.fromEntries(pairs), message: unescaped(message) };
}

/** What SARIF 2.1.0 asks of a log (3.13, 3.14, 3.19, 3.27 to 3.30) as far as ours has such parts. */
function sarifFaults(log: unknown): string[] {
  const faults: string[] = [];
  const check = (holds: boolean, what: string): void => {
    if (!holds) faults.push(what);
  };
  // biome-ignore lint/suspicious/noExplicitAny: it is read as any reader of JSON would.
  const { version, runs } = log as any;
  check(version === "2.1.0", "version");
  for (const { tool, results, invocations, artifacts } of runs) {
    const { rules } = tool.driver;
    check(typeof tool.driver.name === "string" && /^\d+\.\d+\.\d+/.test(tool.driver.semanticVersion), "driver");
    check(new Set(rules.map(({ id }: { id: string }) => id)).size === rules.length, "rule ids are unique");
    for (const rule of rules) check(typeof rule.shortDescription.text === "string", "shortDescription");
    check(typeof invocations[0].executionSuccessful === "boolean", "executionSuccessful");
    for (const result of results) {
      const { ruleId, ruleIndex, kind, level, message, locations, partialFingerprints } = result;
      check(rules[ruleIndex]?.id === ruleId, "ruleIndex");
      check(typeof message.text === "string" && message.text !== "", "message");
      check(["fail", "open"].includes(kind), "kind");
      check(kind === "fail" ? ["error", "warning"].includes(level) : level === "none", "level and kind");
      check(
        Object.values(partialFingerprints).every((each) => typeof each === "string"),
        "fingerprints",
      );
      for (const { physicalLocation, logicalLocations = [] } of locations) {
        const { artifactLocation, region, address } = physicalLocation;
        check(URL.canParse(artifactLocation.uri, "file:///x/") && !/[\s<>"\\^`{|}]/.test(artifactLocation.uri), "uri");
        check(artifacts[artifactLocation.index].location.uri === artifactLocation.uri, "artifact index");
        check(Number.isInteger(region.startLine) && region.startLine > 0 && region.startColumn > 0, "region");
        if (address !== undefined) check(Number.isSafeInteger(address.absoluteAddress), "absoluteAddress");
        for (const { name } of logicalLocations) check(typeof name === "string" && name !== "", "logicalLocation");
      }
    }
  }
  return faults;
}

const RULES = `exit-succeeded: { attempts: 2, reason: "50% of loaders, or so" }
not-faulted: {}
no-findings: { severity: warning }
no-write-execute: {}
null-page-unmapped: {}
runtime-code-read-only: { at: [before, after, later], unknown: allow }
registers:
  - assert: SCTLR_EL1.M == 0
  - assert: SCTLR_EL3.M == 0
    unknown: allow
mappings:
  - memory-type: EfiBootServicesData
    must-not: [executable]
same-as: {}`;

describe("an ordinary verdict", () => {
  let verdict: Verdict;
  beforeAll(async () => {
    verdict = await verdictOf(RULES, changed(missingPage("before", TABLE_OF_STACK)));
  });

  it("says in the first line of its text whether the policy is kept, and then what broke it", () => {
    const lines = renderVerdict(verdict, PLAIN).split("\n");
    expect(lines[0]).toBe(
      "✗ The policy is broken: 5 of 10 rules are broken (1 of them only a warning), 3 cannot be decided",
    );
    expect(lines).toContain("✗ not-faulted  policy.yaml:4:3");
    expect(lines).toContain("! no-findings  policy.yaml:5:3");
    expect(lines).toContain("? mappings: memory type EfiBootServicesData cannot be decided  policy.yaml:14:7");
    expect(lines).toContain("? registers: SCTLR_EL3.M == 0 cannot be decided, which is allowed  policy.yaml:11:7");
    expect(lines.slice(lines.indexOf("Kept"))).toEqual(["Kept", "  ✓ exit-succeeded", "  ✓ null-page-unmapped"]);
  });

  it("says of a kept policy how many rules it has", async () => {
    const kept = await verdictOf("exit-succeeded: {}\nnull-page-unmapped: {}", CAPTURE);
    expect(renderVerdict(kept, PLAIN).split("\n")[0]).toBe("✓ The policy is kept: 2 rules");
    expect(renderGithub(kept)).toBe("");
    expect(readXml(renderJunit(kept)).attributes).toMatchObject({ tests: "2", failures: "0", errors: "0" });
  });

  it("is JSON as its schema says", () => {
    const json: unknown = JSON.parse([...jsonText(encodeVerdict(verdict))].join(""));
    expect(Errors(VerdictJson as never, json)[1]).toEqual([]);
    expect(json).toMatchObject({ state: "broken", counts: { rules: 10, kept: 2, broken: 5, unknown: 3 } });
  });

  it("is a test case a rule in JUnit: failures are what is broken, errors what is unknown", () => {
    const suites = readXml(renderJunit(verdict));
    const [suite] = suites.children;
    const cases = suite?.children.filter(({ name }) => name === "testcase") ?? [];
    const outcomes = cases.map((each) => each.children[0]?.name ?? "passed");
    expect(outcomes).toEqual([
      ...["passed", "failure", "system-out", "failure", "passed", "failure", "failure"],
      ...["skipped", "error", "error"],
    ]);
    expect(suites.attributes).toMatchObject({ tests: "10", failures: "4", errors: "2" });
    expect(suite?.attributes).toMatchObject({ tests: "10", failures: "4", errors: "2", skipped: "1" });
    expect(cases[1]?.attributes).toMatchObject({ name: "not-faulted", file: "policy.yaml", line: "4" });
    expect(cases[1]?.children[0]?.attributes.message).toContain("The guest faulted after ExitBootServices");
  });

  it("is SARIF 2.1.0, a result a violation, with the policy's line, the image and the address", () => {
    const log = JSON.parse(JSON.stringify(sarifLog(verdict, { version: "0.1.0" })));
    expect(sarifFaults(log)).toEqual([]);
    const results = log.runs[0].results as { ruleId: string; kind: string; level: string; locations: unknown[] }[];
    const of = (rule: string) => results.filter(({ ruleId }) => ruleId === rule);
    expect(of("no-write-execute").length).toBeGreaterThan(13);
    expect(of("no-findings").every(({ level }) => level === "warning")).toBe(true);
    expect(of("runtime-code-read-only").filter(({ kind }) => kind === "open").length).toBe(1);
    expect(of("runtime-code-read-only")[0]?.locations[0]).toMatchObject({
      physicalLocation: { region: { startLine: 8 }, address: { absoluteAddress: 0x7c45_0000 } },
      logicalLocations: [{ name: "RealTimeClock" }, { name: ".text" }],
    });
    const prints = results.map((each) =>
      JSON.stringify((each as { partialFingerprints?: unknown }).partialFingerprints),
    );
    expect(new Set(prints).size).toBe(prints.length);
  });

  it("is an annotation a rule that is not kept, at its line", () => {
    const commands = renderGithub(verdict).trimEnd().split("\n").map(readCommand);
    expect(commands.map(({ level }) => level)).toEqual([
      ...["error", "warning", "error", "error", "error", "notice", "error", "error"],
    ]);
    expect(commands[0]?.properties).toEqual({ file: "policy.yaml", line: "4", col: "3", title: "not-faulted" });
    expect(commands[0]?.message.split("\n")[0]).toMatch(/^The guest faulted after ExitBootServices: /);
    const register = commands.find(({ properties }) => properties.title?.startsWith("registers"));
    expect(register?.properties.title).toBe("registers: SCTLR_EL1.M == 0");
  });
});

const COUNT = 600;
const ROUNDS = 4;
const STRINGS = hostileStrings(COUNT, 20261122);

/** A policy whose every text is hostile, and a capture with hostile names. */
async function hostileVerdict(round: number): Promise<Verdict> {
  const mine = STRINGS.filter((_, i) => i % ROUNDS === round);
  const text = (i: number, most = 100): string => (mine[i % mine.length] as string).slice(0, most);
  const policy = readPolicy({
    name: `${text(3)}.yaml`,
    text: JSON.stringify({
      ebscope: 1,
      name: text(0),
      rules: {
        "not-faulted": { reason: text(1) },
        "no-findings": { minimum: "info", reason: text(2) },
        "no-write-execute": { at: ["before", "after", text(4)], except: [{ image: text(5), reason: text(6) }] },
        "runtime-code-read-only": { at: "after" },
        "no-control-register-changes": { from: text(7), severity: "warning" },
        mappings: mine.slice(0, 40).map((each) => ({
          image: each.slice(0, 100),
          section: ["*", each.slice(0, 50)],
          "must-not": ["writable"],
          reason: each.slice(0, 300),
        })),
        "same-as": {},
      },
    }),
  });
  const { capture } = grafted((place) => mine[place % mine.length] as string);
  return checkCapture(await studyCapture(capture, "none"), policy, { capture: text(8), baseline: undefined });
}

describe.each(Array.from({ length: ROUNDS }, (_, i) => i))("a verdict full of hostile strings (%i)", (round) => {
  let verdict: Verdict;
  beforeAll(async () => {
    verdict = await hostileVerdict(round);
  });

  it("is text without control characters and commands", () => {
    for (const all of [false, true]) {
      const text = renderVerdict(verdict, PLAIN, all);
      expect(text.length).toBeGreaterThan(2000);
      expect([unsafeCharacters(text), ciCommands(text)]).toEqual([[], []]);
    }
  });

  it("is JSON as its schema says, as inert", () => {
    const text = [...jsonText(encodeVerdict(verdict))].join("");
    expect(Errors(VerdictJson as never, JSON.parse(text))[1]).toEqual([]);
    expect([unsafeCharacters(text), ciCommands(text)]).toEqual([[], []]);
  });

  it("is well-formed XML with no element that an ordinary one has not", () => {
    const text = renderJunit(verdict);
    const names = new Set<string>();
    const walk = ({ name, children }: Element): void => {
      names.add(name);
      for (const child of children) walk(child);
    };
    walk(readXml(text));
    const known = [
      "testsuites",
      "testsuite",
      "properties",
      "property",
      "testcase",
      "failure",
      "error",
      "skipped",
      "system-out",
    ];
    expect([...names].filter((name) => !known.includes(name))).toEqual([]);
    expect([unsafeCharacters(text), ciCommands(text)]).toEqual([[], []]);
  });

  it("is SARIF that keeps the rules, as inert", () => {
    const text = printableJson(JSON.stringify(sarifLog(verdict, { version: "0.1.0" }), null, 2));
    expect(sarifFaults(JSON.parse(text))).toEqual([]);
    expect([unsafeCharacters(text), ciCommands(text)]).toEqual([[], []]);
  });

  it("is as many annotations as rules are not kept, and no other command", () => {
    const text = renderGithub(verdict);
    const lines = text.trimEnd().split("\n");
    const wrong = verdict.rules.filter(({ state }) => state !== "kept");
    expect(lines).toHaveLength(wrong.length);
    expect(wrong.length).toBeGreaterThan(30);
    for (const [i, line] of lines.entries()) {
      const { level, properties, message } = readCommand(line);
      expect(["error", "warning", "notice"]).toContain(level);
      expect(Object.keys(properties)).toEqual(["file", "line", "col", "title"]);
      expect(properties.line).toBe(String(wrong[i]?.rule.position.line));
      expect(message).not.toBe("");
      expect([ciCommands(message), ciCommands(line.slice(2))]).toEqual([[], []]);
    }
    expect(unsafeCharacters(text)).toEqual([]);
  });
});
