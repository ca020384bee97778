/**
 * Real guests for the live tests: QEMU processes with a console and a gdbstub, ebscope as its users run it, and gdb as a second witness.
 * Shares no code with src. What is missing on the machine fails the test and says what to run; nothing is skipped.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const QEMU_7 = "qemu-system-aarch64";
export const QEMU_10 = join(ROOT, ".cache/qemu-10.0/qemu-system-aarch64");
export const AAVMF_2022 = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
export const AAVMF_2025 = join(ROOT, ".cache/aavmf-2025/QEMU_EFI.fd");
export const LINUX = join(ROOT, ".cache/guests/linux/vmlinuz");
export const XEN = join(ROOT, ".cache/guests/xen/xen.efi");
export const BLAME = join(ROOT, "examples/guests/blame/blame.efi");
export const HANDOFF = join(ROOT, "examples/guests/handoff/handoff.efi");

/** Fails the test when a file of the set-up is missing. */
export function need(...paths: readonly string[]): void {
  const missing = paths.filter((path) => path.includes("/") && !existsSync(path));
  if (missing.length > 0) {
    throw new Error(`This live test cannot run: ${missing.join(", ")} missing. Run: bash scripts/setup live`);
  }
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Wall time in milliseconds. */
  readonly ms: number;
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Waits until stderr matches. */
  stderrShows(pattern: RegExp): Promise<void>;
}

/** Starts a program; it is killed after `timeoutMs`, and the code is null then. */
export function start(program: string, args: readonly string[], timeoutMs = 120_000): Running {
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], cwd: ROOT });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
    for (const look of watchers) look();
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      for (const look of watchers) look();
      resolve({ code, stdout, stderr, ms: performance.now() - started });
    });
  });
  const stderrShows = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(stderr)) resolve();
        else if (child.exitCode !== null) reject(new Error(`${program} ended without showing ${pattern}:\n${stderr}`));
        else return;
        watchers.delete(look);
      };
      watchers.add(look);
      look();
    });
  return { child, finished, stderrShows };
}

const EBSCOPE = join(ROOT, "dist/src/cli/main.js");

/** Runs ebscope as it is built. */
export function ebscope(...args: readonly string[]): Promise<Finished> {
  return startEbscope(...args).finished;
}

export function startEbscope(...args: readonly string[]): Running {
  need(EBSCOPE);
  return start(process.execPath, [EBSCOPE, ...args]);
}

/** Runs ebscope with --json and returns what it printed. */
export async function ebscopeJson<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await ebscope(...args, "--json");
  if (code !== 0) throw new Error(`ebscope ${args.join(" ")} ended with ${code}:\n${stderr}`);
  return JSON.parse(stdout) as T;
}

/** How ebscope failed: its exit code and the code on stderr. Throws when it is not told as docs/errors.md says, or with a stack trace. */
export function failure({ code, stderr }: Finished): { readonly exit: number | null; readonly code: string } {
  const told = [...stderr.matchAll(/^ebscope: \S.*\n {2}→ \S.* \[([a-z0-9-]+)\]$/gm)];
  if (told.length !== 1) throw new Error(`${told.length} errors on stderr, with exit code ${code}:\n${stderr}`);
  if (/^\s+at .*[\w)]$/m.test(stderr) || /\w\.(js|ts):\d+/.test(stderr)) throw new Error(`a stack trace:\n${stderr}`);
  return { exit: code, code: told[0]?.[1] ?? "" };
}

/** Whether a process runs; one that has ended but was not waited for does not. */
export function processRuns(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** A temporary folder that goes when the scope ends. */
export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "ebscope-live-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export interface MachineOptions {
  readonly qemu?: string;
  readonly machine?: string;
  readonly cpu?: string;
  readonly memory?: number;
  readonly smp?: number;
  readonly firmware?: string;
  /** An EFI application or kernel that the firmware starts by itself, and its command line. */
  readonly kernel?: string;
  readonly append?: string;
  readonly extra?: readonly string[];
}

/** The QEMU command line for a machine, without stub and console. */
export function machine(options: MachineOptions): string[] {
  const qemu = options.qemu ?? QEMU_7;
  need(qemu, options.firmware ?? AAVMF_2022, ...(options.kernel === undefined ? [] : [options.kernel]));
  return [
    qemu,
    ...["-M", options.machine ?? "virt", "-cpu", options.cpu ?? "cortex-a57", "-m", String(options.memory ?? 1024)],
    ...["-smp", String(options.smp ?? 1), "-nographic", "-nic", "none"],
    ...["-bios", options.firmware ?? AAVMF_2022],
    ...(options.kernel === undefined ? [] : ["-kernel", options.kernel]),
    ...(options.append === undefined ? [] : ["-append", options.append]),
    ...(options.extra ?? []),
  ];
}

/** Whether someone listens on a unix socket; its file is there a little earlier. The flag is __SO_ACCEPTCON of the kernel. */
function listens(path: string): boolean {
  const sockets = readFileSync("/proc/net/unix", "latin1").split("\n");
  return sockets.some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[3] === "00010000");
}

