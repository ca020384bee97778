/** The examples of the TypeScript API on real guests, each result held against a second witness: the guest's print, gdb, QEMU's monitor. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  AAVMF_2022,
  AAVMF_2025,
  type Finished,
  Guest,
  gdb,
  guestLine,
  guestLines,
  HANDOFF,
  LINUX,
  machine,
  need,
  ROOT,
  start,
} from "../support/live.ts";

/** Runs an example as its head says, from the sources. */
async function example(name: string, ...args: readonly string[]): Promise<Finished> {
  const run = await start(process.execPath, ["--import", "tsx", `examples/${name}.ts`, ...args], 150_000).finished;
  expect(run.code, run.stderr.slice(-3000)).toBe(0);
  return run;
}

function handoff(mode: string): Promise<Guest> {
  return new Guest({ kernel: HANDOFF, append: `mode=${mode}` }, true).listening();
}

function linesOf({ stdout }: Finished): string[] {
  return stdout.trimEnd().split("\n");
}

/** The programs of docs/api-typescript.md: the first whole, the others over a guest. */
const PROGRAMS = [
  ...readFileSync(join(ROOT, "docs/api-typescript.md"), "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm),
].map(([, program = ""]) => program);

async function runProgram(text: string): Promise<Finished> {
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(ROOT, ".cache/program-"));
  try {
    const file = join(folder, "program.mts");
    writeFileSync(file, text.replaceAll('"handoff.ebs"', JSON.stringify(join(folder, "handoff.ebs"))));
    return await start(process.execPath, ["--import", "tsx", file], 120_000).finished;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("docs/api-typescript.md", () => {
  it("has a first program that prints what stands below it", async () => {
    const shown = /and prints\n\n```\n([\s\S]*?)^```$/m.exec(
      readFileSync(join(ROOT, "docs/api-typescript.md"), "utf8"),
    );
    const { code, stdout, stderr } = await runProgram(PROGRAMS[0] ?? "");
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(shown?.[1]);
  });

  it("has pieces that run one after the other on one guest", async () => {
    await using guest = await handoff("clean");
    const open = `import { attach } from "ebscope";\nawait using guest = await attach(${JSON.stringify(guest.address)});\n`;
    const pieces = PROGRAMS.slice(1).map((piece) => `{\n${piece}}\n`);
    expect(pieces.length).toBeGreaterThan(4);
    const { code, stdout, stderr } = await runProgram(open + pieces.join(""));
    expect(code, stderr).toBe(0);
    // Three hits that met the condition, two watched writes; the abort left the guest halted.
    expect(stdout).toMatch(/^\d+ 3 0 3\n(vCPU 0 wrote at 0x[0-9a-f]+ (true|false)\n){2}write\(0x[0-9a-f]+, 64\) 2\n0 /);
    // The firmware's CPU driver maps what the next image needs.
    expect(stdout).toMatch(
      /^vCPU 0 wrote to 0x[0-9a-f]+: 0x[0-9a-f]+ → 0x[0-9a-f]+, by ArmCpuDxe\+0x[0-9a-f]+\nfrom to to 61$/m,
    );
    expect(stdout).toMatch(/interrupted false\n$/);
  });
});

describe("log-boot-services", () => {
  it("logs the calls that the guest's source makes, in their order, with the map key that the guest prints", async () => {
    await using guest = await handoff("clean");
    const lines = linesOf(await example("log-boot-services", "--image", "BdsDxe", "--by", "kernel", guest.address));
    expect(lines[0]).toMatch(/^from gBS->StartImage, called by BdsDxe\+0x/);
    // handoff.c and modes.c; DxeCore's HandleProtocol jumps to OpenProtocol.
    expect(lines.slice(1, -1).map((line) => line.split(" ")[0])).toEqual([
      ...["gBS->HandleProtocol", "gBS->OpenProtocol", "gBS->AllocatePages"],
      ...["gBS->GetMemoryMap", "gBS->AllocatePages", "gBS->ExitBootServices"],
    ]);
    expect(lines.at(-1)).toBe("6 calls");
    expect(lines[1]).toContain("Protocol=EFI_LOADED_IMAGE_PROTOCOL_GUID");
    // Found halted, it was left so.
    expect(await guest.status()).not.toBe("running");
    await guest.monitor("cont");
    await guest.shows(/guest: done/);
    const [first, second] = guestLines(guest.console, "exit");
    expect(lines.at(-2)).toContain(` MapKey=${first?.key} `);
    expect(second).toMatchObject({ attempt: "0x2", status: "0x0" });
  });
});

describe("wait-for-mmu", () => {
  it("stops where the guest clears SCTLR_EL1.M, at the values that the guest itself prints", async () => {
    await using guest = await handoff("mmu-off");
    const lines = linesOf(await example("wait-for-mmu", guest.address));
    expect(lines.at(-1)).toBe("the MMU is off");
    const [, before, after] = /^kernel\+0x[0-9a-f]+ {2}SCTLR_EL1 (0x\w+) → (0x\w+) /.exec(lines.at(-2) ?? "") ?? [];
    await guest.monitor("cont");
    await guest.shows(/guest: done/);
    expect(before).toBe(guestLine(guest.console, "after").sctlr);
    expect(after).toBe(guestLine(guest.console, "later").sctlr);
  });
});

describe("snapshot-set-memory-attributes", () => {
  it("sees the calls that gdb sees, and in the tables what each call asked for", async () => {
    const calls = 4;
    await using guest = await handoff("clean");
    const run = await example("snapshot-set-memory-attributes", "--calls", String(calls), guest.address);
    const [, from = "", at = ""] = / at (0x\w+) on; SetMemoryAttributes is at (0x\w+)/.exec(run.stdout) ?? [];
    const seen = [...run.stdout.matchAll(/^\d+: (0x\w+) (0x\w+) (.*)$/gm)];
    expect(seen).toHaveLength(calls);
    // The same machine once more: the firmware loads everything where it did.
    await using again = await handoff("clean");
    const ask = ["continue", 'printf "call 0x%lx 0x%lx 0x%lx\\n", $x1, $x2, $x3'];
    const output = await gdb(
      again,
      ...[`hbreak *${from}`, "continue", "delete", `hbreak *${at}`],
      ...Array.from({ length: calls }, () => ask).flat(),
    );
    const inGdb = [...output.matchAll(/^call (0x\w+) (0x\w+) (0x\w+)$/gm)];
    expect(seen.map(([, base, length]) => `${base} ${length}`)).toEqual(
      inGdb.map(([, base, length]) => `${base} ${length}`),
    );
    // Each call takes all protection away: the bits of RO and XP are not among its attributes.
    expect(inGdb.every(([, , , attributes]) => (BigInt(attributes ?? 0) & 0x2_4000n) === 0n)).toBe(true);
    const parts = run.stdout.split(/^\d+: .*$/m).slice(1);
    for (const [i, part] of parts.entries()) {
      const runs = [...part.matchAll(/^ {3}(0x\w+) (0x\w+) (\w+) → (\w+)$/gm)];
      expect(runs.map(([, , , , is]) => is).every((is) => is === "RWX")).toBe(true);
      expect(runs[0]?.[1]).toBe(seen[i]?.[1]);
      expect(runs.reduce((sum, [, , size]) => sum + BigInt(size ?? 0), 0n)).toBe(BigInt(seen[i]?.[2] ?? 0));
    }
  });
});

describe("compare-firmware", () => {
  it("finds the registers alike that the guest prints alike, and the newer build without most of its memory W+X", async () => {
    need(AAVMF_2022, AAVMF_2025);
    const command = machine({ kernel: HANDOFF, append: "mode=clean" });
    const bare = command.filter((word, i) => word !== "-bios" && command[i - 1] !== "-bios");
    const run = await example("compare-firmware", AAVMF_2022, AAVMF_2025, "--", ...bare);
    const [old, now] = guestLines(run.stderr, "before");
    expect([old?.sctlr, old?.tcr, old?.mair]).toEqual([now?.sctlr, now?.tcr, now?.mair]);
    expect(old?.sctlr).toMatch(/^0x/);
    expect(run.stdout).toContain("registers: 0 of 4 differ");
    const [, was, is] = /RW\+X {2}(\d+) KiB → (\d+) KiB/.exec(run.stdout) ?? [];
    // The newer one maps the memory of boot services and loaders without execute permission.
    expect(Number(was)).toBeGreaterThan(32 << 10);
    expect(Number(is)).toBeLessThan(1 << 10);
  });
});

describe("dump-linux-tables", () => {
  it("leads each end of each range where QEMU's own translation does, and to nothing behind it", async () => {
    await using guest = await new Guest({ kernel: LINUX, append: "console=ttyAMA0" }).listening();
    await guest.shows(/end Kernel panic/);
    const run = await example("dump-linux-tables", guest.address);
    // It ran, and runs on.
    expect(await guest.status()).toBe("running");
    await guest.monitor("stop");
    const ranges = [...run.stdout.matchAll(/^(0x\w+)-(0x\w+) (0x\w+) /gm)].map(([, first, end, pa]) => ({
      ...{ first: BigInt(first ?? 0), end: BigInt(end ?? 0), pa: BigInt(pa ?? 0) },
    }));
    expect(ranges.length).toBeGreaterThan(100);
    const starts = new Set(ranges.map(({ first }) => first));
    const probes = ranges.flatMap(({ first, end, pa }) => [
      { va: first, pa: pa as bigint | null },
      { va: end - 1n, pa: pa + (end - first) - 1n },
      ...(starts.has(end) ? [] : [{ va: end, pa: null }]),
    ]);
    const answers = await guest.monitorAll(probes.map(({ va }) => `gva2gpa 0x${va.toString(16)}`));
    const wrong = probes.filter(({ pa }, i) => {
      const [, found] = /^gpa: (0x[0-9a-f]+)/.exec(answers[i] ?? "") ?? [];
      return pa === null ? !/^Unmapped/.test(answers[i] ?? "") : found === undefined || BigInt(found) !== pa;
    });
    expect(wrong).toEqual([]);
  });
});
