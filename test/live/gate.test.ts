/**
 * The gate on real guests: one command boots, captures and judges. The policy of examples/policies is kept by AAVMF with loaders that behave; each
 * rule is broken by a guest that breaks it, or by another expectation, with what the guest itself printed in the message.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  AAVMF_2025,
  ebscope,
  guestLine,
  guestLines,
  HANDOFF,
  LINUX,
  type MachineOptions,
  machine,
  need,
  QEMU_10,
  ROOT,
  temporaryFolder,
} from "../support/live.ts";

const STRICT = join(ROOT, "examples/policies/strict.yaml");
const BASELINE = join(ROOT, "examples/policies/baseline.yaml");
const CAUSES = join(ROOT, "examples/guests/causes/causes.efi");

const HOST = { qemu: QEMU_10, firmware: AAVMF_2025, cpu: "max", machine: "virt,virtualization=on" };

interface Complaint {
  readonly message: string;
  readonly where: Readonly<Record<string, string | number | null>>;
  readonly evidence: readonly string[];
}

interface Verdict {
  readonly state: string;
  readonly rules: readonly {
    readonly rule: string;
    readonly title: string;
    readonly state: string;
    readonly violations: readonly Complaint[];
    readonly undecided: readonly Complaint[];
  }[];
}

interface Run {
  readonly code: number | null;
  readonly file: string;
  readonly serial: string;
  readonly verdict: Verdict;
}

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const runs = new Map<string, Promise<Run>>();

/** Boots, captures and checks against the strict policy, with one command; each guest once. */
function captured(name: string, kernel: string, append: string, options: MachineOptions = {}): Promise<Run> {
  const known = runs.get(name) ?? capture(name, kernel, append, options);
  runs.set(name, known);
  return known;
}

async function capture(name: string, kernel: string, append: string, options: MachineOptions): Promise<Run> {
  const file = join(folder.path, `${name}.ebs`);
  const command = machine({ ...options, kernel, append });
  const flags = ["--policy", STRICT, "--json", "--watch", "2", "--out", file];
  const { code, stdout, stderr } = await ebscope("capture", ...flags, "--", ...command);
  if (stdout === "") throw new Error(`ebscope ended with ${code} and no verdict:\n${stderr}`);
  return { code, file, serial: stderr.replaceAll("guest| ", ""), verdict: JSON.parse(stdout) };
}

function handoff(mode: string): Promise<Run> {
  return captured(mode, HANDOFF, `mode=${mode}`);
}

function causes(mode: string): Promise<Run> {
  return captured(mode, CAUSES, `mode=${mode}`);
}

function broken({ rules }: Verdict): string[] {
  return rules.filter(({ state }) => state !== "kept").map(({ title }) => title);
}

function violations({ rules }: Verdict, rule: string): readonly Complaint[] {
  return rules.filter((each) => each.rule === rule).flatMap((each) => each.violations);
}

/** Another policy on a capture that is there. */
async function check(
  { file }: Run,
  rules: string,
): Promise<{ readonly code: number | null; readonly verdict: Verdict }> {
  const policy = join(folder.path, "policy.yaml");
  writeFileSync(policy, `ebscope: 1\nrules:\n${rules.replace(/^(?=.)/gm, "  ")}\n`);
  const { code, stdout, stderr } = await ebscope("check", file, "--policy", policy, "--json");
  if (stdout === "") throw new Error(stderr);
  return { code, verdict: JSON.parse(stdout) };
}

/** The exceptions that examples/policies/strict.yaml has for AAVMF 2022.11. */
const AAVMF = `except:
    - { image: none, memory-type: [EfiBootServicesCode, EfiRuntimeServicesCode, EfiLoaderCode, EfiLoaderData] }
    - { range: 0x1000-0x8000000 }`;

