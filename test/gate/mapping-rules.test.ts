/**
 * Rules over mappings, on a capture of AAVMF 2022.11 at EL1 with single descriptors and registers changed. What is mapped there is known from
 * test/cli/golden and, for the descriptors, from the Arm ARM by hand: D8.3.2, a page with AP = 0b00 and PXN = UXN = 0 is writable and executable.
 */
import { describe, expect, it } from "vitest";
import {
  atPoint,
  type CAPTURE,
  entries,
  missingPage,
  offered,
  registers,
  TABLE_OF_CODE,
  TABLE_OF_NULL,
  TABLE_OF_STACK,
} from "../diagnose/rules/scenes.ts";
import { messages, resultOf } from "./support.ts";

/** The page of the guest's code, writable; 0x7c41278f is what it was: AP = 0b10. */
const CODE_WRITABLE = entries("before", TABLE_OF_CODE, 0x12, 1, () => 0x7c41_270fn);
/** gRT->GetTime's page, writable before the call. */
const RUNTIME_WRITABLE = entries("before", TABLE_OF_CODE, 0x50, 1, () => 0x7c45_070fn);
/** A page of the stack becomes executable in the call. */
const STACK_EXECUTABLE = entries("after", TABLE_OF_STACK, 0x13a, 1, () => 0x4773_a70fn);
const NULL_MAPPED = entries("after", TABLE_OF_NULL, 0, 1, () => 0x7c41_2000n | 0x78fn);
/** SCTLR_EL1 of the capture is 0x30d0198d: without M, without M and C. */
const MMU_OFF = (id: string) => registers(id, { SCTLR_EL1: 0x30d0_1988n });

const AAVMF = `
    - { image: none, memory-type: [EfiBootServicesCode, EfiRuntimeServicesCode] }
    - { range: 0x0-0x8000000 }`;

