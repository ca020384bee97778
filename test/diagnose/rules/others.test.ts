/** Rules that are no cause of a fault: what else is wrong, what deserves a look, what is normal. */
import { describe, expect, it } from "vitest";
import type { RegisterRead } from "../../../src/base/registers.ts";
import { RULES, type RuleName } from "../../../src/diagnose/findings.ts";
import { FAULTS_NOT_WATCHED, type Point } from "../../../src/snapshot/model.ts";
import {
  atPoint,
  BOOT_SERVICES,
  CAPTURE,
  type Change,
  CODE,
  changed,
  DATA,
  dataAbort,
  doubleWord,
  entries,
  finding,
  findings,
  later,
  missingPage,
  NOWHERE,
  offered,
  registers,
  STACK,
  TABLE_OF_CODE,
  TABLE_OF_NULL,
  VBAR,
  words,
} from "./scenes.ts";

const SYNCHRONOUS = 0x200n;

/** Rules with these severities. */
async function told(severities: readonly string[], ...changes: readonly Change[]): Promise<RuleName[]> {
  const all = await findings(changed(...changes));
  return all.filter(({ severity }) => severities.includes(severity)).map(({ rule }) => rule);
}

describe("vectors-unusable", () => {
  it("tells of vectors of zeros, where the vCPU stands in them", async () => {
    const found = await finding("vectors-unusable", words("fault", VBAR + SYNCHRONOUS, 0));
    expect(found).toMatchObject({ severity: "error" });
    expect(found?.title).toContain("0x7faf3800 hold no code");
  });

  it("stands before the cause of the exception", async () => {
    const all = await findings(changed(words("fault", VBAR + SYNCHRONOUS, 0)));
    expect(all.map(({ rule }) => rule).slice(0, 2)).toEqual(["vectors-unusable", "service-called-after-exit"]);
  });

  it("tells of vectors that are not mapped, without a point fault too", async () => {
    const lost = { VBAR_EL1: NOWHERE, pc: NOWHERE + SYNCHRONOUS, ELR_EL1: NOWHERE + SYNCHRONOUS };
    const found = await finding("vectors-unusable", later, registers("later", lost));
    expect(found?.title).toContain("0x90000000 are not mapped");
    expect(found?.evidence.join("\n")).toContain("the first one is overwritten and not known");
  });

  it("tells of vectors that are execute-never", async () => {
    const found = await finding("vectors-unusable", registers("fault", { VBAR_EL1: DATA, pc: DATA + SYNCHRONOUS }));
    expect(found?.title).toContain("cannot be executed");
  });

  it("tells of vectors that are others than before, though they may be code", async () => {
    const [old, now] = [
      words("after", VBAR + SYNCHRONOUS, 0xd503_201f),
      words("fault", VBAR + SYNCHRONOUS, 0xd503_205f),
    ];
    expect(await finding("vectors-unusable", old, now)).toMatchObject({
      severity: "warning",
      title: "The exception vectors at 0x7faf3800, where vCPU 0 stands, were overwritten.",
    });
    const unknown = ["before", "after"].map((id) => missingPage(id, VBAR));
    expect(await finding("vectors-unusable", ...unknown, now)).toBeUndefined();
  });

  it("is silent for sound vectors, elsewhere in code, and where the tables cannot be read", async () => {
    expect(await finding("vectors-unusable")).toBeUndefined();
    expect(await finding("vectors-unusable", registers("fault", { VBAR_EL1: NOWHERE }))).toBeUndefined();
    const zeros = words("fault", VBAR + SYNCHRONOUS, 0);
    expect(await finding("vectors-unusable", zeros, missingPage("fault", 0x47ff_d000n))).toBeUndefined();
    expect(await finding("vectors-unusable", missingPage("fault", VBAR))).toBeUndefined();
  });

  it("is silent for a pc in the middle of the vectors, and at one that SPSR_EL1 does not lead to", async () => {
    const [inside, other] = [VBAR + SYNCHRONOUS + 4n, VBAR];
    for (const pc of [inside, other])
      expect(await finding("vectors-unusable", words("fault", pc, 0), registers("fault", { pc }))).toBeUndefined();
  });

  /** vCPU 1 as the machine was reset: at 0, which is VBAR_EL1 too, with zeros behind it. SPSR_EL1 0 is EL0 with AArch64: the set at 0x400. */
  const reset = { pc: 0n, VBAR_EL1: 0n, ELR_EL1: 0n, ESR_EL1: 0n, SPSR_EL1: 0n, SCTLR_EL1: 0xc5_0838n };
  const zeros = ["before", "after", "later"].map((id) => words(id, 0n, 0));

  it("is silent for a vCPU that was not started", async () => {
    expect(await finding("vectors-unusable", later, twoVcpus, secondVcpu(reset), ...zeros)).toBeUndefined();
    const atVector = { ...reset, pc: 0x400n };
    expect(await finding("vectors-unusable", later, twoVcpus, secondVcpu(atVector), ...zeros)).toBeUndefined();
  });

  it("tells of another vCPU that has run", async () => {
    const ran = atPoint("later", (point) =>
      secondRow(point, (row) => [...row].with(indexOf("ELR_EL1"), value(NOWHERE))),
    );
    const atVector = { ...reset, pc: 0x400n };
    const found = await finding("vectors-unusable", later, twoVcpus, secondVcpu(atVector), ran, ...zeros);
    expect(found?.title).toBe("The exception vectors at 0x0 hold no code: exceptions of vCPU 1 cannot be handled.");
  });

  it("looks at 8 points of a thousand", async () => {
    const many: Change = (capture) => {
      const last = capture.points.at(-1);
      if (last === undefined) return capture;
      const copies = Array.from({ length: 1000 }, (_, i): Point => ({ ...last, id: `later-${i}`, kind: "later" }));
      return { ...capture, points: [...capture.points, ...copies] };
    };
    const changes = [words("fault", VBAR + SYNCHRONOUS, 0), many];
    const found = await finding("vectors-unusable", ...changes);
    expect(found?.evidence).toContain(
      "at before, after, fault, later-995, later-996, later-997, later-998, later-999: RO+X, Normal WB RAWA",
    );
  });
});

