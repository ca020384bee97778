/** The cause of a fault: each rule over faults made up on a real capture, with the syndromes and words of the Arm ARM. */
import { describe, expect, it } from "vitest";
import { CAUSES, RULES, type RuleName } from "../../../src/diagnose/findings.ts";
import {
  BOOT_SERVICES,
  badCall,
  type Change,
  CODE,
  changed,
  code,
  DATA,
  dataAbort,
  doubleWord,
  entries,
  factsOf,
  fault,
  findings,
  GET_TIME,
  missingPage,
  NOWHERE,
  offered,
  registers,
  STACK,
  SYSTEM_TABLE,
  syndrome,
  TABLE_OF_STACK,
  VBAR,
  WRITE,
} from "./scenes.ts";

/** DFSC and IFSC. */
const TRANSLATION = 0x07;
const PERMISSION = 0x0f;
const ACCESS_FLAG = 0x0b;
const ALIGNMENT = 0x21;
const EXTERNAL = 0x10;

const MMU_OFF = { SCTLR_EL1: 0x30d0_1988n };
/** MRS X9, HCR_EL2; MRS X0, SCR_EL3; MRS X0, SCTLR_EL1; TLBI ALLE2; HVC #0; UDF #0 */
const READ_HCR = 0xd53c_1109;
const READ_SCR = 0xd53e_1100;
const READ_SCTLR = 0xd538_1000;
const FLUSH_EL2 = 0xd50c_871f;
const HVC = 0xd400_0002;
const SMC = 0xd400_0003;
/** What TABLE_OF_STACK maps, one to one. */
const STACK_AREA = 0x4760_0000n;
const UNKNOWN_REASON = syndrome(0, 0);
/** STP X29, X30, [SP, #-16]! */
const PUSH = 0xa9bf_7bfd;

/** LDR X0, [X19, #0x40] before the load of [X0, #8] at CODE: a program that takes ConOut from the system table in x19. */
const console = (table: bigint): Change[] => [
  fault(syndrome(0x25, TRANSLATION), 0xf940_0408, { FAR_EL1: 8n, x0: 0n, x19: table }),
  code(CODE - 4n, 0xf940_2260),
];
/** The capture as it is. */
const zeroedService: Change = (capture) => capture;
/** The firmware had no Stall before the exit: the call through it is not of a service that was zeroed. */
const noService = doubleWord("before", BOOT_SERVICES + 0xf8n, 0n);
const overwritten: Change[] = [
  dataAbort(TRANSLATION, STACK),
  ...Array.from({ length: 8 }, (_, i) =>
    doubleWord("fault", TABLE_OF_STACK + BigInt(310 + i) * 8n, 0x5555_5555_5555_5555n),
  ),
];
/** What unmapping 8 pages, and making 8 others invalid with their addresses kept, leaves behind. */
const unmappedMany: Change[] = [
  dataAbort(TRANSLATION, STACK),
  entries("fault", TABLE_OF_STACK, 310, 8, () => 0n),
  entries("fault", TABLE_OF_STACK, 318, 8, (i) => (STACK_AREA + BigInt(i) * 0x1000n) | 0x70en),
];
/** All of the table cleared, as memory that is zeroed. */
const cleared: Change[] = [
  dataAbort(TRANSLATION, STACK),
  entries("after", TABLE_OF_STACK, 0, 512, (i) => (STACK_AREA + BigInt(i) * 0x1000n) | 0x70fn),
  entries("fault", TABLE_OF_STACK, 0, 512, () => 0n),
];
const unmappedAlone: Change[] = [dataAbort(TRANSLATION, STACK), doubleWord("fault", TABLE_OF_STACK + 314n * 8n, 0n)];

