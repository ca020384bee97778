/** Every mode of the test guest, captured, against what the guest itself printed on its serial port. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ebscope,
  ebscopeJson,
  type Finished,
  guestLine,
  guestLines,
  HANDOFF,
  type MachineOptions,
  machine,
  temporaryFolder,
} from "../support/live.ts";

interface DiffOutput {
  status: string | null;
  attempts: number;
  registers: { name: string; class: string }[];
  mappings: {
    va: string;
    size: string;
    before: Rights | null;
    after: Rights | null;
    owner: { image: string } | null;
    expected: { rule: string } | null;
  }[];
  efi: { name: string; before: string | null; after: string | null }[];
  findings: { rule: string; severity: string; title: string }[];
  coverage: unknown[];
}

interface Rights {
  read: boolean;
  write: boolean;
  execute: boolean;
}

interface MappingOutput extends Rights {
  regime: string;
  va: string;
  size: string;
  pa: string;
  memory: string;
}

interface RegisterOutput {
  cpu: number;
  name: string;
  value: string | null;
}

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

interface Run extends Finished {
  readonly file: string;
  /** The guest's serial port, as ebscope passed it on. */
  readonly serial: string;
  readonly diff: DiffOutput;
}

async function capture(mode: string, options: MachineOptions = {}): Promise<Run> {
  const file = join(folder.path, `${mode}-${options.machine ?? "virt"}.ebs`);
  const command = machine({ ...options, kernel: HANDOFF, append: `mode=${mode}` });
  const finished = await ebscope("capture", "--json", "--watch", "2", "--out", file, "--", ...command);
  if (finished.stdout === "") throw new Error(`ebscope ended with ${finished.code} and no output:\n${finished.stderr}`);
  return { ...finished, file, serial: finished.stderr.replaceAll("guest| ", ""), diff: JSON.parse(finished.stdout) };
}

async function registersAt(run: Run, point: string): Promise<(name: string) => string | null | undefined> {
  const registers = await ebscopeJson<RegisterOutput[]>("show", run.file, "registers", "--at", point);
  return (name) => registers.find((each) => each.name === name && each.cpu === 0)?.value;
}

/** What the guest prints of its registers, by the name they have in ebscope's output at its Exception level. */
async function expectRegisters(run: Run, point: string, printed: Record<string, string>, el: number): Promise<void> {
  const at = await registersAt(run, point);
  for (const name of ["ttbr0", "tcr", "mair", "sctlr", "vbar"]) {
    expect(at(`${name.toUpperCase()}_EL${el}`), `${name} at ${point}`).toBe(printed[name]);
  }
}

function pageCount(diff: DiffOutput): number {
  return diff.mappings.reduce((pages, { size }) => pages + Number(BigInt(size) / 4096n), 0);
}

function expectOnlyRuntimeImagesChanged(diff: DiffOutput): void {
  expect(pageCount(diff)).toBe(560);
  for (const { after, expected } of diff.mappings) {
    expect(after).toMatchObject({ read: true, write: true, execute: true });
    expect(expected?.rule).toBe("runtime-image-unprotected");
  }
  expect(diff.registers.filter((change) => change.class === "control")).toEqual([]);
  expect(diff.coverage).toEqual([]);
  const efi = (name: string) => diff.efi.find((each) => each.name === name);
  expect(efi("SystemTable.BootServices")?.after).toBe("0x0");
  expect(efi("BootServices.ExitBootServices")?.after).toBe("0x0");
}

describe("mode=clean", () => {
  let run: Run;
  beforeAll(async () => {
    run = await capture("clean");
  });

  it("ends with 0 and sees both calls, as the guest prints them", () => {
    expect(run.code, run.stderr).toBe(0);
    const exits = guestLines(run.serial, "exit");
    expect(exits.map(({ status }) => status)).toEqual(["0x8000000000000002", "0x0"]);
    expect(run.diff.attempts).toBe(exits.length);
    expect(run.diff.status).toBe(exits.at(-1)?.status);
  });

  it("keeps the failed call as points of its own", async () => {
    const points = await ebscopeJson<{ id: string; complete: boolean }[]>("show", run.file, "points");
    expect(points.map(({ id }) => id)).toEqual(["before-1", "failed-1", "before", "after", "later"]);
    expect(points.every(({ complete }) => complete)).toBe(true);
  });

  it("lists 560 pages gone RWX, all expected, and no changed control register", () => {
    expectOnlyRuntimeImagesChanged(run.diff);
    expect(run.diff.findings.filter(({ severity }) => severity !== "info")).toEqual([]);
  });

  it("has the registers that the guest printed on both sides of the call", async () => {
    await expectRegisters(run, "before", guestLine(run.serial, "before"), 1);
    await expectRegisters(run, "after", guestLine(run.serial, "after"), 1);
    expect((await registersAt(run, "before"))("sp")).toBe(guestLine(run.serial, "before").sp);
  });

  it("names the system table and boot services where the guest has them", () => {
    expect(run.diff.efi.find(({ name }) => name === "SystemTable.BootServices")?.before).toBe(
      guestLine(run.serial, "image")["boot-services"],
    );
  });
});

