/** Plans that run on guests which a test writes down: what is recorded, when points are armed and given up, and how a plan ends. */
import { describe, expect, it } from "vitest";
import { faultsOf } from "../../src/api/check.ts";
import { type HitJson, RecordLine, type UndecidedJson } from "../../src/api/records.ts";
import { EbscopeError } from "../../src/base/error.ts";
import { readPlan } from "../../src/plan/index.ts";
import { type PlanOutcome, runPlan } from "../../src/session/run-plan.ts";
import { encodeHit, encodeUndecided } from "../../src/session/run-plan-lines.ts";
import type { PlanHit } from "../../src/session/run-plan-record.ts";
import type { PlanEvent } from "../../src/session/run-plan-tell.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import { failure } from "../support/failure.ts";
import type { FakeTarget, Visit } from "../support/fake-target.ts";
import { EXIT_CALLER, exitBootServices, getMemoryMap } from "../support/handoff-target.ts";
import { BOOT_SERVICES, type FakeSessionOptions, fakeSession, SERVICES, SERVICES_CODE } from "./support.ts";

const A = 0x4400_0000n;
const B = 0x4400_0100n;
const DATA = 0x4600_0000n;
const SP = 0x4600_0800n;

interface Ran extends PlanOutcome {
  readonly target: FakeTarget;
  readonly events: readonly PlanEvent[];
  readonly hits: readonly PlanHit[];
}

/** `points` stand for the block below `points:`; the plan ends after 150 ms where it does not by itself. */
async function run(
  points: string,
  visits: readonly Visit[],
  options: FakeSessionOptions & { rest?: string } = {},
): Promise<Ran> {
  const { session, target } = fakeSession(visits, options);
  const rest = options.rest ?? "";
  const limits = rest.includes("limits:") ? "" : "limits: { time: 150ms }\n";
  const plan = readPlan({ name: "night.yaml", text: `ebscope: 1\n${limits}points:\n${points}\n${rest}` });
  const events: PlanEvent[] = [];
  const outcome = await runPlan(session, plan, { onEvent: (event) => void events.push(event) });
  return { ...outcome, target, events, hits: events.filter((event) => event.kind === "hit") };
}

/** `before #1`, in their order. */
function told({ events }: Ran): string[] {
  return events.flatMap((event) => (event.kind === "hit" ? [`${event.point} #${event.hit}`] : []));
}

/** `count` visits of a place, x0 counting from 1. */
function rounds(pc: bigint, count: number, cpu = 0): Visit[] {
  return Array.from({ length: count }, (_, i) => ({ pc, cpu, registers: { x0: BigInt(i + 1) } }));
}

function x0Of({ registers }: PlanHit): (bigint | undefined)[] {
  return (registers ?? []).map(({ values }) => values.get("x0"));
}

function call(pc: bigint, sp: bigint, back: bigint, x0 = 0n, cpu = 0): Visit {
  return { pc, cpu, registers: { x0, sp, x30: back } };
}

function back(pc: bigint, sp: bigint, x0: bigint, cpu = 0): Visit {
  return { pc, cpu, registers: { x0, sp } };
}

/** With memory that cannot be at a fixed place the guest stands still at each hit; without, it is traced. */
const STANDING = "record: { registers: [x0], memory: { m: { at: sp, length: 8 } } }";
const TRACED = "record: { registers: [x0] }";

