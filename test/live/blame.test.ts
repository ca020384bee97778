/**
 * Who wrote, of real guests: what `ebscope blame` and `ebscope diff` say of a capture taken with --blame, held against what the guest blame printed of
 * each of its instructions, and Linux's way through the firmware.
 */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Deed, type DeedKind, parseBlameLog } from "../support/blame-log.ts";
import {
  chainMismatch,
  expectedOf,
  isIn,
  linesOf,
  type Place,
  type SaidEntry,
  type SaidRun,
  saidAuthors,
  toldOf,
  trueAuthors,
} from "../support/blame-truth.ts";
import {
  AAVMF_2025,
  ebscope,
  ebscopeJson,
  guestLine,
  LINUX,
  type MachineOptions,
  machine,
  QEMU_10,
  ROOT,
  temporaryFolder,
} from "../support/live.ts";

const KERNEL = join(ROOT, "examples/guests/blame/blame.efi");
const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

interface Diff {
  readonly mappings: readonly (SaidRun & { readonly regime: string; readonly owner: unknown })[];
  readonly registers: readonly {
    readonly name: string;
    readonly class: string;
    readonly by: readonly { readonly pc: string | null }[] | null;
    readonly unattributed: boolean | null;
  }[];
  readonly tables: readonly unknown[];
  readonly efi: readonly unknown[];
  readonly backtraces: readonly {
    readonly callChain: { readonly frames: readonly { readonly pc: string }[] } | null;
  }[];
}

interface Watched {
  readonly file: string;
  readonly deeds: readonly Deed[];
  readonly image: Place;
  /** What the guest changes: by pages, and as a block. */
  readonly area: readonly Place[];
  readonly entries: readonly SaidEntry[];
}

let captures = 0;

async function capture(
  options: MachineOptions,
  ...flags: readonly string[]
): Promise<{ file: string; stderr: string }> {
  const file = join(folder.path, `${captures++}.ebs`);
  const { code, stderr } = await ebscope("capture", ...flags, "--watch", "1", "--out", file, "--", ...machine(options));
  if (code !== 0) throw new Error(`the capture ended with ${code}:\n${stderr.slice(-3000)}`);
  return { file, stderr };
}

async function watch(mode: string, options: MachineOptions, ...flags: readonly string[]): Promise<Watched> {
  const { file, stderr } = await capture({ ...options, kernel: KERNEL, append: `mode=${mode} n=200` }, ...flags);
  const [image, area] = [guestLine(stderr, "image"), guestLine(stderr, "area")];
  const block = (base: string | undefined): Place => ({ base: BigInt(base ?? ""), size: 1n << 21n });
  return {
    file,
    deeds: parseBlameLog(stderr),
    image: { base: BigInt(image.base ?? ""), size: BigInt(image.size ?? "") },
    area: [block(area.pages), block(area.block)],
    entries: await ebscopeJson<SaidEntry[]>("blame", file, "--no-symbols"),
  };
}

/** Each deed of these kinds is told as it was, in order, with its call chain, and nothing more of the guest's code. */
function expectTold({ deeds, entries, image }: Watched, ...kinds: readonly DeedKind[]): void {
  const truth = expectedOf(deeds, kinds);
  const told = toldOf(entries, image);
  expect(truth.length).toBeGreaterThan(1);
  const lines = linesOf(truth, told);
  expect(lines.told).toEqual(lines.truth);
  const wrong = told.map((entry, i) => chainMismatch(truth[i] as Deed, entry)).filter((each) => each !== undefined);
  expect(wrong).toEqual([]);
}

/** Each changed run of the guest's area has whom the guest says changed it last, page by page. Returns the diff. */
async function expectAuthors({ file, deeds, area }: Watched): Promise<Diff> {
  const diff = await ebscopeJson<Diff>("diff", file, "--no-symbols");
  const runs = diff.mappings.filter(({ va }) => area.some((each) => isIn(each, BigInt(va))));
  expect(runs.length).toBeGreaterThan(0);
  for (const run of runs) expect([run.va, ...saidAuthors(run)]).toEqual([run.va, ...trueAuthors(deeds, run)]);
  return diff;
}

const HOST: MachineOptions = { qemu: QEMU_10, firmware: AAVMF_2025, machine: "virt,virtualization=on", cpu: "max" };

