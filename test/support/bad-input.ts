/** What every test of bad input asks of ebscope, and the smallest guests that it may meet. */
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { type Finished, failure, HANDOFF, type MachineOptions, type Running } from "./live.ts";

/** For what is known at once; starting Node on a busy machine takes most of it. */
export const AT_ONCE_MS = 8_000;
/** A request that is not answered: 5 s, and the start of Node. */
export const SILENCE_MS = 5_000;
export const CLEAN: MachineOptions = { kernel: HANDOFF, append: "mode=clean" };

export function expectFailure(run: Finished, exit: number, code: string, withinMs = AT_ONCE_MS): void {
  expect(failure(run), run.stderr).toEqual({ exit, code });
  expect(run.ms).toBeLessThan(withinMs);
}

/** Waits until ebscope has ended, no longer than `withinMs` from now. */
export async function endsWithin(running: Running, withinMs: number): Promise<Finished> {
  const started = performance.now();
  const finished = await running.finished;
  expect(performance.now() - started, finished.stderr).toBeLessThan(withinMs);
  return finished;
}

/** A machine that executes nothing but an instruction that branches to itself, in the place of a firmware. */
export function endlessMachine(): { readonly options: MachineOptions } & Disposable {
  const file = join(tmpdir(), `endless-${process.pid}.bin`);
  writeFileSync(file, Uint8Array.of(0, 0, 0, 0x14));
  return { options: { firmware: file }, [Symbol.dispose]: () => rmSync(file, { force: true }) };
}
