/** The plans of examples/plans on real guests, each result held against a second witness: the guest's print, gdb, QEMU's monitor, `capture`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  ebscope,
  type Finished,
  failure,
  Guest,
  gdb,
  guestAtShell,
  guestLine,
  guestLines,
  HANDOFF,
  LINUX,
  machine,
  ROOT,
  START_HANDOFF,
  temporaryFolder,
} from "../support/live.ts";

interface Argument {
  readonly name: string;
  readonly value: string;
}

interface Hit {
  readonly kind: "hit";
  readonly point: string;
  readonly hit: number;
  readonly pc: string;
  readonly place: string;
  readonly at: string | null;
  readonly registers: readonly { cpu: number; values: Record<string, string> }[] | null;
  readonly memory: readonly { name: string; address: string; read: { state: string; bytes: string } }[] | null;
  readonly written: { address: string; before: { bytes: string }; after: { bytes: string } } | null;
  readonly arguments: { service: string; arguments: readonly Argument[] } | null;
  readonly returned: { value: string; status: string } | null;
  readonly backtrace: { callChain: { frames: readonly { pc: string; image: string | null }[] } } | null;
  readonly capture: string | null;
}

interface Change {
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

interface Diff {
  readonly status: string;
  readonly attempts: number;
  readonly registers: readonly { class: string; name: string }[];
  readonly mappings: readonly unknown[];
  readonly efi: readonly Change[];
  readonly findings: readonly { rule: string; severity: string }[];
}

interface Lines {
  readonly hits: readonly Hit[];
  readonly diffs: readonly { from: string; to: string; diff: Diff | null }[];
  readonly end: { state: string; points: readonly { id: string; hits: number; records: number; undecided: number }[] };
}

const plan = (name: string): string => join(ROOT, `examples/plans/${name}.yaml`);

function linesOf({ stdout, stderr }: Finished): Lines {
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const of = (kind: string) => lines.filter((line) => line.kind === kind);
  const [end, ...more] = of("end");
  if (end === undefined || more.length > 0) throw new Error(`no end, or several:\n${stderr}`);
  return { hits: of("hit"), diffs: of("diff"), end };
}

const asked = (hit: Hit | undefined, name: string): string | undefined =>
  hit?.arguments?.arguments.find((each) => each.name === name)?.value;

/** Little-endian words of 8 bytes. */
function words(bytes: string): bigint[] {
  const buffer = Buffer.from(bytes, "hex");
  return Array.from({ length: buffer.length / 8 }, (_, i) => buffer.readBigUInt64LE(8 * i));
}

/** What QEMU's monitor has at a physical address, as words of 8 bytes. */
async function wordsAt(guest: Guest, address: string, count: number): Promise<bigint[]> {
  const text = await guest.monitor(`xp /${count}gx ${address}`);
  return [...text.matchAll(/^[0-9a-f]+:(.*)$/gm)].flatMap(([, row = ""]) => row.trim().split(/\s+/).map(BigInt));
}

const handoff = (mode: string): string[] => machine({ kernel: HANDOFF, append: `mode=${mode}` });

