import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { translatedMemory } from "../../src/aarch64/virtual-memory.ts";
import { virt } from "../../src/base/address.ts";
import type { VirtMemory } from "../../src/base/memory.ts";
import type { Registers } from "../../src/base/registers.ts";
import { branchSite } from "../../src/code/branch-site.ts";
import { traceBranch } from "../../src/code/trace.ts";
import { PointView } from "../../src/diff/point-view.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { CodeMemory, registersWith } from "./code-memory.ts";

const CODE = 0x1_0000n;
const NOP = 0xd503_201f;
const RET = 0xd65f_03c0;
const BLR_X8 = 0xd63f_0100;

function site(words: readonly number[], values: Record<string, bigint>, target = 0n, link = CODE + 4n) {
  const memory = new CodeMemory().code(CODE, words);
  return branchSite(memory, { target: virt(target), link: virt(link), registers: registersWith(values) });
}

describe("the instruction that branched to where no code can run", () => {
  it("is the call before x30 whose register holds that address", async () => {
    expect(await site([BLR_X8], { x8: 0n })).toMatchObject({ kind: "call", address: CODE, register: 8 });
    expect(await site([0xd63f_091f], { x8: 0n })).toMatchObject({ kind: "call", register: 8 });
  });

  it("is a direct call that leads there", async () => {
    const found = await site([0x9400_0040], {}, CODE + 0x100n);
    expect(found).toMatchObject({ kind: "call", address: CODE, register: undefined });
  });

  it("came later when the call went elsewhere", async () => {
    expect(await site([BLR_X8], { x8: 0x5000n })).toEqual({ kind: "later", address: CODE, called: 0x5000n });
    expect(await site([0x9400_0040], {})).toEqual({ kind: "later", address: CODE, called: CODE + 0x100n });
  });

  it("is a return when x30 holds the address too", async () => {
    expect(await site([BLR_X8], { x8: 0n }, 0n, 0n)).toEqual({ kind: "return" });
  });

  it.each<[string, readonly number[], Record<string, bigint>, bigint, string]>([
    ["the word is no call", [NOP], { x8: 0n }, CODE + 4n, "is no call"],
    ["the register is not known", [BLR_X8], {}, CODE + 4n, "x8 is not known"],
    ["the call went through x30", [0xd63f_03c0], { x30: 0n }, CODE + 4n, "which it overwrote"],
    ["x30 is not aligned", [BLR_X8], { x8: 0n }, CODE + 6n, "no return address"],
    ["x30 is too low", [BLR_X8], { x8: 0n }, 2n, "no return address"],
    ["the code is not there", [BLR_X8], { x8: 0n }, 0x9_0004n, "cannot be read"],
  ])("is not known when %s", async (_, words, values, link, why) => {
    expect(await site(words, values, 0n, link)).toMatchObject({ kind: "unknown", why: expect.stringContaining(why) });
  });

  it("is compared without pointer authentication codes", async () => {
    const memory = new CodeMemory().code(CODE, [BLR_X8]);
    const bad = {
      target: virt(0x5000n),
      link: virt(CODE + 4n),
      registers: registersWith({ x8: 0x12_0000_0000_5000n }),
    };
    expect((await branchSite(memory, bad)).kind).toBe("later");
    const strip = (address: bigint) => virt(address & 0xffff_ffff_ffffn);
    expect((await branchSite(memory, { ...bad, strip })).kind).toBe("call");
  });
});

