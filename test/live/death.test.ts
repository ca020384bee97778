/**
 * QEMU that dies or is stopped while ebscope works: at random moments of a whole capture, from attaching to the watch after the call. The
 * library is used as the CLI uses it, so that the time can be taken from the very moment.
 */
import { describe, expect, it } from "vitest";
import { asEbscopeError, type EbscopeError } from "../../src/base/error.ts";
import { type CaptureEvent, captureExitBootServices } from "../../src/capture/exit-boot-services.ts";
import { parseStubAddress } from "../../src/rsp/transport.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import { Guest, HANDOFF, sleep } from "../support/live.ts";
import { Random } from "../support/random.ts";

/** Each moment costs a boot: `EBSCOPE_FULL=1` takes 50 and 20 of them. */
const FULL = process.env.EBSCOPE_FULL === "1";
const KILLS = FULL ? 50 : 6;
const STOPS = FULL ? 20 : 5;
/** Two machines at a time: while one waits for its firmware the other is killed. */
const AT_ONCE = 2;
const DEADLINE_MS = 1000;
const WATCH_MS = 1000;
/** How long the firmware is waited for, and the call. Silence cannot be told from work before that. */
const CALL_MS = 30_000;

interface Ending {
  readonly capture: Capture | undefined;
  readonly error: EbscopeError | undefined;
  readonly lastEvent: CaptureEvent["kind"] | "attaching";
  readonly at: number;
}

/** Attaches and captures; never rejects. */
async function captureGuest(guest: Guest, timeoutMs: number): Promise<Ending> {
  let lastEvent: Ending["lastEvent"] = "attaching";
  try {
    const target = await attachQemu(parseStubAddress(guest.address), { deadlineMs: DEADLINE_MS });
    const outcome = await captureExitBootServices(target, "test", {
      timeoutMs,
      findTimeoutMs: CALL_MS,
      watchMs: WATCH_MS,
      onEvent: ({ kind }) => {
        lastEvent = kind;
      },
    });
    const at = performance.now();
    await target.release(false);
    return { ...outcome, lastEvent, at };
  } catch (error) {
    return { capture: undefined, error: asEbscopeError(error), lastEvent, at: performance.now() };
  }
}

/** Whether a capture says of itself that it is everything that was asked for. */
function claimsToBeComplete({ capture, error }: Ending): boolean {
  return error === undefined || (capture !== undefined && capture.partial === undefined);
}

async function withGuest<T>(use: (guest: Guest) => Promise<T>): Promise<T> {
  await using guest = new Guest({ kernel: HANDOFF, append: "mode=clean" }, true);
  // Awaited here: the machine goes when this function returns.
  return await use(await guest.listening());
}

/** How long a capture takes when nothing happens to the machine, as it is run here: AT_ONCE at a time. */
async function undisturbedMs(): Promise<number> {
  const times = await Promise.all(
    Array.from({ length: AT_ONCE }, () =>
      withGuest(async (guest) => {
        const started = performance.now();
        const ending = await captureGuest(guest, CALL_MS);
        expect(ending.error).toBeUndefined();
        expect(ending.capture?.points.map(({ id }) => id)).toEqual([
          "before-1",
          "failed-1",
          "before",
          "after",
          "later",
        ]);
        return ending.at - started;
      }),
    ),
  );
  return Math.min(...times);
}

/** Runs `attempt` until `count` of them have counted, AT_ONCE at a time. */
async function untilCounted(count: number, attempt: () => Promise<boolean>): Promise<number> {
  let counted = 0;
  let tried = 0;
  const worker = async (): Promise<void> => {
    while (counted < count && tried < 3 * count) {
      tried++;
      if (await attempt()) counted++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return counted;
}

/** How long a guest that runs is left alone after an event, as the user wants it, before ebscope says another word to the stub. */
function waitOf(event: Ending["lastEvent"], timeoutMs: number): number {
  if (event === "watching") return WATCH_MS;
  // For the call, or for the return from it.
  return event === "attaching" || event === "waiting" ? 0 : timeoutMs;
}

const seed = Date.now() >>> 0;

describe(`QEMU at random moments of a capture (seed ${seed})`, () => {
  it(`killed ${KILLS} times: its death is told of within 2 s, and nothing is called complete`, async () => {
    const random = new Random(seed);
    const whole = await undisturbedMs();
    const counted = await untilCounted(KILLS, () =>
      withGuest(async (guest) => {
        const moment = random.below(Math.floor(whole));
        const running = captureGuest(guest, CALL_MS);
        await Promise.race([sleep(moment), running]);
        if (!guest.alive) throw new Error("QEMU ended by itself");
        const killed = performance.now();
        guest.child.kill("SIGKILL");
        const ending = await running;
        // It was over before.
        if (ending.at <= killed) return false;
        const where = `killed after ${moment} ms, in ${ending.lastEvent}: ${ending.error?.message}`;
        expect(ending.at - killed, where).toBeLessThan(2000);
        expect(claimsToBeComplete(ending), where).toBe(false);
        expect(["connection-lost", "guest-ended", "connect-failed"], where).toContain(ending.error?.code);
        return true;
      }),
    );
    expect(counted).toBeGreaterThanOrEqual(KILLS);
  }, 600_000);

  it(`stopped (SIGSTOP) ${STOPS} times: its silence is told of in time, and nothing is called complete`, async () => {
    const random = new Random(seed + 1);
    const whole = await undisturbedMs();
    const counted = await untilCounted(STOPS, () =>
      withGuest(async (guest) => {
        const moment = random.below(Math.floor(whole));
        // The wait for the call may last as long as the user allows: it ends with the time that is left.
        const timeoutMs = Math.ceil(whole);
        const running = captureGuest(guest, timeoutMs);
        await Promise.race([sleep(moment), running]);
        const stopped = performance.now();
        guest.child.kill("SIGSTOP");
        const ending = await running;
        guest.child.kill("SIGCONT");
        if (ending.at <= stopped) return false;
        const where = `stopped after ${moment} ms, in ${ending.lastEvent}: ${ending.error?.message}`;
        expect(ending.at - stopped, where).toBeLessThan(waitOf(ending.lastEvent, timeoutMs) + DEADLINE_MS + 1000);
        expect(claimsToBeComplete(ending), where).toBe(false);
        expect(["stub-silent", "timed-out", "connect-timeout"], where).toContain(ending.error?.code);
        return true;
      }),
    );
    expect(counted).toBeGreaterThanOrEqual(STOPS);
  }, 600_000);
});