describe.each([
  ["at which the guest stands still", STANDING],
  ["that are traced", TRACED],
])("hits %s", (_, record) => {
  it("are recorded up to the point's limit, and the plan is done with them", async () => {
    const ran = await run(`  a: { at: 0x44000000, limit: { count: 3 }, ${record} }`, rounds(A, 5));
    expect(ran.error).toBeUndefined();
    expect(ran.hits.map(x0Of)).toEqual([[1n], [2n], [3n]]);
    expect(ran.hits.map(({ hit, pc, cpu }) => [hit, pc, cpu])).toEqual([1, 2, 3].map((hit) => [hit, A, 0]));
    expect(ran.points).toEqual([{ id: "a", hits: 3, records: 3, undecided: 0, reasons: [] }]);
    expect(ran.target.left).toBe(2);
    expect(ran.target.breakpoints.size).toBe(0);
  });

  it("count only where the condition holds, and only the wanted ones are recorded", async () => {
    const point = `  a: { at: 0x44000000, if: x0 % 2 == 1, hit: { from: 2, to: 3 }, ${record} }`;
    const ran = await run(point, rounds(A, 9));
    expect(ran.hits.map(x0Of)).toEqual([[3n], [5n]]);
    expect(ran.hits.map(({ hit, condition }) => [hit, condition])).toEqual([
      [2, "true"],
      [3, "true"],
    ]);
    expect(ran.target.left).toBe(4);
  });

  it("at which the condition cannot be known are told once for each reason, counted, and no hits", async () => {
    const point = `  a: { at: 0x44000000, if: 8 / (x0 ^ 2) > 0, limit: { count: 4 }, ${record} }`;
    const ran = await run(point, [...rounds(A, 3), ...rounds(A, 3)]);
    expect(ran.hits.map(x0Of)).toEqual([[1n], [3n], [1n], [3n]]);
    expect(
      ran.events.flatMap((event) => (event.kind === "undecided" ? [[event.point, event.pc, event.why]] : [])),
    ).toEqual([["a", A, "it divides by zero"]]);
    expect(ran.points).toEqual([{ id: "a", hits: 4, records: 4, undecided: 2, reasons: ["it divides by zero"] }]);
  });

  it("of several points at one address are each point's own", async () => {
    const points = [
      `  all: { at: 0x44000000, limit: { count: 4 }, ${record} }`,
      `  third: { at: 0x44000000, hit: 3, ${record} }`,
      `  other: { at: [0x44000100, 0x44000000], if: x0 == 4, ${record} }`,
    ];
    const ran = await run(points.join("\n"), [
      ...rounds(A, 2),
      ...rounds(B, 2),
      { pc: A, registers: { x0: 3n } },
      { pc: A, registers: { x0: 4n } },
    ]);
    expect(ran.error).toBeUndefined();
    expect(told(ran)).toEqual(["all #1", "all #2", "all #3", "third #3", "all #4", "other #1"]);
  });

  it("begin with the point that another one waits for, and end with the one that gives it up", async () => {
    const points = [
      `  first: { at: 0x44000000, hit: 2, ${record} }`,
      `  then: { at: 0x44000100, after: first, until: last, limit: { count: 100 }, ${record} }`,
      `  last: { at: 0x44000000, if: x0 == 7, after: first, ${record} }`,
    ];
    const visits = [
      ...rounds(A, 1),
      ...rounds(B, 2),
      ...rounds(A, 1),
      ...rounds(B, 3),
      { pc: A, registers: { x0: 7n } },
      ...rounds(B, 2),
    ];
    const ran = await run(points.join("\n"), visits);
    expect(ran.error).toBeUndefined();
    expect(told(ran)).toEqual(["first #2", "then #1", "then #2", "then #3", "last #1"]);
    expect(ran.events.flatMap((event) => (event.kind === "given-up" ? [`${event.point}: ${event.why}`] : []))).toEqual([
      "then: last was recorded",
    ]);
    expect(ran.target.left).toBe(2);
  });

  it("are kept from the end where that is asked for, and told before the record that gives the point up", async () => {
    const points = [
      `  recent: { at: 0x44000000, keep: last, limit: { count: 2 }, until: end, ${record} }`,
      `  end: { at: 0x44000100, ${record} }`,
    ];
    const ran = await run(points.join("\n"), [...rounds(A, 6), ...rounds(B, 1)]);
    expect(told(ran)).toEqual(["recent #5", "recent #6", "end #1"]);
    expect(ran.hits.map(x0Of)).toEqual([[5n], [6n], [1n]]);
    expect(ran.points[0]).toMatchObject({ hits: 6, records: 2 });
  });

  it("end the plan with `then: stop`, whatever else is armed", async () => {
    const points = [
      `  a: { at: 0x44000000, limit: { count: 50 }, ${record} }`,
      `  b: { at: 0x44000100, ${record}, then: stop }`,
    ];
    const ran = await run(points.join("\n"), [...rounds(A, 3), ...rounds(B, 1), ...rounds(A, 3)]);
    expect(ran.error).toBeUndefined();
    expect(told(ran)).toEqual(["a #1", "a #2", "a #3", "b #1"]);
    expect(ran.target.left).toBe(3);
  });

  it("stay when the plan's time is over, and the plan is partial", async () => {
    const ran = await run(`  a: { at: 0x44000000, limit: { count: 5 }, ${record} }`, rounds(A, 2));
    expect(told(ran)).toEqual(["a #1", "a #2"]);
    expect(ran.error).toMatchObject({ code: "timed-out" });
    expect(ran.error?.message).toContain("a has 2 of 5");
    expect(ran.target.running).toBe(false);
    expect(ran.target.breakpoints.size).toBe(0);
  });

  it("stay when the guest is lost", async () => {
    const visits = [...rounds(A, 1), { pc: A, registers: { x0: 2n } }];
    const { session, target } = fakeSession(visits);
    const text = `ebscope: 1\nlimits: { time: 5s }\npoints:\n  a: { at: 0x44000000, limit: { count: 5 }, ${record} }`;
    const hits: PlanEvent[] = [];
    const outcome = await runPlan(session, readPlan({ name: "p.yaml", text }), {
      onEvent: (event) => {
        if (event.kind === "hit" && hits.push(event) === 2) target.lose();
      },
    });
    expect(hits.length).toBe(2);
    expect(outcome.error?.code).toBe("connection-lost");
    expect(outcome.points[0]).toMatchObject({ hits: 2, records: 2 });
  });
});

