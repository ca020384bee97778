/** What is not known stays unknown: captures of a real guest from which something was taken away. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { renderDiff } from "../../src/cli/render/diff.ts";
import { renderFault } from "../../src/cli/render/fault.ts";
import { findingsOf } from "../../src/diagnose/findings.ts";
import { type Study, studyCapture } from "../../src/diagnose/study.ts";
import { diffPoints, findPoint } from "../../src/diff/diff.ts";
import { type Capture, FAULTS_NOT_WATCHED, type Point } from "../../src/snapshot/model.ts";
import { readCapture } from "../../src/snapshot/store.ts";

const CAPTURE = await readCapture(
  join(fileURLToPath(new URL("../..", import.meta.url)), "test/fixtures/boot-service.ebs"),
);

function changed(id: string, change: (point: Point) => Point, capture: Capture = CAPTURE): Capture {
  return { ...capture, points: capture.points.map((point) => (point.id === id ? change(point) : point)) };
}

function without(name: string): (point: Point) => Point {
  const index = CAPTURE.registers.findIndex((each) => each.name === name);
  return (point) => ({
    ...point,
    registers: point.registers.map((row) =>
      row.map((read, i) => (i === index ? { state: "unreadable" as const } : read)),
    ),
  });
}

async function shown(capture: Capture): Promise<string> {
  const study = await studyCapture(capture);
  const [before, after] = [findPoint(capture, "before"), findPoint(capture, "after")];
  const difference = await diffPoints(capture, study.images, before, after);
  return renderDiff(difference, findingsOf(study, difference), study, { all: false, file: "x.ebs", traces: [] });
}

function faultText({ fault, names }: Study): string {
  return fault === undefined ? "" : renderFault(fault, names).join("\n");
}

describe("a capture", () => {
  it("whose fault has no readable ESR still has the fault", async () => {
    const capture = changed("fault", without("ESR_EL1"));
    const study = await studyCapture(capture);
    expect(study.fault).toMatchObject({ esr: undefined, pc: { address: 0n } });
    expect(faultText(study)).toContain("ESR_EL1   could not be read");
    expect(await shown(capture)).toContain(
      "✗ The guest faulted after ExitBootServices: exception whose ESR_EL1 could not be read",
    );
  });

  it("with a register that is unreadable on a side does not call it changed", async () => {
    const text = await shown(changed("after", without("CPACR_EL1")));
    expect(text).toContain("no control register changed");
    expect(text).toContain("1 register could not be read on one side");
  });

  it("with a table that is unreadable calls no change expected as a whole, and no table removed", async () => {
    const lost = 0x7ed0_5000n;
    const capture = changed("after", (point) => ({
      ...point,
      pages: new Map(
        [...point.pages].map(([pa, read]) => [pa, pa === lost ? { state: "unreadable", code: "read-failed" } : read]),
      ),
    }));
    const text = await shown(capture);
    expect(text).not.toContain("all expected");
    expect(text).toContain("1 part not known");
    expect(text).toContain("Not known  1 part of the tables could not be read or decoded");
    expect(text).not.toContain("removed");
  });

  it("whose regime is not decoded does not say that nothing changed", async () => {
    const index = CAPTURE.registers.findIndex(({ name }) => name === "TCR_EL1");
    const bytes = Buffer.alloc(8);
    // TG0 = 0b11: reserved.
    bytes.writeBigUInt64LE(0x4_8080_f514n);
    const capture = ["before", "after"].reduce(
      (all, id) =>
        changed(
          id,
          (point) => ({
            ...point,
            registers: point.registers.map((row) =>
              row.map((read, i) => (i === index ? { state: "present", bytes } : read)),
            ),
          }),
          all,
        ),
      CAPTURE,
    );
    const text = await shown(capture);
    expect(text).toContain("Mappings  no change seen; 2 parts not known");
    expect(text).toContain("constrained-unpredictable");
  });

  it("shows its notes, and does not say that no fault came when none was watched for", async () => {
    const later = changed("fault", (point) => ({ ...point, id: "later", kind: "later" }));
    const text = await shown({ ...later, notes: [FAULTS_NOT_WATCHED, "It is hooked."] });
    expect(text).toContain("It is hooked.");
    expect(text).toContain("faults were not watched for");
    expect(text).not.toContain("no fault in the time watched");
  });

  it("whose boot services table could not be read before the exit blames no service", async () => {
    expect(await shown(CAPTURE)).toContain("called gBS->Stall after ExitBootServices");
    const table = (CAPTURE.efi?.bootServices ?? 0n) & ~0xfffn;
    const capture = changed("before", (point) => ({
      ...point,
      pages: new Map([...point.pages].filter(([pa]) => pa !== table && pa !== table + 0x1000n)),
    }));
    const text = await shown(capture);
    expect(text).toContain("The guest faulted after ExitBootServices");
    expect(text).not.toContain("gBS->Stall after");
  });

  it("without a list of images does not say that an address lies in none", async () => {
    const study = await studyCapture({ ...CAPTURE, efi: undefined });
    expect(faultText(study)).toContain("images not recorded");
  });

  it("whose call did not return says that the fault came inside it", async () => {
    const attempts = CAPTURE.attempts.map((attempt) => ({ ...attempt, status: undefined }));
    const text = await shown({ ...CAPTURE, attempts });
    expect(text).toContain("The guest faulted inside ExitBootServices");
    expect(text).toContain("ExitBootServices did not return");
  });
});