describe("examples/policies/strict.yaml is kept by", () => {
  it.each([
    ["a loader that leaves cleanly", "clean", HANDOFF, "mode=clean", {}],
    ["one that sets up its own tables", "tables", HANDOFF, "mode=tables", {}],
    ["one at EL2", "clean-el2", HANDOFF, "mode=clean", { machine: "virt,virtualization=on" }],
    ["newer firmware at EL2 with E2H", "clean-2025", HANDOFF, "mode=clean", HOST],
    ["Linux", "linux", LINUX, "console=ttyAMA0 earlycon", {}],
  ])("%s", async (_, name, kernel, append, options) => {
    need(kernel);
    const { code, verdict } = await captured(name, kernel, append, options);
    expect(broken(verdict)).toEqual([]);
    expect([code, verdict.state]).toEqual([0, "kept"]);
  });
});

describe("examples/policies/strict.yaml is broken by", () => {
  it("a guest that calls a boot service: not-faulted and no-findings say which, and where from", async () => {
    const { code, verdict, serial } = await handoff("boot-service");
    expect([code, broken(verdict)]).toEqual([5, ["not-faulted", "no-findings"]]);
    const call = guestLine(serial, "call");
    const at = BigInt(call["return-address"] ?? 0) - 4n - BigInt(guestLine(serial, "image").base ?? 0);
    const [fault] = violations(verdict, "not-faulted");
    expect(fault?.message).toContain("translation fault, level 3, at PC 0x0");
    expect(fault?.evidence[0]).toContain(`kernel+0x${at.toString(16)} called gBS->${call.service}`);
    expect(violations(verdict, "no-findings")[0]?.where.finding).toBe("service-called-after-exit");
  });

  it("a guest that writes to its own code: not-faulted names the instruction and the page", async () => {
    const { code, verdict, serial } = await handoff("write-ro");
    const { target, instruction } = guestLine(serial, "write");
    expect(code).toBe(5);
    const [fault] = violations(verdict, "not-faulted");
    expect(fault?.message).toContain(`permission fault, level 3, on a write, at PC ${instruction}`);
    expect(fault?.evidence[0]).toContain(`wrote to ${target}`);
  });

  it("a guest whose vectors lead nowhere", async () => {
    const { code, verdict, serial } = await causes("vbar-unmapped");
    const { vbar } = guestLine(serial, "vectors");
    expect(code).toBe(5);
    expect(violations(verdict, "not-faulted")[0]?.message).toContain(`The exception vectors at ${vbar} are not mapped`);
  });

  it("a guest that maps address 0: null-page-unmapped says where to", async () => {
    const { code, verdict, serial } = await causes("wx-null");
    const { pa } = guestLine(serial, "map");
    expect([code, broken(verdict)]).toEqual([5, ["no-findings", "null-page-unmapped"]]);
    const [mapped, ...others] = violations(verdict, "null-page-unmapped");
    expect(others).toEqual([]);
    expect(mapped?.where).toMatchObject({ point: "later", va: "0x0", size: "0x1000", pa });
  });

  it("a guest that turns the MMU off in the call: registers by field, with what the guest printed", async () => {
    const { code, verdict, serial } = await causes("mmu-off-event");
    const printed = guestLine(serial, "mmu-off");
    expect(code).toBe(5);
    expect(broken(verdict)).toEqual([
      ...["no-findings", "null-page-unmapped", "no-control-register-changes", "all-changes-expected"],
      ...["registers: SCTLR_ELx.M == 1", "registers: SCTLR_ELx.C == 1"],
    ]);
    expect(violations(verdict, "no-control-register-changes").map(({ message }) => message)).toEqual([
      `SCTLR_EL1 of vCPU 0 changed from before to after: ${printed["sctlr-before"]} → ${printed["sctlr-after"]}`,
    ]);
    expect(violations(verdict, "all-changes-expected").map(({ message }) => message)).toEqual([
      "EL1&0 was turned off from before to after",
    ]);
    expect(violations(verdict, "registers")[0]?.evidence[0]).toContain(
      `SCTLR_EL1 = ${printed["sctlr-after"]}: M is 0x0`,
    );
  });

  it("a guest that hooks ExitBootServices: no-findings says where the hook is", async () => {
    const { code, verdict, serial } = await causes("hooked");
    expect([code, broken(verdict)]).toEqual([5, ["no-findings"]]);
    expect(violations(verdict, "no-findings")[0]?.message).toContain(`it points to ${guestLine(serial, "hook").new} `);
  });
});