describe("exit-boot-services.yaml", () => {
  let run: Finished;
  let captured: Finished;
  let lines: Lines;
  let file: string;
  const folder = temporaryFolder();
  beforeAll(async () => {
    file = join(folder.path, "plan.ebs");
    run = await ebscope("run", plan("exit-boot-services"), "--json", "-o", file, "--", ...handoff("boot-service"));
    captured = await ebscope(
      "capture",
      "--json",
      "-o",
      join(folder.path, "capture.ebs"),
      "--",
      ...handoff("boot-service"),
    );
    lines = linesOf(run);
    return () => folder[Symbol.dispose]();
  });

  it("shows the difference that `ebscope capture` shows, and ends with its exit code", () => {
    expect(run.code, run.stderr).toBe(3);
    expect(captured.code).toBe(3);
    const capture = JSON.parse(captured.stdout) as Diff;
    const diff = lines.diffs.find(({ to }) => to === "after")?.diff;
    expect(capture.mappings.length).toBeGreaterThan(10);
    for (const key of ["status", "mappings", "efi"] as const) expect(diff?.[key], key).toEqual(capture[key]);
    const errors = ({ findings = [] }: Partial<Diff>) => findings.filter(({ severity }) => severity === "error");
    expect(errors(capture).length).toBeGreaterThan(0);
    expect(errors(diff ?? {})).toEqual(errors(capture));
    // An interrupt in the call may spoil the map key, so that the guest calls again: it says how often.
    expect(diff?.attempts).toBe(guestLines(run.stderr, "exit").length);
    // The timer's interrupt may come during the call, or not, and leaves its traces in these.
    const ofInterrupt = ({ class: each, name }: Diff["registers"][number]): boolean =>
      each === "timer" || each === "exception" || name === "SP_EL1";
    const lasting = ({ registers }: Pick<Diff, "registers">) => registers.filter((each) => !ofInterrupt(each));
    expect(lasting(capture).length).toBeGreaterThan(5);
    expect(diff === null || diff === undefined ? [] : lasting(diff)).toEqual(lasting(capture));
  });

  it("has the fault that the guest announced", () => {
    const printed = guestLine(run.stderr, "call");
    const fault = lines.hits.find(({ point }) => point === "fault");
    expect(fault?.registers?.[0]?.values).toMatchObject({ ELR_EL1: "0x0", x30: printed["return-address"] });
    expect(lines.diffs.find(({ to }) => to === "fault")?.diff?.status).toBe("0x0");
    expect(lines.end.state).toBe("done");
  });

  it("writes a capture that the other verbs take", async () => {
    const points = JSON.parse((await ebscope("show", file, "points", "--json")).stdout) as {
      id: string;
      kind: string;
    }[];
    expect(points.map(({ id, kind }) => [id, kind])).toEqual([
      ["before", "before"],
      ["after", "after"],
      ["fault", "fault"],
    ]);
    const shown = await ebscope("diff", file, "--json");
    expect(JSON.parse(shown.stdout).mappings).toEqual((JSON.parse(captured.stdout) as Diff).mappings);
  });

  it("keeps the last call where the first one fails, as the guest prints both", async () => {
    const clean = await ebscope("run", plan("exit-boot-services"), "--json", "--", ...handoff("clean"));
    expect(clean.code, clean.stderr).toBe(0);
    const { hits, diffs, end } = linesOf(clean);
    const printed = guestLines(clean.stderr, "exit");
    const calls = printed.length;
    expect(calls).toBeGreaterThan(1);
    expect([printed[0]?.status, printed.at(-1)?.status]).toEqual(["0x8000000000000002", "0x0"]);
    expect(hits.map(({ point, hit }) => `${point} #${hit}`)).toEqual([`before #${calls}`, "after #1"]);
    expect(asked(hits[0], "MapKey")).toBe(printed.at(-1)?.key);
    expect(hits[1]?.returned).toEqual({ value: "0x0", status: "EFI_SUCCESS" });
    expect(diffs[0]?.diff).toMatchObject({ status: "0x0", attempts: calls });
    expect(end.points).toMatchObject([{ hits: calls, records: 1 }, { hits: 1 }, { hits: 0 }]);
  });
});

/** A call as QEMU's log has it: the instruction that was executed, and x0 to x7 and x30 there. */
interface LoggedCall {
  readonly pc: bigint;
  readonly x: ReadonlyMap<number, bigint>;
}

/**
 * Runs a plan on a guest that stands at the prompt of the UEFI shell with the test guest's command line typed, and returns its lines with what
 * QEMU itself logs of two functions meanwhile: each time it executes their first instructions (-d exec,cpu).
 */
async function loggedRun(name: string, functions: readonly string[]): Promise<{ lines: Lines; calls: LoggedCall[] }> {
  using folder = temporaryFolder();
  const log = join(folder.path, "qemu.log");
  const filter = functions.map((address) => `${address}+0x4`).join(",");
  const options = ["-d", "exec,cpu,nochain", "-dfilter", filter, "-D", log];
  using disk = temporaryFolder();
  await using guest = await guestAtShell(disk.path, options);
  await guest.monitor("stop");
  guest.type(START_HANDOFF);
  const { length } = readFileSync(log, "latin1");
  const lines = linesOf(await ebscope("run", plan(name), "--json", "--gdb", guest.address));
  // The last call that was recorded is not executed yet.
  await guest.monitor("cont");
  await guest.shows(/guest: done/);
  return { lines, calls: loggedCalls(readFileSync(log, "latin1").slice(length)) };
}

function loggedCalls(log: string): LoggedCall[] {
  return log
    .split(/^Trace /m)
    .slice(1)
    .map((part) => ({
      pc: BigInt(`0x${/PC=([0-9a-f]+)/.exec(part)?.[1]}`),
      x: new Map([...part.matchAll(/X(\d\d)=([0-9a-f]+)/g)].map(([, x, value]) => [Number(x), BigInt(`0x${value}`)])),
    }));
}

