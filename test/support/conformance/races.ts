/** Interrupts that race with a breakpoint: whoever wins, the session has to be in order afterwards. */
import { insertBreakpoint, readMemory, removeBreakpoint } from "../../../src/rsp/index.ts";
import { sleep } from "../live.ts";
import type { Random } from "../random.ts";
import { TABLE_BYTES, tableBytes } from "./guest.ts";
import { type Session, signalStop } from "./session.ts";

export interface Races {
  /** How often the stop was that of the breakpoint, and of the interrupt. */
  readonly atBreakpoint: number;
  readonly interrupted: number;
  /** Interrupts that went out before the stop was here. */
  readonly sent: number;
  /** What was not as it has to be after a race. */
  readonly disorder: readonly string[];
}

/** How long the guest takes to the breakpoint, about. */
const LAP_MS = 3;
const READS = 8;

export async function raceInterrupts(session: Session, count: number, random: Random): Promise<Races> {
  await setLap(session);
  const races = { atBreakpoint: 0, interrupted: 0, sent: 0, disorder: [] as string[] };
  // Where both win equally often is found on the way: earlier when the breakpoint won, later when the interrupt did.
  let delayMs = 2 * LAP_MS;
  for (let i = 0; i < count; i++) {
    const sent = await race(session, delayMs);
    if (sent) races.sent++;
    const won = (await session.pc()) === session.at("slow") ? "atBreakpoint" : "interrupted";
    races[won]++;
    delayMs = won === "atBreakpoint" ? delayMs * 0.85 : Math.min(delayMs * 1.2 + 0.01, 4 * LAP_MS);
    races.disorder.push(...(await disorder(session, random)).map((what) => `race ${i}: ${what}`));
    await session.step();
  }
  return races;
}

/** Sets `period` so that the guest comes by the breakpoint every few milliseconds. */
async function setLap(session: Session): Promise<void> {
  for (let tries = 0; tries < 4; tries++) {
    await session.runTo("slow");
    await session.step();
    const started = performance.now();
    await session.runTo("slow");
    const took = performance.now() - started;
    await session.step();
    if (took > LAP_MS / 2 && took < LAP_MS * 2) return;
    const period = Number(await session.number("period"));
    await session.set("period", BigInt(Math.max(100, Math.round((period * LAP_MS) / took))));
  }
}

/** One race, the breakpoint gone afterwards; whether the interrupt was sent. */
async function race(session: Session, delayMs: number): Promise<boolean> {
  const { connection } = session;
  const breakpoint = session.breakpoint("slow");
  await session.ask(insertBreakpoint(breakpoint));
  await connection.resume("c");
  for (const due = performance.now() + delayMs; performance.now() < due; ) {
    await (due - performance.now() > 2 ? sleep(1) : new Promise((resolve) => setImmediate(resolve)));
  }
  const sent = connection.running;
  connection.interrupt();
  signalStop(await connection.nextStop(AbortSignal.timeout(5000)));
  await session.ask(removeBreakpoint(breakpoint));
  return sent;
}

/** Known memory has to have its known contents, and a halted guest counts nothing. */
async function disorder(session: Session, random: Random): Promise<string[]> {
  const wrong: string[] = [];
  const offsets = Array.from({ length: READS }, () => random.below(TABLE_BYTES - 64));
  const before = session.number("counter");
  const replies = await session.connection.sendAll(
    offsets.map((offset) => readMemory(session.at("table") + BigInt(offset), 1 + (offset % 64))),
  );
  replies.forEach((reply, i) => {
    const offset = offsets[i] ?? 0;
    const right = reply.kind === "ok" && Buffer.from(reply.value).equals(tableBytes(offset, 1 + (offset % 64)));
    if (!right) wrong.push(`a read gave ${JSON.stringify(reply).slice(0, 100)}`);
  });
  if ((await before) !== (await session.number("counter"))) wrong.push("the guest runs on");
  return wrong;
}
