/**
 * What this host allows a user to read of another process's memory.
 *
 * Source: ptrace(2), "Ptrace access mode checking" and "/proc/sys/kernel/yama/ptrace_scope": 0 processes of the same user, 1 only descendants, 2 only
 * with CAP_SYS_PTRACE, 3 nobody. capabilities(7): CAP_SYS_PTRACE is bit 19. What counts is what happens: a child of ours is started and
 * looked into.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { platform } from "node:process";

export interface HostMemoryRights {
  /** In short what may be read; undefined when nothing may. */
  readonly allowed: string | undefined;
  /** Why not more. */
  readonly limit: string | undefined;
}

const CAP_SYS_PTRACE = 1n << 19n;
const CHILD_SECONDS = "5";

export async function hostMemoryRights(): Promise<HostMemoryRights> {
  if (platform !== "linux") return { allowed: undefined, limit: "it needs Linux's /proc" };
  const refused = await childRefusal();
  const scope = yamaScope();
  if (refused !== undefined) {
    const yama = scope === undefined ? "" : `, Yama's ptrace_scope is ${scope}`;
    return { allowed: undefined, limit: `not even that of a child can be read (${refused}${yama})` };
  }
  if (mayTrace()) return { allowed: "of any process (CAP_SYS_PTRACE)", limit: undefined };
  if (scope === undefined || scope === "0") return { allowed: "of this user's processes", limit: undefined };
  return { allowed: "of guests that ebscope launches", limit: `Yama's ptrace_scope is ${scope}` };
}

/** Why the memory of a child of this process cannot be read; undefined when it can. */
function childRefusal(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn("sleep", [CHILD_SECONDS], { stdio: "ignore" });
    child.once("error", (error: NodeJS.ErrnoException) => resolve(`no child could be started: ${error.code}`));
    child.once("spawn", () => {
      const refused = readRefusal(child.pid ?? -1);
      child.kill("SIGKILL");
      resolve(refused);
    });
  });
}

/** Reads a byte at the start of the first thing that the process has mapped. */
function readRefusal(pid: number): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${pid}/mem`, "r");
    const start = /^([0-9a-f]+)-/.exec(readFileSync(`/proc/${pid}/maps`, "latin1"))?.[1] ?? "0";
    const came = readSync(fd, new Uint8Array(1), 0, 1, Number.parseInt(start, 16));
    return came === 1 ? undefined : "nothing to read";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function mayTrace(): boolean {
  const [, mask] = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(textOf("/proc/self/status")) ?? [];
  return mask !== undefined && (BigInt(`0x${mask}`) & CAP_SYS_PTRACE) !== 0n;
}

/** Undefined without Yama. */
function yamaScope(): string | undefined {
  return /^[0-3]/.exec(textOf("/proc/sys/kernel/yama/ptrace_scope"))?.[0];
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}