const SCENES: readonly (readonly [title: string, rule: RuleName, says: string, changes: readonly Change[]])[] = [
  ["a call through a zeroed pointer", "service-called-after-exit", "kernel+0x1850 called gBS->Stall", [zeroedService]],
  [
    "a load through gST->ConOut, which is NULL",
    "service-called-after-exit",
    "kernel+0x1100 used gST->ConOut->OutputString after ExitBootServices, which had set gST->ConOut to NULL: it read 0x8",
    console(SYSTEM_TABLE),
  ],
  [
    "a load through a NULL pointer of one's own",
    "unmapped-access",
    "kernel+0x1100 read a NULL pointer at offset 0x8",
    console(DATA),
  ],
  ["a table overwritten", "table-memory-reused", "level 3 translation table at 0x4771a000", overwritten],
  ["a table zeroed", "table-memory-reused", "level 3 translation table at 0x4771a000", cleared],
  ["sixteen pages unmapped", "unmapped-access", "kernel+0x1100 read 0x4773ab10, which is not mapped", unmappedMany],
  ["one page unmapped", "unmapped-access", "kernel+0x1100 read 0x4773ab10, which is not mapped", unmappedAlone],
  [
    "a call to NULL",
    "branch-to-null",
    "kernel+0x1850 called a NULL pointer through x8: the call went to 0x0",
    [noService],
  ],
  ["a return to NULL", "branch-to-null", "A return went to NULL", [registers("fault", { x30: 0n })]],
  [
    "a branch to NULL from where x30 does not tell",
    "branch-to-null",
    "where from cannot be told",
    [registers("fault", { x30: NOWHERE })],
  ],
  [
    "a call to what is not mapped",
    "branch-to-unmapped",
    "kernel+0x1850 called 0x90000000 (through x8), which is not mapped",
    [badCall(TRANSLATION, NOWHERE)],
  ],
  [
    "a call of what is execute-never",
    "execute-never-fetch",
    "kernel+0x1850 called 0x7ec97000, in a page that is mapped execute-never",
    [badCall(PERMISSION, DATA)],
  ],
  [
    "a push on no stack",
    "stack-not-mapped",
    "SP = 0x90080000",
    [fault(syndrome(0x25, TRANSLATION | WRITE), PUSH, { FAR_EL1: 0x9007_fff0n, sp: 0x9008_0000n })],
  ],
  [
    "a push on a stack in code",
    "stack-not-mapped",
    "The stack may not be written: kernel+0x1100 wrote to 0x7c412ff0 with SP = 0x7c413000",
    [fault(syndrome(0x25, PERMISSION | WRITE), PUSH, { FAR_EL1: 0x7c41_2ff0n, sp: 0x7c41_3000n })],
  ],
  [
    "a push that is refused where the tables permit it",
    "access-denied",
    "wrote to 0x4773ab00 and took a permission fault that the tables at the fault do not explain.",
    [fault(syndrome(0x25, PERMISSION | WRITE), PUSH, { FAR_EL1: STACK - 16n })],
  ],
  [
    "a load near SP that is none of the stack",
    "unmapped-access",
    "0x9007fff0",
    [dataAbort(TRANSLATION, 0x9007_fff0n, { sp: 0x9008_0000n })],
  ],
  [
    "a write to code",
    "write-to-read-only",
    "kernel+0x1100 wrote to 0x7c412000 (kernel+0x1000), which is mapped read-only",
    [dataAbort(PERMISSION | WRITE, 0x7c41_2000n)],
  ],
  [
    "a write that is refused where the tables permit it",
    "access-denied",
    "wrote to 0x7ec97000",
    [dataAbort(PERMISSION | WRITE, DATA)],
  ],
  ["a read that is refused", "access-denied", "read 0x7ec97000", [dataAbort(PERMISSION, DATA)]],
  ["an access flag that is clear", "access-flag-fault", "read 0x7ec97000", [dataAbort(ACCESS_FLAG, DATA)]],
  [
    "a read of what is not mapped",
    "unmapped-access",
    "kernel+0x1100 read 0x90000000, which is not mapped",
    [dataAbort(TRANSLATION, NOWHERE)],
  ],
  [
    "a write to NULL",
    "unmapped-access",
    "kernel+0x1100 wrote to a NULL pointer.",
    [dataAbort(TRANSLATION | WRITE, 0n)],
  ],
  [
    "an odd address with the MMU off",
    "alignment-fault-mmu-off",
    "with the MMU off",
    [dataAbort(ALIGNMENT, DATA + 1n, MMU_OFF)],
  ],
  [
    "an odd address with the MMU on",
    "alignment-fault",
    "read 0x7ec97001, which is not aligned",
    [dataAbort(ALIGNMENT, DATA + 1n)],
  ],
  ["SP that is not aligned", "sp-alignment", "SP = 0x4773ab18", [fault(syndrome(0x26, 0), PUSH, { sp: STACK + 8n })]],
  [
    "a branch to an odd address",
    "pc-alignment",
    "0x7c412102",
    [registers("fault", { ESR_EL1: syndrome(0x22, 0), ELR_EL1: CODE + 2n, FAR_EL1: CODE + 2n })],
  ],
  ["a physical address with nothing", "external-abort", "answered with an error", [dataAbort(EXTERNAL, DATA)]],
  [
    "a register of EL2 at EL1",
    "el2-register-at-el1",
    "accessed HCR_EL2, which belongs to EL2, at EL1: it has to run at EL2: start QEMU with -M virt,virtualization=on",
    [fault(UNKNOWN_REASON, READ_HCR)],
  ],
  ["an instruction of EL2 at EL1", "el2-register-at-el1", "executed TLBI ALLE2", [fault(UNKNOWN_REASON, FLUSH_EL2)]],
  [
    "a register of EL2 at EL1 of a machine with EL2",
    "el2-register-at-el1",
    "the machine has EL2, but this code runs at EL1",
    [fault(UNKNOWN_REASON, READ_HCR), offered("HCR_EL2", 0n), offered("SCTLR_EL2", 0n)],
  ],
  ["a register of EL3 at EL1", "el3-register-below-el3", "accessed SCR_EL3", [fault(UNKNOWN_REASON, READ_SCR)]],
  [
    "a register of EL1 that is UNDEFINED",
    "undefined-instruction",
    "executed 0xd5381000, which is UNDEFINED at EL1",
    [fault(UNKNOWN_REASON, READ_SCTLR)],
  ],
  ["zeros that are executed", "undefined-instruction", "(UDF, as memory of zeros reads)", [fault(UNKNOWN_REASON, 0)]],
  ["HVC without EL2", "undefined-instruction", "there is no EL2", [fault(UNKNOWN_REASON, HVC)]],
  [
    "HVC with EL2",
    "undefined-instruction",
    "UNDEFINED at EL1 (HVC: HCR_EL2.HCD is 1).",
    [fault(UNKNOWN_REASON, HVC), offered("SCTLR_EL2", 0n), offered("HCR_EL2", 1n << 29n)],
  ],
  ["SMC without EL3", "undefined-instruction", "(SMC: there is no EL3; firmware", [fault(UNKNOWN_REASON, SMC)]],
  [
    "SMC with EL3",
    "undefined-instruction",
    "(SMC: SCR_EL3.SMD is 1).",
    [fault(UNKNOWN_REASON, SMC), offered("SCTLR_EL3", 0n), offered("SCR_EL3", 0x80n)],
  ],
  [
    "a register of EL2 where the machine's levels are not known",
    "el2-register-at-el1",
    "it has to run at EL2; whether the machine has that is not known.",
    [fault(UNKNOWN_REASON, READ_HCR), offered("SCTLR_EL2", 0n), registers("fault", { SCTLR_EL2: undefined })],
  ],
  // ISS of MSR SCTLR_EL1, X3: Op0 3 at 21:20, CRn 1 at 13:10, Rt 3 at 9:5, Direction 0.
  [
    "a register that is trapped",
    "system-register-trap",
    "executed MSR SCTLR_EL1, X3, which is trapped to EL1",
    [fault(syndrome(0x18, 0x30_0460), READ_SCTLR)],
  ],
  [
    "SIMD that is trapped",
    "simd-trapped",
    "a floating-point or SIMD instruction",
    [fault(syndrome(0x07, 0x1e0_0000), 0x3d80_0000)],
  ],
  ["BRK", "exception-instruction", "kernel+0x1100 executed BRK #0xf000", [fault(syndrome(0x3c, 0xf000), 0xd43e_0000)]],
  [
    "SVC",
    "exception-instruction",
    "kernel+0x10fc executed SVC #0x7, which was taken to EL1.",
    [fault(syndrome(0x15, 7), 0xd503_201f), code(CODE - 4n, 0xd400_00e1)],
  ],
  [
    "SMC that is trapped",
    "exception-instruction",
    "kernel+0x1100 executed SMC #0x0, which is trapped",
    [fault(syndrome(0x17, 0), SMC)],
  ],
  [
    "SVC that cannot be read",
    "exception-instruction",
    "executed SVC #0x7 at or right before kernel+0x1100",
    [fault(syndrome(0x15, 7), 0xd503_201f)],
  ],
  [
    "an SError",
    "serror",
    "An SError was taken at kernel+0x1100",
    [fault(syndrome(0x2f, 0), 0xd503_201f, { pc: VBAR + 0x380n })],
  ],
];

