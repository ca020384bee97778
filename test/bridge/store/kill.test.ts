/**
 * The store when its writer is killed, and when its disk fills up. The writer is another process (writer.ts); what it had announced is
 * what it had printed. 10 kills, or as many as EBSCOPE_KILLS says.
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CaptureStore } from "../../../src/bridge/ports.ts";
import { type DurableEventLog, openStore } from "../../../src/bridge/store/index.ts";
import { Random } from "../../support/random.ts";
import { freshFolder } from "./support.ts";
import { readWhole } from "./support-files.ts";

const WRITER = fileURLToPath(new URL("writer.ts", import.meta.url));
const KILLS = Number(process.env.EBSCOPE_KILLS ?? 10);

const folder = freshFolder();
let built = "";
/** The writer as one file: it starts in a tenth of the time. */
const program = () => join(built, "writer.js");

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), "ebscope-writer-"));
  const output = { ssr: WRITER, outDir: built, emptyOutDir: false, target: "node20" };
  await build({ configFile: false, logLevel: "error", ssr: { noExternal: true }, build: output });
  // ".js" is CommonJS unless this says otherwise.
  await writeFile(join(built, "package.json"), '{"type":"module"}');
}, 60_000);

afterAll(() => rm(built, { recursive: true, force: true }));
const sha = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Complete lines of what a process printed: a line that was cut off was not announced. */
function linesOf(output: string): string[][] {
  return output
    .slice(0, output.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" "));
}

/** Lets a writer write, and kills it at some moment; what it had announced until then. */
async function writeAndKill(seed: number, delay: number): Promise<string[][]> {
  const writer = spawn(process.execPath, [program(), folder(), String(seed)]);
  let output = "";
  let errors = "";
  writer.stdout.once("data", () => setTimeout(() => writer.kill("SIGKILL"), delay));
  writer.stdout.on("data", (bytes) => {
    output += String(bytes);
  });
  writer.stderr.on("data", (bytes) => {
    errors += String(bytes);
  });
  const [code, signal] = await once(writer, "close");
  if (signal !== "SIGKILL") throw new Error(`the writer ended by itself (${code}): ${errors}`);
  return linesOf(output);
}

/** Events from `from` on, as numbers and digests; checks that none is missing. */
async function digestsFrom(log: DurableEventLog, from: number): Promise<Map<number, string>> {
  const digests = new Map<number, string>();
  for (let at = from; at <= log.head; ) {
    const piece = await log.read(at, log.head);
    for (const { event, json } of piece) {
      expect(event.seq).toBe(at++);
      digests.set(event.seq, sha(json));
    }
  }
  return digests;
}

const UNFINISHED = (name: string) => name.endsWith(".part");

describe("a writer that is killed at any moment", () => {
  it(`loses nothing of what it had announced, ${KILLS} times`, { timeout: 10_000 * KILLS }, async (context) => {
    const random = new Random(Date.now());
    const events = new Map<number, string>();
    const seen = { slowest: 0, cut: 0, captures: 0, unfinished: 0 };
    for (let round = 1; round <= KILLS; round++) {
      const said = await writeAndKill(round, random.below(250));
      seen.unfinished += (await readdir(join(folder(), "captures"))).filter(UNFINISHED).length;
      const started = performance.now();
      const { log, captures } = await openStore(folder());
      seen.slowest = Math.max(seen.slowest, performance.now() - started);
      seen.cut += log.cut > 0 ? 1 : 0;
      expect(log.damage).toBeUndefined();
      const found = await digestsFrom(log, events.size + 1);
      for (const [seq, digest] of announced(said, "event")) expect(found.get(Number(seq)), `event ${seq}`).toBe(digest);
      for (const [seq, digest] of found) events.set(seq, digest);
      seen.captures += await checkCaptures(captures, announced(said, "capture"));
      expect((await readdir(join(folder(), "captures"))).filter(UNFINISHED)).toEqual([]);
      await log.close();
    }
    const { log } = await openStore(folder());
    expect([...(await digestsFrom(log, 1))].join("\n")).toBe([...events].join("\n"));
    await log.close();
    expect(Math.min(events.size, seen.captures)).toBeGreaterThan(KILLS / 2);
    const { slowest, cut, captures, unfinished } = seen;
    const summary = `${events.size} events, ${captures} captures, ${cut} torn ends, ${unfinished} unfinished files`;
    await context.annotate(`${summary}; opened in ${Math.round(slowest)} ms at most`);
  });
});

function announced(said: readonly string[][], what: string): Map<string, string> {
  expect(said.filter(([first]) => !["open", "event", "capture"].includes(first ?? ""))).toEqual([]);
  return new Map(said.filter(([first]) => first === what).map(([, name = "", digest = ""]) => [name, digest]));
}

/** Every capture that is visible must be whole, and those that were announced must be there: all but the oldest, which are pruned. */
async function checkCaptures(store: CaptureStore, expected: ReadonlyMap<string, string>): Promise<number> {
  const digests = new Map<string, string>();
  for (const { id } of await store.list()) {
    await store.read(id);
    digests.set(id, sha(await store.file(id)));
  }
  const newest = [...expected].slice(-8);
  for (const [id, digest] of newest) expect(digests.get(id), `capture ${id}`).toBe(digest);
  return newest.length;
}

describe("a disk that fills up", () => {
  const run = promisify(execFile);

  it("fails what has no room by an RLIMIT_FSIZE, and everything stored can be read", { timeout: 60_000 }, async () => {
    const command = `trap '' XFSZ; ulimit -f 100; exec "$@"`;
    const writer = [process.execPath, program(), folder(), "1", "until-full"];
    const { stdout } = await run("bash", ["-c", command, "bash", ...writer], { maxBuffer: 1 << 30 });
    await expectReadBack(linesOf(stdout), folder());
  });

  it("fails what has no room on a small file system, and everything stored can be read", {
    timeout: 60_000,
  }, async (context) => {
    const mounted = ["--user", "--map-root-user", "--mount", "bash", "-c"];
    const mount = `mount -t tmpfs -o size=2m none "$0"`;
    const small = join(folder(), "small");
    await mkdir(small);
    const can = await run("unshare", [...mounted, mount, small]).then(
      () => true,
      (error: Error) => context.skip(`this system lets nobody mount a file system of his own: ${error.message}`),
    );
    expect(can).toBe(true);
    const writer = [process.execPath, program(), small, "1", "until-full"];
    const command = `${mount} && "$@" && cp -r "$0" "$0-kept"`;
    const { stdout } = await run("unshare", [...mounted, command, small, ...writer], { maxBuffer: 1 << 30 });
    await expectReadBack(linesOf(stdout), `${small}-kept`);
  });
});

async function expectReadBack(said: readonly string[][], data: string): Promise<void> {
  const count = (what: string) => said.filter(([first]) => first === what).length;
  const codes = new Set(said.filter(([first]) => first === "failed").map(([, code]) => code));
  expect([...codes]).toEqual(["store-full"]);
  expect(said.at(-1)).toEqual(["read", String(count("event")), String(count("capture"))]);
  expect(count("event")).toBeGreaterThan(1);
  expect(count("capture")).toBeGreaterThan(0);
  const { log, captures } = await openStore(data);
  const { events, lost } = await readWhole(log);
  expect([events.length, lost]).toEqual([count("event"), []]);
  expect((await captures.list()).length).toBe(count("capture"));
  await log.close();
}
