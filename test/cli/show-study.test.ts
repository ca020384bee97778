/** `show FILE efi`, `backtrace` and `findings`, and which flags fit what. */
import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { EfiJson } from "../../src/api/firmware.ts";
import { BacktraceJson, DiffJson, FaultJson, FindingJson } from "../../src/api/schemas.ts";
import { SHOWN } from "../../src/cli/defaults.ts";
import { SERVICES } from "../support/firmware.ts";
import { FIXTURE, fixture, run, runJson, withCapture } from "./run.ts";

const efi = (file: string, ...flags: string[]): Promise<EfiJson> => runJson(EfiJson, "show", file, "efi", ...flags);
const table = ({ tables }: EfiJson, name: string) => tables.find((each) => each.name === name);

describe("UEFI's tables", () => {
  it("before the exit have each service with its offset and where it leads", async () => {
    const before = await efi(FIXTURE, "--at", "before");
    const services = table(before, "BootServices");
    expect(services?.fields.map(({ name }) => name)).toEqual(SERVICES);
    expect(services?.fields.map(({ offset }) => Number(offset))).toEqual(SERVICES.map((_, i) => 24 + i * 8));
    const capture = await fixture();
    expect(services?.fields.find(({ name }) => name === "ExitBootServices")?.value).toBe(
      `0x${capture.efi?.exitBootServices.toString(16)}`,
    );
    expect(services?.fields.find(({ name }) => name === "Reserved")?.place).toBeNull();
    expect(services?.fields.find(({ name }) => name === "Stall")?.place).toMatchObject({
      image: "DxeCore+0x1ab0",
      section: ".text",
      symbol: "gBS->Stall",
    });
    expect(before.changes).toBeNull();
    expect(before.tables.every(({ state }) => state === "valid")).toBe(true);
    expect(before.configuration).toHaveLength(9);
    expect(before.configuration?.map(({ name }) => name)).toContain("EFI_ACPI_TABLE_GUID");
  });

  it("after the exit are where they were: boot services zeroed, the consoles' pointers 0", async () => {
    const [before, after] = [await efi(FIXTURE, "--at", "before"), await efi(FIXTURE)];
    expect(after.point).toBe("after");
    expect(table(after, "BootServices")).toMatchObject({
      address: table(before, "BootServices")?.address,
      state: "zeroed",
      pointer: "0x0",
    });
    expect(table(after, "ConOut")).toMatchObject({ address: table(before, "ConOut")?.address, pointer: "0x0" });
    expect(table(after, "RuntimeServices")).toEqual(table(before, "RuntimeServices"));
    expect(after.changes?.since).toBe("before");
    expect(after.changes?.fields.find(({ name }) => name === "BootServices.Stall")).toMatchObject({
      kind: "changed",
      before: table(before, "BootServices")?.fields.find(({ name }) => name === "Stall")?.value,
      after: "0x0",
    });
  });

  it("are printed with state, offset, value and place", async () => {
    const after = await run("show", FIXTURE, "efi");
    expect(after).toMatch(/^ {2}gBS +0x477541d8 {2}zeroed +gST->BootServices is 0 now$/m);
    expect(after).toMatch(/^ {2}gBS: 44 fields zeroed$/m);
    expect(after).toMatch(/^ {2}SystemTable\.ConOut +0x\w+ → 0x0$/m);
    const before = await run("show", FIXTURE, "efi", "--at", "before");
    expect(before).toMatch(/^ {2}\+0xf8 +Stall +0x4773cab0 {2}DxeCore\+0x1ab0, \.text$/m);
    expect(before).not.toContain("Changed");
    for (const line of [...before.split("\n"), ...after.split("\n")]) expect(line.length).toBeLessThanOrEqual(120);
  });

  it("are an error in a capture of a guest without them", async () => {
    await withCapture({ ...(await fixture()), efi: undefined }, async (file) => {
      await expect(run("show", file, "efi")).rejects.toMatchObject({ code: "not-captured" });
    });
  });

  it("that were not read at a point are an error that names the points where they were", async () => {
    const capture = await fixture();
    const [first, ...rest] = capture.points;
    if (first === undefined) throw new Error("no point");
    const attempts = ["before-1", "failed-1"].map((id) => ({ ...first, id }));
    await withCapture({ ...capture, points: [...attempts, first, ...rest] }, async (file) => {
      await expect(run("show", file, "efi", "--at", "failed-1")).rejects.toMatchObject({
        code: "not-captured",
        next: "Give --at with one of before-1, before, after, fault.",
      });
    });
  });
});