describe("a point with a time of its own", () => {
  it("is given up after it, and those that wait for it too; that is no failure", async () => {
    const points = ["  a: { at: 0x44000000, limit: { time: 20ms } }", "  b: { at: 0x44000100, after: a }"];
    const ran = await run(points.join("\n"), rounds(B, 1), { rest: "limits: { time: 10s }" });
    expect(ran.error).toBeUndefined();
    expect(ran.events.filter(({ kind }) => kind === "given-up")).toEqual([
      { kind: "given-up", point: "a", why: "its time is over" },
      { kind: "given-up", point: "b", why: "a was not recorded" },
    ]);
  });
});

describe("the watch at the end", () => {
  it("goes on when every point has its records, and may be ended by the guest", async () => {
    const { session, target } = fakeSession([...rounds(A, 1), ...rounds(B, 3)]);
    const text = `ebscope: 1\nlimits: { time: 5s, watch: 5s }\npoints: { a: { at: 0x44000000, ${STANDING} } }`;
    setTimeout(() => target.lose(), 30);
    const outcome = await runPlan(session, readPlan({ name: "p.yaml", text }));
    expect(outcome.error).toBeUndefined();
    expect(outcome.points).toMatchObject([{ id: "a", records: 1 }]);
    expect(target.left).toBe(0);
  });
});

