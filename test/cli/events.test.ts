import { describe, expect, it } from "vitest";
import { type BridgeEvent, EVENT_KINDS, type EventKind, type WriteJson } from "../../src/api/events.ts";
import type { SideJson } from "../../src/api/schemas.ts";
import { renderEvent } from "../../src/cli/render/events.ts";
import { hostileStrings } from "../report/hostile-text.ts";
import { ciCommands, unsafeCharacters } from "../report/inert.ts";

type Data<K extends EventKind> = BridgeEvent<K>["data"];

function event<K extends EventKind>(kind: K, data: Data<K>, text = "t1"): BridgeEvent {
  const head = { seq: 7, time: "2026-01-02T03:04:05.678Z", target: text, capture: text };
  return { ...head, kind, data } as unknown as BridgeEvent;
}

function lines<K extends EventKind>(kind: K, data: Data<K>, all = false): string[] {
  return renderEvent(event(kind, data), { all }).map((line) => line.replace(/^03:04:05\.678 {2}t1 {2}/, ""));
}

function side(more: Partial<SideJson> = {}): SideJson {
  const access = { read: true, write: false, execute: true };
  const memory = { memory: "Normal WB RAWA", fetch: "Normal WB RAWA", shareability: "inner" } as const;
  const bits = { granule: 4096, level: 3, contiguous: false, accessFlag: true, global: true, guarded: false };
  return { pa: "0x40000000", ...access, el0: null, ...memory, ...bits, ...more };
}

type Registers = Data<"registers.changed">["registers"];
type Mappings = Data<"mappings.changed">["mappings"];

function register(
  name: string,
  kind: Registers[number]["class"],
  fields: Registers[number]["fields"] = [],
): Registers[number] {
  return { cpu: 0, name, before: "0x1", after: "0x2", class: kind, fields };
}

function mapping(va: bigint, before: SideJson | null, after: SideJson | null): Mappings[number] {
  const kind = before === null ? "added" : after === null ? "removed" : "changed";
  const range = { va: `0x${va.toString(16)}`, size: "0x3000", before, after };
  return { regime: "EL1&0", kind, ...range, owner: null, expected: null, memoryType: null };
}

function write(more: Partial<WriteJson>): WriteJson {
  const who = { event: 0, kind: "table", cpu: 0, pc: "0x1000" } as const;
  return { ...who, address: "0x47fff000", old: "0x1", new: "0x2", name: null, image: null, ...more };
}

