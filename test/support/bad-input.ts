/** What every test of bad input asks of ebscope, and the smallest guests that it may meet. */
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { ebscope, ebscopeJson, type Finished, failure, HANDOFF, type MachineOptions, type Running } from "./live.ts";

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

interface DiffOutput {
  readonly partial: { readonly code: string } | null;
  readonly mappings: readonly object[];
}

/** The capture is labelled partial with this code, and what it has can be looked at. */
export async function expectPartial(file: string, code: string): Promise<void> {
  const points = await ebscopeJson<{ id: string; complete: boolean }[]>("show", file, "points");
  const ids = points.map(({ id }) => id);
  expect(ids[0]).toMatch(/^before/);
  const listed = await ebscope("show", file, "points");
  expect(listed.stdout).toContain("PARTIAL: ");
  expect((await ebscope("show", file, "mappings")).code).toBe(0);
  if (ids.length === 1) {
    const diff = await ebscope("diff", file);
    expectFailure(diff, 1, "no-such-point");
    expect(diff.stderr).toContain("only the point before");
    return;
  }
  const ends = ids.includes("after") ? [] : ["--from", ids[0] ?? "", "--to", ids.at(-1) ?? ""];
  const diff = await ebscopeJson<DiffOutput>("diff", file, ...ends);
  expect(diff.partial?.code).toBe(code);
  const { code: exit, stdout } = await ebscope("diff", file, ...ends);
  expect(exit).toBe(0);
  expect(stdout).toMatch(/^PARTIAL: /m);
}

/** A machine that executes nothing but an instruction that branches to itself, in the place of a firmware. */
export function endlessMachine(): { readonly options: MachineOptions } & Disposable {
  const file = join(tmpdir(), `endless-${process.pid}.bin`);
  writeFileSync(file, Uint8Array.of(0, 0, 0, 0x14));
  return { options: { firmware: file }, [Symbol.dispose]: () => rmSync(file, { force: true }) };
}
