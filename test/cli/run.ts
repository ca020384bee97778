/** One command line in this process, and captures to run it on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Static, TSchema } from "typebox";
import { Errors } from "typebox/schema";
import { expect, vi } from "vitest";
import { phys } from "../../src/base/address.ts";
import type { MemoryRead } from "../../src/base/memory.ts";
import { buildProgram } from "../../src/cli/program.ts";
import type { Capture, Point } from "../../src/snapshot/model.ts";
import { readCapture, writeCapture } from "../../src/snapshot/store.ts";

export const FIXTURE = join(fileURLToPath(new URL("../..", import.meta.url)), "test/fixtures/boot-service.ebs");
export const fixture = (): Promise<Capture> => readCapture(FIXTURE);

/** What it printed as data; rejects with what the command throws. */
export async function run(...args: readonly string[]): Promise<string> {
  let printed = "";
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    printed += String(chunk);
    return true;
  });
  const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    await buildProgram(() => undefined).parseAsync([...args], { from: "user" });
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
  return printed;
}

/** The same with --json, held against a schema. */
export async function runJson<S extends TSchema>(schema: S, ...args: readonly string[]): Promise<Static<S>> {
  const value: unknown = JSON.parse(await run(...args, "--json"));
  expect(Errors(schema as never, value)[1]).toEqual([]);
  return value as Static<S>;
}

/** Runs `use` with the path of a file that holds a capture. */
export async function withCapture<T>(capture: Capture, use: (file: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-cli-"));
  try {
    const file = join(folder, "test.ebs");
    await writeCapture(file, capture);
    return await use(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A point with bytes in its memory; what was known of their pages stays around them. */
export function withBytes(point: Point, address: bigint, bytes: Uint8Array): Point {
  const pages = new Map<bigint, MemoryRead>(point.pages);
  for (let done = 0; done < bytes.length; ) {
    const at = address + BigInt(done);
    const page = at & ~0xfffn;
    const known = pages.get(page);
    const contents = Uint8Array.from(known?.state === "present" ? known.bytes : new Uint8Array(4096));
    const part = bytes.subarray(done, done + 4096 - Number(at - page));
    contents.set(part, Number(at - page));
    pages.set(page, { state: "present", bytes: contents });
    done += part.length;
  }
  return { ...point, pages: new Map([...pages].map(([page, read]) => [phys(page), read])) };
}

export function changedPoint(capture: Capture, id: string, change: (point: Point) => Point): Capture {
  return { ...capture, points: capture.points.map((point) => (point.id === id ? change(point) : point)) };
}
