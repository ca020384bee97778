/**
 * What is asked of QEMU's stub on attaching: its version, whether the machine ran, the registers, the vCPUs.
 *
 * Source: "Debugging with GDB", appendix E; QEMU's docs/system/gdb.rst for `qqemu.*`. Measured on QEMU 7.2 and 10.0:
 * - Connecting pauses the machine. If it ran, a stop reply (T02) comes before the answer to our first request; a machine that
 *   was paused already sends none. That is how `wasRunning` is known. From QEMU 8.1 on no such reply comes: see `pausedUntold`.
 * - `p` works only after target.xml was read on this connection, so that is read here.
 *
 * Everything the stub says is untrusted: documents, lists and what they make us read later are bounded.
 */
import { EbscopeError } from "../base/error.ts";
import type { RegisterDefinition } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import type { Reply } from "../rsp/command.ts";
import { haltReason } from "../rsp/commands/execution.ts";
import { monitorCommand } from "../rsp/commands/monitor.ts";
import { physicalMemoryMode } from "../rsp/commands/qemu.ts";
import { askSupported, hasFeature, type StubFeatures } from "../rsp/commands/queries.ts";
import { isAnnex, readObject } from "../rsp/commands/transfer.ts";
import type { Connection } from "../rsp/connection.ts";
import type { StopReply } from "../rsp/reply.ts";
import type { Cpu, TargetInfo } from "./target.ts";
import { readTargetDescription } from "./target-xml.ts";

/** The packet size that every version takes (QEMU up to 10.0 says so itself). */
const SMALL_PACKET = 0x1000;
/** `m` or `l` before a piece of a document, and the frame around it. */
const PIECE_OVERHEAD = 5;
const MAX_DOCUMENT = 4 << 20;
/** Pieces that one document may come in: QEMU needs some ten. */
const MAX_PIECES = 2048;
const MAX_THREADS = 512;
/** Registers of all vCPUs together, and their bytes: 512 vCPUs with everything that QEMU has. */
const MAX_REGISTER_READS = 1 << 18;
const MAX_REGISTER_BYTES = 48 << 20;

/** What is known after the first requests. */
export interface Greeting {
  readonly features: StubFeatures;
  /** As QEMU's monitor says it; undefined when the stub has no monitor. */
  readonly version: string | undefined;
  /** Whether the machine ran before we came. */
  readonly wasRunning: boolean;
}

/** What is known of the machine when all has been asked. */
export interface Machine {
  readonly info: TargetInfo;
  /** Whether the stub's `m` and `M` were physical when we came. */
  readonly foundPhysMode: boolean;
  /** How the machine last stopped. */
  readonly stop: StopReply | undefined;
}

/** The first requests: what they tell decides how the guest is left if anything goes wrong afterwards. */
export async function greet(connection: Connection): Promise<Greeting> {
  const answer = await connection.send(askSupported(["xmlRegisters=aarch64"]));
  const features: StubFeatures = answer.kind === "ok" ? answer.value : { all: new Map(), packetSize: undefined };
  const version = await monitor(connection, "info version");
  if (version !== undefined) await connection.implyAcks();
  else if (hasFeature(features, "QStartNoAckMode")) await connection.startNoAckMode();
  connection.packetSize = packetSizeOf(features);
  const wasRunning = connection.unsolicited.length > 0 || (await pausedUntold(connection, version));
  return { features, version, wasRunning };
}

function packetSizeOf({ packetSize }: StubFeatures): number {
  return Math.max(SMALL_PACKET, packetSize ?? 0);
}

/**
 * Whether a QEMU that does not tell it (from 8.1 on) paused the machine when we connected. A machine that never ran, crashed or hit a
 * breakpoint says so (`paused (prelaunch)`); one that the monitor's `stop` paused cannot be told from one that ran.
 */
async function pausedUntold(connection: Connection, version: string | undefined): Promise<boolean> {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  if (Number(major) < 8 || (major === "8" && minor === "0")) return false;
  return /^VM status: paused\s*$/.test((await monitor(connection, "info status")) ?? "");
}