describe("returns", () => {
  const point =
    "  r: { at: 0x44000000, when: return, limit: { count: 9 }, record: { registers: [x0, sp], arguments: true } }";
  const ends = "  end: { at: 0x44000300, record: { registers: [x0] }, then: stop }";
  const end: Visit = { pc: 0x4400_0300n };

  it("are those of the calls: not other arrivals at the same place, and not another stack's", async () => {
    const visits = [
      back(B, SP, 99n),
      call(A, SP, B, 7n),
      back(B, SP - 64n, 98n),
      back(B, SP, 1n),
      back(B, SP, 97n),
      end,
    ];
    const ran = await run(`${point}\n${ends}`, visits);
    expect(told(ran)).toEqual(["r #1", "end #1"]);
    expect(ran.hits[0]).toMatchObject({ pc: B, returned: 1n, cpu: 0 });
    expect(ran.hits[0]?.arguments?.arguments[0]).toMatchObject({ name: "x0", value: 7n });
    expect(ran.target.breakpoints.size).toBe(0);
  });

  it("of a function that calls itself are matched with their calls, from the innermost on", async () => {
    const inner = 0x4400_0044n;
    const visits = [
      ...[call(A, SP, B, 3n), call(A, SP - 32n, inner, 2n), call(A, SP - 64n, inner, 1n)],
      ...[back(inner, SP - 64n, 10n), back(inner, SP - 32n, 20n), back(B, SP, 30n), end],
    ];
    const ran = await run(`${point}\n${ends}`, visits);
    expect(
      ran.hits.slice(0, 3).map(({ returned, arguments: given }) => [returned, given?.arguments[0]?.value]),
    ).toEqual([
      [10n, 1n],
      [20n, 2n],
      [30n, 3n],
    ]);
  });

  it("on two vCPUs with the same stack pointer are kept apart", async () => {
    const visits = [call(A, SP, B, 1n, 0), call(A, SP, B, 2n, 1), back(B, SP, 20n, 1), back(B, SP, 10n, 0), end];
    const ran = await run(`${point}\n${ends}`, visits, { cpus: 2 });
    expect(
      ran.hits.slice(0, 2).map(({ cpu, returned, arguments: given }) => [cpu, returned, given?.arguments[0]?.value]),
    ).toEqual([
      [1, 20n, 2n],
      [0, 10n, 1n],
    ]);
  });

  it("can be chosen by what was returned, and have the name of the status", async () => {
    const text = "  map: { at: gBS->GetMemoryMap, when: return, if: x0 == 0, record: { arguments: true } }";
    const ran = await run(text, [...getMemoryMap(), ...getMemoryMap({ map: new Uint8Array(96) })]);
    expect(told(ran)).toEqual(["map #1"]);
    const hit = encodeHit(ran.hits[0] as PlanHit);
    expect(hit.returned).toEqual({ value: "0x0", status: "EFI_SUCCESS" });
    expect(hit.arguments?.service).toBe("gBS->GetMemoryMap");
    expect(hit.arguments?.arguments.map(({ name }) => name)).toEqual([
      ...["MemoryMapSize", "MemoryMap", "MapKey", "DescriptorSize", "DescriptorVersion"],
    ]);
  });
});

describe("a write", () => {
  it("is told with what was there before and after, at the address that its registers had when it was armed", async () => {
    const points = [
      "  here: { at: 0x44000000, record: { registers: [x0] } }",
      "  written: { at: 'write(x1 + 8, 8)', after: here, if: 'u64[x1 + 8] == 0x99', record: { registers: [x1] }, then: stop }",
    ];
    const word = DATA + 8n;
    const visits: Visit[] = [
      { pc: A, registers: { x1: DATA }, does: (memory) => memory.setWord(word, 0x77n) },
      { pc: B, writes: { address: word, word: 0x88n } },
      { pc: B + 4n, writes: { address: word, word: 0x99n } },
      { pc: B + 8n },
    ];
    const ran = await run(points.join("\n"), visits);
    expect(ran.error).toBeUndefined();
    expect(told(ran)).toEqual(["here #1", "written #1"]);
    const { written, place, pc } = encodeHit(ran.hits[1] as PlanHit);
    expect(pc).toBe("0x44000104");
    expect(place).toBe("write(0x46000008, 8)");
    expect(written).toEqual({
      address: "0x46000008",
      before: { state: "present", bytes: "8800000000000000" },
      after: { state: "present", bytes: "9900000000000000" },
    });
    expect(ran.target.watchpoints.size).toBe(0);
  });
});