describe("the cause of a fault", () => {
  it.each(SCENES)("%s is %s", async (_, rule, says, changes) => {
    const all = await findings(changed(...changes));
    expect(all[0]?.rule).toBe(rule);
    expect(all[0]?.title).toContain(says);
    expect(all[0]?.severity).toBe("error");
    expect(all[0]?.evidence.length).toBeGreaterThan(0);
    const causes = all.filter((each) => each.rule in CAUSES);
    expect(causes).toHaveLength(1);
    expect(all.find((each) => each.rule === "guest-faulted")).toBeDefined();
  });

  it("is tested for every rule there is", () => {
    expect([...new Set(SCENES.map(([, rule]) => rule))].sort()).toEqual(Object.keys(CAUSES).sort());
  });

  it.each<readonly [RuleName, RuleName, readonly Change[]]>([
    ["service-called-after-exit", "branch-to-null", [zeroedService]],
    ["service-called-after-exit", "unmapped-access", console(SYSTEM_TABLE)],
    ["table-memory-reused", "unmapped-access", overwritten],
    ["branch-to-null", "branch-to-unmapped", [noService]],
    [
      "stack-not-mapped",
      "unmapped-access",
      [fault(syndrome(0x25, TRANSLATION | WRITE), PUSH, { FAR_EL1: 0x9007_fff0n, sp: 0x9008_0000n })],
    ],
    ["write-to-read-only", "access-denied", [dataAbort(PERMISSION | WRITE, 0x7c41_2000n)]],
    ["alignment-fault-mmu-off", "alignment-fault", [dataAbort(ALIGNMENT, DATA + 1n, MMU_OFF)]],
    ["el2-register-at-el1", "undefined-instruction", [fault(UNKNOWN_REASON, READ_HCR)]],
  ])("%s is heard and not %s, which could be said too", async (special, general, changes) => {
    const facts = await factsOf(changed(...changes));
    expect(RULES[general](facts)).toBeDefined();
    const rules = (await findings(changed(...changes))).map(({ rule }) => rule);
    expect(rules).toContain(special);
    expect(rules).not.toContain(general);
  });
});