describe("no-write-execute", () => {
  it("finds what the firmware leaves writable and executable, and nothing else", async () => {
    const { state, violations } = await resultOf("no-write-execute: {}");
    expect(state).toBe("broken");
    expect(
      violations.map(({ where }) => [where.va?.toString(16), Number(where.size) / 1024, where.memoryType]),
    ).toEqual([
      ["1000", 2044, undefined],
      ["4000000", 65536, "EfiMemoryMappedIO"],
      ["47ef2000", 16, "EfiBootServicesCode"],
      ["47ff7000", 12, "EfiBootServicesCode"],
      ...[
        "7c470000",
        "7c4b0000",
        "7c720000",
        "7fc00000",
        "7fc40000",
        "7fc90000",
        "7fce0000",
        "7fd30000",
        "7fd80000",
      ].map((va) => [va, 64, "EfiRuntimeServicesCode"]),
    ]);
    expect(violations[2]?.message).toBe(
      "EL1&0 0x47ef2000 + 0x4000 (no image; EfiBootServicesCode) is writable and executable at before",
    );
  });

  it("is kept with exceptions for all of it, which are all used", async () => {
    const { state, unused } = await resultOf(`no-write-execute:\n  except:${AAVMF}`);
    expect([state, unused]).toEqual(["kept", []]);
  });

  it("names the image and the section of a page that became so", async () => {
    const result = await resultOf(`no-write-execute:\n  except:${AAVMF}`, CODE_WRITABLE);
    expect(messages(result)).toEqual([
      "EL1&0 0x7c412000 + 0x1000 (kernel, .text; EfiLoaderCode) is writable and executable at before",
    ]);
    expect(result.violations[0]?.evidence).toEqual(["RWX, EL0 X only, Normal WB RAWA, to 0x7c412000"]);
  });

  it.each([
    ["by image and section", "{ image: kern*, section: .text }", "kept"],
    ["by image and another section", "{ image: kernel, section: .data }", "broken"],
    ["by its addresses", "{ range: 0x7c412000+0x1000 }", "kept"],
    ["by half of its addresses", "{ range: 0x7c412000+0x800 }", "broken"],
    ["by its type and another image", "{ image: DxeCore, memory-type: EfiLoaderCode }", "broken"],
    ["at the point", "{ image: kernel, at: before }", "kept"],
    ["at another point", "{ image: kernel, at: after }", "broken"],
    ["in another regime", "{ image: kernel, regime: EL2 }", "broken"],
    ["of runtime images", "{ runtime: true }", "broken"],
  ])("lets it pass when it is excepted %s: %s is %s", async (_, exception, state) => {
    const result = await resultOf(`no-write-execute:\n  except:${AAVMF}\n    - ${exception}`, CODE_WRITABLE);
    expect(result.state).toBe(state);
    const half = exception.includes("0x800");
    expect(result.unused.map(({ text }) => text)).toEqual(state === "kept" || half ? [] : ["exception 3"]);
  });

  it("knows the owner of memory that is mapped somewhere else too", async () => {
    const alias = entries("before", TABLE_OF_NULL, 0, 1, () => 0x7c41_270fn);
    expect(messages(await resultOf(`no-write-execute:\n  except:${AAVMF.replace("0x0-", "0x1000-")}`, alias))).toEqual([
      "EL1&0 0x0 + 0x1000 (kernel, .text; EfiLoaderCode) is writable and executable at before",
    ]);
  });

  it("sees the runtime images after the call, and an exception for those", async () => {
    const rule = (more: string): string => `no-write-execute:\n  at: after\n  except:${AAVMF}${more}`;
    const { violations } = await resultOf(rule(""));
    const images = new Set(violations.map(({ where }) => where.image));
    expect(images).toContain("RealTimeClock");
    expect(images.size).toBe(8);
    expect((await resultOf(rule("\n    - { runtime: true }"))).state).toBe("kept");
  });

  it("is unknown where a table could not be read: it says which page, and what it leaves unknown", async () => {
    const result = await resultOf(`no-write-execute:\n  except:${AAVMF}`, missingPage("before", TABLE_OF_CODE));
    expect([result.state, result.breaks]).toEqual(["unknown", true]);
    expect(messages(result)).toEqual([
      "what EL1&0 maps at 0x7c400000 + 0x200000 is not known at before: the page at 0x7ecff000, a table of level 3, could not be read (read-failed)",
    ]);
  });

  it("does not mind a lost table whose addresses are all excepted", async () => {
    const rule = `no-write-execute:\n  except:${AAVMF}\n    - { range: 0x7c400000+0x200000 }`;
    expect((await resultOf(rule, missingPage("before", TABLE_OF_CODE))).state).toBe("kept");
  });

  it("says what is broken also when something else is unknown", async () => {
    const rule = `no-write-execute:\n  except:${AAVMF}`;
    const result = await resultOf(rule, CODE_WRITABLE, missingPage("before", TABLE_OF_STACK));
    expect(result.state).toBe("broken");
    expect(result.undecided).toHaveLength(1);
  });

  it("takes translation that is off for what it is", async () => {
    const result = await resultOf("no-write-execute: {}", MMU_OFF("before"));
    expect(messages(result)).toEqual(["translation of EL1&0 is off at before: everything is writable and executable"]);
  });

  it("is unknown without the Exception level, and without the register that turns translation on", async () => {
    const level = await resultOf(`no-write-execute:\n  except:${AAVMF}`, registers("before", { cpsr: undefined }));
    expect(level.state).toBe("unknown");
    expect(messages(level)[0]).toContain("cpsr could not be read");
    const control = await resultOf(
      `no-write-execute:\n  except:${AAVMF}`,
      registers("before", { SCTLR_EL1: undefined }),
    );
    expect(control.state).toBe("unknown");
  });

  it("is unknown where no regime is in use that it is told to look at, and looks at those that are", async () => {
    const rule = (regimes: string): string => `no-write-execute:\n  regime: [${regimes}]\n  except:${AAVMF}`;
    const none = await resultOf(rule("EL2, EL3"));
    expect(messages(none)).toEqual(["EL2, EL3 are not in use at before"]);
    expect((await resultOf(rule("EL1&0, EL2"))).state).toBe("kept");
  });

  it("is unknown at a point that is not complete, and at one that is not there", async () => {
    const partial = atPoint("before", (point) => ({ ...point, complete: false }));
    expect((await resultOf(`no-write-execute:\n  except:${AAVMF}`, partial)).state).toBe("unknown");
    const missing = await resultOf(`no-write-execute:\n  at: [before, later]\n  except:${AAVMF}`);
    expect(missing.state).toBe("unknown");
    expect(missing.undecided[0]).toMatchObject({
      message: "the capture has no point later",
      evidence: ["it has before, after, fault"],
    });
  });
});