describe("memory", () => {
  it("is present, absent, or not to be known, each for itself", async () => {
    const record = [
      "there: { at: sp - 8, length: 8 }",
      "device: { at: 0x9000000, length: 4 }",
      "unknown: { at: 'u64[0x9000000]', length: 8 }",
      "long: { at: sp, length: x2 }",
      "none: { at: sp, length: x3 }",
    ].join(", ");
    const visits: Visit[] = [
      { pc: A, registers: { x2: 1n << 40n, x3: 0n, sp: SP }, does: (memory) => memory.setWord(SP - 8n, 0x1122n) },
    ];
    const ran = await run(`  a: { at: 0x44000000, record: { memory: { ${record} } } }`, visits);
    expect(encodeHit(ran.hits[0] as PlanHit).memory).toEqual([
      { name: "there", address: "0x460007f8", length: "0x8", read: { state: "present", bytes: "2211000000000000" } },
      { name: "device", address: "0x9000000", length: "0x4", read: { state: "absent", code: "outside-memory" } },
      {
        name: "unknown",
        address: null,
        length: "0x8",
        read: { state: "unknown", why: "u64[0x9000000] cannot be read" },
      },
      {
        name: "long",
        address: "0x46000800",
        length: "0x10000000000",
        read: { state: "unknown", why: "it is longer than 16 MiB" },
      },
      { name: "none", address: "0x46000800", length: "0x0", read: { state: "unknown", why: "its length is 0" } },
    ]);
  });
});

describe("the capture of a plan", () => {
  const POINTS = [
    "  before: { at: gBS->ExitBootServices, keep: last, until: after }",
    "  after: { at: gBS->ExitBootServices, when: return, if: 'x0[63] == 0' }",
  ].join("\n");
  const REST = "diffs: [ { from: before, to: after } ]\nlimits: { time: 2s }";

  it("has the call that succeeded, with all attempts and their status, as `ebscope capture` has them", async () => {
    const ran = await run(POINTS, [...exitBootServices(7n, { fails: true }), ...exitBootServices(8n)], { rest: REST });
    expect(ran.error).toBeUndefined();
    expect(told(ran)).toEqual(["before #2", "after #1"]);
    const { capture } = ran;
    expect(capture?.points.map(({ id, kind }) => [id, kind])).toEqual([
      ["before", "before"],
      ["after", "after"],
    ]);
    expect(capture?.attempts.map(({ mapKey, status, returnAddress }) => [mapKey, status, returnAddress])).toEqual([
      [7n, (1n << 63n) | 2n, EXIT_CALLER],
      [8n, 0n, EXIT_CALLER],
    ]);
    expect(capture?.efi?.bootServices).toBe(BOOT_SERVICES);
    expect(capture?.partial).toBeUndefined();
    expect([ran.captureId("before"), ran.captureId("before#2"), ran.captureId("before#1")]).toEqual([
      "before",
      "before",
      undefined,
    ]);
    const again = decodeCapture(encodeCapture(capture as NonNullable<typeof capture>), "again.ebs");
    expect(again.points.map(({ id }) => id)).toEqual(["before", "after"]);
  });

  it("takes a fault at a vector for one", async () => {
    const fault = '  fault: { at: "vector(fault, any)", after: before, then: stop }';
    const visits = [...exitBootServices(8n), { pc: 0x4740_0200n, registers: { ELR_EL1: 0n } }];
    const ran = await run(`${POINTS}\n${fault}`, visits, { rest: REST });
    expect(ran.capture?.points.map(({ kind }) => kind)).toEqual(["before", "after", "fault"]);
    expect(ran.hits[2]?.place).toBe("vector(sync, current-spx, EL1)");
  });

  it("is partial when the plan's time was over", async () => {
    const ran = await run(POINTS, exitBootServices(7n, { fails: true }), { rest: "limits: { time: 100ms }" });
    expect(ran.error?.code).toBe("timed-out");
    expect(ran.capture?.points.map(({ id }) => id)).toEqual(["before"]);
    expect(ran.capture?.partial?.code).toBe("timed-out");
  });

  it("names later hits by their numbers, in letters that a capture's ids have", async () => {
    const points = [
      "  My_Point: { at: 0x44000000, limit: { count: 3 }, record: { tables: live } }",
      "  my-point-2: { at: 0x44000000, record: { tables: none, registers: [x0] } }",
    ];
    const ran = await run(points.join("\n"), rounds(A, 3));
    expect(ran.capture?.points.map(({ id, kind }) => [id, kind])).toEqual([
      ["my-point", "now"],
      ["my-point-3", "now"],
      ["my-point-4", "now"],
    ]);
    expect(["My_Point", "My_Point#1", "My_Point#2", "my-point-2"].map((each) => ran.captureId(each))).toEqual([
      ...["my-point-4", "my-point", "my-point-3", undefined],
    ]);
    expect(ran.hits.filter(({ point }) => point === "My_Point").map(({ capture }) => capture)).toEqual([
      ...["my-point", "my-point-3", "my-point-4"],
    ]);
  });

  it("has the points that a diff compares, without the tables that they do not ask for", async () => {
    const points = [
      "  a: { at: 0x44000000, record: { registers: [x0] } }",
      "  b: { at: 0x44000100, record: { registers: [x0] } }",
    ];
    const rest = "diffs: [ { from: a, to: b } ]\nlimits: { time: 1s }";
    const ran = await run(points.join("\n"), [...rounds(A, 1), ...rounds(B, 1)], { rest });
    expect(ran.capture?.points.map(({ id }) => id)).toEqual(["a", "b"]);
  });
});

