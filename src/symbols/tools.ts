/** Programs on PATH, run without a shell and within bounds. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

export interface ToolLimits {
  /** In milliseconds. */
  readonly timeout: number;
  /** Bytes of output. */
  readonly output: number;
  readonly signal?: AbortSignal;
}

export type ToolResult =
  | { readonly state: "done"; readonly output: string }
  | { readonly state: "failed"; readonly why: string };

/** The first of the programs that is on PATH, as a path; a relative entry of PATH could be a folder that came with the file. */
export async function findTool(names: readonly string[], path = process.env.PATH ?? ""): Promise<string | undefined> {
  const folders = path.split(delimiter).filter((folder) => isAbsolute(folder));
  for (const name of names) {
    for (const folder of folders) {
      const tool = join(folder, name);
      if (await isExecutable(tool)) return tool;
    }
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a program to its end. Its environment is bare, so that it asks no debuginfod server for files. Never rejects. */
export function runTool(tool: string, args: readonly string[], limits: ToolLimits): Promise<ToolResult> {
  const options = {
    encoding: "utf8" as const,
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C" },
    killSignal: "SIGKILL" as const,
    maxBuffer: limits.output,
    shell: false,
    timeout: limits.timeout,
    windowsHide: true,
    ...(limits.signal === undefined ? {} : { signal: limits.signal }),
  };
  return new Promise((resolve) => {
    try {
      const child = execFile(tool, [...args], options, (error, output) => {
        resolve(error === null ? { state: "done", output } : { state: "failed", why: reasonOf(error, limits) });
      });
      child.stdin?.end();
    } catch (error) {
      resolve({ state: "failed", why: String((error as NodeJS.ErrnoException).code ?? "it could not be started") });
    }
  });
}

function reasonOf(error: Error & { code?: unknown; killed?: boolean }, limits: ToolLimits): string {
  if (limits.signal?.aborted) return "it was interrupted";
  if (error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") return "it printed too much";
  if (error.killed) return `it took longer than ${limits.timeout / 1000} s`;
  return typeof error.code === "number" ? `it ended with status ${error.code}` : String(error.code ?? "it was killed");
}