describe("null-page-unmapped", () => {
  it("is kept where no descriptor is at 0", async () => {
    expect((await resultOf("null-page-unmapped: { at: every }")).state).toBe("kept");
  });

  it("tells what is mapped there, and at which point", async () => {
    const result = await resultOf("null-page-unmapped: {}", NULL_MAPPED);
    expect(messages(result)).toEqual([
      "EL1&0 0x0 + 0x1000 (kernel, .text; EfiLoaderCode) is mapped at after: what goes through a NULL pointer does not fault",
    ]);
  });

  it("looks at as many bytes as it is told", async () => {
    const result = await resultOf("null-page-unmapped: { at: before, size: 8192 }");
    expect(messages(result)).toEqual([
      "EL1&0 0x1000 + 0x1000 (no image; not in UEFI's memory map) is mapped at before: what goes through a NULL pointer does not fault",
    ]);
  });

  it("is unknown where the table could not be read", async () => {
    const result = await resultOf("null-page-unmapped: {}", missingPage("after", TABLE_OF_NULL));
    expect(result.state).toBe("unknown");
    expect(messages(result)[0]).toContain("the page at 0x47ffa000, a table of level 3, could not be read");
  });

  it("is broken with translation off, where 0 is an address", async () => {
    const result = await resultOf("null-page-unmapped: { at: after }", MMU_OFF("after"));
    expect(messages(result)).toEqual(["translation of EL1&0 is off at after: address 0 is an address as any other"]);
  });
});

describe("runtime-code-read-only", () => {
  it("is kept before the call", async () => {
    expect((await resultOf("runtime-code-read-only: {}")).state).toBe("kept");
  });

  it("names the image and section whose code is writable", async () => {
    const result = await resultOf("runtime-code-read-only: {}", RUNTIME_WRITABLE);
    expect(messages(result)).toEqual([
      "code of a runtime image is writable at before: EL1&0 0x7c450000 + 0x1000 (RealTimeClock, .text; EfiRuntimeServicesCode)",
    ]);
    const excepted = "runtime-code-read-only: { except: [{ image: RealTimeClock }] }";
    expect((await resultOf(excepted, RUNTIME_WRITABLE)).state).toBe("kept");
  });

  it("is broken by each runtime image after the call", async () => {
    const { violations } = await resultOf("runtime-code-read-only: { at: after }");
    expect(new Set(violations.map(({ where }) => where.image)).size).toBe(8);
    expect(new Set(violations.map(({ where }) => where.section))).toEqual(new Set([".text"]));
  });

  it("is unknown where a table could not be read, and where no images are known", async () => {
    expect((await resultOf("runtime-code-read-only: {}", missingPage("before", TABLE_OF_CODE))).state).toBe("unknown");
    const nameless = await resultOf("runtime-code-read-only: {}", (capture) => ({ ...capture, efi: undefined }));
    expect(messages(nameless)).toEqual(["the capture lists no runtime image"]);
  });

  it("does not mind a lost table of other memory", async () => {
    expect((await resultOf("runtime-code-read-only: {}", missingPage("before", TABLE_OF_STACK))).state).toBe("kept");
  });
});

