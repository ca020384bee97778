/** Which way to guest memory a session takes: what was asked for, or the best that can be had and agrees with the stub. */
import { EbscopeError } from "../../base/error.ts";
import type { PhysMemory } from "../../base/memory.ts";
import type { StubAddress } from "../../rsp/transport.ts";
import type { TreeRange } from "../memory-map.ts";
import type { HostSource, MemoryChoice, Monitor, Refusal } from "./channel.ts";
import { FileMemory } from "./file-memory.ts";
import { compare, HostChannel } from "./host-channel.ts";
import { openRefusal, ProcessMemory } from "./process-memory.ts";
import { processesBehind, type StubProcesses } from "./stub-process.ts";

export interface ChannelRequest {
  readonly choice: MemoryChoice;
  /** Where the stub listens; undefined when that is not known. */
  readonly address: StubAddress | undefined;
  /** The process that was launched with the stub. */
  readonly pid?: number | undefined;
  /** Nothing is kept open once it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** What the stub offers while it is asked. */
export interface StubAccess {
  readonly memory: PhysMemory;
  readonly monitor: Monitor;
  readonly ranges: readonly TreeRange[];
}

export interface Chosen {
  /** Undefined: through the stub. */
  readonly channel: HostChannel | undefined;
  readonly refusals: readonly Refusal[];
}

/** Finds a channel. Rejects with `memory-unavailable` when one was asked for by name and cannot be had. */
export async function chooseChannel(request: ChannelRequest, stub: StubAccess): Promise<Chosen> {
  if (request.choice === "rsp") return { channel: undefined, refusals: [] };
  const wanted = request.choice === "auto" ? (["process", "file"] as const) : [request.choice];
  const behind = behindStub(request);
  const refusals: Refusal[] = [];
  for (const kind of wanted) {
    const found = kind === "process" ? await processChannel(behind, stub) : await fileChannel(behind, stub);
    if (found instanceof HostChannel) return { channel: found, refusals };
    refusals.push({ kind, ...found });
  }
  const [refusal] = refusals;
  if (request.choice === "auto" || refusal === undefined) return { channel: undefined, refusals };
  const way = request.choice === "process" ? "from the QEMU process" : "from its file";
  throw new EbscopeError("memory-unavailable", `Cannot read guest memory ${way}: ${refusal.why}`);
}

type Refused = Omit<Refusal, "kind">;

function behindStub({ address, pid }: ChannelRequest): StubProcesses {
  if (address !== undefined) return processesBehind(address, pid);
  return { pids: [], local: false, why: "it is not known where the stub runs", denied: false };
}

async function processChannel({ pids, why, denied }: StubProcesses, stub: StubAccess): Promise<HostChannel | Refused> {
  let refused: Refused = { why, denied };
  for (const pid of pids) {
    const found = await ofProcess(pid, stub);
    if (found instanceof HostChannel) return found;
    refused = found;
  }
  return refused;
}

async function ofProcess(pid: number, stub: StubAccess): Promise<HostChannel | Refused> {
  let source: ProcessMemory;
  try {
    source = new ProcessMemory(pid, stub.monitor);
  } catch (error) {
    return openRefusal(pid, error);
  }
  return tryOut(source, stub);
}

async function fileChannel({ local, why }: StubProcesses, stub: StubAccess): Promise<HostChannel | Refused> {
  if (!local) return { why, denied: false };
  return tryOut(new FileMemory(stub.monitor), stub);
}

/** A channel over this source, if it has anything and nothing of it differs from what the stub says. */
async function tryOut(source: HostSource, stub: StubAccess): Promise<HostChannel | Refused> {
  const channel = new HostChannel(source);
  try {
    const why = await channel.relocate(stub.ranges);
    if (why === undefined) await compare(channel, stub.memory);
    const failed = why ?? (channel.failure === undefined ? undefined : `${source.name}: ${channel.failure}`);
    if (failed === undefined) return channel;
    channel.close();
    return { why: failed, denied: false };
  } catch (error) {
    channel.close();
    throw error;
  }
}
