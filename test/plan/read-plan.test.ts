/** Plans: what their documents mean, and what is said of each mistake. */
import { describe, expect, it } from "vitest";
import { readPlan } from "../../src/plan/index.ts";
import { mistakes } from "../document/support.ts";

const read = (text: string, name = "plans/try.yaml") => readPlan({ name, text });
const wrong = (text: string) => mistakes(() => read(text, "p.yaml"));
/** A plan with these lines in its one point, the first at line 4, column 5. */
const pointWrong = (...lines: string[]) =>
  wrong(`ebscope: 1\npoints:\n  a:\n${lines.map((line) => `    ${line}\n`).join("")}`);

describe("a plan", () => {
  it("of three lines records everything, once", () => {
    const plan = read("ebscope: 1\npoints:\n  before: { at: gBS->ExitBootServices }\n");
    expect(plan).toMatchObject({
      ...{ name: "try", folder: "plans", target: undefined, symbols: [], out: undefined, memory: "auto", diffs: [] },
      ...{ timeoutMs: 300_000, findTimeoutMs: 60_000, watchMs: 0, maxTables: 16_384 },
    });
    const place = { kind: "service", table: "gBS", name: "ExitBootServices" };
    expect(plan.points).toEqual([
      {
        ...{ id: "before", path: ["points", "before"], position: { line: 3, column: 3 } },
        at: [{ location: place, text: "gBS->ExitBootServices", path: ["points", "before", "at"] }],
        ...{ when: "entry", condition: undefined, after: undefined, until: undefined, keep: "first", stops: false },
        ...{ hits: { from: 1, to: undefined }, limit: { count: 1, ms: undefined }, note: undefined },
        record: { registers: "all", tables: "live", memory: [], backtrace: true, arguments: true },
      },
    ]);
  });

  it("may say all there is to say", () => {
    const plan = read(`# yaml-language-server: $schema=../docs/plan.schema.json
ebscope: 1
name: handoff of a build
note: every night
target: { launch: [qemu-system-aarch64, -M, virt, -m, "1024"], keep: true }
memory: rsp
symbols: [build/DxeCore.debug]
out: out/handoff.ebs
points:
  before: { at: gBS->ExitBootServices, record: { registers: all, tables: live, backtrace: true, arguments: true } }
  after:
    at: gBS->ExitBootServices
    when: return
    if: x0 == 0
    after: before
    record: { registers: all, tables: [EL1&0, stage2] }
    then: stop
  attributes:
    at: [DxeCore+0x1234, 0xffff000012345678]
    if: "x1 & 0x4000 != 0 && u32[x0 + 8] == 7"
    hit: { from: 1, to: 100 }
    until: before
    limit: { count: 50, time: 1.5min }
    keep: last
    note: each change
    record:
      registers: [general, sctlr_el1, lr]
      memory: { descriptor: { at: x2, length: 48 }, rest: { at: 0x47800000, length: "u64[x2] * 4KiB" } }
  any-fault: { at: "vector(fault, any)" }
diffs: [{ from: before, to: after }]
limits: { time: 200s, find: 500ms, watch: 5s, tables: 100 }
`);
    expect(plan).toMatchObject({
      ...{ name: "handoff of a build", note: "every night", memory: "rsp", out: "out/handoff.ebs" },
      target: { kind: "launch", command: ["qemu-system-aarch64", "-M", "virt", "-m", "1024"], keep: true },
      symbols: ["build/DxeCore.debug"],
      diffs: [{ from: "before", to: "after" }],
      ...{ timeoutMs: 200_000, findTimeoutMs: 500, watchMs: 5_000, maxTables: 100 },
    });
    const [before, after, attributes, fault] = plan.points;
    expect(before?.record).toMatchObject({ registers: "all", arguments: true });
    expect(after).toMatchObject({ when: "return", after: "before", stops: true, condition: { text: "x0 == 0" } });
    expect(after?.record).toEqual({
      ...{ registers: "all", tables: ["EL1&0", "stage2"], memory: [], backtrace: false, arguments: false },
    });
    expect(attributes?.at.map(({ location }) => location)).toEqual([
      { kind: "image", image: "DxeCore", offset: 0x1234n },
      { kind: "address", address: 0xffff_0000_1234_5678n },
    ]);
    expect(attributes).toMatchObject({ until: "before", hits: { from: 1, to: 100 }, limit: { count: 50, ms: 90_000 } });
    expect(attributes).toMatchObject({ keep: "last", note: "each change" });
    expect(attributes?.record.registers).toMatchObject({ classes: ["general"], names: ["SCTLR_EL1", "x30"] });
    const [descriptor, rest] = attributes?.record.memory ?? [];
    expect(descriptor).toMatchObject({ name: "descriptor", address: { text: "x2" }, length: { constant: 48n } });
    expect(rest).toMatchObject({ address: { constant: 0x4780_0000n }, length: { readsMemory: true } });
    expect(fault?.at.length).toBe(8);
  });

  it("is the same in JSON", () => {
    const point = { at: "gBS->ExitBootServices", hit: 3, record: { registers: ["x0"] } };
    const text = JSON.stringify({
      $schema: "x",
      ebscope: 1,
      target: { attach: "localhost:1234" },
      points: { a: point },
    });
    const plan = read(text, "a/b/later.json");
    expect(plan).toMatchObject({ name: "later", folder: "a/b", target: { kind: "attach", address: "localhost:1234" } });
    expect(plan.points[0]).toMatchObject({ hits: { from: 3, to: 3 }, limit: { count: 1 } });
  });

  it.each([
    ["", 1],
    ["hit: 7", 1],
    ["hit: { from: 3, to: 5 }", 3],
    ["hit: { to: 5 }", 5],
    ["hit: { from: 3 }", 1],
    ["limit: { count: 9 }", 9],
    ["hit: { from: 3, to: 5 }, limit: { count: 2 }", 2],
  ])("with `%s` records a point %i times at most", (words, count) => {
    const plan = read(`{ ebscope: 1, points: { a: { at: 0x1000${words === "" ? "" : ", "}${words} } } }`);
    expect(plan.points[0]?.limit.count).toBe(count);
  });

  it("gives the place of what only the guest shows to be wrong", () => {
    const plan = read("ebscope: 1\npoints:\n  a:\n    at: CoreStll\n    if: 'x0 == SCTRL_EL1'\n");
    const [point] = plan.points;
    expect(plan.problem(point?.at[0]?.path ?? [], "m", "c")).toEqual({ line: 4, column: 9, message: "m", cure: "c" });
    const offset = point?.condition?.mentions.find(({ name }) => name === "SCTRL_EL1")?.offset;
    expect(plan.problem(["points", "a", "if"], "m", "c", offset)).toMatchObject({ line: 5, column: 16 });
  });
});

