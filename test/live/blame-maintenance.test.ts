/**
 * TLB maintenance of a real guest, as ebscope tells of it, against what the guest prints of itself: each load that came before a TLBI, each change
 * without break-before-make; and of a guest that does it right, nothing.
 */
import { join } from "node:path";
import { expect, it } from "vitest";
import { blameDone, type Deed, parseBlameLog } from "../support/blame-log.ts";
import {
  BLAME,
  ebscope,
  ebscopeJson,
  LINUX,
  type MachineOptions,
  machine,
  need,
  temporaryFolder,
} from "../support/live.ts";

interface Entry {
  readonly kind: string;
  readonly by: { readonly pc: string } | null;
  readonly va?: string;
}

interface Told {
  readonly uses: readonly string[];
  /** By rule: the lines of evidence that name a change. */
  readonly findings: ReadonlyMap<string, readonly string[]>;
  readonly deeds: readonly Deed[];
}

async function watched(options: MachineOptions): Promise<Told> {
  need(options.kernel ?? "");
  using folder = temporaryFolder();
  const file = join(folder.path, "m.ebs");
  const watch = options.kernel === BLAME ? "1" : "0";
  const run = await ebscope(
    "capture",
    "--blame",
    "--blame-maintenance",
    "--watch",
    watch,
    "-o",
    file,
    "--",
    ...machine(options),
  );
  expect(run.code, run.stderr).toBe(0);
  if (options.kernel === BLAME) expect(blameDone(run.stderr), run.stderr).toBe(true);
  const entries = await ebscopeJson<Entry[]>("blame", file);
  const findings = await ebscopeJson<{ rule: string; evidence: string[] }[]>("show", file, "findings");
  return {
    uses: entries.flatMap(({ kind, by, va }) => (kind === "use" ? [`${by?.pc} ${va}`] : [])),
    findings: new Map(
      findings.map(({ rule, evidence }) => [rule, evidence.filter((line) => line.includes("descriptor"))]),
    ),
    deeds: parseBlameLog(run.stderr),
  };
}

/** The first load or store through each mapping that was changed, as long as no TLBI had come: what has to be told. */
function usesOf(deeds: readonly Deed[]): string[] {
  const changed = new Set<bigint>();
  return deeds.flatMap(({ kind, what, va, pc, old = 0n }) => {
    if (kind === "tlbi") changed.clear();
    if (kind === "store" && what === "L3" && (old & 1n) === 1n) changed.add(va ?? -1n);
    if (kind !== "load" || va === undefined || !changed.delete(va & ~0xfffn)) return [];
    return [`0x${pc.toString(16)} 0x${(va & ~0xfffn).toString(16)}`];
  });
}

/** Descriptors that led somewhere else, or to memory of another kind, with nothing invalid and a TLBI in between. */
function directChanges(deeds: readonly Deed[]): string[] {
  const broken = new Map<bigint, bigint>();
  return deeds.flatMap(({ kind, at = 0n, va = 0n, old = 0n, new: now = 0n }) => {
    if (kind === "tlbi") broken.clear();
    if (kind !== "store") return [];
    const before = (old & 1n) === 1n ? old : broken.get(at);
    if ((now & 1n) === 0n) broken.set(at, old);
    if (before === undefined || (now & 1n) === 0n) return [];
    // The output address, AttrIndx [4:2] and SH [9:8].
    return ((before ^ now) & 0xffff_ffff_f31cn) === 0n ? [] : [`0x${va.toString(16)} + 0x1000`];
  });
}

it("what is used before a TLBI, and what was changed without break-before-make, is told with who did it", async () => {
  const { uses, findings, deeds } = await watched({ kernel: BLAME, append: "mode=notlbi" });
  const expected = usesOf(deeds);
  expect(expected.length).toBeGreaterThan(2);
  expect(uses).toEqual(expected);
  const missing = findings.get("tlb-maintenance-missing") ?? [];
  expect(missing.map((line) => / (0x[0-9a-f]+) \+ /.exec(line)?.[1])).toEqual(expected.map((use) => use.split(" ")[1]));
  const direct = directChanges(deeds);
  expect(direct.length).toBeGreaterThan(2);
  const told = findings.get("break-before-make-missing") ?? [];
  expect(told.map((line) => /0x[0-9a-f]+ \+ 0x[0-9a-f]+/.exec(line)?.[0])).toEqual(direct);
});

it("the one change of flips that asks for break-before-make and has none", async () => {
  const { findings, deeds } = await watched({ kernel: BLAME, append: "mode=flips" });
  const direct = directChanges(deeds);
  expect(direct).toHaveLength(1);
  const told = findings.get("break-before-make-missing") ?? [];
  expect(told.map((line) => /0x[0-9a-f]+ \+ 0x[0-9a-f]+/.exec(line)?.[0])).toEqual(direct);
});

it("edk2 under Linux's EFI stub: every change is followed by its TLBI, and nothing is told", async () => {
  const { uses, findings } = await watched({ kernel: LINUX });
  expect(uses).toEqual([]);
  expect([...findings.keys()].filter((rule) => /maintenance|break/.test(rule))).toEqual([]);
});