describe.each([
  { machine: "virt", el: 1, regime: "EL1&0" },
  { machine: "virt,virtualization=on", el: 2, regime: "EL2" },
])("mode=boot-service on $machine", ({ machine: type, el, regime }) => {
  let run: Run;
  beforeAll(async () => {
    run = await capture("boot-service", { machine: type });
  });

  it("ends with 3: the guest branched to PC 0", async () => {
    expect(run.code, run.stderr).toBe(3);
    expectOnlyRuntimeImagesChanged(run.diff);
    const at = await registersAt(run, "fault");
    expect(at(`ELR_EL${el}`)).toBe("0x0");
    expect(at(`ESR_EL${el}`)).toBe("0x86000007");
    expect(at(`FAR_EL${el}`)).toBe("0x0");
  });

  it("has x30 where the guest said the call would return to", async () => {
    expect((await registersAt(run, "fault"))("x30")).toBe(guestLine(run.serial, "call")["return-address"]);
  });

  it("walks VA 0 down to an empty entry at level 3, at each point", async () => {
    const { points } = await ebscopeJson<{
      points: { point: string; regime: string; steps: { kind: string; descriptor: string }[]; result: object }[];
    }>("explain", run.file, "0");
    expect(points.map(({ point }) => point)).toEqual(["before", "after", "fault"]);
    for (const walk of points) {
      expect(walk.regime).toBe(regime);
      expect(walk.steps.map(({ kind }) => kind)).toEqual(["table", "table", "table", "invalid"]);
      expect(walk.steps.at(-1)?.descriptor).toBe("0x0");
      expect(walk.result).toMatchObject({ mapped: false, level: 3 });
    }
  });

  it("names the service, the table and the call in its first finding, as the guest says them", async () => {
    const call = guestLine(run.serial, "call");
    expect(run.diff.findings[0]).toMatchObject({ rule: "service-called-after-exit", severity: "error" });
    const { service, branch } = await ebscopeJson<{ service: Record<string, string>; branch: object }>(
      "show",
      run.file,
      "fault",
    );
    const address = `0x${(BigInt(call["return-address"] ?? 0) - 4n).toString(16)}`;
    expect(service).toMatchObject({ name: `gBS->${call.service}`, table: call["boot-services"], offset: call.offset });
    expect(service).toMatchObject({ at: "0x0", call: address });
    expect(branch).toEqual({ kind: "call", address, why: null });
    const { stdout } = await ebscope("diff", run.file);
    expect(stdout.split("\n")[0]).toMatch(/^✗ kernel\+0x[0-9a-f]+ called gBS->Stall after ExitBootServices/);
  });

  it("says so in the finding and in the human view", async () => {
    expect(run.diff.findings[1]).toMatchObject({ rule: "guest-faulted", severity: "error" });
    const { stdout } = await ebscope("diff", run.file);
    expect(stdout).toContain("Instruction abort taken without a change in Exception level: translation fault, level 3");
    expect(stdout).toMatch(/PC +0x0 /);
  });
});

describe.each([
  { machine: "virt", el: 1 },
  { machine: "virt,virtualization=on", el: 2 },
])("mode=tables on $machine", ({ machine: type, el }) => {
  let run: Run;
  beforeAll(async () => {
    run = await capture("tables", { machine: type });
  });

  it("ends with 0 and shows the guest's own tables afterwards, exactly as it prints them", async () => {
    expect(run.code, run.stderr).toBe(0);
    expectOnlyRuntimeImagesChanged(run.diff);
    const mappings = await ebscopeJson<MappingOutput[]>("show", run.file, "mappings", "--at", "later");
    const shown = merge(mappings).map(({ va, size, pa, perm, mem }) => ({ va, size, pa, perm, mem }));
    expect(shown).toEqual(guestLines(run.serial, "map"));
  });

  it("has the registers that the guest printed after its switch", async () => {
    await expectRegisters(run, "later", guestLine(run.serial, "later"), el);
  });

  it("shows the switch between after and later", async () => {
    const diff = await ebscopeJson<DiffOutput>("diff", run.file, "--from", "after", "--to", "later");
    const control = diff.registers.filter((change) => change.class === "control").map(({ name }) => name);
    expect(control).toEqual(expect.arrayContaining([`TTBR0_EL${el}`, `VBAR_EL${el}`, `MAIR_EL${el}`]));
    expect(diff.mappings.length).toBeGreaterThan(10);
  });
});