describe("a table passed as an argument", () => {
  // ldr x0, [x19]; mov w1, #1000; bl 0x10100
  const CALLER = [0xf940_0260, 0x5280_7d01, 0x9400_003e] as const;
  // stp x29, x30, [sp, #-16]!; mov x29, sp; ldr x8, [x0, #0xf8]; mov x0, x1; blr x8
  const CALLEE = [RET, 0xa9bf_7bfd, 0x9100_03fd, 0xf940_7c08, 0xaa01_03e0, BLR_X8] as const;
  const TABLE = 0x20_0000n;
  const LINK = virt(CODE + 0x114n);

  function memoryWith(caller: readonly number[]): CodeMemory {
    const memory = new CodeMemory().code(CODE, caller).code(CODE + 0xfcn, CALLEE);
    return memory.data(0x30_0000n, TABLE).data(TABLE + 0xf8n, 0n);
  }

  function trace(caller: readonly number[] = CALLER, callers = [virt(CODE + 12n)]) {
    const registers = registersWith({ x19: 0x30_0000n, x8: 0n, x0: 1000n, sp: 0x8000n });
    return traceBranch(memoryWith(caller), { target: virt(0), link: LINK, registers }, { callers });
  }

  it("is followed into the caller, whose registers tell what it was", async () => {
    const { site: found, hops } = await trace();
    expect(found).toMatchObject({ kind: "call", address: CODE + 0x110n });
    expect(hops.map(({ origin }) => origin.end.reason)).toEqual(["argument", "before-block"]);
    expect(hops[1]?.value.loadedFrom).toMatchObject({ value: 0x30_0000n });
    expect(hops[0]?.value.loadedFrom).toMatchObject({ known: true, value: TABLE + 0xf8n });
    expect(hops[0]?.value.agrees).toBe(true);
  });

  it("is not when the caller calls another function", async () => {
    const { hops } = await trace([...CALLER.slice(0, 2), 0x9400_0100]);
    expect(hops).toHaveLength(1);
    expect(hops[0]?.value.loadedFrom).toMatchObject({ known: false });
  });

  it("is not when there is no caller, or its code is not there", async () => {
    expect((await trace(CALLER, [])).hops).toHaveLength(1);
    expect((await trace(CALLER, [virt(0x9_0000)])).hops).toHaveLength(1);
    expect((await trace(CALLER, [virt(0)])).hops).toHaveLength(1);
  });
});

describe("a capture of a guest that called through a zeroed table", () => {
  const BASE = 0x7c41_1000n;

  /** The capture's memory, and where it has none, the code of the guest as it lies in its file. */
  async function open(): Promise<{ memory: VirtMemory; registers: Registers; bootServices: bigint }> {
    const capture = await readCapture(fileURLToPath(new URL("../fixtures/boot-service.ebs", import.meta.url)));
    const view = new PointView(capture, capture.points.find(({ kind }) => kind === "fault") as never);
    const captured = translatedMemory(view.translator(view.currentRegime), view.memory);
    const file = readFileSync(new URL("../../examples/guests/handoff/handoff.efi", import.meta.url));
    const text = new CodeMemory();
    // The first section header behind the PE header and its 240 bytes of optional header: RVA and file offset.
    const section = file.readUInt32LE(0x3c) + 24 + 240;
    const [rva, size, at] = [12, 16, 20].map((each) => file.readUInt32LE(section + each)) as [number, number, number];
    text.pages.write(BASE + BigInt(rva), file.subarray(at, at + size));
    const memory: VirtMemory = {
      async read(spans) {
        const [first, second] = [await captured.read(spans), await text.read(spans)];
        return first.map((read, i) => (read.state === "present" ? read : (second[i] ?? read)));
      },
    };
    return { memory, registers: view.registers, bootServices: capture.efi?.bootServices ?? 0n };
  }

  it("ends at BootServices->Stall: gBS + 0xf8, which the application passed on", async () => {
    const { memory, registers, bootServices } = await open();
    const link = virt(registers.get("x30") ?? 0n);
    const { site: found, hops } = await traceBranch(
      memory,
      { target: virt(0), link, registers },
      { callers: [virt(0x7c41_33ac)] },
    );
    expect(found).toMatchObject({ kind: "call", address: 0x7c41_2850n, register: 8 });
    expect(hops[0]?.origin.end).toEqual({ reason: "argument", register: 0 });
    expect(hops[0]?.value.loadedFrom).toMatchObject({ known: true, value: bootServices + 0xf8n });
  });
});
