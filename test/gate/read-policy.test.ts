/** Policies with one mistake each: the message has the line, the column and a cure. The places are counted by hand. */
import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { readPolicy } from "../../src/gate/index.ts";

/** What `work` throws. */
function rejection(work: () => unknown): EbscopeError {
  try {
    work();
  } catch (error) {
    if (error instanceof EbscopeError) return error;
    throw error;
  }
  throw new Error("it succeeded");
}

function mistakes(text: string): string[] {
  const failure = rejection(() => readPolicy({ name: "p.yaml", text }));
  expect(failure.code).toBe("bad-document");
  return failure.message.split("\n").slice(1);
}

/** A policy of these lines below `rules:`, which begin at line 3. */
function rules(...lines: readonly string[]): string {
  return ["ebscope: 1", "rules:", ...lines.map((line) => `  ${line}`), ""].join("\n");
}

const MISTAKES: readonly (readonly [what: string, text: string, message: string])[] = [
  [
    "a rule that there is not",
    rules("no-write-exec: {}"),
    `p.yaml:3:3: "no-write-exec" is not known here. Did you mean no-write-execute?`,
  ],
  [
    "a key that there is not",
    rules("exit-succeeded:", "  attempt: 2"),
    `p.yaml:4:5: "attempt" is not known here. Did you mean attempts?`,
  ],
  [
    "a rule without a value",
    rules("not-faulted:"),
    "p.yaml:3:15: Nothing is not a group of keys. Give it a value, or leave its key out.",
  ],
  ["no rule", "ebscope: 1\nrules: {}\n", "p.yaml:2:8: 0 stand here. Give at least 1."],
  ["no rules at all", "ebscope: 1\n", `p.yaml:1:1: "rules" is missing. Add rules: a group of keys.`],
  ["another version", "ebscope: 2\nrules: { not-faulted: {} }\n", "p.yaml:1:10: 2 is not 1. Write 1."],
  [
    "a severity that there is not",
    rules("not-faulted: { severity: warn }"),
    `p.yaml:3:28: "warn" is not error or warning. Write error or warning.`,
  ],
  [
    "a number too small",
    rules("exit-succeeded: { attempts: 0 }"),
    "p.yaml:3:31: 0 is not a whole number from 1 to 1000. Write a whole number from 1 to 1000.",
  ],
  [
    "points that are none",
    rules("no-write-execute: { at: 7 }"),
    "p.yaml:3:27: 7 is not the id of a point or `every`, or a list of such. Write the id of a point or `every`, or a list of such.",
  ],
  [
    "a rule twice",
    rules("not-faulted: {}", "not-faulted: {}"),
    `p.yaml:4:3: "not-faulted" stands here twice. Leave one of them out.`,
  ],
  [
    "a range that is none",
    rules("mappings:", "  - range: 0x1000", "    must: [mapped]"),
    "p.yaml:4:14: 4096 is not a range such as 0x9000000+0x1000, or a list of such. Write a range such as 0x9000000+0x1000, or a list of such.",
  ],
  [
    "a range without numbers",
    rules("mappings:", "  - range: [0x0+0x1000, here-there]", "    must: [mapped]"),
    `p.yaml:4:27: "here-there" is no range: it is not two numbers with - or + between them. Give START-END (END not included) or START+SIZE.`,
  ],
  [
    "an empty range",
    rules("mappings:", "  - range: 0x2000-0x2000", "    must: [mapped]"),
    `p.yaml:4:14: "0x2000-0x2000" is no range: it is empty. Give START-END (END not included) or START+SIZE.`,
  ],
  [
    "a range behind all addresses",
    rules("mappings:", "  - range: 0xffffffffffffffff+2", "    must: [mapped]"),
    `p.yaml:4:14: "0xffffffffffffffff+2" is no range: it ends behind the last address. Give START-END (END not included) or START+SIZE.`,
  ],
  [
    "a mapping that asks for nothing",
    rules("mappings:", "  - image: DxeCore"),
    "p.yaml:4:7: It asks for nothing. Add must, must-not or memory.",
  ],
  [
    "a mapping that contradicts itself",
    rules("mappings:", "  - image: DxeCore", "    must: [writable]", "    must-not: [writable]"),
    "p.yaml:6:17: It must be writable, and must not be. Leave one of them out.",
  ],
  [
    "a mapping without addresses",
    rules("mappings:", "  - memory-type: EfiLoaderCode", "    must: [mapped]"),
    "p.yaml:5:13: What must be mapped has to be told by addresses. Give range, image or section, and no memory-type.",
  ],
  [
    "a property that there is not",
    rules("mappings:", "  - image: DxeCore", "    must: [writeable]"),
    `p.yaml:5:14: "writeable" is not mapped, readable, writable, executable, el0-readable, el0-writable, el0-executable, normal or device. Did you mean writable or readable?`,
  ],
  [
    "a memory type that there is not",
    rules("no-write-execute:", "  except: [{ memory-type: EfiLoaderCod }]"),
    "p.yaml:4:29: There is no EFI_MEMORY_TYPE EfiLoaderCod. Did you mean EfiLoaderCode or EfiLoaderData?",
  ],
  [
    "an exception for everything",
    rules("no-write-execute:", "  except:", "    - reason: just so"),
    "p.yaml:5:9: This exception lets everything pass. Say what it is about: image, range, memory-type, at, ….",
  ],
  [
    "a register that there is not",
    rules("registers:", "  - assert: SCTRL_EL1.M == 1"),
    "p.yaml:4:15: There is no register SCTRL_EL1. Did you mean SCTLR_EL1, ",
  ],
  [
    "a register of no level",
    rules("registers:", "  - assert: SCTRL_ELx.M == 1"),
    "p.yaml:4:15: There is no register SCTRL_ELx.",
  ],
  [
    "a field that there is not",
    rules("registers:", "  - assert: 1 == SCTLR_EL1.MMU"),
    "p.yaml:4:20: SCTLR_EL1 has no field MMU.",
  ],
  [
    "an assertion that is none",
    rules("registers:", '  - assert: "SCTLR_EL1.M = 1"'),
    `p.yaml:4:28: In "SCTLR_EL1.M = 1" this is neither a register, a number nor a comparison. Write one comparison, such as SCTLR_EL1.M == 1.`,
  ],
  [
    "two assertions in one",
    rules("registers:", "  - assert: x0 == 0 && x1 == 0"),
    `p.yaml:4:23: In "x0 == 0 && x1 == 0" there is more than one comparison. Write one comparison, such as SCTLR_EL1.M == 1.`,
  ],
  ["a vCPU that is none", rules("registers:", "  - { assert: x0 == 0, cpu: any }"), `p.yaml:4:31: "any" is not`],
  [
    "a field of an exception",
    rules("no-control-register-changes:", "  except: [{ register: SCTLR_EL1.MM }]"),
    "p.yaml:4:26: SCTLR_EL1 has no field MM.",
  ],
  [
    "a finding that there is not",
    rules("no-findings:", "  except: [{ finding: wx-maping }]"),
    "p.yaml:4:25: There is no finding wx-maping. Did you mean wx-mapping?",
  ],
  [
    "findings that there are not",
    rules("no-findings: { findings: [clean-exit, gest-faulted] }"),
    "p.yaml:3:41: There is no finding gest-faulted. Did you mean guest-faulted?",
  ],
  [
    "a point compared with itself",
    rules("all-changes-expected: { from: after }"),
    "p.yaml:3:25: A point cannot be compared with itself: after. Give two points as from and to.",
  ],
  [
    "a baseline out of the folder",
    rules("same-as: { baseline: ../good.ebs }"),
    `p.yaml:3:24: "../good.ebs" cannot be used: it leaves the folder. Give a path inside the policy's folder.`,
  ],
  [
    "an absolute baseline",
    rules("same-as: { baseline: /good.ebs }"),
    `p.yaml:3:24: "/good.ebs" cannot be used: it is absolute. Give a path inside the policy's folder.`,
  ],
  [
    "a part that there is not",
    rules("same-as: { ignore: register }"),
    "p.yaml:3:22: There is no part register. There are machine, images, registers",
  ],
  ["YAML that is none", "ebscope: 1\nrules: @x\n", "p.yaml:2:8: "],
  ["nothing", "", "p.yaml:1:1: It is empty: a policy was expected. Fill it."],
];