/** Reads everything that describes the machine; throws when it is none that can be used. */
export async function describe(connection: Connection, greeting: Greeting): Promise<Machine> {
  const { features, version, wasRunning } = greeting;
  const packetSize = packetSizeOf(features);
  if (!hasFeature(features, "qXfer:features:read")) {
    throw unsupported("it does not describe its registers (qXfer:features)");
  }
  const stop = await connection.send(haltReason());
  const description = await readTargetDescription((annex) => readDocument(connection, annex, packetSize));
  if (description.architecture !== "aarch64") {
    const found = description.architecture === "" ? "another architecture" : printable(description.architecture, 40);
    throw new EbscopeError("not-aarch64", `Cannot use this guest: it is ${found}, not aarch64`);
  }
  const cpus = await listCpus(connection);
  boundRegisters(cpus, description.registers);
  const mode = await connection.send(physicalMemoryMode());
  if (mode.kind !== "ok") throw unsupported("it has no physical memory mode (qqemu.PhyMemMode)");
  const qemuVersion = version === undefined ? undefined : versionText(version);
  const { architecture, registers } = description;
  return {
    info: { qemuVersion, architecture, registers, cpus, packetSize, wasRunning },
    foundPhysMode: mode.value,
    stop: stop.kind === "ok" ? stop.value : undefined,
  };
}

function unsupported(why: string): EbscopeError {
  return new EbscopeError("stub-unsupported", `Cannot use this stub: ${why}`);
}

/** A stub may not make us read without end by what it says that there is. */
function boundRegisters(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): void {
  const bytes = registers.reduce((sum, { bits }) => sum + Math.ceil(bits / 8), 0);
  if (cpus.length * registers.length <= MAX_REGISTER_READS && cpus.length * bytes <= MAX_REGISTER_BYTES) return;
  const what = `${cpus.length} vCPUs with ${registers.length} registers of ${bytes} bytes`;
  throw new EbscopeError("protocol-error", `Cannot use this stub: it lists ${what}, more than any machine has`);
}

async function readDocument(connection: Connection, annex: string, packetSize: number): Promise<string> {
  // The stub named it.
  if (!/^[\w.+-]{1,100}$/.test(annex) || !isAnnex(annex)) {
    const named = JSON.stringify(printable(annex, 60));
    throw new EbscopeError("protocol-error", `Cannot use the stub's target description: it includes ${named}`);
  }
  const bounds = { pieceLength: packetSize - PIECE_OVERHEAD, maxBytes: MAX_DOCUMENT, maxPieces: MAX_PIECES };
  const reply = await readObject((command) => connection.send(command), "features", annex, bounds);
  if (reply.kind === "ok") return Buffer.from(reply.value).toString();
  throw new EbscopeError(
    "stub-refused",
    `Cannot read the target description ${annex}: the stub says ${saidText(reply)}`,
  );
}

/** The vCPUs by the ids that the stub gives them, letter by letter: stop replies name them so. */
async function listCpus(connection: Connection): Promise<Cpu[]> {
  const threads: string[] = [];
  let reply = await connection.requestText("qfThreadInfo", { label: "listing vCPUs" });
  while (reply[0] === "m") {
    threads.push(...reply.slice(1).split(",", MAX_THREADS + 1));
    if (threads.length > MAX_THREADS)
      throw new EbscopeError("protocol-error", "Cannot list the vCPUs: the list does not end");
    reply = await connection.requestText("qsThreadInfo", { label: "listing vCPUs" });
  }
  if (threads.length === 0 || threads.some((thread) => !/^[p0-9a-f.]{1,40}$/i.test(thread))) {
    throw new EbscopeError("protocol-error", "Cannot list the vCPUs: the stub's thread list is unusable");
  }
  return threads.map((thread, index) => ({ index, thread }));
}

/** Runs a command of QEMU's monitor; undefined when the stub has none. */
export async function monitor(connection: Connection, command: string): Promise<string | undefined> {
  const reply = await connection.send(monitorCommand(command));
  if (reply.kind !== "ok") return undefined;
  if (!reply.value.truncated) return reply.value.text;
  throw new EbscopeError("protocol-error", `Cannot use what the monitor prints for \`${command}\`: it does not end`);
}

/** `7.2.22Debian 1:7.2+dfsg-7` → `7.2.22 (Debian 1:7.2+dfsg-7)` */
function versionText(text: string): string {
  const [, number, rest] = /^(\d+(?:\.\d+)*)\s*(.*)$/s.exec(text.trim()) ?? [];
  if (number === undefined) return printable(text.trim(), 100);
  return rest ? `${number} (${printable(rest.replace(/^\((.*)\)$/, "$1"), 80)})` : number;
}

/** What a stub said instead of doing what it was asked for. */
export function saidText(reply: Exclude<Reply<unknown>, { kind: "ok" }>): string {
  return reply.kind === "unsupported" ? "nothing (unsupported)" : JSON.stringify(printable(reply.text, 40));
}