describe("all-changes-expected", () => {
  it("is kept by what ExitBootServices is known to do", async () => {
    expect((await resultOf("all-changes-expected: {}")).state).toBe("kept");
  });

  it("tells what changed otherwise", async () => {
    const result = await resultOf("all-changes-expected: {}", STACK_EXECUTABLE);
    expect(messages(result)).toEqual([
      "EL1&0 0x4773a000 + 0x1000 (no image; EfiBootServicesData) changed from before to after, and ExitBootServices is not known to do that",
    ]);
    expect(result.violations[0]?.evidence).toEqual([
      "RW+NX, Normal WB RAWA, to 0x4773a000 → RWX, Normal WB RAWA, to 0x4773a000",
    ]);
    const excepted = "all-changes-expected: { except: [{ memory-type: EfiBootServicesData }] }";
    expect((await resultOf(excepted, STACK_EXECUTABLE)).state).toBe("kept");
  });

  it("tells of translation that was turned off as one thing", async () => {
    const result = await resultOf("all-changes-expected: {}", MMU_OFF("after"));
    expect(messages(result)).toEqual(["EL1&0 was turned off from before to after"]);
  });

  it("is unknown where one of the points has a table that could not be read", async () => {
    for (const point of ["before", "after"]) {
      const result = await resultOf("all-changes-expected: {}", missingPage(point, TABLE_OF_STACK));
      expect(result.state).toBe("unknown");
      expect(messages(result)[0]).toContain(
        `is not known, as it is not at ${point}: the page at 0x4771a000, a table of level 3, could not be read`,
      );
    }
  });

  it("is unknown without one of the points", async () => {
    const result = await resultOf("all-changes-expected: { from: after, to: later }");
    expect(messages(result)).toEqual(["the capture has no point later"]);
  });
});