describe("each rule is broken by another expectation, with what is there", () => {
  it("exit-succeeded: as many calls as the guest printed are more than one", async () => {
    const run = await handoff("clean");
    const calls = guestLines(run.serial, "exit");
    const { code, verdict } = await check(run, "exit-succeeded: { attempts: 1 }");
    expect([code, calls.length]).toEqual([5, 2]);
    const [often] = violations(verdict, "exit-succeeded");
    expect(often?.message).toBe("ExitBootServices succeeded at the 2nd call, and 1 call is allowed");
    expect(often?.evidence[0]).toContain(`map key ${calls[0]?.key}: returned EFI_INVALID_PARAMETER`);
  });

  it("no-write-execute: what AAVMF leaves so, and the page that a guest makes so afterwards", async () => {
    const clean = await check(await handoff("clean"), "no-write-execute: {}");
    expect(clean.code).toBe(5);
    const types = new Set(violations(clean.verdict, "no-write-execute").map(({ where }) => where.memoryType));
    expect(types).toContain("EfiRuntimeServicesCode");
    const run = await causes("wx-null");
    const later = await check(run, `no-write-execute:\n  at: later\n  ${AAVMF}\n    - { runtime: true }`);
    expect(violations(later.verdict, "no-write-execute").map(({ where }) => [where.va, where.size, where.pa])).toEqual([
      ["0x0", "0x1000", guestLine(run.serial, "map").pa],
    ]);
  });

  it("runtime-code-read-only: after the call, by each runtime image", async () => {
    const { code, verdict } = await check(await handoff("clean"), "runtime-code-read-only: { at: after }");
    const images = new Set(violations(verdict, "runtime-code-read-only").map(({ where }) => where.image));
    expect([code, images.size]).toEqual([5, 8]);
    expect(images).toContain("VariableRuntimeDxe");
  });

  it("all-changes-expected: between the return and later, the page that the guest mapped", async () => {
    const { code, verdict } = await check(await causes("wx-null"), "all-changes-expected: { from: after, to: later }");
    expect([code, violations(verdict, "all-changes-expected").map(({ where }) => [where.va, where.size])]).toEqual([
      5,
      [["0x0", "0x1000"]],
    ]);
  });

  it("registers: what the guest printed holds, and anything else does not", async () => {
    const run = await handoff("tables");
    const [before, later] = [guestLine(run.serial, "before"), guestLine(run.serial, "later")];
    const names = ["ttbr0", "tcr", "mair", "sctlr", "vbar"];
    const rules = (comparison: string): string =>
      [
        "registers:",
        ...names.map((name) => `  - assert: ${name.toUpperCase()}_ELx ${comparison} ${before[name]}\n    at: before`),
        ...names.map((name) => `  - assert: ${name.toUpperCase()}_ELx ${comparison} ${later[name]}\n    at: later`),
      ].join("\n");
    expect((await check(run, rules("=="))).code).toBe(0);
    const other = await check(run, rules("!="));
    expect([other.code, violations(other.verdict, "registers").length]).toEqual([5, 10]);
    expect(violations(other.verdict, "registers")[0]?.message).toBe(
      `TTBR0_ELx != ${before.ttbr0} does not hold on vCPU 0 at before: TTBR0_EL1 is ${before.ttbr0}`,
    );
  });

  it("mappings: what the guest says that it mapped is there, and with other permissions it would not be", async () => {
    const run = await handoff("tables");
    const maps = guestLines(run.serial, "map");
    expect(maps.length).toBeGreaterThan(8);
    const rule =
      (turn: boolean) =>
      (line: Record<string, string>): string => {
        const has = (letter: string): boolean => (line.perm?.includes(letter) ?? false) !== turn;
        const lists = { true: ["mapped"], false: [] as string[] };
        for (const [letter, property] of [
          ["W", "writable"],
          ["X", "executable"],
        ] as const) {
          lists[has(letter) ? "true" : "false"].push(property);
        }
        const mustNot = lists.false.length === 0 ? "" : `\n    must-not: [${lists.false.join(", ")}]`;
        const kind = line.mem === "device" ? "Device-*" : "Normal *";
        return `  - range: ${line.va}+${line.size}\n    at: later\n    must: [${lists.true.join(", ")}]${mustNot}\n    memory: ${kind}`;
      };
    const asSaid = await check(run, `mappings:\n${maps.map(rule(false)).join("\n")}`);
    expect(broken(asSaid.verdict)).toEqual([]);
    expect(asSaid.code).toBe(0);
    const turned = await check(run, `mappings:\n${maps.map(rule(true)).join("\n")}`);
    expect([turned.code, broken(turned.verdict).length]).toEqual([5, maps.length]);
    const [first] = violations(turned.verdict, "mappings");
    expect(first?.where).toMatchObject({ point: "later", va: maps[0]?.va });
  });

  it("same-as: another run of the same is the same, another guest is not", async () => {
    const baseline = (await handoff("clean")).file;
    const again = await captured("clean-again", HANDOFF, "mode=clean");
    const same = await ebscope("check", again.file, "--policy", BASELINE, "--baseline", baseline);
    expect([same.code, same.stdout.split("\n")[0]]).toEqual([0, '✓ The policy "as the baseline" is kept: 1 rule']);
    const other = await ebscope("check", (await causes("wx-null")).file, "--policy", BASELINE, "--baseline", baseline);
    expect(other.code, other.stderr).toBe(5);
    expect(other.stdout).toContain("kernel is of another build");
  });

  it("a point that the capture does not have leaves a rule unknown, which breaks the policy unless it is allowed", async () => {
    const run = await handoff("boot-service");
    const rule = (more: string): string => `null-page-unmapped: { at: [before, later]${more} }`;
    expect((await check(run, rule(""))).code).toBe(5);
    expect((await check(run, rule(", unknown: allow"))).code).toBe(0);
  });
});

