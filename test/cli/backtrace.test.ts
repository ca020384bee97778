/** A call chain that is longer than a screen. */
import { describe, expect, it } from "vitest";
import { virt } from "../../src/base/address.ts";
import { renderBacktrace } from "../../src/cli/render/backtrace.ts";
import { Names } from "../../src/diagnose/names.ts";
import type { PlacedFrame, PointTrace } from "../../src/diagnose/trace.ts";

const NAMES = new Names({
  images: [],
  services: new Map(),
  matches: [],
  kernels: [],
  memoryMap: [],
  tables: undefined,
});

function trace(count: number): PointTrace {
  const frames = Array.from({ length: count }, (_, i) => {
    const pc = virt(0x1000n + BigInt(i) * 16n);
    const facts = { pc, call: undefined, source: "frame-record", trust: "likely", doubts: [] } as const;
    return { ...facts, place: NAMES.place(pc), access: "RO+X" } as unknown as PlacedFrame;
  });
  const end = "no more \x1b[31mrecords";
  return {
    point: "after",
    cpu: 1,
    regime: "EL2&0",
    frames,
    end,
    branch: undefined,
    site: undefined,
    service: undefined,
  };
}

const rows = (lines: readonly string[]): number => lines.filter((line) => /^ {2}#\d+ /.test(line)).length;

describe("a backtrace", () => {
  it("shows 16 frames and how many there are more; with --all every one", () => {
    const lines = renderBacktrace(trace(40), NAMES, false);
    expect(lines[0]).toBe("Call chain  of vCPU 1 at after, in EL2&0");
    expect(rows(lines)).toBe(16);
    expect(lines).toContain("  … 24 frames more: show FILE backtrace --all");
    expect(rows(renderBacktrace(trace(40), NAMES, true))).toBe(40);
  });

  it("shows 16 frames without a word of more when that is all", () => {
    const lines = renderBacktrace(trace(16), NAMES, false);
    expect(rows(lines)).toBe(16);
    expect(lines.join("\n")).not.toMatch(/frames? more/);
  });

  it("says why it ends, with control characters made visible", () => {
    expect(renderBacktrace(trace(1), NAMES, false).at(-1)).toBe("  ends here: no more \\x1b[31mrecords");
  });

  it("of which the regime is not known has no frames", () => {
    const lines = renderBacktrace({ ...trace(0), regime: undefined }, NAMES, false);
    expect(lines).toEqual(["Call chain  of vCPU 1 at after", "  ends here: no more \\x1b[31mrecords"]);
  });
});
