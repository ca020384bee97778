import { describe, expect, it, vi } from "vitest";
import { AcrossJson } from "../../src/api/across.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { changedPoint, FIXTURE, fixture, run, runJson, withCapture } from "../cli/run.ts";

vi.setConfig({ testTimeout: 60_000 });

/** The fixture with the value of a register changed at its points. */
async function withRegister(name: string, change: (value: bigint) => bigint, ids: readonly string[]): Promise<Capture> {
  const capture = await fixture();
  const index = capture.registers.findIndex((each) => each.name === name);
  return ids.reduce(
    (changed, id) =>
      changedPoint(changed, id, (point) => {
        const registers = point.registers.map((row) =>
          row.map((read, i) => {
            if (i !== index || read.state !== "present") return read;
            const bytes = Uint8Array.from(read.bytes);
            const view = new DataView(bytes.buffer);
            view.setBigUint64(0, change(view.getBigUint64(0, true)), true);
            return { ...read, bytes };
          }),
        );
        return { ...point, registers };
      }),
    capture,
  );
}

describe("`ebscope diff A B`", () => {
  it("shows nothing for a capture and itself, at any point", async () => {
    for (const at of [[], ["--at", "fault"], ["--from", "after", "--to", "fault"]]) {
      const [first, ...rest] = (await run("diff", FIXTURE, FIXTURE, ...at)).trimEnd().split("\n");
      expect(first).toMatch(/^No difference {3}a → b, at /);
      expect(rest.map((line) => line.trimStart().split(" ")[0])).toEqual(["a", "b", "The"]);
    }
  });

  it("shows a register with its fields, and the point where only one of the two differs", async () => {
    const changed = await withRegister("CPACR_EL1", (value) => value & ~(1n << 21n), ["after"]);
    await withCapture(changed, async (file) => {
      const text = await run("diff", FIXTURE, file);
      expect(text).toMatch(/^3 differences /);
      expect(text).toContain("CPACR_EL1  0x300000 → 0x100000 (at after)  FPEN 0x3 → 0x1");
      expect(text).toContain("only b  ! 1 control register changed.");
      expect(text).toMatch(/What before → after changed\n {2}CPACR_EL1 {2}unchanged \/ 0x300000 → 0x100000\n/);
    });
  });

  it("prints JSON as the schema says, with what depends on the run beside what differs", async () => {
    const changed = await withRegister("CNTV_CVAL_EL0", (value) => value + 1n, ["before"]);
    await withCapture(changed, async (file) => {
      const json = await runJson(AcrossJson, "diff", FIXTURE, file);
      expect(json.counts).toEqual({ different: 0, unmatched: 0 });
      expect(json.registers).toMatchObject([
        { name: "CNTV_CVAL_EL0", verdict: "run", why: "a timer", points: ["before"] },
      ]);
      expect(json.images.pairs.every(({ build }) => build === "same")).toBe(true);
      expect(await run("diff", FIXTURE, file, "--all")).toMatch(
        /depends on the moment\n {2}CNTV_CVAL_EL0 .* a timer\n/,
      );
    });
  });

  it("shows names of the files safely", async () => {
    const hostile = { ...(await fixture()), qemuVersion: "1\x1b[31m::error::", createdAt: "" };
    await withCapture(hostile, async (file) => {
      const text = await run("diff", file, FIXTURE);
      expect(text).not.toContain("\x1b");
      expect(text).toContain("\\x1b[31m");
    });
  });

  it("refuses points that are none and choices that contradict each other", async () => {
    const refused = (...args: string[]) => expect(run("diff", ...args)).rejects;
    await refused(FIXTURE, FIXTURE, "--at", "nowhere").toMatchObject({ code: "no-such-point" });
    await refused(FIXTURE, FIXTURE, "--at", "before", "--to", "after").toMatchObject({ code: "usage" });
    await refused(FIXTURE, FIXTURE, "--from", "after").toMatchObject({ code: "usage" });
    await refused(FIXTURE, "--at", "before").toMatchObject({ code: "usage" });
    await refused(FIXTURE, `${FIXTURE}.none`).toMatchObject({ code: "file-unreadable" });
  });
});
