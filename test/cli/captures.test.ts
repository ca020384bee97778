/** `ebscope captures`, on stores that were written by the store itself; sizes are held against the files. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "typebox";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CaptureJson } from "../../src/api/protocol.ts";
import { openCaptureStore } from "../../src/bridge/store/index.ts";
import { serveCommand } from "../../src/cli/commands/serve.ts";
import { size } from "../../src/cli/options.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { encodeCapture } from "../../src/snapshot/file.ts";
import { failure } from "../support/failure.ts";
import { held, terminal } from "./held.ts";
import { FIXTURE, fixture, run, runJson } from "./run.ts";

const printed = terminal();
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-captures-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const captures = (...args: readonly string[]): Promise<string> => run("captures", ...args, "--data", folder);

async function room(): Promise<number> {
  let sum = 0;
  for (const name of await readdir(join(folder, "captures"))) sum += (await stat(join(folder, "captures", name))).size;
  return sum;
}

/** The fixture under the ids `day-01` …, taken on that many days; the last one is partial. */
async function store(days: number): Promise<void> {
  const there = await openCaptureStore(join(folder, "captures"));
  const capture = await fixture();
  for (let day = 1; day <= days; day++) {
    const name = String(day).padStart(2, "0");
    const partial =
      day === days ? ({ code: "connection-lost", message: "The stub closed the connection" } as const) : undefined;
    await there.write(`day-${name}`, { ...capture, createdAt: `2020-01-${name}T11:22:33.444Z`, partial });
  }
}

