/**
 * Xen 4.17's EFI binary on AAVMF: at EL1, where it faults, and at EL2, where it boots a kernel behind stage 2. What stage 2 has to be is
 * in Xen's own words on the console: dom0's memory is mapped 1:1, and the GIC's virtual CPU interface stands where dom0 looks for the
 * physical one.
 */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ebscope,
  ebscopeJson,
  type Finished,
  Guest,
  LINUX,
  machine,
  need,
  temporaryFolder,
  XEN,
} from "../support/live.ts";
import { decoderMismatches } from "../support/plain-capture.ts";
import {
  type MappingOutput,
  type Mismatch,
  mappingOf,
  outputOf,
  pauseAt,
  translationMismatches,
  wordsThroughAndAt,
} from "../support/witness.ts";

interface DiffOutput {
  status: string | null;
  registers: { name: string; class: string }[];
  mappings: {
    regime: string;
    size: string;
    expected: object | null;
    by: { image: string | null; last?: string }[] | null;
    unattributed: string;
  }[];
  findings: { rule: string; evidence: string[] }[];
}

/** A disk that the firmware boots by itself: Xen as the removable-media loader, its configuration and a kernel. */
function xenDisk(folder: string): string[] {
  need(XEN, LINUX);
  const boot = join(folder, "EFI", "BOOT");
  mkdirSync(boot, { recursive: true });
  copyFileSync(XEN, join(boot, "BOOTAA64.EFI"));
  copyFileSync(LINUX, join(boot, "vmlinuz"));
  writeFileSync(
    join(boot, "BOOTAA64.cfg"),
    "[global]\ndefault=dom0\n\n[dom0]\noptions=console=dtuart noreboot dom0_mem=512M\nkernel=vmlinuz console=hvc0 earlycon=xenboot\n",
  );
  return ["-drive", `file=fat:rw:${folder},format=raw,if=none,id=d`, "-device", "virtio-blk-device,drive=d"];
}

function expectOnlyExpected(diff: DiffOutput, regime: string): void {
  expect(diff.status).toBe("0x0");
  expect(diff.mappings.reduce((sum, { size }) => sum + BigInt(size), 0n)).toBe(560n * 4096n);
  expect(diff.mappings.every((change) => change.regime === regime && change.expected !== null)).toBe(true);
  expect(diff.registers.filter((change) => change.class === "control")).toEqual([]);
  // Every page has its writer, and all of them are the code of one image of the firmware: of its CPU driver.
  const authors = diff.mappings.flatMap(({ by }) => by ?? []);
  expect(authors.reduce((sum, { last }) => sum + BigInt(last ?? 0), 0n)).toBe(560n * 4096n);
  expect(diff.mappings.every(({ unattributed }) => unattributed === "0x0")).toBe(true);
  expect(new Set(authors.map(({ image }) => image?.replace(/\+.*/, "")))).toEqual(new Set(["ArmCpuDxe"]));
}

/** A number that Xen or Linux printed. */
function printed(guest: Guest, pattern: RegExp): bigint {
  const text = pattern.exec(guest.console)?.[1];
  if (text === undefined) throw new Error(`the console has no ${pattern}:\n${guest.console.slice(-3000)}`);
  return BigInt(`0x${text}`);
}

/** The pages of [start, end) that lead to where `expected` says, and the others that lead anywhere. */
function countPages(
  mappings: readonly MappingOutput[],
  [start, end]: readonly [bigint, bigint],
  expected: (address: bigint) => bigint,
): { right: number; other: number } {
  const counts = { right: 0, other: 0 };
  for (let page = start; page < end; page += 4096n) {
    const mapping = mappingOf(mappings, page);
    if (mapping === undefined) continue;
    if (outputOf(mapping, page) === expected(page)) counts.right++;
    else counts.other++;
  }
  return counts;
}

/** Places all over the memory of an address space, most of them in code: what is there differs from place to place. */
function somePlaces(mappings: readonly MappingOutput[]): { va: bigint; pa: bigint }[] {
  const places: { va: bigint; pa: bigint }[] = [];
  for (const mapping of mappings) {
    if (!mapping.memory.startsWith("Normal") || mapping.read !== true) continue;
    const count = mapping.execute === true ? 40n : 1n;
    for (let i = 0n; i < count; i++) {
      const va = BigInt(mapping.va) + 0x128n + ((((BigInt(mapping.size) - 0x130n) * i) / count) & ~7n);
      places.push({ va, pa: outputOf(mapping, va) });
    }
  }
  return places;
}

function overlaps(a: MappingOutput, b: MappingOutput): boolean {
  return BigInt(a.pa) < BigInt(b.pa) + BigInt(b.size) && BigInt(b.pa) < BigInt(a.pa) + BigInt(a.size);
}

describe("Xen 4.17", () => {
  it("at EL1 faults after the call with ESR 0x2000000: exit code 3", async () => {
    using folder = temporaryFolder();
    using out = temporaryFolder();
    const file = join(out.path, "xen.ebs");
    const command = machine({ extra: xenDisk(folder.path) });
    const { code, stdout, stderr } = await ebscope("capture", "--blame", "--json", "-o", file, "--", ...command);
    expect(code, stderr).toBe(3);
    const diff = JSON.parse(stdout) as DiffOutput;
    expectOnlyExpected(diff, "EL1&0");
    const registers = await ebscopeJson<{ name: string; value: string }[]>("show", file, "registers", "--at", "fault");
    const at = (name: string) => registers.find((each) => each.name === name)?.value;
    expect(at("ESR_EL1")).toBe("0x2000000");
    const instruction = at("ELR_EL1");
    expect(diff.findings.find(({ rule }) => rule === "guest-faulted")?.evidence.join()).toContain(instruction);
  });
});