interface Line {
  va: string;
  size: string;
  pa: string;
  perm: string;
  mem: string;
}

/** Joins runs that differ only in level, as the guest prints ranges whatever blocks they are made of. */
function merge(mappings: readonly MappingOutput[]): Line[] {
  const lines: Line[] = [];
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  for (const mapping of mappings) {
    const perm = `${mapping.read ? "R" : "-"}${mapping.write ? "W" : "-"}${mapping.execute ? "X" : "-"}`;
    const mem = mapping.memory.startsWith("Device") ? "device" : "normal";
    const last = lines.at(-1);
    const follows =
      last !== undefined &&
      last.perm === perm &&
      last.mem === mem &&
      BigInt(last.va) + BigInt(last.size) === BigInt(mapping.va) &&
      BigInt(last.pa) + BigInt(last.size) === BigInt(mapping.pa);
    if (follows) last.size = hex(BigInt(last.size) + BigInt(mapping.size));
    else lines.push({ va: mapping.va, size: mapping.size, pa: mapping.pa, perm, mem });
  }
  return lines;
}

describe("mode=mmu-off", () => {
  it("shows a flat regime and SCTLR_EL1.M cleared, as the guest prints it", async () => {
    const run = await capture("mmu-off");
    expect(run.code, run.stderr).toBe(0);
    await expectRegisters(run, "later", guestLine(run.serial, "later"), 1);
    const mappings = await ebscopeJson<MappingOutput[]>("show", run.file, "mappings", "--at", "later");
    expect(mappings).toHaveLength(1);
    expect(mappings[0]).toMatchObject({
      va: "0x0",
      pa: "0x0",
      memory: "Device-nGnRnE",
      read: true,
      write: true,
      execute: true,
    });
    const { stdout } = await ebscope("diff", run.file, "--from", "after", "--to", "later");
    expect(stdout).toMatch(/SCTLR_EL1 .* M 0x1 → 0x0 \(MMU off\)/);
  });
});

describe("mode=exec-nx", () => {
  it("ends with 3: a permission fault at the page the guest jumped to, which was never executable", async () => {
    const run = await capture("exec-nx");
    expect(run.code, run.stderr).toBe(3);
    const printed = guestLine(run.serial, "execute");
    const at = await registersAt(run, "fault");
    expect(at("ELR_EL1")).toBe(printed.target);
    expect(at("FAR_EL1")).toBe(printed.target);
    expect(at("x30")).toBe(printed["return-address"]);
    const esr = BigInt(at("ESR_EL1") ?? 0);
    expect([esr >> 26n, (esr & 0x3fn) >> 2n, esr & 3n]).toEqual([0x21n, 3n, BigInt(printed.level ?? -1)]);
    const { points } = await ebscopeJson<{ points: { result: object }[] }>("explain", run.file, printed.target ?? "");
    for (const { result } of points) expect(result).toMatchObject({ mapped: true, read: true, execute: false });
  });
});

describe("mode=write-ro", () => {
  it("ends with 3: a permission fault on a write to the page the guest names, which is read-only", async () => {
    const run = await capture("write-ro");
    expect(run.code, run.stderr).toBe(3);
    const printed = guestLine(run.serial, "write");
    const at = await registersAt(run, "fault");
    expect(at("FAR_EL1")).toBe(printed.target);
    expect(at("ELR_EL1")).toBe(printed.instruction);
    const esr = BigInt(at("ESR_EL1") ?? 0);
    expect([esr >> 26n, (esr >> 6n) & 1n, (esr & 0x3fn) >> 2n]).toEqual([0x25n, 1n, 3n]);
    const { points } = await ebscopeJson<{ points: { result: object }[] }>("explain", run.file, printed.target ?? "");
    for (const { result } of points) expect(result).toMatchObject({ mapped: true, read: true, write: false });
  });
});
