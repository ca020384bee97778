/** `show FILE mappings` by filter, held against a filter of the test's own over the whole list. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import { buildProgram } from "../../src/cli/program.ts";

const FILE = join(fileURLToPath(new URL("../..", import.meta.url)), "test/fixtures/boot-service.ebs");

interface MappingOutput {
  readonly va: string;
  readonly size: string;
  readonly pa: string;
  readonly write: boolean;
  readonly execute: boolean;
  readonly memory: string;
  readonly el0: { readonly write: boolean; readonly execute: boolean };
}

afterEach(() => vi.restoreAllMocks());

async function show(...flags: string[]): Promise<MappingOutput[]> {
  let printed = "";
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    printed += String(chunk);
    return true;
  });
  await buildProgram(() => undefined).parseAsync(["show", FILE, "mappings", "--json", ...flags], { from: "user" });
  vi.restoreAllMocks();
  return JSON.parse(printed) as MappingOutput[];
}

const end = ({ va, size }: MappingOutput): bigint => BigInt(va) + BigInt(size);
const pages = (mappings: readonly MappingOutput[]): bigint =>
  mappings.reduce((sum, { size }) => sum + BigInt(size) / 4096n, 0n);

describe("the mappings that are shown", () => {
  it.each<[string, (mapping: MappingOutput) => boolean]>([
    ["--wx", ({ write, execute, el0 }) => (write && execute) || (el0.write && el0.execute)],
    ["--exec", ({ execute, el0 }) => execute || el0.execute],
    ["--device", ({ memory }) => memory.startsWith("Device")],
  ])("with %s are those, and no other", async (flag, wanted) => {
    const all = await show();
    const some = await show(flag);
    expect(some).toEqual(all.filter(wanted));
    expect(some.length).toBeGreaterThan(0);
    expect(some.length).toBeLessThan(all.length);
  });

  it.each(["0x7c450000-0x7c451000", "0x7c450000+0x1000", "2084896768+4096"])(
    "with --range %s are those that touch it",
    async (range) => {
      const touching = (await show()).filter((each) => BigInt(each.va) < 0x7c45_1000n && end(each) > 0x7c45_0000n);
      expect(await show("--range", range)).toEqual(touching);
      expect(touching).toHaveLength(1);
    },
  );

  it("with several flags are those that all let through", async () => {
    const both = await show("--wx", "--range", "0x7c000000-0x80000000");
    const wx = new Set((await show("--wx")).map(({ va }) => va));
    expect(both.every(({ va }) => wx.has(va))).toBe(true);
    expect(both).toHaveLength(3);
  });

  it("with --changed are the 560 pages that ExitBootServices changes, from either side", async () => {
    expect(pages(await show("--changed", "--at", "after"))).toBe(560n);
    expect(pages(await show("--changed", "--at", "before"))).toBe(560n);
    expect(await show("--changed", "--at", "fault")).toEqual([]);
    for (const { va, pa } of await show("--changed")) expect(pa).toBe(va);
  });

  it.each([
    [["mappings", "--range", "0x1000"], /range "0x1000": it is none/],
    [["mappings", "--range", "0x2000-0x1000"], /it is none/],
    [["mappings", "--range", "a+b"], /it is none/],
    [["registers", "--wx"], /registers with --wx: it is for mappings/],
    [["mappings", "--regime", "EL4"], /regime "EL4": there are EL1&0, EL2, EL2&0, EL3, stage2/],
  ])("are none for %j, which is wrong usage", async (args, message) => {
    vi.spyOn(process.stdout, "write").mockReturnValue(true);
    const [what = "", ...flags] = args;
    const run = buildProgram(() => undefined).parseAsync(["show", FILE, what, ...flags], { from: "user" });
    await expect(run).rejects.toMatchObject({ code: "usage", message: expect.stringMatching(message) });
  });
});