/** A QEMU that a test runs itself. */
export class Guest implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Everything on the console so far. */
  console = "";
  readonly #folder: string;
  readonly #watchers = new Set<() => void>();

  /** Starts QEMU; `paused` with -S. */
  constructor(options: MachineOptions, paused = false) {
    this.#folder = mkdtempSync(join(tmpdir(), "ebscope-guest-"));
    const [program = "", ...args] = machine(options);
    this.child = spawn(
      program,
      [
        ...args,
        ...["-gdb", `unix:${this.gdbPath},server=on,wait=off`],
        ...["-qmp", `unix:${this.qmpPath},server=on,wait=off`],
        ...(paused ? ["-S"] : []),
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    this.child.stdout?.on("data", (chunk: Buffer) => {
      this.console += chunk.toString("latin1");
      for (const look of this.#watchers) look();
    });
    this.child.once("exit", () => {
      for (const look of this.#watchers) look();
    });
  }

  get gdbPath(): string {
    return join(this.#folder, "gdb.sock");
  }

  get qmpPath(): string {
    return join(this.#folder, "qmp.sock");
  }

  /** For --gdb. */
  get address(): string {
    return `unix:${this.gdbPath}`;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until the stub listens. */
  async listening(): Promise<this> {
    for (let tries = 0; tries < 200; tries++) {
      if (listens(this.gdbPath) && listens(this.qmpPath)) return this;
      await sleep(25);
    }
    throw new Error("QEMU's stub did not listen within 5 s");
  }

  /** Waits until the console matches. */
  shows(pattern: RegExp, timeoutMs = 90_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        if (error === undefined) resolve();
        else reject(error);
      };
      const failed = (why: string): Error =>
        new Error(`${why} before the console showed ${pattern}:\n${this.console.slice(-2000)}`);
      const look = (): void => {
        if (pattern.test(this.console)) done();
        else if (!this.alive) done(failed("QEMU ended"));
      };
      const timer = setTimeout(() => done(failed(`${timeoutMs / 1000} s passed`)), timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** Types on the console. */
  type(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Runs a command of the human monitor, over QMP. */
  async monitor(command: string): Promise<string> {
    return (await this.monitorAll([command]))[0] ?? "";
  }

  /** Runs commands of the human monitor, over QMP and in one write; their answers in the same order. */
  async monitorAll(commands: readonly string[]): Promise<string[]> {
    const execute = "human-monitor-command";
    const answers = await this.#qmp(commands.map((line) => ({ execute, arguments: { "command-line": line } })));
    return answers.map(String);
  }

  /** Whether QEMU says that the machine runs: `running`, `paused`, `prelaunch`. */
  async status(): Promise<string> {
    const [answer] = await this.#qmp([{ execute: "query-status" }]);
    return (answer as { status: string }).status;
  }

  /** QMP runs commands in the order in which they arrive, and answers each before the next. */
  #qmp(commands: readonly object[]): Promise<unknown[]> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.qmpPath);
      const answers: unknown[] = [];
      let text = "";
      const timer = setTimeout(() => socket.destroy(new Error("QMP did not answer within 10 s")), 10_000);
      socket.on("error", reject);
      socket.on("close", () => clearTimeout(timer));
      socket.on("data", (chunk) => {
        text += chunk;
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) {
          const message = JSON.parse(line) as Record<string, unknown>;
          if (message.QMP !== undefined) {
            const packets = commands.map((command, id) => JSON.stringify({ ...command, id }));
            socket.write(`{"execute":"qmp_capabilities"}\n${packets.join("\n")}\n`);
          } else if (message.id === answers.length) {
            if (message.error === undefined) answers.push(message.return);
            else reject(new Error(JSON.stringify(message.error)));
            if (message.error !== undefined || answers.length === commands.length) socket.end();
          }
        }
        if (answers.length === commands.length) resolve(answers);
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.alive) {
      const gone = new Promise((resolve) => this.child.once("exit", resolve));
      this.child.kill("SIGKILL");
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A machine at the prompt of the UEFI shell, where `START_HANDOFF` starts the test guest. The folder becomes its disk. */
export async function guestAtShell(folder: string, options: readonly string[] = []): Promise<Guest> {
  need(HANDOFF);
  copyFileSync(HANDOFF, join(folder, "handoff.efi"));
  const disk = ["-drive", `file=fat:rw:${folder},format=raw,if=none,id=d`, "-device", "virtio-blk-device,drive=d"];
  const guest = new Guest({ extra: [...disk, ...options] });
  try {
    await guest.listening();
    await guest.shows(/to skip/);
    guest.type("\x1b");
    await guest.shows(/Shell> /);
    return guest;
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}

/** To be typed at the prompt of `guestAtShell`. */
export const START_HANDOFF = "FS0:\\handoff.efi mode=clean\r";

/** Runs gdb-multiarch against a stub with these commands, each preceded by nothing but the connection; returns what it printed. */
export async function gdb(guest: Pick<Guest, "gdbPath">, ...commands: readonly string[]): Promise<string> {
  const args = ["-nx", "-batch", "-ex", "set architecture aarch64", "-ex", `target remote ${guest.gdbPath}`];
  for (const command of commands) args.push("-ex", command);
  const { code, stdout, stderr } = await start("gdb-multiarch", args, 60_000).finished;
  if (code !== 0) throw new Error(`gdb ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout;
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** `key=0x…` pairs of the last line of the test guest that starts with `guest: word`. */
export function guestLine(text: string, word: string): Record<string, string> {
  const line = guestLines(text, word).at(-1);
  if (line === undefined) throw new Error(`the guest printed no line "${word}":\n${text.slice(-3000)}`);
  return line;
}

/** All lines `guest: word …` as key/value pairs, in order. */
export function guestLines(text: string, word: string): Record<string, string>[] {
  return [...text.matchAll(new RegExp(`guest: ${word}\\b([^\\r\\n]*)`, "g"))].map(([, rest = ""]) =>
    Object.fromEntries([...rest.matchAll(/([\w-]+)=(\S+)/g)].map(([, key, value]) => [key, value])),
  );
}
