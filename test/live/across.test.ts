/**
 * `ebscope diff A B` on captures of real guests that differ in one thing each: QEMU's version, the size of memory, the firmware, what the
 * guest does. Witnesses are QEMU's monitor, gdb, the guest's own prints, and a second decoder of the tables.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AAVMF_2025,
  ebscope,
  ebscopeJson,
  type Finished,
  Guest,
  gdb,
  guestLine,
  guestLines,
  HANDOFF,
  LINUX,
  type MachineOptions,
  machine,
  need,
  QEMU_10,
  temporaryFolder,
} from "../support/live.ts";
import { plainMachine, readPlainCapture } from "../support/plain-capture.ts";
import { type SlowMachine, slowTranslate } from "../support/slow-decoder.ts";

interface Two<T> {
  a: T;
  b: T;
}

interface Attributes {
  read: boolean;
  write: boolean;
  execute: boolean;
  memory: string;
}

interface Across {
  points: string[];
  counts: { different: number; unmatched: number };
  machine: { what: string; a: string; b: string }[];
  registers: { name: string; verdict: string; values: Two<string | null>; points: string[] }[];
  offered: Two<string[]>;
  images: { pairs: { name: string; bases: Two<string>; sizes: Two<string>; build: string }[]; only: Two<unknown[]> };
  mappings: {
    owner: { kind: string; va?: string };
    sides: Two<{ state: string; size: string; attributes: Attributes | null }>;
    verdict: string;
  }[];
  mappedRam: { sizes: Two<string>; of: Two<string> }[];
  efi: { verdict: string }[];
  call: { attempts: Two<number>; mappings: unknown[]; registers: unknown[]; efi: unknown[] } | null;
  findings: { rule: string; findings: Two<{ title: string } | null> }[];
}

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

interface Run extends Finished {
  readonly file: string;
  /** The guest's serial port, as ebscope passed it on. */
  readonly serial: string;
}

async function capture(name: string, options: MachineOptions): Promise<Run> {
  const file = join(folder.path, `${name}.ebs`);
  const finished = await ebscope("capture", "--watch", "1", "--out", file, "--", ...machine(options));
  return { ...finished, file, serial: finished.stderr.replaceAll(/^guest\| ?/gm, "") };
}

const CLEAN: MachineOptions = { kernel: HANDOFF, append: "mode=clean" };
const RUNS = {
  clean: CLEAN,
  again: CLEAN,
  qemu10: { ...CLEAN, qemu: QEMU_10 },
  larger: { ...CLEAN, memory: 2048 },
  firmware: { ...CLEAN, firmware: AAVMF_2025 },
  stall: { kernel: HANDOFF, append: "mode=boot-service" },
  linux: { kernel: LINUX, append: "console=ttyAMA0" },
  linuxLarger: { kernel: LINUX, append: "console=ttyAMA0", memory: 2048, qemu: QEMU_10 },
} as const satisfies Record<string, MachineOptions>;

const runs = new Map<keyof typeof RUNS, Run>();

function run(name: keyof typeof RUNS): Run {
  const found = runs.get(name);
  if (found === undefined) throw new Error(`the guest ${name} did not run`);
  return found;
}

/** Two at a time. */
beforeAll(async () => {
  const names = Object.keys(RUNS) as (keyof typeof RUNS)[];
  for (let i = 0; i < names.length; i += 2) {
    const pair = names.slice(i, i + 2);
    const taken = await Promise.all(pair.map((name) => capture(name, RUNS[name])));
    for (const [j, name] of pair.entries()) runs.set(name, taken[j] as Run);
  }
}, 400_000);

function diff(a: keyof typeof RUNS, b: keyof typeof RUNS, ...args: readonly string[]): Promise<Across> {
  return ebscopeJson<Across>("diff", run(a).file, run(b).file, ...args);
}

function different(list: readonly { name: string; verdict: string }[]): string[] {
  return list.filter(({ verdict }) => verdict === "different").map(({ name }) => name);
}

/** Everything that says what the machine and its firmware do, and not how large it is. */
function expectSameFirmware(across: Across): void {
  expect(across.images.only).toEqual({ a: [], b: [] });
  expect(across.images.pairs.filter(({ build }) => build !== "same")).toEqual([]);
  expect(across.mappings).toEqual([]);
  expect(across.efi).toEqual([]);
  expect(across.call).toMatchObject({ mappings: [], registers: [], efi: [] });
  expect(across.findings).toEqual([]);
}