describe("ebscope blame says what the guest says, of mode", () => {
  it.each([
    ["flips", ["store", "tlbi"], ["--blame-maintenance"]],
    ["forms", ["store"], []],
    ["newtable", ["store"], []],
    ["switch", ["store", "register"], []],
    ["notlbi", ["store", "tlbi"], ["--blame-maintenance"]],
  ] as const)("%s", async (mode, kinds, flags) => {
    const watched = await watch(mode, {}, "--blame", ...flags);
    expectTold(watched, ...kinds);
    await expectAuthors(watched);
  });

  it.each([
    ["flips", ["store"]],
    ["newtable", ["store"]],
    ["switch", ["store", "register"]],
  ] as const)("%s at EL2 with E2H", async (mode, kinds) => {
    const watched = await watch(mode, HOST, "--blame");
    expectTold(watched, ...kinds);
    await expectAuthors(watched);
  });

  it("registers: each MSR, and one by code that no search could find as nobody's", async () => {
    const watched = await watch("registers", {}, "--blame");
    expectTold(watched, "store", "register");
    const nobody = watched.entries.filter(({ kind, by }) => kind === "register" && by === null);
    expect(nobody.map(({ name }) => name)).toEqual(["MAIR_EL1"]);
    const { registers } = await expectAuthors(watched);
    const control = registers.filter((each) => each.class === "control");
    expect(control.length).toBeGreaterThan(3);
    for (const { name, by, unattributed } of control) {
      const writes = watched.deeds.filter(
        ({ kind, what, old, new: now }) => kind === "register" && what === name && old !== now,
      );
      const seen = writes.filter((deed) => deed.function !== "copied_code").map(({ pc }) => `0x${pc.toString(16)}`);
      expect([name, [...new Set(by?.map(({ pc }) => pc))]]).toEqual([name, [...new Set(seen)]]);
      expect([name, unattributed]).toEqual([name, leftBy(writes, "copied_code")]);
    }
  });

  it("hook: what was written of boot services, before the call and in it", async () => {
    const watched = await watch("hook", {}, "--watch-write", "gBS+0xf8", "--watch-write", "gBS+0x10,4");
    expectTold(watched, "memory");
  });

  it("many: as many stores as the guest counts, all by one instruction", async () => {
    const { deeds, entries, image } = await watch("many", {}, "--blame");
    const [many] = deeds.filter(({ kind }) => kind === "many");
    const told = toldOf(entries, image).filter(({ by }) => BigInt(by?.pc ?? 0) === many?.pc);
    expect(told).toHaveLength(Number(many?.count));
    expect([told[0]?.old, told.at(-1)?.new].map((value) => BigInt(value ?? 0))).toEqual([many?.old, many?.new]);
  });

  it("twocpus: each vCPU's stores by its own", async () => {
    const { deeds, entries, image } = await watch("twocpus", { smp: 2 }, "--blame");
    const many = deeds.filter(({ kind }) => kind === "many");
    expect(many.map(({ cpu }) => cpu).sort()).toEqual([0, 1]);
    for (const { cpu, count, at } of many) {
      const told = toldOf(entries, image).filter((each) => each.cpu === cpu && BigInt(each.address ?? 0) === at);
      expect([cpu, told.length]).toEqual([cpu, Number(count)]);
    }
  });
});

/** Whether any bit that is another than before the first of these writes was changed last by this function. */
function leftBy(writes: readonly Deed[], name: string): boolean {
  const [before, after] = [writes[0]?.old ?? 0n, writes.at(-1)?.new ?? 0n];
  return Array.from({ length: 64 }, (_, i) => 1n << BigInt(i)).some((bit) => {
    if (((before ^ after) & bit) === 0n) return false;
    return writes.findLast(({ old = 0n, new: now = 0n }) => ((old ^ now) & bit) !== 0n)?.function === name;
  });
}

describe("Linux", () => {
  it("has a writer for each of the pages that ExitBootServices changed: one place of the firmware, reached from the call", async () => {
    const linux: MachineOptions = { kernel: LINUX, append: "console=ttyAMA0" };
    const { file } = await capture(linux, "--blame");
    const diff = await ebscopeJson<Diff>("diff", file, "--no-symbols");
    const authors = diff.mappings.flatMap(({ by }) => by ?? []);
    expect(authors.reduce((sum, { last }) => sum + BigInt(last ?? 0), 0n) >> 12n).toBe(560n);
    expect(diff.mappings.filter(({ unattributed }) => unattributed !== "0x0")).toEqual([]);
    expect(new Set(authors.map(({ image }) => image?.replace(/\+.*/, ""))).size).toBe(1);
    const callers = diff.backtraces[0]?.callChain?.frames.slice(1).map(({ pc }) => pc) ?? [];
    expect(callers.length).toBeGreaterThan(1);
    for (const { backtrace } of authors) {
      const chain = backtrace?.map(({ pc }) => pc) ?? [];
      expect(chain.slice(-callers.length)).toEqual(callers);
      expect(backtrace?.some(({ image }) => image?.startsWith("DxeCore+"))).toBe(true);
    }

    const plain = await capture(linux);
    const without = await ebscopeJson<Diff>("diff", plain.file, "--no-symbols");
    expect(whatChanged(diff)).toEqual(whatChanged(without));
  });
});

/** Without who did it. */
function whatChanged({ mappings, registers, tables, efi }: Diff): object {
  const control = registers.filter((each) => each.class === "control");
  return { mappings: mappings.map(bare), registers: control.map(bare), tables, efi };
}

function bare(change: object): object {
  return Object.fromEntries(Object.entries(change).filter(([name]) => name !== "by" && name !== "unattributed"));
}
