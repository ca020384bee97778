/** Measures the dearest symbol files, each in a process of its own. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Cost } from "./cost.ts";
import { WORST_FILES, type WorstFile } from "./worst-files.ts";

const PROGRAM = fileURLToPath(new URL("cost.ts", import.meta.url));

/** What each file costs, in the order of WORST_FILES; those whose name holds `only`. */
export async function* worstCosts(only = ""): AsyncGenerator<readonly [name: string, cost: Cost]> {
  const folder = await mkdtemp(join(tmpdir(), "ebscope-worst-"));
  try {
    for (const file of WORST_FILES.filter(({ name }) => name.includes(only)))
      yield [file.name, await costOf(file, folder)];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function costOf({ make }: WorstFile, folder: string): Promise<Cost> {
  const path = join(folder, "worst.map");
  await writeFile(path, make());
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", PROGRAM, path], {
    timeout: 120_000,
  });
  return JSON.parse(stdout) as Cost;
}