describe("plans at functions that QEMU logs the calls of", () => {
  let allocate: string;
  let getMap: string;
  beforeAll(async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "first.yaml");
    const point = (name: string): string => `{ at: gBS->${name}, record: { registers: [x0] } }`;
    writeFileSync(path, `ebscope: 1\npoints: { a: ${point("AllocatePages")}, m: ${point("GetMemoryMap")} }\n`);
    const { hits } = linesOf(await ebscope("run", path, "--json", "--", ...handoff("clean")));
    [allocate = "", getMap = ""] = ["a", "m"].map((id) => hits.find(({ point: each }) => each === id)?.pc ?? "");
  });

  it("boot-services-trace.yaml has each call once, with its arguments", async () => {
    const { lines, calls } = await loggedRun("boot-services-trace", [allocate, getMap]);
    const allocations = lines.hits.filter(({ point }) => point === "allocate");
    const logged = calls.filter(({ pc }) => pc === BigInt(allocate));
    expect(logged.length).toBeGreaterThan(10);
    const names = ["Type", "MemoryType", "Pages", "Memory"];
    // The first two are 32 bits wide (UEFI 2.10, 7.2.1).
    expect(allocations.map((hit) => names.map((name) => BigInt(asked(hit, name) ?? -1)))).toEqual(
      logged.map(({ x }) => [0, 1, 2, 3].map((i) => BigInt.asUintN(i < 2 ? 32 : 64, x.get(i) ?? -1n))),
    );
    const maps = lines.hits.filter(({ point }) => point === "map");
    const asking = calls.filter(({ pc }) => pc === BigInt(getMap));
    expect(maps.length).toBeGreaterThan(1);
    expect(maps.map((hit) => [asked(hit, "MapKey"), hit.pc].map((value) => BigInt(value ?? -1)))).toEqual(
      asking.map(({ x }) => [x.get(2), x.get(30)]),
    );
    expect(lines.hits.at(-1)).toMatchObject({ point: "exit", returned: { status: "EFI_SUCCESS" } });
    expect(lines.end.points.map(({ hits }) => hits)).toEqual([logged.length, asking.length, 1]);
  });

  it("conditional.yaml has those at which its conditions hold, by their numbers", async () => {
    const { lines, calls } = await loggedRun("conditional", [allocate]);
    const holds = calls.filter(({ x }) => BigInt.asUintN(32, x.get(1) ?? 0n) === 4n && x.get(2) === 1n);
    const data = lines.hits.filter(({ point }) => point === "data");
    expect(data.map(({ hit }) => hit)).toEqual([2, 3, 4]);
    expect(
      data.map(({ registers }) => ["x0", "x1", "x2", "x30"].map((name) => BigInt(registers?.[0]?.values[name] ?? -1))),
    ).toEqual(holds.slice(1, 4).map(({ x }) => [0, 1, 2, 30].map((i) => x.get(i))));
    const loads = calls.filter(({ x }) => BigInt.asUintN(32, x.get(1) ?? 0n) === 1n);
    const [loader] = lines.hits.filter(({ point }) => point === "loader");
    expect(loader?.hit).toBe(2);
    expect(asked(loader, "Memory")).toBe(`0x${loads[1]?.x.get(3)?.toString(16)}`);
    expect(loader?.backtrace?.callChain.frames.length).toBeGreaterThan(2);
    expect(lines.end).toMatchObject({ state: "done", points: [{ records: 3, undecided: 0 }, { records: 1 }] });
  });
});

