/**
 * Starting QEMU under ebscope: paused, with a gdbstub on a private unix socket, its output passed on line by line.
 *
 * The socket lies in a new folder that only the user can enter. QEMU gets no standard input.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { abortError, delay } from "../base/abort.ts";
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import type { StubAddress } from "../rsp/transport.ts";

export interface LaunchOptions {
  readonly signal?: AbortSignal;
  /** Told each line that the command prints: the guest's console with -nographic, or QEMU's own words. Printable. */
  readonly onLine?: (source: "stdout" | "stderr", line: string) => void;
  /** How long the command may take until its stub listens. Default 10 s. */
  readonly startTimeoutMs?: number;
}

export interface Launched {
  readonly address: StubAddress;
  readonly pid: number;
  /** Ends the process if it still runs, and removes the socket. Never throws. */
  end(): Promise<void>;
  /** Lets the process live on without us. The socket stays. */
  leave(): void;
}

const START_TIMEOUT_MS = 10_000;
/** Options of the user's that would fight with ours. QEMU takes each with two dashes as well. */
const OURS = /^--?(S|s|gdb|daemonize)$/;

/** Starts `command` (program and arguments) and waits until its stub listens. */
export async function launchQemu(command: readonly string[], options: LaunchOptions = {}): Promise<Launched> {
  const [program, ...args] = command;
  if (program === undefined) throw new EbscopeError("usage", "Cannot launch: no command was given after --");
  const clash = args.find((arg) => OURS.test(arg));
  if (clash !== undefined) {
    throw new EbscopeError("usage", `Cannot launch with ${clash}: ebscope starts QEMU paused with a stub of its own`, {
      next: `Leave ${clash} out; or start QEMU yourself and use --gdb ADDRESS.`,
    });
  }
  const folder = await mkdtemp(join(tmpdir(), "ebscope-"));
  const path = join(folder, "gdb.sock");
  let child: ReturnType<typeof start>;
  try {
    child = start(program, [...args, "-S", "-gdb", `unix:${path},server=on,wait=off`]);
  } catch (cause) {
    // An empty name, or more arguments than the system takes.
    await rm(folder, { recursive: true, force: true });
    throw new EbscopeError("launch-failed", `Cannot start ${printable(program)}: it is no command`, { cause });
  }
  const qemu = new LaunchedQemu(child, folder, path);
  passLines(child.stdout, (line) => options.onLine?.("stdout", line));
  passLines(child.stderr, (line) => options.onLine?.("stderr", line));
  try {
    await qemu.listening(program, options.startTimeoutMs ?? START_TIMEOUT_MS, options.signal);
  } catch (error) {
    await qemu.end();
    throw error;
  }
  return qemu;
}

/** In a process group of its own, so that Ctrl-C in the terminal reaches ebscope only. */
function start(program: string, args: readonly string[]) {
  return spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
}

class LaunchedQemu implements Launched {
  readonly address: StubAddress;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #path: string;
  readonly #ended: Promise<string>;
  #running = true;
  /** If this program ends without the chance to tidy up, the machine must not stay behind. */
  readonly #atExit = (): void => {
    this.#signal("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  };

  constructor(child: ChildProcess, folder: string, path: string) {
    this.#child = child;
    this.#folder = folder;
    this.#path = path;
    this.address = { kind: "unix", path };
    process.once("exit", this.#atExit);
    this.#ended = new Promise((resolve) => {
      const ended = (how: string): void => {
        this.#running = false;
        resolve(how);
      };
      child.once("error", (error: NodeJS.ErrnoException) =>
        ended(error.code === "ENOENT" ? "no such program" : (error.code ?? error.message)),
      );
      child.once("exit", (code, signal) => {
        const how = signal === null ? `it ended with status ${code}` : `ended by ${signal}`;
        ended(how);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  async listening(program: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const name = printable(program);
    const giveUpAt = Date.now() + timeoutMs;
    for (;;) {
      if (signal?.aborted) throw abortError(signal);
      if (await exists(this.#path)) return;
      const how = await Promise.race([this.#ended, delay(20).then(() => undefined)]);
      if (how !== undefined) {
        const next =
          how === "no such program" ? `Install it or give its path; \`ebscope doctor\` tells how.` : undefined;
        throw new EbscopeError("launch-failed", `Cannot start ${name}: ${how}`, next === undefined ? {} : { next });
      }
      if (Date.now() > giveUpAt) {
        const within = `within ${timeoutMs / 1000} s`;
        throw new EbscopeError("launch-failed", `Cannot start ${name}: its gdbstub did not listen ${within}`);
      }
    }
  }

  async end(): Promise<void> {
    process.removeListener("exit", this.#atExit);
    if (this.#running) {
      this.#signal("SIGTERM");
      // A timer left behind would keep ebscope itself from ending.
      const killer = setTimeout(() => this.#signal("SIGKILL"), 2000);
      await this.#ended;
      clearTimeout(killer);
    }
    await rm(this.#folder, { recursive: true, force: true }).catch(() => undefined);
  }

  /** To the whole process group: the command may be a script around QEMU. */
  #signal(name: "SIGTERM" | "SIGKILL"): void {
    const { pid } = this.#child;
    if (pid === undefined || !this.#running) return;
    try {
      process.kill(-pid, name);
    } catch {
      // It has gone already.
    }
  }

  leave(): void {
    process.removeListener("exit", this.#atExit);
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    this.#child.unref();
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const MAX_LINE = 400;

/** Cuts a byte stream into printable lines; a line without an end is cut at MAX_LINE. */
function passLines(stream: NodeJS.ReadableStream | null, onLine: (line: string) => void): void {
  // A character may be cut by the end of a chunk.
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const tell = (raw: string): void => {
    const line = printable(stripEscapes(raw), MAX_LINE).trimEnd();
    if (line !== "") onLine(line);
  };
  stream?.on("data", (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? "";
    for (const line of lines) tell(line);
    if (rest.length > MAX_LINE) {
      tell(rest);
      rest = "";
    }
  });
  stream?.on("end", () => tell(rest));
}

/** Drops the terminal control sequences that firmware consoles are full of; others stay visible through `printable`. */
function stripEscapes(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control sequences start with ESC (ECMA-48).
  return line.replace(/\x1b\[[0-9;?=]*[A-Za-z]/g, "");
}
