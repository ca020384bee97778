/**
 * The real stubs that the conformance suite talks to, each with a guest halted at its first instruction. None was written here. One that
 * cannot run fails the test with what it said.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { need, QEMU_7, QEMU_10, sleep } from "../live.ts";
import { buildGuest, type Platform, type Program } from "./guest.ts";

export interface StubKind {
  /** As docs/rsp.md calls it, with the version that is installed. */
  readonly name: string;
  readonly platform: Platform;
  start(program: Program): Promise<RunningStub>;
}

export interface RunningStub extends AsyncDisposable {
  /** As RspClient takes it, and as gdb does. */
  readonly address: string;
  readonly gdbAddress: string;
  /** What the guest, and the stub itself, have printed. */
  readonly output: () => string;
  /** Waits until it has printed something; false when it has not within this time. */
  printed(text: string, withinMs: number): Promise<boolean>;
  /** Waits until the stub's process has ended; false when it has not within this time. */
  ended(withinMs: number): Promise<boolean>;
  /** The processes of the guest; none where it is emulated by the stub itself. */
  readonly guests: readonly number[];
  /** Whether the guest is there still. */
  guestRuns(): boolean;
}

const START_MS = 20_000;

function firstLine(program: string, args: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (error !== undefined) throw new Error(`${program} does not run (${error.message}). Run: bash scripts/setup live`);
  return (stdout || stderr).split("\n")[0] ?? "";
}

/** `7.2` of `QEMU emulator version 7.2.22 (…)`, `13.1` of `GNU gdbserver (Debian 13.1-3) 13.1`. */
function versionIn(line: string): string {
  const version = /version (\d+\.\d+)/.exec(line)?.[1] ?? /\) (\d+\.\d+)/.exec(line)?.[1];
  if (version === undefined) throw new Error(`no version in ${JSON.stringify(line)}`);
  return version;
}

/** The process of a stub, and where it listens. */
class StubProcess implements RunningStub {
  readonly child: ChildProcess;
  readonly folder: string;
  #output = "";
  guests: readonly number[] = [];
  address = "";
  gdbAddress = "";

  constructor(program: string, args: (folder: string) => readonly string[], extraPipes = 0) {
    need(program);
    this.folder = mkdtempSync(join(tmpdir(), "ebscope-stub-"));
    const pipes = Array.from({ length: 2 + extraPipes }, () => "pipe" as const);
    this.child = spawn(program, args(this.folder), { stdio: ["ignore", ...pipes] });
    const collect = (chunk: Buffer): void => {
      this.#output += chunk.toString("latin1");
    };
    this.child.stdout?.on("data", collect);
    this.child.stderr?.on("data", collect);
    this.child.on("error", (error) => {
      this.#output += error.message;
    });
  }

  output = (): string => this.#output;