describe("set-virtual-address-map.yaml", () => {
  it("has the map that lies in the guest's memory and that Linux prints, and pointers converted by it", async () => {
    const options = ["-smbios", "type=4,version=eMAG"];
    const append = "console=ttyAMA0 earlycon efi=debug nokaslr";
    await using guest = await new Guest({ kernel: LINUX, append, extra: options }, true).listening();
    const run = await ebscope("run", plan("set-virtual-address-map"), "--json", "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    const { hits, diffs } = linesOf(run);
    const [call, back] = hits;
    const map = call?.memory?.[0];
    const read = words(map?.read.bytes ?? "");
    expect(map?.address).toBe(asked(call, "VirtualMap"));
    expect(await wordsAt(guest, map?.address ?? "", read.length)).toEqual(read);
    expect(await guest.monitor("info registers")).toMatch(
      new RegExp(
        `PC=${BigInt(back?.pc ?? 0)
          .toString(16)
          .padStart(16, "0")}`,
      ),
    );
    expect(back?.returned?.status).toBe("EFI_SUCCESS");
    // EFI_MEMORY_DESCRIPTOR (7.2.3): Type, PhysicalStart, VirtualStart, NumberOfPages, Attribute, in 48 bytes.
    const ranges = Array.from(
      { length: read.length / 6 },
      (_, i) => read.slice(6 * i, 6 * i + 5) as [bigint, bigint, bigint, bigint, bigint],
    );
    await guest.monitor("cont");
    await guest.shows(/Remapping and enabling EFI services/);
    const printed = [...guest.console.matchAll(/efi: {3}(0x[0-9a-f]+)-(0x[0-9a-f]+) \[[^|]*\|RUN/g)];
    const byStart = (a: readonly [bigint, bigint], b: readonly [bigint, bigint]) => (a[0] < b[0] ? -1 : 1);
    expect(ranges.map(([, start, , pages]) => [start, start + pages * 4096n - 1n] as const).sort(byStart)).toEqual(
      printed.map(([, start = "", end = ""]) => [BigInt(start), BigInt(end)] as const).sort(byStart),
    );
    const converted = (value: bigint): bigint => {
      const range = ranges.find(([, start, , pages]) => value >= start && value < start + pages * 4096n);
      return range === undefined ? -1n : value - range[1] + range[2];
    };
    const changes = diffs[0]?.diff?.efi ?? [];
    expect(changes.map(({ name }) => name)).toContain("RuntimeServices.GetVariable");
    for (const { name, before, after } of changes) expect(BigInt(after), name).toBe(converted(BigInt(before)));
  });
});

describe("memory-write.yaml", () => {
  it("has the write that gdb sees, to the table that the guest names", async () => {
    await using guest = await new Guest({ kernel: HANDOFF, append: "mode=boot-service" }, true).listening();
    const run = await ebscope("run", plan("memory-write"), "--json", "--gdb", guest.address);
    expect(run.code, run.stderr).toBe(0);
    const [exit, cleared] = linesOf(run).hits;
    const address = BigInt(guestLine(guest.console, "image")["boot-services"] ?? 0) + 0xe8n;
    expect(cleared?.written).toMatchObject({ address: `0x${address.toString(16)}`, after: { bytes: "00".repeat(8) } });
    expect(words(cleared?.written?.before.bytes ?? "")).toEqual([BigInt(exit?.pc ?? 0)]);
    expect(cleared?.at).toMatch(/^DxeCore\+0x/);
    expect(await wordsAt(guest, `0x${address.toString(16)}`, 1)).toEqual([0n]);
    const frames = cleared?.backtrace?.callChain.frames ?? [];
    expect(
      frames.some(({ image }) => image?.includes("0x7c41") || image?.startsWith("kernel+")),
      JSON.stringify(frames),
    ).toBe(true);

    await using other = await new Guest({ kernel: HANDOFF, append: "mode=boot-service" }, true).listening();
    const said = await gdb(
      other,
      ...[`tbreak *${exit?.pc}`, "continue", `watch *(unsigned long *)${cleared?.written?.address}`, "continue"],
      'printf "written by %lx\\n", $pc',
    );
    expect(said).toMatch(/New value = 0\s/);
    // gdb stops behind the instruction.
    const behind = BigInt(
      /written by ([0-9a-f]+)/.exec(said)?.[1] === undefined ? 0 : `0x${/written by ([0-9a-f]+)/.exec(said)?.[1]}`,
    );
    expect(BigInt(cleared?.pc ?? 0)).toBe(behind - 4n);
  });
});

describe("a plan that cannot be done", () => {
  it("ends with 4 at its time limit, with the lines and the capture until then", async () => {
    using folder = temporaryFolder();
    const [records, file] = [join(folder.path, "r.ndjson"), join(folder.path, "p.ebs")];
    const path = join(folder.path, "late.yaml");
    writeFileSync(
      path,
      "ebscope: 1\nlimits: { time: 20s }\npoints:\n  exit: { at: gBS->ExitBootServices }\n  never: { at: gBS->ExitBootServices, if: x1 == 0 }\n",
    );
    const run = await ebscope("run", path, "--records", records, "-o", file, "--", ...handoff("boot-service"));
    expect(failure(run)).toEqual({ exit: 4, code: "timed-out" });
    const lines = readFileSync(records, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ kind }) => kind)).toEqual(["hit", "end"]);
    expect(lines.at(-1)).toMatchObject({ state: "partial", error: { code: "timed-out" } });
    const diff = await ebscope("show", file, "points", "--json");
    expect(JSON.parse(diff.stdout)).toMatchObject([{ id: "exit" }]);
  });

  it("is refused with line and column where it names what is not there, before anything is recorded", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "wrong.yaml");
    writeFileSync(path, "ebscope: 1\npoints:\n  exit: { at: gBS->ExitBootService, if: SCTRL_EL1 == 0 }\n");
    const run = await ebscope("run", path, "-q", "--", ...handoff("clean"));
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(/wrong\.yaml:3:15: .* Did you mean gBS->ExitBootServices\?/);
    expect(run.stderr).toMatch(/wrong\.yaml:3:41: .* Did you mean SCTLR_EL1/);
  });
});