/** A second vCPU with the registers of the first. */
const twoVcpus: Change = (capture) => ({
  ...capture,
  threads: [...capture.threads, "02"],
  points: capture.points.map((point) => ({ ...point, registers: [...point.registers, ...point.registers] })),
});

type Row = readonly RegisterRead[];

/** The second vCPU with the registers of the first at the first point, and these, at all points. */
function secondVcpu(values: Readonly<Record<string, bigint>>): Change {
  return (capture) => {
    const row = [...(capture.points[0]?.registers[0] ?? [])];
    for (const [name, number] of Object.entries(values)) row[indexOf(name)] = value(number);
    return { ...capture, points: capture.points.map((point) => secondRow(point, () => row)) };
  };
}

function secondRow(point: Point, change: (row: Row) => Row): Point {
  return { ...point, registers: [point.registers[0] ?? [], change(point.registers[1] ?? [])] };
}

function indexOf(name: string): number {
  return CAPTURE.registers.findIndex((each) => each.name === name);
}

function value(number: bigint): RegisterRead {
  return { state: "present", bytes: new Uint8Array(BigUint64Array.of(number).buffer) };
}

describe("other-vcpu-faulted", () => {
  it("names both vCPUs", async () => {
    const other = atPoint("fault", (point) => ({ ...point, cpu: 1 }));
    expect(await finding("other-vcpu-faulted", twoVcpus, other)).toMatchObject({
      severity: "error",
      title: "It is vCPU 1 that faulted, not vCPU 0, which had called ExitBootServices.",
    });
  });

  it("is silent when the caller itself faulted", async () => {
    expect(await finding("other-vcpu-faulted", twoVcpus)).toBeUndefined();
  });
});

describe("mmu-off-across-call", () => {
  const off = registers("after", { SCTLR_EL1: 0x30d0_1988n });

  it("tells of SCTLR_EL1.M, in place of every mapping and of the register", async () => {
    expect((await finding("mmu-off-across-call", off))?.title).toContain("SCTLR_EL1.M of vCPU 0 went from 1 to 0");
    const rules = await told(["warning"], off);
    expect(rules).not.toContain("control-register-changed");
    expect(rules).not.toContain("unexpected-mapping-change");
  });

  it("leaves the other control registers to their rule", async () => {
    const rules = await told(["warning"], off, registers("after", { TCR_EL1: 0x4_8080_3515n }));
    expect(rules).toEqual(expect.arrayContaining(["mmu-off-across-call", "control-register-changed"]));
  });

  it("leaves SCTLR of another level or vCPU to the rule of control registers", async () => {
    const other = atPoint("after", (point) =>
      secondRow(point, (row) => [...row].with(indexOf("SCTLR_EL1"), value(0n))),
    );
    const changes: Change[] = [offered("SCTLR_EL2", 1n), registers("after", { SCTLR_EL2: 0n })];
    for (const each of [changes, [twoVcpus, other]]) {
      expect(await finding("mmu-off-across-call", ...each)).toBeUndefined();
      expect(await finding("control-register-changed", ...each)).toMatchObject({ severity: "warning" });
    }
  });

  it("is silent when M is as it was, is not known, or changes later", async () => {
    expect(await finding("mmu-off-across-call")).toBeUndefined();
    expect(await finding("mmu-off-across-call", registers("after", { SCTLR_EL1: undefined }))).toBeUndefined();
    expect(await finding("mmu-off-across-call", registers("fault", { SCTLR_EL1: 0x30d0_1988n }))).toBeUndefined();
  });
});

