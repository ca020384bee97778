/**
 * A live guest behind QEMU's gdbstub.
 *
 * Source: "Debugging with GDB", appendix E; QEMU's docs/system/gdb.rst for `qqemu.*` and `Qqemu.*`; behaviour measured on QEMU 7.2
 * and 10.0 where it differs:
 * - Connecting pauses the machine. If it ran, a stop reply (T02) comes before the answer to our first request; a machine that
 *   was paused already sends none. That is how `wasRunning` is known. From QEMU 8.1 on no such reply comes: see `pausedUntold`.
 * - `p` works only after target.xml was read on this connection, so that comes first.
 * - Physical reads need `Qqemu.PhyMemMode:1`, a global of the QEMU process that outlives connections. Each batch sets it first and
 *   puts back what was found last, in the same pipelined write, so that it is never left set between batches.
 * - Physical reads where there is no memory give zeros, and reads of device registers have side effects: RAM and ROM ranges from
 *   `info mtree -f` decide what is read.
 * - Breakpoints match a virtual address on every vCPU at every exception level. Resuming on one hits it again at once.
 * - Closing the connection leaves the machine paused with the breakpoints in; `D` removes them and lets it run.
 */

import { delay, throwIfAborted } from "../base/abort.ts";
import { PAGE_SIZE, phys, rangeContains, type VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { bytesOfHex } from "../base/hex.ts";
import type { MemoryRange, MemoryRead, PhysMemory, PhysSpan } from "../base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../base/registers.ts";
import { latin1, printable } from "../base/text.ts";
import { type BatchRequest, Connection, type ConnectionOptions } from "../rsp/connection.ts";
import { errorReply, parseStopReply, parseSupported, type StopReply } from "../rsp/reply.ts";
import { connectTransport, type StubAddress, type Transport } from "../rsp/transport.ts";
import { parseMemoryTree } from "./memory-map.ts";
import type { Breakpoint, Cpu, Stop, Target, TargetInfo } from "./target.ts";
import { readTargetDescription } from "./target-xml.ts";

/** The packet size that every version takes (QEMU up to 10.0 says so itself). */
const SMALL_PACKET = 0x1000;
/** Above this a reply would pass what the framing accepts as one packet. */
const LARGE_PACKET = 1 << 20;
const MAX_ANNEX = 4 << 20;
/** Pieces in which the whole description may come: QEMU needs some ten. */
const MAX_PIECES = 2048;
const MAX_THREADS = 512;
const MAX_MONITOR_TEXT = 4 << 20;

export interface AttachOptions extends ConnectionOptions {
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Connects to a stub and learns what it offers. The guest is halted when this returns. */
export async function attachQemu(address: StubAddress, options: AttachOptions = {}): Promise<Target> {
  const transport = await connectTransport(address, {
    ...(options.connectTimeoutMs !== undefined && { timeoutMs: options.connectTimeoutMs }),
    ...(options.signal !== undefined && { signal: options.signal }),
  });
  return openQemu(transport, options);
}

/** As `attachQemu`, over a connected transport. */
export async function openQemu(transport: Transport, options: AttachOptions = {}): Promise<Target> {
  const connection = new Connection(transport, options);
  let leaving: Promise<void> | undefined;
  const onAbort = (): void => {
    leaving = leave(connection);
  };
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const target = await negotiate(connection);
    throwIfAborted(options.signal);
    return target;
  } catch (error) {
    await (leaving ?? connection.close());
    if (options.signal?.aborted) throw new EbscopeError("interrupted", "Stopped on request while attaching");
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/** How long an answer is waited for that may tell whether the guest ran. */
const LEAVE_MS = 500;

/** Leaves in the middle of the attaching: a guest that ran before we came is let go. */
async function leave(connection: Connection): Promise<void> {
  const over = new AbortController();
  await Promise.race([connection.drain(), delay(LEAVE_MS, over.signal).catch(() => undefined)]);
  over.abort();
  await letGo(connection, connection.unsolicited.length > 0);
}

/** Closes the connection; a guest that is to run is let go first. Never throws. */
async function letGo(connection: Connection, run: boolean): Promise<void> {
  if (run) await connection.detach().catch(() => undefined);
  await connection.close();
}

async function negotiate(connection: Connection): Promise<Target> {
  const features = parseSupported(
    await connection.requestText("qSupported:xmlRegisters=aarch64", { label: "qSupported" }),
  );
  const version = await monitor(connection, "info version");
  const wasRunning = connection.unsolicited.length > 0 || (await pausedUntold(connection, version));
  try {
    return await describe(connection, features, { version, wasRunning });
  } catch (error) {
    // The guest stands still only because we came; a stub we cannot use must not be left that way.
    if (wasRunning) await connection.detach().catch(() => undefined);
    throw error;
  }
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

async function describe(
  connection: Connection,
  features: ReadonlyMap<string, string>,
  { version, wasRunning }: { version: string | undefined; wasRunning: boolean },
): Promise<Target> {
  const told = Number.parseInt(features.get("PacketSize") ?? "", 16) || 0;
  const packetSize = Math.min(Math.max(SMALL_PACKET, told), LARGE_PACKET);
  if (features.get("qXfer:features:read") !== "+") {
    throw new EbscopeError(
      "stub-unsupported",
      "Cannot use this stub: it does not describe its registers (qXfer:features)",
    );
  }
  const stop = parseStopReply(await connection.requestText("?", { label: "?", expectsStop: true }));
  const budget = { pieces: MAX_PIECES };
  const description = await readTargetDescription((annex) => readAnnex(connection, annex, packetSize, budget));
  if (description.architecture !== "aarch64") {
    const found = description.architecture === "" ? "another architecture" : printable(description.architecture, 40);
    throw new EbscopeError("not-aarch64", `Cannot use this guest: it is ${found}, not aarch64`);
  }
  const cpus = await readThreads(connection);
  connection.impliedAcks = version !== undefined;
  const foundPhysMode = await connection.requestText("qqemu.PhyMemMode", { label: "qqemu.PhyMemMode" });
  if (!/^[01]$/.test(foundPhysMode)) {
    throw new EbscopeError(
      "stub-unsupported",
      "Cannot use this stub: it has no physical memory mode (qqemu.PhyMemMode)",
    );
  }
  const info: TargetInfo = {
    qemuVersion: version === undefined ? undefined : versionText(version),
    architecture: description.architecture,
    registers: description.registers,
    cpus,
    wasRunning,
  };
  const target = new QemuTarget(connection, info, { packetSize, foundPhysMode });
  if (stop !== undefined) target.noteStop(stop);
  await target.memoryRanges();
  return target;
}

async function readAnnex(
  connection: Connection,
  annex: string,
  packetSize: number,
  budget: { pieces: number },
): Promise<string> {
  if (!/^[\w.+-]{1,100}$/.test(annex)) {
    const named = JSON.stringify(printable(annex, 60));
    throw new EbscopeError("protocol-error", `Cannot use the stub's target description: it includes ${named}`);
  }
  const label = `reading ${annex}`;
  const length = packetSize - 5;
  let text = "";
  for (;;) {
    const reply = await connection.requestText(
      `qXfer:features:read:${annex}:${text.length.toString(16)},${length.toString(16)}`,
      { label },
    );
    if (reply[0] !== "m" && reply[0] !== "l") {
      throw new EbscopeError(
        "stub-refused",
        `Cannot read the target description ${annex}: the stub says ${quote(reply)}`,
      );
    }
    text += reply.slice(1);
    if (reply[0] === "l") return text;
    if (reply.length === 1 || text.length > MAX_ANNEX || --budget.pieces <= 0) {
      throw new EbscopeError("protocol-error", `Cannot read the target description ${annex}: it does not end`);
    }
  }
}

async function readThreads(connection: Connection): Promise<Cpu[]> {
  const threads: string[] = [];
  let reply = await connection.requestText("qfThreadInfo", { label: "listing vCPUs" });
  while (reply[0] === "m") {
    threads.push(...reply.slice(1).split(","));
    if (threads.length > MAX_THREADS)
      throw new EbscopeError("protocol-error", "Cannot list the vCPUs: the list does not end");
    reply = await connection.requestText("qsThreadInfo", { label: "listing vCPUs" });
  }
  if (threads.length === 0 || threads.some((thread) => !/^[p0-9a-f.]{1,40}$/i.test(thread))) {
    throw new EbscopeError("protocol-error", "Cannot list the vCPUs: the stub's thread list is unusable");
  }
  return threads.map((thread, index) => ({ index, thread }));
}

/** Runs a QEMU monitor command; undefined when the stub has no monitor. */
async function monitor(connection: Connection, command: string): Promise<string | undefined> {
  const parts: string[] = [];
  let length = 0;
  const reply = await connection.requestText(`qRcmd,${Buffer.from(command).toString("hex")}`, {
    label: `monitor ${command}`,
    onOutput: (text) => {
      length += text.length;
      if (length <= MAX_MONITOR_TEXT) parts.push(text);
    },
  });
  if (reply === "") return undefined;
  if (reply !== "OK") parts.push(reply);
  const bytes = bytesOfHex(parts.join(""));
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
}

/** `7.2.22Debian 1:7.2+dfsg-7` → `7.2.22 (Debian 1:7.2+dfsg-7)` */
function versionText(text: string): string {
  const [, number, rest] = /^(\d+(?:\.\d+)*)\s*(.*)$/s.exec(text.trim()) ?? [];
  if (number === undefined) return printable(text.trim(), 100);
  return rest ? `${number} (${printable(rest.replace(/^\((.*)\)$/, "$1"), 80)})` : number;
}

function quote(reply: string): string {
  return reply === "" ? "nothing (unsupported)" : JSON.stringify(printable(reply, 40));
}

class QemuTarget implements Target {
  readonly info: TargetInfo;
  readonly memory: PhysMemory;
  readonly #connection: Connection;
  readonly #foundPhysMode: string;
  readonly #maxRead: number;
  readonly #breakpoints = new Map<VirtAddr, Breakpoint>();
  #ranges: readonly MemoryRange[] = [];
  #stoppedCpu: Cpu;
  #released: Promise<void> | undefined;

  constructor(connection: Connection, info: TargetInfo, stub: { packetSize: number; foundPhysMode: string }) {
    this.#connection = connection;
    this.info = info;
    this.#foundPhysMode = stub.foundPhysMode;
    this.#maxRead = Math.floor(stub.packetSize / 2 / PAGE_SIZE) * PAGE_SIZE || stub.packetSize / 2;
    this.#stoppedCpu = info.cpus[0] as Cpu;
    this.memory = { read: (spans) => this.#readPhysical(spans) };
  }

  get stoppedCpu(): Cpu {
    return this.#stoppedCpu;
  }

  noteStop(stop: StopReply): void {
    if (stop.kind !== "signal") return;
    const cpu = this.info.cpus.find((each) => each.thread === stop.thread);
    if (cpu !== undefined) this.#stoppedCpu = cpu;
  }

  async memoryRanges(): Promise<readonly MemoryRange[]> {
    const text = await monitor(this.#connection, "info mtree -f");
    const ranges = text === undefined ? [] : parseMemoryTree(text);
    if (ranges.length === 0) {
      throw new EbscopeError(
        "stub-unsupported",
        "Cannot tell which memory of the guest is RAM: the stub does not answer `info mtree -f`",
      );
    }
    this.#ranges = ranges;
    return ranges;
  }

  async readRegisters(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): Promise<RegisterRead[][]> {
    const stride = registers.length + 1;
    const requests = cpus.flatMap((cpu) => [
      { payload: `Hg${cpu.thread}`, label: () => `selecting vCPU ${cpu.index}` },
      ...registers.map(({ number, name }) => ({ payload: `p${number.toString(16)}`, label: () => `reading ${name}` })),
    ]);
    let selected = false;
    const reads = await this.#connection.batch(requests, (reply, i): RegisterRead => {
      const definition = registers[(i % stride) - 1];
      if (definition !== undefined) return selected ? registerRead(reply, definition.bits) : UNREADABLE;
      selected = latin1(reply) === "OK";
      return UNREADABLE;
    });
    return cpus.map((_, i) => reads.slice(i * stride + 1, (i + 1) * stride));
  }

  async #readPhysical(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    this.#mustBeHeld();
    const results: MemoryRead[] = spans.map(() => ABSENT);
    const parts = spans.flatMap((span, i) => this.#partsOf(span, i));
    if (parts.length === 0) return results;
    const requests = [physModeRequest("1"), ...parts.map(readRequest), physModeRequest(this.#foundPhysMode)];
    let refused = false;
    await this.#connection.batch(requests, (reply, i) => {
      const part = parts[i - 1];
      if (part === undefined) refused ||= latin1(reply) !== "OK";
      else if (!placePart(part, reply)) results[part.span] = { state: "unreadable", code: "read-failed" };
      else if (results[part.span] === ABSENT) results[part.span] = { state: "present", bytes: part.bytes };
    });
    if (refused) {
      throw new EbscopeError("stub-refused", "Cannot read physical memory: the stub refused Qqemu.PhyMemMode");
    }
    return results;
  }

  /** A span in pieces that the stub reads at once; none when the span is not all RAM or ROM. */
  #partsOf({ address, length }: PhysSpan, span: number): SpanPart[] {
    if (!this.#ranges.some((range) => rangeContains(range, address, length))) return [];
    const bytes = Buffer.allocUnsafeSlow(length);
    const parts: SpanPart[] = [];
    for (let at = 0; at < length; at += this.#maxRead) {
      parts.push({
        span,
        bytes,
        at,
        address: phys(address + BigInt(at)),
        length: Math.min(this.#maxRead, length - at),
      });
    }
    return parts;
  }

  async insertBreakpoint(address: VirtAddr): Promise<Breakpoint> {
    this.#mustBeHeld();
    // QEMU would hold it twice, and keep one when it is removed.
    const held = this.#breakpoints.get(address);
    if (held !== undefined) return held;
    const where = address.toString(16);
    const reply = await this.#connection.requestText(`Z0,${where},4`, {
      label: `inserting a breakpoint at 0x${where}`,
    });
    if (reply !== "OK") {
      throw new EbscopeError("stub-refused", `Cannot insert a breakpoint at 0x${where}: the stub says ${quote(reply)}`);
    }
    const breakpoint: Breakpoint = {
      address,
      [Symbol.asyncDispose]: () => this.#removeBreakpoint(address),
    };
    this.#breakpoints.set(address, breakpoint);
    return breakpoint;
  }

  async #removeBreakpoint(address: VirtAddr): Promise<void> {
    if (!this.#breakpoints.has(address) || this.#connection.closed) return;
    await this.interrupt();
    const where = address.toString(16);
    const reply = await this.#connection.requestText(`z0,${where},4`, {
      label: `removing the breakpoint at 0x${where}`,
    });
    this.#breakpoints.delete(address);
    const refused = errorReply(reply);
    if (refused !== undefined) {
      throw new EbscopeError(
        "stub-refused",
        `Cannot remove the breakpoint at 0x${where}: the stub says ${quote(reply)}`,
      );
    }
  }

  async resume(): Promise<void> {
    this.#mustBeHeld();
    await this.#connection.resume("c");
  }

  async stepPast(cpu: Cpu, pc: VirtAddr): Promise<void> {
    this.#mustBeHeld();
    const ours = this.#breakpoints.get(pc);
    await ours?.[Symbol.asyncDispose]();
    await this.#connection.resume(`vCont;s:${cpu.thread}`);
    const stop = await this.#dueStop("Cannot step the guest: it did not stop");
    if (stop.kind === "ended") throw new EbscopeError("guest-ended", `The guest ended: ${stop.why}`);
    if (ours !== undefined) await this.insertBreakpoint(pc);
  }

  async waitForStop(signal?: AbortSignal): Promise<Stop> {
    const stop = await this.#connection.nextStop(signal);
    switch (stop.kind) {
      case "exited":
        return { kind: "ended", why: `it exited with status ${stop.status}` };
      case "terminated":
        return { kind: "ended", why: `it was ended by signal ${stop.signal}` };
      case "signal":
        this.noteStop(stop);
        return { kind: stop.signal === 5 ? "breakpoint" : "interrupt", cpu: this.#stoppedCpu };
    }
  }

  async interrupt(): Promise<Stop | undefined> {
    if (!this.#connection.running) return undefined;
    const stopped = this.#dueStop("Cannot stop the guest: no answer to the interrupt");
    this.#connection.interrupt();
    return stopped;
  }

  /** The next stop, when the guest owes it at once. */
  #dueStop(failure: string): Promise<Stop> {
    const { deadlineMs } = this.#connection;
    const silent = new EbscopeError("stub-silent", `${failure} within ${deadlineMs / 1000} s`);
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(silent), deadlineMs);
    return this.waitForStop(controller.signal).finally(() => clearTimeout(timer));
  }

  release(run: boolean): Promise<void> {
    this.#released ??= this.#release(run);
    return this.#released;
  }

  /** Whatever changes the machine would stay behind if it came during or after the release. */
  #mustBeHeld(): void {
    if (this.#released !== undefined) throw new EbscopeError("internal", "Cannot use the guest: it has been let go");
  }

  async #release(run: boolean): Promise<void> {
    try {
      await this.interrupt();
      // One that the stub does not give back must not keep the others in the guest.
      for (const address of this.#breakpoints.keys()) await this.#removeBreakpoint(address).catch(() => undefined);
      // A batch in flight ends with the request that puts the memory mode back.
      await this.#connection.drain();
    } catch {
      // The stub is gone or does not answer: there is nothing left to put back.
    }
    await letGo(this.#connection, run);
  }
}

const ABSENT: MemoryRead = { state: "absent", code: "outside-memory" };
const UNREADABLE: RegisterRead = { state: "unreadable" };
const LOWER_X = 0x78;

function physModeRequest(mode: string): BatchRequest {
  return { payload: `Qqemu.PhyMemMode:${mode}`, label: "switching physical memory mode" };
}

/** A piece of a span: where it is read, and where it goes in the bytes of the whole span. */
interface SpanPart extends PhysSpan {
  readonly span: number;
  readonly bytes: Buffer;
  readonly at: number;
}

function readRequest({ address, length }: SpanPart): BatchRequest {
  // Physical addresses that a number holds exactly are quicker to print.
  const where = address <= Number.MAX_SAFE_INTEGER ? Number(address).toString(16) : address.toString(16);
  return { payload: `m${where},${length.toString(16)}`, label: () => `reading ${length} bytes at physical 0x${where}` };
}

/** Puts the bytes of a reply in place; false when it is not exactly the bytes that were asked for. */
function placePart({ bytes, at, length }: SpanPart, reply: Uint8Array): boolean {
  return reply.length === 2 * length && bytes.write(latin1(reply), at, "hex") === length;
}

function registerRead(reply: Uint8Array, bits: number): RegisterRead {
  if (reply[0] === LOWER_X) return { state: "unavailable" };
  const bytes = reply.length === 2 * Math.ceil(bits / 8) ? bytesOfHex(latin1(reply)) : undefined;
  return bytes === undefined ? UNREADABLE : { state: "present", bytes };
}