describe("a mistake in a plan", () => {
  it.each([
    [["at: 0x1000", "recrd: {}"], 'p.yaml:5:5: "recrd" is not known here. Did you mean record?'],
    [["when: entry"], /^p\.yaml:4:5: "at" is missing\. Add at: a place, such as gBS->ExitBootServices/],
    [["at: 0x1000", "when: exit"], 'p.yaml:5:11: "exit" is not entry or return. Write entry or return.'],
    [["at: gBS=>Stall"], /^p\.yaml:4:9: The place cannot be read: gBS=>Stall is no place\. Write an address/],
    [["at: [0x1000, DxeCore+z]"], /^p\.yaml:4:26: The place cannot be read: z is no 64-bit number\./],
    [["at: vector(sync, lower)"], /^p\.yaml:4:22: .*lower stands for no vector\. Did you mean lower-64\?/],
    [["at: vector(sync)", "when: return"], "p.yaml:4:9: Nothing returns from a vector. Leave `when: return` out."],
    [["at: write(x0, 8)"], /^p\.yaml:4:9: Which registers are meant cannot be told\. Say with `after: POINT`/],
    [
      ["at: 0x1000", "if: x0 = 0"],
      "p.yaml:5:12: The expression cannot be read: = is no operator. Write == to compare.",
    ],
    [
      ["at: 0x1000", "if: 'x0 == (1'"],
      /^p\.yaml:5:18: The expression cannot be read: it ends too early\. Close the paren/,
    ],
    [
      ["at: 0x1000", "if: |", "  x0 == 1", "  && y &"],
      /^p\.yaml:7:13: The expression cannot be read: it ends too early/,
    ],
    [["at: 0x1000", "if: 1 == 2"], /^p\.yaml:5:9: The condition never holds\. Let it depend/],
    [["at: 0x1000", "if: true"], /^p\.yaml:5:9: true is not an expression, such as x1 \+ 8\./],
    [["at: 0x1000", "hit: 0"], /^p\.yaml:5:10: 0 is not a number from 1 on, or \{ from, to \}\./],
    [
      ["at: 0x1000", "hit: { from: 5, to: 2 }"],
      "p.yaml:5:10: No hit is both from 5 on and up to 2. Let `from` be the lower one.",
    ],
    [["at: 0x1000", "hit: { from: 0 }"], /^p\.yaml:5:18: 0 is not a whole number from 1 to 1000000\./],
    [["at: 0x1000", "limit: { count: 0 }"], /^p\.yaml:5:21: 0 is not a whole number from 1 to 1000000\./],
    [
      ["at: 0x1000", "hit: { to: 5 }", "limit: { count: 9 }"],
      /^p\.yaml:6:21: 9 records cannot come of the hits from 1 to 5\. Lower it to 5/,
    ],
    [
      ["at: 0x1000", "hit: 2", "limit: { count: 2 }"],
      /^p\.yaml:6:21: 2 records cannot come of the hits from 2 to 2\. Lower it to 1/,
    ],
    [["at: 0x1000", "limit: { time: 5 }"], /^p\.yaml:5:20: 5 is not a duration, such as 300s, 500ms or 5min\./],
    [["at: 0x1000", "limit: { time: 0s }"], "p.yaml:5:20: No time at all is left. Give a longer time, such as 5s."],
    [
      ["at: 0x1000", "limit: { time: 1h }"],
      /^p\.yaml:5:20: The point may wait for 3600 s, the plan ends after 300 s\./,
    ],
    [
      ["at: 0x1000", "record: { registers: some }"],
      /^p\.yaml:5:26: "some" is not none, all or a list of registers and classes\./,
    ],
    [["at: 0x1000", "record: { registers: [w3] }"], 'p.yaml:5:27: "w3" is a part of x3. Write x3.'],
    [["at: 0x1000", "record: { registers: ['x 3'] }"], /^p\.yaml:5:27: "x 3" is not a register/],
    [
      ["at: 0x1000", "record: { tables: [EL1] }"],
      /^p\.yaml:5:24: "EL1" is not EL1&0, EL2, EL2&0, EL3 or stage2\. Did you mean/,
    ],
    [
      ["at: 0x1000", "record: { memory: { m: { at: x0 } } }"],
      /^p\.yaml:5:28: "length" is missing\. Add length: an expression/,
    ],
    [
      ["at: 0x1000", "record: { memory: { m: { at: 'x0 +', length: 1 } } }"],
      /^p\.yaml:5:39: The expression cannot be read/,
    ],
    [["at: 0x1000", "record: { memory: { m: { at: x0, length: 0 } } }"], /^p\.yaml:5:46: 0 bytes cannot be recorded\./],
    [
      ["at: 0x1000", "record: { memory: { m: { at: x0, length: 1GiB } } }"],
      /^p\.yaml:5:46: 1073741824 bytes cannot be/,
    ],
    [
      ["at: 0x1000", "record: { memory: { __proto__: { at: x0, length: 1 } } }"],
      /^p\.yaml:5:25: "__proto__" is not a name for a range/,
    ],
    [["at: 0x1000", "after: b"], 'p.yaml:5:12: No point is called "b". Did you mean a?'],
    [["at: 0x1000", "after: constructor"], 'p.yaml:5:12: No point is called "constructor". There are a.'],
    [
      ["at: 0x1000", "after: a"],
      'p.yaml:5:12: The point "a" waits for itself. Let one point of the circle wait for none.',
    ],
  ])("is told with line, column and cure: %j", (lines, told) => {
    const [first, ...more] = pointWrong(...lines);
    if (typeof told === "string") expect(first).toBe(told);
    else expect(first).toMatch(told);
    expect(more).toEqual([]);
  });

  const POINTS = "points: { a: { at: 0x1000 }, b: { at: 0x2000 }, n: { at: 0x3000, record: { arguments: true } } }";

  it.each([
    ["points: {}", "p.yaml:1:9: 0 stand here. Give at least 1."],
    [`${POINTS}\ndiffs: [{ from: a, to: c }]`, 'p.yaml:2:24: No point is called "c". Did you mean a, b or n?'],
    [`${POINTS}\ndiffs: [{ from: a, to: a }]`, 'p.yaml:2:9: The point "a" is compared with itself. Name two points.'],
    [
      `${POINTS}\ndiffs: [{ from: a }]`,
      'p.yaml:2:9: "to" is missing. Add to: the id of a point, or of one of its hits, as in attributes#3.',
    ],
    [
      `${POINTS}\ndiffs:\n  - from: n\n    to: a`,
      'p.yaml:3:11: The point "n" records neither registers nor tables. Add registers or tables to its `record`.',
    ],
    [
      "points: { a: { at: 1, hit: { from: 2, to: 4 } }, b: { at: 2 } }\ndiffs: [{ from: a#1, to: b }, { from: a#4, to: b#1 }]",
      'p.yaml:2:17: "a" records the hits from 2 to 4. Name one of them, or raise the point\'s limit.count.',
    ],
    [
      `${POINTS}\ndiffs: [{ from: a#1, to: b#2 }]`,
      'p.yaml:2:26: "b" records hit 1 only. Name one of them, or raise the point\'s limit.count.',
    ],
    [`${POINTS}\ndiffs: [{ from: "a#0", to: b }]`, /^p\.yaml:2:17: "a#0" is not the id of a point/],
    [
      "points: { a: { at: 1, keep: last, limit: { count: 5000 } } }",
      "p.yaml:1:51: 5000 records cannot be kept until the end. Lower it to 4096, or keep the first ones, which are written as they come.",
    ],
    [
      "points:\n  a: { at: 0x1 }\n  b: { at: 0x2 }\n  a: { at: 0x3 }",
      'p.yaml:4:3: "a" stands here twice. Leave one of them out.',
    ],
    ["points: { 0a: { at: 1 } }", /^p\.yaml:1:11: "0a" is not the id of a point/],
    ["points: { a: { at: 1, after: b }, b: { at: 2, after: a } }", /^p\.yaml:1:30: The point "a" waits for itself/],
    [
      "points: { a: { at: 1, then: stop }, b: { at: 2, after: a } }",
      /^p\.yaml:1:56: The plan is done with "a": "b" is never armed/,
    ],
    [
      "points: { a: { at: 1 }, b: { at: 2, after: a, until: a } }",
      /^p\.yaml:1:54: The point is given up when it is armed/,
    ],
    [
      `symbols: [/boot/vmlinux]\n${POINTS}`,
      /^p\.yaml:1:11: "\/boot\/vmlinux" cannot be used: it is absolute\. Give a path relative/,
    ],
    [`symbols: [a, ../x.debug]\n${POINTS}`, /^p\.yaml:1:14: "\.\.\/x\.debug" cannot be used: it leaves the folder\./],
    [
      `out: build/../../x.ebs\n${POINTS}`,
      /^p\.yaml:1:6: "build\/\.\.\/\.\.\/x\.ebs" cannot be used: it leaves the folder\./,
    ],
    [`target: { launch: qemu }\n${POINTS}`, /^p\.yaml:1:19: "qemu" is not a list/],
    [`target: { launch: [qemu, -m, 1024] }\n${POINTS}`, /^p\.yaml:1:30: 1024 is not text \(put it in quotes\)\./],
    [
      `target: { attach: a, launch: [b] }\n${POINTS}`,
      /^p\.yaml:1:11: "attach" is not known here|^p\.yaml:1:22: "launch" is not known here/,
    ],
    [`limits: { time: soon }\n${POINTS}`, /^p\.yaml:1:17: "soon" is not a duration/],
    [`limits: { find: 0ms }\n${POINTS}`, /^p\.yaml:1:17: No time at all is left/],
    [`memory: fast\n${POINTS}`, /^p\.yaml:1:9: "fast" is not auto, rsp, process or file\./],
  ])("is told with line, column and cure, in %j", (text, told) => {
    const [first] = wrong(`${text}\nebscope: 1`);
    if (typeof told === "string") expect(first).toBe(told);
    else expect(first).toMatch(told);
  });

  it("is a missing or another version too", () => {
    expect(wrong(POINTS)).toEqual(['p.yaml:1:1: "ebscope" is missing. Add ebscope: 1.']);
    expect(wrong(`ebscope: 2\n${POINTS}`)).toEqual(["p.yaml:1:10: 2 is not 1. Write 1."]);
  });

  it("is told beside all others", () => {
    const lines = wrong(
      "ebscope: 1\npoints:\n  a: { at: b+c, if: x0 = 1, hit: { from: 2, to: 1 } }\n  b: { at: 1, after: z }\nout: /x",
    );
    expect(lines.map((line) => line.split(": ")[0])).toEqual([
      ...["p.yaml:3:14", "p.yaml:3:24", "p.yaml:3:34", "p.yaml:4:22", "p.yaml:5:6"],
    ]);
  });
});