describe("not-mapped-as-needed", () => {
  it.each([
    ["sp", { sp: NOWHERE }, "After the call sp is not mapped as needed."],
    ["sp in code", { sp: CODE }, "After the call sp is not mapped as needed."],
    [
      "x30 and the vectors",
      { x30: DATA, VBAR_EL1: NOWHERE },
      "After the call x30, the vectors are not mapped as needed.",
    ],
  ])("tells of %s", async (_, values, title) => {
    expect(await finding("not-mapped-as-needed", registers("after", values))).toMatchObject({
      severity: "warning",
      title,
    });
  });

  it("is silent when all is well, or cannot be told", async () => {
    expect(await finding("not-mapped-as-needed")).toBeUndefined();
    const gone = missingPage("after", 0x47ff_d000n);
    expect(await finding("not-mapped-as-needed", registers("after", { sp: STACK }), gone)).toBeUndefined();
    expect(await finding("not-mapped-as-needed", registers("after", { sp: undefined }))).toBeUndefined();
  });
});

/** A page at VA 0: RAM (or flash at 0), with AP<2>, PXN and UXN as given. */
const nullPage = (descriptor: bigint): Change => doubleWord("fault", TABLE_OF_NULL, descriptor);
const RWX = 0x70fn;

describe("null-page-mapped and wx-mapping", () => {
  it("tell of a page of RAM at 0 that is readable, writable and executable", async () => {
    const changes = [nullPage(0x7c42_5000n | RWX)];
    expect(await finding("null-page-mapped", ...changes)).toMatchObject({
      severity: "warning",
      title: "The page at address 0 is mapped at fault (RWX): what goes through a NULL pointer does not fault.",
    });
    const found = await finding("wx-mapping", ...changes);
    expect(found?.title).toBe(
      "1 run of mappings became both writable and executable from after to fault: after the call had returned it was the guest, not ExitBootServices.",
    );
    expect(found?.evidence).toEqual(["EL1&0 0x0 + 0x1000: not mapped at after, RWX at fault"]);
  });

  it("name the call when it was mapped by its return, and say that it is not any more", async () => {
    const during = doubleWord("after", TABLE_OF_NULL, 0x7c42_5000n | RWX);
    expect(await finding("null-page-mapped", during)).toMatchObject({
      severity: "info",
      title: "The page at address 0 was mapped at after (RWX): what went through a NULL pointer did not fault there.",
    });
    const found = await finding("wx-mapping", during);
    expect(found?.title).toContain("from before to after: ExitBootServices is not known to do that.");
    const lost = await finding("null-page-mapped", during, missingPage("fault", TABLE_OF_NULL));
    expect(lost).toMatchObject({ severity: "warning" });
    expect(lost?.title).toContain("is mapped at after");
  });

  it("print no name of memory as it is", async () => {
    const ranges = atPoint("fault", (point) => ({
      ...point,
      memoryRanges: point.memoryRanges.map((range) => ({ ...range, name: "ram\u001b[2J" })),
    }));
    const found = await finding("null-page-mapped", nullPage(0x7c42_5000n | RWX), ranges);
    expect(found?.evidence.at(-1)).toBe("behind it at fault is ram ram\\x1b[2J");
  });

  it("call read-only flash at 0 normal", async () => {
    const rules = [nullPage(0x78fn)];
    expect(await finding("null-page-mapped", ...rules)).toMatchObject({ severity: "info" });
    expect(await finding("wx-mapping", ...rules)).toBeUndefined();
  });

  it("say nothing of translation that is off, of a table that is lost, and of the capture as it is", async () => {
    for (const changes of [
      [registers("fault", { SCTLR_EL1: 0x30d0_1988n })],
      [missingPage("fault", TABLE_OF_NULL)],
      [],
    ]) {
      expect(await finding("null-page-mapped", ...changes)).toBeUndefined();
      expect(await finding("wx-mapping", ...changes)).toBeUndefined();
    }
  });

  it("say nothing of another regime's tables", async () => {
    const own = registers("fault", { TTBR0_EL1: TABLE_OF_CODE });
    expect(await finding("wx-mapping", own)).toBeUndefined();
  });
});