describe("the backtrace", () => {
  it("is that of the fault where there is one", async () => {
    const trace = await runJson(BacktraceJson, "show", FIXTURE, "backtrace");
    const fault = await runJson(FaultJson, "show", FIXTURE, "fault");
    expect(trace).toMatchObject({ point: "fault", cpu: 0, regime: "EL1&0" });
    expect(trace.callChain).toEqual(fault.callChain);
    expect(trace.service).toEqual(fault.service);
    const text = await run("show", FIXTURE, "backtrace");
    expect(text.split("\n")[0]).toBe("Call chain  of vCPU 0 at fault, in EL1&0");
    expect(await run("show", FIXTURE, "fault")).toContain(text.split("\n").slice(1).join("\n").trimEnd());
  });

  it("of another point begins at its PC", async () => {
    const points = JSON.parse(await run("show", FIXTURE, "points", "--json")) as { id: string; pc: string }[];
    for (const { id, pc } of points.filter((point) => point.id !== "fault")) {
      const { callChain } = await runJson(BacktraceJson, "show", FIXTURE, "backtrace", "--at", id);
      expect(callChain?.frames[0]?.pc).toBe(pc);
    }
  });

  it("without a fault is that after the call", async () => {
    const { points, ...rest } = await fixture();
    await withCapture({ ...rest, points: points.filter(({ kind }) => kind !== "fault") }, async (file) => {
      expect(await run("show", file, "backtrace")).toMatch(/^Call chain {2}of vCPU 0 at after/);
    });
  });

  it("of a vCPU that there is not is wrong usage", async () => {
    await expect(run("show", FIXTURE, "backtrace", "--cpu", "1")).rejects.toMatchObject({ code: "usage" });
  });
});

describe("the findings", () => {
  const findings = (file: string): Promise<FindingJson[]> => runJson(Type.Array(FindingJson), "show", file, "findings");

  it("are those of the diff, what is normal too, with the evidence", async () => {
    const all = await findings(FIXTURE);
    expect(all).toEqual((await runJson(DiffJson, "diff", FIXTURE)).findings);
    expect(all.map(({ severity }) => severity)).toEqual(expect.arrayContaining(["error", "info"]));
    const text = await run("show", FIXTURE, "findings");
    expect(text).toMatch(/^\d+ findings {2}of before → after$/m);
    for (const { rule, title, evidence } of all) {
      expect(text).toContain(`${title}  ${rule}\n`);
      expect(text).toContain(`    ${evidence[0]}\n`);
    }
  });

  it("of a capture with one point are those that need no second one", async () => {
    const { points, ...rest } = await fixture();
    await withCapture({ ...rest, points: points.slice(0, 1) }, async (file) => {
      expect((await findings(file)).map(({ rule }) => rule)).not.toContain("all-mapping-changes-expected");
      expect(await run("show", file, "findings")).toMatch(/^(No finding|\d+ findings?) {2}of the only point$/m);
    });
  });
});

describe("a flag of show", () => {
  const FITTING: Readonly<Record<string, readonly string[]>> = {
    "--at before": ["registers", "mappings", "tables", "memmap", "efi", "backtrace"],
    "--regime EL1&0": ["mappings", "tables"],
    "--cpu 0": ["registers", "mappings", "tables", "backtrace"],
    "--all": ["images", "memmap", "backtrace", "findings"],
    "--exec": ["mappings"],
  };

  it.each(Object.entries(FITTING))("%s is taken for %j alone", async (flag, fitting) => {
    for (const what of SHOWN) {
      const printed = run("show", FIXTURE, what, ...flag.split(" "), "--json").then(
        () => "shown",
        ({ code }: { code: string }) => code,
      );
      // The fixture has no memory map: that is another error than wrong usage.
      const shown = expect.stringMatching(/^(shown|not-captured)$/);
      expect([what, await printed]).toEqual([what, fitting.includes(what) ? shown : "usage"]);
    }
  });
});