  alive(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  ended(withinMs: number): Promise<boolean> {
    return within(withinMs, () => !this.alive());
  }

  printed(text: string, withinMs: number): Promise<boolean> {
    return within(withinMs, () => this.#output.includes(text));
  }

  guestRuns(): boolean {
    return this.guests.length === 0 ? this.alive() : this.guests.some((pid) => this.#isGuest(pid));
  }

  /** Whether a process is the guest, and not another that has its number now. The guest's path is the stub's last argument. */
  #isGuest(pid: number): boolean {
    return programOf(pid) === this.child.spawnargs.at(-1);
  }

  /** Waits until `found` gives where the stub listens. */
  async listening(found: () => { address: string; gdbAddress: string } | undefined): Promise<this> {
    for (const end = Date.now() + START_MS; Date.now() < end; await sleep(5)) {
      const where = found();
      if (where !== undefined) {
        this.guests = childrenOf(this.child.pid);
        return Object.assign(this, where);
      }
      if (!this.alive()) break;
    }
    const { output } = this;
    await this[Symbol.asyncDispose]();
    throw new Error(`${this.child.spawnfile} cannot run here: it did not listen. It said: ${output()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended(2000);
    // A guest that was let go would run for ever.
    for (const guest of this.guests) if (this.#isGuest(guest)) process.kill(guest, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function within(milliseconds: number, done: () => boolean): Promise<boolean> {
  for (const end = Date.now() + milliseconds; !done(); await sleep(5)) if (Date.now() > end) return false;
  return true;
}

/** What a process was started as; empty when it has ended. */
function programOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")[0] ?? "";
  } catch {
    return "";
  }
}

/** As the kernel lists them. */
function childrenOf(pid: number | undefined): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1");
  return list.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** Whether someone listens on a unix socket: __SO_ACCEPTCON of the kernel. Connecting to find out would be a session. */
function listens(path: string): boolean {
  const sockets = readFileSync("/proc/net/unix", "latin1").split("\n");
  return sockets.some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[3] === "00010000");
}

function onUnixSocket(program: string, args: (socket: string) => readonly string[]): Promise<RunningStub> {
  const stub = new StubProcess(program, (folder) => args(join(folder, "gdb.sock")));
  const path = join(stub.folder, "gdb.sock");
  return stub.listening(() => (listens(path) ? { address: `unix:${path}`, gdbAddress: path } : undefined));
}

function onPort(port: string | undefined): { address: string; gdbAddress: string } | undefined {
  return port === undefined ? undefined : { address: `127.0.0.1:${port}`, gdbAddress: `127.0.0.1:${port}` };
}

function qemuMachine(program: string): StubKind {
  return {
    name: `QEMU ${versionIn(firstLine(program, ["--version"]))}`,
    platform: "machine",
    start: ({ path }) =>
      onUnixSocket(program, (socket) => [
        ...["-M", "virt", "-cpu", "cortex-a57", "-m", "64", "-smp", "2", "-nic", "none", "-display", "none"],
        ...["-serial", "stdio", "-monitor", "none", "-kernel", path, "-S", "-gdb", `unix:${socket},server=on,wait=off`],
      ]),
  };
}

export const QEMU_USER: StubKind = {
  name: `qemu-user ${versionIn(firstLine("qemu-aarch64", ["--version"]))}`,
  platform: "aarch64-process",
  start: ({ path }) => onUnixSocket("qemu-aarch64", (socket) => ["-g", socket, path]),
};

export const GDBSERVER: StubKind = {
  name: `gdbserver ${versionIn(firstLine("gdbserver", ["--version"]))}`,
  platform: "native-process",
  start: ({ path }) => {
    const stub = new StubProcess("gdbserver", () => ["--once", "127.0.0.1:0", path]);
    return stub.listening(() => onPort(/Listening on port (\d+)/.exec(stub.output())?.[1]));
  },
};

const LLDB_SERVER_PROGRAM = existsSync("/usr/bin/lldb-server-14") ? "/usr/bin/lldb-server-14" : "/usr/bin/lldb-server";

export const LLDB_SERVER: StubKind = {
  name: `lldb-server ${versionIn(firstLine(LLDB_SERVER_PROGRAM, ["version"]))}`,
  platform: "native-process",
  start: ({ path }) => {
    // It writes the port, and a zero byte, to the descriptor.
    const stub = new StubProcess(LLDB_SERVER_PROGRAM, () => ["gdbserver", "--pipe", "3", "127.0.0.1:0", "--", path], 1);
    let port = "";
    (stub.child.stdio[3] as Readable | undefined)?.on("data", (chunk: Buffer) => {
      port += chunk.toString("latin1");
    });
    return stub.listening(() => onPort(/^(\d+)\0/.exec(port)?.[1]));
  },
};

export const QEMU_SYSTEM_7 = qemuMachine(QEMU_7);
export const QEMU_SYSTEM_10 = qemuMachine(QEMU_10);
export const STUBS: readonly StubKind[] = [QEMU_SYSTEM_7, QEMU_SYSTEM_10, QEMU_USER, GDBSERVER, LLDB_SERVER];

/** Programs are built once a run. */
const programs = new Map<Platform, Program & Disposable>();

export function programFor({ platform }: StubKind): Program {
  const built = programs.get(platform) ?? buildGuest(platform);
  programs.set(platform, built);
  return built;
}

export function disposePrograms(): void {
  for (const program of programs.values()) program[Symbol.dispose]();
  programs.clear();
}