describe("runtime-code-not-executable", () => {
  const never = (id: string): Change => doubleWord(id, TABLE_OF_CODE + 80n * 8n, 0x0060_0000_7c45_070fn);

  it("names the image, the page and the point", async () => {
    const found = await finding("runtime-code-not-executable", never("fault"));
    expect(found).toMatchObject({ severity: "warning" });
    expect(found?.evidence).toEqual(["RealTimeClock .text, page 0x7c450000: RW+NX at fault"]);
  });

  it("is silent for tables of an OS, before the exit, and where a table is lost", async () => {
    expect(await finding("runtime-code-not-executable")).toBeUndefined();
    expect(await finding("runtime-code-not-executable", never("before"))).toBeUndefined();
    const own = registers("fault", { TTBR0_EL1: 0x47ff_e000n });
    expect(await finding("runtime-code-not-executable", own)).toBeUndefined();
    expect(await finding("runtime-code-not-executable", missingPage("fault", TABLE_OF_CODE))).toBeUndefined();
  });
});

describe("exit-boot-services-hooked", () => {
  /** UEFI 4.4: ExitBootServices is at 0xe8 of EFI_BOOT_SERVICES. */
  const hook = doubleWord("before", BOOT_SERVICES + 0xe8n, CODE);

  it("names where the pointer led", async () => {
    const found = await finding("exit-boot-services-hooked", hook);
    expect(found).toMatchObject({ severity: "warning" });
    expect(found?.title).toContain("0x7c412100");
    expect(found?.title).toContain("kernel+0x1100");
  });

  it("tells of a capture that waited for the call outside DxeCore", async () => {
    const roots: Change = (capture) =>
      capture.efi === undefined ? capture : { ...capture, efi: { ...capture.efi, exitBootServices: CODE } };
    expect(await finding("exit-boot-services-hooked", roots)).toBeDefined();
  });

  it("is silent for DxeCore's own, and without a list of images", async () => {
    expect(await finding("exit-boot-services-hooked")).toBeUndefined();
    expect(
      await finding("exit-boot-services-hooked", hook, (capture) => ({ ...capture, efi: undefined })),
    ).toBeUndefined();
  });
});

describe("clean-exit", () => {
  it("says that no fault was seen, and in which time", async () => {
    const times = [
      atPoint("after", (point) => ({ ...point, time: "2025-01-01T00:00:00.000Z" })),
      atPoint("later", (point) => ({ ...point, time: "2025-01-01T00:00:05.000Z" })),
    ];
    const found = await finding("clean-exit", later, ...times);
    expect(found).toMatchObject({ severity: "info" });
    expect(found?.title).toBe("ExitBootServices succeeded and no fault was seen in the 5.0 s after it.");
    expect(found?.evidence).toHaveLength(1);
  });

  it("says when the vectors that were watched are in force no more", async () => {
    const found = await finding("clean-exit", later, registers("later", { VBAR_EL1: CODE & ~0x7ffn }));
    expect(found?.evidence.join()).toContain("VBAR_EL1 is another at later");
  });

  it("comes without an error or a warning", async () => {
    expect(await told(["error", "warning"], later)).toEqual([]);
  });

  it.each<readonly [string, readonly Change[]]>([
    ["a fault was seen", []],
    ["faults were not watched for", [later, (capture) => ({ ...capture, notes: [FAULTS_NOT_WATCHED] })]],
    [
      "the capture ended early",
      [later, (capture) => ({ ...capture, partial: { code: "stub-silent", message: "gone" } })],
    ],
    [
      "the call failed",
      [
        later,
        (capture) => ({ ...capture, attempts: capture.attempts.map((each) => ({ ...each, status: 1n << 63n })) }),
      ],
    ],
    ["exceptions lead nowhere", [later, registers("later", { VBAR_EL1: NOWHERE, pc: NOWHERE + SYNCHRONOUS })]],
  ])("is not said when %s", async (_, changes) => {
    expect(await finding("clean-exit", ...changes)).toBeUndefined();
  });
});