describe("the one command", () => {
  it("writes JUnit, SARIF and annotations as it goes, and leaves the capture", async () => {
    const [junit, sarif, file] = ["v.xml", "v.sarif", "one.ebs"].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ];
    const command = machine({ kernel: HANDOFF, append: "mode=boot-service" });
    const flags = ["--policy", STRICT, "--junit", junit, "--sarif", sarif, "--github", "--watch", "2", "--out", file];
    const { code, stdout } = await ebscope("capture", "--quiet", ...flags, "--", ...command);
    expect(code).toBe(5);
    expect(stdout.split("\n")[0]).toBe('✗ The policy "strict" is broken: 2 of 12 rules are broken');
    expect(
      stdout.split("\n").filter((line) => line.startsWith("::error file=examples/policies/strict.yaml,")),
    ).toHaveLength(2);
    expect(readFileSync(junit, "utf8")).toContain('tests="12" failures="2" errors="0"');
    expect(JSON.parse(readFileSync(sarif, "utf8")).runs[0].results.length).toBeGreaterThan(1);
    expect((await ebscope("check", file, "--policy", STRICT)).code).toBe(5);
  });

  it("has the exit code of a capture that did not come about", async () => {
    const command = machine({ kernel: HANDOFF, append: "mode=none-such" });
    const flags = ["--policy", STRICT, "--timeout", "8", "--out", join(folder.path, "none.ebs")];
    const { code, stdout } = await ebscope("capture", "--quiet", ...flags, "--", ...command);
    expect([code, stdout]).toEqual([4, ""]);
  });
});