/** What a guest is seen to do while it executes at an Exception level. */
interface Look {
  readonly file: string;
  readonly snapshot: Finished;
  readonly mismatches: readonly Mismatch[];
}

/** Stops the guest at an Exception level, takes a snapshot and asks QEMU about the addresses of a regime. */
async function lookAt(guest: Guest, level: number, regime: string, file: string): Promise<Look> {
  await pauseAt(guest, level);
  const snapshot = await ebscope("snapshot", "--pause", "--gdb", guest.address, "-o", file);
  return { file, snapshot, mismatches: await translationMismatches(guest, file, regime) };
}

describe("Xen 4.17 at EL2 (virtualization=on, acpi=off)", () => {
  const folder = temporaryFolder();
  const out = temporaryFolder();
  const file = join(out.path, "xen.ebs");
  let guest: Guest;
  let capture: Finished;
  let xen: Look;
  let dom0: Look;

  beforeAll(async () => {
    const disk = xenDisk(folder.path);
    guest = await new Guest({ machine: "virt,virtualization=on,acpi=off", extra: disk }, true).listening();
    capture = await ebscope("capture", "--blame", "--json", "--gdb", guest.address, "--watch", "1", "-o", file);
    await guest.monitor("cont");
    await guest.shows(/end Kernel panic - not syncing: VFS: Unable to mount root fs/);
    xen = await lookAt(guest, 2, "EL2", join(out.path, "el2.ebs"));
    await guest.monitor("cont");
    dom0 = await lookAt(guest, 1, "EL1&0", join(out.path, "el1.ebs"));
  });

  afterAll(async () => {
    await guest?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
    out[Symbol.dispose]();
  });

  const mappingsNow = (look: Look, regime: string): Promise<MappingOutput[]> =>
    ebscopeJson("show", look.file, "mappings", "--at", "now", "--regime", regime);

  it("does not fault and boots a kernel: exit code 0, regime EL2", async () => {
    expect(capture.code, capture.stderr).toBe(0);
    expectOnlyExpected(JSON.parse(capture.stdout) as DiffOutput, "EL2");
    const points = await ebscopeJson<{ id: string; regimes: string[] }[]>("show", file, "points");
    expect(points.map(({ id }) => id)).toEqual(["before", "after", "later"]);
    expect(points[0]?.regimes).toEqual(["EL2"]);
    for (const point of ["before", "after", "later"]) {
      expect(await decoderMismatches(file, point, "EL2", 2000), point).toEqual([]);
    }
    // Xen has switched to its own tables and made stage 2 for the guest that it will run: all of it is decoded.
    expect(points[2]?.regimes).toEqual(expect.arrayContaining(["EL2", "stage2"]));
    const later = await ebscopeJson<{ coverage: unknown[] }>("diff", file, "--from", "after", "--to", "later");
    expect(later.coverage).toEqual([]);
  });

  it("translates its own addresses as QEMU does", () => {
    expect(xen.snapshot.code, xen.snapshot.stderr).toBe(0);
    expect(xen.mismatches).toEqual([]);
  });

  it("has dom0's addresses lead through both stages where QEMU says, and to the same bytes", async () => {
    expect(dom0.snapshot.code, dom0.snapshot.stderr).toBe(0);
    expect(dom0.mismatches).toEqual([]);
    const { through, at } = await wordsThroughAndAt(guest, somePlaces(await mappingsNow(dom0, "EL1&0")));
    expect(through).toEqual(at);
    expect(new Set(at).size).toBeGreaterThan(100);
  });

  it("has dom0's kernel where Linux and Xen say that it is", async () => {
    const image = 0xffff_8000_0800_0000n + printed(guest, /Kernel Offset: 0x([0-9a-f]+) from 0xffff800008000000/);
    const loaded = printed(guest, /Loading zImage from [0-9a-f]+ to ([0-9a-f]+)-/);
    // Linux leaves the first 64 KiB of its image, the EFI header, out.
    const pages = [image + 0x1_0000n, image + 0x100_0000n] as const;
    const counted = countPages(await mappingsNow(dom0, "EL1&0"), pages, (va) => va - image + loaded);
    expect(counted).toEqual({ right: 0xff0, other: 0 });
  });

  it("has given dom0 its memory 1:1, but for a few pages that the two share", async () => {
    const bank = [printed(guest, /BANK\[0\] 0x([0-9a-f]+)-/), printed(guest, /BANK\[0\] \w+-0x([0-9a-f]+)/)] as const;
    const { right, other } = countPages(await mappingsNow(dom0, "stage2"), bank, (ipa) => ipa);
    expect(right + other).toBe(131_072);
    expect(other).toBeLessThanOrEqual(16);
  });

  it("shows dom0 the GIC's virtual CPU interface as the physical one, and keeps the distributor and its own code to itself", async () => {
    const stage2 = await mappingsNow(dom0, "stage2");
    const cpuInterface = mappingOf(stage2, printed(guest, /gic_cpu_addr=([0-9a-f]+)/));
    const pa = `0x${printed(guest, /gic_vcpu_addr=([0-9a-f]+)/).toString(16)}`;
    expect(cpuInterface).toMatchObject({ pa, read: true, execute: false, memory: expect.stringMatching(/^Device/) });
    expect(mappingOf(stage2, printed(guest, /gic_dist_addr=([0-9a-f]+)/))).toBeUndefined();
    const code = (await mappingsNow(xen, "EL2")).filter(({ execute }) => execute === true);
    expect(code.length).toBeGreaterThan(0);
    expect(stage2.filter((each) => code.some((own) => overlaps(each, own)))).toEqual([]);
  });
});