describe("boot-services-zeroed", () => {
  it("is said when the table holds zeros after the call", async () => {
    expect(await finding("boot-services-zeroed")).toMatchObject({ severity: "info" });
  });

  it("is not said of a table that is kept, or cannot be read", async () => {
    expect(await finding("boot-services-zeroed", doubleWord("after", BOOT_SERVICES + 0xf8n, 1n))).toBeUndefined();
    expect(await finding("boot-services-zeroed", missingPage("after", BOOT_SERVICES))).toBeUndefined();
  });
});

describe("writable-and-executable", () => {
  it("counts pages and says whose they are", async () => {
    const found = await finding("writable-and-executable");
    expect(found).toMatchObject({
      severity: "info",
      title: "17,606 pages of EL1&0 are both writable and executable at fault.",
    });
    expect(found?.evidence.join("\n")).toContain("RealTimeClock, MonotonicCounterRuntimeDxe: expected");
  });

  it("names 20 runs, and says how many more there are", async () => {
    // Every other entry of the table of the first 2 MiB, from the second on: 255 runs.
    const runs = entries("fault", TABLE_OF_NULL, 1, 510, (i) => (i % 2 === 0 ? 0n : 0x7c42_5000n | RWX));
    const found = await finding("writable-and-executable", runs);
    expect(found?.evidence).toHaveLength(21);
    expect(found?.evidence.at(-1)).toMatch(/^… and 2[4-9]\d more$/);
  });

  it("is not said of memory without translation", async () => {
    expect(await finding("writable-and-executable", registers("fault", { SCTLR_EL1: 0x30d0_1988n }))).toBeUndefined();
  });
});

/** A memory map of one descriptor of 48 bytes {Type, PhysicalStart, VirtualStart, NumberOfPages, Attribute} over all RAM. */
function memoryMap(type: bigint): Change[] {
  const place = 0x5000_0000n;
  const fields = [type, 0x4000_0000n, 0n, 0x4_0000n, 0xfn];
  return [
    ...fields.map((field, i) => doubleWord("before", place + BigInt(i * 8), field)),
    (capture) => ({
      ...capture,
      memoryMap: { address: place, size: 48n, descriptorSize: 48n, descriptorVersion: 1, mapKey: 1n, caller: CODE },
    }),
  ];
}

describe("reusable-memory", () => {
  /** EfiBootServicesData, EfiRuntimeServicesData. */
  const [BOOT_DATA, RUNTIME_DATA] = [4n, 6n];

  it("lists the stack, the vectors and the tables by the type of their memory", async () => {
    const found = await finding("reusable-memory", ...memoryMap(BOOT_DATA));
    expect(found).toMatchObject({ severity: "info" });
    expect(found?.evidence).toContain(`the stack (sp) in EfiBootServicesData: 0x${STACK.toString(16)}`);
    expect(found?.evidence).toContain(`the vectors (VBAR_EL1) in EfiBootServicesData: 0x${VBAR.toString(16)}`);
    expect(found?.evidence.some((line) => line.startsWith("translation tables in EfiBootServicesData"))).toBe(true);
  });

  it("leaves out what the OS has put in place of the firmware's", async () => {
    const own = registers("fault", { VBAR_EL1: CODE & ~0x7ffn, TTBR0_EL1: 0x47ff_e000n });
    expect(await finding("reusable-memory", ...memoryMap(BOOT_DATA), own)).toBeUndefined();
  });

  it("is silent for memory that stays the firmware's, and without a memory map", async () => {
    expect(await finding("reusable-memory", ...memoryMap(RUNTIME_DATA))).toBeUndefined();
    expect(await finding("reusable-memory", (capture) => ({ ...capture, memoryMap: undefined }))).toBeUndefined();
  });
});

describe("the findings", () => {
  it("are errors, then warnings, then what is normal, each in the order of the rules", async () => {
    const all = await findings(
      changed(registers("after", { sp: NOWHERE }), nullPage(0x7c42_5000n | RWX), dataAbort(0x07, NOWHERE)),
    );
    const order = Object.keys(RULES);
    const ranks = all.map(
      ({ rule, severity }) => ["error", "warning", "info"].indexOf(severity) * 1000 + order.indexOf(rule),
    );
    expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
    expect(new Set(all.map(({ severity }) => severity)).size).toBe(3);
  });
});
