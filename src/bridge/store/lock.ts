/**
 * A lock on a folder that a killed holder cannot leave locked, of plain files only.
 *
 * Each contender makes a file whose name no other has or ever had, and then looks at the others: those of dead processes it
 * removes, and before a live one it goes back. As all make theirs before they look, of two at least one sees the other: never do both
 * hold the lock. A name is removed only when its owner is dead, which it stays: so taking over has no race. Two that go back at once
 * try again after different times.
 *
 * Who is alive: the process id, its start time (a process id comes back) and the boot (so does the pair). Only Linux tells the latter
 * two; elsewhere the id decides. Processes in other containers or on other hosts cannot be seen: one folder is for one of those.
 */
import { randomBytes } from "node:crypto";
import { open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { PRIVATE_FILE, readFailure, systemCode, writeFailure } from "./files.ts";

const FILE_NAME = /^(.+)\.lock-([1-9]\d{0,6})-(\d{1,20})-([0-9a-f]{8})-[0-9a-f]{8}$/;
const NO_START = "0";
const NO_BOOT = "00000000";
/** Between tries, in milliseconds. */
const PAUSE = 10;

interface Owner {
  readonly pid: number;
  /** In clock ticks since the boot. */
  readonly start: string;
  readonly boot: string;
}

export interface FolderLock {
  release(): Promise<void>;
}

/** Locks `name` in a folder, waiting for at most `patience` milliseconds; throws `store-locked`. */
export async function lockFolder(folder: string, name: string, patience: number): Promise<FolderLock> {
  const self = await thisProcess();
  const file = [`${name}.lock`, self.pid, self.start, self.boot, randomBytes(4).toString("hex")].join("-");
  const until = performance.now() + patience;
  for (;;) {
    const holder = await contend(folder, name, file, self);
    if (holder === undefined) return { release: () => rm(join(folder, file), { force: true }) };
    if (performance.now() >= until) throw locked(folder, holder);
    await new Promise((resolve) => setTimeout(resolve, PAUSE * (1 + Math.random())));
  }
}

/** Takes the lock, or leaves no trace and tells who has it. */
async function contend(folder: string, name: string, file: string, self: Owner): Promise<Owner | undefined> {
  const action = `lock ${printable(folder)}`;
  try {
    await (await open(join(folder, file), "wx", PRIVATE_FILE)).close();
  } catch (cause) {
    throw writeFailure(action, cause);
  }
  try {
    const holder = await otherHolder(folder, name, file, self);
    if (holder !== undefined) await rm(join(folder, file), { force: true });
    return holder;
  } catch (cause) {
    await rm(join(folder, file), { force: true }).catch(() => undefined);
    throw readFailure(action, cause);
  }
}

async function otherHolder(folder: string, name: string, file: string, self: Owner): Promise<Owner | undefined> {
  for (const other of await readdir(folder)) {
    const match = FILE_NAME.exec(other);
    if (match === null || match[1] !== name || other === file) continue;
    const [, , pid = "", start = "", boot = ""] = match;
    const owner = { pid: Number(pid), start, boot };
    if (await isAlive(owner, self)) return owner;
    await rm(join(folder, other), { force: true });
  }
  return undefined;
}

function locked(folder: string, holder: Owner): EbscopeError {
  return new EbscopeError("store-locked", `Cannot use ${printable(folder)}: process ${holder.pid} does`);
}

async function thisProcess(): Promise<Owner> {
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "latin1").catch(() => "");
  const about = await processStatus(process.pid);
  return { pid: process.pid, start: about?.start ?? NO_START, boot: /^[0-9a-f]{8}/.exec(boot)?.[0] ?? NO_BOOT };
}

async function isAlive(owner: Owner, self: Owner): Promise<boolean> {
  if (owner.boot !== self.boot && owner.boot !== NO_BOOT && self.boot !== NO_BOOT) return false;
  const about = await processStatus(owner.pid);
  if (about === undefined) return answers(owner.pid);
  // Dead, and its parent has not asked yet.
  if (about.state === "Z" || about.state === "X") return false;
  return owner.start === NO_START || owner.start === about.start;
}

/** Fields 3 and 22 of /proc/PID/stat (proc(5)); the second field, a name, may hold anything, parentheses too. */
async function processStatus(pid: number): Promise<{ readonly state: string; readonly start: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, start] = [fields[0], fields[19]];
  return state && start && /^\d{1,20}$/.test(start) ? { state, start } : undefined;
}

/** Signal 0 only asks (kill(2)); EPERM is another user's. */
function answers(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}