describe("mappings", () => {
  const uart = "mappings:\n  - range: 0x9000000+0x1000\n    ";

  it.each([
    ["must: [mapped, readable, writable, device]", "kept"],
    ["must-not: [executable, normal, el0-readable, el0-writable, el0-executable]", "kept"],
    ["memory: Device-*", "kept"],
    ["memory: [Normal*, Device-nGnRnE]", "kept"],
    ["must: [executable]", "broken"],
    ["must-not: [mapped]", "broken"],
    ["memory: Normal*", "broken"],
  ])("of the UART: %s is %s", async (demand, state) => {
    expect((await resultOf(uart + demand)).state).toBe(state);
  });

  it("tell what is wrong with which pages, and whose they are", async () => {
    const rule =
      "mappings:\n  - image: kernel\n    section: .text\n    must: [mapped, executable]\n    must-not: [writable]";
    expect((await resultOf(rule)).state).toBe("kept");
    expect(messages(await resultOf(rule, CODE_WRITABLE))).toEqual([
      "EL1&0 0x7c412000 + 0x1000 (kernel, .text; EfiLoaderCode) is writable at before",
    ]);
    const unmapped = entries("before", TABLE_OF_CODE, 0x12, 1, () => 0n);
    expect(messages(await resultOf(rule, unmapped))).toEqual(["EL1&0 0x7c412000 + 0x1000 is not mapped at before"]);
  });

  it("find memory by its type", async () => {
    const rule = "mappings:\n  - memory-type: EfiConventionalMemory\n    must-not: [executable, device]";
    expect((await resultOf(rule)).state).toBe("kept");
    // The first page of the conventional memory at 0x44020000 lies in a block of level 2.
    const code = "mappings:\n  - memory-type: EfiLoaderCode\n    must-not: [executable]";
    expect(messages(await resultOf(code))).toEqual([
      "EL1&0 0x7c412000 + 0x2000 (kernel, .text; EfiLoaderCode) is executable at before",
    ]);
  });

  it("find memory of no image", async () => {
    const rule = "mappings:\n  - image: none\n    memory-type: EfiBootServicesCode\n    must-not: [executable]";
    const { violations } = await resultOf(rule);
    expect(violations.map(({ where }) => where.va?.toString(16))).toEqual(["47ef2000", "47ff7000"]);
  });

  it("are unknown of an image that is not there, of a regime not in use, and of types without a memory map", async () => {
    const image = await resultOf("mappings:\n  - image: Nvidia*\n    must-not: [writable]");
    expect(messages(image)).toEqual(["no image at before is, or has a section, called Nvidia*"]);
    const regime = await resultOf(`${uart}must: [mapped]\n    regime: EL2`);
    expect(messages(regime)).toEqual(["EL2 is not in use at before"]);
    const types = await resultOf(
      "mappings:\n  - memory-type: EfiLoaderCode\n    must-not: [executable]",
      (capture) => ({ ...capture, memoryMap: undefined, efi: undefined }),
    );
    expect(types.state).toBe("unknown");
  });

  it("are unknown where a table could not be read, and kept where another could not", async () => {
    const rule = "mappings:\n  - range: 0x7c412000+0x1000\n    must-not: [writable]";
    const result = await resultOf(rule, missingPage("before", TABLE_OF_CODE));
    expect(result.state).toBe("unknown");
    expect(messages(result)[0]).toContain("the page at 0x7ecff000");
    expect((await resultOf(rule, missingPage("before", TABLE_OF_STACK))).state).toBe("kept");
  });

  it("judge the addresses of an image, whatever is mapped there, and only those in a range", async () => {
    // The guest's code is mapped to the page of GetTime.
    const moved = entries("before", TABLE_OF_CODE, 0x12, 1, () => 0x7c45_070fn);
    const rule = (more: string): string =>
      `mappings:\n  - image: kernel\n    section: .text\n    must-not: [writable]${more}`;
    expect((await resultOf(rule(""), moved)).violations.map(({ where }) => [where.va, where.image])).toEqual([
      [0x7c41_2000n, "RealTimeClock"],
    ]);
    expect((await resultOf(rule("\n    range: 0x7c413000+0x1000"), moved)).state).toBe("kept");
    expect((await resultOf(rule("\n    range: 0x7c412000+0x1000"), moved)).state).toBe("broken");
  });

  it("let exceptions pass, also of what is not mapped", async () => {
    const rule = (more: string): string => `mappings:\n  - range: 0x0+0x1000\n    must: [mapped]${more}`;
    expect((await resultOf(rule(""))).state).toBe("broken");
    expect((await resultOf(rule("\n    except: [{ range: 0x0+0x1000 }]"))).state).toBe("kept");
  });
});

describe("points", () => {
  it("of a capture that is no handoff are all looked at", async () => {
    const now = atPoint("before", (point) => ({ ...point, id: "now", kind: "now" }));
    const only = (capture: typeof CAPTURE): typeof CAPTURE => ({
      ...capture,
      points: capture.points.slice(0, 1),
      attempts: [],
    });
    const result = await resultOf("null-page-unmapped: { size: 8192 }", now, only);
    expect(messages(result)[0]).toContain("is mapped at now");
  });

  it("of a handoff are the rule's own, and a missing one is told", async () => {
    const only = (capture: typeof CAPTURE): typeof CAPTURE => ({ ...capture, points: capture.points.slice(0, 1) });
    const result = await resultOf("null-page-unmapped: {}", only);
    expect(messages(result)).toEqual(["the capture has no point after"]);
  });
});

describe("permissions that hang on a register that the stub does not offer", () => {
  it("leave the rule unknown: PIR_EL1, with TCR2_EL1.PIE = 1", async () => {
    const result = await resultOf(`no-write-execute:\n  except:${AAVMF}`, offered("TCR2_EL1", 2n));
    expect([result.state, result.violations]).toEqual(["unknown", []]);
    expect(messages(result)[0]).toContain("a register that decides it could not be read");
  });
});
