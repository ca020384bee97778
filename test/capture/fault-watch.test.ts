/** A guest whose exceptions lead nowhere: its vectors were changed after the call, so that no breakpoint is at those in force. */
import { describe, expect, it } from "vitest";
import type { Visit } from "../support/fake-target.ts";
import { captureHandoff, exitBootServices } from "../support/handoff-target.ts";

const VECTORS = 0x5000_0000n;

async function lastPoint(...visits: readonly Visit[]): Promise<string | undefined> {
  const { capture, error } = await captureHandoff([...exitBootServices(7n), ...visits]);
  expect(error).toBeUndefined();
  return capture?.points.at(-1)?.kind;
}

describe("when the watch is over", () => {
  it.each([
    ["synchronous exceptions with SP_EL0", 0x000n],
    ["SErrors with SP_ELx", 0x380n],
  ])("a guest that stands at its own vector for %s, twice, has faulted", async (_, offset) => {
    expect(await lastPoint({ pc: VECTORS + offset, registers: { VBAR_EL1: VECTORS } })).toBe("fault");
  });

  it.each([
    ["elsewhere", VECTORS + 0x204n],
    ["at a vector for system calls", VECTORS + 0x400n],
    ["at a vector for interrupts", VECTORS + 0x280n],
  ])("a guest that stands %s has not", async (_, pc) => {
    expect(await lastPoint({ pc, registers: { VBAR_EL1: VECTORS } })).toBe("later");
  });
});
