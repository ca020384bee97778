/** Programs of their own, for what has to be measured in a new process: nothing is compiled yet, and all memory is its own. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const MARK = "BENCH ";

export interface Ended {
  readonly stdout: string;
  /** From the start of the process to its end. */
  readonly milliseconds: number;
}

/** Runs a module of bench/ or src/ (its path from this folder) with these arguments. */
export function runModule(path: string, args: readonly string[]): Promise<Ended> {
  const own = fileURLToPath(import.meta.url);
  const extension = own.endsWith(".ts") ? ".ts" : ".js";
  const module = fileURLToPath(new URL(path + extension, import.meta.url));
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, module, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve({ stdout, milliseconds: performance.now() - started });
      else reject(new Error(`${path} ${args.join(" ")} ended with ${code}`));
    });
  });
}

/** What a module reports that got `input`. */
export async function askModule<T>(path: string, input: object): Promise<T> {
  const { stdout } = await runModule(path, [JSON.stringify(input)]);
  const line = stdout.split("\n").find((each) => each.startsWith(MARK));
  if (line === undefined) throw new Error(`${path} reported nothing:\n${stdout}`);
  return JSON.parse(line.slice(MARK.length)) as T;
}

/** In such a module: what it was asked. */
export function asked<T>(): T {
  return JSON.parse(process.argv[2] ?? "{}") as T;
}

/** In such a module: its answer. */
export function report(answer: object): void {
  console.log(MARK + JSON.stringify(answer));
}
