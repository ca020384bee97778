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
  readonly findings: readonly { rule: string }[];
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
    for (const key of ["status", "attempts", "mappings", "efi", "findings"] as const) {
      expect(diff?.[key], key).toEqual(capture[key]);
    }
    const lasting = (list: readonly { class: string }[] = []) => list.filter((each) => each.class !== "timer");
    expect(lasting(diff?.registers)).toEqual(lasting(capture.registers));
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
    expect(printed.map(({ status }) => status)).toEqual(["0x8000000000000002", "0x0"]);
    expect(hits.map(({ point, hit }) => `${point} #${hit}`)).toEqual(["before #2", "after #1"]);
    expect(asked(hits[0], "MapKey")).toBe(printed[1]?.key);
    expect(hits[1]?.returned).toEqual({ value: "0x0", status: "EFI_SUCCESS" });
    expect(diffs[0]?.diff).toMatchObject({ status: "0x0", attempts: 2 });
    expect(end.points).toMatchObject([{ hits: 2, records: 1 }, { hits: 1 }, { hits: 0 }]);
  });
});

describe("boot-services-trace.yaml", () => {
  it("has every call that gdb counts from the same prompt on, with the same arguments", async () => {
    const lines = await atShell(async (guest) =>
      linesOf(await ebscope("run", plan("boot-services-trace"), "--json", "--gdb", guest.address)),
    );
    const allocations = lines.hits.filter(({ point }) => point === "allocate");
    const maps = lines.hits.filter(({ point }) => point === "map");
    const exit = lines.hits.at(-1);
    expect(exit).toMatchObject({ point: "exit", returned: { status: "EFI_SUCCESS" } });
    expect(allocations.length).toBeGreaterThan(10);
    const gBS = (name: string, list: readonly Hit[]) => list.every(({ place }) => place === `gBS->${name}`);
    expect(gBS("AllocatePages", allocations) && gBS("GetMemoryMap", maps)).toBe(true);
    const said = await atShell((guest) =>
      gdb(
        guest,
        `dprintf *${allocations[0]?.pc},"allocate 0x%x 0x%x 0x%lx 0x%lx\\n",$w0,$w1,$x2,$x3`,
        `tbreak *${exit?.pc} if $x0 == 0`,
        // Where GetMemoryMap returned to, with its status.
        ...[...new Set(maps.map(({ pc }) => pc))].map((pc) => `dprintf *${pc},"map ${pc} 0x%lx\\n",$x0`),
        "continue",
      ),
    );
    const counted = [...said.matchAll(/^allocate (\S+) (\S+) (\S+) (\S+)$/gm)].map(([, ...values]) => values);
    const names = ["Type", "MemoryType", "Pages", "Memory"];
    expect(allocations.map((hit) => names.map((name) => asked(hit, name)))).toEqual(counted);
    const returned = [...said.matchAll(/^map (\S+) (\S+)$/gm)].map(([, pc, status]) => [pc, status]);
    expect(maps.map(({ pc, returned: value }) => [pc, value?.value])).toEqual(returned);
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

describe("conditional.yaml", () => {
  it("stops where gdb's conditional breakpoint stops, as often", async () => {
    const { hits, end } = await atShell(async (guest) =>
      linesOf(await ebscope("run", plan("conditional"), "--json", "--gdb", guest.address)),
    );
    const data = hits.filter(({ point }) => point === "data");
    expect(data.map(({ hit }) => hit)).toEqual([2, 3, 4]);
    const loader = hits.find(({ point }) => point === "loader");
    expect(loader?.hit).toBe(2);
    expect(end).toMatchObject({
      state: "done",
      points: [
        { records: 3, undecided: 0 },
        { records: 1, undecided: 0 },
      ],
    });
    const print = 'printf "x0=0x%lx x1=0x%lx x2=0x%lx x30=0x%lx at %lx\\n", $x0, $x1, $x2, $x30, *(unsigned long *)$x3';
    const said = await atShell((guest) =>
      gdb(
        guest,
        ...[`break *${data[0]?.pc} if $w1 == 4 && $x2 == 1`, "ignore 1 1"],
        ...["continue", print, "continue", print, "continue", print, "delete"],
      ),
    );
    const seen = [...said.matchAll(/^x0=(\S+) x1=(\S+) x2=(\S+) x30=(\S+) at (\S+)$/gm)].map(([, ...values]) => values);
    const recorded = data.map(({ registers, memory }) => [
      ...["x0", "x1", "x2", "x30"].map((name) => registers?.[0]?.values[name]),
      words(memory?.[0]?.read.bytes ?? "")[0]?.toString(16),
    ]);
    expect(recorded).toEqual(seen);
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

/** A guest at the prompt of the UEFI shell that finds its command line typed when it goes on. */
async function atShell<T>(use: (guest: Guest) => Promise<T>): Promise<T> {
  using folder = temporaryFolder();
  await using guest = await guestAtShell(folder.path);
  await guest.monitor("stop");
  guest.type(START_HANDOFF);
  return await use(guest);
}