describe("an event as lines", () => {
  it("begins with its time and its guest on each of them", () => {
    const told = event("registers.changed", {
      registers: [register("SCTLR_EL1", "control"), register("x0", "general")],
    });
    expect(renderEvent(told, { all: false })).toEqual([
      "03:04:05.678  t1  vCPU 0  SCTLR_EL1  0x1 → 0x2",
      "03:04:05.678  t1  1 general register changed: --all",
    ]);
  });

  it.each<[EventKind, Data<EventKind>, string[]]>([
    ["bridge.started", { version: "0.1.0", cut: 0 }, []],
    ["target.attached", { gdb: "localhost:1", qemuVersion: null, cpus: 2 }, ["attached to localhost:1: 2 vCPUs"]],
    ["target.stopped", { cpu: 1, pc: "0x40", why: "step" }, ["stopped at 0x40 on vCPU 1, after a step"]],
    [
      "target.stopped",
      { cpu: 0, pc: null, why: "interrupt" },
      ["stopped at an unknown pc on vCPU 0, when it was interrupted"],
    ],
    ["target.resumed", {}, ["runs"]],
    ["target.lost", { code: "guest-ended", message: "The guest ended" }, ["lost: The guest ended [guest-ended]"]],
    ["target.detached", { running: true }, ["let go, running"]],
    ["target.detached", { running: false }, ["let go, standing still"]],
    ["capture.started", {}, ["capture t1 began"]],
    ["capture.progress", { text: "waiting" }, ["capture t1 waiting"]],
    ["capture.completed", { points: ["before", "after"], faulted: false }, ["capture t1 is complete: before, after"]],
    ["capture.completed", { points: ["fault"], faulted: true }, ["capture t1 is complete: fault; the guest faulted"]],
    [
      "capture.failed",
      { code: "timed-out", message: "Too late", partial: false },
      ["capture t1 failed: Too late [timed-out]"],
    ],
    [
      "capture.failed",
      { code: "timed-out", message: "Too late", partial: true },
      ["capture t1 failed: Too late [timed-out]; what there was of it is kept"],
    ],
    [
      "finding",
      { rule: "guest-faulted", severity: "error", title: "It died", evidence: [] },
      ["✗ It died  guest-faulted"],
    ],
  ])("says of %s %j what happened", (kind, data, expected) => {
    expect(lines(kind, data as never)).toEqual(expected);
  });

  it("lists registers for control and exceptions, of all kinds with --all, and counts the others", () => {
    const names = [
      register("x0", "general"),
      register("ESR_EL1", "exception"),
      register("x1", "general"),
      register("CNT", "timer"),
    ];
    expect(lines("registers.changed", { registers: names })).toEqual([
      "vCPU 0  ESR_EL1  0x1 → 0x2",
      "2 general, 1 timer registers changed: --all",
    ]);
    expect(lines("registers.changed", { registers: names }, true).map((line) => line.split(/ +/)[2])).toEqual([
      ...["x0", "ESR_EL1", "x1", "CNT"],
    ]);
  });

  it("names the fields that changed, four unless all are asked for, and leaves out addresses", () => {
    const field = (name: string, after = "0x1") => ({ name, before: "0x0", after, meaning: "on" });
    const registers = [
      register(
        "SCTLR_EL1",
        "control",
        ["A", "B", "C", "D", "E"].map((name) => field(name)),
      ),
    ];
    const [few = ""] = lines("registers.changed", { registers });
    expect(few).toContain("D 0x0 → 0x1 (on), 1 field more");
    const [all = ""] = lines("registers.changed", { registers }, true);
    expect(all).toContain("E 0x0 → 0x1 (on)");
    const long = [register("TTBR0_EL1", "control", [field("BADDR", "0x47fff000"), field("ASID", "0xffff")])];
    expect(lines("registers.changed", { registers: long })).toEqual([
      "vCPU 0  TTBR0_EL1  0x1 → 0x2  ASID 0x0 → 0xffff (on)",
    ]);
  });

  it("shows a value that could not be read as unknown", () => {
    const registers = [{ ...register("SCTLR_EL1", "control"), before: null }];
    expect(lines("registers.changed", { registers })).toEqual(["vCPU 0  SCTLR_EL1  ? → 0x2"]);
  });

  it("sums up mappings, and shows of the first what differs", () => {
    const mappings = [
      mapping(0x1000n, side(), side({ write: true })),
      mapping(0x8000n, side(), side({ pa: "0x50000000", level: 2, el0: { read: true, write: false, execute: false } })),
      mapping(0x10000n, null, side()),
      mapping(0x20000n, side({ read: null }), null),
    ];
    expect(lines("mappings.changed", { mappings, complete: true })).toEqual([
      "mappings: 12 pages (48 KiB) changed in 4 runs",
      "  EL1&0  0x0000000000001000  12 KiB  changed  RO+X → RWX",
      "  EL1&0  0x0000000000008000  12 KiB  changed  EL0 none → RO+NX, pa 0x40000000 → 0x50000000, level 3 → 2",
      "  EL1&0  0x0000000000010000  12 KiB  added    RO+X Normal WB RAWA",
      "  EL1&0  0x0000000000020000  12 KiB  removed  ?-X Normal WB RAWA",
    ]);
  });

  it("counts the mappings beyond eight, and says when not all are known", () => {
    const mappings = Array.from({ length: 10 }, (_, i) => mapping(BigInt(i) << 16n, side(), side({ global: false })));
    const told = lines("mappings.changed", { mappings, complete: false });
    expect(told[0]).toBe("mappings: 30 pages (120 KiB) changed in 10 runs; not all is known or told");
    expect(told[1]).toContain("global true → false");
    expect(told.slice(9)).toEqual(["  … 2 runs more: --all"]);
    expect(lines("mappings.changed", { mappings, complete: true }, true).length).toBe(11);
    expect(lines("mappings.changed", { mappings: [], complete: false })).toEqual([
      "mappings: no change seen; not all is known or told",
    ]);
  });
});

