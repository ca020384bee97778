/** A bridge over guests that tests write down, with a log and a store in memory. */

import { Check } from "typebox/schema";
import { expect, onTestFinished, vi } from "vitest";
import type { BridgeEvent, EventKind } from "../../src/api/events.ts";
import { EventJson } from "../../src/api/events.ts";
import { METHODS, type MethodName, type Params, type Result } from "../../src/api/protocol.ts";
import { EbscopeError } from "../../src/base/error.ts";
import { type Bridge, type BridgeHandlers, type BridgeOptions, createBridge } from "../../src/bridge/bridge.ts";
import type { CaptureStore, EventLog, LoggedEvent, NewEvent, StoredCapture } from "../../src/bridge/ports.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import type { Target } from "../../src/target/target.ts";

export class FakeLog implements Pick<EventLog, "append"> {
  readonly events: BridgeEvent[] = [];
  /** The disk is full. */
  full = false;

  async append(event: NewEvent): Promise<LoggedEvent> {
    // The disk takes its time.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.full) throw new EbscopeError("store-full", "Cannot write the event: the disk is full");
    const logged = { ...event, seq: this.events.length + 1, time: "2026-01-01T00:00:00.000Z" } as BridgeEvent;
    this.events.push(logged);
    return { event: logged, json: JSON.stringify(logged) };
  }

  of<K extends EventKind>(kind: K): BridgeEvent<K>[] {
    return this.events.filter((event) => event.kind === kind) as unknown as BridgeEvent<K>[];
  }

  get kinds(): EventKind[] {
    return this.events.map(({ kind }) => kind);
  }
}

export class FakeStore implements CaptureStore {
  readonly captures = new Map<string, Capture>();
  full = false;
  reads = 0;

  async list(): Promise<StoredCapture[]> {
    return [...this.captures].map(([id, { createdAt }]) => ({ id, createdAt, size: 1000 }));
  }

  async read(id: string): Promise<Capture> {
    this.reads++;
    const capture = this.captures.get(id);
    if (capture === undefined) throw new EbscopeError("no-such-capture", `Cannot find ${id}`);
    return capture;
  }

  file(): Promise<Uint8Array> {
    return Promise.reject(new Error("not here"));
  }

  async write(id: string, capture: Capture): Promise<StoredCapture> {
    if (this.full) throw new EbscopeError("store-full", "Cannot write the capture: the disk is full");
    this.captures.set(id, capture);
    return { id, createdAt: capture.createdAt, size: 1000 };
  }

  async remove(id: string): Promise<void> {
    this.captures.delete(id);
  }
}

export interface Bridged {
  readonly bridge: Bridge;
  readonly log: FakeLog;
  readonly store: FakeStore;
  /** Calls a method as somebody who may do everything; the answer is held against its schema. */
  call<M extends keyof BridgeHandlers>(method: M, params: Params<M>, signal?: AbortSignal): Promise<Result<M>>;
}

/** By the port of the address that is attached to: `localhost:1`, `localhost:2` … A list: the first attaching, the second … */
export type Machines = Readonly<Record<number, Target | Target[]>>;

export async function bridged(machines: Machines, options: Partial<BridgeOptions> = {}): Promise<Bridged> {
  const log = new FakeLog();
  const store = new FakeStore();
  const attach = async (address: { readonly kind: string; readonly port?: number }): Promise<Target> => {
    const there = machines[address.port ?? 0];
    const target = Array.isArray(there) ? there.shift() : there;
    if (target === undefined) throw new EbscopeError("connect-failed", "Cannot connect: nothing listens there");
    return target;
  };
  const bridge = await createBridge({ log, captures: store, version: "0.0.0", attach, ...options });
  onTestFinished(() => bridge.close());
  const call: Bridged["call"] = async (method, params, signal = new AbortController().signal) => {
    const handler = bridge.handlers[method] as (...all: unknown[]) => Promise<Result<typeof method>>;
    const result = await handler(params, { signal, access: "control" });
    expect(Check(METHODS[method as MethodName].result as never, result)).toBe(true);
    return result;
  };
  onTestFinished(() => {
    for (const event of log.events) expect(Check(EventJson as never, JSON.parse(JSON.stringify(event)))).toBe(true);
  });
  return { bridge, log, store, call };
}

/** Resolves when there are events of this kind, so many of them. */
export async function told<K extends EventKind>({ log }: Bridged, kind: K, count = 1): Promise<BridgeEvent<K>[]> {
  await vi.waitFor(() => expect(log.of(kind).length).toBeGreaterThanOrEqual(count), { timeout: 10_000, interval: 1 });
  return log.of(kind);
}