/** The rules of causes that are heard. */
async function causes(...changes: readonly Change[]): Promise<RuleName[]> {
  return (await findings(changed(...changes))).map(({ rule }) => rule).filter((rule) => rule in CAUSES);
}

describe("what was not seen is not said", () => {
  it("no cause is told without ESR_EL1 or ELR_EL1", async () => {
    for (const name of ["ESR_EL1", "ELR_EL1"])
      expect(await causes(dataAbort(TRANSLATION, NOWHERE), registers("fault", { [name]: undefined }))).toEqual([]);
  });

  it("no instruction is named whose word was not captured", async () => {
    const page = CODE & ~0xfffn;
    expect(await causes(fault(UNKNOWN_REASON, READ_HCR), missingPage("fault", page))).toEqual([]);
  });

  it("no service is blamed for a call that failed, or that did not return", async () => {
    for (const status of [1n << 63n, undefined]) {
      const attempts: Change = (capture) => ({
        ...capture,
        attempts: capture.attempts.map((each) => ({ ...each, status })),
      });
      expect(await causes(attempts)).toEqual(["branch-to-null"]);
      expect(await causes(attempts, ...console(SYSTEM_TABLE))).toEqual(["unmapped-access"]);
    }
  });

  it("no service is blamed that was still there when the call returned", async () => {
    expect(await causes(doubleWord("after", BOOT_SERVICES + 0xf8n, 0x4773_cab0n))).toEqual(["branch-to-null"]);
    const kept = doubleWord("after", SYSTEM_TABLE + 0x40n, 0x7fa2_72c0n);
    expect(await causes(kept, ...console(SYSTEM_TABLE))).toEqual(["unmapped-access"]);
  });

  it("a table is not called overwritten that cannot be read any more", async () => {
    expect(await causes(...overwritten, missingPage("fault", TABLE_OF_STACK))).toEqual(["unmapped-access"]);
    expect(await causes(...overwritten, missingPage("after", TABLE_OF_STACK))).toEqual(["unmapped-access"]);
  });

  it("a page is not called read-only whose table cannot be read", async () => {
    const lost = missingPage("fault", 0x47ff_d000n);
    expect(await causes(dataAbort(PERMISSION | WRITE, DATA), lost)).toEqual(["access-denied"]);
  });

  it("an unmapped access tells of the entries that changed in its table", async () => {
    const [first] = await findings(changed(...unmappedMany));
    expect(first?.evidence).toContain(
      "in the level 3 table at 0x4771a000 16 of 512 entries are others than at after; the one for this address is 0x0",
    );
  });

  it("an external abort says that nothing is there only where the machine has no memory", async () => {
    const [inRam] = await findings(changed(dataAbort(EXTERNAL, DATA)));
    expect(inRam?.title).toMatch(/answered with an error[.]$/);
    expect(inRam?.evidence.join()).not.toContain("nothing is");
    const away = doubleWord("fault", TABLE_OF_STACK + 314n * 8n, 0x0060_0002_0000_070fn);
    const [outside] = await findings(changed(dataAbort(EXTERNAL, STACK), away));
    expect(outside?.evidence).toContain(
      "the machine has no RAM or ROM at the physical address 0x200000b10: QEMU answers so where nothing is",
    );
  });

  it("an external abort on a walk names the table and not the address that was asked for", async () => {
    const [first] = await findings(changed(dataAbort(0x17, STACK)));
    expect(first?.title).toContain("where it read the level 3 table at 0x4771a000.");
    const lost = await findings(changed(dataAbort(0x17, STACK), missingPage("fault", TABLE_OF_STACK)));
    expect(lost[0]?.title).toContain("level 3 table at 0x4771a000.");
  });

  it("the type of the memory is told once", async () => {
    const map: Change = (capture) => ({ ...capture, memoryMap: undefined });
    for (const changes of [[dataAbort(TRANSLATION, NOWHERE)], [dataAbort(TRANSLATION, NOWHERE), map]]) {
      const [first] = await findings(changed(...changes));
      expect(first?.evidence.find((line) => line.startsWith("FAR_EL1"))).not.toMatch(/null|at the call/);
    }
  });

  it("execute-never says between which points a page became so", async () => {
    const never = doubleWord("fault", 0x7ecf_f000n + 80n * 8n, 0x0060_0000_7c45_070fn);
    const all = await findings(changed(badCall(PERMISSION, GET_TIME), never));
    expect(all[0]?.title).toContain(
      "called gRT->GetTime (RealTimeClock+0x10730), in a page that is mapped execute-never",
    );
    expect(all[0]?.evidence).toContain("it was executable at after and is not any more at fault");
    expect(all[0]?.evidence).toContain("at before: RO+X, Normal WB RAWA");
  });
});