describe("writes", () => {
  const writes = [
    write({ event: 1, image: "CpuDxe+0x2638" }),
    write({ event: 2, image: "CpuDxe+0x2638" }),
    write({ event: 3, kind: "register", pc: "0x2000", name: "SCTLR_EL1", address: null, old: null }),
    write({ event: 4, kind: "memory", pc: null, name: "gBS+0xe8" }),
  ];

  it("are counted by the instruction that did them", () => {
    expect(lines("blame.write", { writes, total: 1204 })).toEqual([
      "4 writes, 1,204 until now",
      "  2×  table      CpuDxe+0x2638",
      "  1×  SCTLR_EL1  0x2000",
      "  1×  gBS+0xe8   nobody was seen",
    ]);
  });

  it("are listed one by one with --all", () => {
    expect(lines("blame.write", { writes: writes.slice(1, 3), total: 3 }, true)).toEqual([
      "2 writes, 3 until now",
      "  vCPU 0  table      0x47fff000  0x1 → 0x2  CpuDxe+0x2638",
      "  vCPU 0  SCTLR_EL1              ? → 0x2    0x2000",
    ]);
  });

  it("of more than eight instructions are cut, and told as a number when they are only counted", () => {
    const many = Array.from({ length: 11 }, (_, i) => write({ event: i, pc: `0x${i + 1}000` }));
    expect(lines("blame.write", { writes: many, total: 11 }).slice(9)).toEqual(["  … 3 instructions more: --all"]);
    expect(lines("blame.write", { writes: [], total: 30_000 })).toEqual(["writes are only counted now: 30,000"]);
  });
});

describe("strings of a guest", () => {
  const fields = (text: string) => [{ name: text, before: "0x0", after: "0x1", meaning: text }];
  const dataOf = (text: string): { readonly [K in EventKind]: Data<K> } => ({
    "bridge.started": { version: text, cut: 1 },
    "target.attached": { gdb: text, qemuVersion: text, cpus: 1 },
    "target.stopped": { cpu: 0, pc: text, why: "step" },
    "target.resumed": {},
    "target.lost": { code: text, message: text },
    "target.detached": { running: true },
    "registers.changed": { registers: [{ ...register(text, "control", fields(text)), before: text }] },
    "mappings.changed": {
      mappings: [mapping(0n, side({ memory: text, fetch: text }), side()), mapping(0n, null, side({ memory: text }))],
      complete: false,
    },
    "capture.started": {},
    "capture.progress": { text },
    "capture.completed": { points: [text, text], faulted: true },
    "capture.failed": { code: text, message: text, partial: true },
    "blame.write": {
      writes: [{ ...write({}), pc: text, address: text, old: text, new: text, name: text, image: text }],
      total: 1,
    },
    finding: { rule: text, severity: "warning", title: text, evidence: [text] },
  });

  it("do nothing on a terminal or in a CI job, in whichever event they come", () => {
    let shown = 0;
    for (const text of hostileStrings(300, 6)) {
      for (const kind of EVENT_KINDS) {
        const told = renderEvent(event(kind, dataOf(text)[kind], text), { all: true }).join("\n");
        expect(unsafeCharacters(told)).toEqual([]);
        expect(ciCommands(told)).toEqual([]);
        shown += told.includes("evil") ? 1 : 0;
      }
    }
    expect(shown).toBeGreaterThan(2000);
  });
});
