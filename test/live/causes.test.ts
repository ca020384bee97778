/**
 * Guests that do one wrong thing each, captured for real: the first finding names it, as the guest itself printed it on its serial port before it
 * did it. And guests that do nothing wrong: no error, no warning.
 */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  AAVMF_2025,
  ebscope,
  guestLine,
  HANDOFF,
  type MachineOptions,
  machine,
  QEMU_10,
  ROOT,
  temporaryFolder,
} from "../support/live.ts";

const CAUSES = join(ROOT, "examples/guests/causes/causes.efi");
const EL2 = { machine: "virt,virtualization=on" };
/** EL2 with HCR_EL2.E2H, which the newer firmware runs at. */
const HOST = { ...EL2, qemu: QEMU_10, firmware: AAVMF_2025, cpu: "max" };

interface Finding {
  readonly rule: string;
  readonly severity: string;
  readonly title: string;
  readonly evidence: readonly string[];
}

interface Seen {
  readonly findings: readonly Finding[];
  readonly first: Finding | undefined;
  /** Errors and warnings, by rule. */
  readonly alarming: readonly string[];
  /** `key=value` pairs of a line that the guest printed. */
  readonly printed: (line: string) => Record<string, string>;
}

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

async function capture(mode: string, expected: number, options: MachineOptions = {}, kernel = CAUSES): Promise<Seen> {
  const file = join(folder.path, `${mode}-${options.machine ?? "virt"}.ebs`);
  const command = machine({ ...options, kernel, append: `mode=${mode}` });
  const { code, stdout, stderr } = await ebscope("capture", "--json", "--watch", "1", "--out", file, "--", ...command);
  expect(code, stderr).toBe(expected);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  const serial = stderr.replaceAll("guest| ", "");
  return {
    findings,
    first: findings[0],
    alarming: findings.filter(({ severity }) => severity !== "info").map(({ rule }) => rule),
    printed: (line) => guestLine(serial, line),
  };
}

const FAULT = 3;
const NO_FAULT = 0;

/** What ebscope calls a place of the guest: its name as the firmware knows it, and the offset from the base that the guest prints. */
function place({ printed }: Seen, address: string | undefined, behind = 0n): string {
  return `kernel+0x${(BigInt(address ?? 0) - behind - BigInt(printed("image").base ?? 0)).toString(16)}`;
}

/** The call before a return address. */
function callAt(seen: Seen, returnAddress: string | undefined): string {
  return place(seen, returnAddress, 4n);
}