describe("what only the guest shows to be wrong in a plan", () => {
  async function problems(points: string): Promise<string[]> {
    const error = await failure(run(points, []));
    expect(error.code).toBe("bad-document");
    return error.message.split("\n").slice(1);
  }

  it.each([
    [
      "  a: { at: gBS->ExitBootService }",
      /^night\.yaml:4:12: .*gBS->ExitBootService.*has no such service\. Did you mean gBS->ExitBootServices\?/,
    ],
    ["  a: { at: DxeCor+0x10 }", /^night\.yaml:4:12: .*DxeCor\+0x10.*\. Did you mean DxeCore\?/],
    [
      "  a: { at: DxeCore+0x11 }",
      /^night\.yaml:4:12: .* no instruction begins there\. Give an address that is a multiple of 4/,
    ],
    ["  a: { at: CoreStal }", /^night\.yaml:4:12: .*CoreStal.* there are no symbols/],
    [
      "  a: { at: 0x44000000, record: { registers: [x0, SCTRL_EL1] } }",
      /^night\.yaml:4:50: The stub offers no register "SCTRL_EL1"\. Did you mean SCTLR_EL1, /,
    ],
    [
      "  a: { at: 0x44000000, if: x0 == 1 && SCTRL_EL1 != 0 }",
      /^night\.yaml:4:39: The stub offers no register "SCTRL_EL1"\. Did you mean SCTLR_EL1/,
    ],
    [
      "  a: { at: 0x44000000, if: SCTLR_EL1.MM == 1 }",
      /^night\.yaml:4:28: SCTLR_EL1 has no field "MM"\. Did you mean SCTLR_EL1\.M/,
    ],
    [
      "  a: { at: 0x44000000, if: x0 > DxeCor }",
      /^night\.yaml:4:33: Nothing that is loaded is called "DxeCor"\. Did you mean DxeCore\?/,
    ],
    [
      "  a: { at: 0x44000000, record: { memory: { m: { at: x0 + nowhere, length: 8 } } } }",
      /^night\.yaml:4:58: Nothing that is loaded is called "nowhere"/,
    ],
    ["  a: { at: write(gBSS + 8) }", /^night\.yaml:4:18: Nothing that is loaded is called "gBSS"/],
  ])("%s is told with line, column and cure", async (points, expected) => {
    const [first, ...more] = await problems(points);
    expect(first).toMatch(expected);
    expect(more).toEqual([]);
  });

  it("is told all at once", async () => {
    const found = await problems(
      "  a: { at: gBS->Stal, if: x99 == 0 }\n  b: { at: Nothing+8, record: { registers: [FOO_EL1] } }",
    );
    expect(found.map((line) => line.split(":").slice(1, 3).join(":"))).toEqual(["4:12", "4:27", "5:12", "5:45"]);
  });

  it("of a point that waits is told when it is armed, and what was recorded until then is kept", async () => {
    const points = ["  a: { at: 0x44000000, record: { registers: [x0] } }", "  b: { at: Later+0x10, after: a }"];
    const ran = await run(points.join("\n"), rounds(A, 1));
    expect(told(ran)).toEqual(["a #1"]);
    expect(ran.error?.code).toBe("bad-document");
    expect(ran.error?.message).toMatch(/^night\.yaml:5:12: .*Later\+0x10/m);
  });
});

