/** Sessions over guests that a test writes down. */
import { Session } from "../../src/session/session.ts";
import { FakeTarget, type Visit } from "../support/fake-target.ts";
import { buildFirmware, type FakeImage } from "../support/firmware.ts";
import { DXE_CORE, STACK } from "../support/handoff-target.ts";

export interface FakeSession {
  readonly session: Session;
  readonly target: FakeTarget;
}

export interface FakeSessionOptions {
  readonly cpus?: number;
  readonly images?: readonly FakeImage[];
  readonly signal?: AbortSignal;
  readonly findTimeoutMs?: number;
}

/** A guest with firmware, MMU off: addresses are physical ones. It comes by these places when it runs. */
export function fakeSession(visits: readonly Visit[], options: FakeSessionOptions = {}): FakeSession {
  const { memory } = buildFirmware([DXE_CORE, ...(options.images ?? [])]);
  for (const page of [STACK, STACK - 0x1000n, 0x4740_0000n, 0x4400_0000n]) memory.bytes(page & ~0xfffn);
  const target = new FakeTarget(memory, visits, options.cpus);
  target.hitsAgain = true;
  const session = new Session({
    ...{ target, createdBy: "test", symbols: [], findTimeoutMs: options.findTimeoutMs ?? 200 },
    ...{ maxTables: undefined, signal: options.signal, close: () => target.release(target.info.wasRunning) },
  });
  return { session, target };
}

export { BOOT_SERVICES, SERVICES, SERVICES_CODE } from "../support/firmware.ts";
