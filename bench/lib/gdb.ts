/**
 * gdb-multiarch doing the same, by scripts in its own Python (bench/gdb/*.py): the times are taken inside gdb, so that its start and its
 * connecting do not count.
 */
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import type { StubAddress } from "../../src/rsp/transport.ts";
import type { Contender } from "./race.ts";
import { ROOT } from "./root.ts";

const GDB = "gdb-multiarch";
const MARK = "BENCH ";
const TIMEOUT_MS = 180_000;

/** `gdb-multiarch 13.1` */
export function gdbName(): string {
  try {
    const [, version] = /(\d+\.[\d.]*\d)\s*$/m.exec(execFileSync(GDB, ["--version"], { encoding: "utf8" })) ?? [];
    return `${GDB} ${version ?? ""}`.trim();
  } catch {
    throw new Error(`${GDB} is not there. Run: bash scripts/setup live`);
  }
}

/** Runs bench/gdb/SCRIPT.py against the stub with `input`; returns what it reports. The guest stays halted where the script leaves it. */
export async function runGdb<T>(script: string, address: StubAddress, input: object): Promise<T> {
  if (address.kind !== "unix") throw new Error("a launched guest listens on a unix socket");
  const path = join(ROOT, "bench/gdb", `${script}.py`);
  const environment = { ...process.env, BENCH: JSON.stringify({ ...input, socket: address.path }) };
  const output = await outputOf(["-nx", "-batch", "-x", path], environment);
  const report = output.split("\n").find((line) => line.startsWith(MARK));
  if (report === undefined) throw new Error(`gdb reported nothing:\n${output}`);
  return JSON.parse(report.slice(MARK.length)) as T;
}

function outputOf(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(GDB, args, { env, stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS });
    let output = "";
    const keep = (text: string): void => {
      output += text;
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    child.once("error", reject);
    child.once("close", () => resolve(output));
  });
}

/** A script as a contender; it reports the milliseconds of each repetition. */
export function gdbContender(script: string, address: StubAddress, input: object, way = ""): Contender {
  const turn = async (): Promise<readonly number[]> =>
    (await runGdb<{ readonly times: readonly number[] }>(script, address, input)).times;
  return { name: gdbName() + way, turn };
}