describe("the first finding of a guest that", () => {
  it("calls a NULL pointer names the call and the variable", async () => {
    const seen = await capture("null-branch", FAULT);
    const call = seen.printed("call");
    expect(seen.alarming).toEqual(["branch-to-null", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `${callAt(seen, call["return-address"])} called a NULL pointer through x8: the call went to 0x0.`,
    );
    expect(seen.first?.evidence.join("\n")).toContain(
      `was loaded from ${call.variable} (${place(seen, call.variable)}, .data)`,
    );
  });

  it("calls a boot service names the service and the call", async () => {
    const seen = await capture("boot-service", FAULT, {}, HANDOFF);
    const call = seen.printed("call");
    expect(seen.alarming).toEqual(["service-called-after-exit", "guest-faulted"]);
    expect(seen.first?.title).toContain(`${callAt(seen, call["return-address"])} called gBS->${call.service}`);
    expect(seen.first?.evidence.join("\n")).toContain(
      `offset ${call.offset} of the table BootServices at ${call["boot-services"]}`,
    );
  });

  it.each([
    ["unmapped-read", "read", "read", {}],
    ["unmapped-write", "write", "wrote to", EL2],
  ])("does %s names the instruction and the address", async (mode, line, did, options) => {
    const seen = await capture(mode, FAULT, options);
    const { target, instruction } = seen.printed(line);
    expect(seen.alarming).toEqual(["unmapped-access", "guest-faulted"]);
    expect(seen.first?.title).toBe(`${place(seen, instruction)} ${did} ${target}, which is not mapped.`);
  });

  it.each([
    ["EL1", {}],
    ["EL2 with E2H", HOST],
  ])("prints through gST->ConOut at %s names the function and the pointer", async (_, options) => {
    const seen = await capture("console", FAULT, options);
    const line = seen.printed("console");
    expect(seen.alarming).toEqual(["service-called-after-exit", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `${place(seen, line.instruction)} used gST->ConOut->OutputString after ExitBootServices, which had set gST->ConOut to NULL: it read ${line.target}.`,
    );
    expect(seen.first?.evidence.join("\n")).toContain(`system table at ${line["system-table"]}`);
  });

  it("reads unaligned with the MMU off names the address and says so", async () => {
    const seen = await capture("unaligned", FAULT, { qemu: QEMU_10, firmware: AAVMF_2025 });
    const { target, instruction } = seen.printed("read");
    expect(seen.alarming).toEqual(["alignment-fault-mmu-off", "guest-faulted"]);
    expect(seen.first?.title).toContain(
      `${place(seen, instruction)} read ${target}, which is not aligned for that access, with the MMU off`,
    );
    expect(seen.first?.evidence).toContain(`SCTLR_EL1 = ${seen.printed("mmu-off")["sctlr-after"]}: M is 0`);
  });

  it("reads a register of EL2 at EL1 names the register and what to do", async () => {
    const seen = await capture("el2-register", FAULT);
    const { name, instruction } = seen.printed("read-register");
    expect(seen.alarming).toEqual(["el2-register-at-el1", "guest-faulted"]);
    expect(seen.first?.title).toContain(`${place(seen, instruction)} accessed ${name}`);
    expect(seen.first?.title).toContain("virtualization=on");
  });

  it("calls a runtime service that is execute-never names the service, the page and since when", async () => {
    const seen = await capture("runtime-nx", FAULT, HOST);
    const [call, forbid] = [seen.printed("call"), seen.printed("forbid")];
    expect(seen.alarming).toEqual(["execute-never-fetch", "guest-faulted", "runtime-code-not-executable"]);
    expect(seen.first?.title).toContain(`${callAt(seen, call["return-address"])} called gRT->${call.service}`);
    expect(seen.first?.evidence.join("\n")).toContain(`the page of ${call.target}`);
    expect(seen.first?.evidence).toContain("it was executable at after and is not any more at fault");
    const lost = seen.findings.find(({ rule }) => rule === "runtime-code-not-executable");
    expect(lost?.evidence.join("\n")).toContain(`page ${forbid.page}: RW+NX at fault`);
  });

  it("overwrites a live table names the table, its memory and what it mapped", async () => {
    const seen = await capture("tables-reused", FAULT);
    const [table, read] = [seen.printed("overwrite"), seen.printed("read")];
    expect(seen.alarming).toEqual(["table-memory-reused", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `The level ${BigInt(table.level ?? 0)} translation table at ${table.table} was overwritten after ExitBootServices, and ${read.target} is not mapped any more.`,
    );
    const evidence = seen.first?.evidence.join("\n");
    expect(evidence).toContain(`the one for this address is ${table.pattern}`);
    expect(evidence).toContain("memory of type EfiBootServicesData");
  });

  it("overwrites the vectors names them, before what raised the exception", async () => {
    const seen = await capture("vectors-reused", FAULT, EL2);
    expect(seen.alarming).toEqual(["vectors-unusable", "exception-instruction", "guest-faulted"]);
    expect(seen.first?.title).toContain(`The exception vectors at ${seen.printed("overwrite").vbar} hold no code`);
    expect(seen.findings[1]?.title).toContain(`${place(seen, seen.printed("break").instruction)} executed BRK #0x0`);
  });

  it("points VBAR to nowhere names the vectors, and takes no exception of theirs for the first one", async () => {
    const seen = await capture("vbar-unmapped", FAULT);
    expect(seen.alarming).toEqual(["vectors-unusable", "guest-faulted"]);
    expect(seen.first?.title).toContain(`The exception vectors at ${seen.printed("vectors").vbar} are not mapped`);
    expect(seen.findings.map(({ rule }) => rule)).not.toContain("clean-exit");
  });

  it("pushes on a stack that is not mapped names SP", async () => {
    const seen = await capture("stack-unmapped", FAULT);
    const { sp, target, instruction } = seen.printed("push");
    expect(seen.alarming).toEqual(["stack-not-mapped", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `The stack is not mapped: ${place(seen, instruction)} wrote to ${target} with SP = ${sp}.`,
    );
  });

  it("has another vCPU fault names the branch, and that vCPU", async () => {
    const seen = await capture("other-cpu", FAULT, { smp: 2 });
    const line = seen.printed("cpu-on");
    expect(seen.alarming).toEqual(["branch-to-unmapped", "other-vcpu-faulted", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `${callAt(seen, line["return-address"])} called ${line.target} (through x0), which is not mapped.`,
    );
    expect(seen.findings[1]?.title).toContain("vCPU 1 that faulted, not vCPU 0");
  });

  it("writes to read-only memory names both places", async () => {
    const seen = await capture("write-ro", FAULT, {}, HANDOFF);
    const { target, instruction } = seen.printed("write");
    expect(seen.alarming).toEqual(["write-to-read-only", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `${place(seen, instruction)} wrote to ${target} (${place(seen, target)}), which is mapped read-only.`,
    );
  });

  it("executes data names the call and the page, which never was executable", async () => {
    const seen = await capture("exec-nx", FAULT, {}, HANDOFF);
    const line = seen.printed("execute");
    expect(seen.alarming).toEqual(["execute-never-fetch", "guest-faulted"]);
    expect(seen.first?.title).toBe(
      `${callAt(seen, line["return-address"])} called ${line.target}, in a page that is mapped execute-never.`,
    );
    expect(seen.first?.evidence).toContain("at no point of the capture was it seen executable");
  });
});

describe("without a fault", () => {
  it("a page at 0 that is writable and executable is warned of", async () => {
    const seen = await capture("wx-null", NO_FAULT);
    const { pa } = seen.printed("map");
    expect(seen.alarming).toEqual(["wx-mapping", "null-page-mapped"]);
    expect(seen.first?.evidence).toEqual(["EL1&0 0x0 + 0x1000: not mapped at after, RWX at later"]);
    expect(seen.findings[1]?.evidence).toContain(`at later: to ${pa}, RWX, Normal WB RAWA`);
  });

  it("a hook of ExitBootServices is warned of, with where it is", async () => {
    const seen = await capture("hooked", NO_FAULT);
    const hook = seen.printed("hook");
    expect(seen.alarming).toEqual(["exit-boot-services-hooked"]);
    expect(seen.first?.title).toContain(`${hook.new} `);
    expect(seen.first?.title).toContain(place(seen, hook.new));
    expect(seen.first?.evidence.join("\n")).toContain(`waited for the call: ${hook.old} `);
  });

  it("the MMU turned off inside the call is warned of", async () => {
    const seen = await capture("mmu-off-event", NO_FAULT);
    const line = seen.printed("mmu-off");
    expect(seen.alarming).toEqual(["mmu-off-across-call"]);
    expect(seen.first?.evidence).toEqual([`vCPU 0 SCTLR_EL1: ${line["sctlr-before"]} → ${line["sctlr-after"]}`]);
  });

  it("a hook that turns the MMU off behind the firmware's function is warned of as a hook", async () => {
    const seen = await capture("mmu-off-return", NO_FAULT);
    expect(seen.alarming).toEqual(["exit-boot-services-hooked"]);
    expect(seen.first?.title).toContain(place(seen, seen.printed("hook").new));
  });

  it.each([
    ["clean", "EL1", HANDOFF, {}],
    ["clean", "EL2 with E2H", HANDOFF, HOST],
    ["tables", "EL1", HANDOFF, {}],
    ["mmu-off", "EL1", HANDOFF, {}],
    ["el2-register", "EL2", CAUSES, EL2],
  ])("mode %s at %s is a clean exit: no error, no warning", async (mode, _, kernel, options) => {
    const seen = await capture(mode, NO_FAULT, options, kernel);
    expect(seen.alarming).toEqual([]);
    expect(seen.first?.rule).toBe("clean-exit");
  });
});