describe("the lines of a plan's records", () => {
  it("are as the schema has them, whatever is recorded", async () => {
    const points = [
      "  entry: { at: gBS->ExitBootServices, note: here }",
      "  odd: { at: gBS->ExitBootServices, if: 1 / (x1 - 8) == 1, record: { registers: all } }",
      "  after: { at: gBS->ExitBootServices, when: return, then: stop }",
    ];
    const ran = await run(points.join("\n"), exitBootServices(8n), { rest: "limits: { time: 2s }" });
    const lines = ran.events.flatMap((event): (HitJson | UndecidedJson)[] => {
      if (event.kind === "hit") return [encodeHit(event)];
      return event.kind === "undecided" ? [encodeUndecided(event)] : [];
    });
    expect(lines.map(({ kind, point }) => `${kind} ${point}`)).toEqual(["hit entry", "undecided odd", "hit after"]);
    for (const line of lines) expect(faultsOf(RecordLine, JSON.parse(JSON.stringify(line)))).toBeUndefined();
    expect(lines[0]).toMatchObject({ note: "here", capture: "entry", condition: null, returned: null });
  });
});

describe("a plan whose records cannot be told", () => {
  it("ends there, with the capture until then", async () => {
    const { session, target } = fakeSession(rounds(A, 5));
    const text =
      "ebscope: 1\npoints: { a: { at: 0x44000000, limit: { count: 5 }, record: { tables: live } }, b: { at: 0x44000000, keep: last, limit: { count: 9 }, record: { registers: [x0] } } }";
    const outcome = await runPlan(session, readPlan({ name: "p.yaml", text }), {
      onEvent: (event) => {
        if (event.kind === "hit" && event.hit === 2) throw new EbscopeError("file-unwritable", "Cannot write r: full");
      },
    });
    expect(outcome.error?.code).toBe("file-unwritable");
    expect(outcome.capture?.points.map(({ id }) => id)).toEqual(["a", "a-2"]);
    expect(outcome.capture?.partial?.code).toBe("file-unwritable");
    expect(target.breakpoints.size).toBe(0);
  });
});

describe("a plan that is stopped on request", () => {
  it("ends with what was recorded, the guest halted and without breakpoints", async () => {
    const { session, target } = fakeSession(rounds(A, 2));
    const text = "ebscope: 1\npoints: { a: { at: 0x44000000, limit: { count: 5 }, record: { backtrace: true } } }";
    const stopping = new AbortController();
    let hits = 0;
    const outcome = await runPlan(session, readPlan({ name: "p.yaml", text }), {
      signal: stopping.signal,
      onEvent: (event) => {
        if (event.kind === "hit" && ++hits === 2)
          setTimeout(() => stopping.abort(new EbscopeError("interrupted", "Stopped")), 5);
      },
    });
    expect(outcome.error?.code).toBe("interrupted");
    expect(outcome.points[0]?.records).toBe(2);
    expect(target.running).toBe(false);
    expect(target.breakpoints.size).toBe(0);
  });
});

describe("traced points", () => {
  it("leave the guest to itself but for one stop a hit, with memory at fixed addresses", async () => {
    const stall = SERVICES_CODE + BigInt(SERVICES.indexOf("Stall") * 64);
    const visits: Visit[] = rounds(stall, 50).map((visit, i) => ({
      ...visit,
      does: (memory) => memory.setWord(DATA, BigInt(i)),
    }));
    const point =
      "  a: { at: gBS->Stall, limit: { count: 50 }, record: { registers: [general], memory: { m: { at: 0x46000000, length: 8 } } } }";
    const ran = await run(point, visits);
    expect(ran.error).toBeUndefined();
    expect(ran.target.stops).toBe(50);
    const bytes = ran.hits.map(({ memory }) => {
      const read = memory?.[0]?.read;
      return read?.state === "present" ? read.bytes[0] : undefined;
    });
    expect(bytes).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(ran.hits[0]?.registers?.[0]?.values.size).toBe(34);
  });
});