describe("a policy with a mistake", () => {
  it.each(MISTAKES)("%s: the message has line, column and cure", (_, text, message) => {
    const told = mistakes(text);
    expect(told).toHaveLength(1);
    expect(told[0]?.slice(0, message.length)).toBe(message);
    expect(told[0]).toMatch(/^p\.yaml:\d+:\d+: .+[^.]\. \S.+$/);
  });

  it("is told all of them, in the order of the lines", () => {
    const text = rules(
      "exit-succeeded: {}",
      "registers:",
      "  - assert: x0",
      "  - assert: x99 == 0",
      "no-findings: { findings: [a] }",
    );
    expect(mistakes(text).map((line) => line.split(":")[1])).toEqual(["5", "6", "7"]);
  });

  it("names its file as it was given, made printable", () => {
    const failure = rejection(() => readPolicy({ name: "\u{1b}[31m::error::x", text: "" }));
    expect(failure.message).not.toMatch(/\p{Cc}(?<!\n)|^::/mu);
  });
});

describe("a policy", () => {
  it("keeps the order of its rules, and the places where they stand", () => {
    const { rules: read } = readPolicy({
      name: "p.yaml",
      text: rules(
        "not-faulted: {}",
        "registers:",
        "  - assert: x0 == 0",
        "  - assert: SCTLR_ELx.M == 1",
        "exit-succeeded: {}",
      ),
    });
    expect(read.map(({ title, position }) => [title, position.line, position.column])).toEqual([
      ["not-faulted", 3, 3],
      ["registers: x0 == 0", 5, 7],
      ["registers: SCTLR_ELx.M == 1", 6, 7],
      ["exit-succeeded", 7, 3],
    ]);
  });

  it("is broken by what is unknown unless it, or the rule, says otherwise", () => {
    const read = (head: string, own: string): string | undefined =>
      readPolicy({ name: "p", text: `ebscope: 1\n${head}rules: { not-faulted: { ${own} } }` }).rules[0]?.unknown;
    expect(read("", "")).toBe("break");
    expect(read("unknown: allow\n", "")).toBe("allow");
    expect(read("unknown: allow\n", "unknown: break")).toBe("break");
    expect(read("", "unknown: allow")).toBe("allow");
  });

  it("can be JSON, with $schema", () => {
    const text = JSON.stringify({
      $schema: "docs/policy.schema.json",
      ebscope: 1,
      name: "n",
      rules: { "not-faulted": {} },
    });
    expect(readPolicy({ name: "p.json", text })).toMatchObject({
      file: "p.json",
      name: "n",
      rules: [{ severity: "error" }],
    });
  });

  it("takes a register that is like none that is known, as a CPU may have it", () => {
    const text = rules("registers:", "  - assert: IMPDEF_THING_EL1 == 1");
    expect(readPolicy({ name: "p", text }).rules).toHaveLength(1);
  });
});