/** Older stubs leave EL1 out of some names, and add to those of ID registers that were reserved when they were written. */
function bare(name: string): string {
  return name.replace(/_RESERVED$/, "").replace(/_EL1$/, "");
}

/** The registers that QEMU's stub offers to gdb before the guest has run, by name without EL1. */
async function gdbRegisters(options: MachineOptions): Promise<ReadonlyMap<string, string>> {
  await using guest = await new Guest(options, true).listening();
  const text = await gdb(guest, "info all-registers");
  return new Map(
    [...text.matchAll(/^(\w+)\s+(0x[0-9a-f]+)\s/gm)].map(([, name = "", value = ""]) => [bare(name), value]),
  );
}

/** The size of RAM by QEMU's own memory map. */
async function ramSize(options: MachineOptions): Promise<bigint> {
  await using guest = await new Guest(options, true).listening();
  const [, start = "", last = ""] =
    /^\s*([0-9a-f]+)-([0-9a-f]+) .*: mach-virt\.ram/m.exec(await guest.monitor("info mtree -f")) ?? [];
  return BigInt(`0x${last}`) + 1n - BigInt(`0x${start}`);
}

describe("two captures", () => {
  it("of one guest, run twice, have no difference", async () => {
    const across = await diff("clean", "again");
    expect(across.counts).toEqual({ different: 0, unmatched: 0 });
    expect(across.points).toEqual(["before", "after"]);
    expect(across.registers.some(({ verdict }) => verdict === "run")).toBe(true);
  });

  it("on two versions of QEMU differ in the registers that gdb sees differ, and in those that one stub alone offers", async () => {
    need(QEMU_10);
    const across = await diff("clean", "qemu10");
    expectSameFirmware(across);
    expect(across.machine.map(({ what }) => what)).toEqual(["QEMU"]);
    const [seven, ten] = [await gdbRegisters(RUNS.clean), await gdbRegisters(RUNS.qemu10)];
    const shared = [...seven.keys()].filter((name) => ten.has(name));
    expect(shared.length).toBeGreaterThan(100);
    const ids = shared.filter((name) => /^(ID|MVFR|CTR|MIDR|CLIDR)/.test(name) && seven.get(name) !== ten.get(name));
    expect(ids.length).toBeGreaterThan(0);
    expect(different(across.registers).map(bare)).toEqual(ids);
    expect(across.offered.b.map(bare).sort()).toEqual([...ten.keys()].filter((name) => !seven.has(name)).sort());
    expect(across.offered.a.map(bare).sort()).toEqual([...seven.keys()].filter((name) => !ten.has(name)).sort());
  });

  it("with two sizes of memory differ in that alone, as QEMU's memory map has it", async () => {
    const across = await diff("clean", "larger");
    expectSameFirmware(across);
    const sizes = [await ramSize(RUNS.clean), await ramSize(RUNS.larger)] as const;
    expect(across.machine).toEqual([{ what: "RAM", a: `${sizes[0] >> 30n} GiB`, b: `${sizes[1] >> 30n} GiB` }]);
    for (const { sizes: mapped } of across.mappedRam) expect([BigInt(mapped.a), BigInt(mapped.b)]).toEqual(sizes);
    expect(different(across.registers)).toEqual([]);
  });

  it("pair the guest's image wherever the guest says that it lies, and take its vectors for the same", async () => {
    const across = await diff("clean", "larger");
    const [a, b] = (["clean", "larger"] as const).map((name) => guestLine(run(name).serial, "image"));
    const pair = across.images.pairs.find(({ bases }) => bases.a === a?.base);
    expect(pair).toMatchObject({ bases: { a: a?.base, b: b?.base }, sizes: { a: a?.size, b: b?.size }, build: "same" });
    const [before, later] = (["clean", "larger"] as const).map((name) => guestLine(run(name).serial, "before"));
    expect(before?.vbar).not.toBe(later?.vbar);
    const vectors = across.registers.find(({ name }) => name === "VBAR_EL1");
    expect(vectors).toMatchObject({ verdict: "moved", values: { a: before?.vbar, b: later?.vbar } });
    expect(["tcr", "mair", "sctlr"].filter((name) => before?.[name] !== later?.[name])).toEqual([]);
  });

  it("have the mappings that a second decoder finds equal, page by page from the images' bases", async () => {
    const { images } = await diff("clean", "larger");
    const [a, b] = [machineOf("clean", "after"), machineOf("larger", "after")];
    let compared = 0;
    for (const { bases, sizes } of images.pairs) {
      for (let at = 0n; at < BigInt(sizes.a); at += 0x1000n) {
        const [left, right] = [rights(a, BigInt(bases.a) + at), rights(b, BigInt(bases.b) + at)];
        if (left !== right) throw new Error(`${bases.a} + ${at}: ${left}, ${right}`);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(1000);
  });

  it("of two firmwares differ at addresses as a second decoder says, and claim nothing of code of two builds", async () => {
    const across = await diff("clean", "firmware");
    const machines = { a: machineOf("clean", "before"), b: machineOf("firmware", "before") };
    const fixed = across.mappings.filter(({ owner }) => owner.kind === "address");
    expect(fixed.length).toBeGreaterThan(0);
    for (const { owner, sides } of fixed) {
      for (const side of ["a", "b"] as const)
        expect(attributesText(sides[side])).toBe(rights(machines[side], BigInt(owner.va ?? 0)));
    }
    expect(across.images.pairs.filter(({ build }) => build === "other").length).toBeGreaterThan(50);
    expect(across.registers.find(({ name }) => name === "VBAR_EL1")?.verdict).toBe("unmatched");
    expect(across.efi.filter(({ verdict }) => verdict === "unmatched").length).toBeGreaterThan(50);
    // What both firmwares are given by the guest and by QEMU.
    const control = across.registers.filter(
      ({ name, verdict }) => /^(SCTLR|TCR|MAIR)_EL1$/.test(name) && verdict === "different",
    );
    const [before, later] = (["clean", "firmware"] as const).map((name) => guestLine(run(name).serial, "before"));
    expect(control.map(({ name }) => name)).toEqual(
      ["sctlr", "tcr", "mair"].filter((name) => before?.[name] !== later?.[name]),
    );
  });

  it("of a guest that dies have its death, and the calls that the guests counted", async () => {
    const across = await diff("clean", "stall");
    const calls = (["clean", "stall"] as const).map((name) => guestLines(run(name).serial, "exit").length);
    expect(across.call?.attempts).toEqual({ a: calls[0], b: calls[1] });
    expect(across.call?.mappings).toEqual([]);
    expect(across.mappings).toEqual([]);
    const deaths = across.findings.filter(({ findings }) => findings.a === null);
    expect(deaths.map(({ rule }) => rule)).toEqual(["service-called-after-exit", "guest-faulted"]);
    const [image, call] = [guestLine(run("stall").serial, "image"), guestLine(run("stall").serial, "call")];
    const offset = BigInt(call["return-address"] ?? 0) - 4n - BigInt(image.base ?? 0);
    expect(deaths[0]?.findings.b?.title).toContain(`kernel+0x${offset.toString(16)} called gBS->${call.service} `);
    expect(run("stall").serial).not.toContain("the call came back");
  });

  it("of Linux on two machines differ in nothing that Linux or its firmware set up", async () => {
    const across = await diff("linux", "linuxLarger");
    expectSameFirmware(across);
    expect(across.machine.map(({ what }) => what)).toEqual(["QEMU", "RAM"]);
    expect(different(across.registers)).toEqual(different((await diff("clean", "qemu10")).registers));
  });

  it("are told on one screen", async () => {
    for (const [a, b] of [
      ["clean", "qemu10"],
      ["clean", "larger"],
      ["clean", "firmware"],
      ["linux", "linuxLarger"],
    ] as const) {
      const { code, stdout } = await ebscope("diff", run(a).file, run(b).file);
      expect(code).toBe(0);
      expect(stdout.split("\n").length).toBeLessThan(50);
    }
  });
});

function machineOf(name: keyof typeof RUNS, point: string): SlowMachine {
  return plainMachine(readPlainCapture(run(name).file), point);
}

function rights(machine: SlowMachine, va: bigint): string {
  const found = slowTranslate(machine, "EL1&0", va);
  return found.outcome === "mapped" ? `${found.privileged} ${found.memory}` : "not mapped";
}

function attributesText({ state, attributes }: Across["mappings"][number]["sides"]["a"]): string {
  if (attributes === null) return state;
  const { read, write, execute, memory } = attributes;
  return `${read ? "r" : "-"}${write ? "w" : "-"}${execute ? "x" : "-"} ${memory}`;
}