describe("ebscope captures list", () => {
  it("lists id, time, size, points and state, the newest first, and what they take on the disk", async () => {
    await store(2);
    const lines = (await captures("list")).trimEnd().split("\n");
    const ebs = (await stat(FIXTURE)).size;
    expect(lines.map((line) => line.split(/ {2,}/))).toEqual([
      ["capture", "taken (UTC)", "size", "points", "state"],
      [
        "day-02",
        "2020-01-02 11:22:33",
        expect.stringMatching(/^29\d KiB$/),
        "before, after, fault",
        expect.stringMatching(/^partial: .*closed.* \[connection-lost\]$/),
      ],
      ["day-01", "2020-01-01 11:22:33", `${Math.round(ebs / 1024)} KiB`, "before, after, fault", "complete"],
      [expect.stringMatching(/^2 captures, \d+ KiB on the disk$/)],
    ]);
    expect(lines.at(-1)).toContain(`${Math.round((await room()) / 1024)} KiB`);
  });

  it("prints what `Capture.list` answers with --json", async () => {
    await store(1);
    const [only, ...others] = await runJson(Type.Array(CaptureJson), "captures", "list", "--data", folder);
    expect(others).toEqual([]);
    const capture = {
      ...(await fixture()),
      createdAt: "2020-01-01T11:22:33.444Z",
      partial: { code: "connection-lost", message: "The stub closed the connection" },
    } as const;
    expect(only).toMatchObject({ capture: "day-01", state: "partial", size: encodeCapture(capture).length });
    expect(only?.points.map(({ id }) => id)).toEqual(["before", "after", "fault"]);
  });

  it("lists a damaged capture as what it is", async () => {
    await store(2);
    const file = join(folder, "captures", "day-01.capture");
    const bytes = await readFile(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    await writeFile(file, bytes);
    expect(await captures("list")).toMatch(/^day-01 .* {2}failed: .* \[capture-corrupt\]$/m);
  });

  it("makes nothing where there is nothing, and says so", async () => {
    expect(await captures("list", "--json")).toBe("[]\n");
    expect(await captures("prune", "--keep", "0")).toBe("nothing to remove: 0 captures stay\n");
    expect(await readdir(folder)).toEqual([]);
    vi.stubEnv("XDG_DATA_HOME", join(folder, "none"));
    expect(await run("captures", "list", "--json")).toBe("[]\n");
    expect(await readdir(folder)).toEqual([]);
  });

  it("refuses a folder that is not there, or is none", async () => {
    const error = await failure(run("captures", "list", "--data", join(folder, "typo")));
    expect([error.code, error.message]).toEqual([
      "file-unreadable",
      `Cannot look for captures in ${folder}/typo: no such file or folder`,
    ]);
    await writeFile(join(folder, "captures"), "");
    expect((await failure(captures("list"))).message).toMatch(/it is no folder$/);
  });
});

describe("ebscope captures prune", () => {
  const kept = async (): Promise<string[]> =>
    (await readdir(join(folder, "captures"))).filter((name) => name.endsWith(".capture")).sort();

  it("removes the oldest, and tells how much room came free", async () => {
    await store(3);
    const before = await room();
    const text = await captures("prune", "--keep", "1");
    const freed = before - (await room());
    expect(freed).toBeGreaterThan(0);
    expect(text.trimEnd().split("\n")).toEqual([
      "removed day-02",
      "removed day-01",
      expect.stringMatching(/^removed 2 captures: [\d.]+ KiB came free, 1 capture stays$/),
    ]);
    expect(Number(/[\d.]+(?= KiB)/.exec(text)?.[0])).toBeCloseTo(freed / 1024, 0);
    expect(await kept()).toEqual(["day-03.capture"]);
  });

  it("removes nothing in a dry run, and tells the same", async () => {
    await store(3);
    const before = await room();
    const dry = JSON.parse(await captures("prune", "--keep", "1", "--dry-run", "--json"));
    expect(await room()).toBe(before);
    expect(await captures("prune", "--keep", "1", "--dry-run")).toMatch(
      /^would remove day-02\nwould remove day-01\nwould remove 2 captures: .* would come free, 1 capture stays\n$/,
    );
    const wet = JSON.parse(await captures("prune", "--keep", "1", "--json"));
    expect([dry, wet]).toEqual([
      { removed: ["day-02", "day-01"], kept: 1, freed: before - (await room()), dryRun: true },
      { ...dry, dryRun: false },
    ]);
  });

  it.each([
    [["--older-than", "3000.5"], "nothing to remove: 2 captures stay"],
    [["--max-size", "10M"], "nothing to remove: 2 captures stay"],
    [["--older-than", "1"], "removed 1 capture:"],
    [["--max-size", "1k"], "removed 2 captures"],
    [["--keep", "2", "--older-than", "0"], "removed 2 captures"],
  ])("takes %j", async (bounds, said) => {
    vi.setSystemTime("2020-01-03T00:00:00Z");
    await store(2);
    expect(await captures("prune", ...bounds)).toContain(said);
    vi.useRealTimers();
  });

  it("wants a bound", async () => {
    const error = await failure(captures("prune", "--dry-run"));
    expect([error.code, error.next]).toEqual(["usage", expect.stringContaining("--keep N")]);
  });

  it("goes on beside a bridge that runs, which has the removed ones no more", async () => {
    await store(2);
    const verb = serveCommand({ port: 0, listen: "127.0.0.1", data: folder });
    await held(
      verb,
      () => printed.out.includes("try: "),
      async () => {
        const [, url = ""] = /curl (http:\S+)/.exec(printed.out) ?? [];
        const token = (await readFile(join(folder, "read.token"), "utf8")).trim();
        const list = async (): Promise<string[]> => {
          const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
          return ((await response.json()) as { capture: string }[]).map(({ capture }) => capture);
        };
        expect(await list()).toEqual(["day-02", "day-01"]);
        await captures("prune", "--keep", "1");
        expect(await list()).toEqual(["day-02"]);
      },
    );
  });
});

describe("a size on the command line", () => {
  it.each([
    ["0", 0],
    ["512", 512],
    ["500M", 500 * 1024 * 1024],
    ["1.5k", 1536],
    ["2GiB", 2 * 1024 ** 3],
    ["3 TB".replace(" ", ""), 3 * 1024 ** 4],
  ])("%j is so many bytes", (text, bytes) => {
    expect(size("--max-size <size>", "").parseArg?.(text, undefined)).toBe(bytes);
  });

  it.each(["", "M", "-1", "1e9", "5x", "0x10", "1 G", "9999999999T", "1..5", "Infinity"])(
    "%j is none",
    async (text) => {
      const program = buildProgram(() => undefined);
      const error = await program
        .parseAsync(["captures", "prune", `--max-size=${text}`], { from: "user" })
        .catch((cause: unknown) => cause);
      expect(error).toMatchObject({ code: "commander.invalidArgument" });
    },
  );
});
